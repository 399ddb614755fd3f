"""`Cold`: not knowing where we stand, and what little may be sent then. Pure.

At the start, after a 429 and after a silence of a period, one call goes at a time until an answer with usable headers has
come, so that a process that starts into a nearly empty window causes no burst. A server that never sends headers is believed
after some answers, and gets as much as the smallest plan allows in flight. An answer that is late does not hold the others
up for ever.
"""

from __future__ import annotations

import math
from typing import Final

from .lead import PATIENCE
from .quota import SMALLEST_PLAN

WIDEST_CALL: Final = 10
"""The documented maximum price of a call."""

_SILENT_ANSWERS: Final = 3


class Cold:
    """One call at a time.

    Attributes:
        on: We do not know where we stand.
        since: From when on answers must have been asked for to tell.
        silent: Answers in a row without usable headers.
        piloted_at: When the last call went.
    """

    __slots__ = ("_promised", "on", "piloted_at", "silent", "since")

    piloted_at: float
    since: float

    def __init__(self) -> None:
        self.on: bool = True
        self.since = self.piloted_at = -math.inf
        self.silent: int = 0
        self._promised = False

    @property
    def headerless(self) -> bool:
        """The server does not send headers."""
        return self.silent >= _SILENT_ANSWERS

    def begin(self, now: float, *, promised: bool = False) -> None:
        """From now on we do not know; `promised` if the server has named the moment from which it takes calls."""
        self.on = True
        self.since = now
        self._promised = promised
        if promised:
            self.silent = min(self.silent, _SILENT_ANSWERS - 1)

    def waits(self, pending: int, now: float) -> bool:
        """Is a call out whose answer should be waited for?"""
        return pending > 0 and not self.headerless and now < self.piloted_at + PATIENCE

    def room(self, ledger: int, pending: int) -> int:
        """Points that may be granted, of which only one call will be."""
        if self.headerless:
            return min(ledger, SMALLEST_PLAN - pending)
        return max(ledger, WIDEST_CALL) if self._promised else ledger

    def unheard(self, granted_at: float) -> None:
        """An answer without usable headers."""
        if self.on and granted_at >= self.since:
            self.silent += 1

    def heard(self, granted_at: float) -> None:
        """An answer told where we stand, if it was asked for late enough."""
        self.silent = 0
        if granted_at >= self.since:
            self.on = self._promised = False
