"""`Reserve`: what is kept of each window from the batch lane. Pure.

In a fixed window priority alone is worth nothing: a batch spends the minute in its first second, and whoever comes later
waits for the next, whatever his lane. So points are kept back: what the other lanes will need until the window ends, by
their rate of the last minute, and some more, for arrivals are uneven. Towards the end the need melts, and the batch gets
the rest; at the beginning it is never nothing, or the first call after a lull would wait a minute.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .caution import TURN

if TYPE_CHECKING:
    from .ledger import Ledger

_FLOOR = 4.0
_SPREAD = 3.0
_MELT = 5.0


class Reserve:
    """The part of each window that the batch lane leaves to others.

    Attributes:
        batch: Points that the batch lane was granted, ever.
    """

    __slots__ = ("_lively", "_period", "_rate", "_reckoned_at", "_share", "batch")

    def __init__(self, share: float, period: float) -> None:
        self._share = share
        self._period = period
        self._rate = -1.0
        self._reckoned_at = 0.0
        self._lively = 0
        self.batch: int = 0

    def _reckon(self, limit: int, granted: int, now: float) -> float:
        """Points per second of the other lanes: a decaying mean that begins at the whole share."""
        lively = granted - self.batch
        if self._rate < 0:
            self._rate = self._share * limit / self._period
            self._reckoned_at, self._lively = now, lively
        passed = now - self._reckoned_at
        if passed > self._period / 120:
            weight = math.exp(-passed / self._period)
            self._rate = self._rate * weight + max(0, lively - self._lively) / passed * (1 - weight)
            self._reckoned_at, self._lively = now, lively
        return self._rate

    def points(self, ledger: Ledger, now: float) -> int:
        """Points that the batch lane may not touch now."""
        ends_in = _ends_in(ledger, now)
        if ends_in <= 0:
            return 0
        expected = self._reckon(ledger.limit, ledger.granted, now) * ends_in
        wanted = expected + (_FLOOR + _SPREAD * math.sqrt(expected)) * min(1.0, ends_in / _MELT)
        return math.ceil(min(self._share * ledger.limit, wanted))


def _ends_in(ledger: Ledger, now: float) -> float:
    """Seconds until the present window ends: as told, else a period after its beginning, else when points come back."""
    end = ledger.window.end
    if now < end < math.inf and ledger.lead.turned_at < end - TURN:
        return min(end - now, ledger.period)
    if now < ledger.lead.turned_at + ledger.period:
        return ledger.lead.turned_at + ledger.period - now
    first = ledger.ageing.first_at
    return ledger.period if first is None else max(0.0, min(first - now, ledger.period))
