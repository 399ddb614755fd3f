"""Checks the arguments of calls and turns them into query pairs, bodies and pages, before anything is sent.

Each function here raises `TypeError` for a value of the wrong type and `ValueError` for one that no call could use;
both name the argument, show the value, and say what to pass instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import msgspec

from ..models.dates import rfc3339
from ..models.encoding import encode
from ..operation import unicode_text, with_slash
from ..pagination import MAX_PAGE_SIZE, Paginator
from ..redaction import plain, shown
from .files import is_field_name

if TYPE_CHECKING:
    from ..models import Page
    from ..operation import Operation, Sender
    from ..redaction import SilentBytes

T = TypeVar("T")

_KEYWORDS = {"limit": "page_size", "cursor": "cursor"}
_NO_ID = re.compile(r"""[\s\x00-\x1f\x7f/\\,;#"'{}\[\]]""")
"""What no id holds: it comes of a list, a comment or a line of JSON in the place of ids, or of a file in UTF-16."""
_SORT_BY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:(asc|desc)")


def query(extra: Mapping[str, Any] | None = None, /, **values: object) -> list[tuple[str, str]]:
    """Query pairs from keywords, which are wire names, and from `extra`, which wins over them.

    Values are strings, numbers, booleans, datetimes, or iterables of strings (sent as one comma list). `None` is left
    out, and so is an empty list.
    """
    if extra:
        values |= dict(extra)
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        text = None if value is None else _query_text(name, value)
        if text is not None:
            pairs.append((unicode_text("a query's name", name), unicode_text(name, text)))
    return pairs


def _query_text(name: str, value: object) -> str | None:
    value = plain(value.value if isinstance(value, Enum) else value)
    if value is None or value is msgspec.UNSET:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, datetime):
        return rfc3339(name, value)
    if _is_a_list(value):
        return comma_list(name, value)
    allowed = "a string, a number, a boolean, a datetime or a list of strings"
    raise TypeError(f"{name}={shown(value)} can not be a query value: pass {allowed}")


def _is_a_list(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, Iterable) and not isinstance(value, bytes | Mapping)


def form(extra: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Form fields beside a file, their values as in a query."""
    pairs = query(extra)
    for name, _ in pairs:
        if not is_field_name(name):
            raise ValueError(f"extra holds {name!r}, which no form field can be named: pass a plain name")
    return pairs


def body(extra: Mapping[str, Any] | None = None, /, **values: object) -> SilentBytes:
    """A JSON body from keywords, which are wire names and left out if `None`, and from `extra`.

    What `extra` holds wins over the keywords, and its `None` is sent as null.
    """
    merged = {name: value for name, value in values.items() if value is not None}
    return encode(merged | dict(extra or {}))


def comma_list(name: str, values: Iterable[object] | None) -> str | None:
    """Names as one comma list, as the API reads `fields`; `None` if there are none."""
    if values is None or values == ():
        return None
    return ",".join(strings(name, values, separator=",")) or None


def strings(name: str, values: Iterable[object], *, separator: str = "") -> list[str]:
    """A list of strings, none of them empty or with the separator in it."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        hint = f": pass [{shown(values)}]" if isinstance(values, str) else ""
        raise TypeError(f"{name}={shown(values)} must be a list of strings{hint}")
    listed: list[str] = []
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{name} must hold strings, not {type(value).__name__}: {shown(value)}")
        if not value.strip() or (separator and separator in value):
            raise ValueError(f"{name} holds {shown(value)}: pass one name or id in each string")
        listed.append(str.__str__(value))  # the `str()` of an enum may be its name
    return listed


def ids(values: Iterable[str]) -> list[str]:
    """The `ids` of a bulk call, without repeats, in order.

    What can not be an id is refused, since the server pays no heed to unknown ids and the call would be a success.
    """
    listed = list(dict.fromkeys(strings("ids", values)))
    if wrong := next(filter(_NO_ID.search, listed), None):
        raise ValueError(
            f"ids holds {shown(wrong)}, which is no id: pass bare ids, each by itself, as the API gave them"
        )
    if not listed:
        raise ValueError("ids is empty: pass at least one id (a call without any would cost points for nothing)")
    return listed


def text(name: str, value: str) -> str:
    """A string that a request can carry."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}: {shown(value)}")
    return unicode_text(name, value)


def required(name: str, value: str) -> str:
    """A string that is not empty."""
    if not text(name, value).strip():
        raise ValueError(f"{name}={shown(value)} is empty: pass a name or an id, as the API gave it")
    return value


def optional(name: str, value: str | None) -> str | None:
    """`None`, or a string that is not empty."""
    return None if value is None else required(name, value)


def room_name(name: str, value: str | None) -> str | None:
    """`None`, or a room's name or its beginning, not empty, with the slash that the API's filters need."""
    return None if value is None else with_slash(name, required(name, value))


def whole(name: str, value: int, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    value = plain(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name}={shown(value)}: pass a whole number from {least} to {most}")
    return value


def link_life(valid_for: int) -> int:
    """Seconds that an access link works."""
    return whole("valid_for", valid_for, 1, 43_200)


def sort_by(value: str | None) -> str | None:
    """`None`, or a sort order, `field:asc` or `field:desc`."""
    if value is not None and not (isinstance(value, str) and _SORT_BY.fullmatch(value)):
        msg = f"sort_by={shown(value)}: pass the field's wire name and the direction, such as 'startDate:desc'"
        raise ValueError(msg)
    return value


def date(name: str, value: datetime | str | None) -> str | None:
    """`None`, or the RFC 3339 text of an aware datetime or of a string with an offset."""
    return None if value is None else rfc3339(name, value)


def paginator(  # noqa: PLR0913, PLR0917 - what every list takes
    sender: Sender,
    operation: Operation[Page[T]],
    pairs: list[tuple[str, str]],
    size: int,
    cursor: str | None,
    prefetch: int,
) -> Paginator[T]:
    """The paginator of a list, its priority fixed as it is now."""
    for name, _ in pairs:
        if name in _KEYWORDS:
            raise ValueError(f"extra holds {name!r}: pass {_KEYWORDS[name]}= instead, which the paging goes by")
    rows = whole("page_size", size, 1, MAX_PAGE_SIZE)
    ahead = whole("prefetch", prefetch, 0, MAX_PAGE_SIZE)
    if cursor is not None:
        pairs.append(("cursor", unicode_text("cursor", required("cursor", cursor))))
    pairs.append(("limit", str(rows)))
    return Paginator(sender.pinned(), operation.bind(query=pairs), page_size=rows, prefetch=ahead)
