"""FastAPI: the client lives in the lifespan, each route gets a view of it, and the errors have handlers of their own.

Run it with WHEREBY_API_KEY and WHEREBY_WEBHOOK_SECRET set: `uvicorn fastapi_app:app`.
"""

import logging
import math
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypedDict

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from whereby_async import (
    APIConnectionError,
    InternalServerError,
    NotFoundError,
    Priority,
    Throttled,
    WherebyClient,
    WherebyError,
)
from whereby_async.webhooks import RoomClientJoined, WebhookVerificationError, unwrap

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("rooms")


class State(TypedDict):
    whereby: WherebyClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    async with WherebyClient() as client:
        yield {"whereby": client}


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


@app.get("/rooms/{room_id}")
async def get_room(room_id: str, whereby: Whereby) -> dict[str, str | None]:
    try:
        meeting = await whereby.meetings.get(room_id)
    except ValueError as error:  # no id of anything, such as "%20"
        raise HTTPException(422, str(error)) from error
    return {"id": meeting.meeting_id, "url": meeting.room_url}


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


@app.exception_handler(NotFoundError)
async def not_there(request: Request, error: NotFoundError) -> Response:
    return Response(status_code=404)


@app.exception_handler(Throttled)
async def come_back_later(request: Request, error: Throttled) -> Response:
    return Response(status_code=503, headers={"Retry-After": str(math.ceil(error.retry_after or 1))})


@app.exception_handler(APIConnectionError)
@app.exception_handler(InternalServerError)
async def bad_gateway(request: Request, error: WherebyError) -> Response:
    return JSONResponse({"may_have_happened": error.may_have_happened}, status_code=502)
