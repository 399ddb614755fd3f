"""`Account`: the pure parts put together behind one lock, and the waking of those who wait.

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

from ..errors import BudgetTimeoutError
from . import refusals
from .lessons import Lessons
from .news import News
from .options import check_cost
from .outlook import Outlook
from .permit import LocalPermit
from .protocol import Priority
from .queue import Lanes
from .switchboard import Switchboard
from .turns import Turns
from .waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..rate_limit import RateLimit
    from .costs import Prices
    from .ledger import Ledger
    from .listeners import Listeners
    from .protocol import Permit
    from .reserve import Reserve
    from .station import Station

CHUNK: Final = 256
"""Waiters granted in one turn of a loop."""

Ending: TypeAlias = Literal["settled", "released", "lost", "abandoned"]


class Account:
    """One budget by one clock, shared by all loops on that clock."""

    __slots__ = (
        "__weakref__", "_board", "_lock", "_turns", "arrivals", "clock", "closed", "enter", "lanes", "leave",
        "ledger", "lessons", "mailbox", "news", "outlook", "prices", "reserve", "table",
    )  # fmt: skip

    enter: Callable[..., bool]
    leave: Callable[[], None]

    def __init__(
        self, ledger: Ledger, prices: Prices, reserve: Reserve, clock: Callable[[], float], listeners: Listeners
    ) -> None:
        self.ledger: Ledger = ledger
        self.prices: Prices = prices
        self.table: dict[str, int] = prices.table
        self.reserve: Reserve = reserve
        self.clock: Callable[[], float] = clock
        self.lanes: Lanes = Lanes()
        self.outlook: Outlook = Outlook(ledger, self.lanes)
        self.lessons: Lessons = Lessons(ledger, prices)
        self.news: News = News(listeners)
        self.mailbox: deque[tuple[LocalPermit | Waiter | None, Ending, RateLimit | None]] = deque()
        self.closed: bool = False
        self.arrivals: int = 0
        self._turns = Turns(ledger, self.lanes, reserve)
        self._board = Switchboard(self.tick)
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
    ) -> LocalPermit | Waiter:
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
            if isinstance(outcome, Waiter):
                more = self._pump(now, loop)
            return outcome
        finally:
            self.leave()
            self.follow_up(loop, more=more)

    def _newcomer(self, cost: int, operation: str, priority: Priority, after: Permit | None, now: float) -> Waiter:
        check_cost(cost)
        self.arrivals += 1
        order, waited = self.arrivals, 0.0
        if isinstance(after, LocalPermit) and after.account is self:
            order, waited = after.order, after.waited
        price = self.prices.table.get(operation, cost)
        return Waiter(price, operation, priority, order=order, now=now, waited=waited, seed=cost)

    def _admit(
        self, waiter: Waiter, max_wait: float | None, loop: asyncio.AbstractEventLoop, now: float
    ) -> LocalPermit | Waiter:
        if self.closed:
            raise refusals.closed()
        if waiter.cost > self.ledger.quota.whole:
            raise refusals.too_dear(waiter, self.ledger.quota.whole)
        head = self.lanes.head()
        self.ledger.crowded = head is not None
        if (head is None or (waiter.priority, waiter.order) < (head.priority, head.order)) and self._turns.affords(
            waiter, now
        ):
            return self._grant(waiter, now)
        ahead = self.lanes.ahead_of(waiter.priority, waiter.order)
        deadline = None if max_wait is None else self._deadline(waiter, max_wait, ahead, now)
        self._board.seat(waiter, loop, deadline)
        self._queue(waiter)
        if self.news.wanted:
            self.news.waits(waiter, self._reason(waiter, ahead, now), self.outlook.likely(waiter, now), ahead)
        return waiter

    def _deadline(self, waiter: Waiter, max_wait: float, ahead: int, now: float) -> float:
        try:
            return self.outlook.deadline(waiter, max_wait, ahead, now)
        except BudgetTimeoutError:
            self.reserve.misses(waiter)
            raise

    def _queue(self, waiter: Waiter) -> None:
        """From now on nobody goes without asking."""
        self.ledger.crowded = True
        self.ledger.open_to = 0
        self.lanes.push(waiter)

    def _reason(self, waiter: Waiter, ahead: int, now: float) -> str:
        """What a call that begins to wait waits for."""
        if self.ledger.room(now, waiter.cost) < waiter.cost:
            return self.ledger.why
        return "reserve" if not ahead and waiter.priority is Priority.BATCH else "queue"

    # Granting

    def _grant(self, waiter: Waiter, now: float) -> LocalPermit:
        permit = LocalPermit(
            waiter.cost, now, 0, self, waiter.operation, waiter.order, waiter.waited + now - waiter.asked_at
        )
        self.ledger.charge(permit, now)
        if waiter.priority is Priority.BATCH:
            self.reserve.batch += waiter.cost
        return permit

    def _pump(self, now: float, here: asyncio.AbstractEventLoop | None) -> bool:
        """Grant what can be granted, up to a chunk; whether there is perhaps more."""
        if self._board.hurried:
            # Whose deadline lies before the next moment at which anything can be granted need not wait for it.
            while late := self._board.overdue(self.outlook.next_at(now)):
                self.reserve.misses(late)
                self._refuse(late, refusals.too_late(late, self.ledger.likely_wait(now, late.cost)))
        for _ in range(CHUNK):
            waiter = self._turns.next(now, here)
            if waiter is None:
                return False
            waiter.outcome = self._grant(waiter, now)
            self._hand(waiter)
        return self.lanes.count > 0

    def _refuse(self, waiter: Waiter, error: Exception) -> None:
        waiter.outcome = error
        self._hand(waiter)

    def _refuse_unpayable(self) -> None:
        """The limit has fallen or prices have risen: some of those that wait can never be paid for."""
        whole = self.ledger.quota.whole
        for waiter in [waiter for waiter in self.lanes if waiter.cost > whole]:
            self._refuse(waiter, refusals.too_dear(waiter, whole))

    def _hand(self, waiter: Waiter) -> None:
        """Its outcome stands: let its station tell it."""
        self._turns.forget(waiter)
        self._board.hand(waiter)

    def tick(self, station: Station) -> None:
        """A station's timer, or its turn to go on. Runs in its loop."""
        self.enter()
        try:
            now = self.clock()
            for waiter in station.parked:
                if not waiter.future.done():
                    waiter.cost = self.prices.price(waiter.operation, waiter.seed)
                    self._queue(waiter)
                else:
                    station.waiting -= 1
            if station.parked:
                station.parked.clear()
                self._refuse_unpayable()
            self._collect(now)
            more = self._pump(now, station.loop)
        finally:
            self.leave()
        self.follow_up(station.loop, more=more)

    # Going

    def end(self, thing: LocalPermit | Waiter, ending: Ending, answer: RateLimit | None = None) -> None:
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
                if self.lanes.count:
                    here = asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise
                    more = self._pump(now, here)
            finally:
                self.leave()
            self.follow_up(here, more=more)

    def _collect(self, now: float) -> None:
        mailbox = self.mailbox
        while mailbox:
            thing, ending, answer = mailbox.popleft()
            if isinstance(thing, Waiter):
                self._abandon(thing)
            elif thing is not None and thing.live:
                thing.live = False
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
            self._refuse_unpayable()
        if answer is not None:
            if answer.throttled:
                self.news.throttled(answer, max(0.0, self.ledger.gate.opens_at - now))
            if changes := self.lessons.learn(permit, answer, now):
                self._reprice()
                self.news.moved(changes)
        self.news.settled(self.ledger)
        if self.news or self._board.ringing:
            self.mailbox.append((None, "settled", None))

    def _reprice(self) -> None:
        """Prices have moved: those who wait pay the new ones, or are told that they never can."""
        self.lanes.reprice(lambda waiter: self.prices.price(waiter.operation, waiter.seed))
        self._refuse_unpayable()

    def _abandon(self, waiter: Waiter) -> None:
        """Its task is gone: out of the lane with it, or back with the points."""
        if waiter.outcome is None:
            self.reserve.misses(waiter)
        if waiter.queued:
            self._turns.forget(waiter)
        elif waiter in waiter.station.parked:
            waiter.station.parked.remove(waiter)
            waiter.station.waiting -= 1
        elif isinstance(waiter.outcome, LocalPermit) and waiter.outcome.live:
            waiter.outcome.live = False
            self.ledger.refund(waiter.outcome)

    def close(self, here: asyncio.AbstractEventLoop | None) -> None:
        """Let go of all that wait."""
        self.enter()
        try:
            self.closed = True
            # From now on nothing is granted without a second thought.
            self.ledger.grow_cold(math.inf)
            for waiter in [*self.lanes, *self._board.parked()]:
                self._refuse(waiter, refusals.closed_meanwhile())
        finally:
            self.leave()
        self.follow_up(here)

    # Telling

    def follow_up(self, here: asyncio.AbstractEventLoop | None, *, more: bool = False) -> None:
        """After the lock was given back: wake, arm timers, tell hooks, and look whether an end came in meanwhile."""
        if self._board.ringing or self.lanes.count:
            self._board.wake(here, self.ledger.again_at, self.clock(), more=more)
        if self.news:
            self.news.tell(self.ledger)
        if self.mailbox:
            self.look()
