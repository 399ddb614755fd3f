"""Starlette: the client lives in the lifespan's state, the errors have handlers of their own.

Run it with WHEREBY_API_KEY and WHEREBY_WEBHOOK_SECRET set: `uvicorn starlette_app:app`.
"""

import logging
import math
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from whereby_async import APIConnectionError, InternalServerError, NotFoundError, Priority, Throttled, WherebyClient
from whereby_async.webhooks import RoomClientJoined, WebhookVerificationError, unwrap

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("rooms")


class State(TypedDict):
    whereby: WherebyClient


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[State]:
    async with WherebyClient(priority=Priority.INTERACTIVE, max_wait=2.0) as client:
        yield {"whereby": client}


async def create_room(request: Request) -> Response:
    whereby: WherebyClient = request.state.whereby
    meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
    return JSONResponse({"id": meeting.meeting_id, "url": meeting.room_url}, status_code=201)


async def list_rooms(request: Request) -> Response:
    whereby: WherebyClient = request.state.whereby
    return JSONResponse([meeting.room_url for meeting in await whereby.meetings.list().collect(max_items=20)])


async def get_room(request: Request) -> Response:
    whereby: WherebyClient = request.state.whereby
    try:
        meeting = await whereby.meetings.get(request.path_params["room_id"])
    except ValueError as error:  # no id of anything, such as "%20"
        raise HTTPException(422, str(error)) from error
    return JSONResponse({"id": meeting.meeting_id, "url": meeting.room_url})


async def receive_webhook(request: Request) -> Response:
    body = await request.body()  # the raw bytes are what is signed
    event = unwrap(body, request.headers.get("Whereby-Signature"), os.environ["WHEREBY_WEBHOOK_SECRET"])
    match event:
        case RoomClientJoined(data=data):
            log.info("%s joined %s", data.display_name, data.room_name)
        case _:  # Whereby adds types
            pass
    return Response(status_code=204)


async def not_theirs(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


async def not_there(request: Request, error: Exception) -> Response:
    return Response(status_code=404)


async def come_back_later(request: Request, error: Exception) -> Response:
    seconds = (error.retry_after if isinstance(error, Throttled) else None) or 1
    return Response(status_code=503, headers={"Retry-After": str(math.ceil(seconds))})


async def bad_gateway(request: Request, error: Exception) -> Response:
    return Response(status_code=502)


app = Starlette(
    routes=[
        Route("/rooms", create_room, methods=["POST"]),
        Route("/rooms", list_rooms, methods=["GET"]),
        Route("/rooms/{room_id}", get_room, methods=["GET"]),
        Route("/webhooks", receive_webhook, methods=["POST"]),
    ],
    exception_handlers={
        WebhookVerificationError: not_theirs,
        NotFoundError: not_there,
        Throttled: come_back_later,
        APIConnectionError: bad_gateway,
        InternalServerError: bad_gateway,
    },
    lifespan=lifespan,
)
