"""The process in which calls wait for points that do not come.

python -m benchmarks.contestants.waiting
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.kit.children import answer_questions
from whereby_async import WherebyClient
from whereby_async.limiter import PointBudget, RateLimit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT = 100
UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


class Hook:
    """One that would be told of answers."""

    def on_response(self, details: object) -> None:
        """Nothing comes."""


async def spent() -> PointBudget:
    """A budget whose points are all on their way."""
    budget = PointBudget(LIMIT)
    (await budget.acquire(1)).settle(RateLimit(limit=LIMIT, remaining=LIMIT - 1, reset_in=60.0))
    for _ in range(LIMIT - 1):
        (await budget.acquire(1)).lost()
    return budget


def calls(subject: str, budget: PointBudget) -> tuple[WherebyClient, Callable[[], Awaitable[object]]]:
    """The client, and what each task awaits."""
    hooks = [Hook()] if subject == "hooked" else []
    client = WherebyClient("a-key", base_url="http://127.0.0.1:9/v1", limiter=budget, hooks=hooks)
    loop = asyncio.get_running_loop()
    made: dict[str, Callable[[], Awaitable[object]]] = {
        "future": loop.create_future,
        "acquire": lambda: budget.acquire(1, operation="meetings.get"),
        "get": lambda: client.meetings.get("107585562"),
        "hooked": lambda: client.meetings.get("107585562"),
        "list": lambda: client.meetings.list(page_size=100),
        "create": lambda: client.meetings.create(end_date=UNTIL, fields=["hostRoomUrl"]),
    }
    return client, made[subject]


async def weighed(subject: str, count: int) -> float:
    """Bytes for each that waits."""
    loop = asyncio.get_running_loop()
    client, call = calls(subject, await spent())

    async def wait() -> None:
        await call()

    async def queue(number: int) -> list[asyncio.Task[None]]:
        tasks = [loop.create_task(wait()) for _ in range(number)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        return tasks

    first = await queue(10)  # what is made once for all is made now
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks = await queue(count)
    size = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    for task in first + tasks:
        task.cancel()
    await asyncio.gather(*first, *tasks, return_exceptions=True)
    await client.aclose()
    return size


def weigh(subject: str, count: int) -> dict[str, Any]:
    """Answers the driver."""
    return {"bytes": asyncio.run(weighed(subject, count))}


if __name__ == "__main__":
    answer_questions({"weigh": weigh})
