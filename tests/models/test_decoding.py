"""Decoders: what is truly wrong is told as `ResponseDecodeError`, and nothing else ever comes out."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import traceback
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
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
    no_content,
)

if TYPE_CHECKING:
    from types import FrameType

ROOM_KEY = "eyJhbGciOiJIUzI1NiJ9.planted-room-key.signature"


def row_with(**fields: object) -> bytes:
    """A page whose second meeting has these fields, and a link with a secret."""
    good = {"meetingId": "1"}
    return json.dumps(
        {"results": [good, {"meetingId": "2", "hostRoomUrl": f"https://a.b/c?roomKey={ROOM_KEY}", **fields}]}
    ).encode()


WRONG: list[tuple[dict[str, object], str, str]] = [
    ({"meetingId": None}, "$.results[1].meetingId", "expected `str`, got `null`"),
    ({"meetingId": True}, "$.results[1].meetingId", "expected `str`, got `bool`"),
    ({"endDate": "soon"}, "$.results[1].endDate", "invalid RFC3339"),
    ({"endDate": True}, "$.results[1].endDate", "got `bool`"),
    ({"endDate": 10**30}, "$.results[1].endDate", "got `int`"),
    ({"endDate": [1]}, "$.results[1].endDate", "got `array`"),
    ({"roomName": {"a": 1}}, "$.results[1].roomName", "got `object`"),
    ({"roomName": ["/a"]}, "$.results[1].roomName", "got `array`"),
    ({"roomPreferences": {"dialIn": "perhaps"}}, "$.results[1].roomPreferences.dialIn", "got `str`"),
    ({"dialIn": {"phoneNumbers": "1"}}, "$.results[1].dialIn.phoneNumbers", "expected `array | null`, got `str`"),
]


@pytest.mark.parametrize(("fields", "path", "what"), WRONG)
def test_what_is_truly_wrong_is_told_with_its_path(fields: dict[str, object], path: str, what: str) -> None:
    """The error says what was expected and found, and where, and keeps the body."""
    body = row_with(**fields)
    with pytest.raises(ResponseDecodeError) as caught:
        decoder(Page[Meeting])(body)
    error = caught.value
    assert error.path == path
    assert what in str(error)
    assert str(error).startswith("the answer is not a Page[Meeting]: ")
    assert error.body == body
    assert error.may_have_happened


@pytest.mark.parametrize(
    ("kind", "fields", "path"),
    [
        (Page[ParticipantInsights], {"participantId": "p", "tags": "audio"}, "$.results[0].tags"),
        (Page[ParticipantInsights], {"participantId": "p", "tags": {"a": 1}}, "$.results[0].tags"),
        (Page[ParticipantInsights], {"participantId": "p", "rating": "n/a"}, "$.results[0].rating"),
        (Page[ParticipantInsights], {"participantId": "p", "rating": True}, "$.results[0].rating"),
        (Page[ParticipantInsights], {"participantId": "p", "rating": 10**400}, "$.results[0].rating"),
        (Page[ParticipantInsights], {"participantId": "p", "rating": "1e999"}, "$.results[0].rating"),
        (Page[RoomInsights], {"roomName": "/a", "totalSessions": 1.5}, "$.results[0].totalSessions"),
        (Page[RoomInsights], {"roomName": "/a", "totalSessions": "many"}, "$.results[0].totalSessions"),
        (Page[RoomInsights], {"roomName": "/a", "totalSessions": True}, "$.results[0].totalSessions"),
        (Page[Summary], {"summaryId": "a", "summary": [1]}, "$.results[0].summary"),
    ],
)
def test_values_that_cannot_be_repaired_are_not_guessed(kind: Any, fields: dict[str, object], path: str) -> None:
    """Text for a list, words for a number, a fraction for a count: refused with their path."""
    with pytest.raises(ResponseDecodeError) as caught:
        decoder(kind)(json.dumps({"results": [fields]}).encode())
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "an empty body"),
        (b" \r\n", "an empty body"),
        (b"\xef\xbb\xbf", "an empty body"),
        (b"<!doctype html><title>502</title>", "HTML or XML"),
        (b'{"results": [', "malformed or cut-off JSON"),
        (b'{"results": NaN}', "malformed or cut-off JSON"),
        (b'{"cursor": 1e400, "results": 5}', "malformed or cut-off JSON"),
        (b"upstream connect error", "something else"),
        (b"NaN", "something else"),
        (b"9" * 5000, "something else"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"results":' + b"[" * 200_000, "nested too deeply"),
        (b'{"unknown":' + b"[" * 200_000, "nested too deeply"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_json_is_told_as_what_it_is(body: bytes, what: str) -> None:
    """Empty, HTML, cut off, nested too deeply: each is said in words."""
    with pytest.raises(ResponseDecodeError, match=what) as caught:
        decoder(Page[Meeting])(body)
    assert caught.value.path == "$"
    assert caught.value.body == body


@pytest.mark.parametrize("value", [None, 5, "text", True, 1.5])
@pytest.mark.parametrize("kind", [Meeting, Page[Meeting], list[ParticipantDetails], AccessLink])
def test_a_bare_value_is_no_result(kind: Any, value: object) -> None:
    """Null, a number or a text in place of an object is refused."""
    with pytest.raises(ResponseDecodeError):
        decoder(kind)(json.dumps(value).encode())


def test_the_message_names_the_type() -> None:
    """The reader learns what the answer should have been."""
    with pytest.raises(ResponseDecodeError, match=r"the answer is not an AccessLink: .* at \$"):
        decoder(AccessLink)(b"{}")
    assert repr(decoder(list[ParticipantDetails])) == "decoder(list[ParticipantDetails])"


@pytest.mark.parametrize("fields", [fields for fields, _, _ in WRONG])
def test_no_secret_of_the_body_shows_in_error_or_traceback(fields: dict[str, object]) -> None:
    """Neither the message nor a traceback with the locals of all its frames shows a roomKey that the body holds."""

    def call() -> None:
        decoder(Page[Meeting])(row_with(**fields))

    with pytest.raises(ResponseDecodeError) as caught:
        call()
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    printed = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "Page[Meeting]" in printed
    assert "planted-room-key" not in printed
    assert "planted-room-key" not in repr(error)


@pytest.mark.parametrize("cut", [b"", b"}", b'"'])
def test_no_secret_of_a_broken_body_shows_in_a_traceback(cut: bytes) -> None:
    """The same for a body that is not even JSON."""

    def call() -> None:
        decoder(Page[Meeting])(row_with()[:-2] + cut)

    with pytest.raises(ResponseDecodeError) as caught:
        call()
    printed = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "planted-room-key" not in printed


def test_decode_errors_pickle_and_copy() -> None:
    """An error that crosses a process keeps its path, its body and its words."""
    with pytest.raises(ResponseDecodeError) as caught:
        decoder(Meeting)(b'{"meetingId": []}')
    for other in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert (str(other), other.path, other.body) == (str(caught.value), "$.meetingId", b'{"meetingId": []}')


@pytest.mark.parametrize("body", [b"", b"{}", b"anything \xff", b'{"error":"x"}'])
def test_no_content_takes_whatever_comes(body: bytes) -> None:
    """A 204 has no body; should there be one, it is let go."""
    no_content(body)


def test_any_takes_every_json() -> None:
    """An endpoint that this version does not know is decoded to plain values."""
    decoded: object = decoder(Any)(b'{"a": [1, null, "x"]}')
    assert decoded == {"a": [1, None, "x"]}


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_any_takes_an_empty_body_for_none(body: bytes) -> None:
    """An unknown endpoint may well answer 204."""
    assert decoder(Any)(body) is None


class Tree(msgspec.Struct):
    """A Struct of a caller's own that holds its kind."""

    name: str
    weight: float | int = 0
    children: list[Tree] = []


