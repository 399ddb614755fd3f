"""Dates and request bodies: what is sent, and what is refused with its path."""

from __future__ import annotations

import json
import traceback
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings, strategies as st
from msgspec import UNSET

from whereby_async.models import (
    LiveTranscriptionOptions,
    RecordingDestination,
    RecordingOptions,
    StreamingOptions,
    encode,
    rfc3339,
)
from whereby_async.redaction import Secret, SilentBytes


class Mode(StrEnum):
    GROUP = "group"


class Size(IntEnum):
    LARGE = 200


class Theme(Enum):
    DARK = "dark"


class Nowhere(tzinfo):
    """A tzinfo that cannot say its offset: datetimes with it are naive."""

    def utcoffset(self, _moment: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


def sent(body: object) -> Any:
    """The body as the server reads it."""
    return json.loads(bytes(encode(body)))


def test_structs_go_out_in_wire_spelling_without_what_is_unset() -> None:
    recording = RecordingOptions(
        type="cloud",
        destination=RecordingDestination(provider="s3", access_key_id="x", file_format=None),
        start_trigger=None,
    )
    assert sent({"recording": recording, "isLocked": UNSET, "liveTranscription": LiveTranscriptionOptions()}) == {
        "recording": {
            "type": "cloud",
            "destination": {"provider": "s3", "accessKeyId": "x", "fileFormat": None},
            "startTrigger": None,
        },
        "liveTranscription": {},
    }
    assert sent(StreamingOptions(destination=None)) == {"destination": None}


def test_plain_dictionaries_are_passed_as_they_are() -> None:
    """Wire spelling, unknown keys and null are the caller's business."""
    body: dict[str, object] = {
        "recording": {"type": "none", "destination": {}, "brand_new": [1, 2.5, None, True, "x"]},
        "fields": [],
    }
    assert bytes(encode(body)) == json.dumps(body, separators=(",", ":")).encode()


def test_dates_go_out_in_utc_with_milliseconds() -> None:
    moment = datetime(2025, 5, 7, 17, 42, 49, 123_999, tzinfo=timezone(timedelta(hours=-5)))
    assert sent({"endDate": moment, "a": [{"b": moment}]}) == {
        "endDate": "2025-05-07T22:42:49.123Z",
        "a": [{"b": "2025-05-07T22:42:49.123Z"}],
    }


def test_other_kinds_that_json_has_a_form_for() -> None:
    body: dict[str, object] = {
        "mode": Mode.GROUP,
        "size": Size.LARGE,
        "theme": Theme.DARK,
        "id": UUID(int=5),
        "fields": ("hostRoomUrl",),
        "one": {"x"},
        "ordered": OrderedDict(a=1),
        "proxy": MappingProxyType({"a": False}),
        "secret": Secret("hush"),
        "large": 2**64 - 1,
        "small": -(2**63),
    }
    assert sent(body) == {
        "mode": "group",
        "size": 200,
        "theme": "dark",
        "id": "00000000-0000-0000-0000-000000000005",
        "fields": ["hostRoomUrl"],
        "one": ["x"],
        "ordered": {"a": 1},
        "proxy": {"a": False},
        "secret": "hush",
        "large": 2**64 - 1,
        "small": -(2**63),
    }


def test_bodies_do_not_show() -> None:
    body = encode({"secret": "hush"})
    assert isinstance(body, SilentBytes)
    assert "hush" not in f"{body!r} {body} {[body]}"


NAIVE = datetime(2025, 1, 1)  # noqa: DTZ001 - naive on purpose
ODD: Any = object()

holds_itself: dict[str, object] = {}
holds_itself["again"] = holds_itself

REFUSED: list[tuple[object, type[Exception], str]] = [
    ({"endDate": NAIVE}, ValueError, r"endDate is 2025-01-01T00:00:00, which names no .*datetime\.now\(UTC\)"),
    ({"a": [1, {"b": NAIVE}]}, ValueError, r"a\[1\]\.b is .* names no time zone"),
    ({"endDate": datetime(2025, 1, 1, tzinfo=Nowhere())}, ValueError, "endDate is .* names no time zone"),
    ({"endDate": datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))}, ValueError, "endDate is .* no UTC date"),
    (NAIVE, ValueError, "the body is .* names no time zone"),
    ({"endDate": date(2025, 1, 1)}, TypeError, "endDate is of type date, which cannot be sent"),
    ({"a": {"b": b"bytes"}}, TypeError, r"a\.b is of type bytes"),
    ({"a": object()}, TypeError, "a is of type object"),
    (object(), TypeError, "the body is of type object"),
    ({"a": float("nan")}, ValueError, "a is not a finite number"),
    ({"a": [float("-inf")]}, ValueError, r"a\[0\] is not a finite number"),
    ({"a": 2**64}, ValueError, "a is too large a number"),
    ({"a": {1: 2}}, TypeError, "a has a key of type int"),
    ({1: 2}, TypeError, "the body has a key of type int"),
    ({"a": "\ud83d"}, ValueError, "a holds half a surrogate pair"),
    (holds_itself, ValueError, "the body is nested too deeply, or holds itself"),
    ({"recording": RecordingOptions(type=ODD)}, TypeError, r"recording\.type is of type object"),
    (RecordingOptions(start_trigger=ODD), TypeError, "startTrigger is of type object"),
]


