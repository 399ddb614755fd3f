"""The server's side of the budget: how a service counts points and when it says no. Pure: every method takes `now`.

**Theory.** The API documents a limit of points per minute and four headers, not an algorithm. The names, the words
and the documented `msLeft` fit a fixed window that starts at the first call, whose counter is raised *before* it is
compared with the limit: a refused call burns what was left, and hammering on does not extend the window. That is
`FixedWindow`, the default. A client should hold against the other usual algorithms too, so they are here beside it:
windows on the clock's own minutes, a log of calls, a weighted counter of two windows, and a bucket that refills all
the time. Those last three do not charge a refused call.

Points that other consumers of the same organisation spend are `take`n from the same policy, without an answer.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec

from .spelling import meant

if TYPE_CHECKING:
    from collections.abc import Callable

Algorithm: TypeAlias = Literal["fixed", "aligned", "sliding_log", "sliding_counter", "token_bucket"]
"""How the fake server counts points."""

_TINY = 1e-9


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the budget says to one call.

    Attributes:
        allowed: The call goes through.
        limit: Points per period.
        remaining: Points left afterwards, never below 0.
        reset_in: Seconds until the window ends, or, without windows, until more points come.
        retry_in: Seconds until the same call would be allowed, 0 if it is; a lower bound, others may come first.
        charged: Points that this call took, also by being refused.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_in: float
    retry_in: float
    charged: int


class PointPolicy(Protocol):
    """A way to count points: `limit` of them in `period` seconds."""

    limit: int
    period: float

    def take(self, cost: int, now: float) -> Verdict:
        """Charge a call of `cost` points at `now` (seconds on any clock that only goes forward), or refuse it."""
        ...


class FixedWindow:
    """A window that starts at the first call after the last one ended; a refused call burns what was left."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._used = 0
        self._ends_at = float("-inf")

    def take(self, cost: int, now: float) -> Verdict:
        """Raise the counter, then compare it with the limit."""
        if now >= self._ends_at:
            self._ends_at = self._end_of_window(now)
            self._used = 0
        before = min(self._used, self.limit)
        self._used += cost
        allowed = self._used <= self.limit
        left = self._ends_at - now
        return Verdict(
            allowed=allowed,
            limit=self.limit,
            remaining=max(0, self.limit - self._used),
            reset_in=left,
            retry_in=0.0 if allowed else left,
            charged=min(self._used, self.limit) - before,
        )

    def _end_of_window(self, now: float) -> float:
        return now + self.period


class AlignedWindow(FixedWindow):
    """A fixed window on the clock's own periods: it ends where `now + phase` is a multiple of the period.

    Args:
        limit: Points per period.
        period: Seconds.
        phase: What to add to `now` to get the time that the windows are aligned to, such as the wall clock's.
    """

    def __init__(self, limit: int, period: float, *, phase: float = 0.0) -> None:
        super().__init__(limit, period)
        self._phase = phase % period

    def _end_of_window(self, now: float) -> float:
        end = ((now + self._phase) // self.period + 1) * self.period - self._phase
        return end if end > now else end + self.period


class SlidingLog:
    """No interval of one period holds more than the limit; a refused call is not charged."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._log: deque[tuple[float, int]] = deque()
        self._used = 0

    def take(self, cost: int, now: float) -> Verdict:
        """Forget what is a period old, then compare."""
        while self._log and self._log[0][0] <= now - self.period:
            self._used -= self._log.popleft()[1]
        allowed = self._used + cost <= self.limit
        if allowed:
            self._log.append((now, cost))
            self._used += cost
        return Verdict(
            allowed=allowed,
            limit=self.limit,
            remaining=max(0, self.limit - self._used),
            reset_in=self._log[0][0] + self.period - now if self._log else 0.0,
            retry_in=0.0 if allowed else self._free_in(cost, now),
            charged=cost if allowed else 0,
        )

    def _free_in(self, cost: int, now: float) -> float:
        missing = self._used + cost - self.limit
        for at, points in self._log:
            missing -= points
            if missing <= 0:
                return at + self.period - now
        return self.period


class SlidingCounter:
    """Two fixed windows; the older one counts by the share of it that still lies within a period."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._index = 0
        self._before = 0
        self._used = 0

    def take(self, cost: int, now: float) -> Verdict:
        """Weigh the last window, add this one's points, compare; a refused call is not charged."""
        index = int(now // self.period)
        if index != self._index:
            self._before = self._used if index == self._index + 1 else 0
            self._used = 0
            self._index = index
        left = max(0.0, (index + 1) * self.period - now)
        weighed = self._before * left / self.period + self._used
        allowed = weighed + cost <= self.limit + _TINY
        if allowed:
            self._used += cost
            weighed += cost
        return Verdict(
            allowed=allowed,
            limit=self.limit,
            remaining=max(0, int(self.limit - weighed + _TINY)),
            reset_in=left,
            retry_in=0.0 if allowed else self._free_in(cost, left),
            charged=cost if allowed else 0,
        )

    def _free_in(self, cost: int, left: float) -> float:
        room = self.limit - cost - self._used
        if self._before and room >= 0:
            return max(0.0, left - room * self.period / self._before)
        room = max(0, self.limit - cost)
        return left + (max(0.0, self.period - room * self.period / self._used) if self._used else 0.0)


class TokenBucket:
    """A bucket of `limit` points that refills evenly, full at the start; a refused call is not charged."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._tokens = float(limit)
        self._at: float | None = None

    def take(self, cost: int, now: float) -> Verdict:
        """Refill, then compare."""
        rate = self.limit / self.period
        since = 0.0 if self._at is None else now - self._at
        self._tokens = min(float(self.limit), self._tokens + since * rate)
        self._at = now
        allowed = cost <= self._tokens + _TINY
        if allowed:
            self._tokens = max(0.0, self._tokens - cost)
        return Verdict(
            allowed=allowed,
            limit=self.limit,
            remaining=int(self._tokens + _TINY),
            reset_in=(self.limit - self._tokens) / rate,
            retry_in=0.0 if allowed else (cost - self._tokens) / rate,
            charged=cost if allowed else 0,
        )


_POLICIES: dict[str, Callable[[int, float], PointPolicy]] = {
    "fixed": FixedWindow,
    "sliding_log": SlidingLog,
    "sliding_counter": SlidingCounter,
    "token_bucket": TokenBucket,
}


def policy(algorithm: Algorithm, limit: int, period: float, *, phase: float = 0.0) -> PointPolicy:
    """The policy of that name.

    Args:
        algorithm: Its name.
        limit: Points per period.
        period: Seconds.
        phase: For `aligned`: what to add to `now` to get the wall clock's time.

    Raises:
        ValueError: No such algorithm, or a limit or period that is not above 0.
    """
    if limit <= 0 or period <= 0:
        message = f"limit and period must be above 0, not {limit} and {period}"
        raise ValueError(message)
    if algorithm == "aligned":
        return AlignedWindow(limit, period, phase=phase)
    make = _POLICIES.get(algorithm)
    if make is None:
        message = f"unknown algorithm {algorithm!r}: {meant(algorithm, ['aligned', *_POLICIES])}"
        raise ValueError(message)
    return make(limit, period)
