"""One process with several event loops: threads with a loop each, one loop after the other, and uvloop's beside asyncio's.

    python -m fleet.loops '{"store": …, "name": …, "period": …, "api": …, "key": …, "calls": 20}'

Prints one JSON object: how many calls ended in each thread.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import TYPE_CHECKING, Any

import uvloop

from whereby_async import WherebyClient
from whereby_async.limiter import RedisPointBudget

if TYPE_CHECKING:
    from collections.abc import Callable

plan: dict[str, Any] = json.loads(sys.argv[1])
budget = RedisPointBudget(plan["store"], name=plan["name"], period=plan["period"])
client = WherebyClient(plan["key"], base_url=plan["api"], limiter=budget)
done: dict[str, int] = {}


async def _job(who: str) -> None:
    async def caller(calls: int) -> None:
        for _ in range(calls):
            await client.insights.rooms(name=f"/{who}")
            done[who] = done.get(who, 0) + 1

    await asyncio.gather(*[caller(plan["calls"] // 4) for _ in range(4)])


def _thread(who: str, run: Callable[[Any], None]) -> None:
    for _ in range(2):
        run(_job(who))


def main() -> None:
    """Three threads, each with one loop after the other."""
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
    print(json.dumps({"done": done, "state": budget.snapshot().state}))  # noqa: T201 - how it answers


if __name__ == "__main__":
    main()
