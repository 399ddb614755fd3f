"""How far a batch has come, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch has come.

    Attributes:
        done: Items that are done, those of earlier runs among them.
        failed: Items that failed.
        unknown: Items of which nobody knows.
        resumed: Items, of any of these, that an earlier run had finished.
        under_way: Items begun and not finished.
        total: Items in the input, if it can say.
        elapsed: Seconds since the batch was entered.
        points: Points that this run has spent.
        points_per_second: On average over this run.
        eta: Seconds until the last item is finished, from the budget's forecast and the pace so far; `None` if `total` is.
        waiting: What the calls under way wait for: `frozen` (after a 429), `pilot` (one call is out to learn the budget),
            `reserve` (points that are kept from the batch lane), `empty` (the window is spent), `consumer` (outcomes that
            nobody takes); `None` if they do not.
    """

    done: int
    failed: int
    unknown: int
    resumed: int
    under_way: int
    total: int | None
    elapsed: float
    points: int
    points_per_second: float
    eta: float | None
    waiting: str | None

    @property
    def finished(self) -> int:
        """Items with an outcome."""
        return self.done + self.failed + self.unknown


OnProgress: TypeAlias = Callable[[Progress], object]
"""Told of the progress, by a plain call in the batch's loop."""
