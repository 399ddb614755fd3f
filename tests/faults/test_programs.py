"""Programs of their own, with warnings as errors: those that end while calls are under way, and the soak in small."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import checkout

from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

SOAK = checkout.ROOT / "benchmarks" / "soak.py"
needs_soak = pytest.mark.skipif(not SOAK.exists(), reason="the benchmarks are not here")

PREAMBLE = """
import asyncio, sys
from whereby_async import SessionPool, WherebyClient
from whereby_async.limiter import PointBudget

budget, pool = PointBudget(20), SessionPool(connections=4)
client = WherebyClient(limiter=budget, pool=pool, timeout=300)

async def call():
    await client.meetings.list()

async def begin(count):
    # Four are answered, so that as many may be in flight; then four are on the wire,
    # some wait for a slot, and the rest wait for points.
    for _ in range(4):
        await call()
    tasks = [asyncio.create_task(call()) for _ in range(count)]
    while pool.in_use < 4 or not sum(budget.snapshot().waiting.values()):
        await asyncio.sleep(0.001)
    return tasks

def idle():
    snapshot = budget.snapshot()
    return (snapshot.in_flight, sum(snapshot.waiting.values()), pool.in_use, pool.waiting)
"""


@pytest.fixture
def url() -> Iterator[str]:
    """A server that answers the first four calls and stalls on all others."""
    with FakeWhereby(limit=20).in_thread() as fake:
        fake.faults.add(Fault(skip=4, times=None, delay=300))
        yield fake.url


def run(program: str, url: str, *, uvloop: bool = False) -> tuple[int, str, str]:
    """Run the program in asyncio's debug mode: its exit code, what it printed, and what it complained of."""
    preamble = ("import uvloop; uvloop.install()" if uvloop else "") + PREAMBLE
    strict = ["-W", "error", *(["-W", "ignore::DeprecationWarning"] if uvloop else ["-X", "dev"])]
    ran = subprocess.run(
        [sys.executable, *strict, "-c", preamble + textwrap.dedent(program)],
        env={**os.environ, "WHEREBY_API_KEY": FAKE_API_KEY, "WHEREBY_BASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("uvloop", [False, True])
def test_a_loop_that_ends_with_calls_in_flight_ends_quietly(url: str, uvloop: bool) -> None:
    """`asyncio.run` cancels them: nothing is printed, and every permit and slot is back."""
    program = """
        async def main():
            return await begin(40)

        tasks = asyncio.run(main())
        print(all(task.cancelled() for task in tasks), idle())
    """
    assert run(program, url, uvloop=uvloop) == (0, "True (0, 0, 0, 0)\n", "")


def test_a_program_that_fails_with_calls_in_flight_shows_its_own_error_only(url: str) -> None:
    """The traceback is the program's; nothing of ours is said beside it."""
    program = """
        async def main():
            await begin(40)
            raise SystemExit("enough")

        asyncio.run(main())
    """
    assert run(program, url) == (1, "", "enough\n")


def test_a_loop_that_is_dropped_with_calls_in_flight_keeps_no_permit(url: str) -> None:
    """A loop is closed without cancelling anything: once its tasks are collected, their points count as lost.

    That is seen after the next loop's first call.
    """
    program = """
        import gc, logging
        from whereby_async.limiter import Unlimited
        logging.disable()  # asyncio tells of tasks that were destroyed while pending, as it should
        loop = asyncio.new_event_loop()
        tasks = loop.run_until_complete(begin(40))
        loop.close()
        del tasks, loop
        async def other():
            try:
                async with asyncio.timeout(0.05):
                    await client.with_options(limiter=Unlimited()).meetings.list()
            except TimeoutError:
                pass
            gc.collect()
            return idle()
        print(asyncio.run(other()))
        sys.stderr.close()  # transports that were never closed warn
    """
    code, printed, _ = run(program, url)
    assert (code, printed) == (0, "(0, 0, 0, 0)\n")


@needs_soak
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_thousands_of_calls_with_faults_and_cancels_reconcile() -> None:
    """Every create is accounted for, and nothing is left over."""
    ran = subprocess.run(
        [sys.executable, str(SOAK), "--calls", "3000", "--seconds-limit", "60"],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert "reconciles" in ran.stdout
    assert "Error" in ran.stdout


@needs_soak
def test_what_does_not_reconcile_is_told() -> None:
    """Twice acted, succeeded without an act, acted in spite of the error's word that it did not, never called."""
    soak = runpy.run_path(str(SOAK))
    outcomes = ("SUCCEEDED", "MAY_HAVE", "MAY_HAVE", "HAS_NOT", "CANCELLED", "CANCELLED")
    ended, complaints = bytes([*(soak[outcome] for outcome in outcomes), 0]), soak["complaints"]
    assert complaints(ended, bytes([1, 0, 1, 0, 0, 1, 0])) == []
    for acted in ([0, 0, 1, 0, 0, 1, 0], [1, 2, 1, 0, 0, 1, 0], [1, 0, 1, 1, 0, 1, 0], [1, 0, 1, 0, 0, 1, 1]):
        assert len(complaints(ended, bytes(acted))) == 1
