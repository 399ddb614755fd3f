"""Values that cannot be read: their rows and pages come, and `Page.unreadable` names them; all dates are in UTC."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
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
    RoomSessionInsights,
    Summary,
    Transcription,
    UnreadableValue,
    decoder,
)

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
IDS: dict[Any, str] = {
    Meeting: "meetingId",
    Recording: "recordingId",
    Transcription: "transcriptionId",
    Summary: "summaryId",
    RoomInsights: "roomName",
    RoomSessionInsights: "roomSessionId",
    ParticipantInsights: "participantId",
}
NO_DATES = (
    *("Invalid date", "string", "+275760-09-13T00:00:00.000Z", "-000001-01-01T00:00:00.000Z", "2025-02-30T12:00:00Z"),
    *("2025-03-01T24:00:01Z", "2025-03-01T12:61:60Z", "9999-12-31T23:59:60Z", "9999-12-31T24:00:00Z", "1e400"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 10**30, True, [1], {"date": 5}),
    *(0, -1, 2099, 20991231, 99_999_999, -99_999_999, 0.5, "0", "-1", "2099", "20991331", "1e7"),
)
UNREADABLE: list[tuple[Any, str, object]] = [
    *((Meeting, "endDate", value) for value in NO_DATES),
    *((kind, "startDate", "Invalid date") for kind in (Meeting, Recording, Transcription, Summary)),
    (RoomInsights, "createdAt", "Invalid date"),
    (RoomSessionInsights, "startedAt", "Invalid date"),
    (ParticipantInsights, "joinedAt", "Invalid date"),
    *((Meeting, "roomName", value) for value in ({"a": 1}, ["/a"])),
    (Meeting, "roomPreferences.dialIn", "perhaps"),
    (Meeting, "dialIn.phoneNumbers", "1"),
    (ParticipantInsights, "tags", "audio"),
    (ParticipantInsights, "tags", {"a": 1}),
    (ParticipantInsights, "tags", ["a", 5.5, [1]]),
    *((ParticipantInsights, "rating", value) for value in ("n/a", True, 10**400, "1e999")),
    *((RoomInsights, "totalSessions", value) for value in (1.5, "many", True)),
    (Summary, "summary", [1]),
    (Transcription, "state", {"a": 1}),
]


def decode(kind: Any, value: object) -> Any:
    return decoder(kind)(json.dumps(value).encode())


def page(kind: Any, *rows: dict[str, object], **fields: object) -> Any:
    """A page of rows whose ids are their numbers."""
    results = [{IDS[kind]: str(number), **row} for number, row in enumerate(rows)]
    return decode(Page[kind], {"results": results, "cursor": "next", **fields})


@pytest.mark.parametrize(("kind", "path", "value"), UNREADABLE)
def test_unreadable_value_is_none_and_named(kind: Any, path: str, value: object) -> None:
    """Its row, the rows around it and the cursor to the pages behind come; row, field and text say what was there."""
    outer, _, inner = path.partition(".")
    found = page(kind, {}, {outer: {inner: value} if inner else value}, {})
    assert (len(found), found.cursor) == (3, "next")
    part: Any = found.results[1]
    for name in path.split("."):
        part = getattr(part, dict(zip(part.__struct_encode_fields__, part.__struct_fields__, strict=True))[name])
    assert part is None
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    assert found.unreadable == (UnreadableValue(row=1, field=path, text=text),)
    assert page(kind, {}, {}, {}).unreadable == ()


def test_several_in_a_page_are_named_each() -> None:
    """With the index that the row has in `results`, from which rows that are null are gone."""
    rows: list[object] = [
        {"meetingId": 1, "endDate": "Invalid date", "startDate": "2025-03-01T12:00:00Z"},
        None,
        {"meetingId": 2, "dialIn": {"code": 5, "phoneNumbers": [{}, {"countryCode": [], "phoneNumber": {}}]}},
    ]
    for sent in ({"results": rows}, rows):
        found = decode(Page[Meeting], sent)
        assert {(value.row, value.field, value.text) for value in found.unreadable} == {
            (0, "endDate", "Invalid date"),
            (1, "dialIn.phoneNumbers[1].countryCode", "[]"),
            (1, "dialIn.phoneNumbers[1].phoneNumber", "{}"),
        }
        first, second = found.results
        assert (first.meeting_id, first.start_date, first.end_date) == ("1", NOON, None)
        assert (second.dial_in.code, len(second.dial_in.phone_numbers)) == ("5", 2)
        assert pickle.loads(pickle.dumps(found)) == found


def test_value_that_is_none_as_a_whole_is_named_once() -> None:
    """Not for what was odd inside of it."""
    numbers: list[object] = [{"countryCode": {}}, 5]
    (value,) = page(Meeting, {"dialIn": {"phoneNumbers": numbers}}).unreadable
    assert (value.field, json.loads(value.text)) == ("dialIn.phoneNumbers", numbers)


@pytest.mark.parametrize("cursor", [{"offset": 50}, [50], True])
def test_unreadable_cursor_is_an_error(cursor: object) -> None:
    """A page without one would pass for the last, and the rows behind it for absent."""
    with pytest.raises(ResponseDecodeError) as caught:
        page(Meeting, {"endDate": "Invalid date"}, cursor=cursor)
    assert caught.value.path == "$.cursor"


def test_unreadable_id_is_an_error_beside_an_unreadable_date() -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        page(Meeting, {"endDate": "Invalid date"}, {"meetingId": {}, "endDate": "Invalid date"})
    assert caught.value.path == "$.results[1].meetingId"


@pytest.mark.parametrize("sent", [[], None, "x", [{"row": 0}], [{"row": 0, "field": 5, "text": "x"}]])
def test_field_of_the_server_named_unreadable_is_not_ours(sent: object) -> None:
    assert page(Meeting, {}, unreadable=sent).unreadable == ()


def test_what_is_no_page_comes_as_well() -> None:
    """A single object, and a list; the decoder tells of both."""
    unreadable: list[UnreadableValue] = []
    details = decoder(list[ParticipantDetails])(b'[{}, {"timeStamp": "string", "userRole": "host"}]', unreadable)
    assert (details[1].time_stamp, details[1].user_role) == (None, "host")
    link = decoder(AccessLink)(b'{"accessLink": "https://s3/1.mp4", "expires": "never"}', unreadable)
    assert link == AccessLink(access_link="https://s3/1.mp4")
    assert unreadable == [
        UnreadableValue(row=1, field="timeStamp", text="string"),
        UnreadableValue(row=None, field="expires", text="never"),
    ]


def test_no_secret_shows() -> None:
    """In the text of a value that holds one, or of one that a secret may be inside of."""
    found = page(
        Meeting,
        {"dialIn": {"code": ["planted"]}, "hostRoomUrl": ["https://a.b/c?x=planted"]},
        {"dialIn": [{"code": "planted"}], "roomName": {"link": "planted"}, "endDate": "?roomKey=planted"},
    )
    assert len(found.unreadable) == 5
    assert all("planted" in value.text for value in found.unreadable)
    assert "planted" not in repr(found)
    assert "text='Invalid date'" in repr(page(Meeting, {"endDate": "Invalid date"}))


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        ("2025-03-01T11:59:60Z", NOON),
        ("2025-03-01T11:59:60.500Z", NOON + timedelta(seconds=0.5)),
        ("2025-03-01T13:59:60+02:00", NOON),
        ("2025-03-01 11:59:60", NOON),
        ("2025-02-28T24:00:00Z", NOON - timedelta(hours=12)),
        ("2025-02-28T24:00:00.000Z", NOON - timedelta(hours=12)),
        ("2025-02-28T24:00Z", NOON - timedelta(hours=12)),
        ("2025-02-28T24:00:00-12:00", NOON),
        ("2024-12-31T23:59:60Z", datetime(2025, 1, 1, tzinfo=UTC)),
    ],
)
def test_leap_second_and_midnight_at_the_day_s_end(sent: str, moment: datetime) -> None:
    found = page(Meeting, {"endDate": sent})
    assert found.results[0].end_date == moment
    assert found.unreadable == ()


@pytest.mark.parametrize("sent", ["2025-03-01T11:59:60Z", "2025-03-01T14:00:00+02:00", 1740830400, "1740830400000"])
def test_dates_are_read_in_frozen_time(sent: object) -> None:
    """Also those that only the tolerant decoder reads, by a decoder that is made there."""
    with pytest.importorskip("freezegun").freeze_time("2001-02-03"):
        found = page(Meeting, {"endDate": sent})
    assert found.unreadable == ()
    assert found.results[0].end_date == NOON
    assert found.results[0].end_date.tzinfo is UTC


OFFSETS = ("-05:00", "+02:00", "+05:45", "-09:30", "+00:00", "")


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 100])
def test_dates_are_in_utc_whatever_offset_came(rows: int, offset: str) -> None:
    """Each of them, in every row, beside dates that came in UTC."""
    hours = {"-05:00": 7, "+02:00": 14, "+05:45": 17, "-09:30": 2}.get(offset, 12)
    minutes = {"+05:45": 45, "-09:30": 30}.get(offset, 0)
    sent = f"2025-03-01T{hours:02}:{minutes:02}:00{offset}"
    dates: dict[str, object] = {"startedAt": "2025-03-01T12:00:00Z", "endedAt": sent}
    for session in page(RoomSessionInsights, *[dates] * rows):
        assert (session.started_at, session.ended_at) == (NOON, NOON)
        assert session.started_at.tzinfo is session.ended_at.tzinfo is UTC


@pytest.mark.parametrize(("rows", "offset"), [(100, "+02:00"), (5, "-10:00")])
def test_one_date_with_an_offset_is_seen_in_every_row(rows: int, offset: str) -> None:
    for odd in range(rows):
        sent: list[dict[str, object]] = [{"endDate": "2025-03-01T12:00:00Z"} for _ in range(rows)]
        sent[odd] = {"endDate": f"2025-03-01T{'14' if '+' in offset else '02'}:00:00{offset}"}
        assert {meeting.end_date.tzinfo for meeting in page(Meeting, *sent)} == {UTC}


def test_objects_and_lists_are_in_utc_too() -> None:
    meeting = decode(Meeting, {"meetingId": "1", "endDate": "2025-03-01T07:00:00-05:00"})
    (details,) = decode(list[ParticipantDetails], [{"timeStamp": "2025-03-01T07:00:00-05:00"}])
    assert (meeting.end_date, meeting.end_date.tzinfo) == (details.time_stamp, details.time_stamp.tzinfo) == (NOON, UTC)
