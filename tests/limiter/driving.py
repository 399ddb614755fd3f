"""What the limiter's tests share: answers to settle with, and short ways to ask for points."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, ParamSpec

from whereby_async.limiter import RateLimit
from whereby_async.limiter.core import Core, Grant
from whereby_async.testing.clock import run_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from whereby_async.limiter import Limiter, Permit

P = ParamSpec("P")


class BookedGrant(Grant, eq=False):
    """A grant of a core that nobody else keeps."""

    owner: Any
    core: Core
    order: int


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
