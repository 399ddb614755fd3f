"""Litestar: the client lives in the lifespan, and each route gets it as a dependency.

Run it with WHEREBY_API_KEY and WHEREBY_WEBHOOK_SECRET set: `uvicorn litestar_app:app`.
"""

import logging
import math
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException

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


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None]:
    async with WherebyClient(priority=Priority.INTERACTIVE, max_wait=2.0) as app.state.whereby:
        yield


def provide_client(state: State) -> WherebyClient:
    client: WherebyClient = state.whereby
    return client


@post("/rooms")
async def create_room(whereby: WherebyClient) -> dict[str, str | None]:
    meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
    return {"id": meeting.meeting_id, "url": meeting.room_url}


@get("/rooms")
async def list_rooms(whereby: WherebyClient) -> list[str | None]:
    return [meeting.room_url for meeting in await whereby.meetings.list().collect(max_items=20)]


@get("/rooms/{room_id:str}")
async def get_room(room_id: str, whereby: WherebyClient) -> dict[str, str | None]:
    try:
        meeting = await whereby.meetings.get(room_id)
    except ValueError as error:  # no id of anything, such as "%20"
        raise HTTPException(str(error), status_code=422) from error
    return {"id": meeting.meeting_id, "url": meeting.room_url}


@post("/webhooks", status_code=204)
async def receive_webhook(request: Request[Any, Any, State]) -> None:
    body = await request.body()  # the raw bytes are what is signed
    event = unwrap(body, request.headers.get("Whereby-Signature"), os.environ["WHEREBY_WEBHOOK_SECRET"])
    match event:
        case RoomClientJoined(data=data):
            log.info("%s joined %s", data.display_name, data.room_name)
        case _:  # Whereby adds types
            pass


def not_theirs(request: Request[Any, Any, State], error: WebhookVerificationError) -> Response[None]:
    return Response(None, status_code=400)


def not_there(request: Request[Any, Any, State], error: NotFoundError) -> Response[None]:
    return Response(None, status_code=404)


def come_back_later(request: Request[Any, Any, State], error: Throttled) -> Response[None]:
    return Response(None, status_code=503, headers={"Retry-After": str(math.ceil(error.retry_after or 1))})


def bad_gateway(request: Request[Any, Any, State], error: WherebyError) -> Response[None]:
    return Response(None, status_code=502)


app = Litestar(
    route_handlers=[create_room, list_rooms, get_room, receive_webhook],
    dependencies={"whereby": Provide(provide_client, sync_to_thread=False)},
    exception_handlers={
        WebhookVerificationError: not_theirs,
        NotFoundError: not_there,
        Throttled: come_back_later,
        APIConnectionError: bad_gateway,
        InternalServerError: bad_gateway,
    },
    lifespan=[lifespan],
)
