"""Scenarios of those who share a limit: with others, with copies of themselves, and with a server that has its own prices."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .measure import share_of_all, share_of_the_time
from .naive import NaiveClient
from .policies import FixedWindow
from .scenarios import policy_of, saturated
from .world import Network, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whereby_async.limiter import Limiter

    from .rows import Maker
    from .scenarios import Outcome

COSTS = (1, 2, 3)
SEED_PRICES = {"meetings.get": 1, "meetings.list": 1, "meetings.delete": 2, "meetings.create": 3}
WRITES_COST_TEN = {"meetings.delete": 10, "meetings.create": 10}
READS_COST_FIVE = {"meetings.get": 5, "meetings.list": 5}
ALL_COST_THRICE = {name: 3 * price for name, price in SEED_PRICES.items()}


def rough_network() -> Network:
    """Answers overtake one another, and four calls in a hundred are lost, half of them after they were served."""
    return Network(rtt=(0.05, 0.5), lost_before=0.02, lost_after=0.02)


class ToldWindow(FixedWindow):
    """A fixed window that tells when it opens."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.opened = asyncio.Event()

    def _turn(self, t: float) -> None:
        if t >= self.end:
            self.opened.set()
        super()._turn(t)


def window_starts_taken(make: Maker, seed: int, *, points: int = 600, within: float = 1.5) -> Outcome:
    """Others spend most of each window soon after it has opened; our share is that of all points."""
    policy = ToldWindow(1000)
    world = World(policy=policy, seed=seed)

    async def rivals() -> None:
        while True:
            await policy.opened.wait()
            policy.opened.clear()
            for _ in range(points):
                await asyncio.sleep(within / points)
                world.serve(1, ours=False)

    outcome = saturated(world, make(1000), rivals)
    outcome.share = share_of_all(world, 1060)
    return outcome


@dataclass
class Workers:
    """Callers that make one call after the other; `points` is what they got, by time."""

    world: World
    budget: Limiter
    count: int = 100

    def __post_init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.points: list[tuple[float, int]] = []

    def start(self) -> None:
        """They begin."""
        self.tasks = [asyncio.create_task(self._work()) for _ in range(self.count)]

    async def _work(self) -> None:
        while True:
            cost = self.world.dice.choice(COSTS)
            await self.world.call(self.budget, cost, operation=f"cost{cost}")
            self.points.append((self.world.now(), cost))

    async def stop(self) -> None:
        """They stop at once, and what is out is lost."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def on_and_off(make: Maker, seed: int, *, share: float = 0.6, seconds: float = 600.0) -> Mapping[str, float]:
    """Beside others we have a backlog for 5 to 40 s, then nothing for 5 to 40 s, and so on."""
    world = World(policy=FixedWindow(1000), seed=seed)
    budget = make(1000)

    async def ours() -> None:
        while True:
            calls = [asyncio.create_task(_unless_cancelled_in_time(world, budget)) for _ in range(400)]
            await asyncio.sleep(world.dice.uniform(5, 40))
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await asyncio.sleep(world.dice.uniform(5, 40))

    async def main() -> None:
        tasks = [asyncio.create_task(world.others(share * 1000 / 60)), asyncio.create_task(ours())]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    world.run(main)
    return {"throttled": len(world.throttled), "points": world.points}


async def _unless_cancelled_in_time(world: World, budget: Limiter) -> None:
    """Calls, one after the other, until cancelled; a call that has left is not cut off."""
    while True:
        cost = world.dice.choice(COSTS)
        permit = await budget.acquire(cost, operation=f"cost{cost}")
        await asyncio.shield(world.attempt(permit, cost, f"cost{cost}"))


def copies(make: Maker, seed: int, *, count: int, windows: int = 10) -> Mapping[str, float]:
    """So many budgets share a limit and do not know of one another; `ratio` is the fastest's points by the slowest's."""
    world, crews = _copies(make, seed, count, windows)
    late = 1000 + (windows - 3) * 60
    points = [sum(cost for at, cost in crew.points if at >= late) for crew in crews]
    return {
        "throttled": len(world.throttled),
        "points": world.points,
        "ratio": max(points) / max(1, min(points)),
        "naive": len(_copies(NaiveClient, seed, count, windows)[0].throttled),
    }


def _copies(make: Maker, seed: int, count: int, windows: int) -> tuple[World, list[Workers]]:
    world = World(policy=FixedWindow(1000), seed=seed, network=Network(rtt=(0.05, 0.15)))
    crews: list[Workers] = []

    async def main() -> None:
        crews.extend(Workers(world, make(1000)) for _ in range(count))
        for crew in crews:
            crew.start()
        await asyncio.sleep(windows * 60)
        for crew in crews:
            await crew.stop()

    world.run(main)
    return world, crews


def prices(
    make: Maker,
    seed: int,
    *,
    charged: Mapping[str, int],
    share: float = 0.0,
    network: Network | None = None,
    windows: int = 10,
) -> Mapping[str, float]:
    """The server charges other prices than the seeds; `learned` is the share of operations whose price is known at the end."""
    world = World(policy=FixedWindow(1000), seed=seed, prices=charged, network=network or Network())
    budget = make(1000)
    names = list(SEED_PRICES)
    costs: dict[str, int] = {}

    async def main() -> None:
        rivals = [asyncio.create_task(world.others(share * 1000 / 60))] if share else []
        await asyncio.sleep(30 if share else 0)
        calls = [
            asyncio.create_task(world.call(budget, SEED_PRICES[name], operation=name, number=number))
            for number, name in enumerate(world.dice.choice(names) for _ in range(windows * 1000 // 2))
        ]
        await asyncio.sleep(windows * 60)
        costs.update(budget.snapshot().costs)
        for task in (*rivals, *calls):
            task.cancel()
        await asyncio.gather(*rivals, *calls, return_exceptions=True)

    world.run(main)
    right = [costs.get(name, seed_price) == charged.get(name, seed_price) for name, seed_price in SEED_PRICES.items()]
    return {"throttled": len(world.throttled), "points": world.points, "learned": sum(right) / len(right)}


def silent(make: Maker, seed: int, *, name: str, limit: int = 1000) -> Mapping[str, float]:
    """A server that says nothing about the budget; its sole consumer knows the limit."""
    world = World(policy=policy_of(name, limit, seed=seed), seed=seed, style="none")
    outcome = saturated(world, make(limit))
    eff = share_of_the_time(world, 1000 + world.policy.period / 2)
    return {"throttled": outcome.throttled, "eff": eff}


def silent_restart(make: Maker, seed: int, *, callers: int = 2) -> Mapping[str, float]:
    """A few callers start thirty seconds into a window of which 950 points are spent, and no answer says anything."""
    world = World(policy=FixedWindow(1000), seed=seed, style="none", body=False)

    async def main() -> None:
        for _ in range(950):
            world.serve(1, ours=False)
        await asyncio.sleep(30)
        crew = Workers(world, make(1000), callers)
        crew.start()
        await asyncio.sleep(60)
        await crew.stop()

    world.run(main)
    return {"throttled": len(world.throttled), "points": world.points}


def small_bursts(make: Maker, seed: int) -> Mapping[str, float]:
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
