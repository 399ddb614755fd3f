"""A process that spends from a shared budget: callers that make call after call, single calls, permits that are held.

Each line on its standard input is an order, `{"id": 7, "do": "look", …}`, whose `do` names a method of the program.
Each line that it prints is an answer, `{"id": 7, "answer": …}` or `{"id": 7, "error": "…"}`. Orders run concurrently.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import statistics
import sys
import time
import traceback
from collections import Counter
from logging.handlers import BufferingHandler
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import urlsplit

import redis.asyncio

from whereby_async import Priority, WherebyClient, WherebyError
from whereby_async.limiter import HostPointBudget, RateLimit, RedisPointBudget
from whereby_async.limiter.state_file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from whereby_async.hooks import OutageDetails
    from whereby_async.limiter import Permit

SPIN_LIMIT = 100_000_000
"""A limit that nobody reaches."""


class Program:
    """What orders are given to; a subclass has a coroutine method for each."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        """Nobody talks any more: let go of everything."""

    async def serve(self) -> None:
        """Do what the lines on standard input say, until there are no more."""
        lines = asyncio.StreamReader(limit=1 << 24)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while line := await lines.readline():
            task = asyncio.ensure_future(self._obey(json.loads(line)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        transport.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.end()

    async def _obey(self, order: dict[str, Any]) -> None:
        number, name = order.pop("id"), order.pop("do")
        try:
            said = {"id": number, "answer": await getattr(self, name)(**order)}
        except Exception:  # noqa: BLE001 - whoever gave the order is told
            said = {"id": number, "error": traceback.format_exc()}
        print(json.dumps(said), flush=True)  # noqa: T201 - how it answers


class Worker(Program):
    """A process of the fleet."""

    def __init__(self) -> None:
        super().__init__()
        self._who = ""
        self._store: Any = ""
        self._budget: HostPointBudget | RedisPointBudget | None = None
        self._client: WherebyClient | None = None
        self._callers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._held: list[Permit] = []
        self._outages: list[tuple[bool, str, int, float]] = []
        self._log = BufferingHandler(10_000)
        self._log.setLevel(logging.WARNING)
        logging.getLogger("whereby_async").addHandler(self._log)
        self._reset()

    def _reset(self) -> None:
        self._begun = self._ended = self._points = 0
        self._longest = 0.0
        self._failed: Counter[str] = Counter()
        self._outages.clear()
        self._log.flush()  # throws away what it holds
        self._cpu = time.process_time()

    def on_outage(self, details: OutageDetails) -> None:
        self._outages.append((details.away, details.reason, details.limit, round(details.lasted, 2)))

    async def open(self, who: str, store: str, api: dict[str, str], **options: Any) -> None:
        await self.end()
        self._who = who
        if store.startswith("/"):
            self._store, name = store, options.pop("name")
            self._budget = HostPointBudget(f"{store}/{name}", **options)
        else:
            self._store = _opened(store)
            self._budget = RedisPointBudget(self._store, **options)
        self._budget.subscribe(self)
        self._client = WherebyClient(api["key"], base_url=api["url"], limiter=self._budget)
        self._stopping = False
        self._reset()

    async def end(self) -> None:
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        self._callers = []
        for permit in self._held:
            permit.release()
        self._held = []
        if self._client is not None:
            await self._client.aclose()
        if self._budget is not None:
            await self._budget.aclose()
        if not isinstance(self._store, str):
            await self._store.aclose()
        self._client = self._budget = None
        self._store = ""

    # Calls

    async def _call(self, cost: int, client: WherebyClient) -> None:
        if cost == 1:
            await client.insights.rooms(name=f"/{self._who}")
        elif cost == 2:
            await client.meetings.delete(self._who)
        else:
            await client.rooms.reset_theme_tokens(f"/{self._who}")

    async def _caller(self, dice: random.Random, costs: Sequence[int], client: WherebyClient) -> None:
        while not self._stopping:
            cost = dice.choice(costs)
            self._begun += 1
            began = time.monotonic()
            try:
                await self._call(cost, client)
            except WherebyError as error:
                self._failed[type(error).__name__] += 1
                await asyncio.sleep(0.02)
            else:
                self._ended += 1
                self._points += cost
            self._longest = max(self._longest, time.monotonic() - began)

    async def saturate(self, callers: int, costs: Sequence[int] = (1, 2, 3), priority: str = "NORMAL") -> None:
        """Have so many callers make one call after the other."""
        assert self._client
        dice = random.Random(self._who)
        client = self._client.with_options(priority=Priority[priority])
        self._stopping = False
        self._callers += [asyncio.create_task(self._caller(dice, costs, client)) for _ in range(callers)]

    async def stop(self, patience: float = 60.0) -> dict[str, Any]:
        """Have the callers end the calls that they have begun; those that do not within `patience` are stuck."""
        self._stopping = True
        if self._callers:
            _, stuck = await asyncio.wait(self._callers, timeout=patience)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*self._callers)
            self._callers = []
        return await self.look()

    async def look(self) -> dict[str, Any]:
        """What has been done since `open`."""
        assert self._budget
        budget = self._budget.snapshot()
        return {
            "who": self._who,
            "begun": self._begun,
            "ended": self._ended,
            "points": self._points,
            "failed": dict(self._failed),
            "longest": self._longest,
            "outages": list(self._outages),
            "log": [record.getMessage() for record in self._log.buffer],
            "state": budget.state,
            "waiting": sum(budget.waiting.values()),
            "in_flight": budget.in_flight,
            "available": budget.available,
            "cpu": time.process_time() - self._cpu,
        }

    async def call(
        self,
        *,
        count: int = 1,
        cost: int = 1,
        priority: str = "NORMAL",
        max_wait: float | None = None,
        gap: float = 0.0,
        together: bool = False,
    ) -> list[dict[str, Any]]:
        """Single calls, one after the other or all together: when each began, how long it took, how it ended."""
        assert self._client
        client = self._client.with_options(priority=Priority[priority], max_wait=max_wait)

        async def one() -> dict[str, Any]:
            began = time.monotonic()
            error = after = None
            try:
                await self._call(cost, client)
            except WherebyError as caught:
                error = type(caught).__name__
                after = getattr(caught, "retry_after", None)
            return {"began": began, "took": time.monotonic() - began, "error": error, "retry_after": after}

        if together:
            return await asyncio.gather(*[one() for _ in range(count)])
        calls: list[dict[str, Any]] = []
        for _ in range(count):
            calls.append(await one())
            await asyncio.sleep(gap)
        return calls

    # Permits without calls

    async def hold(self, count: int, cost: int = 1) -> int:
        """Take permits and keep them; points that are held now."""
        assert self._budget
        self._held += await asyncio.gather(*[self._budget.acquire(cost) for _ in range(count)])
        return sum(permit.cost for permit in self._held)

    async def idle(self, count: int, gap: float = 0.002) -> float:
        """The median of seconds that an acquire takes when there is nothing else to do."""
        assert self._budget
        took: list[float] = []
        for number in range(count):
            began = time.perf_counter()
            permit = await self._budget.acquire(1)
            took.append(time.perf_counter() - began)
            permit.settle(RateLimit(limit=1_000_000, remaining=1_000_000 - number - 1))
            await asyncio.sleep(gap)
        return statistics.median(took)

    async def spin(self, callers: int, seconds: float) -> dict[str, float]:
        """Acquire and settle without calls, as fast as it goes: how many, and the processor's seconds for each."""
        assert self._budget
        limiter, until, count = self._budget, time.monotonic() + seconds, 0
        answer = RateLimit(limit=SPIN_LIMIT, remaining=SPIN_LIMIT - 1)

        async def caller() -> None:
            nonlocal count
            while time.monotonic() < until:
                permit = await limiter.acquire(1)
                count += 1
                await asyncio.sleep(0)
                permit.settle(answer)

        cpu, began = time.process_time(), time.monotonic()
        await asyncio.gather(*[caller() for _ in range(callers)])
        return {"count": count, "cpu": (time.process_time() - cpu) / count, "rate": count / (time.monotonic() - began)}

    async def stalls(self, seconds: float) -> dict[str, list[float]]:
        """For so long: milliseconds of processor time of each change of the file, and how long the loop stood still."""
        took: list[float] = []
        cpu: list[float] = []
        plain = StateFile.try_change

        def timed(file: StateFile, change: Callable[[bytes | None], bytes]) -> bool:
            began, spent = time.perf_counter(), time.thread_time()
            try:
                return plain(file, change)
            finally:
                took.append(time.perf_counter() - began)
                cpu.append(time.thread_time() - spent)

        with mock.patch.object(StateFile, "try_change", timed):
            await asyncio.sleep(seconds)
        return {"cpu": [round(1000 * each, 3) for each in cpu], "held": [round(1000 * each, 3) for each in took]}


def _opened(store: str) -> Any:
    """A URL as it is, or a client of a sentinel: what people pass in who have one."""
    where = urlsplit(store)
    if where.scheme == "sentinel":
        sentinel: Any = redis.asyncio.Sentinel([(str(where.hostname), int(where.port or 0))], socket_timeout=0.5)  # type: ignore[no-untyped-call]  # pyright: ignore[reportUnknownMemberType] - it has no types
        return sentinel.master_for(where.path.strip("/"), socket_timeout=0.5)
    return store


if __name__ == "__main__":
    asyncio.run(Worker().serve())
