"""Arguments that no call could use are refused before anything is sent; the error names the value and the way out."""

from __future__ import annotations

import enum
import io
import math
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pytest

from whereby_async.models import RecordingDestination, RecordingOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

UNTIL = datetime(2099, 1, 1, tzinfo=UTC)
NAIVE = datetime(2099, 1, 1)  # noqa: DTZ001 - refusing it is the point
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32
TOO_LARGE = PNG.ljust(600_001, b"0")

Call: TypeAlias = "Callable[[Any], Awaitable[object]]"
CallWith: TypeAlias = "Callable[[Any, Any], Awaitable[object]]"
Row: TypeAlias = "tuple[Call, type[Exception], *tuple[str, ...]]"
"""A call, what it raises, and words of the error's text."""


def bound(call: CallWith, argument: object) -> Call:
    return lambda client: call(client, argument)


def rows(calls: Iterable[CallWith], values: Iterable[tuple[Any, type[Exception], *tuple[str, ...]]]) -> list[Row]:
    return [(bound(call, value), error, *words) for call in calls for value, error, *words in values]


BY_ID: dict[str, list[CallWith]] = {
    "meeting_id": [lambda c, i: c.meetings.get(i), lambda c, i: c.meetings.delete(i)],
    "recording_id": [
        lambda c, i: c.recordings.get(i),
        lambda c, i: c.recordings.delete(i),
        lambda c, i: c.recordings.access_link(i),
        lambda c, i: c.transcriptions.create(i),
    ],
    "transcription_id": [
        lambda c, i: c.transcriptions.get(i),
        lambda c, i: c.transcriptions.delete(i),
        lambda c, i: c.transcriptions.access_link(i),
        lambda c, i: c.summaries.create(i),
    ],
    "summary_id": [lambda c, i: c.summaries.get(i), lambda c, i: c.summaries.delete(i)],
    "room_name": [
        lambda c, i: c.rooms.set_theme_tokens(i, primary="#000000"),
        lambda c, i: c.rooms.reset_theme_tokens(i),
        lambda c, i: c.rooms.set_logo(i, PNG),
        lambda c, i: c.rooms.reset_logo(i),
        lambda c, i: c.rooms.set_background(i, palette="grey"),
        lambda c, i: c.rooms.reset_background(i),
        lambda c, i: c.rooms.set_knock_background(i, PNG),
        lambda c, i: c.rooms.reset_knock_background(i),
    ],
}
"""Every method that takes an id, by the argument's name."""

IDS: list[tuple[Any, type[Exception], str]] = [
    *((value, ValueError, " is no ") for value in ("", "  ", ".", "..")),
    *(
        (value, ValueError, "pass a bare ")
        for value in ("a/b", "a/../../meetings", "https://x.whereby.com/y", "a\\b", "a\r\nb", "a\x00", "a\x7f")
    ),
    ("a\ud800", ValueError, "not Unicode text"),
    (None, TypeError, "must be a string, not NoneType"),
    (107585562, TypeError, "must be a string, not int"),
    (b"1", TypeError, "must be a string, not bytes"),
]
"""Ids that could reach another endpoint, or are none."""

MORE_ROOM_NAMES: list[Row] = [
    (bound(lambda c, n: c.rooms.reset_logo(n), name), ValueError, "room_name", "pass")
    for name in ("/", "//", "//x", "/.", "/..", "/a/b", "/ ", "a/")
]

NAMED: list[CallWith] = [
    lambda c, n: c.meetings.list(name_starts_with=n),
    lambda c, n: c.recordings.list(room_name=n),
    lambda c, n: c.transcriptions.list(room_name=n),
    lambda c, n: c.insights.rooms(name=n),
    lambda c, n: c.insights.rooms(name_starts_with=n),
    lambda c, n: c.insights.room_sessions(n),
    *BY_ID["room_name"],
]
"""Every method that takes a room's name or its beginning."""

KEY = "eyJhbGciOiJIUzI1NiJ9.secret"
LINKS_TO_ROOMS = {
    f"https://acme.whereby.com/weekly?roomKey={KEY}": "here 'weekly'",
    f"https://acme.whereby.com/weekly?embed?roomKey={KEY}": "here 'weekly'",
    f"acme.whereby.com/weekly?roomKey={KEY}": "here 'weekly'",
    f"/weekly?roomKey={KEY}": "here 'weekly'",
    f"weekly%3FroomKey%3D{KEY}": "such as 'weekly'",
    f"https://acme.whereby.com/?roomKey={KEY}": "such as 'weekly'",
    "http://127.0.0.1:8700/weekly": "here 'weekly'",
    "whereby.com": "such as 'weekly'",
}
PATHS = {
    "C:/Program Files/Git/weekly": "here 'weekly'",
    "C:/Program Files/Git/clinic-": "here 'clinic-'",
    "C:/Program Files/Git/": "such as 'weekly'",
    "C:\\Program Files\\Git\\weekly": "here 'weekly'",
    "c:/Users/Zoë/AppData/Local/Programs/Git/weekly": "here 'weekly'",
    "D:/msys64/weekly": "here 'weekly'",
    "//server/share/Git/weekly": "here 'weekly'",
    "\\weekly": "here 'weekly'",
}

