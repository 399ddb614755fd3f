"""Random worlds for one who spends alone: any policy but the sliding counter, any headers, any network."""

from __future__ import annotations

import asyncio
import random

from whereby_async.limiter import PointBudget

from .headers import STYLES
from .policies import AlignedWindow, FixedWindow, Policy, SlidingLog, TokenBucket
from .world import Network, World


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


def explore(seed: int) -> World:
    """Live in the world of that number; say what came of it."""
    world, budget = random_world(seed)
    return world.run(lambda: live_in(world, budget), start=random.Random(seed).uniform(0, 1e5))
