"""Quart: the client is there while the app serves.

Run it with WHEREBY_API_KEY and WHEREBY_WEBHOOK_SECRET set: `hypercorn quart_app:app`.
"""

import logging
import math
import os
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

from quart import Quart, Response, abort, request

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
app = Quart(__name__)


@app.while_serving
async def lifespan() -> AsyncGenerator[None, None]:
    async with WherebyClient(priority=Priority.INTERACTIVE, max_wait=2.0) as app.extensions["whereby"]:
        yield


def whereby() -> WherebyClient:
    client: WherebyClient = app.extensions["whereby"]
    return client


@app.post("/rooms")
async def create_room() -> tuple[dict[str, str | None], int]:
    meeting = await whereby().meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
    return {"id": meeting.meeting_id, "url": meeting.room_url}, 201


@app.get("/rooms")
async def list_rooms() -> list[str | None]:
    return [meeting.room_url for meeting in await whereby().meetings.list().collect(max_items=20)]


@app.get("/rooms/<room_id>")
async def get_room(room_id: str) -> dict[str, str | None]:
    try:
        meeting = await whereby().meetings.get(room_id)
    except ValueError as error:  # no id of anything, such as "%20"
        abort(422, str(error))
    return {"id": meeting.meeting_id, "url": meeting.room_url}


@app.post("/webhooks")
async def receive_webhook() -> Response:
    body = await request.body  # the raw bytes are what is signed
    event = unwrap(body, request.headers.get("Whereby-Signature"), os.environ["WHEREBY_WEBHOOK_SECRET"])
    match event:
        case RoomClientJoined(data=data):
            log.info("%s joined %s", data.display_name, data.room_name)
        case _:  # Whereby adds types
            pass
    return Response(status=204)


@app.errorhandler(WebhookVerificationError)
async def not_theirs(error: WebhookVerificationError) -> Response:
    return Response(status=400)


@app.errorhandler(NotFoundError)
async def not_there(error: NotFoundError) -> Response:
    return Response(status=404)


@app.errorhandler(Throttled)
async def come_back_later(error: Throttled) -> Response:
    return Response(status=503, headers={"Retry-After": str(math.ceil(error.retry_after or 1))})


@app.errorhandler(APIConnectionError)
@app.errorhandler(InternalServerError)
async def bad_gateway(error: WherebyError) -> Response:
    return Response(status=502)
