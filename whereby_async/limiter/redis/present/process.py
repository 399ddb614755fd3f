"""`PresentProcessLimiter`: what every in-process limiter does: one account for all threads and loops, and the waiting.

Real event loops all run on the same monotonic clock, so they share one account. A loop whose `time()` runs apart from it (a
simulated one) gets an account of its own inside the limiter: points that were spent at a simulated moment mean nothing at a
real one. A forked child starts with a fresh, cold account, since the parent goes on spending from the same budget.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from typing import TYPE_CHECKING, Final

from ....errors import ClientClosedError, ConfigurationError
from ....notify import Listeners
from ...protocol import BudgetSnapshot, BudgetState, Forecast, Priority
from .clocks import PresentLoopClock, is_monotonic
from .local_permit import LivePermit, LocalPermit

if TYPE_CHECKING:
    from collections.abc import Callable

    from ....details import LimiterHook
    from ...protocol import Limiter, Permit
    from .present_account import PresentAccount
    from .present_ledger import PresentLedger

UNMETERED: Final = 2_000_000_000
"""What a limiter that meters nothing shows as its limit."""

_running_loop: Final = asyncio._get_running_loop  # noqa: SLF001 - documented, and does not raise

_NO_LOOP: Final = object()

_BATCH: Final = Priority.BATCH
_NORMAL: Final = Priority.NORMAL
_limiters: weakref.WeakSet[PresentProcessLimiter] = weakref.WeakSet()
_accounts: weakref.WeakSet[PresentAccount] = weakref.WeakSet()


class PresentProcessLimiter:
    """A limiter whose account lives in this process. Made without a loop, used from any number of them."""

    def __init__(self, open_account: Callable[[Callable[[], float], Listeners], PresentAccount]) -> None:
        self._open = open_account
        self._listeners = Listeners()
        self._closed = False
        self._renew()
        _limiters.add(self)

    def _renew(self) -> None:
        """Fresh accounts: at birth and in a forked child."""
        self._listeners.unlock()
        self._account = self._opened(time.monotonic)
        # The real loop that was seen last, so that it is recognised at once; at first something that is none.
        self._loop: object = _NO_LOOP
        self._apart: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, PresentAccount] = weakref.WeakKeyDictionary()

    def _opened(self, clock: Callable[[], float]) -> PresentAccount:
        account = self._open(clock, self._listeners)
        _accounts.add(account)
        return account

    def _account_of(self, loop: asyncio.AbstractEventLoop) -> PresentAccount:
        if is_monotonic(loop):
            self._loop = loop
            return self._account
        account = self._apart.get(loop)
        if account is None:
            if self._closed:
                raise ClientClosedError("the limiter was closed: make a new one")
            account = self._apart[loop] = self._opened(PresentLoopClock(loop))
        return account

    def _at_once(self, cost: int, operation: str, priority: Priority) -> LocalPermit | None:
        """See `quick_grant`."""
        if _running_loop() is not self._loop:
            return None
        account = self._account
        ledger = account.ledger
        if not ledger.open_to or priority is _BATCH:
            return None
        # An attribute of an object is called faster through a name of its own.
        enter, clock, leave = account.enter, account.clock, account.leave
        enter()
        try:
            now = clock()
            granted = ledger.granted
            mark = granted + (account.table.get(operation, cost) if account.table else cost)
            if granted < mark <= ledger.open_to and now < ledger.open_until:
                # Points are there, nobody waits. This is `PresentLedger.charge`, written out for speed.
                ledger.granted = mark
                return LivePermit(mark - granted, now, ledger.arrived, account, operation, account.arrivals)
            return None
        finally:
            leave()
            if account.mailbox:
                account.look()

    async def acquire(
        self,
        cost: int,
        *,
        operation: str = "",
        priority: Priority = _NORMAL,
        max_wait: float | None = None,
        after: Permit | None = None,
    ) -> Permit:
        """Wait for `cost` points.

        Args:
            cost: The operation's seed price in points; a pinned or learned price of `operation` wins.
            operation: The operation's name, such as `meetings.create`.
            priority: The lane.
            max_wait: Longest wait in seconds, summed with the waits of `after`; `0` refuses instead of waiting.
            after: The permit of the same call's last attempt: it keeps its place in its lane.

        Raises:
            BudgetTimeoutError: It would take longer than `max_wait`, or did.
            BudgetError: The price is above the whole limit.
            ClientClosedError: The limiter is closed.
            ConfigurationError: No asyncio loop runs here.
        """
        if (loop := _running_loop()) is None:
            raise ConfigurationError(
                "no asyncio event loop is running: whereby_async runs on asyncio or uvloop, not on trio"
            )
        if loop is self._loop:
            account = self._account
            ledger = account.ledger
            if ledger.open_to and after is None and priority is not _BATCH:
                # `_at_once`, written out: another call would make an uncontended grant a tenth dearer.
                enter, clock, leave = account.enter, account.clock, account.leave
                enter()
                try:
                    now = clock()
                    granted = ledger.granted
                    mark = granted + (account.table.get(operation, cost) if account.table else cost)
                    if granted < mark <= ledger.open_to and now < ledger.open_until:
                        ledger.granted = mark
                        return LivePermit(mark - granted, now, ledger.arrived, account, operation, account.arrivals)
                finally:
                    leave()
                    if account.mailbox:
                        account.look()
        else:
            account = self._account_of(loop)
        outcome = account.admit(cost, operation, priority, max_wait, after, loop)
        if isinstance(outcome, LocalPermit):
            return outcome
        try:
            await outcome.future
        except BaseException:
            # Cancelled, refused late, or the coroutine itself was dropped: nothing of it may stay behind.
            account.end(outcome, "abandoned")
            raise
        return outcome.collected()

    def _account_here(self) -> PresentAccount:
        loop = asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise
        return self._account if loop is None else self._account_of(loop)

    @property
    def idle(self) -> bool:
        """Nothing is in flight, nobody waits, and nothing was heard for two periods."""
        for account in (self._account, *self._apart.values()):
            ledger = account.ledger
            if ledger.pending or account.hall.lanes.count or account.clock() - ledger.heard_at < 2 * ledger.period:
                return False
        return True

    def snapshot(self) -> BudgetSnapshot:
        """The budget at this moment, by the clock of the running loop. Costs nothing."""
        account = self._account_here()
        account.enter()
        try:
            now = account.clock()
            ledger = account.ledger
            available = 0 if account.hall.lanes.count else max(0, ledger.room(now))
            return BudgetSnapshot(
                limit=ledger.limit,
                remaining=ledger.remaining(),
                available=available,
                in_flight=ledger.pending,
                waiting={priority: account.hall.lanes[priority].count for priority in Priority},
                waiting_points=account.hall.lanes.points,
                reset_in=_reset_in(ledger, now),
                foreign_rate=ledger.others.rate if now < ledger.others.until else 0.0,
                costs=dict(account.prices.table),
                state=_state(ledger, available, now),
            )
        finally:
            account.leave()
            account.follow_up(None)

    def __repr__(self) -> str:
        if self._closed:
            return f"<{type(self).__name__} closed>"
        budget = self.snapshot()
        limit = "" if budget.limit >= UNMETERED else f"limit={budget.limit} available={budget.available} "
        return f"<{type(self).__name__} {limit}{budget.state}>"

    def forecast(self, points: int) -> Forecast:
        """When `points` more points would have been granted, behind all that wait now. Costs nothing.

        Args:
            points: How many.
        """
        account = self._account_here()
        account.enter()
        try:
            now = account.clock()
            ledger = account.ledger
            room = ledger.room(now)
            total = account.hall.lanes.points + points
            windows = 1 if total <= room else 1 - (room - total) // ledger.limit
            return Forecast(windows=windows, seconds=ledger.likely_wait(now, total) if points > 0 else 0.0)
        finally:
            account.leave()
            account.follow_up(None)

    def subscribe(self, hook: LimiterHook) -> None:
        """Tell `hook` of waits, throttling and prices from now on; the same object twice is told once.

        Subscriptions are counted: it takes as many `unsubscribe` to be told no more.
        """
        self._listeners.add(hook)

    def unsubscribe(self, hook: LimiterHook) -> None:
        """Take back one `subscribe`; a hook that is not there is left alone."""
        self._listeners.remove(hook)

    async def aclose(self) -> None:
        """Let go of what the limiter holds; calls that wait, in whatever loop, get `ClientClosedError`."""
        self._closed = True
        here = asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise
        for account in (self._account, *self._apart.values()):
            account.close(here)


def never(cost: int, operation: str, priority: Priority) -> LocalPermit | None:  # noqa: ARG001 - as `quick_grant`'s
    """`None`: nothing is granted at once."""
    return None


def quick_grant(limiter: Limiter) -> Callable[[int, str, Priority], LocalPermit | None]:
    """A function that gives a permit at once if that takes no second thought, as nearly always while there are points.

    It takes what `acquire` takes first (cost, operation, priority), awaits nothing, and returns `None` if `acquire` has to be
    asked, as always for a limiter that grants otherwise than this module does.
    """
    if not isinstance(limiter, PresentProcessLimiter) or "acquire" in vars(limiter):
        return never
    if type(limiter).acquire is not PresentProcessLimiter.acquire:
        return never
    return limiter._at_once  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the module's own


def _reset_in(ledger: PresentLedger, now: float) -> float | None:
    if (left := ledger.window.ends_in(now)) is not None:
        return left
    first = ledger.ageing.first_at
    return None if first is None else max(0.0, first - now)


def _state(ledger: PresentLedger, available: int, now: float) -> BudgetState:
    if now < ledger.gate.opens_at:
        return "frozen"
    if not ledger.known:
        return "unknown"
    return "open" if available > 0 else "empty"


def _after_fork() -> None:
    for account in list(_accounts):
        account.unlock()
    for limiter in list(_limiters):
        limiter._renew()  # pyright: ignore[reportPrivateUsage] - the module's own  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
