"""`PointBudget` and `Unlimited`: the limiters of one process, for all its threads, event loops and forked children.

Real event loops all run on the same monotonic clock, so they share one account. A loop whose `time()` runs apart from
it (a simulated one) gets an account of its own inside the limiter: points that were spent at a simulated moment mean
nothing at a real one. A forked child starts with a fresh, cold account, since the parent goes on spending from the same
budget.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Final

from ..errors import ClientClosedError, ConfigurationError
from ..notify import LimiterHook, Listeners
from ..rate_limit import RateLimit
from ..redaction import once_made, plain
from .accounts import Account, BudgetPermit
from .budget_checks import check_budget, checked_pins
from .core import ADVERTISED, NO, PATIENCE, PROBE, Core, Grant, Price
from .loops import is_monotonic, loop_clock
from .protocol import BudgetSnapshot, BudgetState, Forecast, Limiter, Permit, Priority

UNMETERED: Final = 2_000_000_000  # what a limiter that meters nothing shows as its limit

_running_loop: Final = asyncio._get_running_loop  # noqa: SLF001 - documented, and does not raise
_NO_LOOP: Final = object()
_NORMAL: Final = Priority.NORMAL
_BATCH: Final = Priority.BATCH
_limiters: weakref.WeakSet[ProcessLimiter] = weakref.WeakSet()
_accounts: weakref.WeakSet[Account] = weakref.WeakSet()


class ProcessLimiter:
    """A limiter whose account lives in this process. Made without a loop, used from any number of them."""

    def __init__(self, make: Callable[[], Core]) -> None:
        self._make = make
        self._listeners = Listeners()
        self._closed = False
        self._renew()
        _limiters.add(self)

    def _renew(self) -> None:
        """Fresh accounts: at birth and in a forked child."""
        self._listeners.unlock()
        self._account = self._open(time.monotonic)
        # The real loop that was seen last, so that it is recognised at once; at first something that is none.
        self._loop: object = _NO_LOOP
        self._apart: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Account] = weakref.WeakKeyDictionary()

    def _open(self, clock: Callable[[], float]) -> Account:
        account = Account(self._make, clock, self._listeners)
        _accounts.add(account)
        return account

    def _account_of(self, loop: asyncio.AbstractEventLoop) -> Account:
        if is_monotonic(loop):
            self._loop = loop
            return self._account
        account = self._apart.get(loop)
        if account is None:
            if self._closed:
                raise ClientClosedError("the limiter was closed: make a new one")
            account = self._apart[loop] = self._open(loop_clock(loop))
        return account

    def _at_once(self, cost: int, operation: str, priority: Priority) -> BudgetPermit | None:
        """See `quick_grant`."""
        if (loop := _running_loop()) is None or priority is _BATCH:
            return None
        return (self._account if loop is self._loop else self._account_of(loop)).at_once(cost, operation, priority)

    async def acquire(
        self,
        cost: int,
        *,
        operation: str = "",
        priority: Priority = _NORMAL,
        max_wait: float | None = None,
        after: Permit | None = None,
    ) -> Permit:
        """Wait for `cost` points; see `Limiter.acquire`.

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
        cost = plain(cost)
        account = self._account if loop is self._loop else self._account_of(loop)
        if after is None and (permit := account.at_once(cost, operation, priority)) is not None:
            return permit
        admitted = account.admit(cost, operation, priority, max_wait, after, loop)
        if isinstance(admitted, BudgetPermit):
            return admitted
        try:
            await admitted.future
        except BaseException:
            # Cancelled, refused late, or the coroutine itself was dropped: nothing of it may stay behind.
            account.abandon(admitted)
            raise
        granted: Permit = admitted.outcome
        admitted.outcome = None
        return granted

    def _account_here(self) -> Account:
        loop = _running_loop()
        return self._account if loop is None else self._account_of(loop)

    @property
    def idle(self) -> bool:
        """Nothing is in flight, nobody waits, and nothing was heard for two periods."""
        return all(account.idle for account in (self._account, *self._apart.values()))

    def snapshot(self) -> BudgetSnapshot:
        """The budget at this moment, by the clock of the running loop. Costs nothing."""
        account = self._account_here()
        with account.looking() as now:
            core, queue = account.core, account.queue
            available = 0 if queue.count else core.available(now)
            return BudgetSnapshot(
                limit=core.limit,
                remaining=core.remaining(now),
                available=available,
                in_flight=core.in_flight,
                waiting=queue.waiting(),
                waiting_points=queue.points,
                reset_in=core.reset_in(now),
                foreign_rate=core.foreign_rate(now),
                costs=core.prices(),
                state=_state(core, available, now),
            )

    @once_made
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
        points = plain(points)
        account = self._account_here()
        with account.looking() as now:
            core = account.core
            available, total = core.available(now), account.queue.points + points
            windows = 1 if total <= available else 1 - (available - total) // core.limit
            return Forecast(windows=windows, seconds=core.likely_wait(now, total) if points > 0 else 0.0)

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
        here = _running_loop()
        for account in (self._account, *self._apart.values()):
            account.close(here)


def never(cost: int, operation: str, priority: Priority) -> BudgetPermit | None:  # noqa: ARG001 - as `quick_grant`'s
    """`None`: nothing is granted at once."""
    return None


