"""The named scenarios: each makes a world and a budget in it, lets callers live there, and returns its figures.

`throttled` counts 429s, `seconds` is how long it took, `thru` the share of what others left that we got, and `fill` the
used share of full windows.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from simulation.figures import bursts, share_of_all, share_of_the_rest, share_of_the_time
from simulation.world import MIXED, FixedWindow, Network, World, policy_of
from support.recording_limiter import RecordedPermit, RecordingLimiter

from whereby_async.limiter import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from simulation.figures import Figures, Maker

    from whereby_async.limiter import Limiter, RateLimit

SEED_PRICES = {"meetings.get": 1, "meetings.list": 1, "meetings.delete": 2, "meetings.create": 3}
WRITES_COST_TEN = {"meetings.delete": 10, "meetings.create": 10}
READS_COST_FIVE = {"meetings.get": 5, "meetings.list": 5}
ALL_COST_THRICE = {name: 3 * price for name, price in SEED_PRICES.items()}


def rough_network() -> Network:
    """Answers overtake one another, and four calls in a hundred are lost, half of them after they were served."""
    return Network(rtt=(0.05, 0.5), lost_before=0.02, lost_after=0.02)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# Alone


def backlog(make: Maker, seed: int, *, name: str, limit: int = 1000, windows: int = 10, style: str = "iso") -> Figures:
    """A sole consumer has all calls waiting; `learned` counts prices that are believed to differ from the seeds."""
    world = World(policy=policy_of(name, limit, seed=seed), seed=seed, style=style)
    budget = make(limit)
    learned = 0

    async def main() -> None:
        nonlocal learned
        await world.backlog(budget, limit * windows)
        learned = len(budget.snapshot().costs)

    world.run(main)
    rounds = [points for _, points in bursts(world)]
    full = rounds[1:-1] or rounds
    return {
        "throttled": len(world.throttled),
        "fill": sum(full) / len(full) / limit,
        "seconds": world.done_at - 1000,
        "learned": learned,
    }


def long_run(make: Maker, seed: int, *, windows: int = 30) -> Figures:
    """`share` is the rate in the long run as a share of the limit's, without the first window's head start."""
    world = World(policy=policy_of("fixed"), seed=seed, network=Network(rtt=(0.125, 0.125)))
    budget = make(1000)
    world.run(lambda: world.backlog(budget, 1000 * windows))
    first, last = world.arrivals[0][0], world.arrivals[-1][0]
    return {"throttled": len(world.throttled), "share": (windows - 1) * 60 / (last - first)}


def restart(make: Maker, seed: int, *, name: str, style: str = "iso") -> Figures:
    """A process starts into a window that others have nearly spent."""
    world = World(policy=policy_of(name, seed=seed), seed=seed, style=style)
    budget = make(1000)

    async def main() -> None:
        for _ in range(950):
            world.serve(1, ours=False)
        await asyncio.sleep(20)
        await world.backlog(budget, 2000)

    world.run(main)
    return {"throttled": len(world.throttled), "seconds": world.done_at - 1020}


def lowered(make: Maker, seed: int, *, name: str, at: float) -> Figures:
    """The limit is lowered while a backlog runs."""
    world = World(policy=policy_of(name, seed=seed), seed=seed)
    budget = make(1000)

    async def lower() -> None:
        await asyncio.sleep(at)
        world.policy.limit = 500

    async def main() -> None:
        await asyncio.gather(lower(), world.backlog(budget, 4000))

    world.run(main)
    return {"throttled": len(world.throttled), "seconds": world.done_at - 1000}


def wrong_plan(make: Maker, seed: int, *, name: str) -> Figures:
    """Configured for 1,000 points on a plan of 100."""
    world = World(policy=policy_of(name, 100, seed=seed), seed=seed)
    budget = make(1000)
    world.run(lambda: world.backlog(budget, 500))
    return {"throttled": len(world.throttled), "seconds": world.done_at - 1000}


def saturated(
    world: World,
    budget: Limiter,
    rivals: Callable[[], Coroutine[Any, Any, None]] | None = None,
    *,
    periods: int = 10,
    warm: float = 0.5,
) -> Figures:
    """A backlog that never ends, beside rivals who began half a period before it.

    After `warm` periods more our share is measured, over so many periods.
    """
    period = world.policy.period
    start = 1000 + (period / 2 if rivals else 0.0)

    async def main() -> None:
        tasks = [asyncio.create_task(rivals())] if rivals else []
        await asyncio.sleep(start - world.now())
        tasks.append(asyncio.create_task(world.backlog(budget, world.policy.limit * (periods + 3))))
        await asyncio.sleep((periods + warm + 1.5) * period)
        await _cancel(*tasks)

    world.run(main)
    return {
        "throttled": sum(at < start + (periods + warm) * period for at in world.throttled),
        "thru": share_of_the_rest(world, start + warm * period, periods),
    }


def alone(make: Maker, seed: int, *, name: str, warm: float = 1.0) -> Figures:
    """The sole consumer of a server whose points flow back evenly, or of one that punishes bursts."""
    return saturated(World(policy=policy_of(name, seed=seed), seed=seed), make(1000), warm=warm)


def silent(make: Maker, seed: int, *, limit: int) -> Figures:
    """A server that says nothing about the budget; its sole consumer knows the limit."""
    world = World(policy=policy_of("fixed", limit, seed=seed), seed=seed, style="none")
    throttled = saturated(world, make(limit))["throttled"]
    return {"throttled": throttled, "eff": share_of_the_time(world, 1000 + world.policy.period / 2)}


# Beside others


def among_others(make: Maker, seed: int, *, name: str, share: float, periods: int = 10, rough: bool = False) -> Figures:
    """Others want a share of the budget, evenly; `rough` is a rough network, and a server whose clock is wrong."""
    skew = random.Random(seed).uniform(-30, 30) if rough else 0.0
    network = rough_network() if rough else Network()
    world = World(policy=policy_of(name, seed=seed), seed=seed, network=network, skew=skew)
    return saturated(world, make(1000), lambda: world.others(share * 1000 / 60), periods=periods)


def bursty_others(make: Maker, seed: int, *, share: float) -> Figures:
    """Others take their share of each minute in a few bursts, and their calls are always served first."""
    world = World(policy=policy_of("fixed"), seed=seed)

    async def burst() -> None:
        while True:
            for _ in range(int(share * 250)):
                world.serve(1, ours=False)
            await asyncio.sleep(world.dice.expovariate(1 / 15))

    return saturated(world, make(1000), burst)


class ToldWindow(FixedWindow):
    """A fixed window that tells when it opens."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.opened = asyncio.Event()

    def _turn(self, t: float) -> None:
        if t >= self.end:
            self.opened.set()
        super()._turn(t)


