"""`Quota`: the limit that we go by. Pure.

A lower limit counts at once, a higher one only when two answers in a row agree on it: headers get garbled, and of the two
errors one costs nothing but a moment.
"""

from __future__ import annotations

from typing import Final

SMALLEST_PLAN: Final = 100
"""Points per minute of the smallest plan: what is assumed until an answer tells."""


class Quota:
    """What is believed of the limit.

    Attributes:
        limit: Points per period that we go by.
        whole: The limit that is established: configured, or agreed on by two answers in a row.
        told: An answer has named a limit.
    """

    __slots__ = ("_heard", "limit", "told", "whole")

    limit: int
    whole: int

    def __init__(self, limit: int | None) -> None:
        self.limit = self.whole = limit or SMALLEST_PLAN
        self._heard = limit
        self.told: bool = False

    @property
    def agreed(self) -> bool:
        """The last answers agree on it."""
        return self.limit == self.whole == self._heard

    def said(self, limit: int) -> bool:
        """An answer named a limit; whether ours is another now."""
        before = self.limit
        agreed = limit == self._heard
        self._heard = limit
        self.told = True
        if limit < before or agreed:
            self.limit = limit
        if agreed:
            self.whole = limit
        return self.limit != before
