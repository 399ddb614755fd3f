"""Parts: one download at a time, in a process and between processes, and nothing of value lost."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
import sys
from typing import TYPE_CHECKING

import pytest
from support import checkout

from whereby_async.downloads.part import PartFile
from whereby_async.downloads.verdict import Version
from whereby_async.testing import FakeWhereby, Fault
from whereby_async.testing.object_store import PatternBlob

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="POSIX's locks and limits")]

VERSION = Version(6, '"v1"')


def names_in(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


async def opened(path: Path) -> PartFile:
    part = PartFile(path, "recordings/1", overwrite=True)
    await part.open()
    return part


async def begun(path: Path) -> PartFile:
    """A part with three of six bytes."""
    part = await opened(path)
    await part.begin(VERSION)
    await part.write(b"abc")
    return part


async def test_a_part_is_gone_on_with(tmp_path: Path) -> None:
    """Bytes, place and version are there again; in between nobody else gets it."""
    first = await begun(tmp_path / "film")
    with pytest.raises(BlockingIOError):
        await opened(tmp_path / "film")
    first.close()
    again = await opened(tmp_path / "film")
    assert (again.position, again.version) == (3, VERSION)
    await again.note(VERSION)
    await again.write(b"def")
    await again.finish()
    again.close()
    assert (tmp_path / "film").read_bytes() == b"abcdef"
    assert names_in(tmp_path) == ["film"]


async def test_a_discarded_part_is_removed(tmp_path: Path) -> None:
    part = await begun(tmp_path / "film")
    part.discard()
    part.close()
    part.close()
    assert names_in(tmp_path) == []


async def _hold(path: Path, pipe: Connection) -> None:
    part = await begun(path)
    pipe.send("open")
    if pipe.recv() == "finish":
        await part.write(b"def")
        await part.finish()
    part.close()
    pipe.send("closed")


def _hold_in_a_loop(path: Path, pipe: Connection) -> None:
    asyncio.run(_hold(path, pipe))


@pytest.mark.parametrize("end", ["finish", "leave"])
async def test_processes_do_not_share_a_part(tmp_path: Path, end: str) -> None:
    """A lock on the part itself; when it is gone the next one goes on, or begins another."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_hold_in_a_loop, args=(tmp_path / "film", theirs))
    process.start()
    assert ours.recv() == "open"
    with pytest.raises(BlockingIOError, match="downloaded to already"):
        await opened(tmp_path / "film")
    assert (tmp_path / "film.part").read_bytes() == b"abc"
    ours.send(end)
    assert ours.recv() == "closed"
    process.join()
    after = await opened(tmp_path / "film")
    assert after.position == (3 if end == "leave" else 0)
    after.close()


async def test_a_part_that_was_renamed_while_we_opened_it_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking, the one before put it in its place: what we hold is the file of another by then."""
    fcntl = pytest.importorskip("fcntl")
    real: Callable[[int, int], None] = fcntl.flock

    def slowly(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        (tmp_path / "film.part").rename(tmp_path / "film")  # as another process does, which then lets go of it
        real(descriptor, operation)

    before = await begun(tmp_path / "film")
    before.close()
    monkeypatch.setattr(fcntl, "flock", slowly)
    after = await opened(tmp_path / "film")
    await after.begin(VERSION)
    await after.write(b"x")
    assert (tmp_path / "film").read_bytes() == b"abc"
    after.close()


async def test_a_file_system_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the process the paths are still known; any other failure of the lock is told."""
    number = errno.ENOLCK

    def unlockable(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", unlockable)
    (await begun(tmp_path / "film")).close()
    number = errno.EIO
    with pytest.raises(OSError, match="rror"):
        await opened(tmp_path / "film")
    assert (tmp_path / "film.part").read_bytes() == b"abc"


async def test_an_error_in_a_descriptor_names_the_file(tmp_path: Path) -> None:
    part = await begun(tmp_path / "film")
    (tmp_path / "film.part.json").unlink()
    (tmp_path / "film.part.json").mkdir()
    with pytest.raises(OSError, match=r"film\.part\.json"):
        await part.note(Version(7, '"v2"'))
    part.close()


KILLED = """
import asyncio, sys
from whereby_async import WherebyClient
async def main():
    async with WherebyClient() as client:
        await client.recordings.download(sys.argv[1], sys.argv[2], on_progress=lambda p: print(p.received, flush=True))
asyncio.run(main())
"""


async def test_a_killed_program_is_gone_on_with(tmp_path: Path) -> None:
    """SIGKILL in the middle: the part has all that was reported, and the next program fetches only the rest."""
    size, path = 40_000_000, tmp_path / "film.mp4"
    async with FakeWhereby() as fake:
        recording = fake.add_recording(size=size)["recordingId"]
        fake.faults.add(Fault(operation="storage", truncate=20_000_000), Fault(operation="storage", delay=60))
        environment = checkout.clean_environment(
            PYTHONPATH=str(checkout.ROOT), WHEREBY_API_KEY=fake.api_key, WHEREBY_BASE_URL=fake.url
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, recording, str(path), env=environment, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        told = int(await process.stdout.readline())
        process.kill()
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
