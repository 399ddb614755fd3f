"""Whatever bytes an answer holds, a decoder gives its type or raises `ResponseDecodeError`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings, strategies as st

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

KINDS: list[Any] = [
    Meeting,
    Page[Meeting],
    Recording,
    Page[Recording],
    Transcription,
    Page[Transcription],
    TranscriptionJob,
    Summary,
    Page[Summary],
    SummaryJob,
    AccessLink,
    Page[RoomInsights],
    Page[RoomSessionInsights],
    Page[ParticipantInsights],
    list[ParticipantDetails],
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["results", "cursor", "meetingId", "summary", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def fields_of(kind: Any) -> list[str]:
    """The wire names of the type that is asked for, or of its rows."""
    (inner,) = getattr(kind, "__args__", (kind,))
    return list(inner.__struct_encode_fields__)


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[Any, Any]:
    """A type, and JSON of its shape with anything in its fields."""
    kind = draw(st.sampled_from(KINDS))
    names = fields_of(kind)
    dates = st.sampled_from(["2025-01-01T00:00:00Z", "2025-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59"])
    fields = st.dictionaries(st.sampled_from(names), JSON | dates, max_size=len(names))
    one = draw(fields)
    return kind, draw(st.sampled_from([one, [one], {"results": [one, draw(fields)], "cursor": draw(JSON)}]))


def assert_decodes_or_refuses(kind: Any, body: bytes) -> None:
    """The body gives the type, or a `ResponseDecodeError` that keeps it; no other error."""
    result: Any = None
    refusal: ResponseDecodeError | None = None
    try:
        result = decoder(kind)(body)
    except ResponseDecodeError as error:
        refusal = error
    if refusal is None:
        repr(result)
        assert isinstance(result, getattr(kind, "__origin__", kind))
    else:
        assert refusal.body == body
        assert refusal.path.startswith("$")


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(KINDS), body=st.binary(max_size=64))
def test_any_bytes_decode_or_raise_response_decode_error(kind: Any, body: bytes) -> None:
    """No bytes bring out another error."""
    assert_decodes_or_refuses(kind, body)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(KINDS), value=JSON)
def test_any_json_decodes_or_raises_response_decode_error(kind: Any, value: object) -> None:
    """No JSON brings out another error."""
    assert_decodes_or_refuses(kind, json.dumps(value).encode())


@settings(max_examples=400, deadline=None)
@given(case=nearly_right())
def test_any_json_of_about_the_right_shape_decodes_or_raises_response_decode_error(case: tuple[Any, Any]) -> None:
    """The right names with anything behind them bring out no other error."""
    kind, value = case
    assert_decodes_or_refuses(kind, json.dumps(value).encode())
