"""What hooks are told, and what a hook is: any object with some of these sync methods.

The client tells of attempts, retries and answers; the limiter tells of waits, throttling and prices. Each call passes one
frozen details object, which never holds a key, a URL with one, a header or a body. A hook that raises never breaks a call:
its error is logged once per hook and method on the logger `whereby_async`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .rate_limit import RateLimit

logger: Final = logging.getLogger("whereby_async")


class AttemptDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt has its points and is about to be sent.

    Attributes:
        operation: The operation's name, such as `meetings.create`.
        method: The HTTP method.
        attempt: 1 for the first; attempts that ended in a 429 are counted too.
        cost: Points charged for this attempt.
        priority: The lane's name: `INTERACTIVE`, `NORMAL` or `BATCH`.
        waited: Seconds that this attempt waited for its points.
    """

    operation: str
    method: str
    attempt: int
    cost: int
    priority: str
    waited: float


class RetryDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt failed and the call will be sent again.

    Attributes:
        operation: The operation's name.
        attempt: The attempt that failed, from 1.
        delay: Seconds until the next attempt asks for points; 0 after a 429, whose wait is the limiter's.
        reason: Why: `connection`, `timeout`, `status 503`, `throttled`, …
    """

    operation: str
    attempt: int
    delay: float
    reason: str


class ResponseDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An answer came, of whatever status.

    Attributes:
        operation: The operation's name.
        attempt: The attempt that it answers, from 1.
        status: The HTTP status.
        elapsed: Seconds from asking for a connection slot to the last byte.
        size: Bytes of the decoded body.
        rate_limit: What it said about the budget.
    """

    operation: str
    attempt: int
    status: int
    elapsed: float
    size: int
    rate_limit: RateLimit


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


LimiterHook: TypeAlias = OnWait | OnThrottle | OnCostChange
"""What a limiter may tell: an object with at least one of `on_wait`, `on_throttle`, `on_cost_change`."""

ClientHook: TypeAlias = OnAttempt | OnRetry | OnResponse
"""What a client may tell: an object with at least one of `on_attempt`, `on_retry`, `on_response`."""

Hook: TypeAlias = ClientHook | LimiterHook
"""Any hook."""

_failed: set[tuple[type, str]] = set()


def tell(hooks: Iterable[object], method: str, details: msgspec.Struct) -> None:
    """Call `method` of every hook that has it; an error in one is logged once and goes no further."""
    for hook in hooks:
        listen = getattr(hook, method, None)
        if listen is None:
            continue
        try:
            listen(details)
        except Exception:
            if (key := (type(hook), method)) not in _failed:
                _failed.add(key)
                logger.exception("%s.%s raised; the call goes on, and this is said only once", key[0].__name__, method)
