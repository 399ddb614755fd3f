"""`Branch`: what all event loops of one process have in common: prices, the last word of the store, and what to do without it.

Everything here is short and never awaits; a plain lock guards what several threads change. Hooks are told outside of it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ...details import OutageDetails, ThrottleDetails, WaitDetails
from ...errors import BudgetError, ClientClosedError
from ...notify import logger
from .desk import Desk
from .fallback import UNKNOWN_SHARE, Loan, share_of
from .outage import LONGEST, Outage
from .present.ageing import Ageing
from .shared_permit import LoanedPermit, SharedPermit
from .tariff import Tariff
from .view import View

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from ...notify import Listeners
    from ...rate_limit import RateLimit
    from ..protocol import Permit
    from .caller import Caller
    from .connection import Link
    from .shared_hall import SharedHall
    from .wire import Ending, Plan, Reply

Unavailable: TypeAlias = Literal["fallback", "raise"]
"""What to do while the store is away."""


class Branch:
    """A process's part of a shared budget.

    Attributes:
        plan: What all processes agree on.
        listeners: Who is told.
        view: What the store said last.
        tariff: What calls cost.
        outage: Whether the store is away.
        loan: The local budget while it is.
        gone: Desks whose loop makes no more calls.
        throttled: 429s of which the hooks are to be told.
        closed: The limiter was closed.
        clock: The process's monotonic clock.
    """

    def __init__(  # noqa: PLR0913 - what a budget was made with
        self,
        plan: Plan,
        pins: Mapping[str, int],
        open_link: Callable[[], Link],
        *,
        on_unavailable: Unavailable,
        share: float | None,
        listeners: Listeners,
    ) -> None:
        self.plan: Plan = plan
        self.listeners: Listeners = listeners
        self.view: View = View(limit=plan.limit, period=plan.period)
        self.tariff: Tariff = Tariff(pins)
        self.outage: Outage = Outage(min(LONGEST, plan.pause / 2))
        self.loan: Loan | None = None
        self.gone: deque[Desk] = deque()
        self.throttled: deque[RateLimit] = deque()
        self.closed: bool = False
        self.clock: Callable[[], float] = time.monotonic
        self._open_link = open_link
        self._on_unavailable = on_unavailable
        self._share = share
        # A lock that its own thread may take again: what is gone may speak from within the garbage collector.
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._spent = Ageing(plan.period)
        self._spent_ever = 0
        self._away = (0, 0)
        self._headers_missed = self._period_told = False
        self._desks: dict[asyncio.AbstractEventLoop, Desk] = {}

    # Desks

    def desk(self, loop: asyncio.AbstractEventLoop) -> Desk:
        """The running loop's desk.

        Raises:
            ClientClosedError: The limiter was closed.
            ConfigurationError: The injected client serves another loop.
        """
        desk = self._desks.get(loop)
        if desk is not None and not desk.closed:
            return desk
        with self._lock:
            if self.closed:
                raise ClientClosedError("the limiter was closed: make a new one")
            self.gone.extend(self._desks.pop(other) for other in [other for other in self._desks if other.is_closed()])
            desk = self._desks[loop] = Desk(self, loop, self._open_link())
            return desk

    @property
    def desks(self) -> list[Desk]:
        """All desks."""
        return list(self._desks.values())

    def bury(self, desk: Desk) -> None:
        """Its loop makes no more calls: another desk says what it had to say. From any thread, without a lock."""
        self.gone.append(desk)
        for other in self.desks:
            if other is not desk and not other.closed and not other.loop.is_closed():
                other.ring()
                return

    def take_orphans(self) -> list[tuple[str, Ending]]:
        """What desks that have gone would have to say; it is said once."""
        taken: list[tuple[str, Ending]] = []
        while self.gone:
            try:
                desk = self.gone.popleft()
            except IndexError:  # another thread has just taken the last
                break
            with self._lock:
                if self._desks.get(desk.loop) is desk:
                    del self._desks[desk.loop]
                taken += desk.estate()
        return taken

    def place_of(self, after: Permit | None) -> tuple[int, float]:
        """A call's place among those of this process, and how long it has waited: that of its last attempt, if it had one."""
        if isinstance(after, LoanedPermit) and after.branch is self:
            return after.order, after.waited
        if isinstance(after, SharedPermit) and after.desk.branch is self:
            return after.order, after.waited
        return next(self._numbers), 0.0

    def close(self) -> None:
        """Nobody comes in any more."""
        with self._lock:
            self.closed = True
            loan = self.loan
        if loan is not None:
            loan.end()

    # Spending

    def spend(self, cost: int, now: float) -> None:
        """A call through the store has ended."""
        with self._lock:
            self._spent.answered(cost, now)
            self._spent_ever += cost

    def spent(self, now: float) -> int:
        """Points of such calls that may still count, and of those that went without the store."""
        with self._lock:
            self._spent.release(now)
            return self._spent_ever - self._spent.released

    def away(self) -> tuple[int, int]:
        """Points spent in the last outage: those that may still count, and all."""
        loan = self.loan
        return self._away if loan is None else (loan.spent(), loan.total())

    def uses_loan(self, now: float) -> bool:
        """Does somebody go by the local budget, or did within a period?"""
        return self.loan is not None and self.loan.needed(now)

    # What the store says

    def heard(self, reply: Reply) -> None:
        """The store has answered."""
        now = self.clock()
        whole, self.view = self.view.quota.whole, View(reply, now)
        changes = self.tariff.heard(reply)
        self._returned(now)
        if changes or reply.whole < whole:
            # Those who wait pay the new prices, and some can never be paid for any more.
            for desk in self.desks:
                if desk.hall.lanes.count:
                    desk.loop.call_soon_threadsafe(desk.hall.reprice)
        for change in changes:
            self.listeners.tell("on_cost_change", change)
        while self.throttled:
            answer = self.throttled.popleft()
            self.listeners.tell("on_throttle", ThrottleDetails(delay=reply.gate_in, rate_limit=answer))
        self._warn(reply)

    def _warn(self, reply: Reply) -> None:
        """Say once what the user should know."""
        if reply.period != self.plan.period and not self._period_told:
            self._period_told = True
            logger.warning(
                "the shared point budget runs with period=%g, as whoever came first had it; this process was told period=%g",
                reply.period,
                self.plan.period,
            )
        if reply.headerless and not self._headers_missed:
            self._headers_missed = True
            logger.warning(
                "answers carry no rate-limit headers: the budget goes by %d points per %g s; if your plan has more, say so "
                "with RedisPointBudget(limit=...)",
                reply.limit,
                reply.period,
            )

    def _returned(self, now: float) -> None:
        """The store is there."""
        with self._lock:
            lasted = self.outage.lasted(now)
            if self.outage.since is None:
                return
            self.outage.ended()
            loan, self.loan = self.loan, None
            if loan is not None:
                self._away = loan.spent(), loan.total()
                self._spent.answered(self._away[0], now)
                self._spent_ever += self._away[0]
        if loan is not None:
            loan.end()
        logger.warning("the store of the point budget is back after %.1f s", lasted)
        details = OutageDetails(away=False, reason="", limit=self.view.limit, lasted=lasted)
        self.listeners.tell("on_outage", details)

    def failed(self, reason: str) -> None:
        """The store did not answer, or refused."""
        now = self.clock()
        with self._lock:
            news = self.outage.failed(reason, now)
            if news and self._on_unavailable == "fallback":
                self.loan = self._borrow(now)
            limit = self.loan.limit if self.loan else 0
        error = None if self.loan else self.refusal()
        for desk in self.desks:
            if desk.hall.lanes.count:
                desk.loop.call_soon_threadsafe(desk.turn_away, error)
        if not news:
            return
        if self.loan:
            logger.warning(
                "the store of the point budget is away (%s): until it is back this process goes by %d points per %g s",
                reason,
                limit,
                self.plan.period,
            )
        else:
            logger.warning("the store of the point budget is away (%s): until it is back calls are refused", reason)
        self.listeners.tell("on_outage", OutageDetails(away=True, reason=reason, limit=limit, lasted=0.0))

    def refuses(self) -> bool:
        """Is the store away, with nothing in its place and no try due?"""
        return self.outage.since is not None and self.clock() < self.outage.retry_at

    def refusal(self) -> BudgetError:
        """What callers get while the store is away, if they are to get an error."""
        return BudgetError(f"the store of the point budget is away ({self.outage.reason}); nothing was sent")

    def _borrow(self, now: float) -> Loan:
        view, desks = self.view, self.desks
        share = self._share
        if share is None:
            share = len(desks) / max(view.reply.clients, len(desks)) if view.heard and desks else UNKNOWN_SHARE
        self._spent.release(now)
        limit = share_of(view.limit, share)
        flying = sum(desk.outbox.out for desk in desks)
        left = int(share * max(0, view.limit - view.reply.held)) if view.heard else limit
        return Loan(self, limit=limit, left=left, spent=self._spent, before=self._spent_ever, flying=flying)

    # Telling

    def tell_wait(self, caller: Caller, reason: str, hall: SharedHall) -> None:
        """A call has to wait."""
        if not self.listeners:
            return
        details = WaitDetails(
            operation=caller.operation,
            cost=caller.cost,
            priority=caller.priority.name,
            reason=reason or "queue",
            delay=max(hall.outlook().likely(caller, self.clock()), 0.0),
            ahead=hall.ahead(caller),
        )
        self.listeners.tell("on_wait", details)

    def start_cold(self) -> list[Any]:
        """In a forked child: what must not be collected."""
        self._lock = threading.RLock()
        self.listeners.unlock()
        kept = self.desks
        for desk in kept:
            desk.closed = True
        self._desks = {}
        return kept
