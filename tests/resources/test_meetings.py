from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from whereby_async.models import (
    LiveTranscriptionOptions,
    RecordingDestination,
    RecordingOptions,
    RoomPreferences,
    StreamingDestination,
    StreamingOptions,
)

if TYPE_CHECKING:
    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

UNTIL = datetime(2099, 1, 1, 12, tzinfo=UTC)
UNTIL_TEXT = "2099-01-01T12:00:00.000Z"


async def test_create_sends_only_what_was_given(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A keyword that is `None` is not sent, so the least body is the end date alone."""
    meeting = await whereby.meetings.create(end_date=UNTIL, room_mode=None, recording=None, fields=None)
    (request,) = fake.requests
    assert request.json == {"endDate": UNTIL_TEXT}
    assert meeting.end_date is not None
    assert abs(meeting.end_date - UNTIL) < timedelta(seconds=1)
    assert meeting.meeting_id.isdigit()
    assert meeting.host_room_url is None


async def test_create_brings_back_the_links_that_were_asked_for(fake: FakeWhereby, whereby: WherebyClient) -> None:
    meeting = await whereby.meetings.create(end_date=UNTIL, fields=("hostRoomUrl", "viewerRoomUrl"))
    assert fake.requests[0].json["fields"] == ["hostRoomUrl", "viewerRoomUrl"]
    assert meeting.host_room_url is not None
    assert "roomKey=" in meeting.host_room_url
    assert meeting.viewer_room_url is not None
    assert meeting.room_name is not None
    assert meeting.room_url is not None
    assert meeting.room_url.endswith(meeting.room_name)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (datetime(2099, 1, 1, 14, 0, 0, 1999, tzinfo=timezone(timedelta(hours=2))), "2099-01-01T12:00:00.001Z"),
        ("2099-01-01T14:00:00+02:00", "2099-01-01T14:00:00+02:00"),
        ("2099-01-01T12:00:00Z", "2099-01-01T12:00:00Z"),
    ],
)
async def test_dates_go_out_with_their_offset(
    given: datetime | str, sent: str, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """An aware datetime becomes UTC with milliseconds; text is passed on as it is."""
    await whereby.meetings.create(end_date=given)
    assert fake.requests[0].json == {"endDate": sent}


async def test_structs_send_null_for_none_and_nothing_for_unset(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """In a request Struct `None` is null and what was not given is not there."""
    await whereby.meetings.create(
        end_date=UNTIL,
        recording=RecordingOptions(type="cloud", destination=None, start_trigger=None),
        live_transcription=LiveTranscriptionOptions(language=None, live_captions=False),
        streaming=StreamingOptions(destination=StreamingDestination(url="rtmp://live/key")),
        room_preferences=RoomPreferences(streaming=False),
    )
    assert fake.requests[0].json == {
        "endDate": UNTIL_TEXT,
        "recording": {"type": "cloud", "destination": None, "startTrigger": None},
        "liveTranscription": {"language": None, "liveCaptions": False},
        "streaming": {"destination": {"url": "rtmp://live/key"}},
        "roomPreferences": {"streaming": False},
    }


async def test_dictionaries_are_passed_as_they_are(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A nested body may be a dictionary in wire spelling, also with names and a null that we do not know."""
    recording: dict[str, Any] = {"type": "none", "destination": {}, "newKey": [1, None]}
    await whereby.meetings.create(end_date=UNTIL, recording=recording, room_preferences={"streaming": None})
    assert fake.requests[0].json["recording"] == recording
    assert fake.requests[0].json["roomPreferences"] == {"streaming": None}


async def test_a_dictionary_may_hold_structs_and_dates(fake: FakeWhereby, whereby: WherebyClient) -> None:
    recording = {"type": "cloud", "destination": RecordingDestination(provider="whereby"), "at": UNTIL}
    await whereby.meetings.create(end_date=UNTIL, recording=recording)
    sent = {"type": "cloud", "destination": {"provider": "whereby"}, "at": UNTIL_TEXT}
    assert fake.requests[0].json["recording"] == sent


async def test_extra_of_a_create_goes_into_the_body(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """`extra` adds keys, wins over keywords, and sends its `None` as null."""
    extra = {"newKey": {"a": [1, 2.5, True]}, "isLocked": None, "left": msgspec.UNSET}
    await whereby.meetings.create(end_date=UNTIL, is_locked=True, extra=extra)
    (request,) = fake.requests
    assert request.json == {"endDate": UNTIL_TEXT, "newKey": {"a": [1, 2.5, True]}, "isLocked": None}
    assert request.query == ()


@pytest.mark.parametrize("fields", [["hostRoomUrl", "dialIn"], (each for each in ("hostRoomUrl", "dialIn")), (), None])
async def test_get_asks_for_fields_as_one_comma_list(fields: Any, fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Any iterable of names will do; the comma is encoded, and without a name there is no query."""
    known = fake.add_meeting()
    meeting = await whereby.meetings.get(known["meetingId"], fields=fields)
    query = "?fields=hostRoomUrl%2CdialIn" if fields else ""
    assert fake.requests[0].target == f"/v1/meetings/{known['meetingId']}{query}"
    assert meeting.host_room_url == (known["hostRoomUrl"] if fields else None)


async def test_extra_of_a_read_goes_into_the_query(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Strings, numbers, booleans, dates and lists have their wire forms; `None` is left out."""
    known = fake.add_meeting()
    extra: dict[str, Any] = {"a": "x y&z", "b": 5, "c": 0.5, "d": True, "e": UNTIL, "f": ["p", "q"], "g": None}
    await whereby.meetings.get(known["meetingId"], extra=extra)
    (request,) = fake.requests
    assert dict(request.query) == {"a": "x y&z", "b": "5", "c": "0.5", "d": "true", "e": UNTIL_TEXT, "f": "p,q"}
    assert "a=x%20y%26z" in request.target


async def test_list_writes_the_brackets_by_hand(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """`name_starts_with` is `roomName[startsWith]`, percent-encoded, its slash kept."""
    fake.add_meeting(room_name="/support-1")
    fake.add_meeting(room_name="/other")
    found = await whereby.meetings.list(name_starts_with="/support", fields=["dialIn"], page_size=5).collect()
    assert fake.requests[0].target == "/v1/meetings?fields=dialIn&roomName%5BstartsWith%5D=%2Fsupport&limit=5"
    assert [meeting.room_name for meeting in found] == ["/support-1"]


async def test_list_takes_extra_and_a_cursor(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A cursor with `=` in it goes out encoded, beside whatever `extra` holds."""
    fake.add_meeting()
    first = await whereby.meetings.list(page_size=1)
    assert first.cursor is None
    await whereby.meetings.list(cursor="eyJ0eXBlIjoib2Zmc2V0IiwidmFsdWUiOiI1In0=", extra={"sort": "x"})
    assert fake.requests[1].target == (
        "/v1/meetings?sort=x&cursor=eyJ0eXBlIjoib2Zmc2V0IiwidmFsdWUiOiI1In0%3D&limit=100"
    )


async def test_delete_returns_nothing_and_may_be_repeated(fake: FakeWhereby, whereby: WherebyClient) -> None:
    known = fake.add_meeting()
    for _ in range(2):
        await whereby.meetings.delete(known["meetingId"], extra={"reason": "done"})
    assert {request.target for request in fake.requests} == {f"/v1/meetings/{known['meetingId']}?reason=done"}
    assert {request.method for request in fake.requests} == {"DELETE"}
    assert not fake.meetings
