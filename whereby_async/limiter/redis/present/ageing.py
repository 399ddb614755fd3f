"""`Ageing`: points that were spent, and when the server surely counts them no more. Pure.

A call counts at the server for a period from its arrival, which is no later than its answer. So a period after the answer,
and a guard for the rates of two clocks, its points are free again, whatever window the server runs. What is answered within
one millisecond is kept together, so a window is a few dozen entries, not a thousand.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

GUARD: Final = 0.02
"""Seconds added to a period: 333 ppm of difference between two clocks' rates."""
GRAIN: Final = 0.001
"""Seconds within which answers share an entry; the later of them decides."""


class Ageing:
    """Spent points by the moment of their release.

    Attributes:
        released: Points that were released, ever.
        merge_until: What is answered until then goes into `newest`.
        newest: The last entry: when it is released, and its points.
    """

    __slots__ = ("_entries", "_holding", "_released_at", "merge_until", "newest", "released")

    def __init__(self, period: float) -> None:
        self._entries: deque[list[float]] = deque()
        self._holding = period + GUARD
        self._released_at = -math.inf
        self.released: int = 0
        self.merge_until: float = -math.inf
        self.newest: list[float] = []

    def answered(self, cost: int, now: float) -> None:
        """A call was answered; in the common case, within the same millisecond, it is `newest[1] += cost`."""
        if now <= self.merge_until:
            self.newest[1] += cost
            return
        release_at = now + self._holding + GRAIN
        entries = self._entries
        if entries and entries[-1][0] >= release_at:
            self._insert(release_at, cost)
            return
        self.newest = [release_at, cost]
        self.merge_until = now + GRAIN
        entries.append(self.newest)

    def unanswered(self, cost: int, flight: float, now: float) -> None:
        """A call got no answer: it may still arrive within `flight` seconds."""
        self._insert(now + flight + self._holding + GRAIN, cost)

    def _insert(self, release_at: float, cost: int) -> None:
        entries = self._entries
        place = len(entries)
        while place and entries[place - 1][0] > release_at:
            place -= 1
        if place and entries[place - 1][0] >= release_at - GRAIN:
            entries[place - 1][1] += cost
        else:
            entries.insert(place, [release_at, cost])

    def due(self, now: float) -> bool:
        """Is there something to release?"""
        return bool(self._entries) and self._entries[0][0] <= now

    def release(self, now: float) -> None:
        """Let go of what is old enough."""
        entries = self._entries
        while entries and entries[0][0] <= now:
            self.released += int(entries.popleft()[1])
            self._released_at = now

    @property
    def first_at(self) -> float | None:
        """When the next points are released."""
        return self._entries[0][0] if self._entries else None

    def quiet(self, span: float, now: float) -> bool:
        """Is nothing released within so many seconds before and after now?"""
        first = self.first_at
        return now - self._released_at > span and (first is None or first - now > span)

    def brings(self, points: int, within: float) -> bool:
        """Do the releases of the first `within` seconds from the next one bring so many points?"""
        left: float = points
        first = self.first_at
        for release_at, cost in self._entries:
            if first is None or release_at > first + within:
                return False
            left -= cost
            if left <= 0:
                return True
        return False

    def younger(self, than: float, now: float) -> int:
        """Points that are released later than `than` seconds from now, those of lost calls left out."""
        return int(sum(cost for at, cost in self._entries if now + than < at <= now + self._holding + GRAIN))

    def clear(self) -> None:
        """Release all."""
        self.release(math.inf)
