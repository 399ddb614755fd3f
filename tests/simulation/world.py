"""A world to try a budget in: a server with a meter, a network, other consumers, and callers; all on a simulated clock."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whereby_async.limiter import Priority, RateLimit
from whereby_async.testing.clock import run_simulated

from .headers import EPOCH, headers_of, spoil
from .policies import FixedWindow, Policy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from whereby_async.limiter import Limiter, Permit


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

    `skew` is the error of the server's wall clock in seconds, `drift` that of its rate against ours. `served` lists what the
    server took: when by its clock, how many points, and whether the call was ours.
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
        self.foreign = 0
        self.waits: list[tuple[Priority, float]] = []
        self.grants: list[tuple[Priority, int]] = []
        self.done_at = 0.0
        self.by_window: Counter[int] = Counter()

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
                self.by_window[int(self.now() // self.policy.period)] += cost
            else:
                self.throttled.append(self.now())
        elif verdict.taken:
            self.foreign += cost
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

    async def others(self, rate: float, *, cost: int = 1, until: float = float("inf")) -> None:
        """Somebody else spends `rate` points per second of the same budget."""
        while self.now() < until:
            await asyncio.sleep(self.dice.expovariate(rate / cost))
            self.serve(cost, ours=False)

    async def backlog(
        self,
        budget: Limiter,
        points: int,
        *,
        costs: Sequence[int] = (1, 2, 3),
        priority: Priority = Priority.NORMAL,
    ) -> None:
        """Calls for so many points, all at once."""
        calls: list[asyncio.Task[None]] = []
        left = points
        while left:
            cost = min(self.dice.choice(costs), left)
            left -= cost
            calls.append(
                asyncio.create_task(
                    self.call(budget, cost, operation=f"cost{cost}", priority=priority, number=len(calls))
                )
            )
        await asyncio.gather(*calls)

    def run(self, main: Callable[[], Awaitable[None]], *, start: float = 1000.0) -> World:
        """Run `main` on a simulated clock."""

        async def go() -> None:
            await main()

        run_simulated(go(), start=start)
        return self
