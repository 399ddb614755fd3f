"""Ids, names, dates and numbers that no call could use are refused; the error names the value and the way out."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import pytest
from resources.refusals import NAIVE, PNG, UNTIL, CallWith, Refusal, assert_refused, bound, refusal

if TYPE_CHECKING:
    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio


def _of_ids() -> list[Refusal]:
    """Every method that takes an id, with every id that could reach another endpoint."""
    methods: list[tuple[str, str, CallWith]] = [
        ("meetings.get", "meeting_id", lambda c, i: c.meetings.get(i)),
        ("meetings.delete", "meeting_id", lambda c, i: c.meetings.delete(i)),
        ("recordings.get", "recording_id", lambda c, i: c.recordings.get(i)),
        ("recordings.delete", "recording_id", lambda c, i: c.recordings.delete(i)),
        ("recordings.access_link", "recording_id", lambda c, i: c.recordings.access_link(i)),
        ("transcriptions.create", "recording_id", lambda c, i: c.transcriptions.create(i)),
        ("transcriptions.get", "transcription_id", lambda c, i: c.transcriptions.get(i)),
        ("transcriptions.delete", "transcription_id", lambda c, i: c.transcriptions.delete(i)),
        ("transcriptions.access_link", "transcription_id", lambda c, i: c.transcriptions.access_link(i)),
        ("summaries.create", "transcription_id", lambda c, i: c.summaries.create(i)),
        ("summaries.get", "summary_id", lambda c, i: c.summaries.get(i)),
        ("summaries.delete", "summary_id", lambda c, i: c.summaries.delete(i)),
        ("rooms.set_theme_tokens", "room_name", lambda c, i: c.rooms.set_theme_tokens(i, primary="#000000")),
        ("rooms.reset_theme_tokens", "room_name", lambda c, i: c.rooms.reset_theme_tokens(i)),
        ("rooms.set_logo", "room_name", lambda c, i: c.rooms.set_logo(i, PNG)),
        ("rooms.reset_logo", "room_name", lambda c, i: c.rooms.reset_logo(i)),
        ("rooms.set_background", "room_name", lambda c, i: c.rooms.set_background(i, palette="grey")),
        ("rooms.reset_background", "room_name", lambda c, i: c.rooms.reset_background(i)),
        ("rooms.set_knock_background", "room_name", lambda c, i: c.rooms.set_knock_background(i, PNG)),
        ("rooms.reset_knock_background", "room_name", lambda c, i: c.rooms.reset_knock_background(i)),
    ]
    ids: list[tuple[Any, type[Exception], str]] = [
        ("", ValueError, "pass the id that the API gave"),
        ("  ", ValueError, "pass the id that the API gave"),
        (".", ValueError, "pass the id that the API gave"),
        ("..", ValueError, "pass the id that the API gave"),
        ("a/b", ValueError, "pass a bare id or name"),
        ("a/../../meetings", ValueError, "pass a bare id or name"),
        ("https://x.whereby.com/y", ValueError, "pass a bare id or name"),
        ("a\\b", ValueError, "pass a bare id or name"),
        ("a\r\nb", ValueError, "pass a bare id or name"),
        ("a\x00", ValueError, "pass a bare id or name"),
        ("a\x7f", ValueError, "pass a bare id or name"),
        ("a\ud800", ValueError, "not Unicode text"),
        (None, TypeError, "must be a string, not NoneType"),
        (107585562, TypeError, "must be a string, not int"),
        (b"1", TypeError, "must be a string, not bytes"),
    ]
    return [
        Refusal(f"{name}({value!r})", bound(method, value), error, (argument, words))
        for name, argument, method in methods
        for value, error, words in ids
    ]


MORE_ROOM_NAMES = [
    refusal(f"room {name!r}", bound(lambda c, n: c.rooms.reset_logo(n), name), ValueError, "room_name", "pass")
    for name in ("/", "//", "//x", "/.", "/..", "/a/b", "/ ", "a/")
]


DATES = [
    refusal("naive", lambda c: c.meetings.create(end_date=NAIVE), ValueError, "end_date", "2099-01-01", "now(UTC)"),
    refusal(
        "naive text",
        lambda c: c.meetings.create(end_date="2099-01-01T00:00:00"),
        ValueError,
        "end_date",
        "2099-01-01T00:00:00",
        "offset",
    ),
    refusal("no date", lambda c: c.meetings.create(end_date="soon"), ValueError, "end_date", "'soon'", "RFC 3339"),
    refusal("a day", lambda c: c.meetings.create(end_date="2099-01-01"), ValueError, "end_date", "RFC 3339"),
    refusal("a date object", lambda c: c.meetings.create(end_date=date(2099, 1, 1)), TypeError, "end_date", "not date"),
    refusal("a number", lambda c: c.meetings.create(end_date=4070908800), TypeError, "end_date", "not int"),
    refusal(
        "naive start", lambda c: c.meetings.create(end_date=UNTIL, start_date=NAIVE), ValueError, "start_date", "UTC"
    ),
    refusal(
        "naive in a body",
        lambda c: c.meetings.create(end_date=UNTIL, recording={"at": NAIVE}),
        ValueError,
        "recording.at",
        "UTC",
    ),
    refusal("naive from", lambda c: c.insights.rooms(created_from=NAIVE), ValueError, "created_from", "UTC"),
    refusal(
        "naive to", lambda c: c.insights.rooms(created_to="2099-01-01T00:00:00"), ValueError, "created_to", "offset"
    ),
    refusal("naive in extra", lambda c: c.meetings.list(extra={"at": NAIVE}), ValueError, "at is 2099", "UTC"),
]


LISTS: list[tuple[str, CallWith]] = [
    ("meetings.list", lambda c, k: c.meetings.list(**k)),
    ("recordings.list", lambda c, k: c.recordings.list(**k)),
    ("transcriptions.list", lambda c, k: c.transcriptions.list(**k)),
    ("summaries.list", lambda c, k: c.summaries.list(**k)),
    ("insights.rooms", lambda c, k: c.insights.rooms(**k)),
    ("insights.room_sessions", lambda c, k: c.insights.room_sessions("/demo", **k)),
    ("insights.participants", lambda c, k: c.insights.participants(external_id="1", **k)),
]


PAGING = [
    Refusal(f"{name} {keywords!r}", bound(method, keywords), error, words)
    for name, method in LISTS
    for keywords, error, words in cast(
        "list[tuple[dict[str, Any], type[Exception], tuple[str, ...]]]",
        [
            ({"page_size": 0}, ValueError, ("page_size=0", "1 to 100")),
            ({"page_size": 101}, ValueError, ("page_size=101", "1 to 100")),
            ({"page_size": -1}, ValueError, ("page_size=-1",)),
            ({"page_size": 5.0}, ValueError, ("page_size=5.0",)),
            ({"page_size": True}, ValueError, ("page_size=True",)),
            ({"page_size": "5"}, ValueError, ("page_size='5'",)),
            ({"prefetch": -1}, ValueError, ("prefetch=-1", "0 to 100")),
            ({"prefetch": 101}, ValueError, ("prefetch=101",)),
            ({"cursor": ""}, ValueError, ("cursor=''", "pass")),
            ({"cursor": 5}, TypeError, ("cursor must be a string", "5")),
            ({"extra": {"limit": 5}}, ValueError, ("'limit'", "page_size=")),
            ({"extra": {"cursor": "x"}}, ValueError, ("'cursor'", "cursor=")),
        ],
    )
]


SORTING = [
    Refusal(
        f"{name} {value!r}",
        bound(method, {"sort_by": value}),
        ValueError,
        ("sort_by=", "startDate:desc"),
    )
    for name, method in LISTS
    if name != "meetings.list"
    for value in ("", "startDate", "startDate:", "startDate:up", ":asc", "a b:asc", "a:asc,b:desc", "a:asc\n", 5)
]


LINKING: list[tuple[str, CallWith]] = [
    ("recordings", lambda c, v: c.recordings.access_link("1", valid_for=v)),
    ("transcriptions", lambda c, v: c.transcriptions.access_link("1", valid_for=v)),
]


LINKS = [
    Refusal(f"{name} valid_for={value!r}", bound(method, value), ValueError, ("valid_for=", "1 to 43200"))
    for name, method in LINKING
    for value in (0, -1, 43_201, 60.0, "60", None, math.inf)
]


BULK = [
    Refusal(f"{name} {ids!r}", bound(lambda c, i: getattr(c, i[0]).bulk_delete(i[1]), (name, ids)), error, words)
    for name in ("recordings", "transcriptions")
    for ids, error, words in cast(
        "list[tuple[Any, type[Exception], tuple[str, ...]]]",
        [
            ("abc", TypeError, ("ids='abc'", "['abc']")),
            (b"abc", TypeError, ("ids=b'abc'",)),
            (None, TypeError, ("ids=None", "list of strings")),
            ([], ValueError, ("ids is empty", "pass at least one id")),
            (["a", ""], ValueError, ("ids holds ''",)),
            (["a", " "], ValueError, ("ids holds ' '",)),
            (["a", 5], TypeError, ("ids must hold strings", "5")),
        ],
    )
]


ASKING: list[tuple[str, CallWith]] = [
    ("create", lambda c, f: c.meetings.create(end_date=UNTIL, fields=f)),
    ("get", lambda c, f: c.meetings.get("1", fields=f)),
    ("list", lambda c, f: c.meetings.list(fields=f)),
]


FIELDS = [
    Refusal(f"{name} {fields!r}", bound(method, fields), error, words)
    for name, method in ASKING
    for fields, error, words in cast(
        "list[tuple[Any, type[Exception], tuple[str, ...]]]",
        [
            ("hostRoomUrl", TypeError, ("fields='hostRoomUrl'", "['hostRoomUrl']")),
            ("", TypeError, ("fields=''",)),
            (["hostRoomUrl,dialIn"], ValueError, ("'hostRoomUrl,dialIn'", "one name")),
            (["hostRoomUrl", ""], ValueError, ("fields holds ''",)),
            ([None], TypeError, ("fields must hold strings", "None")),
            (5, TypeError, ("fields=5",)),
        ],
    )
]


PEOPLE = [
    refusal(
        "neither id", lambda c: c.insights.participants(), ValueError, "exactly one", "room_session_id", "external_id"
    ),
    refusal(
        "both ids",
        lambda c: c.insights.participants(room_session_id="1", external_id="2"),
        ValueError,
        "exactly one",
        "'1' and '2'",
    ),
    refusal("empty session", lambda c: c.insights.participants(room_session_id=""), ValueError, "room_session_id=''"),
    refusal("empty person", lambda c: c.insights.participants(external_id=" "), ValueError, "external_id=' '"),
    refusal("a number", lambda c: c.insights.participants(external_id=5), TypeError, "external_id", "5"),
    refusal("no session", lambda c: c.insights.participant("", "1"), ValueError, "room_session_id=''"),
    refusal("no participant", lambda c: c.insights.participant("1", ""), ValueError, "participant_id=''"),
    refusal("no room", lambda c: c.insights.room_sessions(""), ValueError, "room_name=''", "pass"),
    refusal("no room at all", lambda c: c.insights.room_sessions(None), TypeError, "room_name", "None"),
    refusal(
        "empty session of a room",
        lambda c: c.insights.room_sessions("/x", room_session_id=""),
        ValueError,
        "room_session_id",
    ),
    refusal("empty exact name", lambda c: c.insights.rooms(name=""), ValueError, "name=''"),
    refusal("empty room of recordings", lambda c: c.recordings.list(room_name=""), ValueError, "room_name=''"),
    refusal("empty room of transcriptions", lambda c: c.transcriptions.list(room_name=""), ValueError, "room_name=''"),
]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(_of_ids(), id="ids"),
        pytest.param(MORE_ROOM_NAMES, id="room names"),
        pytest.param(DATES, id="dates"),
        pytest.param(PAGING, id="paging"),
        pytest.param(SORTING, id="sorting"),
        pytest.param(LINKS, id="links"),
        pytest.param(BULK, id="bulk"),
        pytest.param(FIELDS, id="fields"),
        pytest.param(PEOPLE, id="people"),
    ],
)
async def test_refused_before_anything_is_sent(rows: list[Refusal], fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Each of these raises a builtin error that names the value and the way out, and nothing reaches the server."""
    for row in rows:
        await assert_refused(fake, whereby, row)
