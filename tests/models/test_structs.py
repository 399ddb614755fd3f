"""The Structs themselves: they compare, pickle and copy, and never show a secret."""

from __future__ import annotations

import copy
import inspect
import pickle
import pprint
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import msgspec
import pytest
from rich.console import Console

from whereby_async import models
from whereby_async.models import (
    AccessLink,
    DialIn,
    DialInPhoneNumber,
    LiveTranscriptionDestination,
    LiveTranscriptionOptions,
    Meeting,
    Model,
    Page,
    RecordingDestination,
    RecordingOptions,
    RoomPreferences,
    StreamingDestination,
    StreamingOptions,
    Summary,
)

PLANTED = "planted-secret"
NO_STRUCT: Any = {"accessKeySecret": PLANTED}
NO_TEXT: Any = [f"?roomKey={PLANTED}"]

SECRETS: list[Model] = [
    Meeting(meeting_id="1", room_url=f"https://a.whereby.com/r?roomKey={PLANTED}"),
    Meeting(meeting_id="1", host_room_url=f"https://a.whereby.com/r?roomKey={PLANTED}&x=1"),
    Meeting(meeting_id="1", viewer_room_url=f"https://a.whereby.com/r?a=1&roomKey={PLANTED}#x"),
    Meeting(meeting_id="1", viewer_room_url=f"https://a.whereby.com/r#\n{PLANTED}"),
    Meeting(meeting_id="1", dial_in=DialIn(code=PLANTED)),
    AccessLink(access_link=f"https://files.example/{PLANTED}/1.mp4?Signature={PLANTED}"),
    RecordingDestination(access_key_id=PLANTED),
    RecordingOptions(destination=RecordingDestination(access_key_secret=PLANTED)),
    LiveTranscriptionOptions(destination=LiveTranscriptionDestination(access_key_id=PLANTED)),
    LiveTranscriptionOptions(destination=LiveTranscriptionDestination(access_key_secret=PLANTED)),
    StreamingOptions(destination=StreamingDestination(url=f"rtmp://live.example/{PLANTED}")),
    msgspec.convert({"meetingId": "1", "dialIn": {"code": PLANTED}}, Meeting),
    RecordingOptions(destination=NO_STRUCT),
    Meeting(meeting_id="1", host_room_url=NO_TEXT),
]


def in_rich(value: object) -> str:
    out = StringIO()
    Console(file=out, width=200).print(value)
    return out.getvalue()


@pytest.mark.parametrize("struct", SECRETS, ids=lambda struct: type(struct).__name__)
def test_secrets_do_not_show(struct: Model) -> None:
    page = Page(results=[struct], cursor="c")
    for value in (struct, page, [struct], {"a": (struct,)}, Page(results=[page])):
        for shown in (repr(value), str(value), f"{value}", f"{value!r}", pprint.pformat(value), in_rich(value)):
            assert PLANTED not in shown
            assert "***" in shown


def test_what_is_not_secret_shows() -> None:
    """A repr is still good to read: room, ids and dates are there, and so is the path of a link with a key."""
    meeting = Meeting(
        meeting_id="107585562",
        room_url="https://a.whereby.com/r",
        room_name="/r",
        host_room_url="https://a.whereby.com/r?roomKey=x",
        dial_in=DialIn(code="1", phone_numbers=[DialInPhoneNumber(country_code="NO")]),
    )
    assert repr(meeting) == (
        "Meeting(meeting_id='107585562', room_url='https://a.whereby.com/r', start_date=None, end_date=None, "
        "room_name='/r', host_room_url='https://a.whereby.com/r?***', viewer_room_url=None, "
        "dial_in=DialIn(code='***', phone_numbers=[DialInPhoneNumber(country_code='NO', phone_number=None)]), "
        "room_preferences=None)"
    )


def test_requests_show_only_what_is_set() -> None:
    options = RecordingOptions(type="cloud", destination=RecordingDestination(provider="s3", access_key_id="x"))
    assert repr(options) == (
        "RecordingOptions(type='cloud', destination=RecordingDestination(provider='s3', access_key_id='***'))"
    )
    assert repr(StreamingOptions(destination=None)) == "StreamingOptions(destination=None)"
    assert repr(RoomPreferences()) == "RoomPreferences()"
    assert repr(DialIn()) == "DialIn(code=None, phone_numbers=None)"  # no secret, no mask


def structs() -> list[type[Model]]:
    every = [getattr(models, name) for name in models.__all__]
    return [kind for kind in every if inspect.isclass(kind) and issubclass(kind, Model)]


