"""From the bytes of an answer to what an operation returns. Pure.

**Two decoders.** A call first runs the strict decoder, which is msgspec's own and made on first use: a clean answer
pays for nothing else. Only when it refuses, the tolerant decoder reads the body once more as plain JSON, repairs what
is known to be off, and converts it. What then still does not fit is truly wrong and raises `ResponseDecodeError`, which
keeps the body and says where.

**Repairs.** The API's answers differ from its reference in ways that are known and harmless: numbers where text is
promised, `12.0` for 12, milliseconds for a date, a bare list for a page. `_repair_for` looks at a type once and gives a
function that walks a value beside it and turns what it recognises into what the type wants. It leaves everything else
as it is: the conversion afterwards says what is wrong with it, and where. No repair raises.

**Unreadable values.** If the conversion refuses, the repairs run once more and keep notes: a value that its field
cannot take becomes `None` where the field may be `None`, innermost field first. So one odd date costs neither its row
nor its page. Two things stay errors: what has to be there, such as an id, and the cursor of a page, since a page
without one would pass for the last.

**UTC.** msgspec keeps the offset that a date came with. Nearly every answer has dates in UTC only, and to look at each
of them would take a sixth of the time of a page. So of many rows only the first and the last are looked at, since a
server writes all its dates in one way, unless the body holds a plus sign. If another offset is found, the tolerant
decoder reads the body.

**Room names.** Meetings in rooms of before 2024 come without the room's name, and get the path of their link for it.
This is done once per answer and not as each `Meeting` is made: a hook on the Struct (`__post_init__`) is a Python call
per object, which took an eighth of the time of a page, for names that are almost always there. So a decoder asks
`naming_for` once what its type needs. For almost all types that is nothing; for a page of meetings a loop over its
results; for a type of the caller's own that holds meetings somewhere, a walk through the whole result.

**Secrets.** Bodies hold some (a `roomKey`, an access link). So the parsed values live only in frames that have returned
by the time of the raise, nothing is chained, and the body in the raising frame has a silent repr: a traceback that
prints locals shows none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeGuard, TypeVar, cast, get_args, get_origin, overload

import msgspec
from msgspec import inspect
from msgspec.structs import force_setattr

from ..errors import ResponseDecodeError
from ..redaction import Secret, SilentBytes, redact
from .meetings import Meeting
from .model import Model, Page, UnreadableValue
from .summaries import SummaryJob
from .transcriptions import TranscriptionJob

T = TypeVar("T")

_Repair: TypeAlias = Callable[[object], object]
_Naming: TypeAlias = Callable[[Any], None]

_PACKAGE: Final = __name__.partition(".")[0]
_BOM: Final = b"\xef\xbb\xbf"
_INTEGER: Final = re.compile(r"\s*([+-]?[0-9]{1,19})(?:\.0*)?\s*")
_DECIMAL: Final = re.compile(r"\s*[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?\s*")
_BOOLEANS: Final[Mapping[object, bool]] = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_SECONDS: Final = 10**8
"""A number below it is no date but 0, -1, a year or a day of the calendar: as seconds it would be before March 1973."""
_LEAST_MILLISECONDS: Final = 10**11
"""From here on a number is milliseconds: as such it is March 1973, as seconds it would be the year 5138."""
_FEW_ROWS: Final = 10
_BEYOND_THE_CLOCK: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d[Tt ])"
    r"(?:24:00(?::00(?:[.,]0+)?)?|(?P<hour>\d\d):(?P<minutes>\d\d):60)"
    r"(?P<rest>(?:[.,]\d+)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?)",
    re.ASCII,
)
_REFUSALS: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
_WHERE: Final = re.compile(r"(?P<what>.*) - at (?:`key` in )?`(?P<path>\$.*)`", re.DOTALL)

_SURROGATES: Final = re.compile(
    r"""\\\\                                                        # an escaped backslash, or
    | \\u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}   # a pair, both as they should be, or
    | (?P<half> \\u[dD][89a-fA-F][0-9a-fA-F]{2} )                   # half a pair
    """,
    re.VERBOSE,
)


class _Unread(NamedTuple):
    """A value that could not be read: the keys and indices that lead to it, and its text."""

    place: tuple[str | int, ...]
    text: str


class _Problem(NamedTuple):
    """Why a body could not be decoded, and where."""

    what: str
    path: str = "$"


class Decoder(Generic[T]):
    """Turns bodies into one type. Make one per operation and keep it: it builds its machinery on the first call.

    Attributes:
        result_type: What a call returns.
    """

    __slots__ = ("_dates", "_name_rooms", "_repair", "_strict", "_subject", "_takes_nothing", "result_type")

    result_type: type[T]

    def __init__(self, type_: type[T], subject: str = "the answer") -> None:
        self.result_type = type_
        self._subject = subject
        self._takes_nothing = cast("object", type_) is Any
        self._strict: Callable[[bytes], T] | None = None
        self._dates: tuple[str, ...] = ()
        self._name_rooms: _Naming | None = None
        self._repair: _Repair | None = None

    def __repr__(self) -> str:
        return f"decoder({_name(self.result_type)})"

    def __call__(self, body: bytes, unreadable: list[UnreadableValue] | None = None) -> T:
        """Decode a body.

        Missing, null and extra fields and unknown words never fail, nor do the known deviations of the API: numbers
        for text and text for numbers, seconds (from 10**8 on) or milliseconds since 1970 for dates, a bare list for a
        page, an object for a list of one, and a few more. Dates become UTC; without an offset they are. Rows that are
        null are left out. An optional field whose value cannot be read is `None`.

        Args:
            body: The answer's body, free of transfer and content encodings.
            unreadable: Takes the values that could not be read. Those of a page are in `Page.unreadable` as well.

        Raises:
            ResponseDecodeError: The body is not JSON, or not what the operation returns.
        """
        strict = self._strict or self._made()
        try:
            result = strict(body)
        except _REFUSALS:
            pass
        else:
            if not self._dates or _is_in_utc(result, self._dates, body):
                if self._name_rooms is not None:
                    self._name_rooms(result)
                return result
        outcome, found = self._tolerantly(body)
        if isinstance(outcome, _Problem):
            body = SilentBytes(body)
            message = f"{self._subject} can not be read: {outcome.what} at {outcome.path}"
            raise ResponseDecodeError(message, body=body, path=outcome.path)
        if unreadable is not None:
            unreadable += found
        return outcome

    def _made(self) -> Callable[[bytes], T]:
        strict = msgspec.json.Decoder(self.result_type).decode
        self._dates = _dates_of(self.result_type)
        self._name_rooms = naming_for(self.result_type)
        self._strict = strict  # last: another thread that finds it finds the rest
        return strict

    def _tolerantly(self, body: bytes) -> tuple[T | _Problem, Sequence[UnreadableValue]]:
        if self._repair is None:
            self._repair = _repair_for(inspect.type_info(self.result_type), {})
        try:
            value = _loosely(body)
        except RecursionError:
            return _Problem("it is nested too deeply"), ()
        except _REFUSALS:
            return cast("T", None) if self._takes_nothing and not body.strip() else _not_json(body), ()
        found: Sequence[UnreadableValue] = ()
        result: T
        try:
            result = msgspec.convert(self._repair(value), self.result_type)
        except _REFUSALS:
            notes: list[_Unread] = []
            try:
                repair = _repair_for(inspect.type_info(self.result_type), {}, notes)
                result = msgspec.convert(repair(value), self.result_type)
            except _REFUSALS as refusal:
                return _problem(refusal), ()
            is_page = (get_origin(self.result_type) or self.result_type) is Page
            found = tuple(_unreadable(note.place[1:] if is_page else note.place, note.text) for note in notes)
            if is_page:
                force_setattr(cast("Any", result), "unreadable", found)
        if self._name_rooms is not None:
            self._name_rooms(result)
        return result, found


def _unreadable(place: tuple[str | int, ...], text: str) -> UnreadableValue:
    row = place[0] if isinstance(place[0], int) else None
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place[row is not None :])
    return UnreadableValue(row=row, field=field.removeprefix("."), text=text)


def _dates_of(type_: Any) -> tuple[str, ...]:
    """The names of the dates in the rows of a result type of this package."""
    row = get_args(type_)[0] if get_origin(type_) in {Page, list} else type_
    if not (isinstance(row, type) and issubclass(row, Model)):
        return ()
    hints = [pair for kind in row.__mro__ for pair in getattr(kind, "__annotations__", {}).items()]
    return tuple(name for name, hint in hints if "Timestamp" in str(hint))


def _is_in_utc(result: Any, dates: tuple[str, ...], body: bytes) -> bool:
    """Whether all dates of a result are in UTC; first and last of many rows stand for all if there is no plus sign."""
    rows: Any = getattr(result, "results", result)
    if rows.__class__ is not list:
        rows = (rows,)
    elif len(rows) > _FEW_ROWS and b"+" not in body:
        rows = rows[0], rows[-1]
    for row in rows:
        for name in dates:
            moment = getattr(row, name)
            if moment is not None and moment.tzinfo is not UTC:
                return False
    return True


@overload
def decoder(type_: type[T]) -> Decoder[T]: ...


@overload
def decoder(type_: Any) -> Decoder[Any]: ...


def decoder(type_: Any) -> Decoder[Any]:
    """A callable that turns the body of an answer into `type_`; see `Decoder`.

    Args:
        type_: A result type such as `Meeting`, `Page[Meeting]` or `list[ParticipantDetails]`, or any other type that
            msgspec can decode. `Any` gives plain values, and `None` for an empty body.
    """
    return Decoder(type_)


def no_content(body: bytes) -> None:
    """The decoder of operations that return nothing (204): it ignores the body."""


def _loosely(body: bytes) -> object:
    """The body as plain JSON; a byte-order mark is dropped, bytes and escapes that are no Unicode become U+FFFD."""
    text = bytes(body).removeprefix(_BOM).decode("utf-8", "replace")
    repaired = _SURROGATES.sub(lambda match: r"\ufffd" if match["half"] else match[0], text)
    return cast("object", msgspec.json.decode(repaired))


def _not_json(body: bytes) -> _Problem:
    start = bytes(body[:64]).removeprefix(_BOM).lstrip()
    found = "something else"
    if not start:
        found = "an empty body"
    elif start.startswith(b"<"):
        found = "HTML or XML"
    elif start.startswith((b"{", b"[", b'"')):
        found = "malformed or cut-off JSON"
    return _Problem(f"expected JSON, found {found}")


def _problem(refusal: Exception) -> _Problem:
    text = redact(str(refusal))
    match = _WHERE.fullmatch(text)
    what, path = (match["what"], match["path"]) if match else (text, "$")
    return _Problem(what[:1].lower() + what[1:], path)


def _name(type_: Any) -> str:
    plain = isinstance(type_, type) and get_origin(type_) is None
    return type_.__name__ if plain else re.sub(r"\w+\.", "", str(type_))


class OutOfRange:
    """Stands in for a number or a date that Python cannot hold; the conversion then names it in its refusal."""


def _repair_for(info: inspect.Type, known: dict[object, _Repair], notes: list[_Unread] | None = None) -> _Repair:
    """A function that turns what the API is known to send in a type's place into what the type wants.

    With `notes`, it also turns unreadable values of optional fields into `None`, and notes them.
    """
    if isinstance(info, inspect.UnionType):
        wanted = [member for member in info.types if not isinstance(member, inspect.NoneType)]
        if {type(member) for member in wanted} == {inspect.IntType, inspect.FloatType}:
            return _to_number
        return _repair_for(wanted[0], known, notes) if len(wanted) == 1 else _unchanged
    if isinstance(info, inspect.StructType):
        return known.get(info.cls) or _struct_repair(info, known, notes)
    if isinstance(info, inspect.ListType):
        return _list_repair(info.item_type, known, notes)
    if isinstance(info, inspect.DictType):
        return _dict_repair(info.value_type, known, notes)
    # While freezegun has put its own class in the place of `datetime`, msgspec does not know the real one.
    is_date = isinstance(info, inspect.CustomType) and info.cls is type(_EPOCH)
    never_empty = isinstance(info, inspect.StrType) and info.min_length
    return (
        _to_text_or_none if never_empty else _SCALARS.get(inspect.DateTimeType if is_date else type(info), _unchanged)
    )


def _unchanged(value: object) -> object:
    return value


def _within(part: str | int, fix: _Repair, value: object, notes: list[_Unread] | None) -> object:
    """The repaired value; notes of what is inside of it begin with the key or index that leads to it."""
    if notes is None:
        return fix(value)
    before = len(notes)
    fixed = fix(value)
    notes[before:] = [_Unread((part, *note.place), note.text) for note in notes[before:]]
    return fixed


def _struct_repair(info: inspect.StructType, known: dict[object, _Repair], notes: list[_Unread] | None) -> _Repair:
    kind = get_origin(info.cls) or info.cls
    reshape = _SHAPES.get(kind, _unchanged)
    fields: list[tuple[str, _Repair]] = []

    def repair(value: object) -> object:
        value = reshape(value)
        if not _is_object(value):
            return value
        before = len(notes or ())
        fixed = {**value, **{name: _within(name, fix, value[name], notes) for name, fix in fields if name in value}}
        if notes is None or kind is Page:
            return fixed
        own = notes[before:]  # those of other rows may be many
        fixed = _without_unreadable(info, fixed, value, own)
        notes[before:] = own
        return fixed

    known[info.cls] = repair  # before its fields, so that a Struct may hold its own kind
    fields += [(field.encode_name, _repair_for(field.type, known, notes)) for field in info.fields]
    return repair


def _without_unreadable(
    info: inspect.StructType, fixed: dict[str, object], came: dict[str, object], notes: list[_Unread]
) -> dict[str, object]:
    """A Struct's repaired values; of those that came, what an optional field cannot take is noted and `None`."""
    if _fits(fixed, info.cls):
        return fixed
    optional = {
        field.encode_name: field.name
        for field in info.fields
        if not field.required and isinstance(field.type, inspect.UnionType) and field.type.includes_none
    }
    needed = {name: value for name, value in fixed.items() if name not in optional}
    secrets: set[str] = {*getattr(info.cls, "_secrets", ()), *getattr(info.cls, "_links", ())}
    for name in optional.keys() & fixed.keys():
        if not _fits({**needed, name: fixed[name]}, info.cls):
            fixed[name] = None
            notes[:] = [note for note in notes if note.place[:1] != (name,)]
            notes.append(_Unread((name,), _text_of(came[name], is_secret=optional[name] in secrets)))
    return fixed


