"""`LoopWaiters`: one event loop in which calls wait, those calls, and its clock. Wake-ups reach a loop from other
threads through here.

A future may be touched in its own loop only. So whoever grants points to a call of another loop puts the call into that
loop's `inbox` and schedules its delivery there. Each loop has one timer, for all calls that wait in it.
"""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .core import Price
    from .protocol import Priority

_SHORTEST_TIMER: Final = 0.0005
_APART: Final = 1.0  # seconds by which a loop's clock must differ from the process's to be another clock

_NOTHING: Any = None
_monotonic: set[type[asyncio.AbstractEventLoop]] = set()


def loop_clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """A loop's time, without keeping the loop alive; once it is gone, as it was when it was last asked."""
    find, last = weakref.ref(loop), loop.time()

    def clock() -> float:
        nonlocal last
        if (loop := find()) is not None:
            last = loop.time()
        return last

    return clock


def is_monotonic(loop: asyncio.AbstractEventLoop) -> bool:
    """Does this loop run on the process's monotonic clock?"""
    kind = type(loop)
    if kind in _monotonic:
        return True
    if kind.time is asyncio.BaseEventLoop.time or kind.__module__.partition(".")[0] == "uvloop":
        _monotonic.add(kind)
        return True
    return not getattr(loop, "simulated", False) and abs(loop.time() - time.monotonic()) < _APART


@dataclass(slots=True, eq=False)
class WaitingCall:
    """A call that asks for points, and waits for them."""

    price: Price  # what its operation costs
    operation: str  # the operation's name
    priority: Priority  # its priority
    order: int  # its number; the lowest is the oldest. A retry has the number of its first attempt
    asked_at: float  # when this attempt asked
    waited: float  # seconds that earlier attempts waited
    queued: bool = False  # it stands in a queue
    passed: int = 0  # points of younger calls that went before it since it could not use what was left
    loop: LoopWaiters = _NOTHING  # where its task waits
    future: asyncio.Future[None] = _NOTHING  # what its task awaits
    outcome: Any = None  # its permit, or the error that ended its wait
    deadline: float = math.inf  # when its wait ends at the latest, if it has a `max_wait`

    def __lt__(self, other: WaitingCall) -> bool:
        """Its deadline is the earlier one."""
        return self.deadline < other.deadline


class LoopWaiters:
    """An event loop in which calls wait.

    Attributes:
        loop: The loop.
        waiting: Calls that wait in it.
        parked: Calls that were passed over since their loop stands still.
        goes_on: In its next turn it looks again, since a chunk was granted and there may be more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, look: Callable[[LoopWaiters], None]) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.waiting: int = 0
        self.parked: list[WaitingCall] = []
        self.goes_on: bool = False
        self._inbox: deque[WaitingCall] = deque()
        self._delivering = False
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def post(self, call: WaitingCall) -> bool:
        """Its outcome stands: `deliver` will tell its task. Whether it is the only one. Under the account's lock."""
        self._inbox.append(call)
        return len(self._inbox) == 1

    def undelivered(self) -> list[WaitingCall]:
        """Take what nobody will hear of, since the loop is closed."""
        calls = list(self._inbox)
        self._inbox.clear()
        return calls

    def deliver(self, here: asyncio.AbstractEventLoop | None) -> None:
        """Tell the tasks their outcomes: at once if this is the running loop, else from within their loop.

        Raises:
            RuntimeError: The loop is closed.
        """
        if self.loop is here:
            self._deliver()
        elif self._inbox and not self._delivering:
            self._delivering = True
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._delivering = False
        inbox = self._inbox
        while inbox:
            call = inbox.popleft()
            if call.future.done():
                # Cancelled meanwhile: its task gives the points back when it hears of that.
                continue
            if isinstance(call.outcome, BaseException):
                call.future.set_exception(call.outcome)
            else:
                call.future.set_result(None)

    def look_soon(self, here: asyncio.AbstractEventLoop | None) -> None:
        """Look again in the loop's next turn, once."""
        if not self.goes_on:
            (self.loop.call_soon if self.loop is here else self.loop.call_soon_threadsafe)(self._go_on)
            self.goes_on = True

    def _go_on(self) -> None:
        self.goes_on = False
        self._look(self)

    def look_at(self, when: float, now: float, here: asyncio.AbstractEventLoop | None) -> None:
        """Look again at `when`, unless that is going to happen sooner anyway."""
        if self._timer is not None and self._timer_at <= when:
            return
        if self.loop is here:
            self._arm(when, now)
        else:
            self.loop.call_soon_threadsafe(self._arm, when, now)

    def _arm(self, when: float, now: float) -> None:
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self.loop.call_later(max(when - now, _SHORTEST_TIMER), self._fired)

    def _fired(self) -> None:
        self._timer = None
        self._look(self)

    def rest(self) -> None:
        """Nobody waits here any more. Runs in the loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
