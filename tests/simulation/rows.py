"""`Row`: one line of the table of figures: a scenario, what it must reach, and what it aims at.

A scenario is a function of a maker of budgets and a seed, so that any limiter can be put through it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from whereby_async.limiter import Limiter


class Maker(Protocol):
    """Makes a budget; `PointBudget` is one."""

    def __call__(
        self,
        limit: int | None = None,
        *,
        period: float = 60.0,
        costs: Mapping[str, int] | None = None,
        reserve: float = 0.1,
    ) -> Limiter:
        """A new budget."""
        ...


@dataclass(frozen=True)
class Bound:
    """What a figure has to be: at most `most`, or at least `least`."""

    most: float = float("inf")
    least: float = float("-inf")

    def holds(self, value: float) -> bool:
        """Is it reached?"""
        return self.least <= value <= self.most

    def worst(self, values: list[float]) -> float:
        """The worst of several seeds."""
        return max(values) if self.least == float("-inf") else min(values)

    def __str__(self) -> str:
        return f"<= {self.most:g}" if self.least == float("-inf") else f">= {self.least:g}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: What it is called.
        run: The scenario: its figures for one seed.
        must: Bounds of figures that have to hold, worst seed counted.
        aim: Bounds that are aimed at.
        seeds: How many seeds it takes at least.
    """

    name: str
    run: Callable[[Maker, int], Mapping[str, float]]
    must: Mapping[str, Bound]
    aim: Mapping[str, Bound] = field(default_factory=dict[str, Bound])
    seeds: int = 5
