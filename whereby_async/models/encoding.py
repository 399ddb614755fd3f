"""From the arguments of a call to the bytes of its body. Pure.

Errors name the field by its path on the wire (`recording.destination.url`) and never show a value. They are raised
after the frames that held the body have returned, so that a traceback with locals does not show it either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from math import isfinite
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from ..redaction import SilentBytes, plain, type_name
from .dates import rfc3339

_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**64 - 1

_Wire: TypeAlias = Callable[[Any, str], object]


class RefusedError(Exception):
    """Carries the error to raise out of the frames that hold a body or a secret."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def encode(body: object) -> SilentBytes:
    """The JSON of a request's body.

    Args:
        body: A dictionary in wire spelling, or any Struct. Values may be Structs, dictionaries, lists, aware
            `datetime`s (which become UTC with milliseconds and `Z`), text, numbers, booleans, enums, UUIDs and `None`,
            which is null. What is `UNSET` is left out.

    Returns:
        Bytes whose `repr` tells only how many they are.

    Raises:
        ValueError: A naive `datetime`, a number that is not finite or too large, text that is not Unicode, or a body
            that holds itself. The text opens with the field's path.
        TypeError: A value or a key that JSON has no form for. The text opens with the field's path.
    """
    try:
        return SilentBytes(msgspec.json.encode(_wire(body, "")))
    except RefusedError as refused:
        error = refused.error
    except RecursionError:
        error = ValueError("the body is nested too deeply, or holds itself")
    del body
    raise error


def _wire(value: object, path: str) -> object:
    if value is None:
        return None
    wire_plain = _PLAIN.get(type(value))
    if wire_plain is not None:
        return wire_plain(value, path)
    for kind, wire in _WIRES:
        if isinstance(value, kind):
            return wire(value, path)
    if (number := plain(value)) is not value:
        return _wire(number, path)
    raise RefusedError(TypeError(f"{_at(path)} is of type {type_name(value)}, which cannot be sent as JSON"))


def _at(path: str) -> str:
    return path or "the body"


def _from_datetime(value: datetime, path: str) -> str:
    try:
        return rfc3339(_at(path), value)
    except ValueError as error:
        raise RefusedError(error.with_traceback(None)) from None


def _from_float(value: float, path: str) -> float:
    if not isfinite(value):
        raise RefusedError(ValueError(f"{_at(path)} is not a finite number"))
    return float(value)


def _from_int(value: int, path: str) -> int:
    if not _SMALLEST <= value <= _LARGEST:
        raise RefusedError(ValueError(f"{_at(path)} is too large a number"))
    return int(value)


def _from_text(value: str, path: str) -> str:
    text = str.__str__(value)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise RefusedError(ValueError(f"{_at(path)} holds half a surrogate pair, which is not Unicode text"))
    return text


def _from_struct(value: msgspec.Struct, path: str) -> object:
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    return _from_mapping({key: getattr(value, name) for key, name in names}, path)


def _from_mapping(value: Mapping[Any, object], path: str) -> object:
    wire: dict[str, object] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            what = f"has a key of type {type(key).__name__}; keys must be text"
            raise RefusedError(TypeError(f"{_at(path)} {what}"))
        if item is not msgspec.UNSET:
            inner = f"{path}.{key}" if path else key
            wire[_from_text(key, inner)] = _wire(item, inner)
    return wire


def _from_items(value: Iterable[object], path: str) -> object:
    return [_wire(item, f"{path}[{index}]") for index, item in enumerate(value)]


_WIRES: Final[list[tuple[type[Any] | tuple[type[Any], ...], _Wire]]] = [
    (Enum, lambda value, path: _wire(value.value, path)),
    (str, _from_text),
    (bool, lambda value, _: value),
    (int, _from_int),
    (float, _from_float),
    (datetime, _from_datetime),
    (msgspec.Struct, _from_struct),
    (Mapping, _from_mapping),
    ((list, tuple, set, frozenset), _from_items),
    (UUID, lambda value, _: str(value)),
]

_PLAIN: Final[dict[type, _Wire]] = {
    kind: wire
    for kinds, wire in _WIRES
    for kind in (kinds if isinstance(kinds, tuple) else (kinds,))
    if kind not in {Enum, msgspec.Struct, Mapping}
} | {dict: _from_mapping}
"""The same for values that are of just that class, as nearly all are."""
