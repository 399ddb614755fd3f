"""Random worlds: one who spends alone gets no 429, and nothing is refused that would have been served in time."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from whereby_async.errors import BudgetTimeoutError
from whereby_async.limiter import PointBudget, Priority

from .server import STYLES, AlignedWindow, FixedWindow, Policy, SlidingCounter, SlidingLog, TokenBucket
from .world import Network, World

COUNT = int(os.environ.get("WHEREBY_WORLDS", "1500"))
"""Worlds of the long run; from 1,500 on it shows what the budget promises."""
WAITS = int(os.environ.get("WHEREBY_WAITS", "100"))
"""Worlds in which a call's wait is looked at."""
LIMIT = 60
SPARE = 1.001
"""Seconds that the second life may wait longer than the first one did: the reserve is looked at every second."""


def random_policy(dice: random.Random, limit: int, period: float) -> Policy:
    """One of the four that a ledger can be right about."""
    kind = dice.choice((FixedWindow, FixedWindow, AlignedWindow, SlidingLog, TokenBucket))
    if kind is AlignedWindow:
        return AlignedWindow(limit, period, phase=dice.uniform(0, period))
    return kind(limit, period, burns=dice.random() < 0.5)


def random_network(dice: random.Random) -> Network:
    """Fast or slow, even or wild, and sometimes lossy."""
    fast = dice.choice((0.001, 0.02, 0.05))
    return Network(
        rtt=(fast, fast * dice.choice((1.0, 4.0, 40.0))),
        lost_before=dice.choice((0.0, 0.0, 0.02)),
        lost_after=dice.choice((0.0, 0.0, 0.02)),
        spoilt=dice.choice((0.0, 0.0, 0.1, 0.3, 1.0)),
    )


def random_world(seed: int) -> tuple[World, PointBudget]:
    """A world and a budget in it that spends alone."""
    dice = random.Random(seed)
    limit = dice.choice((20, 100, 100, 250, 1000))
    period = dice.choice((10.0, 60.0, 60.0))
    world = World(
        policy=random_policy(dice, limit, period),
        style=dice.choice(STYLES),
        network=random_network(dice),
        seed=seed,
        skew=dice.uniform(-30, 30) if dice.random() < 0.7 else dice.uniform(-600, 600),
        drift=dice.uniform(-200e-6, 200e-6),
        body=dice.random() < 0.5,
    )
    known = dice.choice((limit, limit, None))
    return world, PointBudget(known if limit >= 100 else limit, period=period)


async def live_in(world: World, budget: PointBudget) -> None:
    """A few windows of traffic: bursts, trickles, lulls, cancelled callers."""
    dice = random.Random(world.seed + 1)
    policy = world.policy
    for _ in range(dice.randint(2, 5)):
        match dice.choice(("burst", "burst", "trickle", "lull", "cancelled")):
            case "burst":
                await world.backlog(budget, int(policy.limit * dice.uniform(0.1, 2.0)))
            case "trickle":
                for _ in range(min(60, policy.limit // 4)):
                    await world.call(budget, dice.choice((1, 2, 3)))
                    await asyncio.sleep(dice.expovariate(10 / policy.period))
            case "lull":
                await asyncio.sleep(dice.uniform(0, 2 * policy.period))
            case _:
                burst = asyncio.create_task(world.backlog(budget, policy.limit))
                await asyncio.sleep(dice.uniform(0, policy.period / 2))
                burst.cancel()
                await asyncio.gather(burst, return_exceptions=True)


def throttled_in(seed: int) -> int:
    """Live in the world of that number; how often it refused a call."""
    world, budget = random_world(seed)
    world.run(lambda: live_in(world, budget), start=random.Random(seed).uniform(0, 1e5))
    return len(world.throttled)


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_alone_there_is_no_429_in_any_world(first: int) -> None:
    """Whatever window, headers, skew, drift, reordering, loss, garbage and cancelled callers."""
    assert {seed: count for seed in range(first, first + 25) if (count := throttled_in(seed))} == {}


@pytest.mark.long
def test_alone_there_is_no_429_in_very_many_worlds() -> None:
    """The same in WHEREBY_WORLDS (1,500) worlds that were not tried before."""
    assert {seed: count for seed in range(10_000, 10_000 + COUNT) if (count := throttled_in(seed))} == {}


# The same world twice, without `max_wait` and with it


def small_world(seed: int) -> tuple[World, random.Random]:
    """A small plan, often spent by others too, so that calls really have to wait."""
    dice = random.Random(seed)
    kind = dice.choice((FixedWindow, AlignedWindow, SlidingLog, TokenBucket, SlidingCounter))
    policy: Policy = kind(LIMIT, 60.0)
    return World(policy, dice.choice(STYLES), Network(rtt=(0.05, 0.2)), seed, body=dice.random() < 0.5), dice


def wait_of(seed: int, max_wait: float | None) -> float | None:
    """How long the one call that matters had to wait in all; `None` if it was refused."""
    world, dice = small_world(seed)
    budget = PointBudget(dice.choice((LIMIT, None)))
    waited: list[float] = []

    async def main() -> None:
        rivals = asyncio.create_task(world.others(dice.choice((0.0001, 0.3))))
        if dice.random() < 0.5:
            for _ in range(dice.choice((30, LIMIT))):
                world.serve(1, ours=False)
        calls = [
            asyncio.create_task(world.call(budget, dice.choice((1, 2, 3)), priority=dice.choice(tuple(Priority))))
            for _ in range(dice.choice((3, 40, 60)))
        ]
        await asyncio.sleep(dice.uniform(0, 70))
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
        for task in (rivals, *calls):
            task.cancel()
        await asyncio.gather(rivals, *calls, return_exceptions=True)

    world.run(main)
    return waited[0] if waited else None


@pytest.mark.parametrize("seed", range(WAITS))
def test_what_would_be_served_in_time_is_not_refused(seed: int) -> None:
    """With a `max_wait` just above what the call waited without one, it is served too, and no later.

    Perhaps a moment earlier: its deadline is one more moment at which the budget looks.
    """
    free = wait_of(seed, None)
    assert free is not None
    again = wait_of(seed, free + SPARE)
    assert again is not None
    assert again <= free + SPARE
