"""What a limiter tells its hooks and the log, and how any hook is told: `tell`, `Listeners` (the hooks of a limiter).

Users find the details and protocols in `whereby_async.hooks`. They are defined here because limiters need them, and
`whereby_async.hooks` needs the limiters.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec

from .rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterable

logger: Final = logging.getLogger("whereby_async")

_failed: set[tuple[type, str]] = set()

_LONG_WAIT: Final = 1.0
"""Seconds; the log has no line about a shorter wait, and one in this time at most."""

_ROUNDED: Final = 2.0
"""Seconds by which a freeze may outlast the window that it waits for: servers and we round up."""

_REASONS: Final = {
    "empty": "the window's points are spent",
    "frozen": "the server asked for it",
    "pilot": "one call is out to learn the budget",
    "queue": "others stand before it",
    "reserve": "the rest of the window is kept for others",
}
"""Why a call waits, by `WaitDetails.reason`."""


class WaitDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A call has to wait for points.

    Attributes:
        operation: The operation's name.
        cost: Points it asks for.
        priority: The priority's name.
        reason: `empty` (the window is spent), `frozen` (after a 429), `reserve` (kept from `BATCH`),
            `pilot` (one call is out to learn the budget) or `queue` (others of its priority stand before it).
        delay: Seconds until it may be served at the earliest.
        ahead: Points queued before it.
    """

    operation: str
    cost: int
    priority: str
    reason: str
    delay: float
    ahead: int


class ThrottleDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The server answered 429; everyone waits.

    Attributes:
        delay: Seconds until the first call goes again.
        rate_limit: What the answer said.
    """

    delay: float
    rate_limit: RateLimit


class CostChangeDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A price was learned.

    Attributes:
        operation: The operation's name.
        old: Points it was charged before.
        new: Points it is charged from now on.
    """

    operation: str
    old: int
    new: int


class OutageDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The store of a shared budget has gone away, or is back; each is told once.

    Attributes:
        away: It has gone.
        reason: Why, in words for people.
        limit: Points per period that this process goes by from now on; 0 if calls are refused.
        lasted: Seconds that it was away.
    """

    away: bool
    reason: str
    limit: int
    lasted: float


def points_in_words(count: int) -> str:
    """So many points, for people."""
    return "1 point" if count == 1 else f"{count} points"


def name_in_log(operation: str) -> str:
    """An operation's name for the log. Of a path in it, only the first part: the others may be ids or rooms' names."""
    method, slash, path = operation.partition(" /")
    first, more, _ = path.partition("/")
    return f"{method}{slash}{first}{'/…' if more else ''}"


def log_line(details: WaitDetails | ThrottleDetails | CostChangeDetails) -> tuple[str, *tuple[object, ...]]:
    """What the log says of a wait, a 429 or a price: a format and its values."""
    match details:
        case WaitDetails():
            name, why = name_in_log(details.operation) or "a call", _REASONS.get(details.reason, details.reason)
            return "%s waits about %.0f s for %s: %s", name, details.delay, points_in_words(details.cost), why
        case CostChangeDetails():
            return "%s costs %s, not %d", name_in_log(details.operation), points_in_words(details.new), details.old
        case ThrottleDetails():
            return "the server answered 429: calls wait %.1f s", details.delay


class OnWait(Protocol):
    """A hook that is told of each wait for points."""

    def on_wait(self, details: WaitDetails, /) -> Any:
        """A call has to wait for points."""


class OnThrottle(Protocol):
    """A hook that is told of each 429."""

    def on_throttle(self, details: ThrottleDetails, /) -> Any:
        """The server answered 429."""


class OnCostChange(Protocol):
    """A hook that is told of each price that is learned."""

    def on_cost_change(self, details: CostChangeDetails, /) -> Any:
        """A price was learned."""


class OnOutage(Protocol):
    """A hook that is told when the store of a shared budget is away, and when it is back."""

    def on_outage(self, details: OutageDetails, /) -> Any:
        """The store has gone away, or is back."""


LimiterHook: TypeAlias = OnWait | OnThrottle | OnCostChange | OnOutage
"""What a limiter may tell: an object with at least one of `on_wait`, `on_throttle`, `on_cost_change`, `on_outage`."""


def tell(hooks: Iterable[object], method: str, details: msgspec.Struct) -> None:
    """Call `method` of every hook that has it; an error in one is logged once and goes no further.

    `KeyboardInterrupt`, `SystemExit` and the like are raised once all hooks have been called.
    """
    stop: BaseException | None = None
    for hook in hooks:
        listen = getattr(hook, method, None)
        if listen is None:
            continue
        try:
            listen(details)
        except BaseException as error:
            if not (isinstance(error, Exception) or _is_cancel(error)):
                stop = error
            elif (key := (type(hook), method)) not in _failed:
                _failed.add(key)
                logger.exception("%s.%s raised; the call goes on, and this is said only once", key[0].__name__, method)
    if stop is not None:
        raise stop


def _is_cancel(error: BaseException) -> bool:
    """Whether an error is a `CancelledError`. A plain method awaits nothing, so it has made the error itself."""
    from asyncio import CancelledError  # a program that only reads values does without asyncio

    return isinstance(error, CancelledError)


class Listeners:
    """The hooks of a limiter, or of what is known of an origin, each told once however often it was added.

    A client that is dropped removes its hooks, perhaps in the garbage collector while this very thread holds the lock.
    So `remove` never waits for the lock: the hook is struck off by the thread that holds the lock or gets it next.
    """

    __slots__ = ("_counts", "_hooks", "_leaving", "_lock", "_wait_logged_at", "_warned_until")

    def __init__(self) -> None:
        self._wait_logged_at = self._warned_until = -math.inf
        self._counts: dict[int, int] = {}
        self._hooks: tuple[object, ...] = ()
        self._leaving: deque[object] = deque()
        self.unlock()

    def unlock(self) -> None:
        """Make a new lock: at first, and in a forked child, whose parent may have held the old one."""
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def add(self, hook: object) -> None:
        """Tell the hook from now on."""
        with self._lock:
            count = self._counts.get(id(hook), 0)
            self._counts[id(hook)] = count + 1
            if not count:
                self._hooks = (*self._hooks, hook)
        self._strike_off()

    def remove(self, hook: object) -> None:
        """Take back one `add`; a hook that is not there is left alone."""
        self._leaving.append(hook)
        self._strike_off()

    def _strike_off(self) -> None:
        while self._leaving and self._lock.acquire(blocking=False):
            try:
                while self._leaving:
                    self._take_back(self._leaving.popleft())
            finally:
                self._lock.release()

    def _take_back(self, hook: object) -> None:
        count = self._counts.pop(id(hook), 0)
        if count > 1:
            self._counts[id(hook)] = count - 1
        else:
            self._hooks = tuple(other for other in self._hooks if other is not hook)

    def tell(self, method: str, details: msgspec.Struct) -> None:
        """Call `method` of every hook that has it."""
        tell(self._hooks, method, details)

    def tell_and_log(self, method: str, details: WaitDetails | ThrottleDetails | CostChangeDetails, level: int) -> None:
        """The same, and a line in the log unless the level is 0."""
        if level and logger.isEnabledFor(level):
            logger.log(level, *log_line(details))
        self.tell(method, details)

    def wait_level(self, delay: float, now: float) -> int:
        """The level at which the log tells of a wait for points that begins; 0 if it is short, or follows another."""
        if delay <= _LONG_WAIT or 0 <= now - self._wait_logged_at < _LONG_WAIT or not logger.isEnabledFor(logging.INFO):
            return logging.NOTSET
        self._wait_logged_at = now
        return logging.INFO

    def throttle_level(self, delay: float, period: float, now: float) -> int:
        """The level at which the log tells of a 429: a freeze of more than a period is worth one warning."""
        if delay <= period + _ROUNDED or now + delay <= self._warned_until + period:
            return logging.DEBUG
        self._warned_until = now + delay
        return logging.WARNING
