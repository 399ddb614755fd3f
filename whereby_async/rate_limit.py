"""`RateLimit`: what an answer's headers and body say about the budget. Pure, and it never raises.

The documentation promises `Retry-After` (seconds) and `X-RateLimit-Reset` (a date) and shows `msLeft` in a 429's body;
it does not say in which spelling. So every spelling that servers of this kind are known to use is read: ISO 8601, the
three HTTP dates, JavaScript's `String(Date)` with its offset, epoch seconds, epoch milliseconds, seconds from now, each
with or without a fraction. `whereby probe` has names for these spellings, in `cli/budget.py`.

Nothing is believed that cannot be true: a count that is negative, not a number, a list (`"1000, 1000"`) or beyond
`MOST_POINTS`; a time that is negative or absurd, a window's end more than an hour off. A wait that is merely long is
believed up to a day, and cut to a day beyond, since "too long" must not become "at once". Nobody's wall clock can be
trusted, so a date counts only by its distance from the answer's own `Date`, both by the server's clock. A date without
a `Date` beside it is no information.

An answer without any `X-RateLimit-*` field may have the fields of the IETF's drafts, which are then read instead:

- drafts 8 to 11: `RateLimit: "default";r=50;t=30` and `RateLimit-Policy: "default";q=100;w=60`;
- draft 7: `RateLimit: limit=100, remaining=50, reset=30` and `RateLimit-Policy: 100;w=60`;
- up to draft 6: `RateLimit-Limit: 100, 100;w=60`, `RateLimit-Remaining: 50` and `RateLimit-Reset: 30`.

All times in them are whole seconds, from now on. They are Structured Fields (RFC 9651): one syntax error voids the
field.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self, cast

import msgspec

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
_LONGEST_FIELD: Final = 1000
_IETF_FIELDS: Final = frozenset(
    ("ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
)
_UNITS_OTHER_THAN_POINTS: Final = frozenset(("content-bytes", "concurrent-requests"))
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
    # asctime and JavaScript: Tue Mar  5 10:00:00 2024 · Tue Mar 05 2024 10:00:00 GMT+0100 (Central European Time)
    re.compile(
        r"\s*[a-z]{3}\s+(?P<month>[a-z]{3})\s+(?P<day>\d{1,2})\s+(?:(?P<year>\d{4})\s+)?(?P<time>\d\d:\d\d:\d\d)"
        r"(?:\s+(?P<late_year>\d{4}))?(?:\s+(?:gmt|utc)?(?P<offset>[+-]\d\d:?\d\d)?(?:\s*\([^()]*\))?)?\s*",
        re.IGNORECASE | re.ASCII,
    ),
)

# A member of a Structured Field's list or dictionary (RFC 9651, sections 3.1 and 3.2), without inner lists.
_KEY = r"[a-z*][a-z0-9_.*-]*"
_VALUE = (
    r"""(?:"(?:[ !#-\[\]-~]|\\["\\])*"|[A-Za-z*][\w!#$%&'*+.^`|~:/-]*|-?\d{1,15}(?:\.\d{1,3})?"""
    r"|:[A-Za-z0-9+/=]*:|\?[01])"
)
_PARAMETER = re.compile(rf"; *({_KEY})(?:=({_VALUE}))?", re.ASCII)
_MEMBER = re.compile(rf"[ \t]*(?:({_KEY})=)?({_VALUE})((?:; *{_KEY}(?:={_VALUE})?)*)[ \t]*(,|\Z)", re.ASCII)


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


def read_date(text: str) -> datetime | None:
    """A date in any form that servers write, or seconds since 1970, in UTC; `None` if it is neither."""
    epoch = _moment(text)[1]
    if epoch is None:
        return None
    try:
        return datetime.fromtimestamp(epoch, UTC)
    except (ValueError, OverflowError, OSError):
        return None


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


def _cut(wait: float | None) -> float | None:
    """A wait, cut to a day if it is longer (to drop it would be to hammer the server); one beyond belief is dropped."""
    return None if wait is None or wait > _BEYOND_BELIEF else min(wait, LONGEST_WAIT)


def _milliseconds_left(body: bytes) -> float | None:
    """`data.msLeft` or `data.ms_left` of a 429's body, in seconds."""
    if not body or len(body) > _LONGEST_BODY:
        return None
    try:
        answer = msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    data: Any = cast("dict[str, Any]", answer).get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        return None
    fields = cast("dict[str, Any]", data)
    left = _milliseconds(fields.get("msLeft"))
    return left if left is not None else _milliseconds(fields.get("ms_left"))


