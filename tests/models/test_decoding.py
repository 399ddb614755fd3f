"""Decoders: what is truly wrong is told as `ResponseDecodeError`, and nothing else ever comes out."""

from __future__ import annotations

import json
import sys
import traceback
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from whereby_async.errors import ResponseDecodeError
from whereby_async.models import (
    AccessLink,
    Meeting,
    Page,
    ParticipantDetails,
    ParticipantInsights,
    RoomInsights,
    Summary,
    decoder,
    no_content,
)

if TYPE_CHECKING:
    from types import FrameType

ROOM_KEY = "eyJhbGciOiJIUzI1NiJ9.planted-room-key.signature"


def row_with(wire_id: str = "meetingId", **fields: object) -> bytes:
    """A page whose second row has these fields, and a link with a secret."""
    link = f"https://a.b/c?roomKey={ROOM_KEY}"
    return json.dumps({"results": [{wire_id: "1"}, {wire_id: "2", "hostRoomUrl": link, **fields}]}).encode()


IDS = {Meeting: "meetingId", ParticipantInsights: "participantId", RoomInsights: "roomName", Summary: "summaryId"}
WRONG: list[tuple[Any, str, object, str]] = [
    (Meeting, "meetingId", None, "expected `str`, got `null`"),
    (Meeting, "meetingId", True, "expected `str`, got `bool`"),
    (Meeting, "meetingId", {"id": 1}, "expected `str`, got `object`"),
    (ParticipantInsights, "participantId", [1], "expected `str`, got `array`"),
    (RoomInsights, "roomName", None, "expected `str`, got `null`"),
    (Summary, "summaryId", False, "expected `str`, got `bool`"),
]


@pytest.mark.parametrize(("kind", "path", "value", "what"), WRONG)
def test_what_is_truly_wrong_is_told_with_its_path(kind: Any, path: str, value: object, what: str) -> None:
    """The error says what was expected and found, and where, and keeps the body; but it shows no secret of the body.

    Neither its message nor a traceback with the locals of all its frames does.
    """
    body = row_with(IDS[kind], **{path: value})
    with pytest.raises(ResponseDecodeError) as caught:
        decoder(Page[kind])(body)
    del body
    error = caught.value
    assert error.path == f"$.results[1].{path}"
    assert what in str(error)
    assert str(error).startswith("the answer can not be read: ")
    assert error.body == row_with(IDS[kind], **{path: value})
    assert error.may_have_happened
    assert error.__cause__ is error.__context__ is None
    assert_silent(error)


@pytest.mark.parametrize("cut", [b"", b"}", b'"'])
def test_no_secret_of_a_broken_body_shows_in_a_traceback(cut: bytes) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        decoder(Page[Meeting])(row_with()[:-2] + cut)
    assert_silent(caught.value)


def assert_silent(error: ResponseDecodeError) -> None:
    printed = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "Page[" in printed
    assert "planted-room-key" not in printed + repr(error)


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
    with pytest.raises(ResponseDecodeError, match=what) as caught:
        decoder(Page[Meeting])(body)
    assert caught.value.path == "$"
    assert caught.value.body == body


@pytest.mark.parametrize("value", [None, 5, "text", True, 1.5])
@pytest.mark.parametrize("kind", [Meeting, Page[Meeting], list[ParticipantDetails], AccessLink])
def test_a_bare_value_is_no_result(kind: Any, value: object) -> None:
    with pytest.raises(ResponseDecodeError):
        decoder(kind)(json.dumps(value).encode())


def test_the_message_names_the_type() -> None:
    with pytest.raises(ResponseDecodeError, match=r"the answer can not be read: .* at \$"):
        decoder(AccessLink)(b"{}")
    assert repr(decoder(list[ParticipantDetails])) == "decoder(list[ParticipantDetails])"


@pytest.mark.parametrize("body", [b"", b"{}", b"anything \xff", b'{"error":"x"}'])
def test_no_content_takes_whatever_comes(body: bytes) -> None:
    no_content(body)


@pytest.mark.parametrize(
    ("body", "expected"), [(b'{"a": [1, null, "x"]}', {"a": [1, None, "x"]}), (b"", None), (b"  \n", None)]
)
def test_any_takes_every_json_and_an_empty_body(body: bytes, expected: object) -> None:
    """An endpoint that this version does not know is decoded to plain values; it may well answer 204."""
    assert decoder(Any)(body) == expected


class Tree(msgspec.Struct):
    """A Struct of a caller's own that holds its kind."""

    name: str
    weight: float | int = 0
    children: list[Tree] = []


def test_structs_of_the_callers_own_get_the_same_tolerance() -> None:
    """A type that holds its own kind is repaired all the way down."""
    tree = decoder(Tree)(b'{"name": 1, "children": [{"name": 2, "children": [{"name": "x"}]}]}')
    assert (tree.name, tree.children[0].name, tree.children[0].children[0].name) == ("1", "2", "x")
    assert decoder(dict[str, str])(b'{"a": 1, "b": null}') == {"a": "1"}
    with pytest.raises(ResponseDecodeError):
        decoder(dict[str, str])(b"[1]")


def test_decoders_are_built_on_the_first_call_and_kept() -> None:
    decode = decoder(Page[Meeting])
    assert decode.result_type == Page[Meeting]
    clean, unclean = b'{"results":[{"meetingId":"1"}],"cursor":null}', b'{"results":[{"meetingId":1}],"cursor":""}'
    assert decode(clean) == decode(unclean) == decode(clean) == decode(unclean)


def test_a_clean_page_is_read_by_the_strict_decoder_alone() -> None:
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
    assert ran == ["__call__", "_is_in_utc", "_name_rooms_of_results"]  # and nothing per row
