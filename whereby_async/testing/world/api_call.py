"""One call as the operations see it, what they answer, and how they read a query or a body. Pure."""

from __future__ import annotations

import base64
import binascii
import operator
from typing import TYPE_CHECKING, Any

import msgspec

from .state import read_date

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from ..requests import UploadedFile
    from .state import Wire

_LARGEST_PAGE = 100
_DEFAULT_LINK, _LONGEST_LINK = 3600, 43_200
_NAME_FILTERS: dict[str, Callable[[str, str], bool]] = {
    "roomName": str.__eq__,
    "roomName[exact]": str.__eq__,
    "roomName[startsWith]": str.startswith,
    "roomName[contains]": str.__contains__,
}


class RefusalError(Exception):
    """The API says no: becomes an answer with that status and `{"error": message}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ApiAnswer(msgspec.Struct, frozen=True):
    """A status and what goes into the body as JSON; `None` is no body."""

    status: int
    content: Any = None


DONE = ApiAnswer(204)
"""The answer that has no body."""


class ApiCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call. What is wrong with it becomes a `RefusalError` with status 400 where it is read.

    Attributes:
        path: The values of the path's parameters, decoded.
        query: The query's values by name, decoded; those of a name that is repeated, with commas between them.
        content_type: The body's media type, lower case, without parameters.
        json: The decoded JSON body; `None` without one.
        files: The parts of a multipart body that are files.
        origin: Scheme, host and port by which the server was reached.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    content_type: str
    json: Any
    files: tuple[UploadedFile, ...]
    origin: str

    def body(self) -> Wire:
        """The JSON object in the body."""
        if not isinstance(self.json, dict):
            raise RefusalError(400, "The body must be a JSON object")
        return self.json  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType] - JSON keys are strings

    def ids(self, name: str) -> list[str]:
        """The list of ids in a field of the body."""
        try:
            return msgspec.convert(self.body().get(name), list[str])
        except msgspec.ValidationError:
            raise RefusalError(400, f"{name} must be a list of strings") from None

    def required(self, name: str) -> str:
        """A query parameter that must be there."""
        value = self.query.get(name)
        if not value:
            raise RefusalError(400, f"Query parameter {name} is required")
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """A query parameter that is a whole number from 1 to `most`."""
        text = self.query.get(name)
        if text is None:
            return default
        is_short = len(text) <= len(str(most))  # int raises for thousands of digits
        if not (is_short and text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise RefusalError(400, f"{name} must be a whole number from 1 to {most}")
        return int(text)

    def date(self, name: str) -> float | None:
        """A query parameter that is a date, as seconds since 1970."""
        text = self.query.get(name)
        if text is None:
            return None
        at = read_date(text)
        if at is None:
            raise RefusalError(400, f"{name} must be a date such as 2025-01-01T00:00:00.000Z")
        return at

    def valid_for(self) -> int:
        """Seconds for which an access link is to be valid."""
        return self.number("validForSeconds", _DEFAULT_LINK, _LONGEST_LINK)

    def wants(self, room_name: str) -> bool:
        """Whether a room's name fits the `roomName` filters."""
        return all(fits(room_name, self.query[name]) for name, fits in _NAME_FILTERS.items() if name in self.query)


def known(things: Mapping[str, Wire], key: str, noun: str) -> Wire:
    """The object of that id, or a 404."""
    thing = things.get(key)
    if thing is None:
        raise RefusalError(404, f"Could not find {noun}")
    return thing


def remove(ids: Iterable[str], *kinds: dict[str, Any]) -> ApiAnswer:
    """Delete the objects of these ids, as far as there are any, of each kind: objects and their files."""
    for each in kinds:
        for key in ids:
            each.pop(key, None)
    return DONE


def page(call: ApiCall, items: Iterable[Wire], *, default: int = 50) -> ApiAnswer:
    """The page of `items` that the call's `cursor` and `limit` ask for."""
    size = call.number("limit", default, _LARGEST_PAGE)
    text = call.query.get("cursor")
    start = _read_cursor(text) if text else 0
    rows = list(items)
    end = start + size
    return ApiAnswer(200, {"results": rows[start:end], "cursor": _cursor(end) if end < len(rows) else None})


def sort(call: ApiCall, items: Iterable[Wire], keys: Mapping[str, Callable[[Wire], Any]]) -> list[Wire]:
    """`items` in the order of the call's `sortBy=field:asc|desc`, those without a value first."""
    rows = list(items)
    text = call.query.get("sortBy")
    if text is None:
        return rows
    field, _, direction = text.partition(":")
    key = keys.get(field)
    if not keys:
        raise RefusalError(400, "sortBy is not allowed here")
    if key is None:
        raise RefusalError(400, f"sortBy must be one of {', '.join(keys)}, with :asc or :desc")
    if direction not in {"asc", "desc"}:
        raise RefusalError(400, "sortBy takes :asc or :desc")
    # Tests put values of any type into fields: each type is sorted by itself.
    rows.sort(
        key=lambda row: ((value := key(row)) is not None, isinstance(value, str), value), reverse=direction == "desc"
    )
    return rows


def fields(*names: str) -> dict[str, Callable[[Wire], Any]]:
    """Sort keys that read the field of the same name."""
    return {name: operator.methodcaller("get", name) for name in names}


def one_of(body: Wire, name: str, allowed: Collection[str]) -> str | None:
    """A body's field that takes certain words; `None` if it is not there."""
    value = body.get(name)
    if value is not None and value not in allowed:
        raise RefusalError(400, f"{name} must be one of {', '.join(sorted(allowed))}")
    return value


class _Cursor(msgspec.Struct):
    type: str
    value: str


def _cursor(offset: int) -> str:
    return base64.b64encode(msgspec.json.encode(_Cursor("offset", str(offset)))).decode()


def _read_cursor(text: str) -> int:
    try:
        cursor = msgspec.json.decode(base64.b64decode(text, validate=True), type=_Cursor)
        if cursor.type == "offset" and cursor.value.isascii() and cursor.value.isdigit():
            return int(cursor.value)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        pass
    raise RefusalError(400, "Invalid cursor")