@pytest.mark.parametrize("kind", structs())
def test_every_struct_is_frozen_keyword_only_and_camel_case(kind: Any) -> None:
    """No subclass forgot to repeat the options."""
    config = kind.__struct_config__
    assert config.frozen
    assert config.eq
    assert not config.forbid_unknown_fields
    with pytest.raises(TypeError):
        kind("positional")
    if kind is not Model:
        assert not any("_" in name for name in kind.__struct_encode_fields__)


@pytest.mark.parametrize("kind", structs())
def test_every_attribute_is_documented(kind: type[Model]) -> None:
    _, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("\nAttributes:\n")
    for name in kind.__struct_fields__:
        assert f"    {name}: " in attributes


@pytest.mark.parametrize("struct", [*SECRETS[:-2], Page(results=[SECRETS[0]], cursor="c")])
def test_structs_pickle_copy_and_compare(struct: Model) -> None:
    for other in (pickle.loads(pickle.dumps(struct)), copy.copy(struct), copy.deepcopy(struct)):
        assert other == struct
        assert msgspec.structs.asdict(other) == msgspec.structs.asdict(struct)


def test_structs_are_values() -> None:
    """Equality is by value, hashes go along, a result is what the server said, and attributes keep their secrets."""
    one, same, other = (Meeting(meeting_id=id_, host_room_url=PLANTED) for id_ in ("1", "1", "2"))
    assert one == same != other
    assert {one, same, other} == {one, other}
    with pytest.raises(AttributeError):
        one.meeting_id = "2"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert (one.host_room_url, type(one.host_room_url)) == (PLANTED, str)


def test_results_go_back_to_json_in_wire_spelling() -> None:
    link, end = "https://a.b/c?roomKey=d", datetime(2025, 1, 1, tzinfo=UTC)
    meeting = Meeting(meeting_id="1", end_date=end, host_room_url=link)
    wire = msgspec.json.encode(meeting)
    assert b'"meetingId":"1"' in wire
    assert b"roomKey=d" in wire
    assert models.decoder(Meeting)(wire) == meeting


@pytest.mark.parametrize(
    ("page", "length", "more", "truth"),
    [
        (Page(results=["a", "b"], cursor="c"), 2, True, True),
        (Page(results=["a"]), 1, False, True),
        (Page[str](results=[], cursor="c"), 0, True, True),
        (Page[str](results=[]), 0, False, False),
        (Page[str](results=[], cursor=""), 0, False, False),
    ],
)
def test_a_page_is_true_if_it_holds_something_or_more_follows(
    page: Page[str], length: int, more: bool, truth: bool
) -> None:
    """An empty page in the middle of a list does not end a `while page:`."""
    assert (len(page), page.has_more, bool(page)) == (length, more, truth)
    assert list(page) == page.results


def test_a_page_has_the_places_of_its_results() -> None:
    """One of them or a part of them, from both ends, as a list; what is not there is an error as in a list."""
    page = Page(results=["a", "b", "c"], cursor="c")
    assert (page[0], page[-1], page[:2], page[5:], page[::-1]) == ("a", "c", ["a", "b"], [], ["c", "b", "a"])
    assert (list(reversed(page)), "b" in page, "d" in page) == (["c", "b", "a"], True, False)
    with pytest.raises(IndexError):
        _ = page[3]


SOAP = {"subjective": "It hurts.", "objective": "It is swollen.", "plan": ["Rest.", "Ice."]}


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (None, ""),
        ("", ""),
        ({}, ""),
        ({"summary": ""}, ""),
        ({"summary": None}, ""),
        ("All in one.", "All in one."),
        ({"summary": "One.\nTwo."}, "One.\nTwo."),
        ({"SOAP": SOAP, "summary": "One."}, "One."),
        ({"summary": " ", "SOAP": SOAP}, "It hurts.\n\nIt is swollen.\n\nRest.\n\nIce."),
        ({"extended_SOAP": SOAP}, "It hurts.\n\nIt is swollen.\n\nRest.\n\nIce."),
        ({"summary": {"text": "One."}, "pages": 2, "sure": True}, "One."),
        ({"summary": ["One.", None, {"more": ["Two."]}]}, "One.\n\nTwo."),
        (["One.", "Two."], "One.\n\nTwo."),
        (5, ""),
    ],
)
def test_a_summary_has_its_words_as_one_text(summary: Any, text: str) -> None:
    """Whatever the template, and whatever shape a newer one has."""
    assert Summary(summary_id="1", summary=summary).text == text


def test_the_words_of_a_summary_may_be_deep_inside() -> None:
    deep: Any = "One."
    for _ in range(100_000):
        deep = [deep]
    assert Summary(summary_id="1", summary={"new": deep}).text == "One."
