"""A small web application, as people write them: one client at module level, used by every request. For uvicorn and gunicorn."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from whereby_async import BudgetTimeoutError, WherebyClient
from whereby_async.limiter import RedisPointBudget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

budget = RedisPointBudget(
    os.environ["FLEET_STORE"], name=os.environ["FLEET_NAME"], period=float(os.environ["FLEET_PERIOD"])
)
client = WherebyClient(os.environ["FLEET_KEY"], base_url=os.environ["FLEET_API"], limiter=budget, max_wait=30)


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
