"""`Window`: when the server's window ends, as far as its answers tell. Pure.

`Reset` less `Date` is right by the server's clock, whatever that shows; added to the moment at which the answer came, by
ours, it is an upper bound of the window's end that no skew can spoil. Whole seconds hide up to one second more. One answer
proves little (nodes differ, headers are garbled), so a new end is believed when two answers in a row agree on it (the first
ever at once), and it is *sure*, good enough to send a call by it alone, when most of the last eight answers agree. A server
whose `Reset` comes persistently too early teaches a bias: a call that was sent after "the end" and refused says when the
end really is.
"""

from __future__ import annotations

import math
from typing import Final

AGREEMENT: Final = 1.5
"""Seconds by which two answers of the same window may differ."""

_WHOLE_SECONDS: Final = 1.0
_FRACTIONS: Final = 0.02
_MOST_BIAS: Final = 5.0
_VOTERS: Final = 8
_QUORUM: Final = 3


class Window:
    """The end of the server's present window, by our clock.

    Attributes:
        end: Latest moment at which it ends; `inf` if no answer told.
    """

    __slots__ = ("_ballots", "_bias", "_heard", "_period", "_votes", "end")

    def __init__(self, period: float) -> None:
        self._period = period
        self._bias = 0.0
        self._heard = math.inf
        self._votes = 0
        self._ballots = 0
        self.end: float = math.inf

    @property
    def sure(self) -> bool:
        """Most of the last answers agree on the end."""
        return self._ballots >= _QUORUM and 2 * self._votes.bit_count() > self._ballots

    @property
    def settled(self) -> bool:
        """It is sure, and the last answer agreed."""
        return self.sure and bool(self._votes & 1)

    def note(self, reset_in: float, now: float) -> None:
        """An answer came `now` and said that the window ends in `reset_in` seconds."""
        if reset_in > 1.5 * self._period:
            return
        slack = _WHOLE_SECONDS if reset_in == int(reset_in) else _FRACTIONS
        end = now + reset_in + slack + self._bias
        agrees = abs(end - self.end) <= AGREEMENT
        if agrees:
            # The answer that took least time bounds the end best.
            self.end = min(self.end, end)
        elif self.end == math.inf or abs(end - self._heard) <= AGREEMENT:
            self.end = end
            self._votes = self._ballots = 1
        self._heard = end
        self._votes = (self._votes << 1 | agrees) & (1 << _VOTERS) - 1
        self._ballots = min(self._ballots + 1, _VOTERS)

    def refused(self, retry_after: float, now: float) -> None:
        """A call sent after the end was refused, and the server says how long its window really lasts."""
        late = now + retry_after - self.end
        if 0 < late <= _MOST_BIAS:
            self._bias = min(self._bias + late, _MOST_BIAS)
            self.end += late

    def ends_in(self, now: float) -> float | None:
        """Seconds until it ends; `None` if unknown or over."""
        left = self.end - now
        return left if 0 < left < math.inf else None