def _text_of(value: object, *, is_secret: bool) -> str:
    """A value as text, which does not show if it holds a secret, or may hold one further inside."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return Secret(text) if is_secret or isinstance(value, dict | list) else text


def _fits(value: object, type_: Any) -> bool:
    try:
        msgspec.convert(value, type_)
    except _REFUSALS:
        return False
    return True


def _list_repair(item: inspect.Type, known: dict[object, _Repair], notes: list[_Unread] | None) -> _Repair:
    """Also takes a single object for a list of one, and a page for its results; leaves out rows that are null."""
    fix, keeps_null = _repair_for(item, known, notes), _keeps_null(item)
    takes_one = isinstance(item, inspect.AnyType | inspect.StructType)
    # An object that shares no key with the Struct is not one of them, but something else, such as an error.
    names = {field.encode_name for field in item.fields} if isinstance(item, inspect.StructType) else None

    def repair(value: object) -> object:
        if takes_one and _is_object(value) and (names is None or value.keys() & {*names, "results"}):
            results = value.get("results")
            value = results if _is_array(results) else [value]
        if not _is_array(value):
            return value
        rows = [each for each in value if each is not None or keeps_null]
        return [_within(index, fix, each, notes) for index, each in enumerate(rows)]

    return repair


def _dict_repair(item: inspect.Type, known: dict[object, _Repair], notes: list[_Unread] | None) -> _Repair:
    """Leaves out keys whose value is null, as a partial map has them."""
    fix, keeps_null = _repair_for(item, known, notes), _keeps_null(item)

    def repair(value: object) -> object:
        if not _is_object(value):
            return value
        kept = {key: each for key, each in value.items() if each is not None or keeps_null}
        return {key: _within(key, fix, each, notes) for key, each in kept.items()}

    return repair


def _keeps_null(item: inspect.Type) -> bool:
    return isinstance(item, inspect.AnyType | inspect.NoneType | inspect.UnionType)


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _to_page(value: object) -> object:
    """A bare list is a page, and one without results is empty; but an object with neither key is not a page."""
    if _is_array(value):
        return {"results": value}
    if not _is_object(value) or (value and not value.keys() & {"results", "cursor"}):
        return value
    return {**value, "results": [] if value.get("results") is None else value["results"], "unreadable": ()}


def _bare_id(name: str) -> _Repair:
    """Until February 2024 the answer was the id alone, as a JSON string."""
    return lambda value: {name: value} if isinstance(value, str | int) else value


def _to_text(value: object) -> object:
    """A number as text, `12.0` as `12`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(_to_int(value))


