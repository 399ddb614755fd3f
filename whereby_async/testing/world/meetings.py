"""The meetings of the fake service: `POST`, `GET` and `DELETE /meetings`."""

from __future__ import annotations

import base64
import math
import re
import secrets
from typing import TYPE_CHECKING, Any, cast

import msgspec

from .api_call import ApiAnswer, RefusalError, one_of, page, remove, sort
from .state import Moment, State, Wire, at_of, new_id, read_date, room_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .api_call import ApiCall

_GRACE = 3600.0
"""Seconds after its end for which a meeting is still there."""
_PHONES = (("NO", "+4721930000"), ("GB", "+442080000000"), ("US", "+12025550100"))
_DISTINGUISHABLE = "abcdefghjkmnpqrstuvwxyz"
_ALWAYS = ("meetingId", "roomName", "roomUrl", "startDate", "endDate")
_ON_REQUEST = ("hostRoomUrl", "viewerRoomUrl", "dialIn")
_OBJECTS = ("recording", "liveTranscription", "streaming", "roomPreferences")
_SETTINGS = ("isLocked", "roomMode", "templateType", *_OBJECTS)
_FLAGS = ("isLocked", "isDialInEnabled")
_LONGEST_PREFIX = 39
_LATE = 1.0


class MeetingWorld(State):
    """The meetings."""

    def add_meeting(  # noqa: PLR0913 - what can be said of one
        self,
        *,
        end_date: Moment = 3600.0,
        start_date: Moment = 0.0,
        room_name: str | None = None,
        room_name_prefix: str = "",
        room_name_pattern: str = "uuid",
        dial_in: bool = False,
        **settings: Any,
    ) -> Wire:
        """Make a meeting, as `POST /meetings` does.

        Args:
            end_date: When it ends, by default in an hour. An hour after that the meeting is gone.
            start_date: When it was made, by default now.
            room_name: The room's whole name; by default it is made from prefix and pattern.
            room_name_prefix: How the room's name begins; lower-cased, white space removed.
            room_name_pattern: `uuid` or `human-short`.
            dial_in: The room can be called by telephone.
            settings: More that is kept with the meeting, in the API's spelling, such as `roomMode`.

        Returns:
            The meeting with all of its fields, room keys included.
        """
        meeting_id = str(self._next_meeting)
        self._next_meeting += 1
        prefix = re.sub(r"\s+", "", room_name_prefix).lower()
        name = room_path(room_name or prefix + (_short_name() if room_name_pattern == "human-short" else new_id()))
        url = f"https://{self.subdomain}.whereby.com{name}"
        meeting: Wire = {
            **settings,
            "meetingId": meeting_id,
            "roomName": name,
            "roomUrl": url,
            "startDate": self.date(start_date),
            "endDate": self.date(end_date),
            "hostRoomUrl": f"{url}?roomKey={_room_key(meeting_id, 'host')}",
            "viewerRoomUrl": f"{url}?roomKey={_room_key(meeting_id, 'viewer')}",
            "roomPreferences": {"dialIn": dial_in},
        }
        if dial_in:
            phones = [{"countryCode": country, "phoneNumber": number} for country, number in _PHONES]
            meeting["dialIn"] = {"code": f"{self._next_meeting % 1_000_000:06}", "phoneNumbers": phones}
        self.meetings[meeting_id] = meeting
        self.see_room(name, created_at=meeting["startDate"], end_at=meeting["endDate"])
        return dict(meeting)

    def live_meetings(self) -> list[Wire]:
        """The meetings that are not gone yet."""
        return [meeting for key in list(self.meetings) if (meeting := self.find_meeting(key)) is not None]

    def find_meeting(self, meeting_id: str) -> Wire | None:
        """A meeting that is not gone yet."""
        meeting = self.meetings.get(meeting_id)
        if meeting is not None and at_of(meeting, "endDate", math.inf) < self.now() - _GRACE:
            self.meetings.pop(meeting_id, None)
            return None
        return meeting


def create(world: MeetingWorld, call: ApiCall) -> ApiAnswer:
    """`POST /meetings`."""
    body = call.body()
    at = read_date(body.get("endDate"))
    if at is None:
        raise RefusalError(400, "endDate is required and must be a date-time")
    if at < world.now() - _LATE:
        raise RefusalError(400, "endDate must not be in the past")
    _check_types(body)
    wanted = _known_fields(body.get("fields") or [])
    settings: Wire = {name: body[name] for name in _SETTINGS if body.get(name) is not None}
    if body.get("templateType") == "viewerMode":
        settings.update(isLocked=True, roomMode="group")
        wanted = [*wanted, "hostRoomUrl", "viewerRoomUrl"]
    meeting = world.add_meeting(
        end_date=body["endDate"],
        room_name_prefix=_prefix(body.get("roomNamePrefix")),
        room_name_pattern=body.get("roomNamePattern") or "uuid",
        dial_in=body.get("isDialInEnabled") is True,
        **settings,
    )
    return ApiAnswer(201, _shown(meeting, wanted))


def get(world: MeetingWorld, call: ApiCall) -> ApiAnswer:
    """`GET /meetings/{meetingId}`."""
    wanted = _queried_fields(call)
    meeting = world.find_meeting(call.path["meetingId"])
    if meeting is None:
        raise RefusalError(404, "Could not find meeting")
    return ApiAnswer(200, _shown(meeting, wanted))


def list_all(world: MeetingWorld, call: ApiCall) -> ApiAnswer:
    """`GET /meetings`."""
    wanted = _queried_fields(call)
    meetings = world.live_meetings()
    if not world.ignores_name_filter:
        meetings = [meeting for meeting in meetings if call.wants(meeting["roomName"])]
    return page(call, sort(call, [_shown(meeting, wanted) for meeting in meetings], {}))


def delete(world: MeetingWorld, call: ApiCall) -> ApiAnswer:
    """`DELETE /meetings/{meetingId}`: everybody is out, and a second time is as good as the first."""
    return remove([call.path["meetingId"]], world.meetings)


def _shown(meeting: Wire, wanted: Iterable[str]) -> Wire:
    shown = {name: meeting[name] for name in (*_ALWAYS, *wanted) if name in meeting}
    if "dialIn" in shown:
        shown["roomPreferences"] = {"dialIn": True}
    return shown


def _queried_fields(call: ApiCall) -> list[str]:
    names = call.query.get("fields", "").split(",")
    return _known_fields([name.strip() for name in names if name.strip()])


def _known_fields(names: Any) -> list[str]:
    wanted = cast("list[str]", names)
    if not isinstance(names, list) or any(name not in _ON_REQUEST for name in wanted):
        raise RefusalError(400, f"fields must be a list of {', '.join(_ON_REQUEST)}")
    return wanted


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


def _short_name() -> str:
    """Six letters that are not taken for one another: the room name pattern `human-short`."""
    return "".join(secrets.choice(_DISTINGUISHABLE) for _ in range(6))


def _room_key(meeting_id: str, role: str) -> str:
    """Something that looks like the JWT in a room link, and is not signed by anybody."""
    claims = msgspec.json.encode({"meetingId": meeting_id, "roomReference": {"roleName": role}, "iss": "fake"})
    parts = (b'{"alg":"HS256","typ":"JWT"}', claims, secrets.token_bytes(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
