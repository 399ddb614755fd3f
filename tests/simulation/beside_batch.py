"""Interactive calls beside a batch that takes all it can get: how long they wait, and what the batch gets."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Final

from simulation.figures import Bound, Row
from simulation.world import Callers, FixedWindow, SlidingLog, World

from whereby_async.limiter import Priority

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from simulation.figures import Figures, Maker

PERIOD: Final = 60.0
MIXES: Final = {"thin": 1, "thick": 3}
SERVERS: Final = ("fixed", "sliding_log", "silent")


class Scenario:
    """A server, a batch that can be started and stopped, and six interactive calls for a hundred points of a window."""

    def __init__(self, make: Maker, seed: int, server: str, limit: int, cost: int) -> None:
        policy = SlidingLog(limit) if server == "sliding_log" else FixedWindow(limit)
        self.world = World(policy, "none" if server == "silent" else "iso", seed=seed)
        self.callers = Callers(self.world, make(limit))
        self.limit = limit
        self.cost = cost
        self.measured: list[tuple[float, float]] = []
        self.share: float | None = None

    def start_batch(self) -> None:
        """More callers than a window has points, each with the next call as soon as one is answered."""
        self.callers.loops(
            self.limit // self.cost + 50, self.cost, f"batch{self.cost}", priority=Priority.BATCH, group="batch"
        )

    async def stop_batch(self) -> None:
        await self.callers.stop("batch")

    async def interactive(self, seconds: float = math.inf) -> None:
        """Calls of one point for so long.

        A reserve of 100 points takes the peaks of calls that come at random. One of 10 points does not, so there the
        calls come more evenly.
        """
        dice = self.world.dice
        gap = 1000 / self.limit
        end = self.world.now() + seconds
        while self.world.now() < end:
            await asyncio.sleep(dice.expovariate(1 / gap) if self.limit >= 1000 else dice.uniform(0.5 * gap, 1.5 * gap))
            self.callers.call(1, "screen", priority=Priority.INTERACTIVE, group="interactive")

    async def measure(self, seconds: float) -> None:
        """What is asked in the next so many seconds counts."""
        self.measured.append((self.world.now(), self.world.now() + seconds))
        await asyncio.sleep(seconds)

    async def turn(self) -> None:
        """Wait until the server's window turns; a sliding log has none, so there any moment will do."""
        policy = self.world.policy
        if not isinstance(policy, FixedWindow):
            await asyncio.sleep(self.world.dice.uniform(0, PERIOD))
            return
        end = policy.end
        await asyncio.sleep(end - self.world.now())
        while policy.end == end:
            await asyncio.sleep(0.01)

    def figures(self) -> Figures:
        """The waits of what was asked while measured, the 429s of the whole run, and the batch's share if it was read."""
        waits = sorted(
            wait.seconds
            for wait in self.callers.waits["interactive"]
            if any(begin <= wait.asked < end for begin, end in self.measured)
        )
        figures = {"429": len(self.world.throttled), "p99": waits[int(len(waits) * 0.99)], "longest": waits[-1]}
        return figures if self.share is None else {**figures, "share": self.share}


async def steady(scenario: Scenario) -> None:
    """Both run from the start; the first period does not count for the waits."""
    world, limit = scenario.world, scenario.limit
    windows = 8 if limit >= 1000 else 20
    scenario.start_batch()
    screen = asyncio.create_task(scenario.interactive())
    began = world.now()
    await asyncio.sleep(PERIOD)
    await scenario.measure((windows - 1) * PERIOD)
    batch = sum(cost for _, cost, operation in world.arrivals if operation != "screen")
    scenario.share = batch / ((world.now() - began) / PERIOD * limit - (world.points - batch))
    screen.cancel()
    await scenario.stop_batch()


async def turning(scenario: Scenario) -> None:
    """Interactive use is quiet; several times a batch begins just after the first call of a window."""
    dice = scenario.world.dice
    screen = asyncio.create_task(scenario.interactive())
    for _ in range(2 if scenario.limit >= 1000 else 8):
        await asyncio.sleep(dice.uniform(1.2, 2.5) * PERIOD)
        await scenario.turn()
        await asyncio.sleep(dice.uniform(0, 1.5))
        scenario.start_batch()
        await scenario.measure(2 * PERIOD)
        await scenario.stop_batch()
    screen.cancel()


async def after_lull(scenario: Scenario) -> None:
    """The batch runs; interactive calls come, pause for three to ten minutes, and come again."""
    scenario.start_batch()
    for _ in range(1 if scenario.limit >= 1000 else 6):
        await scenario.interactive(2 * PERIOD)
        await asyncio.sleep(scenario.world.dice.uniform(3, 10) * PERIOD)
        screen = asyncio.create_task(scenario.interactive())
        await scenario.measure(2 * PERIOD)
        screen.cancel()
    await scenario.stop_batch()


def beside_batch(
    make: Maker, seed: int, *, when: Callable[[Scenario], Awaitable[None]], server: str, limit: int, cost: int
) -> Figures:
    """The batch comes and goes by the one of the above that is passed."""
    scenario = Scenario(make, seed, server, limit, cost)

    async def main() -> None:
        await when(scenario)
        await scenario.callers.finish(2 * PERIOD)

    scenario.world.run(main)
    return scenario.figures()


_MUST = {"429": Bound(most=0), "p99": Bound(most=1.0)}

ROWS: list[Row] = [
    Row(
        f"interactive beside a batch, {name}: {server} {limit}, {mix} mix",
        partial(beside_batch, when=when, server=server, limit=limit, cost=MIXES[mix]),
        _MUST | ({"share": Bound(least=0.95 if limit == 1000 else 0.94)} if when is steady else {}),
        seeds=20,
    )
    for (name, when), server, limit, mix in product(
        (("steady", steady), ("begun at a window's turn", turning), ("after a lull", after_lull)),
        SERVERS,
        (1000, 100),
        MIXES,
    )
]
