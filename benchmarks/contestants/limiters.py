"""The limiters that are compared, each used as its documentation says, for `limit` points per minute.

Peers are imported when they are made: on a simulated clock their time has to be replaced before (see `simulated_time`).
"""

from __future__ import annotations

import asyncio
import importlib
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from whereby_async.limiter import (
    BudgetSnapshot,
    Forecast,
    Limiter,
    LimiterHook,
    Permit,
    PointBudget,
    Priority,
    RateLimit,
)
from whereby_async.testing.clock import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "whereby_async"
PERIOD = 60.0
_EPOCH = 1_790_000_000.0


class Peer(ABC):
    """Somebody else's limiter."""

    def __init__(self, limit: int) -> None:
        self.limit: int = limit

    @abstractmethod
    async def acquire(self, cost: int) -> None:
        """Wait for so many points."""


class AioLimiter(Peer):
    """aiolimiter: a leaky bucket."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._limiter: Any = importlib.import_module("aiolimiter").AsyncLimiter(limit, PERIOD)

    async def acquire(self, cost: int) -> None:
        """Wait for so many points."""
        await self._limiter.acquire(cost)


class PyrateLimiter(Peer):
    """pyrate-limiter: a sliding log."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        module: Any = importlib.import_module("pyrate_limiter")
        self._limiter: Any = module.Limiter(module.Rate(limit, module.Duration.MINUTE))

    async def acquire(self, cost: int) -> None:
        """Wait for so many points."""
        if not await self._limiter.try_acquire_async("whereby", cost):
            raise RuntimeError("refused")


class Limits(Peer):
    """limits: a moving window; it has no waiting, so that its users sleep until the window has room."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        aio: Any = importlib.import_module("limits.aio")
        self._limiter: Any = aio.strategies.MovingWindowRateLimiter(aio.storage.MemoryStorage())
        self._item: Any = importlib.import_module("limits").RateLimitItemPerMinute(limit)

    async def acquire(self, cost: int) -> None:
        """Wait for so many points."""
        while not await self._limiter.hit(self._item, "whereby", cost=cost):
            stats: Any = await self._limiter.get_window_stats(self._item, "whereby")
            await asyncio.sleep(max(0.001, stats.reset_time - time.time()))


class ThrottledPy(Peer):
    """throttled-py: a token bucket, its default."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        module: Any = importlib.import_module("throttled.asyncio")
        quota: Any = module.rate_limiter.per_min(limit, burst=limit)
        self._limiter: Any = module.Throttled(key="whereby", quota=quota, timeout=1e9, store=module.store.MemoryStore())

    async def acquire(self, cost: int) -> None:
        """Wait for so many points."""
        result: Any = await self._limiter.limit(cost=cost)
        if result.limited:
            raise RuntimeError("refused")


PEERS: dict[str, Callable[[int], Peer]] = {
    "aiolimiter": AioLimiter,
    "pyrate-limiter": PyrateLimiter,
    "limits": Limits,
    "throttled-py": ThrottledPy,
}


class PeersPermit:
    """A permit for a limiter that knows none: it only remembers how long the server told a refused call to wait."""

    def __init__(self, cost: int) -> None:
        self.cost: int = cost
        self.wait: float = 0.0

    def settle(self, answer: RateLimit | None) -> None:
        """An answer came."""
        if answer is not None and answer.throttled:
            self.wait = answer.retry_after or 1.0

    def release(self) -> None:
        """Nothing goes back."""

    def lost(self) -> None:
        """Nothing is known."""


class AsLimiter(Limiter):
    """A peer behind our protocol, as a careful user would call it: after a 429 a call waits for the time that the server named."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def acquire(
        self,
        cost: int,
        *,
        operation: str = "",
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        after: Permit | None = None,
    ) -> Permit:
        """Wait for the peer."""
        del operation, priority, max_wait
        if isinstance(after, PeersPermit) and after.wait:
            await asyncio.sleep(after.wait)
        await self._peer.acquire(cost)
        return PeersPermit(cost)

    def snapshot(self) -> BudgetSnapshot:
        """It can not say."""
        raise LookupError

    def forecast(self, points: int) -> Forecast:
        """It can not say."""
        raise LookupError(points)

    def subscribe(self, hook: LimiterHook) -> None:
        """It tells nobody."""

    def unsubscribe(self, hook: LimiterHook) -> None:
        """It told nobody."""

    async def aclose(self) -> None:
        """Nothing to close."""


def limiter(name: str, limit: int) -> Limiter:
    """A limiter by its name."""
    return PointBudget(limit) if name == OURS else AsLimiter(PEERS[name](limit))


def simulated_time() -> None:
    """Let `time.time` and `time.monotonic` tell the simulated loop's time, for libraries that ask them; before they are imported."""
    last = 0.0

    def now() -> float:
        nonlocal last
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return last
        last = loop.time() if isinstance(loop, SimulatedLoop) else last
        return last

    time.monotonic = now
    time.monotonic_ns = lambda: int(now() * 1e9)
    time.time = lambda: _EPOCH + now()
    time.time_ns = lambda: int((_EPOCH + now()) * 1e9)
