"""A world to try a budget in: a server behind a network, other consumers, and callers; all on a simulated clock."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from whereby_async.errors import BudgetError
from whereby_async.limiter import Priority, RateLimit
from whereby_async.testing import run_simulated

from .server import EPOCH, FixedWindow, Policy, headers_of, spoil

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from whereby_async.limiter import Limiter, Permit

MIXED = (1, 2, 3)


@dataclass
class Network:
    """How long calls travel, and what gets lost. `lost_before` never arrives, `lost_after` is served unheard."""

    rtt: tuple[float, float] = (0.05, 0.2)
    lost_before: float = 0.0
    lost_after: float = 0.0
    spoilt: float = 0.0


@dataclass
class World:
    """A server behind a network.

    `skew` is the error of the server's wall clock in seconds, `drift` that of its rate against ours. `served` lists
    what the server took: when by its clock, how many points, and whether the call was ours.
    """

    policy: Policy = field(default_factory=lambda: FixedWindow(1000))
    style: str = "iso"
    network: Network = field(default_factory=Network)
    seed: int = 0
    skew: float = 0.0
    drift: float = 0.0
    prices: Mapping[str, int] = field(default_factory=dict[str, int])
    body: bool = True

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.throttled: list[float] = []
        self.arrivals: list[tuple[float, int, str]] = []
        self.served: list[tuple[float, int, bool]] = []
        self.points = 0
        self.waits: list[tuple[Priority, float]] = []
        self.grants: list[tuple[Priority, int]] = []
        self.done_at = 0.0

    def now(self) -> float:
        """Our time."""
        return asyncio.get_running_loop().time()

    def serve(self, cost: int, operation: str = "", *, ours: bool = True) -> RateLimit:
        """A call arrives at the server; what its answer will say."""
        t = self.now() * (1 + self.drift)
        cost = self.prices.get(operation, cost)
        verdict = self.policy.spend(t, cost)
        if verdict.taken:
            self.served.append((t, cost, ours))
        if ours:
            self.arrivals.append((self.now(), cost if verdict.taken else 0, operation))
            if verdict.taken:
                self.points += cost
            else:
                self.throttled.append(self.now())
        headers = headers_of(self.style, self.policy.limit, self.policy.period, verdict, EPOCH + self.skew + t)
        if self.dice.random() < self.network.spoilt:
            headers = spoil(headers, self.dice)
        body = b""
        if not verdict.taken and self.body:
            body = b'{"error":"Rate limit active","data":{"msLeft":%d}}' % int(verdict.retry_after * 1000 + 1)
        return RateLimit.from_response(200 if verdict.taken else 429, headers, body)

    async def call(
        self,
        budget: Limiter,
        cost: int,
        *,
        operation: str = "",
        priority: Priority = Priority.NORMAL,
        number: int = 0,
        max_wait: float | None = None,
    ) -> None:
        """One call with its retries, as a client would make it."""
        permit: Permit | None = None
        while True:
            asked = self.now()
            permit = await budget.acquire(cost, operation=operation, priority=priority, after=permit, max_wait=max_wait)
            self.waits.append((priority, self.now() - asked))
            self.grants.append((priority, number))
            if await self.attempt(permit, cost, operation):
                return

    async def attempt(self, permit: Permit, cost: int, operation: str) -> bool:
        """One request; was it answered and not refused?"""
        try:
            trip = self.dice.uniform(*self.network.rtt)
            out = trip * self.dice.uniform(0.2, 0.8)
            fate = self.dice.random()
            await asyncio.sleep(out)
            if fate < self.network.lost_before:
                await asyncio.sleep(self.dice.uniform(0, 2))
                permit.lost()
                return False
            answer = self.serve(cost, operation)
            if fate < self.network.lost_before + self.network.lost_after:
                await asyncio.sleep(self.dice.uniform(0, 2))
                permit.lost()
                return False
            await asyncio.sleep(trip - out)
        except BaseException:
            permit.lost()
            raise
        permit.settle(answer)
        self.done_at = self.now()
        return not answer.throttled

    async def others(self, rate: float) -> None:
        """Somebody else spends `rate` points per second of the same budget."""
        while True:
            await asyncio.sleep(self.dice.expovariate(rate))
            self.serve(1, ours=False)

    async def backlog(self, budget: Limiter, points: int, *, priority: Priority = Priority.NORMAL) -> None:
        """Calls for so many points, all at once."""
        calls = [
            asyncio.create_task(self.call(budget, cost, operation=f"cost{cost}", priority=priority, number=number))
            for number, cost in enumerate(self.costs_of(points))
        ]
        await asyncio.gather(*calls)

    def costs_of(self, points: int, costs: Sequence[int] = MIXED) -> Iterator[int]:
        """The costs of calls that take so many points together."""
        while points > 0:
            cost = min(self.dice.choice(costs), points)
            points -= cost
            yield cost

    def run(self, main: Callable[[], Awaitable[None]], *, start: float = 1000.0) -> World:
        """Run `main` on a simulated clock."""

        async def go() -> None:
            await main()

        run_simulated(go(), start=start)
        return self


@dataclass
class ChangedWorld(World):
    """A world in which something stands between the server and us.

    Attributes:
        change: Makes what we receive of what the server answered; it is told the answer's number, from 1.
        gateway: Answers in the server's place, unless it returns `None`.
        answers: How many answers we have had of the server.
    """

    change: Callable[[RateLimit, int], RateLimit] | None = None
    gateway: Callable[[], RateLimit | None] | None = None
    answers: int = 0

    def serve(self, cost: int, operation: str = "", *, ours: bool = True) -> RateLimit:
        """A call arrives at the gateway."""
        if ours and self.gateway and (answer := self.gateway()):
            self.throttled.append(self.now())
            return answer
        answer = super().serve(cost, operation, ours=ours)
        if not ours or not self.change:
            return answer
        self.answers += 1
        return self.change(answer, self.answers)


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
        for cost in self.world.costs_of(points, costs):
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

    def figures(self, *groups: str) -> dict[str, float]:
        """The 429s of the whole run, and the longest wait in these groups, or in all."""
        return {"429": len(self.world.throttled), "longest": self.longest(*groups)}

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
