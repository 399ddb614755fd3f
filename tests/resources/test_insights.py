from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from whereby_async.testing import Fault

if TYPE_CHECKING:
    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

SINCE = datetime(2025, 1, 1, tzinfo=UTC)


async def test_rooms_writes_all_filters_with_brackets(fake: FakeWhereby, whereby: WherebyClient) -> None:
    await whereby.insights.rooms(
        name="/a b",
        name_starts_with="/a",
        name_contains="b",
        created_from=SINCE,
        created_to="2099-01-01T00:00:00Z",
        sort_by="totalSessions:asc",
    )
    assert fake.requests[0].target == (
        "/v1/insights/rooms?roomName%5Bexact%5D=%2Fa%20b&roomName%5BstartsWith%5D=%2Fa&roomName%5Bcontains%5D=b"
        "&createdAt%5Bfrom%5D=2025-01-01T00%3A00%3A00.000Z&createdAt%5Bto%5D=2099-01-01T00%3A00%3A00Z"
        "&sortBy=totalSessions%3Aasc&limit=100"
    )


@pytest.mark.parametrize("name", ["/weekly", "weekly"])
async def test_a_room_is_found_with_and_without_its_slash(fake: FakeWhereby, whereby: WherebyClient, name: str) -> None:
    """By its name or its beginning, in every list that takes one; a part of a name and an empty beginning stay."""
    session = fake.add_session(name)["roomSessionId"]
    fake.add_meeting(room_name=name)
    recording = fake.add_recording(room_session_id=session)
    fake.add_transcription(recording_id=recording["recordingId"])
    fake.add_meeting(room_name="/other-weekly")
    for found in (
        whereby.meetings.list(name_starts_with=name[:4]),
        whereby.recordings.list(room_name=name),
        whereby.transcriptions.list(room_name=name),
        whereby.insights.rooms(name=name),
        whereby.insights.rooms(name_starts_with=name[:4]),
        whereby.insights.room_sessions(name),
    ):
        rows: list[Any] = await found.collect()
        assert [row.room_name for row in rows] == ["/weekly"]
    assert len(await whereby.insights.rooms(name_contains="weekly").collect()) == 2
    assert len(await whereby.insights.rooms(name_starts_with="").collect()) == 2


async def test_room_sessions_needs_a_room(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The room is a positional argument, its slash is kept; a session that runs has no end."""
    known = fake.add_session("/demo", ended=False)
    (session,) = await whereby.insights.room_sessions(
        "/demo", room_session_id=known["roomSessionId"], sort_by="totalUniqueParticipants:asc", extra={"x": 1}
    ).collect()
    assert fake.requests[0].target == (
        f"/v1/insights/room-sessions?roomName=%2Fdemo&roomSessionId={known['roomSessionId']}"
        "&sortBy=totalUniqueParticipants%3Aasc&x=1&limit=100"
    )
    assert session.room_session_id == known["roomSessionId"]
    assert session.ended_at is None


async def test_participants_by_session_or_by_person(fake: FakeWhereby, whereby: WherebyClient) -> None:
    session = fake.add_session("/demo", participants=0)["roomSessionId"]
    fake.add_participant(session, display_name="Ada", external_id="p-1")
    (by_session,) = await whereby.insights.participants(room_session_id=session, sort_by="joinedAt:desc").collect()
    (by_person,) = await whereby.insights.participants(external_id="p-1").collect()
    assert by_session.participant_id == by_person.participant_id
    assert [request.target for request in fake.requests] == [
        f"/v1/insights/participants?roomSessionId={session}&sortBy=joinedAt%3Adesc&limit=100",
        "/v1/insights/participants?externalId=p-1&limit=100",
    ]


async def test_participant_returns_a_list(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Details come as a list; a participant id with a slash goes through, since it is a query value."""
    session = fake.add_session("/demo", participants=["Ada"])["roomSessionId"]
    person = fake.participants[session][0]["participantId"]
    (details,) = await whereby.insights.participant(session, person, extra={"x": None})
    assert details.display_name == "Ada"
    assert await whereby.insights.participant(session, "/4b3b") == []
    assert fake.requests[1].target == f"/v1/insights/participant?roomSessionId={session}&participantId=%2F4b3b"


async def test_participant_accepts_a_single_object(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The title promises one participant; should one object come, it is a list of one."""
    fake.faults.add(Fault(body=b'{"displayName": "Ada"}'))
    (details,) = await whereby.insights.participant("1", "2")
    assert details.display_name == "Ada"
