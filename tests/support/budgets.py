"""What the tests of budgets share: answers, ways to ask for points, a server that counts, a listener."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec

from whereby_async.limiter import PointBudget, RateLimit
from whereby_async.limiter.core import Core, Grant
from whereby_async.testing.clock import run_simulated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence

    from whereby_async.hooks import CostChangeDetails, OutageDetails, ThrottleDetails, WaitDetails
    from whereby_async.limiter import Limiter, Permit

P = ParamSpec("P")

PERIOD = 2.0
"""Seconds of a window in tests on a real clock."""
LIMIT = 20


class BookedGrant(Grant, eq=False):
    """A grant of a core that nobody else keeps."""

    owner: Any
    core: Core
    order: int


def simulated(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_simulated(test(*args, **kwargs))

    return run


def says(remaining: int, *, limit: int = 100, reset_in: float | None = None) -> RateLimit:
    return RateLimit(limit=limit, remaining=remaining, reset_in=reset_in)


def refuses(retry_after: float | None = None, *, limit: int | None = None) -> RateLimit:
    """A 429."""
    return RateLimit(throttled=True, retry_after=retry_after, limit=limit)


async def spent(limit: int, points: int | None = None, **options: Any) -> PointBudget:
    """A budget of which so many points are spent, all if none is said."""
    budget = PointBudget(limit, **options)
    await spend(budget, limit if points is None else points, limit=limit)
    return budget


async def spend(budget: Limiter, points: int, *, limit: int = 100) -> None:
    """Warm it up and spend so many points, one call after the other, all answered."""
    for left in range(limit - 1, limit - points - 1, -1):
        (await budget.acquire(1)).settle(says(left, limit=limit))


def now() -> float:
    return asyncio.get_running_loop().time()


async def turns(count: int = 5) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], patience: float = 10.0) -> None:
    """Wait for something to come true that happens elsewhere."""
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        await asyncio.sleep(0.005)


async def until_told(*budgets: Limiter) -> None:
    """Wait until the store knows that all that these budgets granted has ended."""
    await until(lambda: not any(budget.snapshot().in_flight for budget in budgets))


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Server:
    """Counts a fixed window from the first call, as the API does, without a socket."""

    def __init__(self, limit: int = LIMIT, period: float = PERIOD, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self.period, self.clock = limit, period, clock
        self.ends = 0.0
        self.spent = 0
        self.refused = 0

    def serve(self, cost: int) -> RateLimit:
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


class Listener:
    """Keeps what budgets notify of; a shared budget notifies of a wait once the store has answered."""

    def __init__(self, *budgets: Limiter) -> None:
        self.waits: list[WaitDetails] = []
        self.throttles: list[ThrottleDetails] = []
        self.cost_changes: list[CostChangeDetails] = []
        self.outages: list[OutageDetails] = []
        for budget in budgets:
            budget.subscribe(self)

    def on_wait(self, details: WaitDetails) -> None:
        self.waits.append(details)

    def on_throttle(self, details: ThrottleDetails) -> None:
        self.throttles.append(details)

    def on_cost_change(self, details: CostChangeDetails) -> None:
        self.cost_changes.append(details)

    def on_outage(self, details: OutageDetails) -> None:
        self.outages.append(details)

    async def until_waiting(self, count: int) -> None:
        """Until so many calls have begun to wait."""
        await until(lambda: len(self.waits) >= count)

    @property
    def away(self) -> list[bool]:
        """Of each outage: whether the store has gone (or is back)."""
        return [details.away for details in self.outages]


@contextlib.asynccontextmanager
async def callers(budgets: Sequence[Limiter], server: Server, count: int = 8) -> AsyncGenerator[list[int]]:
    """So many callers of each budget that always want more; how many calls each budget has made."""
    done = [0] * len(budgets)

    async def caller(number: int) -> None:
        while True:
            await call(budgets[number], server)
            done[number] += 1

    tasks = [asyncio.create_task(caller(number)) for number in range(len(budgets)) for _ in range(count)]
    try:
        yield done
        assert not [task for task in tasks if task.done()]
    finally:
        await cancel(*tasks)


async def waiters(budget: Limiter, count: int, cost: int = 1, **options: Any) -> list[asyncio.Task[Permit]]:
    """So many calls that ask for points; what is ready has run."""
    calls = [asyncio.create_task(budget.acquire(cost, **options)) for _ in range(count)]
    await turns()
    return calls


def in_threads(*calls: Callable[[], object]) -> None:
    """Run each in a thread of its own, all at once; errors are raised."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(each) for each in calls]:
            done.result(20)
