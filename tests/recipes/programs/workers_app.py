"""Several worker processes, on one machine or many, that share one budget of points in Redis or Valkey.

Run it with WHEREBY_API_KEY and REDIS_URL set: `uvicorn --workers 4 workers_app:app`, or
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
from whereby_async.limiter import RedisPointBudget


class State(TypedDict):
    whereby: WherebyClient


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[State]:
    async with (
        aclosing(RedisPointBudget(os.environ["REDIS_URL"])) as budget,
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
