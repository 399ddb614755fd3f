"""The names of rooms of before 2024: their meetings came without, and get the path of their link for a name.

**Theory.** This is done once per answer and not as each `Meeting` is made: a hook on the Struct (`__post_init__`) is a
Python call per object, which took an eighth of the time that a page takes, for names that are almost always there. So
a decoder asks `naming_for` once what its type calls for. For almost all types that is nothing; for a page of meetings
a loop over its results; for a type of the caller's own that holds meetings somewhere, a walk through all of a result.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast, get_args, get_origin

from msgspec import Struct, inspect
from msgspec.structs import force_setattr

from .meetings import Meeting
from .page import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Naming: TypeAlias = Callable[[Any], None]

_PACKAGE: Final = __name__.partition(".")[0]


def naming_for(type_: Any) -> Naming | None:
    """What gives the meetings in a result of this type their rooms' names; `None` if it can not hold any."""
    if type_ is Meeting:
        return name_room
    if type_ == Page[Meeting]:
        return _name_rooms_of_results
    return _name_rooms_within if _holds_meetings(type_) else None


def name_room(meeting: Meeting) -> None:
    """Give a meeting that came without it its room's name."""
    if meeting.room_name is None and meeting.room_url is not None:
        force_setattr(meeting, "room_name", _name_in(meeting.room_url))


def _name_rooms_of_results(page: Page[Meeting]) -> None:
    for meeting in page.results:
        if meeting.room_name is None:
            name_room(meeting)


def _name_rooms_within(result: object) -> None:
    for part in _everything_in(result):
        if isinstance(part, Meeting):
            name_room(part)


def _name_in(room_url: str) -> str | None:
    place = room_url.partition("?")[0].partition("#")[0].partition("://")[2]
    name = place.partition("/")[2].rstrip("/")
    return f"/{name}" if name else None


def _holds_meetings(type_: Any) -> bool:
    kinds: list[Any] = [get_origin(type_) or type_, *get_args(type_)]
    if Meeting not in kinds and all(_is_ours(kind) for kind in kinds):
        return False  # no other Struct of this package holds one; to find that out for each takes a millisecond
    try:
        return _reaches_meetings(type_)
    except TypeError:  # it can not be hashed, so looked up: the walk will see
        return True


def _is_ours(kind: Any) -> bool:
    return kind is list or getattr(kind, "__module__", "").startswith(f"{_PACKAGE}.")


@lru_cache
def _reaches_meetings(type_: Any) -> bool:
    structs = (part.cls for part in _everything_in(inspect.type_info(type_)) if isinstance(part, inspect.StructType))
    return any(issubclass(get_origin(struct) or struct, Meeting) for struct in structs)


def _everything_in(value: object) -> Iterator[object]:
    """The value and all that it holds, at whatever depth; each once. But for sets: what is in one must keep its hash."""
    rest, seen = [value], set[int]()
    while rest:
        part = rest.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            rest.extend(_parts(part))


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[object, object]", value).values()
    if isinstance(value, list | tuple):
        return cast("Iterable[object]", value)
    return [getattr(value, name) for name in _fields(value)]


def _fields(value: object) -> Iterable[str]:
    if isinstance(value, Struct):
        return value.__struct_fields__
    kind = type(value)
    return getattr(kind, "__dataclass_fields__", ()) or [field.name for field in getattr(kind, "__attrs_attrs__", ())]