@pytest.mark.parametrize(("body", "error", "words"), REFUSED)
def test_what_cannot_be_sent_is_refused_with_its_path(body: object, error: type[Exception], words: str) -> None:
    """The error names the field on the wire, and says what to do."""
    with pytest.raises(error, match=f"^{words}"):
        encode(body)


def test_no_secret_of_a_body_shows_in_a_traceback() -> None:
    """A naive date beside an S3 secret: neither the error nor a traceback with our frames' locals shows the secret."""

    def call() -> None:
        destination = RecordingDestination(access_key_id="planted-secret")
        encode({"plain": {"accessKeySecret": "planted-secret"}, "s3": destination, "url": "planted-secret", "z": b""})

    with pytest.raises(TypeError) as caught:
        call()
    printed = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    frames = printed.split("File ")
    assert any("/models/encoding.py" in frame for frame in frames)
    assert not any("planted-secret" in frame for frame in frames if "/models/encoding.py" in frame)
    assert caught.value.__context__ is None


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_plain_json_survives_unchanged(value: object) -> None:
    assert sent(value) == value


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2025, 5, 12, 16, 42, 49, tzinfo=UTC), "2025-05-12T16:42:49.000Z"),
        (datetime(2025, 5, 12, 16, 42, 49, 1999, tzinfo=UTC), "2025-05-12T16:42:49.001Z"),
        (datetime(2025, 5, 7, 17, 42, 49, tzinfo=timezone(timedelta(hours=-5))), "2025-05-07T22:42:49.000Z"),
        (datetime(99, 1, 1, tzinfo=UTC), "0099-01-01T00:00:00.000Z"),
    ],
)
def test_aware_datetimes_become_utc_with_milliseconds(moment: datetime, text: str) -> None:
    assert rfc3339("end_date", moment) == text


@pytest.mark.parametrize(
    "text",
    [
        *("2025-05-12T16:42:49Z", "2025-05-12T16:42:49.1Z", "2025-05-12T16:42:49.123456789Z"),
        *("2025-05-12t16:42:49z", "2025-05-12 16:42:49+00:00", "2025-05-07T17:42:49-05:00"),
    ],
)
def test_text_with_an_offset_is_passed_on_as_it_is(text: str) -> None:
    assert rfc3339("end_date", text) is text


@pytest.mark.parametrize("naive", [NAIVE.replace(month=5, day=12), "2025-05-12T16:42:49", "2025-05-12 16:42:49.123"])
def test_naive_dates_are_refused(naive: datetime | str) -> None:
    """A date without a zone would be read as UTC by the server: it is refused, with the way out."""
    with pytest.raises(
        ValueError, match=r"^end_date is 2025-05-12.*names no time zone: start from datetime\.now\(UTC\)"
    ):
        rfc3339("end_date", naive)


@pytest.mark.parametrize(
    "text",
    [
        *("", "tomorrow", "2025-05-12", "1740819600000", "x" * 500),
        *("2025-13-12T16:42:49Z", "2025-05-32T16:42:49Z", "2025-05-12T25:42:49Z", "2025-05-12T16:42Z"),
        *("2025-05-12T16:42:49+0500", "2025-05-12T16:42:49Z ", "2025-05-12T16:42:49Z\n", "\u0662025-05-12T16:42:49Z"),
    ],
)
def test_text_that_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^created_from is .* not an RFC 3339 date") as caught:
        rfc3339("created_from", text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [date(2025, 5, 12), 1740819600, None, b"2025-05-12T16:42:49Z"])
def test_other_kinds_are_refused(value: Any) -> None:
    """A date has no hour, a number no unit."""
    with pytest.raises(TypeError, match=f"^end_date must be an aware datetime .* not {type(value).__name__}$"):
        rfc3339("end_date", value)


@given(
    st.datetimes(
        min_value=NAIVE.replace(year=1, day=2),
        max_value=NAIVE.replace(year=9999, month=12, day=30),
        timezones=st.timezones(),
    )
)
def test_no_instant_moves_by_a_millisecond(moment: datetime) -> None:
    assert timedelta(0) <= moment - datetime.fromisoformat(rfc3339("end_date", moment)) < timedelta(milliseconds=1)
