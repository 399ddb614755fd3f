"""One budget in a process with several event loops or with forked workers.

    python -m fleet.homes loops '{"store": …, "name": …, "period": …, "api": …, "key": …, "calls": 20}'
    python -m fleet.homes pool '{"store": …, "name": …, "period": …, "api": …, "key": …, "tasks": 12}'

Prints one JSON object: what became of the calls.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import threading
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import uvloop

from whereby_async import WherebyClient
from whereby_async.limiter import RedisPointBudget

if TYPE_CHECKING:
    from collections.abc import Callable

plan: dict[str, Any] = json.loads(sys.argv[2])
budget = RedisPointBudget(plan["store"], name=plan["name"], period=plan["period"])
client = WherebyClient(plan["key"], base_url=plan["api"], limiter=budget)
done: Counter[str] = Counter()


async def _calls(who: str, count: int) -> None:
    await asyncio.gather(*[client.insights.rooms(name=f"/{who}") for _ in range(count)])
    done[who] += count


def _thread(who: str, run: Callable[[Any], None]) -> None:
    for _ in range(2):
        run(_calls(who, plan["calls"]))


def loops() -> dict[str, Any]:
    """Three threads, each with one loop after the other, asyncio's and uvloop's."""
    threads = [
        threading.Thread(target=_thread, args=(f"w{number}", run))
        for number, run in enumerate((asyncio.run, uvloop.run, asyncio.run))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def end() -> None:
        await client.aclose()
        await budget.aclose()

    asyncio.run(end())
    return {"done": done, "state": budget.snapshot().state}


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
    print(json.dumps({"loops": loops, "pool": pool}[sys.argv[1]]()))  # noqa: T201 - how it answers
