"""Bodies, query values and images that no call could send are refused; the error names the value and the way out."""

from __future__ import annotations

import enum
import io
import math
from typing import TYPE_CHECKING, Any, cast

import pytest
from resources.refusals import PNG, TOO_LARGE, UNTIL, Refusal, assert_refused, bound, refusal

from whereby_async.models import RecordingDestination, RecordingOptions

if TYPE_CHECKING:
    from pathlib import Path

    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

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


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(COLOURS, id="colours"),
        pytest.param(BODIES, id="bodies"),
        pytest.param(QUERIES, id="queries"),
        pytest.param(IMAGES, id="images"),
    ],
)
async def test_refused_before_anything_is_sent(rows: list[Refusal], fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Each of these raises a builtin error that names the value and the way out, and nothing reaches the server."""
    for row in rows:
        await assert_refused(fake, whereby, row)


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
