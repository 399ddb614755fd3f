"""`quick_grant`: points at once, without a coroutine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from limiter.driving import says
from whereby_async.limiter import PointBudget, Priority
from whereby_async.limiter.point_budget import never, quick_grant


class _Counting(PointBudget):
    """A budget of a user's own."""

    async def acquire(self, *args: Any, **options: Any) -> Any:
        return await super().acquire(*args, **options)


def test_budget_that_grants_in_its_own_way_is_always_asked() -> None:
    """Whether its class or the object itself says how, or it is of another kind."""
    budget, wrapped = PointBudget(), PointBudget()
    assert quick_grant(budget) is not never
    assert quick_grant(_Counting()) is never
    vars(wrapped)["acquire"] = budget.acquire
    assert quick_grant(wrapped) is never
    assert never(1, "", Priority.NORMAL) is None


@pytest.mark.anyio
async def test_quick_grant_gives_only_what_needs_no_second_thought() -> None:
    """Not to a batch, above what is left, behind somebody who waits, without a loop, or when it is closed."""
    budget = PointBudget(100, costs={"insights.rooms": 5})
    quick = quick_grant(budget)
    (await budget.acquire(1)).settle(says(99))
    for left in range(98, 88, -1):
        granted = quick(1, "", Priority.NORMAL)
        assert granted is not None
        granted.settle(says(left))
    granted = quick(1, "insights.rooms", Priority.NORMAL)
    assert granted is not None
    assert granted.cost == 5
    assert budget.snapshot().in_flight == 5
    granted.release()
    # A batch announces its calls after it got their points, so it has to be asked.
    assert quick(1, "", Priority.BATCH) is None
    assert quick(99, "", Priority.NORMAL) is None
    assert await asyncio.to_thread(quick, 1, "", Priority.NORMAL) is None
    for bad in (0, -1):
        with pytest.raises(ValueError, match="cost must be a whole number"):
            quick(bad, "", Priority.NORMAL)
    everything = quick(89, "", Priority.NORMAL)
    assert everything is not None
    waiter = asyncio.ensure_future(budget.acquire(1))
    await asyncio.sleep(0)
    assert quick(1, "", Priority.INTERACTIVE) is None
    everything.release()
    (await waiter).release()
    assert quick(1, "", Priority.NORMAL) is not None
    await budget.aclose()
    assert quick(1, "", Priority.NORMAL) is None
