"""What hooks are told, and what a hook is: any object with some of these sync methods.

The client calls hooks when a call begins, for each attempt, answer and retry, and when the call has ended; the limiter
calls them for waits, throttling and prices. Each method gets one frozen details object, which never holds a key, a URL
with one, a header or a body. Only details that some hook has a method for are made.

The client calls hooks in the task of the call, so that contextvars are the caller's. The call waits for the hook: what
takes time belongs elsewhere. All details of one call have its number, `call`. Their order is `on_call`; for each
attempt `on_attempt`, `on_response` if an answer came, and `on_retry` if another attempt follows; and last `on_end`,
exactly once, however the call ends: by a result, an error, a cancel, or a coroutine that is dropped. The limiter, which
serves several clients, calls hooks in any task or thread, and so is `on_unavailable` called, which is told of the whole
process's view of a service.

A hook that raises never breaks a call: its error is logged once per class and method on the logger `whereby_async`.
This holds for `CancelledError` too, which a plain method can only have made itself. `KeyboardInterrupt`, `SystemExit`
and the like are meant for the program: they are raised, and the call ends by them without losing a point.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from .limiter.protocol import Limiter
from .notify import (
    CostChangeDetails,
    LimiterHook,
    OnCostChange,
    OnOutage,
    OnThrottle,
    OnWait,
    OutageDetails,
    ThrottleDetails,
    WaitDetails,
)
from .rate_limit import RateLimit

__all__ = [
    "AttemptDetails",
    "CallDetails",
    "ClientHook",
    "CostChangeDetails",
    "DeprecatedDetails",
    "EndDetails",
    "Hook",
    "LimiterDetails",
    "LimiterHook",
    "OnAttempt",
    "OnCall",
    "OnCostChange",
    "OnDeprecated",
    "OnEnd",
    "OnLimiter",
    "OnOutage",
    "OnResponse",
    "OnRetry",
    "OnThrottle",
    "OnUnavailable",
    "OnWait",
    "OutageDetails",
    "ResponseDetails",
    "RetryDetails",
    "ThrottleDetails",
    "UnavailableDetails",
    "WaitDetails",
]

CALL_METHODS: Final = ("on_call", "on_attempt", "on_retry", "on_response", "on_end")
"""The methods of hooks that the client calls for each call."""
LIMITER_METHODS: Final = ("on_wait", "on_throttle", "on_cost_change", "on_outage")
"""The methods of hooks that limiters call."""


class CallDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A call begins: one operation, however many attempts it takes; each page of a list is a call.

    Attributes:
        call: Its number, unique in this process.
        operation: The operation's name, such as `meetings.create`.
        method: The HTTP method.
        path: The template of its path below `base_url`, such as `/meetings/{meeting_id}`, without the id itself.
            `{path}` for `client.request`.
        named: The name is the operation's own. `False` for `client.request` without `operation=`, whose name is made of
            method and path and may hold an id.
        base_url: The API's root.
        priority: The priority's name: `INTERACTIVE`, `NORMAL` or `BATCH`.
    """

    call: int
    operation: str
    method: str
    path: str
    named: bool
    base_url: str
    priority: str


class EndDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A call has ended.

    Attributes:
        call: Its number.
        operation: The operation's name.
        error: The class of the error that it ended with, such as `NotFoundError`; `None` if it has a result.
        cancelled: It was given up from outside: cancelled (an expired `asyncio.timeout` does that too), dropped, or the
            program is being stopped.
        status: The HTTP status of its last attempt, if one came.
        attempts: Attempts that had their points.
        points: Points that it spent: the price of each attempt that may have reached the server.
        waited: Seconds that it waited for points, all attempts together, also in vain.
        elapsed: Seconds from its beginning.
        away: Seconds that it waited for a service that could not be reached; not part of `waited`.
    """

    call: int
    operation: str
    error: str | None
    cancelled: bool
    status: int | None
    attempts: int
    points: int
    waited: float
    elapsed: float
    away: float = 0.0


class AttemptDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt has its points and is about to be sent.

    Attributes:
        operation: The operation's name, such as `meetings.create`.
        method: The HTTP method.
        attempt: 1 for the first; attempts that ended in a 429 are counted too.
        cost: Points charged for this attempt.
        priority: The priority's name: `INTERACTIVE`, `NORMAL` or `BATCH`.
        waited: Seconds that this attempt waited for its points.
        call: The call's number.
    """

    operation: str
    method: str
    attempt: int
    cost: int
    priority: str
    waited: float
    call: int = 0


class RetryDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt failed and the call will be sent again.

    Attributes:
        operation: The operation's name.
        attempt: The attempt that failed, from 1.
        delay: Seconds until the next attempt asks for points; 0 after a 429, whose wait is the limiter's, and while the
            service can not be reached, whose return nobody knows.
        reason: Why: `connection`, `timeout`, `status 503`, `throttled`, …
        error: The error's class, such as `APITimeoutError`.
        call: The call's number.
    """

    operation: str
    attempt: int
    delay: float
    reason: str
    error: str = ""
    call: int = 0


class ResponseDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An answer came, of whatever status.

    Attributes:
        operation: The operation's name.
        attempt: The attempt that it answers, from 1.
        status: The HTTP status.
        elapsed: Seconds from asking for a connection slot to the last byte.
        size: Bytes of the decoded body.
        rate_limit: What it said about the budget.
        call: The call's number.
    """

    operation: str
    attempt: int
    status: int
    elapsed: float
    size: int
    rate_limit: RateLimit
    call: int = 0


class LimiterDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A client, or a view of one, was made that spends from this limiter; told once for each client and limiter.

    Attributes:
        limiter: The limiter: its `snapshot()` tells what is left, and who waits. Refer to it weakly, so that it goes
            when nobody uses it any more.
        base_url: The API's root.
    """

    limiter: Limiter
    base_url: str


class UnavailableDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A service can not be reached any more, or is back; each is told once.

    Not to be mixed up with `OutageDetails`, which is about the store of a shared budget.

    Attributes:
        origin: Scheme, host and port: the API's, or those of a storage that files are downloaded from.
        away: It can not be reached; `False` when it is back.
        since: When that was noticed, in UTC, by this machine's clock.
        reason: Why, in words for people.
    """

    origin: str
    away: bool
    since: datetime
    reason: str


class DeprecatedDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The API says that an operation is deprecated, or will go away; told once for each operation and client.

    The headers `Deprecation` (RFC 9745, and its drafts) and `Sunset` (RFC 8594) of an answer of any status say so.

    Attributes:
        operation: The operation's name.
        deprecated: It is deprecated, or will be; `False` if the answer only said that it will go away.
        since: From when it is deprecated, in UTC, past or to come; `None` if the answer did not say.
        sunset: When it is expected to go away, in UTC; `None` if the answer did not say.
        link: Where a person can read about it: a URL, perhaps relative to the API's; `None` if there is none.
    """

    operation: str
    deprecated: bool
    since: datetime | None
    sunset: datetime | None
    link: str | None


class OnCall(Protocol):
    """A hook that is told of each call."""

    def on_call(self, details: CallDetails, /) -> Any:
        """A call begins."""


class OnEnd(Protocol):
    """A hook that is told of each call's end."""

    def on_end(self, details: EndDetails, /) -> Any:
        """A call has ended, however it did."""


class OnAttempt(Protocol):
    """A hook that is told of each attempt."""

    def on_attempt(self, details: AttemptDetails, /) -> Any:
        """An attempt is about to be sent."""


class OnRetry(Protocol):
    """A hook that is told of each retry."""

    def on_retry(self, details: RetryDetails, /) -> Any:
        """An attempt failed; another will follow."""


class OnResponse(Protocol):
    """A hook that is told of each answer."""

    def on_response(self, details: ResponseDetails, /) -> Any:
        """An answer came."""


class OnLimiter(Protocol):
    """A hook that is told of each limiter that a client spends from."""

    def on_limiter(self, details: LimiterDetails, /) -> Any:
        """A client, or a view of one, was made that spends from this limiter."""


class OnUnavailable(Protocol):
    """A hook that is told when a service can not be reached, and when it is back."""

    def on_unavailable(self, details: UnavailableDetails, /) -> Any:
        """A service can not be reached any more, or is back."""


class OnDeprecated(Protocol):
    """A hook that is told when the API says that an operation is deprecated."""

    def on_deprecated(self, details: DeprecatedDetails, /) -> Any:
        """An operation is deprecated, or will go away."""


ClientHook: TypeAlias = OnCall | OnAttempt | OnRetry | OnResponse | OnEnd | OnLimiter | OnUnavailable | OnDeprecated
"""A hook of a client: an object with at least one of `on_call`, `on_attempt`, `on_retry`, `on_response`, `on_end`,
`on_limiter`, `on_unavailable` and `on_deprecated`."""

Hook: TypeAlias = ClientHook | LimiterHook
"""Any hook."""
