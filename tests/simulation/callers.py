"""`Callers` make the calls of a scenario and record every wait; `ChangedWorld` is a server whose answers are changed on their way."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from simulation.world import World
from whereby_async.errors import BudgetError
from whereby_async.limiter import Priority, RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from whereby_async.limiter import Limiter, Permit

MIXED = (1, 2, 3)


@dataclass
class ChangedWorld(World):
    """A world in which something stands between the server and us.

    Attributes:
        change: Makes what we receive of what the server answered.
        gateway: Answers in the server's place, unless it returns `None`.
    """

    change: Callable[[RateLimit], RateLimit] | None = None
    gateway: Callable[[], RateLimit | None] | None = None

    def serve(self, cost: int, operation: str = "", *, ours: bool = True) -> RateLimit:
        """A call arrives at the gateway."""
        if ours and self.gateway and (answer := self.gateway()):
            self.throttled.append(self.now())
            return answer
        answer = super().serve(cost, operation, ours=ours)
        return self.change(answer) if ours and self.change else answer


class Wait(NamedTuple):
    """How long a call waited for its permits, all its attempts together."""

    asked: float
    seconds: float


class Callers:
    """Calls in groups.

    Attributes:
        waits: The waits of each group's calls. One that was still waiting at the end counts with the time until then.
        refused: Calls that ended in `BudgetError`.
    """

    def __init__(self, world: World, budget: Limiter) -> None:
        self.world = world
        self.budget = budget
        self.waits: defaultdict[str, list[Wait]] = defaultdict(list)
        self.refused = 0
        self._tasks: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._stopped: set[str] = set()
        self._waiting: set[asyncio.Task[None] | None] = set()

    def call(
        self,
        cost: int,
        operation: str = "",
        *,
        priority: Priority = Priority.NORMAL,
        group: str = "",
        hang: float = 0.0,
    ) -> asyncio.Task[None]:
        """Start a call; its answer takes `hang` seconds longer, or never comes if that is negative."""
        task = asyncio.create_task(self._call(cost, operation or f"cost{cost}", priority, group, hang))
        self._tasks[group].add(task)
        return task

    def backlog(self, points: int, costs: Sequence[int] = MIXED, *, group: str = "") -> None:
        """Start calls for so many points, all at once."""
        while points > 0:
            cost = min(self.world.dice.choice(costs), points)
            points -= cost
            self.call(cost, group=group)

    def loops(
        self, count: int, cost: int, operation: str, *, priority: Priority = Priority.NORMAL, group: str = ""
    ) -> None:
        """Start so many callers that call again as soon as they are answered."""

        async def loop() -> None:
            while group not in self._stopped:
                await self._call(cost, operation, priority, group, 0.0)

        self._stopped.discard(group)
        for _ in range(count):
            self._tasks[group].add(asyncio.create_task(loop()))

    async def finish(self, seconds: float, *groups: str) -> bool:
        """Let the calls end, of these groups or all, for so long at most; cancel the rest. Did all end?"""
        tasks = [task for group in groups or tuple(self._tasks) for task in self._tasks[group]]
        if not tasks:
            return True
        _, pending = await asyncio.wait(tasks, timeout=seconds)
        await _cancel(pending)
        return not pending

    async def stop(self, group: str) -> None:
        """Cancel the group's calls that wait, and let those be answered that are in flight."""
        self._stopped.add(group)
        tasks = self._tasks.pop(group, set())
        while tasks := {task for task in tasks if not task.done()}:
            await _cancel(tasks & self._waiting)
            await asyncio.sleep(0.01)

    def longest(self, *groups: str) -> float:
        """The longest wait in these groups, or in all."""
        return max((wait.seconds for group in groups or tuple(self.waits) for wait in self.waits[group]), default=0.0)

    async def _call(self, cost: int, operation: str, priority: Priority, group: str, hang: float) -> None:
        began = self.world.now()
        waited = 0.0
        permit: Permit | None = None
        task = asyncio.current_task()
        try:
            while True:
                asked = self.world.now()
                self._waiting.add(task)
                try:
                    permit = await self.budget.acquire(cost, operation=operation, priority=priority, after=permit)
                except BudgetError:
                    self.refused += 1
                    return
                finally:
                    self._waiting.discard(task)
                    waited += self.world.now() - asked
                if hang:
                    await self._hang(permit, cost, operation, hang)
                    return
                if await self.world.attempt(permit, cost, operation):
                    return
        finally:
            self.waits[group].append(Wait(began, waited))

    async def _hang(self, permit: Permit, cost: int, operation: str, seconds: float) -> None:
        await asyncio.sleep(0.1)
        answer = self.world.serve(cost, operation)
        await asyncio.sleep(abs(seconds) - 0.1)
        if seconds < 0:
            permit.lost()
        else:
            permit.settle(answer)


async def _cancel(tasks: set[asyncio.Task[None]] | set[asyncio.Task[None] | None]) -> None:
    gone = [task for task in tasks if task]
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)


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
