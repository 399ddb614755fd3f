"""A batch that is killed with SIGKILL again and again: a small version of `benchmarks/batch_kill.py`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support import checkout


def killed(kills: int, items: int) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "benchmarks/batch_kill.py", "--kills", str(kills), "--items", str(items)],
        cwd=checkout.ROOT,
        env=checkout.clean_environment(PYTHONPATH=str(checkout.ROOT)),
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    figures: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return figures


def test_five_kills_make_no_room_twice_and_lose_none() -> None:
    figures = killed(5, 400)
    assert figures["kills"] == 5
    assert figures["duplicates"] == figures["missing"] == figures["unknown"] == figures["failed"] == 0
    assert figures["answers lost"] > 0


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_hundreds_of_kills_make_no_room_twice_and_lose_none() -> None:
    """220 kills, a hundred of them with a create in flight, thirty between the act and its line in the journal."""
    figures = killed(220, 2500)
    assert figures["kills"] == 220
    assert figures["with a create in flight"] >= 100
    assert figures["between the act and its journal line"] >= 30
    assert figures["duplicates"] == figures["missing"] == figures["unknown"] == figures["failed"] == 0
