"""FastAPI: rooms for people at once, rooms for a whole event in the background, and Whereby's webhooks.

Run it with WHEREBY_API_KEY and WHEREBY_WEBHOOK_SECRET set: `uvicorn fastapi_app:app`.
"""

import logging
import math
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypedDict

from anyio import create_task_group
from anyio.abc import TaskGroup
from fastapi import Depends, FastAPI, Path, Request, Response
from fastapi.responses import JSONResponse

from whereby_async import APIConnectionError, InternalServerError, Priority, Throttled, WherebyClient, WherebyError
from whereby_async.hooks import EndDetails
from whereby_async.limiter import PointBudget
from whereby_async.webhooks import RoomClientJoined, WebhookVerificationError, unwrap

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("rooms")
budget = PointBudget(reserve=0.3)  # the share of each minute that jobs leave to people until its end


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
        jobs.cancel_scope.cancel()  # their journals know where to go on


app = FastAPI(lifespan=lifespan)


def people(request: Request) -> WherebyClient:
    """The client for calls that somebody waits for: first in line, and refused rather than kept waiting."""
    client: WherebyClient = request.state.whereby
    return client.with_options(priority=Priority.INTERACTIVE, max_wait=2.0)


Whereby = Annotated[WherebyClient, Depends(people)]


@app.post("/rooms", status_code=201)
async def create_room(whereby: Whereby) -> dict[str, str | None]:
    meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
    return {"id": meeting.meeting_id, "url": meeting.room_url}


@app.get("/rooms")
async def list_rooms(whereby: Whereby) -> list[str | None]:
    return [meeting.room_url for meeting in await whereby.meetings.list().collect(max_items=20)]


@app.put("/events/{name}", status_code=202)
async def create_event(name: Annotated[str, Path(pattern="^[a-z0-9]{1,20}$")], rooms: int, request: Request) -> None:
    """Rooms for an event; put again, the job goes on where it was when the server stopped."""
    request.state.jobs.start_soon(make_rooms, request.state.whereby, name, rooms)


async def make_rooms(client: WherebyClient, name: str, rooms: int) -> None:
    end_date = datetime.now(UTC) + timedelta(days=1)
    requests = ({"end_date": end_date, "room_name_prefix": f"{name}-"} for _ in range(rooms))
    try:
        async with client.batch(client.meetings.create, requests, journal=f"{name}.jsonl") as outcomes:
            done = [outcome.ok async for outcome in outcomes].count(True)
        log.info("%s: %d of %d rooms are there", name, done, rooms)
    except WherebyError:
        log.exception("%s: the job stopped", name)


@app.post("/webhooks", status_code=204)
async def receive_webhook(request: Request) -> None:
    body = await request.body()  # the raw bytes are what is signed
    event = unwrap(body, request.headers.get("Whereby-Signature"), os.environ["WHEREBY_WEBHOOK_SECRET"])
    match event:
        case RoomClientJoined(data=data):
            log.info("%s joined %s", data.display_name, data.room_name)
        case _:  # Whereby adds types
            pass


@app.exception_handler(WebhookVerificationError)
async def not_theirs(request: Request, error: WebhookVerificationError) -> Response:
    return Response(status_code=400)


@app.exception_handler(Throttled)
async def come_back_later(request: Request, error: Throttled) -> Response:
    return Response(status_code=503, headers={"Retry-After": str(math.ceil(error.retry_after or 1))})


@app.exception_handler(APIConnectionError)
@app.exception_handler(InternalServerError)
async def bad_gateway(request: Request, error: WherebyError) -> Response:
    return JSONResponse({"may_have_happened": error.may_have_happened}, status_code=502)
