"""The small version of `benchmarks/download.py`, and what a killed program leaves."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import checkout

from whereby_async.testing import FakeWhereby, Fault
from whereby_async.testing.storage import PatternBlob

BENCHMARK = checkout.ROOT / "benchmarks" / "download.py"
SIZE = os.environ.get("WHEREBY_DOWNLOAD_SIZE", "64MiB")

KILLED = """
import asyncio, sys
from whereby_async import WherebyClient
async def main():
    async with WherebyClient() as client:
        await client.recordings.download(sys.argv[1], sys.argv[2], on_progress=lambda p: print(p.received, flush=True))
asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_large_file_with_ten_breaks_needs_little_memory() -> None:
    """Bit-identical, ten breaks, growth below 32 MiB: the benchmark's own judgement, in processes of their own."""
    run = subprocess.run(
        [sys.executable, str(BENCHMARK), "--size", SIZE],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=checkout.clean_environment(PYTHONPATH=str(checkout.ROOT)),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"breaks +10 of 10", run.stdout)
    assert "as it should be" in run.stdout


@pytest.mark.anyio
async def test_a_killed_program_is_gone_on_with(tmp_path: Path) -> None:
    """SIGKILL in the middle: the part has all that was reported, and the next program fetches only the rest."""
    size = 40_000_000
    async with FakeWhereby() as fake:
        recording = fake.add_recording(size=size)["recordingId"]
        fake.faults.add(Fault(operation="storage", truncate=20_000_000), Fault(operation="storage", delay=60))
        environment = checkout.clean_environment(
            PYTHONPATH=str(checkout.ROOT), WHEREBY_API_KEY=fake.api_key, WHEREBY_BASE_URL=fake.url
        )

        path = tmp_path / "film.mp4"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, recording, str(path), env=environment, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        told = int(await process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        fake.faults.clear()  # what the killed one did not come to is not for the next one
        assert not path.exists()
        kept = (tmp_path / "film.mp4.part").stat().st_size
        assert told <= kept < size
        async with fake.client() as client:
            done = await client.recordings.download(recording, path)
        assert (done.resumed, done.links) == (kept, 1)
        assert fake.requests[-1].headers["range"] == f"bytes={kept}-"
    assert path.read_bytes() == PatternBlob(size).read(0, size)
