"""`Station`: one event loop with waiters in it. Wake-ups reach a loop from other threads through here.

A loop's futures may be touched only in that loop, so whoever grants points elsewhere leaves the waiters in the station's
`inbox` and rings. Each station keeps one timer of its own, in its own loop, for all its waiters: a loop that stops or dies
takes no other's timer with it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .present_waiter import PresentWaiter

_SHORTEST_TIMER: Final = 0.0005


class Station:
    """An event loop in which calls wait.

    Attributes:
        loop: The loop.
        waiting: Calls that wait in it.
        inbox: Waiters whose outcome stands, to be told in their loop.
        parked: Waiters passed over because their loop stood still.
        rung: A delivery is under way.
    """

    __slots__ = ("_handle", "_tick", "_when", "inbox", "loop", "parked", "rung", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: Callable[[Station], None]) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.waiting: int = 0
        self.inbox: deque[PresentWaiter] = deque()
        self.parked: list[PresentWaiter] = []
        self.rung: bool = False
        self._tick = tick
        self._handle: asyncio.TimerHandle | None = None
        self._when = 0.0

    @property
    def dead(self) -> bool:
        """Its loop is closed."""
        return self.loop.is_closed()

    def awake(self, here: asyncio.AbstractEventLoop | None) -> bool:
        """Its loop runs, so that a waiter told now will act now."""
        return self.loop is here or self.loop.is_running()

    def deliver(self) -> None:
        """Tell the waiters of the inbox. Runs in the loop."""
        self.rung = False
        inbox = self.inbox
        while inbox:
            waiter = inbox.popleft()
            future = waiter.future
            if future.done():
                # Cancelled meanwhile: its task gives the points back when it hears of that.
                continue
            if isinstance(waiter.outcome, BaseException):
                future.set_exception(waiter.outcome)
            else:
                future.set_result(None)

    def ring(self, here: asyncio.AbstractEventLoop | None) -> None:
        """See to the inbox, at once if this is the loop, else from within it."""
        if self.loop is here:
            self.deliver()
        elif not self.rung:
            self.rung = True
            self.loop.call_soon_threadsafe(self.deliver)

    def soon(self, here: asyncio.AbstractEventLoop | None) -> None:
        """Look again in the loop's next turn."""
        (self.loop.call_soon if self.loop is here else self.loop.call_soon_threadsafe)(self._tick, self)

    def arm(self, when: float, now: float, here: asyncio.AbstractEventLoop | None) -> None:
        """Look again at `when`, unless that is going to happen sooner anyway."""
        if self._handle is not None and self._when <= when:
            return
        if self.loop is here:
            self._set(when, now)
        else:
            self.loop.call_soon_threadsafe(self._set, when, now)

    def _set(self, when: float, now: float) -> None:
        if self._handle is not None:
            if self._when <= when:
                return
            self._handle.cancel()
        self._when = when
        self._handle = self.loop.call_later(max(when - now, _SHORTEST_TIMER), self._fired)

    def _fired(self) -> None:
        self._handle = None
        self._tick(self)

    def rest(self) -> None:
        """Nobody waits here any more. Runs in the loop."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
