"""Meetings of rooms of before 2024 have a room name wherever a decoder meets them, and nobody else pays for that."""

from __future__ import annotations

import gc
import inspect as python_inspect
import json
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypedDict, TypeVar, cast

import msgspec
import pytest
from msgspec import inspect

from whereby_async import models
from whereby_async.models import Meeting, Model, Page, Recording, RoomInsights, decoder
from whereby_async.models.decoding import naming_for
from whereby_async.webhooks import events

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

OLD: dict[str, object] = {"meetingId": "52755922", "roomUrl": "https://sub.whereby.com/abc"}
NAMED: dict[str, object] = {**OLD, "roomName": "/def"}


class Booked(Meeting, frozen=True, kw_only=True, rename="camel"):
    guest: str | None = None


class Booking(msgspec.Struct):
    meeting: Meeting


class Other(msgspec.Struct, tag="other"):
    """One of two."""


class Held(msgspec.Struct, tag="held"):
    held: Meeting


class Box(msgspec.Struct, Generic[T]):
    """It holds one itself, whatever else it is for."""

    meeting: Meeting
    more: T | None = None


@dataclass(slots=True)
class Row:
    meeting: Meeting


class Pair(NamedTuple):
    name: str
    meeting: Meeting


class Keys(TypedDict):
    meeting: Meeting


class Nest(msgspec.Struct):
    meeting: Meeting
    inner: Nest | None = None


HOLDERS: list[tuple[Any, Any]] = [
    (Meeting, OLD),
    (Page[Meeting], {"results": [OLD]}),
    (Page[Booked], {"results": [OLD]}),
    (Booked, OLD),
    (list[Meeting], [OLD]),
    (tuple[Meeting, ...], [OLD]),
    (dict[str, Meeting], {"a": OLD}),
    (dict[str, list[Meeting | None]], {"a": [OLD]}),
    (Annotated[list[Meeting], ["cannot be hashed"]], [OLD]),
    (Booking, {"meeting": OLD}),
    (Page[Booking], {"results": [{"meeting": OLD}]}),
    (Box[int], {"meeting": OLD}),
    (Box[Recording] | None, {"meeting": OLD}),
    (Other | Held, {"type": "held", "held": OLD}),
    (Row, {"meeting": OLD}),
    (Pair, ["a", OLD]),
    (Keys, {"meeting": OLD}),
    (Nest, {"meeting": OLD, "inner": {"meeting": OLD}}),
]


def meetings_in(value: object) -> list[Meeting]:
    """All meetings in a result; of what holds none, its parts are looked at."""
    if isinstance(value, Meeting):
        return [value]
    names: Iterable[str] = getattr(value, "__struct_fields__", ()) or getattr(value, "__dataclass_fields__", ())
    parts: Iterable[object] = [getattr(value, name) for name in names]
    if isinstance(value, dict):
        parts = cast("dict[str, object]", value).values()
    elif isinstance(value, list | tuple):
        parts = cast("Iterable[object]", value)
    return [meeting for part in parts for meeting in meetings_in(part)]


@pytest.mark.parametrize(("kind", "sent"), HOLDERS, ids=lambda value: str(value)[:40])
def test_meetings_get_the_name_in_whatever_they_are_held(kind: Any, sent: object) -> None:
    """Alone, in a page, or deep in a type of the caller's own: as strictly decoded as tolerantly, and a name wins."""
    decode, body = decoder(kind), json.dumps(sent)
    old = decode(body.encode())
    assert {meeting.room_name for meeting in meetings_in(old)} == {"/abc"}
    assert decode(b"\xef\xbb\xbf" + body.encode()) == old  # a byte-order mark: the strict decoder refuses it
    named = decode(body.replace(json.dumps(OLD), json.dumps(NAMED)).encode())
    assert {meeting.room_name for meeting in meetings_in(named)} == {"/def"}


def test_a_name_that_is_null_is_one_that_is_not_there() -> None:
    """An old room among new ones gets its name, the others keep theirs."""
    rows = [NAMED, {**OLD, "roomName": None}, OLD, {**OLD, "roomName": ""}]
    page = decoder(Page[Meeting])(json.dumps({"results": rows}).encode())
    assert [meeting.room_name for meeting in page] == ["/def", "/abc", "/abc", ""]