DATES: list[Row] = [
    (lambda c: c.meetings.create(end_date=NAIVE), ValueError, "end_date", "2099-01-01", "now(UTC)"),
    (lambda c: c.meetings.create(end_date="2099-01-01T00:00:00"), ValueError, "end_date", "01T00:00:00", "offset"),
    (lambda c: c.meetings.create(end_date="soon"), ValueError, "end_date", "'soon'", "RFC 3339"),
    (lambda c: c.meetings.create(end_date="2099-01-01"), ValueError, "end_date", "RFC 3339"),
    (lambda c: c.meetings.create(end_date=date(2099, 1, 1)), TypeError, "end_date", "not date"),
    (lambda c: c.meetings.create(end_date=4070908800), TypeError, "end_date", "not int"),
    (lambda c: c.meetings.create(end_date=UNTIL, start_date=NAIVE), ValueError, "start_date", "UTC"),
    (lambda c: c.meetings.create(end_date=UNTIL, recording={"at": NAIVE}), ValueError, "recording.at", "UTC"),
    (lambda c: c.insights.rooms(created_from=NAIVE), ValueError, "created_from", "UTC"),
    (lambda c: c.insights.rooms(created_to="2099-01-01T00:00:00"), ValueError, "created_to", "offset"),
    (lambda c: c.meetings.list(extra={"at": NAIVE}), ValueError, "at is 2099", "UTC"),
]

LISTS: dict[str, CallWith] = {
    "meetings.list": lambda c, k: c.meetings.list(**k),
    "recordings.list": lambda c, k: c.recordings.list(**k),
    "transcriptions.list": lambda c, k: c.transcriptions.list(**k),
    "summaries.list": lambda c, k: c.summaries.list(**k),
    "insights.rooms": lambda c, k: c.insights.rooms(**k),
    "insights.room_sessions": lambda c, k: c.insights.room_sessions("/demo", **k),
    "insights.participants": lambda c, k: c.insights.participants(external_id="1", **k),
}

PAGING = rows(
    LISTS.values(),
    [
        ({"page_size": 0}, ValueError, "page_size=0", "1 to 100"),
        ({"page_size": 101}, ValueError, "page_size=101", "1 to 100"),
        ({"page_size": -1}, ValueError, "page_size=-1"),
        ({"page_size": 5.0}, ValueError, "page_size=5.0"),
        ({"page_size": True}, ValueError, "page_size=True"),
        ({"page_size": "5"}, ValueError, "page_size='5'"),
        ({"prefetch": -1}, ValueError, "prefetch=-1", "0 to 100"),
        ({"prefetch": 101}, ValueError, "prefetch=101"),
        ({"cursor": ""}, ValueError, "cursor=''", "pass"),
        ({"cursor": 5}, TypeError, "cursor must be a string", "5"),
        ({"extra": {"limit": 5}}, ValueError, "'limit'", "page_size="),
        ({"extra": {"cursor": "x"}}, ValueError, "'cursor'", "cursor="),
    ],
)

SORTING = rows(
    [call for name, call in LISTS.items() if name != "meetings.list"],
    [
        ({"sort_by": value}, ValueError, "sort_by=", "startDate:desc")
        for value in ("", "startDate", "startDate:", "startDate:up", ":asc", "a b:asc", "a:asc,b:desc", "a:asc\n", 5)
    ],
)

LINKS = rows(
    [
        lambda c, v: c.recordings.access_link("1", valid_for=v),
        lambda c, v: c.transcriptions.access_link("1", valid_for=v),
    ],
    [(value, ValueError, "valid_for=", "1 to 43200") for value in (0, -1, 43_201, 60.0, "60", None, math.inf)],
)

BULK = rows(
    [lambda c, i: c.recordings.bulk_delete(i), lambda c, i: c.transcriptions.bulk_delete(i)],
    [
        ("abc", TypeError, "ids='abc'", "['abc']"),
        (b"abc", TypeError, "ids=b'abc'"),
        (None, TypeError, "ids=None", "list of strings"),
        ([], ValueError, "ids is empty", "pass at least one id"),
        (["a", ""], ValueError, "ids holds ''"),
        (["a", " "], ValueError, "ids holds ' '"),
        (["a", 5], TypeError, "ids must hold strings", "5"),
        *(
            (["a", no_id], ValueError, "ids holds ", "which is no id: pass bare ids, each by itself")
            for no_id in (
                "a,b",
                "a b",
                '"a"',
                "'a'",
                "a/b",
                "a\\b",
                "# why",
                "#a",
                '{"recordingId":"a"}',
                "[a]",
                "a\x00",
            )
        ),
    ],
)

