"""The ends of attempts: by one timer, in order, and a cancel by somebody else wins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest
from support.attempts import attempt

from whereby_async.testing import run_simulated
from whereby_async.transport.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def _attempt(deadlines: Deadlines, work: Callable[[], Awaitable[object]]) -> float:
    """As a connection does it; how long it took if its time was over, else the work's own end."""
    loop = asyncio.get_running_loop()
    exchange, began = attempt("http://127.0.0.1", timeout=5.0), loop.time()
    deadlines.begin(exchange)
    try:
        await work()
    except asyncio.CancelledError:
        if not deadlines.over(exchange):
            raise
        return loop.time() - began
    finally:
        deadlines.end(exchange)
    return -1.0


def test_each_attempt_ends_after_its_own_time() -> None:
    async def main() -> list[float]:
        deadlines = Deadlines(asyncio.get_running_loop(), 5.0, print)
        attempts: list[asyncio.Task[float]] = []
        for _ in range(20):
            attempts.append(asyncio.create_task(_attempt(deadlines, anyio.sleep_forever)))
            await asyncio.sleep(0.25)
        took = [await each for each in attempts]
        assert deadlines.idle
        return took

    assert run_simulated(main()) == pytest.approx([5.0] * 20, abs=0.01)


def test_attempt_that_is_done_is_not_cancelled() -> None:
    """Its task goes on undisturbed past the time, and the timer rests when nobody needs it."""

    async def main() -> float:
        deadlines = Deadlines(asyncio.get_running_loop(), 5.0, print)
        took = await _attempt(deadlines, lambda: asyncio.sleep(4.0))
        await asyncio.sleep(20.0)
        assert deadlines.idle
        return took

    assert run_simulated(main()) == -1.0


def test_cancel_by_the_caller_at_the_same_moment_wins() -> None:
    """Both cancel the task before it runs again: it ends cancelled, not timed out."""

    async def main() -> asyncio.Task[float]:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(loop, 5.0, print)
        task = asyncio.create_task(_attempt(deadlines, anyio.sleep_forever))
        await asyncio.sleep(0)
        loop.call_at(loop.time() + 5.0, task.cancel)
        await asyncio.wait([task])
        return task

    assert run_simulated(main()).cancelled()


def test_timeout_leaves_no_cancellation_behind() -> None:
    """After the timeout the task can wait again, and an outer `asyncio.timeout` still works."""

    async def main() -> float:
        deadlines = Deadlines(asyncio.get_running_loop(), 5.0, print)
        took = await _attempt(deadlines, anyio.sleep_forever)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await anyio.sleep_forever()
        return took

    assert run_simulated(main()) == pytest.approx(5.0, abs=0.01)
