"""What calls may leave behind: nothing. Permits, slots, tasks and descriptors are counted here."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from typing import TYPE_CHECKING, Any, TypeVar

from whereby_async.testing.clock import run_simulated

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from whereby_async import SessionPool
    from whereby_async.limiter import PointBudget

T = TypeVar("T")


def assert_idle(budget: PointBudget, pool: SessionPool) -> None:
    """No permit is out, nobody waits for points or for a slot, and no slot is taken."""
    snapshot = budget.snapshot()
    assert (snapshot.in_flight, snapshot.waiting_points, sum(snapshot.waiting.values())) == (0, 0, 0)
    assert (pool.in_use, pool.waiting) == (0, 0)


def run_cleanly(main: Coroutine[Any, Any, T]) -> T:
    """Run on a simulated clock; no task, no descriptor and no word to the loop's exception handler may be left of it."""
    before = open_descriptors()
    complaints: list[dict[str, Any]] = []

    async def supervised() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        result = await main
        for _ in range(10):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    result = run_simulated(supervised())
    if complaints or open_descriptors() > before:
        gc.collect()
    assert not complaints, complaints
    assert open_descriptors() <= before
    return result


def open_descriptors() -> int:
    """Descriptors of this process, 0 where the system does not show them."""
    with contextlib.suppress(FileNotFoundError):
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count is all that is wanted
    return 0