FIELDS = rows(
    [
        lambda c, f: c.meetings.create(end_date=UNTIL, fields=f),
        lambda c, f: c.meetings.get("1", fields=f),
        lambda c, f: c.meetings.list(fields=f),
    ],
    [
        ("hostRoomUrl", TypeError, "fields='hostRoomUrl'", "['hostRoomUrl']"),
        ("", TypeError, "fields=''"),
        (["hostRoomUrl,dialIn"], ValueError, "'hostRoomUrl,dialIn'", "one name"),
        (["hostRoomUrl", ""], ValueError, "fields holds ''"),
        ([None], TypeError, "fields must hold strings", "None"),
        (5, TypeError, "fields=5"),
    ],
)

PEOPLE: list[Row] = [
    (lambda c: c.insights.participants(), ValueError, "exactly one", "room_session_id", "external_id"),
    (lambda c: c.insights.participants(room_session_id="1", external_id="2"), ValueError, "exactly one", "'1' and '2'"),
    (lambda c: c.insights.participants(room_session_id=""), ValueError, "room_session_id=''"),
    (lambda c: c.insights.participants(external_id=" "), ValueError, "external_id=' '"),
    (lambda c: c.insights.participants(external_id=5), TypeError, "external_id", "5"),
    (lambda c: c.insights.participant("", "1"), ValueError, "room_session_id=''"),
    (lambda c: c.insights.participant("1", ""), ValueError, "participant_id=''"),
    (lambda c: c.insights.room_sessions(""), ValueError, "room_name=''", "pass"),
    (lambda c: c.insights.room_sessions(None), TypeError, "room_name", "None"),
    (lambda c: c.insights.room_sessions("/x", room_session_id=""), ValueError, "room_session_id"),
    (lambda c: c.insights.rooms(name=""), ValueError, "name=''"),
    (lambda c: c.recordings.list(room_name=""), ValueError, "room_name=''"),
    (lambda c: c.transcriptions.list(room_name=""), ValueError, "room_name=''"),
]

COLOURS: list[Row] = [
    (lambda c: c.rooms.set_theme_tokens("/x"), ValueError, "primary=", "reset_theme_tokens"),
    *(
        (bound(lambda c, v: c.rooms.set_theme_tokens("/x", focus=v), value), ValueError, f"focus={value!r}", "#RRGGBB")
        for value in ("red", "#12345", "#1234567", "#12345g", "#123456\n", "", 0xFFFFFF, b"#123456")
    ),
]

BODIES: list[Row] = [
    (lambda c: c.meetings.create(end_date=UNTIL, room_name_prefix="a" * 40), ValueError, "prefix='aaa", "has 40", "39"),
    (lambda c: c.meetings.create(end_date=UNTIL, room_name_prefix=b"a"), TypeError, "room_name_prefix", "bytes"),
    (lambda c: c.meetings.create(end_date=UNTIL, recording=object()), TypeError, "recording", "type object"),
    (lambda c: c.meetings.create(end_date=UNTIL, streaming={1: 2}), TypeError, "streaming", "keys must be text"),
    (lambda c: c.meetings.create(end_date=UNTIL, extra={"a": math.nan}), ValueError, "a is not a finite"),
    (lambda c: c.meetings.create(end_date=UNTIL, extra={"a": "\ud800"}), ValueError, "surrogate"),
]

QUERIES = rows(
    [lambda c, v: c.meetings.get("1", extra={"new": v})],
    [
        (b"x", TypeError, "pass a string"),
        ({"a": 1}, TypeError, "pass a string"),
        (object(), TypeError, "pass a string"),
        (math.nan, TypeError, "pass a string"),
        (math.inf, TypeError, "pass a string"),
        ([1], TypeError, "must hold strings"),
        (["a,b"], ValueError, "one name or id"),
        ("\udc80", ValueError, "not Unicode text"),
    ],
)