def _milliseconds(left: Any) -> float | None:
    """A wait that a body states in milliseconds, in seconds."""
    if isinstance(left, str):
        left = float(left) if len(left) <= _LONGEST_TEXT and _NUMBER.fullmatch(left) else None
    if left is None or isinstance(left, bool) or not isinstance(left, int | float):
        return None
    # A comparison, not a division, decides first: an integer may be too large for a float.
    return _cut(left / 1000) if 0 <= left <= _ABSURD else None


class _Member(NamedTuple):
    """A member of a Structured Field. `key` is empty in a list; the value of a string has its quotes."""

    key: str
    value: str
    parameters: dict[str, str]


class _Policy(NamedTuple):
    """A policy of `RateLimit-Policy`. `period` is in seconds."""

    name: str
    quota: int
    period: float | None
    of_points: bool


def _members(text: str | None) -> list[_Member]:
    """The members of a Structured Field; none if there is a syntax error anywhere in it."""
    members: list[_Member] = []
    at, more = 0, ","
    if not text or len(text) > _LONGEST_FIELD:
        return members
    while more:
        found = _MEMBER.match(text, at)
        if not found:
            return []
        key, value, behind, more = found.groups("")
        members.append(_Member(key, value, dict(_PARAMETER.findall(behind))))
        at = found.end()
    # A list or a dictionary, but no mixture of the two.
    return members if len({not member.key for member in members}) == 1 else []


def _whole(text: str | None, most: float) -> int | None:
    """A whole number from 0 to `most`, or `None`."""
    if not text or not text.isdecimal() or not text.isascii() or len(text) > _LONGEST_TEXT:
        return None
    number = int(text)
    return number if number <= most else None


def _seconds(text: str | None, most: float) -> float | None:
    """A whole number of seconds from 0 to `most`, or `None`."""
    seconds = _whole(text, most)
    return None if seconds is None else float(seconds)


def _policies(members: Iterable[_Member]) -> list[_Policy]:
    """`"default";q=100;w=60`, or `100;w=60` as up to draft 7. Those without a quota are left out."""
    return [
        _Policy(
            member.value.strip('"'),
            quota,
            _seconds(member.parameters.get("w"), LONGEST_WAIT) or None,
            member.parameters.get("qu", "").strip('"') not in _UNITS_OTHER_THAN_POINTS,
        )
        for member in members
        if (quota := _whole(member.parameters.get("q", member.value), MOST_POINTS))
    ]


def _ietf_budget(headers: Mapping[str, str]) -> RateLimit:
    """What the IETF fields say: those of the newest draft that say anything of the present, else the policies."""
    texts: dict[str, str] = {}
    for name, value in headers.items():
        if (name := name.lower()) in _IETF_FIELDS:
            # A list may be spread over several lines.
            texts[name] = f"{texts[name]}, {value}" if name in texts else value
    policies = _policies(_members(texts.get("ratelimit-policy")))
    of_points = [policy for policy in policies if policy.of_points]
    now = _members(texts.get("ratelimit"))
    if not now or now[0].key:
        budget = _by_numbers({member.key: member.value for member in now}, of_points)
    else:
        budget = _by_items(now, policies)
    if budget is None:
        limits = _members(texts.get("ratelimit-limit"))
        numbers = {"limit": limits[0].value} if limits else {}
        for name in ("remaining", "reset"):
            if len(members := _members(texts.get(f"ratelimit-{name}"))) == 1:
                numbers[name] = members[0].value
        budget = _by_numbers(numbers, [*_policies(limits[1:]), *of_points])
    if budget is None:
        smallest = min(of_points, key=lambda policy: policy.quota, default=None)
        budget = RateLimit(limit=smallest.quota, period=smallest.period) if smallest else RateLimit()
    return budget


def _by_items(items: list[_Member], policies: list[_Policy]) -> RateLimit | None:
    """`"default";r=50;t=30`: the item with the least remaining and its policy; `None` if no item is valid."""
    by_name = {policy.name: policy for policy in reversed(policies)}
    least: RateLimit | None = None
    for item in items:
        policy = by_name.get(item.value.strip('"'))
        remaining = _whole(item.parameters.get("r"), MOST_POINTS)
        if remaining is None or (policy and not policy.of_points):
            continue
        reset_in = _seconds(item.parameters.get("t"), LONGEST_WINDOW)
        quota, period = (policy.quota, policy.period) if policy else (None, None)
        budget = RateLimit(limit=quota, remaining=remaining, reset_in=reset_in, period=period)
        if least is None or (remaining, -(reset_in or 0)) < (least.remaining or 0, -(least.reset_in or 0)):
            least = budget
    return least


