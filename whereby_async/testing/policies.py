"""The server's side of the budget: prices, how points are counted, and what headers say of them. Pure: `now` is given.

**Theory.** The API documents a limit of points per minute and four headers, not an algorithm. The names, the words
and the documented `msLeft` fit a fixed window that starts at the first call, whose counter is raised *before* it is
compared with the limit: a refused call burns what was left, and hammering on does not extend the window. That is
`FixedWindow`, the default. A client should hold against the other usual algorithms too, so they are here beside it:
windows on the clock's own minutes, a log of calls, a weighted counter of two windows, and a bucket that refills all
the time. Those last three do not charge a refused call.

The API documents `Retry-After` in seconds and `X-RateLimit-Reset` as a date, without a format. The engine that it
probably runs on wrote a fraction into the one and a JavaScript date string, cut to the second, into the other. Services
that follow a draft of the IETF (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/) send other
fields, in whole seconds from now on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Literal, Never, Self, TypeAlias

import msgspec

from ..redaction import plain
from .checks import meant, require_known
from .world import COSTS
from .world.state import iso_date

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Algorithm: TypeAlias = Literal["fixed", "aligned", "sliding_log", "sliding_counter", "token_bucket"]
"""How the fake server counts points."""

HeaderStyle: TypeAlias = Literal[
    "iso", "http_date", "epoch", "epoch_ms", "js", "draft_6", "draft_7", "draft_10", "none"
]
"""How the rate-limit headers are written.

The first five say how `X-RateLimit-Reset` is written. The three drafts send the IETF's fields in place of all
`X-RateLimit-*` fields: `draft_6` sends `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`; `draft_7` sends
`RateLimit: limit=1000, remaining=997, reset=41`; `draft_10` sends `RateLimit: "default";r=997;t=41`, as drafts 8 to 11
do. Each sends `RateLimit-Policy` too. `none` leaves out all rate-limit headers, `Retry-After` too.
"""

_TINY = 1e-9


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the budget says to one call.

    Attributes:
        allowed: The call goes through.
        limit: Points per period.
        remaining: Points left afterwards, never below 0.
        reset_in: Seconds until the window ends, or, without windows, until more points come.
        retry_in: Seconds until the same call would be allowed, 0 if it is; a lower bound, others may come first.
        charged: Points that this call took, also by being refused.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_in: float
    retry_in: float
    charged: int


class PointPolicy(ABC):
    """A way to count points: `limit` of them in `period` seconds."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period

    @abstractmethod
    def take(self, cost: int, now: float) -> Decision:
        """Charge a call of `cost` points at `now` (seconds on any clock that only goes forward), or refuse it."""

    def _decide(self, *, allowed: bool, left: float, reset_in: float, retry_in: float, charged: int) -> Decision:
        """The decision with `left` points left; `retry_in` is for a refused call."""
        return Decision(
            allowed=allowed,
            limit=self.limit,
            remaining=max(0, int(left + _TINY)),
            reset_in=reset_in,
            retry_in=0.0 if allowed else retry_in,
            charged=charged,
        )


class FixedWindow(PointPolicy):
    """A window that starts at the first call after the last one ended; a refused call burns what was left."""

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._used = 0
        self._ends_at = float("-inf")

    def take(self, cost: int, now: float) -> Decision:
        """Raise the counter, then compare it with the limit."""
        if now >= self._ends_at:
            self._ends_at = self._end_of_window(now)
            self._used = 0
        before = min(self._used, self.limit)
        self._used += cost
        left, ends_in = self.limit - self._used, self._ends_at - now
        charged = min(self._used, self.limit) - before
        return self._decide(allowed=left >= 0, left=left, reset_in=ends_in, retry_in=ends_in, charged=charged)

    def _end_of_window(self, now: float) -> float:
        return now + self.period