IMAGES: list[Row] = [
    (lambda c: c.rooms.set_logo("/x", b""), ValueError, "image is empty", "pass"),
    (lambda c: c.rooms.set_logo("/x", io.BytesIO()), ValueError, "image is empty", "at its start"),
    (lambda c: c.rooms.set_logo("/x", b"%PDF-1.7"), ValueError, "no PNG", "%PDF-1.7"),
    (lambda c: c.rooms.set_background("/x", b"<html>"), ValueError, "no PNG"),
    (lambda c: c.rooms.set_logo("/x", b"RIFF\x10\x00\x00\x00WAVE"), ValueError, "no PNG"),
    (lambda c: c.rooms.set_logo("/x", io.StringIO("x")), TypeError, "image", "gives str", "'rb'"),
    (lambda c: c.rooms.set_logo("/x", 5), TypeError, "image must be bytes, a path", "int"),
    (lambda c: c.rooms.set_logo("/x", None), TypeError, "image must be bytes", "NoneType"),
    (lambda c: c.rooms.set_background("/x", TOO_LARGE), ValueError, "600001 bytes", "600000", "smaller"),
    (lambda c: c.rooms.set_knock_background("/x", io.BytesIO(TOO_LARGE)), ValueError, "600001 bytes"),
    (lambda c: c.rooms.set_logo("/x", "/does/not/exist.png"), FileNotFoundError, "/does/not/exist.png"),
    (lambda c: c.rooms.set_background("/x"), ValueError, "image=", "palette="),
    (lambda c: c.rooms.set_knock_background("/x"), ValueError, "image=", "palette="),
    (lambda c: c.rooms.set_background("/x", PNG, palette="grey"), ValueError, "either image=", "palette="),
    (lambda c: c.rooms.set_knock_background("/x", PNG, palette="grey"), ValueError, "either image=", "palette="),
    (lambda c: c.rooms.set_logo("/x", PNG, extra={"a": "\ud800"}), ValueError, "a=", "not Unicode text"),
    (lambda c: c.rooms.set_logo("/x", PNG, extra={"a": b""}), TypeError, "a=b''", "pass"),
    (lambda c: c.rooms.set_logo("/x", PNG, extra={'a"b': "c"}), ValueError, "no form field can be named", "plain name"),
]

TABLES = {
    **{name: rows(calls, [(*row, name) for row in IDS]) for name, calls in BY_ID.items()},
    "room names": MORE_ROOM_NAMES,
    "links to rooms": rows(NAMED, [(link, ValueError, "is a link", advice) for link, advice in LINKS_TO_ROOMS.items()]),
    "paths": rows(NAMED, [(path, ValueError, "Git Bash", advice) for path, advice in PATHS.items()]),
    "dates": DATES,
    "paging": PAGING,
    "sorting": SORTING,
    "links": LINKS,
    "bulk": BULK,
    "fields": FIELDS,
    "people": PEOPLE,
    "colours": COLOURS,
    "bodies": BODIES,
    "queries": QUERIES,
    "images": IMAGES,
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
async def test_refused_before_anything_is_sent(table: list[Row], fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Each of these raises a builtin error that names the value and the way out, and nothing reaches the server."""
    for call, error, *words in table:
        with pytest.raises(error, match=re.escape(words[0])) as caught:
            await call(whereby)
        for word in words:
            assert word in str(caught.value)
        assert fake.requests == []


@pytest.mark.parametrize("link", LINKS_TO_ROOMS)
async def test_a_link_is_refused_without_its_key(whereby: WherebyClient, link: str) -> None:
    for call in NAMED:
        with pytest.raises(ValueError, match="pass a bare name") as caught:
            await call(whereby, link)
        assert "eyJ" not in str(caught.value)


async def test_a_large_file_on_disk_is_not_read(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """The size of a path is looked at first: a sparse file of a terabyte costs nothing."""
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match=str(1 << 40)):
        await whereby.rooms.set_background("/demo", path)
    assert fake.requests == []


async def test_errors_do_not_show_storage_secrets(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A body that is refused is not shown, since it may hold secrets."""
    destination = RecordingDestination(provider="s3", access_key_secret="planted-secret", bucket="\ud800")
    with pytest.raises(ValueError, match="bucket") as caught:
        await whereby.meetings.create(end_date=UNTIL, recording=RecordingOptions(type="cloud", destination=destination))
    assert "planted-secret" not in f"{caught.value!r} {caught.value}"
    assert fake.requests == []


async def test_enums_go_out_as_their_values(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A caller's own enum of words is sent as its values, in query, body and list."""

    class Word(enum.StrEnum):
        SORT = "startDate:desc"
        FIELD = "hostRoomUrl"
        MODE = "group"

    await whereby.recordings.list(sort_by=Word.SORT, extra={"x": Word.MODE, "y": [Word.FIELD]})
    await whereby.meetings.create(end_date=UNTIL, room_mode=Word.MODE, fields=cast("Any", [Word.FIELD]))
    query = {"sortBy": "startDate:desc", "x": "group", "y": "hostRoomUrl", "limit": "100"}
    assert dict(fake.requests[0].query) == query
    assert fake.requests[1].json["roomMode"] == "group"
    assert fake.requests[1].json["fields"] == ["hostRoomUrl"]
