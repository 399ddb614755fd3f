"""Many calls at once through the whole of it: client, budget, pool, sockets."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from whereby_async import Priority, SessionPool, use_priority
from whereby_async.limiter import PointBudget
from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio


async def test_400_gets_on_a_100_point_window_meet_no_429() -> None:
    """400 calls at once on 100 points per 2 s: 400 requests are sent, none is refused, all succeed, in about three windows."""
    async with FakeWhereby(limit=100, period=2.0) as fake, fake.client() as client:
        began = time.monotonic()
        pages = await asyncio.gather(*(client.meetings.list(page_size=1).collect() for _ in range(400)))
        took = time.monotonic() - began
        assert len(pages) == 400
        assert (len(fake.requests), fake.throttled, fake.points_spent) == (400, 0, 400)
        assert took < 10  # 6.1 s on an idle machine; the figure itself is a benchmark's business


async def test_1000_calls_of_which_200_are_cancelled_leave_nothing_behind() -> None:
    """Cancels at random moments lose no permit, slot, connection or task, and the next call works at once."""
    chance = random.Random(11)
    budget, pool = PointBudget(100_000), SessionPool(connections=20)
    async with FakeWhereby(limit=100_000, latency=0.002) as fake:
        async with fake.client(limiter=budget, pool=pool) as client:
            await client.meetings.list()
            idle = asyncio.all_tasks()
            calls = [asyncio.create_task(client.meetings.list(page_size=1).collect()) for _ in range(1000)]
            victims = chance.sample(calls, 200)
            while victims:
                for task in (victims.pop() for _ in range(min(len(victims), chance.randrange(12)))):
                    task.cancel()
                for _ in range(chance.randrange(20)):
                    await asyncio.sleep(0)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            done = sum(isinstance(outcome, list) for outcome in outcomes)
            cancelled = sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
            assert done + cancelled == 1000
            assert done >= 800
            assert cancelled > 100
            assert (pool.in_use, pool.waiting) == (0, 0)
            snapshot = budget.snapshot()
            assert (snapshot.in_flight, snapshot.waiting_points, sum(snapshot.waiting.values())) == (0, 0, 0)
            await client.meetings.list()
            assert pool.in_use == 0
            # The server's own tasks for open connections aside, no task is left.
            left = {
                task
                for task in asyncio.all_tasks() - idle
                if "whereby_async/testing" not in repr(task) and "web_protocol" not in repr(task)
            }
            assert left == set()
        await pool.aclose()


async def test_cancelled_waiters_for_points_give_their_place_up() -> None:
    """Half of 200 calls that wait for points are cancelled; the others are served in order as the window allows."""
    async with FakeWhereby(limit=100, period=1.0) as fake, fake.client() as client:
        await client.meetings.list()
        order: list[int] = []

        async def call(number: int) -> None:
            await client.meetings.get(f"{number}")

        async def numbered(number: int) -> None:
            try:
                await call(number)
            except Exception:  # noqa: BLE001 - a 404 is an answer as good as any
                order.append(number)

        calls = [asyncio.create_task(numbered(number)) for number in range(200)]
        await asyncio.sleep(0)
        for task in calls[1::2]:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert sorted(order) == list(range(0, 200, 2))
        assert fake.throttled == 0


async def test_interactive_calls_go_before_a_waiting_batch() -> None:
    """The lane is told to the limiter: what comes later, but interactive, is served before what has waited for less than a period."""
    async with FakeWhereby(limit=10, period=1.0) as fake, fake.client() as client:
        await asyncio.gather(*(client.meetings.list() for _ in range(10)))
        await asyncio.sleep(0.3)
        with use_priority(Priority.BATCH):
            batch = [asyncio.create_task(client.recordings.list().collect()) for _ in range(12)]
            await asyncio.sleep(0)
        await client.with_options(priority=Priority.INTERACTIVE).summaries.list()
        served = [request.operation for request in fake.requests[10:]]
        assert served[0] == "summaries.list"
        await asyncio.gather(*batch)
        assert fake.throttled == 0
