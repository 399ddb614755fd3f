"""The sessions of the fake service and who took part in them, and the four operations of insights into them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from ...redaction import plain
from .api_call import ApiAnswer, ApiCall, RefusalError, fields, page, sort
from .state import Moment, State, Wire, at_of, found, later, length_of, new_id, room_path

_AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/118.0.0.0 Safari/537.36"
)
_GUESTS = ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Edsger Dijkstra", "Barbara Liskov", "Donald Knuth")
_TOTALS = (
    "totalParticipantMinutes",
    "totalRecorderMinutes",
    "totalStreamerMinutes",
    "totalUniqueParticipants",
    "totalUniqueRecorders",
    "totalUniqueStreamers",
)
_RATINGS = ("rating", "totalRatings")
_ROOM_DATES = ("createdAt", "endAt", "firstSessionStartedAt", "lastSessionStartedAt")
_ROOM_SORT = fields("roomName", *_ROOM_DATES, "totalSessions", *_TOTALS, *_RATINGS)
_SESSION_SORT = fields("roomSessionId", "roomName", "startedAt", "endedAt", *_TOTALS, *_RATINGS)
_PARTICIPANT_SORT = fields("joinedAt", "leftAt")
_DEFAULT_PAGE = 10


class SessionWorld(State):
    """Room sessions and their participants."""

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
        key, end = new_id(), later(start, duration) if ended else None
        self.sessions[key] = {"roomSessionId": key, "roomName": name, "startedAt": start, "endedAt": end}
        self.participants[key] = []
        participants = plain(participants)
        if isinstance(participants, int):
            participants = [_GUESTS[number % len(_GUESTS)] for number in range(participants)]
        for guest in participants:
            self.add_participant(key, display_name=guest)
        return dict(self.sessions[key])

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
        return _participant_row(participant)

    def end_session(self, room_session_id: str) -> None:
        """Let a session be over now, and everybody who is still there have left.

        Raises:
            KeyError: No such session.
        """
        session, end = found(self.sessions, room_session_id, "session"), self.date(0.0)
        session["endedAt"] = session["endedAt"] or end
        for participant in self.participants[room_session_id]:
            participant["leftAt"] = participant["leftAt"] or end


def rooms(world: SessionWorld, call: ApiCall) -> ApiAnswer:
    """`GET /insights/rooms`."""
    earliest, latest = call.date("createdAt[from]"), call.date("createdAt[to]")
    sessions = _sessions_by_room(world)
    rows: list[Wire] = []
    for name, room in list(world.rooms.items()):
        created = at_of(room, "createdAt")
        in_time = (earliest is None or created >= earliest) and (latest is None or created <= latest)
        if in_time and call.wants(name):
            rows.append(_room_row(world, name, room, sessions.get(name, [])))
    return page(call, sort(call, rows, _ROOM_SORT), default=_DEFAULT_PAGE)


def room_sessions(world: SessionWorld, call: ApiCall) -> ApiAnswer:
    """`GET /insights/room-sessions`: of one room."""
    name, session_id = call.required("roomName"), call.query.get("roomSessionId")
    rows = [
        {**session, **_totals(world, [session])}
        for session in list(world.sessions.values())
        if session["roomName"] == name and session_id in {None, session["roomSessionId"]}
    ]
    return page(call, sort(call, rows, _SESSION_SORT), default=_DEFAULT_PAGE)


def participants(world: SessionWorld, call: ApiCall) -> ApiAnswer:
    """`GET /insights/participants`: of one session, or all with one external id."""
    session_id, external_id = call.query.get("roomSessionId"), call.query.get("externalId")
    if not session_id and not external_id:
        raise RefusalError(400, "Either roomSessionId or externalId is required")
    rows = [
        _participant_row(person)
        for people in ([world.participants.get(session_id, [])] if session_id else list(world.participants.values()))
        for person in people
        if not external_id or person["externalId"] == external_id
    ]
    return page(call, sort(call, rows, _PARTICIPANT_SORT), default=_DEFAULT_PAGE)


def participant(world: SessionWorld, call: ApiCall) -> ApiAnswer:
    """`GET /insights/participant`: an array, with one item for one participant."""
    session_id, participant_id = call.required("roomSessionId"), call.required("participantId")
    people = world.participants.get(session_id, [])
    return ApiAnswer(
        200, [_participant_details(person) for person in people if person["participantId"] == participant_id]
    )


def _sessions_by_room(world: SessionWorld) -> dict[str, list[Wire]]:
    rooms: dict[str, list[Wire]] = {}
    for session in sorted(world.sessions.values(), key=lambda session: at_of(session, "startedAt")):
        rooms.setdefault(session["roomName"], []).append(session)
    return rooms


def _room_row(world: SessionWorld, name: str, room: Wire, sessions: list[Wire]) -> Wire:
    last = _totals(world, sessions[-1:])
    return {
        "roomName": name,
        **room,
        "firstSessionStartedAt": sessions[0]["startedAt"] if sessions else None,
        "lastSessionStartedAt": sessions[-1]["startedAt"] if sessions else None,
        **_totals(world, sessions),
        "totalSessions": len(sessions),
        **{name: last[name] for name in _RATINGS},
    }


def _totals(world: SessionWorld, sessions: Collection[Wire]) -> Wire:
    ids = {session["roomSessionId"] for session in sessions}
    people = [person for session_id in ids for person in world.participants.get(session_id, [])]
    recordings = [each for each in list(world.recordings.values()) if each["roomSessionId"] in ids] if ids else []
    ratings = [person["rating"] for person in people if person["rating"] is not None]
    return {
        "totalParticipantMinutes": sum(_minutes_there(person, world.now()) for person in people),
        "totalRecorderMinutes": sum(math.ceil(length_of(recording) / 60) for recording in recordings),
        "totalStreamerMinutes": 0,
        "totalUniqueParticipants": len({person["deviceId"] for person in people}),
        "totalUniqueRecorders": len(recordings),
        "totalUniqueStreamers": 0,
        "rating": sum(ratings) / len(ratings) if ratings else None,
        "totalRatings": len(ratings) if ratings else None,
    }


def _minutes_there(person: Wire, now: float) -> int:
    return math.ceil(max(0.0, at_of(person, "leftAt", now) - at_of(person, "joinedAt", now)) / 60)


def _participant_row(participant: Wire) -> Wire:
    """A participant as insights list it."""
    return {name: value for name, value in participant.items() if name != "samples"}


def _participant_details(participant: Wire) -> Wire:
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