class AlignedWindow(FixedWindow):
    """A fixed window on the clock's own periods: it ends where `now + phase` is a multiple of the period."""

    def __init__(self, limit: int, period: float, *, phase: float = 0.0) -> None:
        super().__init__(limit, period)
        self._phase = phase % period

    def _end_of_window(self, now: float) -> float:
        end = ((now + self._phase) // self.period + 1) * self.period - self._phase
        return end if end > now else end + self.period


class SlidingLog(PointPolicy):
    """No interval of one period holds more than the limit; a refused call is not charged."""

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._log: deque[tuple[float, int]] = deque()
        self._used = 0

    def take(self, cost: int, now: float) -> Decision:
        """Forget what is a period old, then compare."""
        while self._log and self._log[0][0] <= now - self.period:
            self._used -= self._log.popleft()[1]
        allowed = self._used + cost <= self.limit
        retry_in = self._free_in(cost, now)
        charged = cost if allowed else 0
        if allowed:
            self._log.append((now, cost))
            self._used += cost
        reset_in = self._log[0][0] + self.period - now if self._log else 0.0
        left = self.limit - self._used
        return self._decide(allowed=allowed, left=left, reset_in=reset_in, retry_in=retry_in, charged=charged)

    def _free_in(self, cost: int, now: float) -> float:
        missing = self._used + cost - self.limit
        for at, points in self._log:
            missing -= points
            if missing <= 0:
                return at + self.period - now
        return self.period


class SlidingCounter(PointPolicy):
    """Two fixed windows; the older one counts by the share of it that still lies within a period."""

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._index = 0
        self._before = 0
        self._used = 0

    def take(self, cost: int, now: float) -> Decision:
        """Weigh the last window, add this one's points, compare; a refused call is not charged."""
        index = int(now // self.period)
        if index != self._index:
            self._before = self._used if index == self._index + 1 else 0
            self._used = 0
            self._index = index
        ends_in = max(0.0, (index + 1) * self.period - now)
        weighed = self._before * ends_in / self.period + self._used
        allowed = weighed + cost <= self.limit + _TINY
        retry_in = self._free_in(cost, ends_in)
        charged = cost if allowed else 0
        self._used += charged
        left = self.limit - weighed - charged
        return self._decide(allowed=allowed, left=left, reset_in=ends_in, retry_in=retry_in, charged=charged)

    def _free_in(self, cost: int, ends_in: float) -> float:
        available = self.limit - cost - self._used
        if self._before and available >= 0:
            return max(0.0, ends_in - available * self.period / self._before)
        available = max(0, self.limit - cost)
        return ends_in + (max(0.0, self.period - available * self.period / self._used) if self._used else 0.0)


class TokenBucket(PointPolicy):
    """A bucket of `limit` points that refills evenly, full at the start; a refused call is not charged."""

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._tokens = float(limit)
        self._at: float | None = None

    def take(self, cost: int, now: float) -> Decision:
        """Refill, then compare."""
        rate = self.limit / self.period
        since = 0.0 if self._at is None else now - self._at
        self._tokens = min(float(self.limit), self._tokens + since * rate)
        self._at = now
        allowed = cost <= self._tokens + _TINY
        retry_in = (cost - self._tokens) / rate
        charged = cost if allowed else 0
        self._tokens = max(0.0, self._tokens - charged)
        reset_in = (self.limit - self._tokens) / rate
        return self._decide(allowed=allowed, left=self._tokens, reset_in=reset_in, retry_in=retry_in, charged=charged)


_POLICIES: dict[str, Callable[[int, float], PointPolicy]] = {
    "fixed": FixedWindow,
    "sliding_log": SlidingLog,
    "sliding_counter": SlidingCounter,
    "token_bucket": TokenBucket,
}


def policy(algorithm: Algorithm, limit: int, period: float, *, phase: float = 0.0) -> PointPolicy:
    """The policy of that name, or a `ValueError`; `aligned` adds `phase` to `now` to get the wall clock's time."""
    if algorithm == "aligned":
        return AlignedWindow(limit, period, phase=phase)
    require_known("algorithm", algorithm, ("aligned", *_POLICIES))
    return _POLICIES[algorithm](limit, period)


class PriceList(dict[str, int]):
    """Prices in points by operation: the documented ones, with `over` over them. It has every operation, and no others.

    Raises:
        TypeError: A price that is no whole number, or one that is to be taken away.
        ValueError: An operation that there is not, or a price below 0.
    """

    def __init__(self, over: Mapping[str, int]) -> None:
        super().__init__(COSTS)
        self.update(over)

    def __setitem__(self, operation: str, price: int) -> None:
        if operation not in COSTS:
            raise ValueError(
                f"costs names operations that there are not: {operation!r}: {meant(str(operation), COSTS)}"
            )
        price = plain(price)
        if isinstance(price, bool) or not isinstance(price, int):
            raise TypeError(f"a price is a whole number of points: {price!r} for {operation}")
        if price < 0:
            raise ValueError(f"a price must not be below 0 points: {price} for {operation}")
        super().__setitem__(operation, price)

    def update(self, *others: Any, **named: int) -> None:
        """Change several."""
        for operation, price in dict(*others, **named).items():
            self[operation] = price

    def __ior__(self, others: Any) -> Self:  # type: ignore[override,misc]  # as strict as `update`
        self.update(others)
        return self

    def __delitem__(self, operation: str) -> None:
        self.clear()

    def pop(self, *_: object) -> Never:
        """Refused, as `clear` is."""
        self.clear()

    def popitem(self) -> Never:
        """Refused, as `clear` is."""
        self.clear()

    def clear(self) -> Never:
        """Refused: without a price an operation could not be served."""
        raise TypeError("every operation has a price: set it to 0 for one that is free")


def http_date(at: float) -> str:
    """A wall time as in a `Date` header, cut to the second."""
    return formatdate(math.floor(at), usegmt=True)


def _js_date(at: float) -> str:
    """A wall time as JavaScript's `String(date)` writes it, cut to the second."""
    moment = datetime.fromtimestamp(math.floor(at), UTC)
    return moment.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)")


_RESET: dict[str, Callable[[float], str]] = {
    "iso": iso_date,
    "http_date": http_date,
    "epoch": lambda at: str(math.ceil(at)),
    "epoch_ms": lambda at: str(math.ceil(at * 1000)),
    "js": _js_date,
}
_DRAFTS = {
    "draft_6": {
        "RateLimit-Limit": "{limit}",
        "RateLimit-Remaining": "{remaining}",
        "RateLimit-Reset": "{reset}",
        "RateLimit-Policy": "{limit};w={window}",
    },
    "draft_7": {
        "RateLimit": "limit={limit}, remaining={remaining}, reset={reset}",
        "RateLimit-Policy": "{limit};w={window}",
    },
    "draft_10": {
        "RateLimit": '"default";r={remaining};t={reset}',
        "RateLimit-Policy": '"default";q={limit};w={window}',
    },
}
HEADER_STYLES = (*_RESET, *_DRAFTS, "none")
"""The names of all styles."""


def milliseconds_left(decision: Decision) -> int:
    """A refusal's wait in whole milliseconds, never too few."""
    return math.ceil(round(decision.retry_in * 1000, 3))


def rate_limit_headers(style: HeaderStyle, decision: Decision, wall: float, period: float) -> dict[str, str]:
    """The headers of an answer: what the budget decided at a wall time, with windows of `period` seconds."""
    if style == "none":
        return {}
    if style in _RESET:
        headers = {
            "X-RateLimit-Limit": str(decision.limit),
            "X-RateLimit-Remaining": str(decision.remaining),
            "X-RateLimit-Reset": _RESET[style](wall + decision.reset_in),
        }
    else:
        reset, window = math.ceil(decision.reset_in), math.ceil(period)
        values = {"limit": decision.limit, "remaining": decision.remaining, "reset": reset, "window": window}
        headers = {name: text.format(**values) for name, text in _DRAFTS[style].items()}
    if not decision.allowed:
        headers["Retry-After"] = f"{milliseconds_left(decision) / 1000:.3f}".rstrip("0").rstrip(".")
    return headers
