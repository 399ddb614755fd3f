"""Django under ASGI: one client for the process, a webhook view that needs no CSRF token, a middleware for the errors.

Django has no lifespan, so the client is made with the module: it is bound to no event loop, and its connections close
with the loop that opened them. Run it with WHEREBY_API_KEY, WHEREBY_WEBHOOK_SECRET and DJANGO_SECRET_KEY set:
`uvicorn django_app:application`. In a project of yours the settings, urls and views are files of their own.
"""
# Django has no types of its own; with django-stubs in your project these lines can go.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false, reportUnnecessaryComparison=false

import logging
import math
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from whereby_async import APIConnectionError, InternalServerError, NotFoundError, Priority, Throttled, WherebyClient
from whereby_async.webhooks import RoomClientJoined, WebhookVerificationError, unwrap

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", f"{__name__}.WherebyErrors"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ["DJANGO_SECRET_KEY"],
)
logging.basicConfig(level=logging.INFO)
log = logging.getLogger("rooms")
whereby = WherebyClient(priority=Priority.INTERACTIVE, max_wait=2.0)


async def rooms(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
        return JsonResponse({"id": meeting.meeting_id, "url": meeting.room_url}, status=201)
    return JsonResponse(
        [meeting.room_url for meeting in await whereby.meetings.list().collect(max_items=20)], safe=False
    )


async def room(request: HttpRequest, room_id: str) -> HttpResponse:
    try:
        meeting = await whereby.meetings.get(room_id)
    except ValueError as error:  # no id of anything, such as "%20"
        return JsonResponse({"detail": str(error)}, status=422)
    return JsonResponse({"id": meeting.meeting_id, "url": meeting.room_url})


async def receive_webhook(request: HttpRequest) -> HttpResponse:
    signature = request.headers.get("Whereby-Signature")
    event = unwrap(request.body, signature, os.environ["WHEREBY_WEBHOOK_SECRET"])
    match event:
        case RoomClientJoined(data=data):
            log.info("%s joined %s", data.display_name, data.room_name)
        case _:  # Whereby adds types
            pass
    return HttpResponse(status=204)


class WherebyErrors:
    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> None:
        self._get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        return await self._get_response(request)

    async def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        match error:
            case WebhookVerificationError():
                return HttpResponse(status=400)
            case NotFoundError():
                return HttpResponse(status=404)
            case Throttled():
                return HttpResponse(status=503, headers={"Retry-After": str(math.ceil(error.retry_after or 1))})
            case APIConnectionError() | InternalServerError():
                return HttpResponse(status=502)
            case _:
                return None


urlpatterns = [
    path("rooms", csrf_exempt(rooms)),  # for callers with a token of their own; forms of your site keep the check
    path("rooms/<str:room_id>", room),
    path("webhooks", csrf_exempt(require_POST(receive_webhook))),  # the signature says who sent it
]
application = get_asgi_application()
