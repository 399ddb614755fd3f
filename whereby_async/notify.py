"""What a limiter tells its hooks, and how any hook is told: `tell`, `Listeners` (the hooks of a limiter), the logger.

Users find the details and protocols in `whereby_async.hooks`. They are defined here because limiters need them, and
`whereby_async.hooks` needs the limiters.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec

from .rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterable

logger: Final = logging.getLogger("whereby_async")

_failed: set[tuple[type, str]] = set()


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

    __slots__ = ("_counts", "_hooks", "_leaving", "_lock")

    def __init__(self) -> None:
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
