"""`Lead`: the call that goes ahead when a window has turned, and what its answer teaches. Pure.

After a full round the first call that only the ledger allows goes alone; the others wait for its answer, for two seconds at
most. It costs one round trip a window and shows, before the burst and not after it, that the limit has changed, that others
spend, or that less has come back than the ledger says. In that last case (*probation*) the evidence alone counts, until
another lead has found nothing wrong.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .charge import Charge

PATIENCE: Final = 2.0
"""Seconds for which others wait on the answer of a call that was sent ahead."""


class Lead:
    """The call that is ahead, if any.

    Attributes:
        out: The call's identity; the call itself may be dropped.
        due: The next call that only the ledger allows is to be one.
        led_at: When the last one went.
        turned_at: When the present window was seen to begin.
        probation: Only evidence counts.
        whole: The server gives everything back at once when its window turns.
    """

    __slots__ = ("due", "led_at", "out", "probation", "turned_at", "whole")

    led_at: float
    turned_at: float

    def __init__(self) -> None:
        self.out: int | None = None
        self.due: bool = False
        self.led_at = self.turned_at = -math.inf
        self.probation: bool = False
        self.whole: bool = False

    def go(self, charge: Charge, now: float) -> None:
        """This call goes ahead."""
        self.out = id(charge)
        self.led_at = self.turned_at = now
        self.due = False

    def waits(self, now: float) -> bool:
        """Is it out, and not for too long?"""
        if self.out is not None and now >= self.led_at + PATIENCE:
            self.out = None
        return self.out is not None

    def back(self, *, everything: bool, young: bool) -> None:
        """It was answered.

        Args:
            everything: The server had all its points, but for the lead's own.
            young: Much of what we have spent is too young for a server that counts a period back to have forgotten it.
        """
        self.probation = not everything and not self.probation
        if not everything:
            self.whole = False
        elif young:
            self.whole = True

    def gone(self, charge: Charge) -> bool:
        """Was it this call? Then none is out any more."""
        if id(charge) != self.out:
            return False
        self.out = None
        return True