def _by_numbers(numbers: Mapping[str, str], policies: list[_Policy]) -> RateLimit | None:
    """`limit`, `remaining` and `reset` of draft 7 and before, and their policy; `None` if all three are void."""
    limit = _whole(numbers.get("limit"), MOST_POINTS) or None
    remaining = _whole(numbers.get("remaining"), MOST_POINTS)
    reset_in = _seconds(numbers.get("reset"), LONGEST_WINDOW)
    if limit is remaining is reset_in is None:
        return None
    policy = next((policy for policy in policies if policy.quota == limit), None)
    if limit is None and len(policies) == 1:
        policy = policies[0]
    quota, period = (policy.quota, policy.period) if policy else (None, None)
    return RateLimit(limit=limit or quota, remaining=remaining, reset_in=reset_in, period=period)


def _retry_after(status: int, after: str | None, date: str | None, reset_in: float | None, body: bytes) -> float | None:
    """Seconds until the server takes calls again: of a 429 by its body, `Retry-After` or the window's end."""
    retry_after = _cut(_seconds_until(after, date))
    if status == THROTTLED:
        left = _milliseconds_left(body)
        retry_after = left if left is not None else retry_after if retry_after is not None else reset_in
    return retry_after


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one answer said about the budget.

    Documented at https://docs.whereby.com/reference/whereby-rest-api-reference ("Rate limiting").

    Where an answer has no `X-RateLimit-*` field at all, the fields of the IETF's drafts are read, whichever of drafts 6
    to 11 the server follows: `RateLimit` and `RateLimit-Policy`, or `RateLimit-Limit`, `-Remaining` and `-Reset`
    (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/). Of several items in `RateLimit` the one
    with the least remaining counts, of equal ones the one that ends last, together with the policy of the same name.
    Drafts up to 7 name no policy: there it is the one whose quota is the limit. Policies alone say the limit, by the
    smallest quota. Policies that count bytes or concurrent requests are not read.

    Attributes:
        limit: Points per period (`X-RateLimit-Limit`; in the drafts `q`, `limit` or `RateLimit-Limit`), or `None`.
        remaining: Points left in the window (`X-RateLimit-Remaining`; in the drafts `r`, `remaining` or
            `RateLimit-Remaining`), or `None`.
        reset_in: Seconds from the answer until the window ends: `X-RateLimit-Reset` less the answer's own `Date`, both
            by the server's clock; in the drafts `t`, `reset` or `RateLimit-Reset`; `None` if it said neither a date nor
            a distance.
        retry_after: Seconds until the server takes calls again; `None` if it did not say. Of a 429 the first of the
            body's `msLeft` or `ms_left`, `Retry-After` and `reset_in`; of any other answer `Retry-After` alone. At most
            a day: more is taken for a day.
        throttled: The answer was a 429.
        period: Seconds of a window, at most a day: the drafts' `w`; `None` if the answer did not say.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_in: float | None = None
    retry_after: float | None = None
    throttled: bool = False
    period: float | None = None

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
        if (limit is None and remaining is reset is None) or isinstance(headers, dict):
            # It may be a mapping that minds case, or have the IETF's fields.
            lowered = {name.lower(): value for name, value in headers.items()}
            get = lowered.get
            limit, remaining, reset = get("x-ratelimit-limit"), get("x-ratelimit-remaining"), get("x-ratelimit-reset")
            after = get("retry-after")
            if limit is None and remaining is reset is None and not lowered.keys().isdisjoint(_IETF_FIELDS):
                budget = _ietf_budget(headers)
                return cls(
                    limit=budget.limit,
                    remaining=budget.remaining,
                    reset_in=budget.reset_in,
                    retry_after=_retry_after(status, after, get("date"), budget.reset_in, body),
                    throttled=status == THROTTLED,
                    period=budget.period,
                )
        date = get("Date") or get("date") if reset or after else None
        reset_in = _window_left(reset, date) if reset else None
        points = (_count(limit) or None) if limit else None
        left = _points(remaining) if remaining else None
        if status != THROTTLED and not after:
            return cls(limit=points, remaining=left, reset_in=reset_in)
        return cls(
            limit=points,
            remaining=left,
            reset_in=reset_in,
            retry_after=_retry_after(status, after, date, reset_in, body),
            throttled=status == THROTTLED,
        )
