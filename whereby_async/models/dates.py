"""The dates that we send: RFC 3339 with an offset, never a naive one.

The API reads a date without an offset as UTC, so that a naive local time would silently be hours off. It is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?P<offset>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_SHOWN_CHARACTERS: Final = 40


def rfc3339(name: str, value: datetime | str) -> str:
    """A date as the API takes it, in a query or in a body.

    Args:
        name: What the date is for, as the caller knows it; it opens the error's text.
        value: An aware `datetime`, or RFC 3339 text with an offset.

    Returns:
        A `datetime` becomes UTC with milliseconds and `Z`, such as `2025-05-12T16:42:49.000Z` (what is finer is cut
        off). Text is passed on as it is.

    Raises:
        ValueError: The date is naive, or the text is not RFC 3339.
        TypeError: It is something else, such as a `date`.
    """
    given: object = value  # not every caller runs a type checker
    if isinstance(given, datetime):
        return _from_datetime(name, given)
    if isinstance(given, str):
        return _checked(name, given)
    raise TypeError(f"{name} must be an aware datetime or RFC 3339 text with an offset, not {type(given).__name__}")


def _from_datetime(name: str, value: datetime) -> str:
    if value != value:  # noqa: PLR0124 - pandas' NaT, a `datetime` that has no offset to ask for
        raise ValueError(f"{name} is {value}, which is no date")
    if value.utcoffset() is None:
        raise ValueError(_naive(name, value.isoformat()))
    try:
        in_utc = value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name} is {value.isoformat()}, which no UTC date can say") from None
    return in_utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _checked(name: str, text: str) -> str:
    match = _RFC_3339.fullmatch(text)
    if match is not None:
        try:
            datetime.fromisoformat(text.upper())
        except ValueError:
            match = None
    if match is None:
        shown = text[:_SHOWN_CHARACTERS]
        raise ValueError(f"{name} is {shown!r}, which is not an RFC 3339 date such as '2025-05-12T16:42:49Z'")
    if match["offset"] is None:
        raise ValueError(_naive(name, text))
    return text


def _naive(name: str, shown: str) -> str:
    advice = "start from datetime.now(UTC), or attach a tzinfo (an offset, if it is text)"
    return f"{name} is {shown}, which names no time zone: {advice}"
