"""`Horizon`: how long points take, for whoever can say what is there now and when the next come. Pure.

Two questions that must not be mixed up: how long it takes at the very least, whatever comes (by which a call may be refused at
once), and how long it will take as things stand (which is what people are told).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .gate import Gate
    from .quota import Quota


class Horizon(ABC):
    """An account, as those who wait see it.

    Attributes:
        period: Seconds.
        gate: Shut until the moment that a 429 has named.
        quota: The limit.
    """

    __slots__ = ()

    period: float
    gate: Gate
    quota: Quota

    @property
    @abstractmethod
    def limit(self) -> int:
        """Points per period."""

    @property
    @abstractmethod
    def pending(self) -> int:
        """Points in flight."""

    @property
    @abstractmethod
    def left(self) -> int:
        """Points of the present window that are not granted yet."""

    @abstractmethod
    def left_by_others(self, now: float) -> int:
        """The same, less what others are known to have taken of it."""

    @abstractmethod
    def room(self, now: float, need: int = 1) -> int:
        """Points that may be granted now."""

    @abstractmethod
    def more_at(self, now: float) -> float:
        """The earliest moment at which more than now may be granted, if no answer comes before."""

    def least_wait(self, now: float, points: int, cheapest: float = math.inf) -> float:
        """Seconds until `points` can all be granted, at the very earliest: nobody new, nothing refused.

        A lower bound that holds whatever comes: an answer may open a window at any moment, be it to a call in flight or to one
        that will soon be, and a window that goes by the server's own clock may turn right after the first points have come
        back; only from then on each takes a period.

        Args:
            now: The time.
            points: How many.
            cheapest: What the cheapest call costs that waits, if any does.
        """
        room = max(self.room(now), 0)
        if points <= room:
            return 0.0
        answers = self.pending or cheapest <= room
        first = max(now, self.gate.opens_at) if answers else self.more_at(now)
        more = self._windows_more(points, max(room, self.left))
        return first - now + max(0, more - 1) * self.period

    def likely_wait(self, now: float, points: int) -> float:
        """Seconds until `points` can all be granted, as things stand: the answers in flight bring nothing new."""
        left = self.left_by_others(now)
        if points <= left:
            return max(0.0, self.gate.opens_at - now)
        return self.more_at(now) - now + self._windows_more(points, left) * self.period

    def _windows_more(self, points: int, left: int) -> int:
        """Windows that must turn after the next one."""
        return max(0, math.ceil((points - left) / self.limit) - 1)
