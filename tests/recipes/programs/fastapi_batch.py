"""FastAPI with a job in the background: thousands of rooms for an event, while people are served at once.

A job that the server's end cut off goes on where it was when the same is asked for again: its journal knows.
Run it with WHEREBY_API_KEY set: `uvicorn fastapi_batch:app`.
"""

import logging
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, TypedDict

from anyio import create_task_group
from anyio.abc import TaskGroup
from fastapi import FastAPI, Path, Request, Response
from pydantic import AwareDatetime

from whereby_async import Priority, Throttled, WherebyClient, WherebyError
from whereby_async.hooks import EndDetails
from whereby_async.limiter import PointBudget

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("rooms")
budget = PointBudget(reserve=0.3)  # the share of your plan's points that jobs leave to people

Name = Annotated[str, Path(pattern="^[a-z0-9]{1,20}$")]


class CallLog:
    def on_end(self, details: EndDetails) -> None:
        outcome = details.error or "ok"
        log.info("%s: %s, waited %.3f s, %d points", details.operation, outcome, details.waited, details.points)


class State(TypedDict):
    whereby: WherebyClient
    jobs: TaskGroup


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    async with WherebyClient(limiter=budget, hooks=[CallLog()]) as client, create_task_group() as jobs:
        yield {"whereby": client, "jobs": jobs}
        jobs.cancel_scope.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/rooms")
async def list_rooms(request: Request) -> list[str | None]:
    client: WherebyClient = request.state.whereby
    whereby = client.with_options(priority=Priority.INTERACTIVE, max_wait=2.0)
    return [meeting.room_url for meeting in await whereby.meetings.list().collect(max_items=20)]


@app.put("/events/{name}", status_code=202)
async def create_event(name: Name, rooms: int, ends: AwareDatetime, request: Request) -> None:
    request.state.jobs.start_soon(make_rooms, request.state.whereby, name, rooms, ends)


async def make_rooms(client: WherebyClient, name: str, rooms: int, ends: datetime) -> None:
    requests = ({"end_date": ends, "room_name_prefix": f"{name}-"} for _ in range(rooms))
    try:
        async with client.batch(client.meetings.create, requests, journal=f"{name}.jsonl") as outcomes:
            done = [outcome.ok async for outcome in outcomes].count(True)
        log.info("%s: %d of %d rooms are there", name, done, rooms)
    except WherebyError:
        log.exception("%s: the job stopped", name)


@app.exception_handler(Throttled)
async def come_back_later(request: Request, error: Throttled) -> Response:
    return Response(status_code=503, headers={"Retry-After": str(math.ceil(error.retry_after or 1))})
