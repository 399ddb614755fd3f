"""What the API is known to send, however its reference puts it, decodes to what the caller expects."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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
    SummaryJob,
    Transcription,
    TranscriptionJob,
    decoder,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)

ROWS: dict[str, tuple[Any, str]] = {
    "meetings": (Page[Meeting], "meetingId"),
    "recordings": (Page[Recording], "recordingId"),
    "transcriptions": (Page[Transcription], "transcriptionId"),
    "summaries": (Page[Summary], "summaryId"),
    "insights.rooms": (Page[RoomInsights], "roomName"),
    "insights.room_sessions": (Page[RoomSessionInsights], "roomSessionId"),
    "insights.participants": (Page[ParticipantInsights], "participantId"),
}


def decode(kind: Any, value: object) -> Any:
    return decoder(kind)(json.dumps(value).encode())


def row(name: str, **fields: object) -> Any:
    """The only row of a page that holds one; its id is `a` unless given."""
    kind, wire_id = ROWS[name]
    (item,) = decode(kind, {"results": [{wire_id: "a", **fields}], "cursor": None})
    return item


def details(value: object) -> Any:
    """The only participant in an answer that holds one."""
    (item,) = decode(list[ParticipantDetails], value)
    return item


@pytest.mark.parametrize("name", ROWS)
def test_all_but_the_id_may_be_missing_null_or_unknown(name: str) -> None:
    """A row of nothing but its id decodes, and so does one whose other fields are all null, and one with new fields."""
    kind, wire_id = ROWS[name]
    bare = row(name)
    attributes = [attribute for attribute in bare.__struct_fields__ if getattr(bare, attribute) is not None]
    assert len(attributes) == 1
    assert row(name, **{**dict.fromkeys(bare.__struct_encode_fields__, None), wire_id: "a"}) == bare
    new = {wire_id: "a", "newField": {"x": [1]}}
    assert list(decode(kind, {"results": [new], "cursor": None, "total": 1})) == [bare]


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(("sent", "expected"), [(107585562, "107585562"), (2**70, str(2**70)), (12.0, "12")])
def test_ids_may_be_numbers(name: str, sent: float, expected: str) -> None:
    """An id that comes as a number is text for the caller, to the last digit."""
    item = row(name, **{ROWS[name][1]: sent})
    assert expected in [getattr(item, attribute) for attribute in item.__struct_fields__]


@pytest.mark.parametrize(
    ("sent", "expected"), [("eyJ0eXBlIjoib2Zmc2V0In0=",) * 2, (50, "50"), (None, None), ("", None), (..., None)]
)
@pytest.mark.parametrize("name", ROWS)
def test_every_list_has_a_cursor(name: str, sent: object, expected: str | None) -> None:
    """Also those for which the reference misplaces it; missing, null or empty, it is the end."""
    page = decode(ROWS[name][0], {"results": []} if sent is ... else {"results": [], "cursor": sent})
    assert (page.cursor, page.has_more) == (expected, expected is not None)


SUMMARIES: list[object] = [{"summary": "x", "SOAP": {"plan": "y"}}, {}, "", "text", None]
FIELDS: list[tuple[str, Mapping[str, object], str, object]] = [
    # words that nobody documented, and fields that the reference does not have or spells otherwise
    ("transcriptions", {"type": "NEW"}, "type", "NEW"),
    ("transcriptions", {"storageType": "MOON"}, "storage_type", "MOON"),
    ("summaries", {"template": "Haiku"}, "template", "Haiku"),
    ("recordings", {"roomName": "/abc"}, "room_name", "/abc"),
    ("insights.participants", {"participantId": "/4b3bd908"}, "participant_id", "/4b3bd908"),
    ("insights.participants", {"roleName": "granted_visited"}, "role_name", "granted_visited"),
    ("insights.participants", {"tags": ["a", None, "b"]}, "tags", ["a", "b"]),
    ("insights.room_sessions", {"startedAt": "2025-03-01T12:00:00.000Z"}, "started_at", NOON),
    ("insights.room_sessions", {"endedAt": "2025-03-01T12:00:00.000Z"}, "ended_at", NOON),
    ("insights.room_sessions", {"endedAt": "2025-03-01T12:00:00.000Z"}, "is_running", False),
    *(("insights.room_sessions", {"endedAt": empty}, "is_running", True) for empty in (None, "")),
    ("insights.room_sessions", {}, "ended_at", None),
    # a summary is an object, text or nothing: its keys depend on the template, and it is empty while in progress
    *(("summaries", {"summaryId": id_, "summary": each}, "summary", each) for each in SUMMARIES for id_ in ("a", 1)),
    # numbers and booleans in all their forms, and text that is made of digits
    *(("insights.rooms", {"totalSessions": sent}, "total_sessions", 12) for sent in (12, 12.0, "12", "12.0")),
    ("insights.rooms", {"totalSessions": "-1"}, "total_sessions", -1),
    *(("insights.rooms", {"totalParticipantMinutes": s}, "total_participant_minutes", 12) for s in (12, "12")),
    ("insights.rooms", {"totalParticipantMinutes": 12.0}, "total_participant_minutes", 12.0),
    *(("insights.rooms", {"totalParticipantMinutes": s}, "total_participant_minutes", 12.5) for s in (12.5, "12.5")),
    *(("transcriptions", {"durationInSeconds": s}, "duration_in_seconds", 60.0) for s in (60, "60", "6e1")),
    *(("recordings", {"sizeInMegaBytes": sent}, "size_in_mega_bytes", 60.5) for sent in (60.5, "60.5")),
    *(
        (f"insights.{name}", {"rating": sent}, "rating", None if sent is None else float(str(sent)))
        for name in ("rooms", "room_sessions", "participants")
        for sent in (None, 5, 4.5, "4.5")
    ),
    ("insights.participants", {"displayName": 7}, "display_name", "7"),
    ("insights.participants", {"comment": 1.5}, "comment", "1.5"),
    # an empty date is none
    *(("insights.participants", {"leftAt": empty}, "left_at", None) for empty in (None, "", " ")),
]


@pytest.mark.parametrize(("name", "fields", "attribute", "expected"), FIELDS)
def test_field_is_read(name: str, fields: Mapping[str, object], attribute: str, expected: object) -> None:
    """As the caller expects it, whatever form it came in."""
    found = getattr(row(name, **fields), attribute)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "sent",
    [
        *("2025-03-01T12:00:00.000Z", "2025-03-01T12:00:00Z", "2025-03-01T14:00:00+02:00", "2025-03-01T12:00:00"),
        *("2025-03-01T12:00:00.000", "2025-03-01 12:00:00Z", "2025-03-01 12:00:00", " 2025-03-01T12:00:00Z "),
        *(1740830400000, 1740830400, 1740830400.0, 1740830400000.0, "1740830400000", "1740830400"),
    ],
)
def test_dates_come_in_many_forms(sent: object) -> None:
    """With and without milliseconds, as a number of seconds or milliseconds; without an offset it is UTC."""
    meeting = row("meetings", endDate=sent)
    assert meeting.end_date == NOON
    assert meeting.end_date.tzinfo is UTC


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        (100_000_000, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (-100_000_000, datetime(1966, 10, 31, 14, 13, 20, tzinfo=UTC)),
        ("20250301", datetime(2025, 3, 1, tzinfo=UTC)),
        ("20991231", datetime(2099, 12, 31, tzinfo=UTC)),
    ],
)
def test_number_is_an_instant_from_a_hundred_million_on(sent: object, moment: datetime) -> None:
    """Less may be a year or, as text of eight digits, a day as ISO 8601 has it."""
    assert row("meetings", endDate=sent).end_date == moment


def test_access_links_expire_in_milliseconds() -> None:
    link = decode(AccessLink, {"accessLink": "https://s3/1.mp4", "expires": 1740819600000})
    assert link == AccessLink(access_link="https://s3/1.mp4", expires=datetime(2025, 3, 1, 9, tzinfo=UTC))


@pytest.mark.parametrize(("sent", "expected"), [(True, True), (1, True), ("false", False), (0, False)])
def test_booleans_come_in_many_forms(sent: object, expected: bool) -> None:
    assert row("meetings", roomPreferences={"dialIn": sent}).room_preferences.dial_in is expected


def test_dial_in_is_read() -> None:
    dial_in = row(
        "meetings", dialIn={"code": 123456, "phoneNumbers": [{"countryCode": "NO", "phoneNumber": 4721000000}]}
    ).dial_in
    assert (dial_in.code, dial_in.phone_numbers[0].phone_number) == ("123456", "4721000000")


@pytest.mark.parametrize(
    ("state", "ready", "failed"),
    [
        ("ready", True, False),
        ("completed", True, False),
        ("failed", False, True),
        ("in_progress", False, False),
        ("queued-since-next-year", False, False),
        (None, False, False),
    ],
)
@pytest.mark.parametrize("name", ["summaries", "transcriptions"])
def test_states_are_open(name: str, state: str | None, ready: bool, failed: bool) -> None:
    job = row(name, state=state)
    assert (job.state, job.is_ready, job.is_failed, job.is_done) == (state, ready, failed, ready or failed)


ADA = {"displayName": "Ada", "sampleRateMs": 2000, "timeStamp": 1740830400000}


@pytest.mark.parametrize("sent", [[ADA], ADA, {"results": [ADA]}])
def test_participant_details_may_be_an_array_an_object_or_a_page(sent: object) -> None:
    item = details(sent)
    assert (item.display_name, item.sample_rate_ms, item.time_stamp) == ("Ada", 2000, NOON)


def test_an_object_that_is_no_participant_is_not_taken_for_one() -> None:
    """A 200 that carries an error is told, not turned into a participant without any value."""
    with pytest.raises(ResponseDecodeError):
        details({"error": "x"})


@pytest.mark.parametrize("display_name", ["Ada", 5])
@pytest.mark.parametrize(
    ("events", "expected"),
    [([{"a": 1}, "x", None, 3], [{"a": 1}, "x", None, 3]), (None, None), ({"a": 1}, [{"a": 1}])],
)
def test_events_may_hold_anything(display_name: object, events: object, expected: object) -> None:
    """The reference says nothing of what events are, so they are passed on."""
    assert details([{"displayName": display_name, "events": events}]).events == expected


def test_samples_are_passed_on_as_they_came() -> None:
    """What a sample is, nobody documented: numbers, nulls and objects are all kept."""
    sent = {"packetLossSend": [0, 0.5, None], "bitrateRecv": [{"t": 1}], "packetLossRecv": [], "bitrateSend": None}
    samples = details([{"samples": sent}]).samples
    assert samples.packet_loss_send == [0, 0.5, None]
    assert samples.bitrate_recv == [{"t": 1}]
    assert (samples.packet_loss_recv, samples.bitrate_send) == ([], None)


@pytest.mark.parametrize("id_", ["17", 17])
@pytest.mark.parametrize("bare", [False, True])
def test_a_job_may_be_a_bare_id(id_: object, *, bare: bool) -> None:
    transcription, summary = (id_ if bare else {name: id_} for name in ("transcriptionId", "summaryId"))
    assert decode(TranscriptionJob, transcription) == TranscriptionJob(transcription_id="17")
    assert decode(SummaryJob, summary) == SummaryJob(summary_id="17")


def test_a_bare_array_is_a_page() -> None:
    """A documented sample shows the meetings without `results` around them."""
    page = decode(Page[Meeting], [{"meetingId": "1"}, {"meetingId": "2"}])
    assert [meeting.meeting_id for meeting in page] == ["1", "2"]
    assert page.cursor is None


@pytest.mark.parametrize("page", [{"results": None, "cursor": None}, {"cursor": None}, {}, []])
def test_a_page_without_results_is_empty(page: object) -> None:
    assert decode(Page[Meeting], page) == Page(results=[])


def test_an_object_that_is_no_page_does_not_pass_as_an_empty_one() -> None:
    """An object with neither results nor cursor is refused: an empty list would be a lie."""
    with pytest.raises(ResponseDecodeError, match="missing required field `results`"):
        decode(Page[Meeting], {"error": "Something else"})


def test_rows_that_are_no_list_or_null() -> None:
    """One row that was not put into a list is taken for a list of one; a row that is null holds nothing to lose."""
    assert decode(Page[Recording], {"results": {"recordingId": "a"}}).results == [Recording(recording_id="a")]
    assert len(decode(Page[Meeting], {"results": [None, {"meetingId": 1}, None]})) == 1


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("https://sub.whereby.com/abc", "/abc"),
        ("https://sub.whereby.com/abc/?roomKey=x", "/abc"),
        ("https://sub.whereby.com/abc#frag/ment", "/abc"),
        ("https://sub.whereby.com?next=/x", None),
        ("https://sub.whereby.com", None),
        ("nonsense", None),
        ("http://[broken", None),
        (None, None),
    ],
)
def test_room_name_is_the_path_of_the_room_url_if_absent(sent: str | None, expected: str | None) -> None:
    """Rooms of before 2024 came without a name."""
    assert row("meetings", roomUrl=sent).room_name == expected


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b"A\xff", "A\ufffd"),
        (rb"A\ud83d", "A\ufffd"),
        (rb"\ude00A", "\ufffdA"),
        (rb"\ud83d\ude00\ud83d", "\U0001f600\ufffd"),
        (rb"\\ud83d\ud83d", "\\ud83d\ufffd"),
    ],
)
def test_what_is_no_unicode_becomes_the_replacement_character(sent: bytes, name: str) -> None:
    """One broken name, cut off in an emoji perhaps, does not cost the page, nor does a byte-order mark."""
    body = b'{"results":[{"participantId":"p","displayName":"' + sent + b'"}]}'
    for mark in (b"", b"\xef\xbb\xbf"):
        assert decoder(Page[ParticipantInsights])(mark + body).results[0].display_name == name
