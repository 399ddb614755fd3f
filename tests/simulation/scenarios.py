"""The named scenarios: each lives in one world and says what came of it, as figures."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from whereby_async.limiter import PointBudget, Priority

from .measure import share_of_the_rest
from .policies import AlignedWindow, FixedWindow, Policy, SlidingCounter, SlidingLog, TokenBucket
from .world import Network, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from whereby_async.limiter import Limiter

    from .rows import Maker


@dataclass
class Outcome:
    """What came of a scenario.

    `fill` is the share of each full window that was used, `rate` points per second against the limit's.
    """

    throttled: int
    seconds: float = 0.0
    share: float = 0.0
    fill: float = 0.0
    inversions: int = 0
    throttled_by_window: dict[int, int] = field(default_factory=dict[int, int])
    costs: dict[str, int] = field(default_factory=dict[str, int])
    p99: float = 0.0
    worst: float = 0.0


def policy_of(name: str, limit: int = 1000, *, seed: int = 0) -> Policy:
    """A policy by its name; what turns with the clock turns at a random phase."""
    phase = random.Random(seed).uniform(0, 60)
    match name:
        case "aligned":
            return AlignedWindow(limit, phase=phase)
        case "sliding_counter":
            return SlidingCounter(limit, phase=phase)
        case "sliding_log":
            return SlidingLog(limit)
        case "token_bucket":
            return TokenBucket(limit)
        case _:
            return FixedWindow(limit)


def backlog(
    name: str, *, limit: int = 1000, windows: float = 10, seed: int = 0, style: str = "iso", make: Maker = PointBudget
) -> Outcome:
    """One who spends alone has all his calls waiting."""
    world = World(policy=policy_of(name, limit, seed=seed), seed=seed, style=style)
    budget = make(limit)
    costs: dict[str, int] = {}

    async def main() -> None:
        await world.backlog(budget, int(limit * windows))
        costs.update(budget.snapshot().costs)

    world.run(main)
    numbers = [number for _, number in world.grants]
    seconds = world.done_at - 1000
    rounds = bursts(world)
    full = rounds[1:-1] or rounds
    return Outcome(
        throttled=len(world.throttled),
        seconds=seconds,
        fill=sum(full) / len(full) / limit,
        inversions=sum(one > other for one, other in pairwise(numbers)),
        costs=dict(costs),
    )


def bursts(world: World) -> list[int]:
    """Points served in each round: rounds lie more than half a period apart."""
    rounds: list[int] = []
    last = float("-inf")
    for at, cost, _ in world.arrivals:
        if at - last > world.policy.period / 2:
            rounds.append(0)
        rounds[-1] += cost
        last = at
    return rounds


def long_run(seed: int = 0, *, windows: int = 30, rtt: float = 0.125, make: Maker = PointBudget) -> Outcome:
    """How close a fixed window's rate comes to the limit in the long run, beyond the first window's head start."""
    world = World(policy=policy_of("fixed"), seed=seed, network=Network(rtt=(rtt, rtt)))
    budget = make(1000)
    world.run(lambda: world.backlog(budget, 1000 * windows))
    first = next(at for at, _, _ in world.arrivals)
    last = max(at for at, _, _ in world.arrivals)
    return Outcome(throttled=len(world.throttled), share=(windows - 1) * 60 / (last - first))


def restart(name: str, seed: int = 0, *, spent: int = 950, style: str = "iso", make: Maker = PointBudget) -> Outcome:
    """A process starts into a window that others have nearly spent."""
    world = World(policy=policy_of(name, seed=seed), seed=seed, style=style)
    budget = make(1000)

    async def main() -> None:
        for _ in range(spent):
            world.serve(1, ours=False)
        await asyncio.sleep(20)
        await world.backlog(budget, 2000)

    world.run(main)
    return Outcome(throttled=len(world.throttled), seconds=world.done_at - 1020)


def lowered(name: str, seed: int = 0, *, at: float = 90.0, limit: int = 500, make: Maker = PointBudget) -> Outcome:
    """The limit is lowered while a backlog runs."""
    world = World(policy=policy_of(name, seed=seed), seed=seed)
    budget = make(1000)

    async def lower() -> None:
        await asyncio.sleep(at)
        world.policy.limit = limit

    async def main() -> None:
        await asyncio.gather(lower(), world.backlog(budget, 4000))

    world.run(main)
    return Outcome(throttled=len(world.throttled), seconds=world.done_at - 1000)


def wrong_plan(name: str, seed: int = 0, *, make: Maker = PointBudget) -> Outcome:
    """Configured for 1,000 points on a plan of 100."""
    world = World(policy=policy_of(name, 100, seed=seed), seed=seed)
    budget = make(1000)
    world.run(lambda: world.backlog(budget, 500))
    return Outcome(throttled=len(world.throttled), seconds=world.done_at - 1000)


def saturated(
    world: World,
    budget: Limiter,
    rivals: Callable[[], Awaitable[None]] | None = None,
    *,
    periods: int = 10,
    warm: float = 0.5,
) -> Outcome:
    """A backlog that never ends, beside rivals who began half a period before it.

    After `warm` periods more our share is measured, over so many periods.
    """
    period = world.policy.period
    start = 1000 + (period / 2 if rivals else 0.0)

    async def main() -> None:
        tasks = [asyncio.create_task(_awaited(rivals))] if rivals else []
        await asyncio.sleep(start - world.now())
        tasks.append(asyncio.create_task(world.backlog(budget, world.policy.limit * (periods + 3))))
        await asyncio.sleep((periods + warm + 1.5) * period)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    world.run(main)
    return Outcome(
        throttled=sum(at < start + (periods + warm) * period for at in world.throttled),
        share=share_of_the_rest(world, start + warm * period, periods),
    )


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def among_others(
    name: str,
    share: float,
    seed: int = 0,
    *,
    periods: int = 10,
    network: Network | None = None,
    skew: float = 0.0,
    make: Maker = PointBudget,
) -> Outcome:
    """Others want a share of the budget, evenly; how much of what they leave do we get?"""
    world = World(policy=policy_of(name, seed=seed), seed=seed, network=network or Network(), skew=skew)
    return saturated(world, make(1000), lambda: world.others(share * 1000 / 60), periods=periods)


def bursty_others(share: float, seed: int = 0, *, make: Maker = PointBudget) -> Outcome:
    """Others take their share of each minute in a few bursts, and their calls are always served first."""
    world = World(policy=policy_of("fixed"), seed=seed)

    async def burst() -> None:
        while True:
            for _ in range(int(share * 250)):
                world.serve(1, ours=False)
            await asyncio.sleep(world.dice.expovariate(1 / 15))

    return saturated(world, make(1000), burst)


def punished_bursts(seed: int = 0, *, make: Maker = PointBudget) -> Outcome:
    """A sliding counter, which does not honour the ledger's proof."""
    return saturated(World(policy=policy_of("sliding_counter", seed=seed), seed=seed), make(1000))


