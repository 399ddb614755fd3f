"""The shared budget on a real store: one process, one loop, and two budgets that stand for two processes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from limiter.serving import PERIOD, Server, call, until

if TYPE_CHECKING:
    from whereby_async.hooks import WaitDetails
    from whereby_async.limiter import RedisPointBudget

pytestmark = pytest.mark.anyio


class Waits:
    """Hears of calls that wait; it is told of each once the store has said that it has to."""

    def __init__(self, budget: RedisPointBudget) -> None:
        self.told: list[WaitDetails] = []
        budget.subscribe(self)

    def on_wait(self, details: WaitDetails) -> None:
        self.told.append(details)

    async def are(self, count: int) -> None:
        """Until so many have begun to wait."""
        await until(lambda: len(self.told) >= count)


async def _until_nothing_is_in_flight(budget: RedisPointBudget) -> None:
    """The store says so when it is asked for a point, which then is in flight itself."""
    ends = time.monotonic() + 10
    (await budget.acquire(1)).release()
    while (left := budget.snapshot().in_flight) not in {0, 1}:
        assert time.monotonic() < ends, f"{left} points are in flight"
        await asyncio.sleep(0.01)
        (await budget.acquire(1)).release()


async def test_an_idle_budget_makes_no_call(make: Any, client: Any) -> None:
    """Nobody waits, nothing is in flight: nothing happens."""

    def calls() -> int:
        stats: Any = client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))

    budget, server = make(), Server()
    await call(budget, server)
    await asyncio.sleep(0.2)
    before = calls()
    await asyncio.sleep(1.5)
    assert calls() == before


async def test_group_commit_carries_many_calls(make: Any, client: Any) -> None:
    """A thousand calls at once take a few dozen calls of the store, not two thousand."""

    def calls() -> int:
        stats: Any = client.info("commandstats")
        return int(stats["cmdstat_evalsha"]["calls"])

    budget, server = make(limit=5000), Server(5000)
    await call(budget, server)
    before = calls()
    await asyncio.gather(*[call(budget, server, flight=0.01) for _ in range(1000)])
    assert calls() - before < 60
    assert server.refused == 0


async def test_a_lease_outlives_a_long_attempt(make: Any, client: Any) -> None:
    """While a call is in flight its process gives signs of life, so its points are not given up."""
    budget, other, server = make(), make(), Server()
    await call(budget, server)
    permit = await budget.acquire(3)
    await asyncio.sleep(3.2)
    look = await other.acquire(1)
    assert other.snapshot().in_flight == 4
    look.release()
    permit.settle(server.serve(3))
    await _until_nothing_is_in_flight(budget)
    assert server.refused == 0


async def test_the_books_expire(make: Any, client: Any, name: str) -> None:
    """Nothing is left in the store for ever, and nothing goes before it must."""
    budget, server = make(), Server()
    await call(budget, server)
    key = f"whereby:{{{name}}}:2"
    assert 10 * PERIOD * 1000 < client.pttl(key) <= (86_400 + 10 * PERIOD) * 1000
