"""What hooks are told, and what a hook is: any object with some of these sync methods.

The client tells of each call's beginning, its attempts, retries and answers, and its end; the limiter tells of waits,
throttling and prices. Each telling passes one frozen details object, which never holds a key, a URL with one, a header or a
body. Only what some hook has a method for is made and told.

The client tells in the task of the call, at once and in passing, so that contextvars are the caller's; what takes time belongs
elsewhere. What belongs to one call has its number, `call`:
`on_call`, then for each attempt `on_attempt`, `on_response` if an answer came, and `on_retry` if another follows, and last
`on_end`, exactly once, however the call ends: by a result, an error, a cancel, or a coroutine that is dropped. The limiter, which
serves several clients, tells in whatever task or thread comes by.

A hook that raises never breaks a call: its error, be it a `CancelledError`, which a plain method can only have made itself, is
logged once per class and method on the logger `whereby_async`. `KeyboardInterrupt`, `SystemExit` and the like are no errors of
the hook but meant for the program: they pass, and the call ends by them without losing a point.
"""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol, TypeAlias

from .details import (
    AttemptDetails,
    CallDetails,
    CostChangeDetails,
    EndDetails,
    LimiterDetails,
    OutageDetails,
    ResponseDetails,
    RetryDetails,
    ThrottleDetails,
    WaitDetails,
)

__all__ = [
    "AttemptDetails",
    "CallDetails",
    "ClientHook",
    "CostChangeDetails",
    "EndDetails",
    "Hook",
    "LimiterDetails",
    "LimiterHook",
    "OnAttempt",
    "OnCall",
    "OnCostChange",
    "OnEnd",
    "OnLimiter",
    "OnOutage",
    "OnResponse",
    "OnRetry",
    "OnThrottle",
    "OnWait",
    "OutageDetails",
    "ResponseDetails",
    "RetryDetails",
    "ThrottleDetails",
    "WaitDetails",
]

logger: Final = logging.getLogger("whereby_async")


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

ClientHook: TypeAlias = OnCall | OnAttempt | OnRetry | OnResponse | OnEnd | OnLimiter
"""What a client may tell: an object with at least one of `on_call`, `on_attempt`, `on_retry`, `on_response`, `on_end`, `on_limiter`."""

Hook: TypeAlias = ClientHook | LimiterHook
"""Any hook."""
