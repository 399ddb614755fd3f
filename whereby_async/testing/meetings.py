"""The part of the fake service's world that people are in: meetings, sessions, participants, themes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .state import Moment, RoomTheme, State, at_of, found, room_path
from .wire import Wire, new_id, room_key, short_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GRACE = 3600.0
_AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/118.0.0.0 Safari/537.36"
)
_GUESTS = ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Edsger Dijkstra", "Barbara Liskov", "Donald Knuth")
_PHONES = (("NO", "+4721930000"), ("GB", "+442080000000"), ("US", "+12025550100"))


class MeetingWorld(State):
    """Meetings, room sessions, participants and themes."""

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
        name = room_path(room_name or prefix + (short_name() if room_name_pattern == "human-short" else new_id()))
        url = f"https://{self.subdomain}.whereby.com{name}"
        meeting: Wire = {
            **settings,
            "meetingId": meeting_id,
            "roomName": name,
            "roomUrl": url,
            "startDate": self.date(start_date),
            "endDate": self.date(end_date),
            "hostRoomUrl": f"{url}?roomKey={room_key(meeting_id, 'host')}",
            "viewerRoomUrl": f"{url}?roomKey={room_key(meeting_id, 'viewer')}",
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
        gone = self.now() - _GRACE
        for meeting_id in [
            key for key, meeting in list(self.meetings.items()) if (at_of(meeting, "endDate") or 0.0) < gone
        ]:
            del self.meetings[meeting_id]
        return list(self.meetings.values())

    def find_meeting(self, meeting_id: str) -> Wire | None:
        """A meeting that is not gone yet."""
        meeting = self.meetings.get(meeting_id)
        if meeting is not None and (at_of(meeting, "endDate") or 0.0) < self.now() - _GRACE:
            del self.meetings[meeting_id]
            return None
        return meeting

    def add_session(
        self,
        room_name: str,
        *,
        participants: int | Sequence[str] = 2,
        ended: bool = True,
        duration: float = 1800.0,
        started_at: Moment | None = None,
    ) -> Wire:
        """Let a session take place in a room.

        Args:
            room_name: The room, with or without the leading slash.
            participants: How many people, or their names.
            ended: It is over; otherwise it still runs and nobody has left.
            duration: Seconds that it took, or has taken until now.
            started_at: When it started, by default `duration` ago.

        Returns:
            The session; its people are in `participants[roomSessionId]`.
        """
        name = room_path(room_name)
        start = self.date(-duration if started_at is None else started_at)
        self.see_room(name, created_at=start)
        session: Wire = {"roomSessionId": new_id(), "roomName": name, "startedAt": start, "endedAt": None}
        if ended:
            session["endedAt"] = self.date((at_of(session, "startedAt") or 0.0) + duration - self.now())
        self.sessions[session["roomSessionId"]] = session
        self.participants[session["roomSessionId"]] = []
        for guest in _names(participants):
            self.add_participant(session["roomSessionId"], display_name=guest)
        return dict(session)

    def add_participant(  # noqa: PLR0913 - what can be said of one
        self,
        room_session_id: str,
        *,
        display_name: str | None = "Ada Lovelace",
        role_name: str = "visitor",
        external_id: str | None = None,
        joined_at: Moment | None = None,
        left_at: Moment | None = None,
        rating: float | None = None,
        tags: Sequence[str] | None = None,
        comment: str | None = None,
        samples: int = 3,
    ) -> Wire:
        """Let somebody take part in a session.

        Args:
            room_session_id: The session.
            display_name: The name that others see.
            role_name: Such as `host`, `visitor`, `granted_visitor`, `viewer`.
            external_id: The id that came with the room link.
            joined_at: By default the session's start.
            left_at: By default the session's end; still there if it runs.
            rating: How good they found it.
            tags: What they found wrong.
            comment: What they wrote.
            samples: How many measurements of their network there are.

        Returns:
            The participant as insights list it.

        Raises:
            KeyError: No such session.
        """
        session = found(self.sessions, room_session_id, "session")
        participant: Wire = {
            "roomSessionId": room_session_id,
            "participantId": new_id(),
            "deviceId": new_id(),
            "userId": new_id(),
            "roleName": role_name,
            "displayName": display_name,
            "joinedAt": session["startedAt"] if joined_at is None else self.date(joined_at),
            "leftAt": session["endedAt"] if left_at is None else self.date(left_at),
            "externalId": external_id,
            "rating": rating,
            "tags": None if tags is None else list(tags),
            "comment": comment,
            "samples": samples,
        }
        self.participants[room_session_id].append(participant)
        return participant_row(participant)

    def theme(self, room_name: str) -> RoomTheme:
        """How a room looks; the default theme if nobody has changed it."""
        return self.themes.get(room_path(room_name)) or RoomTheme()


def _names(participants: int | Sequence[str]) -> Iterable[str]:
    if isinstance(participants, int):
        return (_GUESTS[number % len(_GUESTS)] for number in range(participants))
    return participants


def participant_row(participant: Wire) -> Wire:
    """A participant as insights list it."""
    return {name: value for name, value in participant.items() if name != "samples"}


def participant_details(participant: Wire) -> Wire:
    """What insights know of a participant's connection."""
    count = participant["samples"]
    return {
        "displayName": participant["displayName"],
        "userRole": participant["roleName"],
        "userAgent": _AGENT,
        "timeStamp": participant["joinedAt"],
        "sampleRateMs": 2000,
        "samples": {
            "packetLossSend": [0.0] * count,
            "packetLossRecv": [0.01] * count,
            "bitrateSend": [1_200_000 + 1000 * number for number in range(count)],
            "bitrateRecv": [2_400_000 + 1000 * number for number in range(count)],
        },
        "events": [],
    }