def _to_text_or_none(value: object) -> object:
    return _to_text(value) or None


def _to_int(value: object) -> object:
    """A whole float, or digits, as an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (match := _INTEGER.fullmatch(value)):
        return int(match[1])
    return value


def _to_float(value: object) -> object:
    """A numeral, or an integer, as a float."""
    if isinstance(value, bool) or not (
        isinstance(value, int) or (isinstance(value, str) and _DECIMAL.fullmatch(value))
    ):
        return value
    try:
        number = float(value)
    except OverflowError:
        return OutOfRange()
    return number if isfinite(number) else OutOfRange()


def _to_number(value: object) -> object:
    """A numeral as an integer where it is whole, else as a float."""
    whole = _to_int(value)
    return _to_float(value) if isinstance(whole, str) else whole


def _to_bool(value: object) -> object:
    """`"true"`, `"false"`, 1 and 0 as a boolean."""
    return _BOOLEANS.get(value, value) if isinstance(value, str | int | float) else value


def _to_datetime(value: object) -> object:
    """Seconds or milliseconds since 1970, or ISO text, as a `datetime` in UTC; without an offset it is UTC."""
    if isinstance(value, str):
        if not value.strip():
            return None
        if _DECIMAL.fullmatch(value) and abs(number := float(value)) >= _LEAST_SECONDS:
            return _instant(value, number)
        return _from_iso(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _instant(value, value)
    return value


def _instant(value: object, number: float) -> object:
    if abs(number) < _LEAST_SECONDS:
        return value
    unit = timedelta(milliseconds=1) if abs(number) >= _LEAST_MILLISECONDS else timedelta(seconds=1)
    try:
        return _EPOCH + number * unit
    except (OverflowError, ValueError):
        return value


def _from_iso(text: str) -> object:
    """A leap second (`:60`) is the second after `:59`, and `24:00` midnight of the next day."""
    plain, later = text.strip(), timedelta()
    if match := _BEYOND_THE_CLOCK.fullmatch(plain):
        last = f"{match['hour']}:{match['minutes']}:59" if match["hour"] else "23:59:59"
        plain, later = match["day"] + last + match["rest"], timedelta(seconds=1)
    try:
        moment = type(_EPOCH).fromisoformat(plain)  # the real class, also within freezegun
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC) + later
    except ValueError:
        return text
    except OverflowError:
        return OutOfRange()


_SCALARS: Final[Mapping[type[inspect.Type], _Repair]] = {
    inspect.StrType: _to_text,
    inspect.IntType: _to_int,
    inspect.FloatType: _to_float,
    inspect.BoolType: _to_bool,
    inspect.DateTimeType: _to_datetime,
}

_SHAPES: Final[Mapping[object, _Repair]] = {
    Page: _to_page,
    TranscriptionJob: _bare_id("transcriptionId"),
    SummaryJob: _bare_id("summaryId"),
}


def naming_for(type_: Any) -> _Naming | None:
    """A function that gives the meetings in a result of this type their rooms' names; `None` if it cannot hold any."""
    if type_ is Meeting:
        return name_room
    if type_ == Page[Meeting]:
        return _name_rooms_of_results
    return _name_rooms_within if _holds_meetings(type_) else None


