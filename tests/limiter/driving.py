"""What the limiter's tests share: answers to settle with, and short ways to ask for points."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, ParamSpec

from whereby_async.limiter import RateLimit
from whereby_async.limiter.redis.present.charge import Charge
from whereby_async.limiter.redis.present.present_ledger import PresentLedger
from whereby_async.testing.clock import run_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from whereby_async.limiter import Limiter, Permit

P = ParamSpec("P")
PERIOD = 60.0


def simulated(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a simulated clock."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_simulated(test(*args, **kwargs))

    return run


def says(remaining: int, *, limit: int = 100, reset_in: float | None = None) -> RateLimit:
    """A good answer's headers."""
    return RateLimit(limit=limit, remaining=remaining, reset_in=reset_in)


def refuses(retry_after: float | None = None, *, limit: int | None = None) -> RateLimit:
    """A 429."""
    return RateLimit(throttled=True, retry_after=retry_after, limit=limit)


async def warm(budget: Limiter, remaining: int | None = None, *, limit: int = 100) -> None:
    """One call, so that the budget knows where it stands."""
    permit = await budget.acquire(1)
    permit.settle(says(limit - 1 if remaining is None else remaining, limit=limit))


async def spend(budget: Limiter, points: int, *, limit: int = 100) -> list[Permit]:
    """Warm it up and spend so many points, one call after the other, all answered."""
    permits: list[Permit] = []
    for number in range(points):
        permit = await budget.acquire(1)
        permit.settle(says(limit - number - 1, limit=limit))
        permits.append(permit)
    return permits


def now() -> float:
    """The running loop's time."""
    return asyncio.get_running_loop().time()


async def turns(count: int = 5) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


class Book:
    """A ledger with a clock, and short words for what happens to it."""

    def __init__(self, limit: int | None = 100) -> None:
        self.ledger = PresentLedger(limit, PERIOD)
        self.now = 1000.0

    def grant(self, cost: int = 1) -> Charge:
        """A call that goes whatever the room."""
        charge = Charge(cost, 0.0, 0)
        self.ledger.charge(charge, self.now)
        return charge

    def answer(self, charge: Charge, remaining: int, *, limit: int = 100, reset_in: float | None = None) -> None:
        """It comes back."""
        self.ledger.settle(charge, says(remaining, limit=limit, reset_in=reset_in), self.now)

    def call(self, remaining: int, cost: int = 1, *, limit: int = 100, reset_in: float | None = None) -> None:
        """Both at once."""
        self.answer(self.grant(cost), remaining, limit=limit, reset_in=reset_in)

    def room(self, need: int = 1) -> int:
        """What may be granted now."""
        return self.ledger.room(self.now, need)

    def spend(self, points: int = 100) -> None:
        """That many single calls in a row."""
        for spent in range(points):
            self.call(99 - spent)

    def until(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
