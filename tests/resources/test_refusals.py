"""What no call could use is refused before anything is sent; the error names the value and the way out."""

from __future__ import annotations

import enum
import io
import math
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import pytest

from whereby_async.models import RecordingDestination, RecordingOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
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


def bound(call: CallWith, argument: object) -> Call:
    """The call, given all but its client."""
    return lambda client: call(client, argument)


class Refusal(NamedTuple):
    """A call with something wrong in it.

    Attributes:
        name: The test's id.
        call: The call.
        error: What it raises.
        words: What the message says: the argument, the value, the way out.
    """

    name: str
    call: Call
    error: type[Exception]
    words: tuple[str, ...]


def refusal(name: str, call: Call, error: type[Exception], *words: str) -> Refusal:
    """A row of the tables below."""
    return Refusal(name, call, error, words)


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

COLOURS = [
    refusal("no colour", lambda c: c.rooms.set_theme_tokens("/x"), ValueError, "primary=", "reset_theme_tokens"),
    *(
        refusal(
            f"colour {value!r}",
            bound(lambda c, v: c.rooms.set_theme_tokens("/x", focus=v), value),
            ValueError,
            f"focus={value!r}",
            "#RRGGBB",
        )
        for value in ("red", "#12345", "#1234567", "#12345g", "#123456\n", "", 0xFFFFFF, b"#123456")
    ),
]

BODIES = [
    refusal(
        "long prefix",
        lambda c: c.meetings.create(end_date=UNTIL, room_name_prefix="a" * 40),
        ValueError,
        "room_name_prefix='aaaa",
        "40 characters",
        "39",
    ),
    refusal(
        "prefix of bytes",
        lambda c: c.meetings.create(end_date=UNTIL, room_name_prefix=b"a"),
        TypeError,
        "room_name_prefix",
        "bytes",
    ),
    refusal(
        "object", lambda c: c.meetings.create(end_date=UNTIL, recording=object()), TypeError, "recording", "type object"
    ),
    refusal(
        "key",
        lambda c: c.meetings.create(end_date=UNTIL, streaming={1: 2}),
        TypeError,
        "streaming",
        "keys must be text",
    ),
    refusal("nan", lambda c: c.meetings.create(end_date=UNTIL, extra={"a": math.nan}), ValueError, "a is not a finite"),
    refusal("surrogate", lambda c: c.meetings.create(end_date=UNTIL, extra={"a": "\ud800"}), ValueError, "surrogate"),
]

QUERIES = [
    Refusal(f"query {value!r}", bound(lambda c, v: c.meetings.get("1", extra={"new": v}), value), error, ("new", words))
    for value, error, words in cast(
        "list[tuple[Any, type[Exception], str]]",
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
]

IMAGES = [
    refusal("empty", lambda c: c.rooms.set_logo("/x", b""), ValueError, "image is empty", "pass"),
    refusal("empty file", lambda c: c.rooms.set_logo("/x", io.BytesIO()), ValueError, "image is empty", "at its start"),
    refusal("no image", lambda c: c.rooms.set_logo("/x", b"%PDF-1.7"), ValueError, "no PNG", "%PDF-1.7"),
    refusal("html", lambda c: c.rooms.set_background("/x", b"<html>"), ValueError, "no PNG"),
    refusal("wav", lambda c: c.rooms.set_logo("/x", b"RIFF\x10\x00\x00\x00WAVE"), ValueError, "no PNG"),
    refusal("text file", lambda c: c.rooms.set_logo("/x", io.StringIO("x")), TypeError, "image", "gives str", "'rb'"),
    refusal("a number", lambda c: c.rooms.set_logo("/x", 5), TypeError, "image must be bytes, a path", "int"),
    refusal("nothing", lambda c: c.rooms.set_logo("/x", None), TypeError, "image must be bytes", "NoneType"),
    refusal(
        "large background",
        lambda c: c.rooms.set_background("/x", TOO_LARGE),
        ValueError,
        "600001 bytes",
        "600000",
        "smaller",
    ),
    refusal(
        "large knock background",
        lambda c: c.rooms.set_knock_background("/x", io.BytesIO(TOO_LARGE)),
        ValueError,
        "600001 bytes",
    ),
    refusal(
        "no file", lambda c: c.rooms.set_logo("/x", "/does/not/exist.png"), FileNotFoundError, "/does/not/exist.png"
    ),
    *(
        refusal(
            f"{name} with neither",
            bound(lambda c, n: getattr(c.rooms, n)("/x"), name),
            ValueError,
            "image=",
            "palette=",
        )
        for name in ("set_background", "set_knock_background")
    ),
    *(
        refusal(
            f"{name} with both",
            bound(lambda c, n: getattr(c.rooms, n)("/x", PNG, palette="grey"), name),
            ValueError,
            "either image=",
            "palette=",
        )
        for name in ("set_background", "set_knock_background")
    ),
    refusal(
        "form field", lambda c: c.rooms.set_logo("/x", PNG, extra={"a": "\ud800"}), ValueError, "a=", "not Unicode text"
    ),
    refusal("form field's type", lambda c: c.rooms.set_logo("/x", PNG, extra={"a": b""}), TypeError, "a=b''", "pass"),
]


async def _assert_refused(fake: FakeWhereby, whereby: WherebyClient, row: Refusal) -> None:
    with pytest.raises(row.error, match="(?s)" + ".*".join(map(re.escape, row.words[:1]))) as caught:
        await row.call(whereby)
    for word in row.words:
        assert word in str(caught.value), row.name
    assert fake.requests == []


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
        pytest.param(COLOURS, id="colours"),
        pytest.param(BODIES, id="bodies"),
        pytest.param(QUERIES, id="queries"),
        pytest.param(IMAGES, id="images"),
    ],
)
async def test_refused_before_anything_is_sent(rows: list[Refusal], fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Each of these raises a builtin error that names the value and the way out, and nothing reaches the server."""
    for row in rows:
        await _assert_refused(fake, whereby, row)


async def test_a_large_file_on_disk_is_not_read(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """The size of a path is looked at first: a sparse file of a terabyte costs nothing."""
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match=str(1 << 40)):
        await whereby.rooms.set_background("/demo", path)
    assert fake.requests == []


async def test_a_file_opened_as_text_is_told_how_to_be_opened(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """A file in text mode raises a TypeError that names the mode."""
    path = tmp_path / "logo.svg"
    path.write_text("<svg/>")
    with path.open() as file, pytest.raises(TypeError, match="open it with mode 'rb'"):
        await whereby.rooms.set_logo("/demo", cast("Any", file))
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
    assert dict(fake.requests[0].query) == {
        "sortBy": "startDate:desc",
        "x": "group",
        "y": "hostRoomUrl",
        "limit": "100",
    }
    assert fake.requests[1].json["roomMode"] == "group"
    assert fake.requests[1].json["fields"] == ["hostRoomUrl"]
