"""`Turns`: whose turn it is, and whether there are points for it.

The head of the first lane, or a call that is owed something. If the head does not fit, a cheaper call may go instead, but only
if the next releases bring so much at once that the head does not wait longer for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...protocol import Priority

if TYPE_CHECKING:
    import asyncio

    from .lanes import PresentLanes
    from .present_ledger import PresentLedger
    from .present_waiter import PresentWaiter
    from .reserve import Reserve

BACKFILL_SPARE: Final = 6
BACKFILL_WITHIN: Final = 0.25
"""A cheaper call may pass a head that does not fit if the releases of so many seconds bring so many points more than it needs."""

_MELT_TICK: Final = 1.0


class Turns:
    """The order of service of one account. Under its lock."""

    __slots__ = ("_lanes", "_ledger", "_reserve")

    def __init__(self, ledger: PresentLedger, lanes: PresentLanes, reserve: Reserve) -> None:
        self._ledger = ledger
        self._lanes = lanes
        self._reserve = reserve

    def affords(self, waiter: PresentWaiter, now: float) -> bool:
        """Are there points for this call? If not, the ledger's `again_at` says when to ask again."""
        ledger, cost = self._ledger, waiter.cost
        room = ledger.room(now, cost)
        if room < cost:
            return ledger.asks(cost, now)
        if waiter.priority is not Priority.BATCH:
            return True
        kept = self._reserve.points(ledger, now)
        # Asked again for so much more, since what is left may be no more than the reserve, and one call has to go ahead and see.
        if room >= cost + kept or ledger.room(now, cost + kept) >= cost + kept or ledger.leads(cost):
            return True
        ledger.again_at = min(ledger.again_at, now + _MELT_TICK)
        return False

    def next(self, now: float, here: asyncio.AbstractEventLoop | None) -> PresentWaiter | None:
        """Whom to serve now; `None` if nobody can be."""
        ledger, lanes = self._ledger, self._lanes
        while lanes.count:
            owed = lanes.owed(now, ledger.limit, ledger.period)
            head = owed or lanes.head()
            if head is None:
                return None
            if not self._present(head, here):
                continue
            if not self.affords(head, now):
                return self._backfill(head, now, here)
            if owed:
                lanes.paid(owed)
            return head
        return None

    def _backfill(
        self, head: PresentWaiter, now: float, here: asyncio.AbstractEventLoop | None
    ) -> PresentWaiter | None:
        """A cheaper call, if the head cannot use what is left before more comes than it needs."""
        ledger = self._ledger
        room = ledger.room(now, head.cost)
        if not (ledger.calm and 0 < room < head.cost):
            return None
        if not ledger.ageing.brings(head.cost - room + BACKFILL_SPARE, BACKFILL_WITHIN):
            return None
        other = self._lanes.backfill(room)
        return other if other and self.affords(other, now) and self._present(other, here) else None

    def _present(self, waiter: PresentWaiter, here: asyncio.AbstractEventLoop | None) -> bool:
        """Would its task hear of a grant? If not it leaves the lanes."""
        station = waiter.station
        if station.dead or waiter.future.done():
            self.forget(waiter)
            return False
        if not station.awake(here):
            self._lanes.discard(waiter)
            station.parked.append(waiter)
            station.soon(here)
            return False
        return True

    def forget(self, waiter: PresentWaiter) -> None:
        """It waits no longer."""
        if waiter.queued:
            self._lanes.discard(waiter)
            waiter.station.waiting -= 1