def window_starts_taken(make: Maker, seed: int) -> Figures:
    """Others spend most of each window soon after it has opened; our share is that of all points."""
    policy = ToldWindow(1000)
    world = World(policy=policy, seed=seed)

    async def rivals() -> None:
        while True:
            await policy.opened.wait()
            policy.opened.clear()
            for _ in range(600):
                await asyncio.sleep(1.5 / 600)
                world.serve(1, ours=False)

    throttled = saturated(world, make(1000), rivals)["throttled"]
    return {"throttled": throttled, "thru": share_of_all(world, 1060)}


def on_and_off(make: Maker, seed: int) -> Figures:
    """Beside others we have a backlog for 5 to 40 s, then nothing for 5 to 40 s, and so on."""
    world = World(policy=FixedWindow(1000), seed=seed)
    budget = make(1000)

    async def call_until_cancelled() -> None:
        """Calls, one after the other; a call that has left is not cut off."""
        while True:
            cost = world.dice.choice(MIXED)
            permit = await budget.acquire(cost, operation=f"cost{cost}")
            await asyncio.shield(world.attempt(permit, cost, f"cost{cost}"))

    async def ours() -> None:
        while True:
            calls = [asyncio.create_task(call_until_cancelled()) for _ in range(400)]
            await asyncio.sleep(world.dice.uniform(5, 40))
            await _cancel(*calls)
            await asyncio.sleep(world.dice.uniform(5, 40))

    async def main() -> None:
        tasks = [asyncio.create_task(world.others(0.6 * 1000 / 60)), asyncio.create_task(ours())]
        await asyncio.sleep(600)
        await _cancel(*tasks)

    world.run(main)
    return {"throttled": len(world.throttled), "points": world.points}


# Copies that do not know of one another


class Workers:
    """Callers that make one call after the other; `points` is what they got, by time."""

    def __init__(self, world: World, budget: Limiter, count: int = 100) -> None:
        self.world = world
        self.budget = budget
        self.points: list[tuple[float, int]] = []
        self.tasks = [asyncio.create_task(self._work()) for _ in range(count)]

    async def _work(self) -> None:
        while True:
            cost = self.world.dice.choice(MIXED)
            await self.world.call(self.budget, cost, operation=f"cost{cost}")
            self.points.append((self.world.now(), cost))

    async def stop(self) -> None:
        """They stop at once, and what is in flight is lost."""
        await _cancel(*self.tasks)


