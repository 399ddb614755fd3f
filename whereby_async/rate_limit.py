"""`RateLimit`: what an answer's headers and body say about the budget. Pure, and it never raises.

The documentation promises `Retry-After` (seconds) and `X-RateLimit-Reset` (a date) and shows `msLeft` in a 429's body; it
does not say in which spelling. So every spelling that servers of this kind are known to use is read: ISO 8601, the three
HTTP dates, JavaScript's `String(Date)` with its offset, epoch seconds, epoch milliseconds, seconds from now, each with or
without a fraction.

Nothing is believed that cannot be true: a count that is negative, not a number, a list (`"1000, 1000"`) or beyond
`MOST_POINTS`; a time that is negative or absurd, a window's end more than an hour off. A wait that is merely long is another
matter: it is believed up to a day, and cut to a day beyond, since "too long" must not become "at once". A date means nothing
by itself, since nobody's wall clock can be trusted: only the distance between the answer's own `Date` and its `X-RateLimit-Reset` counts, both by the server's
clock. A date without a `Date` beside it is no information.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

THROTTLED: Final = 429
MOST_POINTS: Final = 2_000_000_000
LONGEST_WAIT: Final = 86_400.0
"""Seconds; a server that tells us to wait longer is taken to mean this."""
_BEYOND_BELIEF: Final = 7 * 86_400.0
"""Seconds; a wait that is said to be longer is nonsense: obeyed, one garbled header would end a day's work."""
LONGEST_WINDOW: Final = 3600.0
"""Seconds; a window that is said to end later is nonsense."""

_EARLIEST_EPOCH: Final = 1e8
_EARLIEST_EPOCH_MS: Final = 1e11
_ABSURD: Final = 1e13
"""Milliseconds: three centuries."""
_LONGEST_TEXT: Final = 100
_MANY_DIGITS: Final = 10
"""With fewer, a number is surely no more than `MOST_POINTS`."""
_LONGEST_BODY: Final = 65_536
_TWO_DIGIT_PIVOT: Final = 70

_NUMBER = re.compile(r"\s*\d{1,16}(?:\.\d{0,16})?\s*", re.ASCII)
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES, 1)}
_DATES = (
    # IMF-fixdate and RFC 850: Tue, 05 Mar 2024 10:00:00 GMT · Tuesday, 05-Mar-24 10:00:00 GMT
    re.compile(
        r"\s*[a-z]{3,9},\s+(?P<day>\d{1,2})[ -](?P<month>[a-z]{3})[ -](?P<year>\d{4}|\d{2})\s+"
        r"(?P<time>\d\d:\d\d:\d\d)(?:\s+(?:(?:gmt|utc)?(?P<offset>[+-]\d\d:?\d\d)?|z))?\s*",
        re.IGNORECASE | re.ASCII,
    ),
    # asctime and JavaScript: Tue Mar  5 10:00:00 2024 · Tue Mar 05 2024 10:00:00 GMT+0100 (Central European Standard Time)
    re.compile(
        r"\s*[a-z]{3}\s+(?P<month>[a-z]{3})\s+(?P<day>\d{1,2})\s+(?:(?P<year>\d{4})\s+)?(?P<time>\d\d:\d\d:\d\d)"
        r"(?:\s+(?P<late_year>\d{4}))?(?:\s+(?:gmt|utc)?(?P<offset>[+-]\d\d:?\d\d)?(?:\s*\([^()]*\))?)?\s*",
        re.IGNORECASE | re.ASCII,
    ),
)


@lru_cache(maxsize=128)
def _count(text: str) -> int | None:
    """A number of points, or `None` if it is none."""
    if len(text) > _LONGEST_TEXT or not _NUMBER.fullmatch(text):
        return None
    points = int(float(text))
    return points if points <= MOST_POINTS else None


def _points(text: str) -> int | None:
    """The same, for a number that differs from answer to answer, so that no cache would hold it."""
    if len(text) < _MANY_DIGITS and text.isdecimal() and text.isascii():
        return int(text)
    return _count(text)


