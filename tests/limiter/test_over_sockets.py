"""The budget behind a client, against a Whereby that counts, over real sockets."""

from __future__ import annotations

import pytest

from whereby_async import BudgetError, BudgetTimeoutError, RateLimitError
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio


async def test_window_that_another_client_has_spent_is_waited_for_within_max_wait() -> None:
    """It ends in less than a second: three are enough, though the budget's own period is a minute."""
    async with FakeWhereby(limit=10, period=1.0) as fake:
        async with fake.client(limiter=Unlimited()) as other:
            for _ in range(10):
                await other.meetings.list()
        async with fake.client(limiter=PointBudget(), max_wait=3.0) as client:
            assert (await client.meetings.list()).results == []
        assert fake.throttled <= 1


async def test_window_that_ends_too_late_is_not_waited_for() -> None:
    """The refusal comes at once and says what it is about."""
    async with FakeWhereby(limit=3, period=30.0) as fake, fake.client(max_wait=3.0) as client:
        for _ in range(3):
            await client.meetings.list()
        with pytest.raises(
            BudgetTimeoutError, match=r"meetings\.list would wait .* s for 1 point, max_wait is 3 s"
        ) as caught:
            await client.meetings.list()
        assert caught.value.retry_after is not None
        assert 25 < caught.value.retry_after < 33
        assert fake.throttled == 0


async def test_call_dearer_than_the_whole_limit_fails() -> None:
    """It costs few 429s: two periods have to confirm the limit."""
    async with FakeWhereby(limit=2, period=1.0) as fake, fake.client(limiter=PointBudget(period=1.0)) as client:
        await client.meetings.list()
        with pytest.raises((BudgetError, RateLimitError)):
            await client.meetings.create(end_date="2030-01-01T00:00:00Z")
        with pytest.raises(BudgetError, match=r"meetings\.create costs 3 points, more than the whole limit of 2"):
            await client.meetings.create(end_date="2030-01-01T00:00:00Z")
        assert fake.throttled <= 3
