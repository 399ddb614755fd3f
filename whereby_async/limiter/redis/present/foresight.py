"""`Foresight`: which answers could be foretold, and so need no second look. (Waits are foreseen by `Outlook`.) Pure.

While nobody else spends, prices are right and no window is about to turn, an answer says what was known before: that its own
call was counted. Such an answer teaches nothing; to book it in a few lines is what makes a call cheap. Once in a while one is
looked at all the same, so that what has changed is seen.
"""

from __future__ import annotations

import math


class Foresight:
    """What the next answer of a ledger will say, if all goes on as usual.

    Attributes:
        steady: All is so much as usual that answers can be foretold.
        points: What an answer's `remaining` and the ledger's `granted` then add up to at least.
        limit: The limit that the last answer named, and the next will.
        low: The least `remaining` of the window, as prices are learned from it.
        low_at: When it was heard.
        until: Until then a foretold answer needs no second look.
        look_to: Until so many points are answered every answer is looked at: evidence has risen, perhaps since prices are too high.
        passed: Foretold answers have passed by since `low` was learned from, and nothing was learned from them.
    """

    __slots__ = ("_booked", "limit", "look_to", "low", "low_at", "passed", "points", "steady", "until")

    low_at: float
    until: float

    def __init__(self) -> None:
        self.steady: bool = False
        self.points: int = 0
        self.limit: int | None = None
        self.low: int = -1
        self.low_at = self.until = -math.inf
        self.look_to: int = 0
        self.passed: bool = False
        # Points of all calls that have ended, but for those whose answers have passed by.
        self._booked = 0

    def look(self, cost: int, answered: int, heard_at: float) -> None:
        """An answer to a call of `cost` points gets a second look; before it `answered` points had ended, the last at `heard_at`."""
        self.steady = False
        if answered != self._booked and self.low >= 0:
            self.passed = True
            self.low_at = heard_at
        self._booked = answered + cost

    def unanswered(self, cost: int) -> None:
        """A call ended without an answer."""
        self._booked += cost

    def learned(self, low: int, low_at: float, *, steady: bool, points: int) -> None:
        """Prices have learned from the least `remaining`."""
        self.low, self.low_at = low, low_at
        self.steady, self.points = steady, points