def wrong_prices(seed: int = 0, *, windows: int = 5, make: Maker = PointBudget) -> Outcome:
    """The server charges other prices than the old documents say."""
    world = World(policy=policy_of("fixed"), seed=seed, prices={"insights.rooms": 10, "meetings.list": 5})
    budget = make(1000)
    seeds = {"insights.rooms": 1, "meetings.list": 1, "meetings.get": 1, "meetings.delete": 2, "meetings.create": 3}
    outcome = Outcome(throttled=0)

    async def main() -> None:
        names = list(seeds)
        calls = [
            asyncio.create_task(world.call(budget, seeds[name], operation=name, number=number))
            for number, name in enumerate(world.dice.choice(names) for _ in range(3000))
        ]
        await asyncio.sleep(windows * 60 + 30)
        outcome.throttled = len(world.throttled)
        outcome.throttled_by_window = dict(Counter(int((at - 1000) // 60) for at in world.throttled))
        outcome.costs = dict(budget.snapshot().costs)
        outcome.fill = min(bursts(world)[1:]) / 1000
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    world.run(main)
    return outcome


def two_lanes(seed: int = 0, *, seconds: float = 900.0, make: Maker = PointBudget) -> Outcome:
    """A batch saturates the budget while somebody at a screen reads once a second: `share` is what both got of all points."""
    world = World(policy=policy_of("fixed"), seed=seed)
    budget = make(1000, reserve=0.1)
    outcome = Outcome(throttled=0)

    async def main() -> None:
        batch = asyncio.create_task(world.backlog(budget, int(seconds * 25), priority=Priority.BATCH))
        reads: list[asyncio.Task[None]] = []
        end = world.now() + seconds
        while world.now() < end:
            await asyncio.sleep(world.dice.expovariate(1))
            reads.append(asyncio.create_task(world.call(budget, 1, priority=Priority.INTERACTIVE)))
        await asyncio.gather(*reads)
        outcome.throttled = len(world.throttled)
        batch.cancel()
        await asyncio.gather(batch, return_exceptions=True)

    world.run(main)
    waits = sorted(wait for lane, wait in world.waits if lane is Priority.INTERACTIVE)
    outcome.p99, outcome.worst = waits[int(len(waits) * 0.99)], waits[-1]
    outcome.share = share_of_the_rest(world, 1000, int(seconds / 60) - 2)
    return outcome


def half_cancelled(seed: int = 0, *, count: int = 1000, make: Maker = PointBudget) -> Outcome:
    """Of a thousand waiting calls half are cancelled, each at a random moment; the rest must be served in order and time."""
    world = World(policy=policy_of("fixed", 100), seed=seed)
    budget = make(100)
    dice = random.Random(seed)
    outcome = Outcome(throttled=0)

    async def main() -> None:
        tasks = [asyncio.create_task(world.call(budget, 1, number=number)) for number in range(count)]
        for number in dice.sample(range(count), count // 2):
            asyncio.get_running_loop().call_later(dice.uniform(0, 240), tasks[number].cancel)
        await asyncio.wait(tasks)
        snapshot = budget.snapshot()
        assert snapshot.waiting_points == snapshot.in_flight == 0
        outcome.seconds = world.done_at - 1000
        served = [number for _, number in world.grants]
        outcome.inversions = sum(one > other for one, other in pairwise(served))
        outcome.share = sum(not task.cancelled() for task in tasks)
        outcome.throttled = len(world.throttled)
        # Nothing was lost on the way: a period later all points are there again.
        await asyncio.sleep(63)
        outcome.fill = budget.snapshot().available / 100

    world.run(main)
    return outcome


def endless_cheap_calls(name: str, seed: int = 0, *, make: Maker = PointBudget) -> Outcome:
    """One-point calls come faster than the limit allows, for ever; now and then a call comes that costs three.

    `inversions` is the most calls that came later than such a one and went before it.
    """
    world = World(policy=policy_of(name, 100, seed=seed), seed=seed)
    budget = make(100)
    outcome = Outcome(throttled=0)

    async def main() -> None:
        calls: list[asyncio.Task[None]] = []
        dear: list[int] = []
        for number in range(1200):
            cost = 3 if number % 60 == 30 else 1
            if cost > 1:
                dear.append(number)
            calls.append(asyncio.create_task(world.call(budget, cost, number=number)))
            await asyncio.sleep(world.dice.expovariate(4))
        await asyncio.gather(*calls)
        served = [number for _, number in world.grants]
        place = {number: at for at, number in enumerate(served)}
        outcome.inversions = max(sum(later > number for later in served[: place[number]]) for number in dear)
        outcome.throttled = len(world.throttled)

    world.run(main)
    return outcome
