"""`Reserve`: what is kept of each window from the batch lane. Pure.

In a fixed window priority alone is worth nothing: a batch spends the minute in its first second, and whoever comes later
waits for the next, whatever his lane. So points are kept back: what the other lanes will need until the window ends, by
their rate of the last minute, and some more, for arrivals are uneven. Towards the end the need melts, and the batch gets
the rest; at the beginning it is never nothing, or the first call after a lull would wait a minute.

Needed is what the other lanes ask for, whether they get it or not: a call that was refused since nothing was left, or that
waited until its caller gave up, is just what the reserve is for. Until a minute of such arrivals is known they are taken for
the whole share, and that share is of the limit as it is known now: before any answer it is a guess, and may be a tenth.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...protocol import Priority
from .caution import TURN

if TYPE_CHECKING:
    from .present_ledger import PresentLedger
    from .present_waiter import PresentWaiter

_FLOOR = 4.0
_SPREAD = 3.0
_MELT = 5.0


class Reserve:
    """The part of each window that the batch lane leaves to others.

    Attributes:
        batch: Points that the batch lane was granted, ever.
        missed: Points that the other lanes asked for and were never granted, ever.
    """

    __slots__ = ("_needed", "_period", "_rate", "_reckoned_at", "_share", "_unknown", "batch", "missed")

    def __init__(self, share: float, period: float) -> None:
        self._share = share
        self._period = period
        # What arrivals have shown so far, and the weight of what they have not: of the whole share.
        self._rate = 0.0
        self._unknown = 1.0
        self._reckoned_at = -math.inf
        self._needed = 0
        self.batch: int = 0
        self.missed: int = 0

    def _reckon(self, limit: int, granted: int, now: float) -> float:
        """Points per second that the other lanes ask for: a decaying mean that begins at the whole share."""
        needed = granted - self.batch + self.missed
        if self._reckoned_at == -math.inf:
            self._reckoned_at, self._needed = now, needed
        passed = now - self._reckoned_at
        if passed > self._period / 120:
            weight = math.exp(-passed / self._period)
            rate = self._rate * weight + max(0, needed - self._needed) / passed * (1 - weight)
            # A call that is refused may come again and again: nobody can be given more than there is.
            self._rate = min(rate, limit / self._period)
            self._unknown *= weight
            self._reckoned_at, self._needed = now, needed
        return self._rate + self._unknown * self._share * limit / self._period

    def misses(self, call: PresentWaiter) -> None:
        """A call goes without the points that it asked for."""
        if call.priority is not Priority.BATCH:
            self.missed += call.cost

    def points(self, ledger: PresentLedger, now: float) -> int:
        """Points that the batch lane may not touch now."""
        ends_in = _ends_in(ledger, now)
        if ends_in <= 0:
            return 0
        expected = self._reckon(ledger.limit, ledger.granted, now) * ends_in
        wanted = expected + (_FLOOR + _SPREAD * math.sqrt(expected)) * min(1.0, ends_in / _MELT)
        return math.ceil(min(self._share * ledger.limit, wanted))


def _ends_in(ledger: PresentLedger, now: float) -> float:
    """Seconds until the present window ends: as told, else a period after its beginning, else when points come back."""
    end = ledger.window.end
    if now < end < math.inf and ledger.lead.turned_at < end - TURN:
        return min(end - now, ledger.period)
    if now < ledger.lead.turned_at + ledger.period:
        return ledger.lead.turned_at + ledger.period - now
    first = ledger.ageing.first_at
    return ledger.period if first is None else max(0.0, min(first - now, ledger.period))
