"""What the tolerant decoder does to loosely parsed JSON before it is converted to a type.

**Theory.** The API's answers differ from its reference in ways that are known and harmless: numbers where text is
promised, `12.0` for 12, milliseconds for a date, a bare list for a page. `repair_for` looks at a type once and gives a
function that walks a value beside it and turns what it recognises into what the type wants. What it does not recognise
it leaves as it is: the conversion afterwards says what is wrong with it, and where. Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final, TypeAlias, TypeGuard, get_origin

from msgspec import inspect

from .page import Page
from .summaries import SummaryJob
from .transcriptions import TranscriptionJob

Repair: TypeAlias = Callable[[object], object]

_INTEGER: Final = re.compile(r"\s*([+-]?[0-9]{1,19})(?:\.0*)?\s*")
_DECIMAL: Final = re.compile(r"\s*[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?\s*")
_WORDS: Final[Mapping[object, bool]] = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_MILLISECONDS: Final = 10**11
"""From here on a number is milliseconds: as such it is March 1973, as seconds it would be the year 5138."""


class NumberOutOfRange:
    """Stands in for a number that no float can hold; the conversion then names it in its refusal."""


def repair_for(type_: Any) -> Repair:
    """A function that turns what the API is known to send in a type's place into what the type wants."""
    return _plan(inspect.type_info(type_), {})


def _plan(info: inspect.Type, known: dict[object, Repair]) -> Repair:
    if isinstance(info, inspect.UnionType):
        wanted = [member for member in info.types if not isinstance(member, inspect.NoneType)]
        if {type(member) for member in wanted} == {inspect.IntType, inspect.FloatType}:
            return to_number
        return _plan(wanted[0], known) if len(wanted) == 1 else _unchanged
    if isinstance(info, inspect.StructType):
        return known.get(info.cls) or _StructRepair(info, known)
    if isinstance(info, inspect.ListType):
        return _ListRepair(info.item_type, known)
    return _plan_of_others(info, known)


def _plan_of_others(info: inspect.Type, known: dict[object, Repair]) -> Repair:
    if isinstance(info, inspect.DictType):
        return _DictRepair(info.value_type, known)
    if isinstance(info, inspect.StrType) and info.min_length:
        return lambda value: to_text(value) or None
    return _SCALARS.get(type(info), _unchanged)


def _unchanged(value: object) -> object:
    return value


class _StructRepair:
    __slots__ = ("_fields", "_reshape")

    def __init__(self, info: inspect.StructType, known: dict[object, Repair]) -> None:
        known[info.cls] = self  # first, so that a Struct may hold its own kind
        self._reshape = _SHAPES.get(get_origin(info.cls) or info.cls, _unchanged)
        self._fields = [(field.encode_name, _plan(field.type, known)) for field in info.fields]

    def __call__(self, value: object) -> object:
        value = self._reshape(value)
        if not _is_object(value):
            return value
        repaired = dict(value)
        for name, repair in self._fields:
            if name in repaired:
                repaired[name] = repair(repaired[name])
        return repaired


class _ListRepair:
    """Also takes a single object for a list of one, and a page for its results; leaves out rows that are null."""

    __slots__ = ("_keeps_null", "_names", "_repair", "_takes_one")

    def __init__(self, item: inspect.Type, known: dict[object, Repair]) -> None:
        self._repair = _plan(item, known)
        self._keeps_null = isinstance(item, inspect.AnyType | inspect.NoneType | inspect.UnionType)
        self._takes_one = isinstance(item, inspect.AnyType | inspect.StructType)
        # An object that shares no key with the Struct is not one of them, but something else, such as an error.
        self._names = {field.encode_name for field in item.fields} if isinstance(item, inspect.StructType) else None

    def __call__(self, value: object) -> object:
        if self._takes_one and _is_object(value) and (self._names is None or value.keys() & {*self._names, "results"}):
            value = _as_list(value)
        if not _is_array(value):
            return value
        return [self._repair(item) for item in value if item is not None or self._keeps_null]


class _DictRepair:
    """Leaves out keys whose value is null, as a partial map has them."""

    __slots__ = ("_keeps_null", "_repair")

    def __init__(self, item: inspect.Type, known: dict[object, Repair]) -> None:
        self._repair = _plan(item, known)
        self._keeps_null = isinstance(item, inspect.AnyType | inspect.NoneType | inspect.UnionType)

    def __call__(self, value: object) -> object:
        if not _is_object(value):
            return value
        return {key: self._repair(item) for key, item in value.items() if item is not None or self._keeps_null}


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _as_list(value: dict[str, object]) -> list[object]:
    results = value.get("results")
    return results if _is_array(results) else [value]


def _page(value: object) -> object:
    """A bare list is a page, and one without results is empty; but an object with neither key is not a page."""
    if _is_array(value):
        return {"results": value}
    if not _is_object(value) or (value and not value.keys() & {"results", "cursor"}):
        return value
    return {**value, "results": [] if value.get("results") is None else value["results"]}


def _bare_id(name: str) -> Repair:
    """Until February 2024 the answer was the id alone, as a JSON string."""
    return lambda value: {name: value} if isinstance(value, str | int) else value


def to_text(value: object) -> object:
    """A number as text, `12.0` as `12`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(to_int(value))


def to_int(value: object) -> object:
    """A whole float, or digits, as an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (match := _INTEGER.fullmatch(value)):
        return int(match[1])
    return value


def to_float(value: object) -> object:
    """A numeral, or an integer, as a float."""
    if isinstance(value, bool) or not (
        isinstance(value, int) or (isinstance(value, str) and _DECIMAL.fullmatch(value))
    ):
        return value
    try:
        number = float(value)
    except OverflowError:
        return NumberOutOfRange()
    return number if isfinite(number) else NumberOutOfRange()


def to_number(value: object) -> object:
    """A numeral as an integer where it is whole, else as a float."""
    whole = to_int(value)
    return to_float(value) if isinstance(whole, str) else whole


def to_bool(value: object) -> object:
    """`"true"`, `"false"`, 1 and 0 as a boolean."""
    return _WORDS.get(value, value) if isinstance(value, str | int | float) else value


def to_datetime(value: object) -> object:
    """Seconds or milliseconds since 1970, or ISO text, as an aware `datetime`; without an offset it is UTC."""
    if isinstance(value, str):
        if not value.strip():
            return None
        if _DECIMAL.fullmatch(value):
            return _instant(value, float(value))
        return _from_iso(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _instant(value, value)
    return value


def _instant(value: object, number: float) -> object:
    unit = timedelta(milliseconds=1) if abs(number) >= _LEAST_MILLISECONDS else timedelta(seconds=1)
    try:
        return _EPOCH + number * unit
    except (OverflowError, ValueError):
        return value


def _from_iso(text: str) -> object:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return text
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)


_SCALARS: Final[Mapping[type[inspect.Type], Repair]] = {
    inspect.StrType: to_text,
    inspect.IntType: to_int,
    inspect.FloatType: to_float,
    inspect.BoolType: to_bool,
    inspect.DateTimeType: to_datetime,
}

_SHAPES: Final[Mapping[object, Repair]] = {
    Page: _page,
    TranscriptionJob: _bare_id("transcriptionId"),
    SummaryJob: _bare_id("summaryId"),
}