def name_room(meeting: Meeting) -> None:
    """Give a meeting that came without its room's name the path of its link as one."""
    if meeting.room_name is None and meeting.room_url is not None:
        force_setattr(meeting, "room_name", path_of(meeting.room_url))


def path_of(link: str) -> str | None:
    """The path of a link without slashes at its end; `None` if nothing is left of it."""
    place = link.partition("?")[0].partition("#")[0].partition("://")[2]
    path = place.partition("/")[2].rstrip("/")
    return f"/{path}" if path else None


def _name_rooms_of_results(page: Page[Meeting]) -> None:
    for meeting in page.results:
        if meeting.room_name is None:
            name_room(meeting)


def _name_rooms_within(result: object) -> None:
    for part in _everything_in(result):
        if isinstance(part, Meeting):
            name_room(part)


def _holds_meetings(type_: Any) -> bool:
    kinds: list[Any] = [get_origin(type_) or type_, *get_args(type_)]
    ours = (kind is list or getattr(kind, "__module__", "").startswith(f"{_PACKAGE}.") for kind in kinds)
    if Meeting not in kinds and all(ours):
        return False  # no other Struct of this package holds one; to find that out for each takes a millisecond
    try:
        return _reaches_meetings(type_)
    except TypeError:  # a type that cannot be hashed is not looked up: the walk through each result decides
        return True


@lru_cache
def _reaches_meetings(type_: Any) -> bool:
    structs = (part.cls for part in _everything_in(inspect.type_info(type_)) if isinstance(part, inspect.StructType))
    return any(issubclass(get_origin(struct) or struct, Meeting) for struct in structs)


def _everything_in(value: object) -> Iterator[object]:
    """The value and all that it holds, each once. What is in a set is left out, since it must keep its hash."""
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
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    kind = type(value)
    names = getattr(kind, "__dataclass_fields__", ()) or [each.name for each in getattr(kind, "__attrs_attrs__", ())]
    return [getattr(value, name) for name in names]
