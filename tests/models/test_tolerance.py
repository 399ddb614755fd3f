"""What the API is known to send, however its reference puts it, decodes to what the caller expects."""

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
    RoomSessionInsights,
    Summary,
    SummaryJob,
    Transcription,
    TranscriptionJob,
    decoder,
)

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)

PAGED: dict[str, tuple[Any, str]] = {
    "meetings": (Page[Meeting], "meetingId"),
    "recordings": (Page[Recording], "recordingId"),
    "transcriptions": (Page[Transcription], "transcriptionId"),
    "summaries": (Page[Summary], "summaryId"),
    "insights.rooms": (Page[RoomInsights], "roomName"),
    "insights.room_sessions": (Page[RoomSessionInsights], "roomSessionId"),
    "insights.participants": (Page[ParticipantInsights], "participantId"),
}


def decode(kind: Any, value: object) -> Any:
    """The value, as an answer's body, decoded."""
    return decoder(kind)(json.dumps(value).encode())


def row(kind: Any, **fields: object) -> Any:
    """The only row of a page that holds one."""
    (item,) = decode(kind, {"results": [fields], "cursor": None})
    return item


def test_room_session_has_started_at_and_ended_at() -> None:
    """The reference requires createdAt and endAt, the service sends startedAt and endedAt."""
    session = row(
        Page[RoomSessionInsights],
        roomSessionId="s",
        startedAt="2025-03-01T12:00:00.000Z",
        endedAt="2025-03-01T12:30:00.000Z",
    )
    assert (session.started_at, session.ended_at) == (NOON, NOON + timedelta(minutes=30))
    assert not session.is_running


@pytest.mark.parametrize("fields", [{"endedAt": None}, {}, {"endedAt": ""}])
def test_ended_at_is_none_while_a_session_runs(fields: dict[str, object]) -> None:
    """Null, missing and empty all mean that the session runs."""
    session = row(Page[RoomSessionInsights], roomSessionId="s", **fields)
    assert session.ended_at is None
    assert session.is_running


@pytest.mark.parametrize("name", PAGED)
def test_all_but_the_id_may_be_missing_or_null(name: str) -> None:
    """A row of nothing but its id decodes, and so does one whose other fields are all null."""
    kind, wire_id = PAGED[name]
    bare = row(kind, **{wire_id: "a"})
    attributes = [attribute for attribute in bare.__struct_fields__ if getattr(bare, attribute) is not None]
    assert len(attributes) == 1
    nulls = dict.fromkeys(bare.__struct_encode_fields__, None)
    assert row(kind, **{**nulls, wire_id: "a"}) == bare


@pytest.mark.parametrize("name", PAGED)
def test_unknown_fields_are_ignored(name: str) -> None:
    """A field that this version does not know changes nothing, in the row and in the page."""
    kind, wire_id = PAGED[name]
    page = decode(kind, {"results": [{wire_id: "a", "newField": {"x": [1]}}], "cursor": None, "total": 1})
    assert list(page) == [row(kind, **{wire_id: "a"})]


@pytest.mark.parametrize("name", PAGED)
def test_ids_may_be_numbers(name: str) -> None:
    """An id that comes as a number is text for the caller, to the last digit."""
    kind, wire_id = PAGED[name]
    for sent, expected in ((107585562, "107585562"), (2**70, str(2**70)), (12.0, "12")):
        item = row(kind, **{wire_id: sent})
        assert expected in [getattr(item, attribute) for attribute in item.__struct_fields__]


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
def test_states_are_open(state: str | None, ready: bool, failed: bool) -> None:
    """Ready and completed both mean ready, failed means failed, and a new word means: not yet."""
    for job in (
        row(Page[Summary], summaryId="a", state=state),
        row(Page[Transcription], transcriptionId="a", state=state),
    ):
        assert (job.state, job.is_ready, job.is_failed, job.is_done) == (state, ready, failed, ready or failed)


def test_words_are_open() -> None:
    """A type, a storage or a template that nobody documented is passed on."""
    item = row(Page[Transcription], transcriptionId="a", type="NEW", storageType="MOON")
    assert (item.type, item.storage_type) == ("NEW", "MOON")
    assert row(Page[Summary], summaryId="a", template="Haiku").template == "Haiku"


@pytest.mark.parametrize("wrap", ["array", "object", "page"])
def test_participant_details_may_be_an_array_an_object_or_a_page(wrap: str) -> None:
    """However it is wrapped, a list comes out."""
    details = {"displayName": "Ada", "sampleRateMs": 2000, "timeStamp": 1740830400000}
    sent: dict[str, object] = {"array": [details], "object": details, "page": {"results": [details]}}
    (item,) = decode(list[ParticipantDetails], sent[wrap])
    assert (item.display_name, item.sample_rate_ms, item.time_stamp) == ("Ada", 2000, NOON)


