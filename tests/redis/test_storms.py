"""Callers of all priorities come and go at random, over a wire that breaks: nobody is stuck, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.budgets import PERIOD, Server

from whereby_async.errors import BudgetError
from whereby_async.limiter import Priority
from whereby_async.testing import TcpFault, TcpProxy

if TYPE_CHECKING:
    from support.fleet import Store

    from whereby_async.limiter import RedisPointBudget

pytestmark = pytest.mark.anyio

LIMIT = 60


class Storm:
    """Random callers of some budgets."""

    def __init__(self, seed: int, server: Server, *budgets: RedisPointBudget) -> None:
        self.chance = random.Random(seed)
        self.server = server
        self.budgets = budgets
        self.tasks: list[asyncio.Task[None]] = []
        self.served = 0

    async def one(self) -> None:
        """A call that ends in some way, or is given up."""
        chance = self.chance
        wait = chance.choice([None, None, None, 0.0, 0.3, 5.0])
        with contextlib.suppress(BudgetError):
            permit: Any = await chance.choice(self.budgets).acquire(
                chance.randint(1, 3), priority=chance.choice(list(Priority)), max_wait=wait, operation="storm"
            )
            self.served += 1
            end = chance.choice(["settle"] * 6 + ["release", "lost", "drop", "thread"])
            if end in {"release", "drop"}:
                # Never sent, or forgotten: the server has not seen it.
                if end == "release":
                    permit.release()
                return
            try:
                await asyncio.sleep(chance.choice([0.0, 0.005, 0.03]))
            except asyncio.CancelledError:
                permit.lost()
                raise
            answer = self.server.serve(permit.cost)
            if end == "settle":
                permit.settle(answer)
            elif end == "lost":
                permit.lost()
            else:
                try:
                    await asyncio.to_thread(permit.settle, answer)
                finally:
                    # Cancelled before a thread was free for it.
                    permit.lost()

    async def rage(self, seconds: float) -> None:
        """Let them come for a while, and cancel some."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.tasks += [asyncio.create_task(self.one()) for _ in range(self.chance.randint(0, 6))]
            await asyncio.sleep(self.chance.choice([0.0, 0.01, 0.05]))
            for task in self.chance.sample(self.tasks, min(len(self.tasks), 2)):
                task.cancel()

    async def calm(self) -> None:
        """All that still wait are served or refused in time; an unexpected error is raised."""
        ends = time.monotonic() + 15 * PERIOD
        while waiting := [task for task in self.tasks if not task.done()]:
            assert time.monotonic() < ends, f"{len(waiting)} of {len(self.tasks)} are stuck"
            # Not all can be served in time at this price: half of them lose patience.
            for task in waiting[::2]:
                task.cancel()
            await asyncio.sleep(PERIOD / 2)
        for outcome in await asyncio.gather(*self.tasks, return_exceptions=True):
            if outcome is not None and not isinstance(outcome, asyncio.CancelledError):
                raise outcome


async def nothing_left(budget: RedisPointBudget) -> None:
    """In the end nobody waits, and nothing is in flight but what we ask with."""
    async with asyncio.timeout(5 * PERIOD):
        while True:
            # A store that was away a moment ago is tried again, and what the other budget has to say comes in time.
            with contextlib.suppress(BudgetError):
                permit = await budget.acquire(1)
                snapshot = budget.snapshot()
                permit.release()
                if (snapshot.in_flight, snapshot.waiting_points) == (1, 0):
                    return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
async def test_a_storm_of_callers(make: Any, seed: int) -> None:
    """Every way to end, every priority, cancels at every moment: the books balance, and the server refuses nothing."""
    budgets, server = [make(limit=LIMIT), make(limit=LIMIT)], Server(LIMIT)
    storm = Storm(seed, server, *budgets)
    await storm.rage(2.5 * PERIOD)
    await storm.calm()
    assert server.refused == 0
    assert storm.served > 100
    for budget in budgets:
        await nothing_left(budget)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
async def test_a_storm_over_a_wire_that_breaks(make: Any, wire: TcpProxy, own_store: Store, seed: int) -> None:
    """Requests are cut off before, while and after the store carries them out: each grant and end counts once."""
    url = wire.url.replace("http", "redis")
    # Refused, not served by a share: so whatever the server refuses has been granted twice.
    budgets = [make(at, limit=LIMIT, on_unavailable="raise") for at in (url, own_store.url)]
    server = Server(LIMIT)
    storm = Storm(seed, server, *budgets)
    breaking = asyncio.create_task(_break(wire, storm.chance))
    await storm.rage(2.5 * PERIOD)
    breaking.cancel()
    wire.faults.clear()
    await storm.calm()
    assert server.refused == 0
    assert storm.served > 50
    for budget in budgets:
        await nothing_left(budget)


async def _break(wire: TcpProxy, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.choice([0.02, 0.1, 0.3]))
        wire.faults.add(
            TcpFault(
                at=chance.choice(["request", "answer"]),
                after=chance.choice([0, 1, 40]),
                do=chance.choice(["reset", "close"]),
            )
        )