class NaivePermit(RecordedPermit):
    """Leave to send, until it is given back."""

    def __init__(self, client: NaiveClient, cost: int) -> None:
        super().__init__(cost, "", Priority.NORMAL, None, None)
        self._client = client

    def settle(self, answer: RateLimit | None) -> None:
        if answer is not None and answer.throttled:
            self._client.freeze(answer.retry_after or 1.0)
        self.release()

    def release(self) -> None:
        if not self.ends:
            super().release()
            self._client.slots.release()

    def lost(self) -> None:
        self.release()


class NaiveClient(RecordingLimiter):
    """A client to compare with: ten calls in flight at most, and after a 429 none for as long as `Retry-After` says."""

    def __init__(self, limit: int | None = None, **_: Any) -> None:
        super().__init__()
        self.slots = asyncio.Semaphore(10)
        self._frozen_until = 0.0

    def freeze(self, seconds: float) -> None:
        self._frozen_until = max(self._frozen_until, asyncio.get_running_loop().time() + seconds)

    async def acquire(self, cost: int, **_: Any) -> NaivePermit:
        await self.slots.acquire()
        try:
            while (wait := self._frozen_until - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
        except BaseException:
            self.slots.release()
            raise
        return NaivePermit(self, cost)


def copies(make: Maker, seed: int, *, count: int) -> Figures:
    """Budgets share a limit and do not know of one another; `ratio` is the fastest's points by the slowest's."""
    world, crews = _copies(make, seed, count)
    late = 1000 + 7 * 60
    points = [sum(cost for at, cost in crew.points if at >= late) for crew in crews]
    return {
        "throttled": len(world.throttled),
        "points": world.points,
        "ratio": max(points) / max(1, min(points)),
        "naive": len(_copies(NaiveClient, seed, count)[0].throttled),
    }


def _copies(make: Maker, seed: int, count: int) -> tuple[World, list[Workers]]:
    world = World(policy=FixedWindow(1000), seed=seed, network=Network(rtt=(0.05, 0.15)))
    crews: list[Workers] = []

    async def main() -> None:
        crews.extend(Workers(world, make(1000)) for _ in range(count))
        await asyncio.sleep(600)
        for crew in crews:
            await crew.stop()

    world.run(main)
    return world, crews


def silent_restart(make: Maker, seed: int) -> Figures:
    """Two callers start thirty seconds into a window of which 950 points are spent, and no answer says anything."""
    world = World(policy=FixedWindow(1000), seed=seed, style="none", body=False)

    async def main() -> None:
        for _ in range(950):
            world.serve(1, ours=False)
        await asyncio.sleep(30)
        crew = Workers(world, make(1000), 2)
        await asyncio.sleep(60)
        await crew.stop()

    world.run(main)
    return {"throttled": len(world.throttled), "points": world.points}


# Prices


def prices(
    make: Maker,
    seed: int,
    *,
    charged: Mapping[str, int],
    share: float = 0.0,
    network: Network | None = None,
) -> Figures:
    """The server charges other prices than the seeds; `learned` is the share of prices that are known at the end."""
    world = World(policy=FixedWindow(1000), seed=seed, prices=charged, network=network or Network())
    budget = make(1000)
    names = list(SEED_PRICES)
    costs: dict[str, int] = {}

    async def main() -> None:
        rivals = [asyncio.create_task(world.others(share * 1000 / 60))] if share else []
        await asyncio.sleep(30 if share else 0)
        calls = [
            asyncio.create_task(world.call(budget, SEED_PRICES[name], operation=name, number=number))
            for number, name in enumerate(world.dice.choice(names) for _ in range(5000))
        ]
        await asyncio.sleep(600)
        costs.update(budget.snapshot().costs)
        await _cancel(*rivals, *calls)

    world.run(main)
    right = [costs.get(name, seed_price) == charged.get(name, seed_price) for name, seed_price in SEED_PRICES.items()]
    return {"throttled": len(world.throttled), "points": world.points, "learned": sum(right) / len(right)}


def wrong_prices(make: Maker, seed: int) -> Figures:
    """The server charges other prices than the old documents say.

    `later` is the most 429s in a window but the first; `wrong` counts prices that were learned wrongly or not at all.
    """
    charged = {"insights.rooms": 10, "meetings.list": 5}
    world = World(policy=policy_of("fixed"), seed=seed, prices=charged)
    budget = make(1000)
    seeds = {"insights.rooms": 1, "meetings.list": 1, "meetings.get": 1, "meetings.delete": 2, "meetings.create": 3}
    figures: dict[str, float] = {}

    async def main() -> None:
        names = list(seeds)
        calls = [
            asyncio.create_task(world.call(budget, seeds[name], operation=name, number=number))
            for number, name in enumerate(world.dice.choice(names) for _ in range(3000))
        ]
        await asyncio.sleep(330)
        by_window = Counter(int((at - 1000) // 60) for at in world.throttled)
        figures["later"] = max((count for window, count in by_window.items() if window), default=0)
        figures["wrong"] = len(budget.snapshot().costs.items() ^ charged.items())
        figures["fill"] = min(points for _, points in bursts(world)[1:]) / 1000
        await _cancel(*calls)

    world.run(main)
    return figures


# Waits


def small_bursts(make: Maker, seed: int) -> Figures:
    """Twelve reads every three seconds for a minute, with nearly all of a known window left."""
    world = World(policy=FixedWindow(1000), seed=seed, network=Network(rtt=(0.2, 0.2)))
    budget = make(1000)

    async def main() -> None:
        await world.backlog(budget, 60)
        await asyncio.sleep(61)
        world.waits.clear()
        for _ in range(20):
            await asyncio.gather(
                asyncio.sleep(3), *(world.call(budget, 1, operation="meetings.get") for _ in range(12))
            )

    world.run(main)
    waits = [wait for _, wait in world.waits]
    return {"mean": sum(waits) / len(waits), "longest": max(waits), "throttled": len(world.throttled)}


def two_priorities(make: Maker, seed: int) -> Figures:
    """A batch saturates the budget while somebody reads once a second: `share` is what both got of all points."""
    world = World(policy=policy_of("fixed"), seed=seed)
    budget = make(1000, reserve=0.1)
    throttled = 0

    async def main() -> None:
        nonlocal throttled
        batch = asyncio.create_task(world.backlog(budget, 22_500, priority=Priority.BATCH))
        reads: list[asyncio.Task[None]] = []
        end = world.now() + 900
        while world.now() < end:
            await asyncio.sleep(world.dice.expovariate(1))
            reads.append(asyncio.create_task(world.call(budget, 1, priority=Priority.INTERACTIVE)))
        await asyncio.gather(*reads)
        throttled = len(world.throttled)
        await _cancel(batch)

    world.run(main)
    waits = sorted(wait for priority, wait in world.waits if priority is Priority.INTERACTIVE)
    return {
        "throttled": throttled,
        "p99": waits[int(len(waits) * 0.99)],
        "worst": waits[-1],
        "share": share_of_the_rest(world, 1000, 13),
    }


def half_cancelled(make: Maker, seed: int) -> Figures:
    """Of a thousand waiting calls half are cancelled at random; the rest must be served in order and in time.

    `late` are seconds beyond what the rest takes; `points_back` is the share of points that are there a period later.
    """
    world = World(policy=policy_of("fixed", 100), seed=seed)
    budget = make(100)
    dice = random.Random(seed)
    figures: dict[str, float] = {}

    async def main() -> None:
        tasks = [asyncio.create_task(world.call(budget, 1, number=number)) for number in range(1000)]
        for number in dice.sample(range(1000), 500):
            asyncio.get_running_loop().call_later(dice.uniform(0, 240), tasks[number].cancel)
        await asyncio.wait(tasks)
        snapshot = budget.snapshot()
        assert snapshot.waiting_points == snapshot.in_flight == 0
        served = sum(not task.cancelled() for task in tasks)
        figures["throttled"] = len(world.throttled)
        figures["served"] = served
        figures["inversions"] = sum(one > other for (_, one), (_, other) in pairwise(world.grants))
        await asyncio.sleep(63)
        figures["points_back"] = budget.snapshot().available / 100
        figures["late"] = world.done_at - 1000 - (served // 100) * 60.2 - 1

    world.run(main)
    return figures


def endless_cheap_calls(make: Maker, seed: int, *, name: str) -> Figures:
    """One-point calls come faster than the limit allows, for ever; now and then a call comes that costs three.

    `inversions` is the most calls that came later than such a one and went before it.
    """
    world = World(policy=policy_of(name, 100, seed=seed), seed=seed)
    budget = make(100)
    dear = range(30, 1200, 60)

    async def main() -> None:
        calls: list[asyncio.Task[None]] = []
        for number in range(1200):
            calls.append(asyncio.create_task(world.call(budget, 3 if number in dear else 1, number=number)))
            await asyncio.sleep(world.dice.expovariate(4))
        await asyncio.gather(*calls)

    world.run(main)
    served = [number for _, number in world.grants]
    place = {number: at for at, number in enumerate(served)}
    return {
        "throttled": len(world.throttled),
        "inversions": max(sum(later > number for later in served[: place[number]]) for number in dear),
    }
