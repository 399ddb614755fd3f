"""The fake service's whole world, and all operations on it on one screen: name, method, path, what they do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from . import insights, meetings, recordings, rooms, summaries, transcriptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from .api_call import ApiAnswer, ApiCall


class World(
    rooms.RoomWorld,
    meetings.MeetingWorld,
    insights.SessionWorld,
    recordings.RecordingWorld,
    transcriptions.TranscriptionWorld,
    summaries.SummaryWorld,
):
    """All that the fake service knows; the operations work on it, and tests fill it."""


class Route(msgspec.Struct, frozen=True):
    """One operation: its name, its method, its path below the base URL with parameters in braces, and what it does."""

    operation: str
    method: str
    template: str
    act: Callable[[World, ApiCall], ApiAnswer]


# The client has a table of its own (`whereby_async.operations`): two statements of one API that check each other.
ROUTES = (
    Route("meetings.create", "POST", "/meetings", meetings.create),
    Route("meetings.list", "GET", "/meetings", meetings.list_all),
    Route("meetings.get", "GET", "/meetings/{meetingId}", meetings.get),
    Route("meetings.delete", "DELETE", "/meetings/{meetingId}", meetings.delete),
    Route("recordings.list", "GET", "/recordings", recordings.list_all),
    Route("recordings.bulk_delete", "POST", "/recordings/bulk-delete", recordings.bulk_delete),
    Route("recordings.get", "GET", "/recordings/{recordingId}", recordings.get),
    Route("recordings.delete", "DELETE", "/recordings/{recordingId}", recordings.delete),
    Route("recordings.access_link", "GET", "/recordings/{recordingId}/access-link", recordings.link),
    Route("transcriptions.create", "POST", "/transcriptions", transcriptions.create),
    Route("transcriptions.list", "GET", "/transcriptions", transcriptions.list_all),
    Route("transcriptions.bulk_delete", "POST", "/transcriptions/bulk-delete", transcriptions.bulk_delete),
    Route("transcriptions.get", "GET", "/transcriptions/{transcriptionId}", transcriptions.get),
    Route("transcriptions.delete", "DELETE", "/transcriptions/{transcriptionId}", transcriptions.delete),
    Route("transcriptions.access_link", "GET", "/transcriptions/{transcriptionId}/access-link", transcriptions.link),
    Route("summaries.create", "POST", "/summaries", summaries.create),
    Route("summaries.list", "GET", "/summaries", summaries.list_all),
    Route("summaries.get", "GET", "/summaries/{summaryId}", summaries.get),
    Route("summaries.delete", "DELETE", "/summaries/{summaryId}", summaries.delete),
    Route("rooms.set_theme_tokens", "PUT", "/rooms/{roomName}/theme/tokens", rooms.set_tokens),
    Route("rooms.set_logo", "PUT", "/rooms/{roomName}/theme/logo", rooms.set_logo),
    Route("rooms.set_background", "PUT", "/rooms/{roomName}/theme/room-background", rooms.set_background),
    Route("rooms.set_knock_background", "PUT", "/rooms/{roomName}/theme/room-knock-page-background", rooms.set_knock),
    Route("insights.rooms", "GET", "/insights/rooms", insights.rooms),
    Route("insights.room_sessions", "GET", "/insights/room-sessions", insights.room_sessions),
    Route("insights.participants", "GET", "/insights/participants", insights.participants),
    Route("insights.participant", "GET", "/insights/participant", insights.participant),
)

_PRICES = {"GET": 1, "DELETE": 2, "POST": 3, "PUT": 3}
COSTS = {route.operation: _PRICES[route.method] for route in ROUTES}
"""Prices in points by operation."""


def _pattern(template: str) -> re.Pattern[str]:
    path = template.replace("{roomName}", r"/?(?P<roomName>[^/]+)")
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


_PATTERNS = tuple((_pattern(route.template), route) for route in ROUTES)


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | int:
    """The route of a request, and its path's parameters; or a status: 404 for no such path, 405 for another method.

    A room's name may stand in the (still encoded) path bare, after a double slash, or with its slash encoded.
    """
    status = 404
    for pattern, route in _PATTERNS:
        matched = pattern.fullmatch(path)
        if matched is None:
            continue
        if route.method == method:
            return route, {name: unquote(value) for name, value in matched.groupdict().items()}
        status = 405
    return status
