"""Medians and ratios with intervals. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A median, and the interval that holds the true one with a chance of 95 % or more.

    Attributes:
        median: The middle.
        low: The interval's lower end.
        high: Its upper end.
        pairs: Of how many values.
    """

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate(values: Sequence[float]) -> Estimate:
    """The median of some values with the interval between two of them that order statistics give: no shape is assumed.

    With fewer than six values there is none: it then is from the least to the greatest.
    """
    ordered = sorted(values)
    cut = _cut(len(ordered))
    return Estimate(statistics.median(ordered), ordered[cut], ordered[-1 - cut], len(ordered))


def _cut(count: int) -> int:
    """How many values may be left out at each end."""
    outside, cut = 0.0, 0
    for below in range(count // 2):
        outside += 2 * math.comb(count, below) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        cut = below
    return cut


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """One divided by the other, pair by pair as they were measured in turns."""
    return estimate([one / other for one, other in zip(ours, theirs, strict=True)])


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """One less the other, pair by pair as they were measured in turns."""
    return estimate([one - other for one, other in zip(ours, theirs, strict=True)])


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of the (sorted) values lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
