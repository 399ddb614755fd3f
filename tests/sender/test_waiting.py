"""Calls that wait: once all are sent away, nobody begins to wait, whatever thread the closing came from."""

from __future__ import annotations

import asyncio

import pytest

from whereby_async import ClientClosedError, Priority
from whereby_async.limiter import PointBudget
from whereby_async.sender import WaitingCalls

pytestmark = pytest.mark.anyio


async def test_nobody_begins_to_wait_after_all_were_sent_away() -> None:
    """A call that saw the client open just before it was closed in another thread gets no points, and pauses no second."""
    waiting, budget = WaitingCalls(), PointBudget(10)
    waiting.close()
    with pytest.raises(ClientClosedError, match="nothing was sent"):
        await waiting.acquire(budget, 1, operation="meetings.get", priority=Priority.NORMAL, max_wait=None, after=None)
    assert budget.snapshot().in_flight == 0
    async with asyncio.timeout(5):
        await waiting.pause(60)
