"""aiohttp.web: the client lives in a cleanup context, the errors are turned into answers by a middleware.

Run it with WHEREBY_API_KEY and WHEREBY_WEBHOOK_SECRET set: `python aiohttp_app.py`.
"""

import logging
import math
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from aiohttp import web
from aiohttp.typedefs import Handler

from whereby_async import APIConnectionError, InternalServerError, NotFoundError, Priority, Throttled, WherebyClient
from whereby_async.webhooks import RoomClientJoined, WebhookVerificationError, unwrap

log = logging.getLogger("rooms")
WHEREBY = web.AppKey("whereby", WherebyClient)


async def client_of(app: web.Application) -> AsyncIterator[None]:
    async with WherebyClient(priority=Priority.INTERACTIVE, max_wait=2.0) as app[WHEREBY]:
        yield


async def create_room(request: web.Request) -> web.Response:
    whereby = request.app[WHEREBY]
    meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
    return web.json_response({"id": meeting.meeting_id, "url": meeting.room_url}, status=201)


async def list_rooms(request: web.Request) -> web.Response:
    return web.json_response(
        [meeting.room_url for meeting in await request.app[WHEREBY].meetings.list().collect(max_items=20)]
    )


async def get_room(request: web.Request) -> web.Response:
    try:
        meeting = await request.app[WHEREBY].meetings.get(request.match_info["room_id"])
    except ValueError as error:  # no id of anything, such as "%20"
        raise web.HTTPUnprocessableEntity(text=str(error)) from error
    return web.json_response({"id": meeting.meeting_id, "url": meeting.room_url})


async def receive_webhook(request: web.Request) -> web.Response:
    body = await request.read()  # the raw bytes are what is signed
    event = unwrap(body, request.headers.get("Whereby-Signature"), os.environ["WHEREBY_WEBHOOK_SECRET"])
    match event:
        case RoomClientJoined(data=data):
            log.info("%s joined %s", data.display_name, data.room_name)
        case _:  # Whereby adds types
            pass
    return web.Response(status=204)


@web.middleware
async def whereby_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except WebhookVerificationError:
        return web.Response(status=400)
    except NotFoundError:
        return web.Response(status=404)
    except Throttled as error:
        return web.Response(status=503, headers={"Retry-After": str(math.ceil(error.retry_after or 1))})
    except (APIConnectionError, InternalServerError):
        return web.Response(status=502)


def make_app() -> web.Application:
    app = web.Application(middlewares=[whereby_errors])
    app.cleanup_ctx.append(client_of)
    app.add_routes(
        [
            web.post("/rooms", create_room),
            web.get("/rooms", list_rooms),
            web.get("/rooms/{room_id}", get_room),
            web.post("/webhooks", receive_webhook),
        ]
    )
    return app


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    web.run_app(make_app(), host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8000")))
