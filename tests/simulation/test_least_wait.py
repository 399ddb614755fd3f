"""Nothing is refused that would have been served in time: the same world twice, without `max_wait` and with it."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from simulation.headers import STYLES
from simulation.policies import AlignedWindow, FixedWindow, Policy, SlidingCounter, SlidingLog, TokenBucket
from simulation.world import Network, World
from whereby_async.errors import BudgetTimeoutError
from whereby_async.limiter import PointBudget, Priority

LIMIT = 60
SEEDS = int(os.environ.get("WHEREBY_WAITS", "100"))
SPARE = 1.001
"""Seconds that the second life may wait longer than the first one did: the reserve is looked at every second."""


def world_of(seed: int) -> tuple[World, random.Random]:
    """A small plan, often spent by others too, so that calls really have to wait."""
    dice = random.Random(seed)
    kind = dice.choice((FixedWindow, AlignedWindow, SlidingLog, TokenBucket, SlidingCounter))
    policy: Policy = kind(LIMIT, 60.0)
    return World(policy, dice.choice(STYLES), Network(rtt=(0.05, 0.2)), seed, body=dice.random() < 0.5), dice


def live(seed: int, max_wait: float | None) -> float | None:
    """How long the one call that matters had to wait in all; `None` if it was refused."""
    world, dice = world_of(seed)
    budget = PointBudget(dice.choice((LIMIT, None)))
    waited: list[float] = []

    async def ours(cost: int, priority: Priority) -> None:
        await world.call(budget, cost, priority=priority)

    async def main() -> None:
        rivals = asyncio.create_task(world.others(dice.choice((0.0001, 0.3))))
        if dice.random() < 0.5:
            for _ in range(dice.choice((30, LIMIT))):
                world.serve(1, ours=False)
        calls = [
            asyncio.create_task(ours(dice.choice((1, 2, 3)), dice.choice(tuple(Priority))))
            for _ in range(dice.choice((3, 40, 60)))
        ]
        await asyncio.sleep(dice.uniform(0, 70))
        mark = len(world.waits)
        cost, priority = dice.choice((1, 2, 3)), dice.choice(tuple(Priority))
        matters = asyncio.create_task(budget.acquire(cost, priority=priority, max_wait=max_wait))
        began = world.now()
        try:
            (await matters).lost()
            waited.append(world.now() - began)
        except BudgetTimeoutError:
            # Whoever waits until its deadline was not refused before its time.
            if max_wait is not None and world.now() - began >= max_wait - SPARE:
                waited.append(world.now() - began)
        assert mark <= len(world.waits)
        for task in (rivals, *calls):
            task.cancel()
        await asyncio.gather(rivals, *calls, return_exceptions=True)

    world.run(main)
    return waited[0] if waited else None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_would_be_served_in_time_is_not_refused(seed: int) -> None:
    """With a `max_wait` just above what the call waited without one, it is served too, and no later.

    Perhaps a moment earlier: its deadline is one more moment at which the budget looks.
    """
    free = live(seed, None)
    assert free is not None
    again = live(seed, free + SPARE)
    assert again is not None
    assert again <= free + SPARE
