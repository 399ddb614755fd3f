"""400 real calls over sockets on a window of 100 points per 4 seconds: ideal is 12.0 s; target 0 × 429 and ≤ 12.25 s.

    python benchmarks/limiter_sockets.py

The server is an aiohttp server in the same process with a fixed window that opens with the first call; the client an aiohttp
session; between them stands only the budget. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from whereby_async.limiter import PointBudget, RateLimit

LIMIT = 100
PERIOD = 4.0
CALLS = 400


class Window:
    """A fixed window from the first call."""

    def __init__(self) -> None:
        self.end = 0.0
        self.spent = 0
        self.served = 0
        self.refused = 0

    async def serve(self, _: web.BaseRequest) -> web.Response:
        """Take a call or refuse it, with the headers that the documentation names."""
        now = time.time()
        if now >= self.end:
            self.end, self.spent = now + PERIOD, 0
        self.spent += 1
        taken = self.spent <= LIMIT
        self.served += taken
        self.refused += not taken
        headers = {
            "X-RateLimit-Limit": str(LIMIT),
            "X-RateLimit-Remaining": str(max(0, LIMIT - self.spent)),
            "X-RateLimit-Reset": datetime.fromtimestamp(self.end, UTC).isoformat(timespec="milliseconds"),
        }
        if not taken:
            headers["Retry-After"] = str(math.ceil(self.end - now))
        return web.json_response({"results": []}, status=200 if taken else 429, headers=headers)


async def main() -> None:
    """All calls at once."""
    window = Window()
    runner = web.ServerRunner(web.Server(window.serve))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    budget = PointBudget(LIMIT, period=PERIOD)

    async def call(session: aiohttp.ClientSession) -> None:
        permit = None
        while True:
            permit = await budget.acquire(1, operation="meetings.get", after=permit)
            async with session.get(url) as answer:
                body = await answer.read()
                permit.settle(RateLimit.from_response(answer.status, answer.headers, body))
                if answer.ok:
                    return

    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        await asyncio.gather(*(call(session) for _ in range(CALLS)))
        seconds = time.perf_counter() - began
    await runner.cleanup()
    print(
        json.dumps(
            {
                "figure": f"{CALLS} GETs over sockets, {LIMIT} points per {PERIOD:g} s",
                "seconds": round(seconds, 3),
                "target": 12.25,
                "ideal": 12.0,
                "served": window.served,
                "throttled": window.refused,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