def quick_grant(limiter: Limiter) -> Callable[[int, str, Priority], BudgetPermit | None]:
    """A function that gives a permit at once if there are points and nobody waits, without a coroutine.

    It takes what `acquire` takes first (cost, operation, priority) and awaits nothing. It returns `None` if `acquire`
    has to be asked. That is always so for a limiter of another kind, and for the calls of a batch, which writes into
    its journal between the points and the call.
    """
    if not isinstance(limiter, ProcessLimiter) or "acquire" in vars(limiter):
        return never
    if type(limiter).acquire is not ProcessLimiter.acquire:
        return never
    return limiter._at_once  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the module's own


def _state(core: Core, available: int, now: float) -> BudgetState:
    if now < core.frozen_until:
        return "frozen"
    if core.heard_at == float("-inf"):
        return "unknown"
    return "open" if available > 0 else "empty"


class PointBudget(ProcessLimiter):
    """The organisation's points per minute, kept in this process.

    One object serves all threads and loops of the process and a forked child, which starts cold; it is made without a
    loop. It believes the server's headers, needs none of them to be safe, and tells who else spends from the same
    budget.

    A batch leaves a reserve: of each window a tenth of the limit at most (`reserve=`) is kept from the `BATCH`
    priority, and given to it at the window's end. So people hardly wait while a batch spends.

    Prices belong to operations. A list whose price depends on its page size is charged what its dearer calls were seen
    to cost; pin it with `costs` if you know better.
    """

    def __init__(
        self,
        limit: int | None = None,
        *,
        period: float = 60.0,
        costs: Mapping[str, int] | None = None,
        reserve: float = 0.1,
    ) -> None:
        """Make a budget.

        Args:
            limit: Points per period to start from; the header `X-RateLimit-Limit` overrules it. `None` learns it from
                that header, and assumes 100, the smallest plan, until then.
            period: The window's length in seconds.
            costs: Prices by operation, such as `{"insights.rooms": 5}`, that are never learned otherwise.
            reserve: The share of each window, from 0 to below 1, that is kept from the `BATCH` priority at most.

        Raises:
            ConfigurationError: An option cannot be used.
        """
        limit, period, reserve = check_budget(limit, period, reserve)
        pins = checked_pins(costs)
        super().__init__(lambda: Core.cold(limit, period, pins, reserve))


class _Unmetered(Core):
    """A core without a limit, of which only a 429's time counts.

    If that named none, or a wrong one, one call at a time goes until one is answered.
    """

    __slots__ = ()

    def decide(self, now: float, price: Price, kept: int = 0) -> int:  # noqa: ARG002 - everything fits
        """May a call go: `NO`, `ADVERTISED`, or `PROBE` if it is to show whether others may?"""
        if now < self._frozen_until:
            return NO
        if not self._doubted:
            return ADVERTISED
        return NO if self._granted > self._answered and now < self._probed_at + PATIENCE else PROBE

    def answer(self, grant: Grant, now: float, said: RateLimit | None) -> None:
        """An answer came, of which only a refusal counts."""
        if kind := self._finish(grant):
            self._answered += grant.cost
            self._released += grant.cost
            self._heard_at = now
            if said is not None and said.throttled:
                self._refused(grant, now, said, kind)
                self._doubted = self._doubted or not said.retry_after or self._backoff > 1
            elif self._backoff:
                self._grow(grant)
                self._doubted = self._backoff > 0 and self._doubted

    def _doubt(self, now: float, reach: float) -> None:
        """Nothing is metered, so nobody else can have spent of it."""

    def least_wait(self, now: float, points: int) -> float:  # noqa: ARG002 - everything fits
        """Seconds until the freeze ends."""
        return max(0.0, self._frozen_until - now)

    likely_wait = least_wait


class Unlimited(ProcessLimiter):
    """Meters nothing: every call goes at once, but after a 429 everyone waits until the server's time.

    Where the server names none, or one that proves wrong, the waits double, and one call goes at a time until one
    succeeds.
    """

    def __init__(self) -> None:
        """Make one; it has no options."""
        super().__init__(lambda: _Unmetered.cold(UNMETERED))


# The process's own budgets

_lock = threading.Lock()
_alive: weakref.WeakValueDictionary[bytes, PointBudget] = weakref.WeakValueDictionary()
_kept: dict[bytes, PointBudget] = {}


def shared_budget(base_url: str, api_key: str) -> PointBudget:
    """The process-wide budget for this API and key; made at its first use.

    So clients made per request share one account. It is found by a digest: the key itself is not kept. It lives as long
    as somebody holds it, and two periods beyond its last use, since the server's window outlives the client that spent
    from it.

    Args:
        base_url: The API's base URL; a slash at its end makes no difference.
        api_key: The key; only a digest of it is kept.
    """
    digest = _digest(base_url, api_key)
    with _lock:
        for other in [other for other, budget in _kept.items() if budget.idle]:
            del _kept[other]
        budget = _alive.get(digest)
        if budget is None:
            budget = _alive[digest] = PointBudget()
        _kept[digest] = budget
        return budget


def forget_budget(base_url: str, api_key: str) -> None:
    """Let `shared_budget` make a new one at its next use: another server, of which nothing is spent, has the address.

    Args:
        base_url: The API's base URL.
        api_key: The key.
    """
    digest = _digest(base_url, api_key)
    with _lock:
        _kept.pop(digest, None)
        _alive.pop(digest, None)


def _digest(base_url: str, api_key: str) -> bytes:
    return hashlib.sha256(f"{base_url.rstrip('/')}\0{api_key}".encode()).digest()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it when the process forked
    _lock = threading.Lock()
    for account in list(_accounts):
        account.unlock()
    for limiter in list(_limiters):
        limiter._renew()  # pyright: ignore[reportPrivateUsage] - the module's own  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
