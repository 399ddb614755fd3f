"""`PresentAccount`: the pure parts put together behind one lock, and the waking of those who wait.

**Theory.** Everything that is reckoned happens under a plain lock that is never held over an await and never while foreign
code runs: wake-ups and hooks come after it. A permit may end anywhere, even inside the garbage collector while this very
thread holds the lock, so ends never wait for the lock: an end is put into the `mailbox` and whoever has the lock, or gets it
next, books it; after giving the lock back everyone looks into the mailbox once more, so that none is forgotten.

Points are deducted when a waiter is granted, before its task hears of it, so nobody can slip in between. A task cancelled
while it waits leaves its lane; one cancelled between the grant and its hearing of it gives the points back, which wakes the
next. At most `CHUNK` waiters are granted in one turn of a loop; the rest follow in the next turn, and newcomers queue behind
them.

Each loop with waiters has a `Station` with one timer (`Switchboard`). A waiter whose loop stands still is passed over until it
runs again; one whose loop is closed is forgotten.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ...budget_checks import check_cost
from ...protocol import Priority
from . import refusals
from .hall import Hall
from .lessons import Lessons
from .local_permit import LivePermit, LocalPermit
from .news import News
from .present_waiter import PresentWaiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from ....notify import Listeners
    from ....rate_limit import RateLimit
    from ...protocol import Permit
    from .costs import Prices
    from .present_ledger import PresentLedger
    from .reserve import Reserve
    from .station import Station

CHUNK: Final = 256
"""Waiters granted in one turn of a loop."""

Ending: TypeAlias = Literal["settled", "released", "lost", "abandoned"]


class PresentAccount:
    """One budget by one clock, shared by all loops on that clock."""

    __slots__ = (
        "__weakref__", "_lock", "arrivals", "clock", "closed", "enter", "hall", "leave", "ledger", "lessons", "mailbox",
        "news", "prices", "reserve", "table",
    )  # fmt: skip

    enter: Callable[..., bool]
    leave: Callable[[], None]

    def __init__(
        self, ledger: PresentLedger, prices: Prices, reserve: Reserve, clock: Callable[[], float], listeners: Listeners
    ) -> None:
        self.ledger: PresentLedger = ledger
        self.prices: Prices = prices
        self.table: dict[str, int] = prices.table
        self.reserve: Reserve = reserve
        self.clock: Callable[[], float] = clock
        self.hall: Hall = Hall(ledger, prices, reserve, self.tick)
        self.lessons: Lessons = Lessons(ledger, prices)
        self.news: News = News(listeners)
        self.mailbox: deque[tuple[LocalPermit | PresentWaiter | None, Ending, RateLimit | None]] = deque()
        self.closed: bool = False
        self.arrivals: int = 0
        self.unlock()

    def unlock(self) -> None:
        """A lock of its own, unlocked: at birth and in a forked child."""
        lock = threading.Lock()
        self._lock = lock
        self.enter, self.leave = lock.acquire, lock.release

    # Coming

    def admit(  # noqa: PLR0913, PLR0917 - what a call may say of itself
        self,
        cost: int,
        operation: str,
        priority: Priority,
        max_wait: float | None,
        after: Permit | None,
        loop: asyncio.AbstractEventLoop,
    ) -> LocalPermit | PresentWaiter:
        """A permit if there are points at once, else a waiter in its lane.

        Raises:
            BudgetTimeoutError: It would surely wait longer than `max_wait`.
            BudgetError: The price is above the whole limit.
            ClientClosedError: The limiter was closed.
        """
        more = False
        self.enter()
        try:
            now = self.clock()
            if self.mailbox:
                self._collect(now)
                more = self._pump(now, loop)
            outcome = self._admit(self._newcomer(cost, operation, priority, after, now), max_wait, loop, now)
            if isinstance(outcome, PresentWaiter):
                more = self._pump(now, loop)
            return outcome
        finally:
            self.leave()
            self.follow_up(loop, more=more)

    def _newcomer(
        self, cost: int, operation: str, priority: Priority, after: Permit | None, now: float
    ) -> PresentWaiter:
        check_cost(cost)
        self.arrivals += 1
        order, waited = self.arrivals, 0.0
        if isinstance(after, LocalPermit) and after.account is self:
            order, waited = after.order, after.waited
        price = self.prices.table.get(operation, cost)
        return PresentWaiter(price, operation, priority, order=order, now=now, waited=waited, seed=cost)

    def _admit(
        self, waiter: PresentWaiter, max_wait: float | None, loop: asyncio.AbstractEventLoop, now: float
    ) -> LocalPermit | PresentWaiter:
        if self.closed:
            raise refusals.closed()
        if waiter.cost > self.ledger.quota.whole:
            raise refusals.too_dear(waiter, self.ledger.quota.whole)
        if self.hall.lets_pass(waiter, now):
            return self._grant(waiter, now)
        ahead = self.hall.seat(waiter, max_wait, loop, now)
        if self.news.wanted:
            self.news.waits(waiter, self.hall.reason(waiter, ahead, now), self.hall.outlook.likely(waiter, now), ahead)
        return waiter

    # Granting

    def _grant(self, waiter: PresentWaiter, now: float) -> LocalPermit:
        permit = LivePermit(
            waiter.cost, now, 0, self, waiter.operation, waiter.order, waiter.waited + (now - waiter.asked_at)
        )
        self.ledger.charge(permit, now)
        if waiter.priority is Priority.BATCH:
            self.reserve.batch += waiter.cost
        return permit

    def _pump(self, now: float, here: asyncio.AbstractEventLoop | None) -> bool:
        """Grant what can be granted, up to a chunk; whether there is perhaps more."""
        hall = self.hall
        hall.refuse_overdue(now)
        for _ in range(CHUNK):
            waiter = hall.next(now, here)
            if waiter is None:
                return False
            hall.hand(waiter, self._grant(waiter, now))
        return hall.lanes.count > 0

    def tick(self, station: Station) -> None:
        """A station's timer, or its turn to go on. Runs in its loop."""
        self.enter()
        try:
            now = self.clock()
            self.hall.recall(station)
            self._collect(now)
            more = self._pump(now, station.loop)
        finally:
            self.leave()
        self.follow_up(station.loop, more=more)

    # Going

    def end(self, thing: LocalPermit | PresentWaiter, ending: Ending, answer: RateLimit | None = None) -> None:
        """A permit ends, or a waiter's task does; from any thread, even from within the garbage collector."""
        self.mailbox.append((thing, ending, answer))
        self.look()

    def stir(self) -> None:
        """Something has changed: see who can go, and whom to tell."""
        self.mailbox.append((None, "settled", None))
        self.look()

    def look(self) -> None:
        """Book what lies in the mailbox, unless somebody has the lock and is about to."""
        while self.mailbox and self.enter(blocking=False):
            here, more = None, False
            try:
                now = self.clock()
                self._collect(now)
                if self.hall.lanes.count:
                    here = asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise
                    more = self._pump(now, here)
            finally:
                self.leave()
            self.follow_up(here, more=more)

    def _collect(self, now: float) -> None:
        mailbox = self.mailbox
        while mailbox:
            thing, ending, answer = mailbox.popleft()
            if isinstance(thing, PresentWaiter):
                self.hall.abandon(thing)
            elif thing is not None and thing.retire():
                self.book(thing, ending, answer, now)

    def book(self, permit: LocalPermit, ending: Ending, answer: RateLimit | None, now: float) -> None:
        """Let the ledger know how a permit ended. Under the lock."""
        ledger = self.ledger
        if ending == "settled":
            self.settle(permit, answer, now)
        elif ending == "released":
            ledger.refund(permit)
        else:
            ledger.lost(permit, now)

    def settle(self, permit: LocalPermit, answer: RateLimit | None, now: float) -> None:
        """An answer came. Under the lock."""
        whole = self.ledger.quota.whole
        self.ledger.settle(permit, answer, now)
        if self.ledger.quota.whole < whole:
            self.hall.refuse_unpayable()
        if answer is not None:
            if answer.throttled:
                self.news.throttled(answer, max(0.0, self.ledger.gate.opens_at - now))
            if changes := self.lessons.learn(permit, answer, now):
                self.hall.reprice()
                self.news.moved(changes)
        self.news.settled(self.ledger)
        if self.news or self.hall.board.ringing:
            self.mailbox.append((None, "settled", None))

    def close(self, here: asyncio.AbstractEventLoop | None) -> None:
        """Let go of all that wait."""
        self.enter()
        try:
            self.closed = True
            # From now on nothing is granted without a second thought.
            self.ledger.grow_cold(math.inf)
            self.hall.dismiss()
        finally:
            self.leave()
        self.follow_up(here)

    # Telling

    def follow_up(self, here: asyncio.AbstractEventLoop | None, *, more: bool = False) -> None:
        """After the lock was given back: wake, arm timers, tell hooks, and look whether an end came in meanwhile."""
        if self.hall.board.ringing or self.hall.lanes.count:
            self.hall.board.wake(here, self.ledger.again_at, self.clock(), more=more)
        if self.news:
            self.news.tell(self.ledger)
        if self.mailbox:
            self.look()
