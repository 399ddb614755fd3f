"""One call as the routes see it, what they answer, and how they read a query. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .wire import Wire, read_cursor, read_date, write_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from .requests import UploadedFile

MAX_PAGE = 100
"""The most results that one page holds, whatever is asked for."""


class RefusalError(Exception):
    """The API says no: becomes an answer with that status and `{"error": message}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Answer(msgspec.Struct, frozen=True):
    """A status and what goes into the body as JSON; `None` is no body."""

    status: int
    content: Any = None


NOTHING = Answer(204)
"""Done, and nothing to say."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        path: The values of the path's parameters, decoded.
        query: The query's first value by name, decoded.
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
        """The JSON object in the body.

        Raises:
            RefusalError: 400: there is none.
        """
        if not isinstance(self.json, dict):
            raise RefusalError(400, "The body must be a JSON object")
        return self.json  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType] - JSON keys are strings

    def required(self, name: str) -> str:
        """A query parameter that must be there.

        Raises:
            RefusalError: 400: it is missing or empty.
        """
        value = self.query.get(name)
        if not value:
            raise RefusalError(400, f"Query parameter {name} is required")
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """A query parameter from 1 to `most`.

        Raises:
            RefusalError: 400: it is no whole number, or out of range.
        """
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise RefusalError(400, f"{name} must be a whole number from 1 to {most}")
        return int(text)

    def date(self, name: str) -> float | None:
        """A query parameter that is a date, as seconds since 1970.

        Raises:
            RefusalError: 400: it is no date.
        """
        text = self.query.get(name)
        if text is None:
            return None
        at = read_date(text)
        if at is None:
            raise RefusalError(400, f"{name} must be a date such as 2025-01-01T00:00:00.000Z")
        return at


def page(call: Call, items: Iterable[Wire], *, default: int = 50) -> Answer:
    """The page of `items` that the call's `cursor` and `limit` ask for.

    Raises:
        RefusalError: 400: a cursor or a limit that is none.
    """
    size = call.number("limit", default, MAX_PAGE)
    text = call.query.get("cursor")
    offset = read_cursor(text) if text else 0
    if offset is None:
        raise RefusalError(400, "Invalid cursor")
    rows = list(items)
    end = offset + size
    return Answer(200, {"results": rows[offset:end], "cursor": write_cursor(end) if end < len(rows) else None})


def sort(call: Call, items: Iterable[Wire], keys: Mapping[str, Callable[[Wire], Any]]) -> list[Wire]:
    """`items` in the order of the call's `sortBy=field:asc|desc`, those without a value first.

    Raises:
        RefusalError: 400: an unknown field or direction.
    """
    rows = list(items)
    text = call.query.get("sortBy")
    if not text:
        return rows
    field, _, direction = text.partition(":")
    key = keys.get(field)
    if key is None:
        raise RefusalError(400, f"sortBy must be one of {', '.join(keys)}, with :asc or :desc")
    if direction not in {"asc", "desc"}:
        raise RefusalError(400, "sortBy takes :asc or :desc")
    rows.sort(key=lambda row: ((value := key(row)) is not None, value), reverse=direction == "desc")
    return rows


def fields(names: Iterable[str]) -> dict[str, Callable[[Wire], Any]]:
    """Sort keys that read the field of the same name."""

    def read(name: str) -> Callable[[Wire], Any]:
        return lambda row: row.get(name)

    return {name: read(name) for name in names}


def one_of(body: Wire, name: str, allowed: Collection[str]) -> str | None:
    """A body's field that takes certain words; `None` if it is not there.

    Raises:
        RefusalError: 400: another word.
    """
    value = body.get(name)
    if value is not None and value not in allowed:
        raise RefusalError(400, f"{name} must be one of {', '.join(sorted(allowed))}")
    return value


def ids_of(call: Call, name: str) -> list[str]:
    """A body's list of ids.

    Raises:
        RefusalError: 400: it is missing or not a list of strings.
    """
    ids = call.body().get(name)
    try:
        return msgspec.convert(ids, list[str])
    except msgspec.ValidationError:
        raise RefusalError(400, f"{name} must be a list of strings") from None
