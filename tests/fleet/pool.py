"""A pool of forked workers, as task queues have them: the parent has used the budget before, and each task has a loop of its own.

    python -m fleet.pool '{"store": …, "name": …, "period": …, "api": …, "key": …, "tasks": 12}'

Prints one JSON object: what became of the tasks, and of a call that the parent made in between.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import warnings
from typing import Any

from whereby_async import WherebyClient
from whereby_async.limiter import RedisPointBudget

plan: dict[str, Any] = json.loads(sys.argv[1])
budget = RedisPointBudget(plan["store"], name=plan["name"], period=plan["period"])
client = WherebyClient(plan["key"], base_url=plan["api"], limiter=budget)


async def _job(calls: int) -> None:
    await asyncio.gather(*[client.insights.rooms(name=f"/w{os.getpid()}") for _ in range(calls)])


def task(_: int) -> tuple[int, str]:
    """One task: a loop, some calls, and the loop is gone."""
    asyncio.run(_job(5))
    return os.getpid(), budget.snapshot().state


def main() -> None:
    """Use the budget, fork, have tasks done, and use it again."""
    asyncio.run(_job(3))
    with multiprocessing.get_context("fork").Pool(3) as pool:
        done = pool.map_async(task, range(plan["tasks"]), chunksize=1)
        asyncio.run(_job(3))
        ended = done.get(60)
    asyncio.run(_job(3))
    print(json.dumps({"tasks": ended, "parent": budget.snapshot().state}))  # noqa: T201 - how it answers


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons frown upon forks beside threads
    main()
