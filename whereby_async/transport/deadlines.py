"""When the attempts on the wire in one event loop are over, all by one timer.

Attempts of one object have the same timeout, so those that began first are over first: a dictionary, in the order in
which it was filled, is the queue, and an attempt that ends takes itself out. A timer for each attempt, as aiohttp sets
one, costs several times as much.

An attempt whose time is over is cancelled, and where it began that cancellation is turned into a timeout. If somebody
else cancels it at the same moment, their cancellation wins.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exchange import Exchange


class Deadlines:
    """The attempts under way in one loop that have the same timeout."""

    __slots__ = ("_loop", "_seconds", "_timer", "_under_way")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: dict[Exchange, tuple[float, asyncio.Task[object] | None, int]] = {}

    @property
    def idle(self) -> bool:
        """No attempt is under way, and no timer is set."""
        return not self._under_way and self._timer is None

    def begin(self, exchange: Exchange) -> None:
        """The time of an attempt runs from now on."""
        over_at = self._loop.time() + self._seconds
        task = asyncio.current_task()
        self._under_way[exchange] = over_at, task, task.cancelling() if task else 0
        if self._timer is None:
            self._timer = self._loop.call_at(over_at, self._check)

    def end(self, exchange: Exchange) -> None:
        """An attempt is over, one way or another."""
        del self._under_way[exchange]

    def over(self, exchange: Exchange) -> bool:
        """Whether an attempt was just cancelled because its time is over, and by nobody else besides."""
        over_at, task, cancelling = self._under_way[exchange]
        if task is not None and exchange.late:
            self._under_way[exchange] = over_at, None, cancelling
            exchange.late = task.uncancel() <= cancelling
        return exchange.late

    def _check(self) -> None:
        self._timer = None
        now = self._loop.time()
        for exchange, (over_at, task, _) in self._under_way.items():
            if over_at > now:
                self._timer = self._loop.call_at(over_at, self._check)
                return
            if task is not None and not exchange.late:
                exchange.late = True
                task.cancel()

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
