"""The 27 operations of the API on one screen: name, method, path, points, what they do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from . import insights, meetings, recordings, rooms, summaries, transcriptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..calls import Answer, Call
    from ..world import World


class Route(msgspec.Struct, frozen=True):
    """One operation.

    Attributes:
        operation: Its name, such as `meetings.create`.
        method: Its HTTP method.
        template: Its path below the base URL, with parameters in braces.
        cost: Its price in points.
        act: What it does.
    """

    operation: str
    method: str
    template: str
    cost: int
    act: Callable[[World, Call], Answer]


ROUTES = (
    Route("meetings.create", "POST", "/meetings", 3, meetings.create),
    Route("meetings.list", "GET", "/meetings", 1, meetings.list_all),
    Route("meetings.get", "GET", "/meetings/{meetingId}", 1, meetings.get),
    Route("meetings.delete", "DELETE", "/meetings/{meetingId}", 2, meetings.delete),
    Route("recordings.list", "GET", "/recordings", 1, recordings.list_all),
    Route("recordings.bulk_delete", "POST", "/recordings/bulk-delete", 3, recordings.bulk_delete),
    Route("recordings.get", "GET", "/recordings/{recordingId}", 1, recordings.get),
    Route("recordings.delete", "DELETE", "/recordings/{recordingId}", 2, recordings.delete),
    Route("recordings.access_link", "GET", "/recordings/{recordingId}/access-link", 1, recordings.access_link),
    Route("transcriptions.create", "POST", "/transcriptions", 3, transcriptions.create),
    Route("transcriptions.list", "GET", "/transcriptions", 1, transcriptions.list_all),
    Route("transcriptions.bulk_delete", "POST", "/transcriptions/bulk-delete", 3, transcriptions.bulk_delete),
    Route("transcriptions.get", "GET", "/transcriptions/{transcriptionId}", 1, transcriptions.get),
    Route("transcriptions.delete", "DELETE", "/transcriptions/{transcriptionId}", 2, transcriptions.delete),
    Route(
        "transcriptions.access_link",
        "GET",
        "/transcriptions/{transcriptionId}/access-link",
        1,
        transcriptions.access_link,
    ),
    Route("summaries.create", "POST", "/summaries", 3, summaries.create),
    Route("summaries.list", "GET", "/summaries", 1, summaries.list_all),
    Route("summaries.get", "GET", "/summaries/{summaryId}", 1, summaries.get),
    Route("summaries.delete", "DELETE", "/summaries/{summaryId}", 2, summaries.delete),
    Route("rooms.set_theme_tokens", "PUT", "/rooms/{roomName}/theme/tokens", 3, rooms.set_tokens),
    Route("rooms.set_logo", "PUT", "/rooms/{roomName}/theme/logo", 3, rooms.set_logo),
    Route("rooms.set_background", "PUT", "/rooms/{roomName}/theme/room-background", 3, rooms.set_background),
    Route(
        "rooms.set_knock_background",
        "PUT",
        "/rooms/{roomName}/theme/room-knock-page-background",
        3,
        rooms.set_knock_background,
    ),
    Route("insights.rooms", "GET", "/insights/rooms", 1, insights.rooms),
    Route("insights.room_sessions", "GET", "/insights/room-sessions", 1, insights.room_sessions),
    Route("insights.participants", "GET", "/insights/participants", 1, insights.participants),
    Route("insights.participant", "GET", "/insights/participant", 1, insights.participant),
)

COSTS = {route.operation: route.cost for route in ROUTES}
"""Prices in points by operation: 1 for GET, 2 for DELETE, 3 for POST and PUT."""


def _pattern(template: str) -> re.Pattern[str]:
    path = template.replace("{roomName}", r"/?(?P<roomName>[^/]+)")
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


_PATTERNS = tuple((_pattern(route.template), route) for route in ROUTES)


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | int:
    """The route of a request, and its path's parameters.

    A room's name may stand in the path bare, after a double slash, or with its slash encoded.

    Args:
        method: The HTTP method.
        path: The path below the base URL, still encoded.

    Returns:
        The route and the decoded parameters, or a status: 404 for no such path, 405 for a path with other methods.
    """
    known = False
    for pattern, route in _PATTERNS:
        found = pattern.fullmatch(path)
        if found is None:
            continue
        if route.method == method:
            return route, {name: unquote(value) for name, value in found.groupdict().items()}
        known = True
    return 405 if known else 404