def test_attrs_classes_get_it_too() -> None:
    attrs = pytest.importorskip("attrs")
    kind = attrs.make_class("Kind", {"meeting": attrs.field(type=Meeting)})
    assert decoder(kind)(json.dumps({"meeting": OLD}).encode()).meeting.room_name == "/abc"


def test_depth_is_no_matter() -> None:
    depth = 300
    body = ('{"meeting":' + json.dumps(OLD) + ',"inner":') * depth + "null" + "}" * depth
    nest: Nest | None = decoder(Nest)(body.encode())
    for _ in range(depth):
        assert nest
        assert nest.meeting.room_name == "/abc"
        nest = nest.inner
    assert nest is None


def test_meetings_in_a_set_are_still_found_in_it() -> None:
    """They stay as they came: a name would change the hash that the set has filed them under."""
    found = decoder(set[Meeting])(json.dumps([OLD]).encode())
    (meeting,) = found
    assert meeting in found
    assert meeting.room_name is None


def test_a_named_meeting_is_as_any_other() -> None:
    """It equals and hashes as one that came with the name, and its JSON holds the name."""
    old, new = (decoder(Meeting)(json.dumps(sent).encode()) for sent in (OLD, {**OLD, "roomName": "/abc"}))
    assert old == new
    assert hash(old) == hash(new)
    assert repr(old) == repr(new)
    assert msgspec.to_builtins(old)["roomName"] == "/abc"
    assert msgspec.json.encode(old) == msgspec.json.encode(new)
    assert msgspec.structs.replace(old, meeting_id="1").room_name == "/abc"


def structs() -> list[Any]:
    everything = [getattr(module, name) for module in (models, events) for name in dir(module)]
    return [kind for kind in everything if python_inspect.isclass(kind) and issubclass(kind, Model)]


def kinds_within(info: Any) -> list[Any]:
    """All kinds of values that a type is made of, as msgspec sees them."""
    inner = [field.type for field in getattr(info, "fields", ())] + [*getattr(info, "types", ())]
    inner += [info.item_type] if hasattr(info, "item_type") else []
    return [info, *(part for one in inner for part in kinds_within(one))]


@pytest.mark.parametrize("kind", structs())
def test_only_meetings_hold_meetings(kind: Any) -> None:
    """The short cut for the package's own types is right: looked at in full, none but `Meeting` holds one."""
    within = [part.cls for part in kinds_within(inspect.type_info(kind)) if isinstance(part, inspect.StructType)]
    assert (Meeting in within) is (kind is Meeting)
    assert (naming_for(kind) is not None) is (kind is Meeting)


@pytest.mark.parametrize("kind", [Any, Page[RoomInsights], list[Recording], dict[str, Any], str])
def test_types_without_meetings_pay_nothing(kind: Any) -> None:
    assert naming_for(kind) is None


def test_rows_have_no_header_of_the_collector_and_can_form_no_cycle() -> None:
    """What the garbage collector does not see is made of text, numbers, dates and what it does not see either."""
    unseen = [kind for kind in structs() if not kind.__struct_config__.gc]
    assert {Meeting, RoomInsights, Recording} <= set(unseen)
    flat = (inspect.StrType, inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.DateTimeType)
    for kind in unseen:
        for part in kinds_within(inspect.type_info(kind)):  # which would not end for a type that holds its own kind
            if isinstance(part, inspect.StructType):
                assert not part.cls.__struct_config__.gc
            else:
                assert isinstance(part, (*flat, inspect.NoneType, inspect.ListType, inspect.UnionType))


def test_a_subclass_can_have_the_collector_back() -> None:
    """Whose fields can lead back to itself says so."""

    class Chain(Meeting, frozen=True, kw_only=True, rename="camel", gc=True, weakref=True):
        links: list[object]

    chain = Chain(meeting_id="1", links=[])
    chain.links.append(chain)
    gone = weakref.ref(chain)
    del chain
    gc.collect()
    assert gone() is None
