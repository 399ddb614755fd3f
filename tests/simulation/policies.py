"""The ways in which a server may meter points, as arithmetic: each tells at time `t` whether a call of `cost` is taken.

Like the likely engine, a refused call is counted before it is compared, so it may burn the last points; `burns=False` is the
other kind of server.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import NamedTuple


class Verdict(NamedTuple):
    """What the server says to one call."""

    taken: bool
    remaining: int
    reset_in: float
    retry_after: float


class Policy(ABC):
    """A meter of `limit` points per `period` seconds."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = True) -> None:
        self.limit = limit
        self.period = period
        self.burns = burns

    @abstractmethod
    def spend(self, t: float, cost: int) -> Verdict:
        """A call arrives."""


class FixedWindow(Policy):
    """Opens with the first call after the last window's end."""

    end = -math.inf
    spent = 0

    def _turn(self, t: float) -> None:
        if t >= self.end:
            self.end = t + self.period
            self.spent = 0

    def spend(self, t: float, cost: int) -> Verdict:
        self._turn(t)
        taken = self.spent + cost <= self.limit
        if taken or self.burns:
            self.spent += cost
        left = self.end - t
        return Verdict(taken, max(0, self.limit - self.spent), left, left)


class AlignedWindow(FixedWindow):
    """Turns with the server's clock."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = True, phase: float = 0.0) -> None:
        super().__init__(limit, period, burns=burns)
        self.phase = phase

    def _turn(self, t: float) -> None:
        if t >= self.end:
            self.end = (math.floor((t - self.phase) / self.period) + 1) * self.period + self.phase
            self.spent = 0


class SlidingLog(Policy):
    """Counts what came within the last period."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = False) -> None:
        super().__init__(limit, period, burns=burns)
        self.log: deque[tuple[float, int]] = deque()
        self.spent = 0

    def spend(self, t: float, cost: int) -> Verdict:
        while self.log and self.log[0][0] + self.period <= t:
            self.spent -= self.log.popleft()[1]
        taken = self.spent + cost <= self.limit
        if taken or self.burns:
            self.spent += cost
            self.log.append((t, cost))
        oldest = self.log[0][0] + self.period - t if self.log else 0.0
        return Verdict(taken, max(0, self.limit - self.spent), oldest, oldest)


class TokenBucket(Policy):
    """A full bucket that refills evenly."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = False) -> None:
        super().__init__(limit, period, burns=burns)
        self.level = float(limit)
        self.at = -math.inf

    def spend(self, t: float, cost: int) -> Verdict:
        rate = self.limit / self.period
        if self.at > -math.inf:
            self.level = min(self.limit, self.level + (t - self.at) * rate)
        self.at = t
        taken = self.level >= cost
        if taken:
            self.level -= cost
        elif self.burns:
            self.level = 0.0
        return Verdict(taken, int(self.level), (self.limit - self.level) / rate, max(0.0, cost - self.level) / rate)


class SlidingCounter(Policy):
    """Two aligned counters, the last one weighed by how much of it still lies within a period: bursts are punished."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = False, phase: float = 0.0) -> None:
        super().__init__(limit, period, burns=burns)
        self.phase = phase
        self.slot = -1
        self.now = self.last = 0

    def spend(self, t: float, cost: int) -> Verdict:
        slot, within = divmod(t - self.phase, self.period)
        if int(slot) != self.slot:
            self.last = self.now if int(slot) == self.slot + 1 else 0
            self.now = 0
            self.slot = int(slot)
        used = self.last * (1 - within / self.period) + self.now
        taken = used + cost <= self.limit
        if taken or self.burns:
            self.now += cost
            used += cost
        left = self.period - within
        wait = left
        if self.last and used + cost > self.limit:
            wait = min(left, (used + cost - self.limit) * self.period / self.last)
        return Verdict(taken, max(0, int(self.limit - used)), left, wait)
