"""`Pace`: an even flow, for a server that refills as it goes and does not honour the ledger's proof. Pure.

A sliding counter punishes bursts: what was spent in the last window weighs on this one, so a budget that looks free by the
ledger is not. Sharing a bucket or a log with others looks the same to us. What helps is the same too: go by what the answers
say is left, add what has surely refilled since, subtract what is in flight, and keep a headroom that grows with each refusal
and shrinks with time. The calls then flow at the rate at which points come back.

Such a server shows itself: of three calls in a row, each sent after the last one's answer, the third finds more than both
before it, again and again within a period. A fixed window cannot do that but when it turns, and one garbled answer does not
make it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

_RISES: Final = 3
_MEMORY: Final = 3.0
_CAUTION: Final = 0.97
_MOST_REFILL: Final = 0.05
_MOST_HEADROOM: Final = 0.1
_LEAST_HEADROOM: Final = 2.0


class Pace:
    """Whether to pace, and how much may go.

    Attributes:
        until: Paced until then.
        headroom: Points that are left at the server.
    """

    __slots__ = ("_eased_at", "_period", "_read_at", "_readings", "_rises", "headroom", "until")

    def __init__(self, period: float) -> None:
        self._period = period
        self._readings: deque[int] = deque(maxlen=2)
        self._read_at = -math.inf
        self._rises: deque[float] = deque(maxlen=_RISES)
        self._eased_at = -math.inf
        self.headroom: float = _LEAST_HEADROOM
        self.until: float = -math.inf

    def note(self, remaining: int, granted_at: float, now: float) -> None:
        """An answer to a call granted at `granted_at` said `remaining`."""
        if granted_at < self._read_at:
            return
        self._read_at = now
        if len(self._readings) == 2 and remaining > max(self._readings):  # noqa: PLR2004 - both before it
            self._rises.append(now)
            if len(self._rises) == _RISES and now - self._rises[0] < self._period / 2:
                self.until = now + _MEMORY * self._period
        self._readings.append(remaining)

    def refused(self, limit: int, now: float) -> None:
        """The server said no although there should have been points; refusals of one moment count once."""
        if now - self._eased_at < self._period / 30:
            return
        self._eased_at = now
        self.headroom = min(2 * self.headroom + 1, _MOST_HEADROOM * limit)

    def refill(self, limit: int, foreign: float) -> float:
        """Points per second that surely come back to us."""
        return max(_CAUTION * limit / self._period - foreign, limit / self._period / 20)

    def room(self, least: float, need: int, limit: int, passed: float, foreign: float) -> int:
        """Points that may go.

        Args:
            least: What was left when it was last told, less what is in flight.
            need: What the next call costs.
            limit: Points per period.
            passed: Seconds since it was told.
            foreign: Points per second that others spend.
        """
        most = max(_MOST_REFILL * limit, need + self.headroom)
        return math.floor(least + min(self.refill(limit, foreign) * passed, most) - self.headroom)

    def ease(self, now: float) -> None:
        """Time has passed: dare a little more."""
        if now - self._eased_at > 2 * self._period:
            self._eased_at = now
            self.headroom = max(_LEAST_HEADROOM, self.headroom / 2)
