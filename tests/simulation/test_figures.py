"""The figures that the point budget has to reach, in named scenarios and in random worlds.

In a random world, who spends alone gets no 429, and nothing is refused that would have been served in time.
"""

from __future__ import annotations

import asyncio
import os
import random
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from simulation import scenarios, trouble
from simulation.figures import Bound, Row
from simulation.world import (
    STYLES,
    AlignedWindow,
    FixedWindow,
    Network,
    Policy,
    SlidingCounter,
    SlidingLog,
    TokenBucket,
    World,
)

from whereby_async.errors import BudgetTimeoutError
from whereby_async.limiter import PointBudget, Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulation.figures import Figures

SEEDS = int(os.environ.get("WHEREBY_TROUBLE_SEEDS", "1"))
"""Seeds of each row of trouble; the table takes as many as the row says."""
COUNT = int(os.environ.get("WHEREBY_WORLDS", "1500"))
"""Worlds of the long run; from 1,500 on it shows what the budget promises."""
WAITS = int(os.environ.get("WHEREBY_WAITS", "100"))
"""Worlds in which a call's wait is looked at."""
LIMIT = 60
SPARE = 1.001
"""Seconds that the second life may wait longer than the first one did: the reserve is looked at every second."""

WINDOWS = ("fixed", "aligned", "sliding_log", "token_bucket")
POLICIES = (*WINDOWS, "sliding_counter")
NONE, FEW = Bound(most=0), Bound(most=5)


def cases(
    title: str, scenario: Callable[..., Figures], must: dict[str, Bound], /, *seeds: int, **choices: tuple[Any, ...]
) -> Iterator[tuple[Row, int]]:
    """Rows for each combination of the scenario's options, each with each seed that it is tried with."""
    for values in product(*choices.values()):
        words = ", ".join([title, *map(str, values)])
        row = Row(words, partial(scenario, **dict(zip(choices, values, strict=True))), must)
        yield from ((row, seed) for seed in seeds)


FULL = {"throttled": NONE, "fill": Bound(least=0.999)}
FEW_ONLY = {"throttled": FEW}
REST = {"throttled": Bound(most=15), "thru": Bound(least=0.95)}
EVEN = ("fixed", "aligned", "token_bucket")

CASES = [
    # A fixed window needs 540.2 s. A log gives each point back by itself: a call of three at a period's end may find two.
    *cases("10,000 points", scenarios.backlog, FULL | {"seconds": Bound(most=544.0)}, 1, name=EVEN),
    *cases("10,000 points", scenarios.backlog, FULL | {"seconds": Bound(most=604.0)}, 1, name=("sliding_log",)),
    *cases("small plan", scenarios.backlog, FULL | {"fill": Bound(least=0.997)}, 2, name=EVEN, limit=(100,)),
    *cases(
        "small plan", scenarios.backlog, FULL | {"fill": Bound(least=0.995)}, 2, name=("sliding_log",), limit=(100,)
    ),
    *cases(
        "header style",
        scenarios.backlog,
        {"throttled": NONE, "seconds": Bound(most=183)},
        3,
        name=("fixed",),
        windows=(4,),
        style=STYLES,
    ),
    # Answers come out of order, and none of what seems to be missing between them was charged to a call.
    *cases("right prices stay", scenarios.backlog, {"learned": NONE}, 5, 10, 23, name=("sliding_log",)),
    *cases(
        "rate in the long run",
        scenarios.long_run,
        {"throttled": NONE, "share": Bound(least=0.9965, most=0.9979)},
        0,
        windows=(15,),
    ),
    *cases("restart into a spent window", scenarios.restart, FEW_ONLY, 1, name=POLICIES),
    *cases("lowered limit", scenarios.lowered, FEW_ONLY, 1, name=WINDOWS, at=(60.5, 90.0)),
    *cases("wrong plan", scenarios.wrong_plan, FEW_ONLY, 1, name=POLICIES),
    *cases("foreign use", scenarios.among_others, REST, 1, name=WINDOWS, share=(0.3, 0.6), periods=(5,)),
    *cases(
        "foreign use",
        scenarios.among_others,
        REST | {"thru": Bound(least=0.93)},
        1,
        name=("sliding_counter",),
        share=(0.3, 0.6),
        periods=(5,),
    ),
    *cases("foreign bursts", scenarios.bursty_others, REST | {"throttled": Bound(most=30)}, 1, share=(0.3, 0.6)),
    *cases(
        "server that punishes bursts",
        scenarios.alone,
        REST | {"throttled": Bound(most=50)},
        *(0, 1, 2),
        name=("sliding_counter",),
        warm=(0.5,),
    ),
    *cases("wrong prices", scenarios.wrong_prices, {"wrong": NONE, "later": FEW, "fill": Bound(least=0.98)}, 0, 1),
    *cases(
        "dear call", scenarios.endless_cheap_calls, {"throttled": NONE, "inversions": Bound(most=3)}, 1, name=WINDOWS
    ),
    *cases(
        "interactive calls beside a batch",
        scenarios.two_priorities,
        {"throttled": NONE, "p99": Bound(most=0.999), "share": Bound(least=0.99)},
        *(0, 1),
    ),
    *cases(
        "half of 1,000 calls cancelled",
        scenarios.half_cancelled,
        {
            "throttled": NONE,
            "inversions": NONE,
            "late": NONE,
            "served": Bound(least=500),
            "points_back": Bound(least=1.0),
        },
        *(0, 1, 2),
    ),
    *((row, seed) for row in trouble.ROWS for seed in range(100, 100 + SEEDS)),
]


@pytest.mark.parametrize(("row", "seed"), CASES, ids=[f"{row.name}, {seed}" for row, seed in CASES])
def test_every_figure_is_within_its_bound(row: Row, seed: int) -> None:
    figures = row.run(PointBudget, seed)
    missed = {name: (figures[name], str(bound)) for name, bound in row.must.items() if not bound.holds(figures[name])}
    assert missed == {}


# Random worlds


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