@lru_cache(maxsize=512)
def _moment(text: str) -> tuple[float | None, float | None]:
    """What a time says: seconds from now, or seconds since 1970; one of them is `None`, or both."""
    if len(text) > _LONGEST_TEXT:
        return None, None
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number < _EARLIEST_EPOCH:
            return number, None
        return None, number if number < _EARLIEST_EPOCH_MS else number / 1000
    try:
        return None, _date(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None, None


def _date(text: str) -> datetime:
    for pattern in _DATES:
        if found := pattern.fullmatch(text):
            return _assembled(found.groupdict())
    date = datetime.fromisoformat(text.strip())
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _assembled(parts: dict[str, str | None]) -> datetime:
    year = int(parts["year"] or parts.get("late_year") or "x")
    if year < 100:  # noqa: PLR2004 - RFC 850 has two digits
        year += 1900 if year >= _TWO_DIGIT_PIVOT else 2000
    hour, minute, second = map(int, (parts["time"] or "").split(":"))
    zone = UTC
    if offset := parts["offset"]:
        away = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
        zone = timezone(-away if offset[0] == "-" else away)
    month = _MONTHS.get((parts["month"] or "").lower(), 0)
    return datetime(year, month, int(parts["day"] or 0), hour, minute, min(second, 59), tzinfo=zone)


def _seconds_until(text: str | None, date: str | None) -> float | None:
    """Seconds from the answer on; one just below zero, which whole-second dates produce, is zero."""
    if not text:
        return None
    seconds, epoch = _moment(text)
    if epoch is not None:
        here = _moment(date)[1] if date else None
        seconds = None if here is None else epoch - here
    return max(0.0, seconds) if seconds is not None and seconds >= -1.0 else None


@lru_cache(maxsize=256)
def _window_left(text: str | None, date: str | None) -> float | None:
    """Seconds until a window ends, which can not be more than `LONGEST_WINDOW`."""
    left = _seconds_until(text, date)
    return left if left is not None and left <= LONGEST_WINDOW else None


def _wait(text: str | None, date: str | None) -> float | None:
    """Seconds to wait."""
    return _cut(_seconds_until(text, date))


def _cut(wait: float | None) -> float | None:
    """A wait that is very long is cut to a day, since to drop it would be to hammer; one beyond belief is dropped."""
    return None if wait is None or wait > _BEYOND_BELIEF else min(wait, LONGEST_WAIT)


def _milliseconds_left(body: bytes) -> float | None:
    """`data.msLeft` of a 429's body, in seconds."""
    if not body or len(body) > _LONGEST_BODY:
        return None
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    data: Any = cast("dict[str, Any]", answer).get("data") if isinstance(answer, dict) else None
    left: Any = cast("dict[str, Any]", data).get("msLeft") if isinstance(data, dict) else None
    if isinstance(left, str):
        left = float(left) if len(left) <= _LONGEST_TEXT and _NUMBER.fullmatch(left) else None
    if left is None or isinstance(left, bool) or not isinstance(left, int | float):
        return None
    # A comparison, not a division, decides first: an integer may be too large for a float.
    return _cut(left / 1000) if 0 <= left <= _ABSURD else None


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one answer said about the budget.

    Documented at https://docs.whereby.com/reference/whereby-rest-api-reference ("Rate limiting").

    Attributes:
        limit: Points per period (`X-RateLimit-Limit`), or `None`.
        remaining: Points left in the window (`X-RateLimit-Remaining`), or `None`.
        reset_in: Seconds from the answer until the window ends: `X-RateLimit-Reset` less the answer's own `Date`, both
            by the server's clock; `None` if it said neither that nor a distance.
        retry_after: Seconds until the server takes calls again; `None` if it did not say. Of a 429 the first of the
            body's `msLeft`, `Retry-After` and `reset_in`; of any other answer `Retry-After` alone. At most a day: more is
            taken for a day.
        throttled: The answer was a 429.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_in: float | None = None
    retry_after: float | None = None
    throttled: bool = False

    @classmethod
    def from_response(cls, status: int, headers: Mapping[str, str], body: bytes = b"") -> Self:
        """Read an answer's headers, and the body of a 429.

        Never raises and never believes nonsense: what cannot be true is `None`.

        Args:
            status: The HTTP status.
            headers: The answer's headers: a mapping that ignores case, or any other in whatever case.
            body: The answer's body; looked at only if the status is 429.
        """
        get = headers.get
        limit, remaining, reset = get("X-RateLimit-Limit"), get("X-RateLimit-Remaining"), get("X-RateLimit-Reset")
        after = get("Retry-After")
        if (limit is None and remaining is reset is after is None) or isinstance(headers, dict):
            # It may be a mapping that minds case.
            get = {name.lower(): value for name, value in headers.items()}.get
            limit, remaining, reset = get("x-ratelimit-limit"), get("x-ratelimit-remaining"), get("x-ratelimit-reset")
            after = get("retry-after")
        date = get("Date") or get("date") if reset or after else None
        if status != THROTTLED and not after:
            # The common case.
            return cls(
                limit=(_count(limit) or None) if limit else None,
                remaining=_points(remaining) if remaining else None,
                reset_in=_window_left(reset, date) if reset else None,
            )
        reset_in = _window_left(reset, date) if reset else None
        retry_after = _wait(after, date) if after else None
        if status == THROTTLED:
            left = _milliseconds_left(body)
            retry_after = left if left is not None else retry_after if retry_after is not None else reset_in
        return cls(
            limit=(_count(limit) or None) if limit else None,
            remaining=_points(remaining) if remaining else None,
            reset_in=reset_in,
            retry_after=retry_after,
            throttled=status == THROTTLED,
        )
