"""When a failed attempt is made again: `RetryPolicy`, and the `RetryBudget` that all calls of a client share. Pure.

A 429 is not decided here: it was not acted on, so every call is sent again once the limiter gives it points, and it
does not count as an attempt. What is decided here:

- A connection that was never made did nothing, and a 421 or 425 says that nothing was done: every call may go again.
- Where a connection is refused for good, by a certificate or a proxy, none goes again; nor does one whose answer has a
  content encoding that can not be undone.
- After a dropped connection, a timeout, a 408 or a 5xx the server may have acted: only idempotent calls go again.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from .errors import APIConnectionError, APIStatusError, ConfigurationError, InternalServerError, WherebyError
from .redaction import plain

_TRANSIENT: Final = frozenset({408, 421, 425})
"""The statuses below 500 after which the same call may be answered."""
_LONGEST_PAUSE: Final = 60.0
"""Seconds. A longer `Retry-After` of an error other than 429 ends a call that may not wait so long for the service."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often, and how soon, a call is sent again after a connection error, a 5xx, or a 408, 421 or 425.

    The delay before retry *n* is drawn evenly from 0 to `min(cap, base * 2 ** (n - 1))` ("full jitter"), and is never
    shorter than a `Retry-After` that the server gave. Each attempt pays its points again.

    Reads, PUTs and deletes are retried. A `create` whose outcome is unknown is never sent twice: it raises with
    `may_have_happened=True`. After a 421 or 425, which did nothing, every call is retried. After a 429, which did
    nothing either, every call waits until the time that the server named, and goes again.

    Attributes:
        attempts: The most attempts of one call, the first included; a 429 does not count. `1` turns retries off.
        base: Seconds: the widest delay before the first retry.
        cap: Seconds: the widest delay before any retry.

    Raises:
        ConfigurationError: A value is out of range.
    """

    attempts: int = 4
    base: float = 0.25
    cap: float = 8.0

    def __post_init__(self) -> None:
        for name in ("attempts", "base", "cap"):
            msgspec.structs.force_setattr(self, name, plain(getattr(self, name)))
        if not isinstance(self.attempts, int) or self.attempts < 1:
            msg = f"RetryPolicy(attempts={self.attempts!r}): pass a whole number from 1 (1 = no retries)"
            raise ConfigurationError(msg)
        for name in ("base", "cap"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise ConfigurationError(f"RetryPolicy({name}={value!r}): pass seconds, 0 or more")

    def delay(
        self, failures: int, error: WherebyError, *, idempotent: bool, jitter: float, patience: float = 0.0
    ) -> float | None:
        """Seconds until the next attempt, or `None` if there is none.

        Args:
            failures: Attempts that failed so far, this one included; 429s left out.
            error: How this one failed.
            idempotent: The call may be acted on twice.
            jitter: A random number from 0 to 1.
            patience: Seconds that the call may wait for the service: a `Retry-After` that is longer, and longer than a
                minute, ends it.
        """
        if failures >= self.attempts or not _is_transient(error):
            return None
        if error.may_have_happened and not idempotent:
            return None
        delay = jitter * min(self.cap, self.base * 2.0 ** min(failures - 1, 60))
        if isinstance(error, APIStatusError) and error.rate_limit and error.rate_limit.retry_after is not None:
            delay = max(delay, error.rate_limit.retry_after)
        return delay if delay <= max(self.cap, _LONGEST_PAUSE, patience) else None


def _is_transient(error: WherebyError) -> bool:
    """Whether the same call may come through later."""
    if isinstance(error, APIConnectionError):
        return not error.permanent
    return isinstance(error, InternalServerError) or (isinstance(error, APIStatusError) and error.status in _TRANSIENT)


class RetryBudget:
    """Keeps a broken server from being hammered: retries of all calls of a client together are bounded.

    A retry takes one token, a success gives a tenth back; an empty budget means that calls fail at their first error
    until some succeed again. So an outage sees at most `capacity` requests more than there are calls, and a server that
    fails now and then about a tenth more. Threads may race for a token: the bound is then off by their number, which
    does no harm.
    """

    __slots__ = ("_capacity", "_tokens")

    def __init__(self, capacity: float = 100.0) -> None:
        self._capacity = capacity
        self._tokens = capacity

    def take(self) -> bool:
        """Whether there may be one more retry."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def give_back(self, tokens: float = 0.1) -> None:
        """A call succeeded; or a whole token comes back, since its retry never left."""
        if self._tokens < self._capacity:
            self._tokens = min(self._capacity, self._tokens + tokens)
