"""A naive client to compare with: ten calls in flight at most, and after a 429 it waits as long as `Retry-After` says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from whereby_async.limiter import BudgetSnapshot, Forecast, Priority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whereby_async.limiter import LimiterHook, Permit, RateLimit

IN_FLIGHT = 10


class NaivePermit:
    """Leave to send."""

    def __init__(self, client: NaiveClient, cost: int) -> None:
        self.client = client
        self.cost = cost
        self.open = True

    def settle(self, answer: RateLimit | None) -> None:
        """An answer came."""
        if answer is not None and answer.throttled:
            self.client.obey(answer.retry_after or 1.0)
        self.release()

    def release(self) -> None:
        """The next may go."""
        if self.open:
            self.open = False
            self.client.slots.release()

    def lost(self) -> None:
        """No answer came."""
        self.release()


class NaiveClient:
    """No budget: whoever finds a free slot goes, but while a 429's wait lasts."""

    def __init__(
        self,
        limit: int | None = None,
        *,
        period: float = 60.0,
        costs: Mapping[str, int] | None = None,
        reserve: float = 0.1,
    ) -> None:
        self.limit = limit or 0
        self.slots = asyncio.Semaphore(IN_FLIGHT)
        self.frozen_until = 0.0

    def obey(self, seconds: float) -> None:
        """Nobody goes for so long."""
        self.frozen_until = max(self.frozen_until, asyncio.get_running_loop().time() + seconds)

    async def acquire(
        self,
        cost: int,
        *,
        operation: str = "",
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        after: Permit | None = None,
    ) -> NaivePermit:
        """Wait for a slot, and for the end of a freeze."""
        loop = asyncio.get_running_loop()
        await self.slots.acquire()
        try:
            while (wait := self.frozen_until - loop.time()) > 0:
                await asyncio.sleep(wait)
        except BaseException:
            self.slots.release()
            raise
        return NaivePermit(self, cost)

    def snapshot(self) -> BudgetSnapshot:
        """It knows nothing."""
        return BudgetSnapshot(
            limit=self.limit,
            remaining=None,
            available=0,
            in_flight=0,
            waiting=dict.fromkeys(Priority, 0),
            waiting_points=0,
            reset_in=None,
            foreign_rate=0.0,
            costs={},
            state="unknown",
        )

    def forecast(self, points: int) -> Forecast:
        """It knows nothing."""
        return Forecast(windows=1, seconds=0.0)

    def subscribe(self, hook: LimiterHook) -> None:
        """It tells nothing."""

    def unsubscribe(self, hook: LimiterHook) -> None:
        """It tells nothing."""

    async def aclose(self) -> None:
        """It holds nothing."""
