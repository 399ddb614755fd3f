"""Meetings: create, get, list, delete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..calls import NOTHING, Answer, Call, RefusalError, one_of, page
from ..wire import Wire, read_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..world import World

_ALWAYS = ("meetingId", "roomName", "roomUrl", "startDate", "endDate")
_ON_REQUEST = ("hostRoomUrl", "viewerRoomUrl", "dialIn")
_SETTINGS = ("isLocked", "roomMode", "templateType", "recording", "liveTranscription", "streaming", "roomPreferences")
_OBJECTS = ("recording", "liveTranscription", "streaming", "roomPreferences")
_FLAGS = ("isLocked", "isDialInEnabled")
_LONGEST_PREFIX = 39
_LATE = 1.0


def create(world: World, call: Call) -> Answer:
    """`POST /meetings`."""
    body = call.body()
    at = read_date(body.get("endDate"))
    if at is None:
        raise RefusalError(400, "endDate is required and must be a date-time")
    if at < world.now() - _LATE:
        raise RefusalError(400, "endDate must not be in the past")
    _check_types(body)
    wanted = _known_fields(body.get("fields") or [])
    viewer_mode = body.get("templateType") == "viewerMode"
    settings: Wire = {name: body[name] for name in _SETTINGS if body.get(name) is not None}
    if viewer_mode:
        settings.update(isLocked=True, roomMode="group")
        wanted = [*wanted, "hostRoomUrl", "viewerRoomUrl"]
    meeting = world.add_meeting(
        end_date=body["endDate"],
        room_name_prefix=_prefix(body.get("roomNamePrefix")),
        room_name_pattern=body.get("roomNamePattern") or "uuid",
        dial_in=body.get("isDialInEnabled") is True,
        **settings,
    )
    return Answer(201, _shown(meeting, wanted))


def get(world: World, call: Call) -> Answer:
    """`GET /meetings/{meetingId}`."""
    wanted = _queried_fields(call)
    meeting = world.find_meeting(call.path["meetingId"])
    if meeting is None:
        raise RefusalError(404, "Could not find meeting")
    return Answer(200, _shown(meeting, wanted))


def list_all(world: World, call: Call) -> Answer:
    """`GET /meetings`."""
    wanted = _queried_fields(call)
    meetings = world.live_meetings()
    if not world.ignores_name_filter:
        meetings = [meeting for meeting in meetings if name_matches(call, meeting["roomName"])]
    return page(call, [_shown(meeting, wanted) for meeting in meetings])


def delete(world: World, call: Call) -> Answer:
    """`DELETE /meetings/{meetingId}`: everybody is out, and a second time is as good as the first."""
    world.meetings.pop(call.path["meetingId"], None)
    return NOTHING


_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "roomName": str.__eq__,
    "roomName[exact]": str.__eq__,
    "roomName[startsWith]": str.startswith,
    "roomName[contains]": str.__contains__,
}


def name_matches(call: Call, room_name: str) -> bool:
    """Whether a room's name fits the call's `roomName` filters."""
    return all(match(room_name, call.query[name]) for name, match in _MATCHES.items() if name in call.query)


def _shown(meeting: Wire, wanted: Iterable[str]) -> Wire:
    shown = {name: meeting[name] for name in (*_ALWAYS, *wanted) if name in meeting}
    if "dialIn" in shown:
        shown["roomPreferences"] = {"dialIn": True}
    return shown


def _queried_fields(call: Call) -> list[str]:
    text = call.query.get("fields", "")
    return _known_fields([name.strip() for name in text.split(",") if name.strip()])


def _known_fields(names: Any) -> list[str]:
    if not isinstance(names, list) or any(name not in _ON_REQUEST for name in names):  # pyright: ignore[reportUnknownVariableType] - JSON
        raise RefusalError(400, f"fields must be a list of {', '.join(_ON_REQUEST)}")
    return names  # pyright: ignore[reportUnknownVariableType] - all of them are known names


def _check_types(body: Wire) -> None:
    one_of(body, "roomMode", ("normal", "group"))
    one_of(body, "roomNamePattern", ("uuid", "human-short"))
    one_of(body, "templateType", ("viewerMode",))
    for names, kind, words in ((_OBJECTS, dict, "an object"), (_FLAGS, bool, "a boolean")):
        for name in names:
            if body.get(name) is not None and not isinstance(body[name], kind):
                raise RefusalError(400, f"{name} must be {words}")


def _prefix(prefix: Any) -> str:
    if prefix is None:
        return ""
    if not isinstance(prefix, str) or len(prefix) > _LONGEST_PREFIX:
        raise RefusalError(400, f"roomNamePrefix must be a string of at most {_LONGEST_PREFIX} characters")
    if not re.fullmatch(r"/?[a-z0-9_-]*", re.sub(r"\s+", "", prefix).lower()):
        raise RefusalError(400, "roomNamePrefix takes letters, digits and dashes")
    return prefix
