"""Insights: rooms, room sessions, participants, one participant; reckoned from sessions, people and recordings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..calls import Answer, Call, RefusalError, fields, page, sort
from ..meetings import participant_details, participant_row
from ..state import at_of
from .meetings import name_matches
from .recordings import duration

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..wire import Wire
    from ..world import World

_TOTALS = (
    "totalParticipantMinutes",
    "totalRecorderMinutes",
    "totalStreamerMinutes",
    "totalUniqueParticipants",
    "totalUniqueRecorders",
    "totalUniqueStreamers",
)
_RATINGS = ("rating", "totalRatings")
_ROOM_SORT = fields(
    (
        "roomName",
        "createdAt",
        "endAt",
        "firstSessionStartedAt",
        "lastSessionStartedAt",
        "totalSessions",
        *_TOTALS,
        *_RATINGS,
    )
)
_SESSION_SORT = fields(("roomSessionId", "roomName", "startedAt", "endedAt", *_TOTALS, *_RATINGS))
_PARTICIPANT_SORT = fields(("joinedAt", "leftAt"))
_DEFAULT_PAGE = 10


def rooms(world: World, call: Call) -> Answer:
    """`GET /insights/rooms`."""
    earliest, latest = call.date("createdAt[from]"), call.date("createdAt[to]")
    sessions = _sessions_by_room(world)
    found: list[Wire] = []
    for name, room in list(world.rooms.items()):
        created = at_of(room, "createdAt") or 0.0
        in_time = (earliest is None or created >= earliest) and (latest is None or created <= latest)
        if in_time and name_matches(call, name):
            found.append(_room_row(world, name, room, sessions.get(name, [])))
    return page(call, sort(call, found, _ROOM_SORT), default=_DEFAULT_PAGE)


def room_sessions(world: World, call: Call) -> Answer:
    """`GET /insights/room-sessions`: of one room."""
    name, session_id = call.required("roomName"), call.query.get("roomSessionId")
    found = [
        {**session, **_totals(world, [session])}
        for session in list(world.sessions.values())
        if session["roomName"] == name and session_id in {None, session["roomSessionId"]}
    ]
    return page(call, sort(call, found, _SESSION_SORT), default=_DEFAULT_PAGE)


def participants(world: World, call: Call) -> Answer:
    """`GET /insights/participants`: of one session, or all with one external id."""
    session_id, external_id = call.query.get("roomSessionId"), call.query.get("externalId")
    if not session_id and not external_id:
        raise RefusalError(400, "Either roomSessionId or externalId is required")
    found = [
        participant_row(person)
        for people in ([world.participants.get(session_id, [])] if session_id else list(world.participants.values()))
        for person in people
        if not external_id or person["externalId"] == external_id
    ]
    return page(call, sort(call, found, _PARTICIPANT_SORT), default=_DEFAULT_PAGE)


def participant(world: World, call: Call) -> Answer:
    """`GET /insights/participant`: an array, with one item for one participant."""
    session_id, participant_id = call.required("roomSessionId"), call.required("participantId")
    people = world.participants.get(session_id, [])
    return Answer(200, [participant_details(person) for person in people if person["participantId"] == participant_id])


def _sessions_by_room(world: World) -> dict[str, list[Wire]]:
    rooms: dict[str, list[Wire]] = {}
    for session in sorted(world.sessions.values(), key=lambda session: session["startedAt"]):
        rooms.setdefault(session["roomName"], []).append(session)
    return rooms


def _room_row(world: World, name: str, room: Wire, sessions: list[Wire]) -> Wire:
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


def _totals(world: World, sessions: Collection[Wire]) -> Wire:
    ids = {session["roomSessionId"] for session in sessions}
    people = [person for session_id in ids for person in world.participants.get(session_id, [])]
    tapes = [tape for tape in list(world.recordings.values()) if tape["roomSessionId"] in ids] if ids else []
    ratings = [person["rating"] for person in people if person["rating"] is not None]
    return {
        "totalParticipantMinutes": sum(_minutes_there(person, world.now()) for person in people),
        "totalRecorderMinutes": sum(math.ceil(duration(tape) / 60) for tape in tapes),
        "totalStreamerMinutes": 0,
        "totalUniqueParticipants": len({person["deviceId"] for person in people}),
        "totalUniqueRecorders": len(tapes),
        "totalUniqueStreamers": 0,
        "rating": sum(ratings) / len(ratings) if ratings else None,
        "totalRatings": len(ratings) if ratings else None,
    }


def _minutes_there(person: Wire, now: float) -> int:
    left = at_of(person, "leftAt")
    return math.ceil(max(0.0, (now if left is None else left) - (at_of(person, "joinedAt") or now)) / 60)
