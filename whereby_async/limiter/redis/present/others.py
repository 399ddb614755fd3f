"""`Others`: are there others on our budget, and what do they leave us? Pure.

The ledger's proof holds for whoever spends alone. That somebody else spends shows in an answer: `limit - remaining` is
what all have spent, `held` bounds our own share of it for every kind of server; what is above is foreign (or a price that
we have wrong, which is treated the same until it is learned). One answer may be garbled, so the majority of the last eight
decides. A 429 is proof by itself.

While others are about, and only then, answers may *reduce* what we grant: at most half of the least `Remaining` seen in
the window is in flight, so that what they take within a round trip does not surprise us, and the rest is halved from round
trip to round trip. An answer surely later than that least one (its call was sent after the other's answer had come)
replaces it, so that a new window or a refilling bucket is seen at once.
"""

from __future__ import annotations

import math
from typing import Final

_VOTERS: Final = 8
_MEMORY: Final = 3.0
"""Periods that the caution outlives its last reason."""
_FEW: Final = 6
_FIRST_GAP: Final = 1 / 40
_NO_PROBE: Final = 10.0
"""Periods without probes after one was refused."""
_WEIGHT: Final = 1 / 20
_WIDEST_CALL: Final = 10
"""The documented maximum price of a call."""


class Others:
    """What is known of foreign use.

    Attributes:
        until: The caution lasts until then.
        proven_until: A refusal has proven it, not only what answers said, until then.
        least: Points that the server has left at most.
        least_at: When the answer came that said so.
        released: Points of ours that had been released by then, ever.
        rate: Foreign points per second, a decaying mean.
    """

    __slots__ = (
        "_anchor",
        "_ballots",
        "_gap",
        "_no_probe_until",
        "_period",
        "_probing",
        "_since",
        "least",
        "least_at",
        "proven_until",
        "rate",
        "released",
        "until",
        "votes",
    )

    proven_until: float
    until: float

    def __init__(self, period: float) -> None:
        self._period = period
        self._ballots = 0
        self._anchor: tuple[float, int, int] | None = None
        self._since = -math.inf
        self._gap = period * _FIRST_GAP
        self._no_probe_until = -math.inf
        self._probing = False
        self.votes: int = 0
        self.until = self.proven_until = -math.inf
        self.least: int = 0
        self.least_at: float = -math.inf
        self.released: int = 0
        self.rate: float = 0.0

    def vote(self, *, foreign: bool) -> bool:
        """One answer's word on whether others spend; the majority's."""
        if self._ballots < _VOTERS:
            self._ballots += 1
        self.votes = (self.votes << 1 | foreign) & (1 << _VOTERS) - 1
        return 2 * self.votes.bit_count() > self._ballots

    @property
    def unseen(self) -> bool:
        """None of the last answers speaks of others."""
        return not self.votes and self._ballots == _VOTERS

    @property
    def twice(self) -> bool:
        """The last two answers agree that others spend."""
        return self.votes & 3 == 3  # noqa: PLR2004 - two bits

    def beware(self, least: int, now: float, released: int) -> None:
        """Somebody else spends: be careful for some periods."""
        if now >= self.until:
            self._told(least, now, released)
            self._since = now
        self.until = now + _MEMORY * self._period

    def _told(self, least: int, now: float, released: int) -> None:
        self.least = least
        self.least_at = now
        self.released = released

    def emptied(self, now: float, released: int) -> None:
        """The server refused: nothing is left."""
        if self._probing:
            self._no_probe_until = now + _NO_PROBE * self._period
            self._probing = False
        self.proven_until = now + _MEMORY * self._period
        self.beware(0, now, released)
        self._told(0, now, released)

    def note(self, remaining: int, granted_at: float, now: float, released: int) -> None:
        """An answer to a call granted at `granted_at` said `remaining`; by then `released` points of ours had come back, ever."""
        later = granted_at >= self.least_at
        if later:
            self._probing = False
            if remaining > self.least:
                # More than before: a new window, or a bucket that refills.
                self._since = now
                self._gap = self._period * _FIRST_GAP
        if later or remaining < self.least:
            self._told(remaining, now, released)

    def pilot_at(self, end: float) -> float:
        """When to send one call although nothing is left, as far as was told.

        At the window's `end`, or where that must be at the latest. Before it, a probe now and then: what was told may have
        been garbled, and some servers refill as they go. Where a probe was refused there are none for a long time.
        """
        last = self._since + self._period
        if end > self.least_at:
            last = min(last, end)
        probe = self.least_at + self._gap
        return min(last, probe) if probe >= self._no_probe_until else last

    def piloted(self, now: float) -> None:
        """That call has gone."""
        if now >= self._since + self._period:
            self._since = now
            self._gap = self._period * _FIRST_GAP
        else:
            self._probing = True
            self._gap = min(2 * self._gap, self._period / 4)

    def cap(self, pending: int) -> int:
        """Points that may be granted while `pending` are in flight."""
        if not pending:
            return max(self.least // 2, min(self.least, _WIDEST_CALL))
        return (self.least // 2 if self.least > _FEW else self.least) - pending

    def measure(self, remaining: int, spent: int, now: float) -> None:
        """Learn the foreign rate from an answer.

        Args:
            remaining: What the answer said.
            spent: All points that our answered calls have spent so far.
            now: When it came.
        """
        if self._anchor is None or remaining > self._anchor[1]:
            self._anchor = (now, remaining, spent)
            return
        began, had, before = self._anchor
        lasted = now - began
        if lasted < self._period / 60:
            return
        foreign = max(0, had - remaining - (spent - before)) / lasted
        self.rate += (foreign - self.rate) * min(1.0, 2 * lasted / self._period)
        self._anchor = (now, remaining, spent)

    def weigh(self, theirs: int) -> None:
        """Learn the foreign rate from what others have spent within the last period, where the server counts it so."""
        self.rate += (max(0, theirs) / self._period - self.rate) * _WEIGHT
