"""One budget and one client at module level, as people write them: in a web application, or in forked workers.

`support.fleet_homes:app` is for uvicorn and gunicorn; `python -m support.fleet_homes` uses a pool of workers and
prints one JSON object that says what became of the calls. The environment variable `FLEET_PLAN` holds a JSON object:
`store`, `name`, `period`, `api`, `key`, and `tasks` for the pool.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import warnings
from typing import TYPE_CHECKING, Any

from whereby_async import BudgetTimeoutError, WherebyClient
from whereby_async.limiter import RedisPointBudget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

plan: dict[str, Any] = json.loads(os.environ["FLEET_PLAN"])
budget = RedisPointBudget(plan["store"], name=plan["name"], period=plan["period"])
client = WherebyClient(plan["key"], base_url=plan["api"], limiter=budget, max_wait=30)


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """`/` makes one call of the API and says which process did."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    try:
        await client.insights.rooms(name=f"/w{os.getpid()}")
        status = 200
    except BudgetTimeoutError:
        status = 503
    body = json.dumps({"pid": os.getpid(), "state": budget.snapshot().state}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    while True:
        said = await receive()
        if said["type"] == "lifespan.shutdown":
            await client.aclose()
            await budget.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "lifespan.startup.complete"})


# A pool of workers


async def _calls(who: str, count: int) -> None:
    await asyncio.gather(*[client.insights.rooms(name=f"/{who}") for _ in range(count)])


def _task(_: int) -> tuple[int, str]:
    """One task: a loop, some calls, and the loop is gone."""
    asyncio.run(_calls(f"w{os.getpid()}", 5))
    return os.getpid(), budget.snapshot().state


def pool() -> dict[str, Any]:
    """Use the budget, fork, have tasks done in loops of their own, as task queues do, and use it again."""
    warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
    asyncio.run(_calls("w0", 3))
    with multiprocessing.get_context("fork").Pool(3) as workers:
        tasks = workers.map_async(_task, range(plan["tasks"]), chunksize=1)
        asyncio.run(_calls("w0", 3))
        ended = tasks.get(60)
    asyncio.run(_calls("w0", 3))
    return {"tasks": ended, "parent": budget.snapshot().state}


if __name__ == "__main__":
    print(json.dumps(pool()))  # noqa: T201 - how it answers