def test_structs_of_the_callers_own_get_the_same_tolerance() -> None:
    """A type that holds its own kind is repaired all the way down."""
    tree = decoder(Tree)(b'{"name": 1, "children": [{"name": 2, "children": [{"name": "x"}]}]}')
    assert (tree.name, tree.children[0].name, tree.children[0].children[0].name) == ("1", "2", "x")


def test_decoders_are_built_on_the_first_call_and_kept() -> None:
    """One decoder serves many bodies, clean and unclean in any order."""
    decode = decoder(Page[Meeting])
    assert decode.result_type == Page[Meeting]
    clean, unclean = b'{"results":[{"meetingId":"1"}],"cursor":null}', b'{"results":[{"meetingId":1}],"cursor":""}'
    assert decode(clean) == decode(unclean) == decode(clean) == decode(unclean)


def test_a_clean_page_is_read_by_the_strict_decoder_alone() -> None:
    """Nothing of the tolerant decoder runs for an answer that needs no tolerance."""
    decode = decoder(Page[Meeting])
    row = b'{"meetingId":"1","endDate":"2025-01-01T00:00:00.000Z","roomName":"/a","roomUrl":"https://a.whereby.com/a"}'
    clean = b'{"results":[' + row + b"," + row + b'],"cursor":null}'
    decode(clean)
    ran: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "whereby_async" in frame.f_code.co_filename:
            ran.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        decode(clean)
    finally:
        sys.setprofile(None)
    assert ran == ["__call__", "_name_rooms_of_results"]  # and nothing per row


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


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), body=st.binary(max_size=64) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_decode_or_raise_response_decode_error(kind: Any, body: bytes) -> None:
    """No bytes and no JSON bring out another error."""
    assert_decodes_or_refuses(kind, body)


@settings(max_examples=400, deadline=None)
@given(case=nearly_right())
def test_any_json_of_about_the_right_shape_decodes_or_raises_response_decode_error(case: tuple[Any, Any]) -> None:
    """The right names with anything behind them bring out no other error."""
    kind, value = case
    assert_decodes_or_refuses(kind, json.dumps(value).encode())
