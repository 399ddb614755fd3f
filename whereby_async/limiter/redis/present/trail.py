"""`Trail`: the answers of one window in the order in which the server made them, and what each call cost. Pure.

Within a window `Remaining` only falls, so sorting the answers by it gives the server's own order, however the answers came.
The drop between two neighbours is the price of the later call, plus what happened between them unseen: calls of ours that are
not answered yet, or never will be, and those of others. All of that only inflates a drop. So a drop counts as a sample when
everything that may lie between has had time to be answered, and the least of several samples is the price.
"""

from __future__ import annotations

import math
from bisect import insort
from typing import Final, NamedTuple

MOST: Final = 16
"""Points; a drop beyond that is no single call's."""
_LONGEST: Final = 4096


class Mark(NamedTuple):
    """One answer."""

    spent: int
    """Points not remaining: the sorting key."""
    heard_at: float
    operation: str
    charged: int


class Sample(NamedTuple):
    """What one call seems to have cost."""

    operation: str
    charged: int
    drop: int


class Trail:
    """The answers of the present window.

    Attributes:
        low: The least `Remaining` of the window.
        low_at: When it was heard.
        refilled_at: When an answer last showed more than one before it, but not a new window.
    """

    __slots__ = ("_edge", "_marks", "low", "low_at", "refilled_at")

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        # Before it the answers are not complete any more.
        self._edge: float = -math.inf
        self.low_at: float = -math.inf
        self.low: int = -1
        self.refilled_at: float = -math.inf

    def passed(self, low: int, low_at: float) -> None:
        """Answers have passed by that were not noted, down to `low`: go on behind them."""
        self.low, self.low_at = low, low_at
        self._marks = [Mark(-low, low_at, "", 0)]
        self._edge = -low

    def note(self, remaining: int, operation: str, charged: int, granted_at: float, now: float) -> list[Sample]:
        """An answer to a call granted at `granted_at`; samples that have become certain by a new window's coming."""
        certain: list[Sample] = []
        if remaining >= self.low and granted_at >= self.low_at:
            certain = self.ripe(now, math.inf)
            if remaining - self.low <= MOST and self._marks:
                self.refilled_at = now
            self._marks = [Mark(-remaining, now, operation, charged)]
            self._edge = -math.inf
            self.low, self.low_at = remaining, now
            return certain
        if remaining <= self.low or self.low < 0:
            self.low, self.low_at = remaining, now
        if remaining > 0 and -remaining > self._edge:
            # Nothing left may be less than nothing: the drop to it is cut off.
            insort(self._marks, Mark(-remaining, now, operation, charged))
            if len(self._marks) > _LONGEST:
                self._cut(_LONGEST // 2)
        return certain

    def ripe(self, now: float, flight: float) -> list[Sample]:
        """Samples that nothing can change any more: all that was sent before them has had `flight` seconds to be answered."""
        certain: list[Sample] = []
        marks = self._marks
        count = 0
        while count + 1 < len(marks):
            first, second = marks[count], marks[count + 1]
            if flight < math.inf and max(first.heard_at, second.heard_at) + flight > now:
                break
            if 0 < second.spent - first.spent <= MOST:
                certain.append(Sample(second.operation, second.charged, second.spent - first.spent))
            count += 1
        self._cut(count)
        return certain

    def _cut(self, count: int) -> None:
        if count:
            del self._marks[:count]
            self._edge = self._marks[0].spent
