"""A server that counts, without a socket, and calls to it: for tests of budgets."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from limiter.driving import refuses, says

if TYPE_CHECKING:
    from collections.abc import Callable

    from whereby_async.hooks import OutageDetails, WaitDetails
    from whereby_async.limiter import Limiter, RateLimit

PERIOD = 2.0
LIMIT = 20


class Server:
    """Counts a fixed window from the first call, as the API does."""

    def __init__(self, limit: int = LIMIT, period: float = PERIOD, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self.period, self.clock = limit, period, clock
        self.ends = 0.0
        self.spent = 0
        self.refused = 0

    def serve(self, cost: int) -> RateLimit:
        """One call arrives, and is answered."""
        now = self.clock()
        if now >= self.ends:
            self.ends, self.spent = now + self.period, 0
        self.spent += cost
        if self.spent > self.limit:
            self.refused += 1
            return refuses(self.ends - now, limit=self.limit)
        return says(self.limit - self.spent, limit=self.limit, reset_in=self.ends - now)


async def call(budget: Limiter, server: Server, cost: int = 1, flight: float = 0.005, **options: Any) -> float:
    """One call from its points to its answer; when it was granted."""
    permit = await budget.acquire(cost, **options)
    granted_at = server.clock()
    await asyncio.sleep(flight)
    permit.settle(server.serve(permit.cost))
    return granted_at


async def until(condition: Callable[[], object], patience: float = 10.0) -> None:
    """Wait for something to come true that happens elsewhere."""
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        await asyncio.sleep(0.005)


class Waits:
    """Hears of calls that wait; a shared budget tells of each once the store has said that it has to."""

    def __init__(self, budget: Limiter) -> None:
        self.told: list[WaitDetails] = []
        budget.subscribe(self)

    def on_wait(self, details: WaitDetails) -> None:
        self.told.append(details)

    async def are(self, count: int) -> None:
        """Until so many have begun to wait."""
        await until(lambda: len(self.told) >= count)


class Outages:
    """Hears of outages of the store."""

    def __init__(self, *budgets: Limiter) -> None:
        self.heard: list[OutageDetails] = []
        for budget in budgets:
            budget.subscribe(self)

    def on_outage(self, details: OutageDetails) -> None:
        self.heard.append(details)

    @property
    def away(self) -> list[bool]:
        """Has it gone, or come?"""
        return [details.away for details in self.heard]
