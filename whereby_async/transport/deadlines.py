"""When the attempts on the wire in one event loop are over, all by one timer.

Attempts of one object have the same timeout, so those that began first are over first: a dictionary, in the order in
which it was filled, is the queue, and an attempt that ends takes itself out. A timer for each attempt, as aiohttp sets
one, costs several times as much.

An attempt whose time is over is cancelled, and where it began that cancellation is turned into a timeout. If somebody
else cancels it at the same moment, their cancellation wins.

Twice in a `timeout` of 10 s, and more often in a longer one, it is looked whether two attempts have had no byte for
five seconds: then perhaps nothing gets through any more, and nobody says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .exchange import Exchange

SILENCE: Final = 5.0
"""Seconds without a byte after which an attempt counts as silent."""
_SILENT: Final = 2
"""So many silent attempts are more than one slow call."""


class Deadlines:
    """Attempts under way in one loop that have the same timeout. `on_silence` is told one of several silent ones."""

    __slots__ = ("_loop", "_on_silence", "_seconds", "_timer", "_under_way")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, on_silence: Callable[[Exchange], None]) -> None:
        self._loop = loop
        self._on_silence = on_silence
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
            self._timer = self._loop.call_at(over_at - max(0.0, self._seconds - SILENCE), self._check)

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
        silent_from = now + self._seconds - SILENCE
        silent: list[Exchange] = []
        for exchange, (over_at, task, _) in self._under_way.items():
            if over_at > now:
                if self._timer is None:
                    self._timer = self._loop.call_at(min(over_at, now + SILENCE), self._check)
                if over_at > silent_from:
                    break
                if exchange.heard is None:
                    silent.append(exchange)
            elif task is not None and not exchange.late:
                exchange.late = True
                task.cancel()
        if len(silent) >= _SILENT:
            self._on_silence(silent[0])

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
