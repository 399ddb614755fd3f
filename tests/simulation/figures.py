"""The figures of a scenario: a row with its bounds, and how much of the points that a client could have had it got.

A scenario is a function of a maker of budgets and a seed, so that any limiter can be put through it.

Shares are read from the list of what the server served. The server's capacity is counted over an interval in which no
client whatsoever could have got more: whole windows where windows are fixed, whole periods where they slide, and for a
bucket what it held at the beginning besides what flowed in. What other consumers were served in the interval is
subtracted. A share above 1 is therefore impossible, and raises.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from simulation.world import AlignedWindow, FixedWindow, SlidingCounter, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from simulation.world import Policy, World

    from whereby_async.limiter import Limiter

Figures: TypeAlias = "Mapping[str, float]"


class Maker(Protocol):
    """Makes a budget; `PointBudget` is one."""

    def __call__(
        self,
        limit: int | None = None,
        *,
        period: float = 60.0,
        costs: Mapping[str, int] | None = None,
        reserve: float = 0.1,
    ) -> Limiter: ...


@dataclass(frozen=True)
class Bound:
    """What a figure has to be: at most `most`, or at least `least`."""

    most: float = float("inf")
    least: float = float("-inf")

    def holds(self, value: float) -> bool:
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
    run: Callable[[Maker, int], Figures]
    must: Mapping[str, Bound]
    aim: Mapping[str, Bound] = field(default_factory=dict[str, Bound])
    seeds: int = 5


# Shares of what there was

PHASES = 60
ROUNDING = 1e-9


class BrokenYardstickError(AssertionError):
    """The figure cannot be right: the measured interval or the capacity is wrong."""


class Interval(NamedTuple):
    """From `begin` to just before `end` the server could serve `capacity` points."""

    begin: float
    end: float
    capacity: float


def intervals(world: World, start: float, periods: int) -> list[Interval]:
    """The intervals of so many periods to measure in, the first of which begins soon after `start`."""
    policy = world.policy
    points, length = periods * policy.limit, periods * policy.period
    match policy:
        case AlignedWindow() | SlidingCounter():
            begin = math.ceil((start - policy.phase) / policy.period) * policy.period + policy.phase
            return [Interval(begin, begin + length, points)]
        case FixedWindow():
            opened = [at for at in openings(policy, (at for at, _, _ in world.served)) if at >= start]
            if len(opened) <= periods:
                raise BrokenYardstickError(f"only {len(opened)} windows opened since {start:g}")
            return [Interval(opened[0], opened[periods], points)]
        case TokenBucket():
            held = level(policy, world, start) - level(policy, world, start + length)
            return [Interval(start, start + length, points + held)]
        case _:
            # Points of a log come back in lumps, so that it matters where the interval begins: all phases are averaged.
            begins = [start + phase * policy.period / PHASES for phase in range(PHASES)]
            return [Interval(begin, begin + length, points) for begin in begins]


def openings(policy: Policy, times: Iterable[float]) -> list[float]:
    """When windows opened that open with the first call."""
    opened: list[float] = []
    for at in times:
        if not opened or at >= opened[-1] + policy.period:
            opened.append(at)
    return opened


def level(policy: Policy, world: World, moment: float) -> float:
    """What a bucket held at that moment."""
    rate = policy.limit / policy.period
    held, since = float(policy.limit), -math.inf
    for at, cost, _ in world.served:
        if at >= moment:
            break
        held, since = min(policy.limit, held + (at - since) * rate) - cost, at
    return min(policy.limit, held + (moment - since) * rate)


def share_of_the_rest(world: World, start: float, periods: int = 10) -> float:
    """Our share of what an all-knowing client could have got beside the others, from soon after `start` on."""
    return _mean(world, intervals(world, start, periods))


def share_of_the_time(world: World, start: float, periods: int = 10) -> float:
    """The same for a sole consumer of windows that open with a call: a window that opens late counts as a loss."""
    rate = world.policy.limit / world.policy.period
    found = intervals(world, start, periods)
    return _mean(world, [one._replace(capacity=max(one.capacity, rate * (one.end - one.begin))) for one in found])


def share_of_all(world: World, start: float, periods: int = 10) -> float:
    """The same of what a client could have got that is faster than the others: whatever they got, it could have had."""
    return _mean(world, intervals(world, start, periods), others_first=False)


def _mean(world: World, measured: list[Interval], *, others_first: bool = True) -> float:
    times = [at for at, _, _ in world.served]
    if not times or times[-1] < max(one.end for one in measured) - world.policy.period:
        raise BrokenYardstickError("the scenario ended before the measured interval did")
    ours = [0, *accumulate(cost if own else 0 for _, cost, own in world.served)]
    foreign = [0, *accumulate(0 if own else cost for _, cost, own in world.served)]
    shares: list[float] = []
    for begin, end, capacity in measured:
        first, last = bisect_left(times, begin), bisect_left(times, end)
        rest = capacity - (foreign[last] - foreign[first] if others_first else 0)
        shares.append((ours[last] - ours[first]) / rest)
        if rest <= 0 or shares[-1] > 1 + ROUNDING:
            raise BrokenYardstickError(f"{ours[last] - ours[first]} of {rest:g} points from {begin:g} to {end:g}")
    return sum(shares) / len(shares)


# Rounds of a backlog


def bursts(world: World) -> list[tuple[float, int]]:
    """When each burst began and the points it took: bursts lie more than half a period apart."""
    found: list[tuple[float, int]] = []
    last = float("-inf")
    for at, cost, _ in world.arrivals:
        if at - last > world.policy.period / 2:
            found.append((at, 0))
        found[-1] = (found[-1][0], found[-1][1] + cost)
        last = at
    return found


def fill(world: World) -> float:
    """The least full of a backlog's bursts but the first and the last, as a share of the limit."""
    points = [points for _, points in bursts(world)]
    return min(points[1:-1] or points, default=0) / world.policy.limit


def efficiency(world: World) -> float:
    """Points per second that a backlog got between its first burst and its last, as a share of the limit's."""
    found = bursts(world)
    if len(found) < 3:
        return world.points / (world.done_at - found[0][0]) * world.policy.period / world.policy.limit
    points = sum(points for _, points in found[:-1])
    return points / (found[-1][0] - found[0][0]) * world.policy.period / world.policy.limit
