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

from typing import Any, Protocol, TypeAlias

import msgspec

from .details import (
    AttemptDetails,
    CallDetails,
    CostChangeDetails,
    EndDetails,
    LimiterHook,
    OnCostChange,
    OnOutage,
    OnThrottle,
    OnWait,
    OutageDetails,
    ResponseDetails,
    RetryDetails,
    ThrottleDetails,
    WaitDetails,
)
from .limiter.protocol import Limiter  # noqa: TC001 - msgspec resolves annotations at run time

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


class LimiterDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A client, or a view of one, was made that spends from this limiter; told once for each client and limiter.

    Attributes:
        limiter: The limiter: its `snapshot()` tells what is left, and who waits. It lives as long as somebody uses it: refer to
            it weakly.
        base_url: The API's root.
    """

    limiter: Limiter
    base_url: str


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


ClientHook: TypeAlias = OnCall | OnAttempt | OnRetry | OnResponse | OnEnd | OnLimiter
"""What a client may tell: an object with at least one of `on_call`, `on_attempt`, `on_retry`, `on_response`, `on_end`, `on_limiter`."""

Hook: TypeAlias = ClientHook | LimiterHook
"""Any hook."""
