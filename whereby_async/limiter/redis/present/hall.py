"""`Hall`: the calls of one account that wait, from their coming until their outcome stands.

It knows their lanes, whose turn it is, how long they can be expected to wait, and in which loop each is to be told. What a
grant takes from the ledger is the account's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....errors import BudgetTimeoutError
from ...protocol import Priority
from . import refusals
from .lanes import PresentLanes
from .local_permit import LocalPermit
from .outlook import Outlook
from .switchboard import Switchboard
from .turns import Turns

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .costs import Prices
    from .present_ledger import PresentLedger
    from .present_waiter import PresentWaiter
    from .reserve import Reserve
    from .station import Station


class Hall:
    """Those who wait. Under the account's lock, but for `board.wake`, and to see whether anybody waits or is to be told.

    Attributes:
        lanes: They themselves.
        outlook: How long they will wait.
        board: Their loops and deadlines.
    """

    __slots__ = ("_ledger", "_prices", "_reserve", "_turns", "board", "lanes", "outlook")

    def __init__(
        self, ledger: PresentLedger, prices: Prices, reserve: Reserve, tick: Callable[[Station], None]
    ) -> None:
        self._ledger = ledger
        self._prices = prices
        self._reserve = reserve
        self.lanes: PresentLanes = PresentLanes()
        self.outlook: Outlook = Outlook(ledger, self.lanes)
        self.board: Switchboard = Switchboard(tick)
        self._turns = Turns(ledger, self.lanes, reserve)

    # Coming

    def lets_pass(self, waiter: PresentWaiter, now: float) -> bool:
        """May a call go at once? Not before the head of the lanes, and only if there are points."""
        head = self.lanes.head()
        self._ledger.crowded = head is not None
        if head is not None and (waiter.priority, waiter.order) >= (head.priority, head.order):
            return False
        return self._turns.affords(waiter, now)

    def seat(self, waiter: PresentWaiter, max_wait: float | None, loop: asyncio.AbstractEventLoop, now: float) -> int:
        """Let a call wait in this loop, which is the running one; points that are queued before it.

        Raises:
            BudgetTimeoutError: It would surely wait longer than `max_wait`.
        """
        ahead = self.lanes.ahead_of(waiter.priority, waiter.order)
        try:
            deadline = None if max_wait is None else self.outlook.deadline(waiter, max_wait, ahead, now)
        except BudgetTimeoutError:
            self._reserve.misses(waiter)
            raise
        self.board.seat(waiter, loop, deadline)
        self._queue(waiter)
        return ahead

    def _queue(self, waiter: PresentWaiter) -> None:
        """From now on nobody goes without asking."""
        self._ledger.crowded = True
        self._ledger.open_to = 0
        self.lanes.push(waiter)

    def reason(self, waiter: PresentWaiter, ahead: int, now: float) -> str:
        """What a call waits for that has just come."""
        if self._ledger.room(now, waiter.cost) < waiter.cost:
            return self._ledger.why
        return "reserve" if not ahead and waiter.priority is Priority.BATCH else "queue"

    # Staying

    def reprice(self) -> None:
        """Prices have moved: those who wait pay the new ones, or are told that they never can."""
        self.lanes.reprice(lambda waiter: self._prices.price(waiter.operation, waiter.seed))
        self.refuse_unpayable()

    def recall(self, station: Station) -> None:
        """A loop runs again in which calls were passed over."""
        if not station.parked:
            return
        for waiter in station.parked:
            if not waiter.future.done():
                waiter.cost = self._prices.price(waiter.operation, waiter.seed)
                self._queue(waiter)
            else:
                station.waiting -= 1
        station.parked.clear()
        self.refuse_unpayable()

    # Going

    def next(self, now: float, here: asyncio.AbstractEventLoop | None) -> PresentWaiter | None:
        """Whom to serve now; `None` if nobody can be."""
        return self._turns.next(now, here)

    def hand(self, waiter: PresentWaiter, outcome: LocalPermit | Exception) -> None:
        """Its outcome stands: it waits no longer, and its loop is to tell it."""
        waiter.outcome = outcome
        self._turns.forget(waiter)
        self.board.hand(waiter)

    def refuse_overdue(self, now: float) -> None:
        """Whose deadline lies before the next moment at which anything can be granted need not wait for it."""
        if not self.board.hurried:
            return
        while late := self.board.overdue(self.outlook.next_at(now)):
            self._reserve.misses(late)
            self.hand(late, refusals.too_late(late, self._ledger.likely_wait(now, late.cost)))

    def refuse_unpayable(self) -> None:
        """The limit has fallen or prices have risen: some of those that wait can never be paid for."""
        whole = self._ledger.quota.whole
        for waiter in [waiter for waiter in self.lanes if waiter.cost > whole]:
            self.hand(waiter, refusals.too_dear(waiter, whole))

    def abandon(self, waiter: PresentWaiter) -> None:
        """Its task is gone: out of the lane with it, or back with the points."""
        if waiter.outcome is None:
            self._reserve.misses(waiter)
        if waiter.queued:
            self._turns.forget(waiter)
        elif waiter in waiter.station.parked:
            waiter.station.parked.remove(waiter)
            waiter.station.waiting -= 1
        elif isinstance(waiter.outcome, LocalPermit) and waiter.outcome.retire():
            self._ledger.refund(waiter.outcome)

    def dismiss(self) -> None:
        """Send all away."""
        for waiter in [*self.lanes, *self.board.parked()]:
            self.hand(waiter, refusals.closed_meanwhile())
