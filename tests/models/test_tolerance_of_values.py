"""Dates, numbers and text in the many forms that the API has for them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from whereby_async.errors import ResponseDecodeError
from whereby_async.models import (
    AccessLink,
    Meeting,
    Page,
    ParticipantDetails,
    ParticipantInsights,
    Recording,
    RoomInsights,
    Summary,
    Transcription,
    decoder,
)

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def decode(kind: Any, value: object) -> Any:
    """The value, as an answer's body, decoded."""
    return decoder(kind)(json.dumps(value).encode())


def row(kind: Any, **fields: object) -> Any:
    """The only row of a page that holds one."""
    (item,) = decode(kind, {"results": [fields], "cursor": None})
    return item


@pytest.mark.parametrize(
    "sent",
    [
        "2025-03-01T12:00:00.000Z",
        "2025-03-01T12:00:00Z",
        "2025-03-01T14:00:00+02:00",
        "2025-03-01T12:00:00",
        "2025-03-01T12:00:00.000",
        "2025-03-01 12:00:00Z",
        "2025-03-01 12:00:00",
        " 2025-03-01T12:00:00Z ",
        1740830400000,
        1740830400,
        1740830400.0,
        1740830400000.0,
        "1740830400000",
        "1740830400",
    ],
)
def test_dates_come_in_many_forms(sent: object) -> None:
    """With and without milliseconds, as a number of seconds or milliseconds; without an offset it is UTC."""
    meeting = row(Page[Meeting], meetingId="1", endDate=sent)
    assert meeting.end_date == NOON
    assert meeting.end_date.tzinfo is not None


def test_an_offset_is_kept() -> None:
    """A date with an offset is the same instant, however it is told."""
    meeting = row(Page[Meeting], meetingId=1, startDate="2025-03-01T14:00:00+02:00")
    assert meeting.start_date == NOON.astimezone(timezone(timedelta(hours=2)))


@pytest.mark.parametrize("empty", [None, "", " "])
def test_an_empty_date_is_none(empty: object) -> None:
    """The dates leftAt, endAt and their like are empty as long as nothing happened."""
    assert row(Page[ParticipantInsights], participantId="p", leftAt=empty).left_at is None


def test_access_links_expire_in_milliseconds() -> None:
    """On the wire, `expires` is milliseconds since 1970."""
    link = decode(AccessLink, {"accessLink": "https://s3/1.mp4", "expires": 1740819600000})
    assert link == AccessLink(access_link="https://s3/1.mp4", expires=datetime(2025, 3, 1, 9, tzinfo=UTC))


@pytest.mark.parametrize(
    ("sent", "expected"), [(12, 12), (12.0, 12), ("12", 12), ("12.0", 12), ("-1", -1), (None, None)]
)
def test_whole_numbers_come_in_many_forms(sent: object, expected: int | None) -> None:
    """12.0 and "12" are 12."""
    room = row(Page[RoomInsights], roomName="/a", totalSessions=sent)
    assert room.total_sessions == expected
    assert type(room.total_sessions) is type(expected)


@pytest.mark.parametrize(("sent", "expected"), [(60, 60.0), (60.5, 60.5), ("60.5", 60.5), ("6e1", 60.0)])
def test_numbers_come_in_many_forms(sent: object, expected: float) -> None:
    """A number is an integer, a fraction, or a numeral."""
    assert row(Page[Transcription], transcriptionId=1, durationInSeconds=sent).duration_in_seconds == expected
    assert row(Page[Recording], recordingId=1, sizeInMegaBytes=sent).size_in_mega_bytes == expected


@pytest.mark.parametrize(("sent", "expected"), [(True, True), (1, True), ("false", False), (0, False)])
def test_booleans_come_in_many_forms(sent: object, expected: bool) -> None:
    """A preference is a boolean, or what stands for one."""
    meeting = row(Page[Meeting], meetingId="1", roomPreferences={"dialIn": sent})
    assert meeting.room_preferences.dial_in is expected


def test_recordings_have_a_room_name() -> None:
    """Not in the reference, but in every row seen."""
    assert row(Page[Recording], recordingId="a", roomName="/abc").room_name == "/abc"


def test_dial_in_is_read() -> None:
    """Code and numbers are read, whether they come as text or as digits."""
    dial_in = {"code": 123456, "phoneNumbers": [{"countryCode": "NO", "phoneNumber": 4721000000}]}
    meeting = row(Page[Meeting], meetingId="1", dialIn=dial_in)
    assert meeting.dial_in.code == "123456"
    assert meeting.dial_in.phone_numbers[0].phone_number == "4721000000"


@pytest.mark.parametrize("summary", [{"summary": "x", "SOAP": {"plan": "y"}}, {}, "", "text", None])
def test_a_summary_is_an_object_text_or_nothing(summary: object) -> None:
    """Its keys depend on the template, and it is empty while in progress."""
    assert row(Page[Summary], summaryId="a", summary=summary).summary == summary
    assert row(Page[Summary], summaryId=1, summary=summary).summary == summary


def test_text_may_come_as_a_number() -> None:
    """Names and comments made of digits may lose their quotes on the way."""
    item = row(Page[ParticipantInsights], participantId="p", displayName=7, comment=1.5)
    assert (item.display_name, item.comment) == ("7", "1.5")


def test_a_byte_order_mark_is_dropped() -> None:
    """A mark before the JSON says nothing."""
    assert decoder(Meeting)(b'\xef\xbb\xbf{"meetingId":"1"}').meeting_id == "1"


def test_bytes_that_are_no_utf8_become_the_replacement_character() -> None:
    """One broken name does not cost the page."""
    page = decoder(Page[ParticipantInsights])(b'{"results":[{"participantId":"p","displayName":"A\xff"}]}')
    assert page.results[0].display_name == "A\ufffd"


@pytest.mark.parametrize(
    ("escaped", "expected"),
    [
        (r"A\ud83d", "A\ufffd"),
        (r"\ude00A", "\ufffdA"),
        (r"\ud83d\ude00\ud83d", "\U0001f600\ufffd"),
        (r"\\ud83d\ud83d", "\\ud83d\ufffd"),
    ],
)
def test_half_a_surrogate_pair_becomes_the_replacement_character(escaped: str, expected: str) -> None:
    """A name cut off in the middle of an emoji does not cost the page, and whole pairs stay whole."""
    body = '{"results":[{"participantId":"p","displayName":"ESCAPED"}]}'.replace("ESCAPED", escaped)
    assert decoder(Page[ParticipantInsights])(body.encode()).results[0].display_name == expected


@pytest.mark.parametrize(
    ("sent", "minutes"), [(12, 12), (12.5, 12.5), (12.0, 12), ("12", 12), ("12.5", 12.5), (None, None)]
)
def test_minutes_may_be_broken_numbers(sent: object, minutes: float | None) -> None:
    """Documented as whole numbers; one that is not does not cost the page."""
    assert row(Page[RoomInsights], roomName="/a", totalParticipantMinutes=sent).total_participant_minutes == minutes


def test_an_object_that_is_no_participant_is_not_taken_for_one() -> None:
    """A 200 that carries an error is told, not turned into a participant without any value."""
    with pytest.raises(ResponseDecodeError):
        decoder(list[ParticipantDetails])(b'{"error": "x"}')