@pytest.mark.parametrize(
    ("events", "expected"),
    [([{"a": 1}, "x", None, 3], [{"a": 1}, "x", None, 3]), (None, None), ({"a": 1}, [{"a": 1}])],
)
def test_events_may_hold_anything(events: object, expected: object) -> None:
    """The reference says nothing of what events are, so they are passed on."""
    for display_name in ("Ada", 5):
        (item,) = decode(list[ParticipantDetails], [{"displayName": display_name, "events": events}])
        assert item.events == expected


def test_samples_are_passed_on_as_they_came() -> None:
    """What a sample is, nobody documented: numbers, nulls and objects are all kept."""
    samples = {"packetLossSend": [0, 0.5, None], "bitrateRecv": [{"t": 1}], "packetLossRecv": [], "bitrateSend": None}
    (item,) = decode(list[ParticipantDetails], [{"samples": samples}])
    assert item.samples.packet_loss_send == [0, 0.5, None]
    assert item.samples.bitrate_recv == [{"t": 1}]
    assert (item.samples.packet_loss_recv, item.samples.bitrate_send) == ([], None)


@pytest.mark.parametrize("sent", [{"transcriptionId": "17"}, "17", 17, {"transcriptionId": 17}])
def test_a_transcription_job_may_be_a_bare_id(sent: object) -> None:
    """The answer is `{transcriptionId}` or the id alone."""
    assert decode(TranscriptionJob, sent) == TranscriptionJob(transcription_id="17")


@pytest.mark.parametrize("sent", [{"summaryId": "17"}, "17", 17, {"summaryId": 17}])
def test_a_summary_job_may_be_a_bare_id(sent: object) -> None:
    """The answer is `{summaryId}` or the id alone."""
    assert decode(SummaryJob, sent) == SummaryJob(summary_id="17")


@pytest.mark.parametrize("name", PAGED)
def test_every_list_has_a_cursor(name: str) -> None:
    """The cursor is read on all lists, those for which the reference misplaces it too."""
    kind, _ = PAGED[name]
    page = decode(kind, {"results": [], "cursor": "eyJ0eXBlIjoib2Zmc2V0In0="})
    assert page.cursor == "eyJ0eXBlIjoib2Zmc2V0In0="
    assert page.has_more


@pytest.mark.parametrize("page", [{"results": []}, {"results": [], "cursor": None}, {"results": [], "cursor": ""}])
def test_the_last_page_has_no_cursor(page: object) -> None:
    """A cursor that is missing, null or empty is the end."""
    decoded = decode(Page[Meeting], page)
    assert decoded.cursor is None
    assert not decoded.has_more


def test_a_cursor_may_be_a_number() -> None:
    """A cursor is opaque text, also when it comes as a number."""
    assert decode(Page[Meeting], {"results": [], "cursor": 50}).cursor == "50"


@pytest.mark.parametrize("rating", [None, 5, 4.5, "4.5"])
def test_ratings_may_be_null_or_any_number(rating: object) -> None:
    """Rating and totalRatings are number or null; numerals are taken too."""
    expected = None if rating is None else float(str(rating))
    for kind, wire_id in (
        PAGED[name] for name in ("insights.rooms", "insights.room_sessions", "insights.participants")
    ):
        assert row(kind, **{wire_id: "a", "rating": rating}).rating == expected


def test_roles_and_participant_ids_are_plain_text() -> None:
    """The reference's own examples have a typo and a slash; both are passed on."""
    item = row(Page[ParticipantInsights], participantId="/4b3bd908", roleName="granted_visited", tags=["a", None, "b"])
    assert (item.participant_id, item.role_name, item.tags) == ("/4b3bd908", "granted_visited", ["a", "b"])


def test_a_bare_array_is_a_page() -> None:
    """A documented sample shows the meetings without `results` around them."""
    page = decode(Page[Meeting], [{"meetingId": "1"}, {"meetingId": "2"}])
    assert [meeting.meeting_id for meeting in page] == ["1", "2"]
    assert page.cursor is None


@pytest.mark.parametrize("page", [{"results": None, "cursor": None}, {"cursor": None}, {}, []])
def test_a_page_without_results_is_empty(page: object) -> None:
    """Null or missing results are no results."""
    assert decode(Page[Meeting], page) == Page(results=[])


def test_an_object_that_is_no_page_does_not_pass_as_an_empty_one() -> None:
    """An object with neither results nor cursor is refused: an empty list would be a lie."""
    with pytest.raises(ResponseDecodeError, match="missing required field `results`"):
        decode(Page[Meeting], {"error": "Something else"})


def test_a_single_object_where_results_are_a_list_is_a_list_of_one() -> None:
    """One row that was not put into a list is taken for a list of one."""
    assert decode(Page[Recording], {"results": {"recordingId": "a"}}).results == [Recording(recording_id="a")]


def test_null_rows_are_left_out() -> None:
    """A row that is null holds nothing to lose."""
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
    assert row(Page[Meeting], meetingId="52755922", roomUrl=sent).room_name == expected


def test_room_name_as_sent_wins() -> None:
    """A name that is there is not touched."""
    meeting = row(Page[Meeting], meetingId="1", roomUrl="https://sub.whereby.com/abc", roomName="/def")
    assert meeting.room_name == "/def"


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
