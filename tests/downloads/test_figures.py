"""The small version of `benchmarks/download.py`, and what a killed program leaves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import checkout
import pytest

BENCHMARK = checkout.ROOT / "benchmarks" / "download.py"
SIZE = os.environ.get("WHEREBY_DOWNLOAD_SIZE", "64MiB")


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
