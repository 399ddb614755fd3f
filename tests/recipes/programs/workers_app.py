"""Several worker processes that share one budget of points: in a file on one machine, in Redis or Valkey on several.

Run it with WHEREBY_API_KEY set, and on several machines REDIS_URL too: `uvicorn --workers 4 workers_app:app`, or
`gunicorn --worker-class asgi --workers 4 workers_app:app`.
"""

import math
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from whereby_async import Priority, Throttled, WherebyClient
from whereby_async.limiter import HostPointBudget, RedisPointBudget


def shared_budget() -> HostPointBudget | RedisPointBudget:
    if url := os.environ.get("REDIS_URL"):
        return RedisPointBudget(url)
    return HostPointBudget()


class State(TypedDict):
    whereby: WherebyClient


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[State]:
    async with (
        aclosing(shared_budget()) as budget,
        WherebyClient(limiter=budget, priority=Priority.INTERACTIVE, max_wait=2.0) as client,
    ):
        yield {"whereby": client}


async def create_room(request: Request) -> Response:
    whereby: WherebyClient = request.state.whereby
    meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
    room = {"id": meeting.meeting_id, "url": meeting.room_url, "worker": os.getpid()}
    return JSONResponse(room, status_code=201)


async def come_back_later(request: Request, error: Exception) -> Response:
    seconds = (error.retry_after if isinstance(error, Throttled) else None) or 1
    return Response(status_code=503, headers={"Retry-After": str(math.ceil(seconds))})


app = Starlette(
    routes=[Route("/rooms", create_room, methods=["POST"])],
    exception_handlers={Throttled: come_back_later},
    lifespan=lifespan,
)
