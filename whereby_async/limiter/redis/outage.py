"""`Outage`: whether the store is away, since when, and when to try it again. Pure.

A circuit breaker for the whole process: the first failure opens it, and from then on nobody waits for the store. Now and then
one call tries it, twice as long after each failure, up to a second; the first that is answered closes it. All processes must have
tried within the pause in which the store waits for their reports, so with short periods they try more often.
"""

from __future__ import annotations

import math
from typing import Final

_FIRST: Final = 0.1
LONGEST: Final = 1.0
"""Seconds between two tries, at most."""


class StoreAwayError(Exception):
    """The store did not do what it was asked; why, in words that hold no secret.

    Attributes:
        dropped: The connection was lost: a second try on a new one may do.
    """

    def __init__(self, reason: str, *, dropped: bool = False) -> None:
        super().__init__(reason)
        self.dropped: bool = dropped


class Outage:
    """The store's absence.

    Attributes:
        number: How many there have been.
        since: When it began; `None` while the store is there.
        reason: Why.
        retry_at: When to try again.
    """

    __slots__ = ("_delay", "_longest", "number", "reason", "retry_at", "since")

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self.number: int = 0
        self.since: float | None = None
        self.reason: str = ""
        self.retry_at: float = -math.inf
        self._delay = _FIRST

    def failed(self, reason: str, now: float) -> bool:
        """A call failed; whether that is news."""
        news = self.since is None
        if news:
            self.number += 1
            self.since = now
            self._delay = _FIRST
        else:
            self._delay = min(2 * self._delay, self._longest)
        self.reason = reason
        self.retry_at = now + self._delay
        return news

    def ended(self) -> None:
        """A call was answered."""
        self.since = None
        self.retry_at = -math.inf

    def lasted(self, now: float) -> float:
        """Seconds since it began; 0 while the store is there."""
        return 0.0 if self.since is None else max(now - self.since, 0.001)
