"""What hooks are told, one frozen details object each time, and what a limiter's hook is. Their names are those of `whereby_async.hooks`."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import msgspec

from .rate_limit import RateLimit  # noqa: TC001 - msgspec resolves annotations at run time


class CallDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A call begins: one operation, however many attempts it takes; each page of a list is a call.

    Attributes:
        call: Its number, unique in this process.
        operation: The operation's name, such as `meetings.create`.
        method: The HTTP method.
        path: The template of its path below `base_url`, such as `/meetings/{meeting_id}`: what stands in the place of a
            placeholder is not told. `{path}` for `client.request`.
        named: The name is the operation's own. `False` for `client.request` without `operation=`, whose name is made of method
            and path and may hold an id.
        base_url: The API's root.
        priority: The lane's name: `INTERACTIVE`, `NORMAL` or `BATCH`.
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
        cancelled: It was given up from outside: cancelled (an expired `asyncio.timeout` does that too), dropped, or the program
            is being stopped.
        status: The HTTP status of its last attempt, if one came.
        attempts: Attempts that had their points.
        points: Points that it spent: the price of each attempt that may have reached the server.
        waited: Seconds that it waited for points, all attempts together, also in vain.
        elapsed: Seconds from its beginning.
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


class AttemptDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt has its points and is about to be sent.

    Attributes:
        operation: The operation's name, such as `meetings.create`.
        method: The HTTP method.
        attempt: 1 for the first; attempts that ended in a 429 are counted too.
        cost: Points charged for this attempt.
        priority: The lane's name: `INTERACTIVE`, `NORMAL` or `BATCH`.
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
        delay: Seconds until the next attempt asks for points; 0 after a 429, whose wait is the limiter's.
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


class WaitDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A call has to wait for points.

    Attributes:
        operation: The operation's name.
        cost: Points it asks for.
        priority: The lane's name.
        reason: `empty` (the window is spent), `frozen` (after a 429), `reserve` (kept from the batch lane),
            `pilot` (one call is out to learn the budget) or `queue` (others of its lane stand before it).
        delay: Seconds until it may be served at the earliest.
        ahead: Points queued before it.
    """

    operation: str
    cost: int
    priority: str
    reason: str
    delay: float
    ahead: int


class ThrottleDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The server answered 429; everyone waits.

    Attributes:
        delay: Seconds until the first call goes again.
        rate_limit: What the answer said.
    """

    delay: float
    rate_limit: RateLimit


class CostChangeDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A price was learned.

    Attributes:
        operation: The operation's name.
        old: Points it was charged before.
        new: Points it is charged from now on.
    """

    operation: str
    old: int
    new: int


class OutageDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The store of a shared budget has gone away, or is back; each is told once.

    Attributes:
        away: It has gone.
        reason: Why, in words for people.
        limit: Points per period that this process goes by from now on; 0 if calls are refused.
        lasted: Seconds that it was away.
    """

    away: bool
    reason: str
    limit: int
    lasted: float


class OnWait(Protocol):
    """A hook that is told of each wait for points."""

    def on_wait(self, details: WaitDetails, /) -> Any:
        """A call has to wait for points."""


class OnThrottle(Protocol):
    """A hook that is told of each 429."""

    def on_throttle(self, details: ThrottleDetails, /) -> Any:
        """The server answered 429."""


class OnCostChange(Protocol):
    """A hook that is told of each price that is learned."""

    def on_cost_change(self, details: CostChangeDetails, /) -> Any:
        """A price was learned."""


class OnOutage(Protocol):
    """A hook that is told when the store of a shared budget is away, and when it is back."""

    def on_outage(self, details: OutageDetails, /) -> Any:
        """The store has gone away, or is back."""


LimiterHook: TypeAlias = OnWait | OnThrottle | OnCostChange | OnOutage
"""What a limiter may tell: an object with at least one of `on_wait`, `on_throttle`, `on_cost_change`, `on_outage`."""
