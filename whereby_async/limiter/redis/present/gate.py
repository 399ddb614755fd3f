"""`Gate`: nothing is granted before the moment that a 429 has named. Pure.

What the server says is obeyed to the letter, once. If it said nothing, or "now", or if a call that was sent after its time is
refused again, its word is worth nothing by itself, so each such round waits twice as long as the one before: 1, 2, 4 … seconds
up to a period or the window's end, until a call that was sent after the gate had opened succeeds. Refusals of calls that were on their way when
the gate closed belong to the same round: a crowd that is refused at once is one refusal.
"""

from __future__ import annotations

import math
from typing import Final

_FIRST_BACKOFF: Final = 1.0
_BREATH: Final = 0.005
"""Seconds added to the server's time, against its own rounding."""


class Gate:
    """Closed until a moment.

    Attributes:
        opens_at: Nothing is granted before.
        named_at: The moment that the last refusal named, until a call sent after it was answered; `inf` if it named none.
        doubted: The last refusal named no time, or one that was wrong: call one by one.
    """

    __slots__ = ("_backoff", "_longest", "_rounds", "doubted", "named_at", "opens_at")

    def __init__(self, period: float) -> None:
        self._longest = period
        self._backoff = _FIRST_BACKOFF
        self._rounds = 0
        self.opens_at: float = -math.inf
        self.named_at: float = math.inf
        self.doubted: bool = False

    @property
    def untroubled(self) -> bool:
        """Nothing was refused, or a call that was sent after it has passed."""
        return not self._rounds

    def refused(self, told: float | None, granted_at: float, now: float, end: float = math.inf) -> None:
        """A call that was granted at `granted_at` got a 429 that names a time in `told` seconds, if any.

        A window that surely ends at `end`, if that is still to come, makes an end of all doubts too.
        """
        delay = told or 0.0
        if granted_at >= self.opens_at:
            if self._rounds or not delay:
                self.doubted = True
                doubt = self._backoff if end <= now else min(self._backoff, end - now)
                delay = max(delay, doubt)
                self._backoff = min(2 * self._backoff, self._longest)
            self._rounds += 1
        self.opens_at = max(self.opens_at, now + delay + _BREATH)

    def passed(self, granted_at: float) -> None:
        """A call was not refused; progress if it was sent after the gate had opened."""
        if self._rounds and granted_at >= self.opens_at:
            self._backoff = _FIRST_BACKOFF
            self._rounds = 0
            self.doubted = False
