"""How hooks are told of calls: `tell`; `Audience`, who wants to hear what; `Call`, one call as it is told.

Neither is made for a client whose hooks do not ask for it.
"""

from __future__ import annotations

import itertools
from time import monotonic
from typing import TYPE_CHECKING, Any

from .errors import APIStatusError
from .hooks import (
    AttemptDetails,
    CallDetails,
    EndDetails,
    ResponseDetails,
    RetryDetails,
)
from .notify import tell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .errors import WherebyError
    from .hooks import Hook
    from .limiter.protocol import Permit, Priority
    from .operation import Operation, Request
    from .rate_limit import RateLimit
    from .transport import Answer, Exchange

_numbers = itertools.count(1)


def having(hooks: Iterable[Hook], *methods: str) -> tuple[Hook, ...]:
    """Those of the hooks that have one of the methods."""
    return tuple(hook for hook in hooks if any(callable(getattr(hook, method, None)) for method in methods))


class Audience:
    """A client's hooks by what they want to hear of its calls.

    Attributes:
        on_call: Who hears of beginnings.
        on_attempt: Who hears of attempts.
        on_retry: Who hears of retries.
        on_response: Who hears of answers.
        on_end: Who hears of ends.
    """

    __slots__ = ("on_attempt", "on_call", "on_end", "on_response", "on_retry")

    def __init__(self, hooks: tuple[Hook, ...]) -> None:
        self.on_call: tuple[Hook, ...] = having(hooks, "on_call")
        self.on_attempt: tuple[Hook, ...] = having(hooks, "on_attempt")
        self.on_retry: tuple[Hook, ...] = having(hooks, "on_retry")
        self.on_response: tuple[Hook, ...] = having(hooks, "on_response")
        self.on_end: tuple[Hook, ...] = having(hooks, "on_end")

    @classmethod
    def of(cls, hooks: tuple[Hook, ...]) -> Audience | None:
        """The audience of a client's calls; `None` if nobody wants to hear of them."""
        return cls(hooks) if having(hooks, *cls.__slots__) else None


class Call:
    """One call, as its audience is told of it.

    It is told in the order `begin`; for each attempt `asks` if no points were at hand, `attempt`, then `answered` or
    `unanswered`, and `retries` if another follows; and `end`.
    """

    __slots__ = (
        "_asked_at", "_attempt", "_audience", "_began_at", "_number", "_operation", "_points", "_priority", "_sent_at", "_status",
        "_waited",
    )  # fmt: skip

    def __init__(self, audience: Audience, operation: Operation[Any], priority: Priority) -> None:
        self._audience = audience
        self._operation = operation
        self._priority = priority.name
        self._number = next(_numbers)
        self._began_at = monotonic()
        self._asked_at: float | None = None
        self._sent_at = 0.0
        self._attempt = 0
        self._points = 0
        self._waited = 0.0
        self._status: int | None = None

    def begin(self, request: Request[Any], base_url: str) -> None:
        """It begins."""
        if hooks := self._audience.on_call:
            operation = self._operation
            details = CallDetails(
                call=self._number,
                operation=operation.name,
                method=operation.method,
                path=operation.path,
                named=operation.name != f"{operation.method} {request.path}",
                base_url=base_url,
                priority=self._priority,
            )
            tell(hooks, "on_call", details)

    def asks(self) -> None:
        """It asks the limiter for points, and perhaps waits for them."""
        self._asked_at = monotonic()

    def attempt(self, permit: Permit, earlier: Permit | None) -> None:
        """It has its points, and goes out; `earlier` is what its last attempt had."""
        waited = self._end_wait(permit, earlier)
        self._sent_at = monotonic()
        self._status = None
        self._attempt += 1
        self._points += permit.cost
        if hooks := self._audience.on_attempt:
            details = AttemptDetails(
                operation=self._operation.name,
                method=self._operation.method,
                attempt=self._attempt,
                cost=permit.cost,
                priority=self._priority,
                waited=waited,
                call=self._number,
            )
            tell(hooks, "on_attempt", details)

    def _end_wait(self, permit: Permit | None = None, earlier: Permit | None = None) -> float:
        """The wait is over; its seconds by the limiter's own word, or by our clock.

        The limiter's is better: on a busy machine our clock goes on between a grant and its being heard of.
        """
        if self._asked_at is None:
            return 0.0
        waited = monotonic() - self._asked_at
        self._asked_at = None
        if (said := getattr(permit, "waited", None)) is not None:
            waited = max(0.0, said - getattr(earlier, "waited", 0.0))
        self._waited += waited
        return waited

    def answered(self, answer: Answer, rate_limit: RateLimit) -> None:
        """An answer came."""
        self._status = answer.status
        if hooks := self._audience.on_response:
            details = ResponseDetails(
                operation=self._operation.name,
                attempt=self._attempt,
                status=answer.status,
                elapsed=monotonic() - self._sent_at,
                size=len(answer.body),
                rate_limit=rate_limit,
                call=self._number,
            )
            tell(hooks, "on_response", details)

    def unanswered(self, exchange: Exchange, cost: int) -> None:
        """No answer came, or not all of it."""
        if exchange.heard is not None:
            self._status = exchange.heard[0]
        elif not exchange.left:
            self._points -= cost

    def retries(self, delay: float, reason: str, error: WherebyError) -> None:
        """It will be sent again."""
        if hooks := self._audience.on_retry:
            details = RetryDetails(
                operation=self._operation.name,
                attempt=self._attempt,
                delay=delay,
                reason=reason,
                error=type(error).__name__,
                call=self._number,
            )
            tell(hooks, "on_retry", details)

    def end(self, error: BaseException | None) -> None:
        """It has ended, with this error or with a result."""
        self._end_wait()
        if hooks := self._audience.on_end:
            details = EndDetails(
                call=self._number,
                operation=self._operation.name,
                error=None if error is None else type(error).__name__,
                cancelled=not isinstance(error, Exception | None),
                status=error.status if isinstance(error, APIStatusError) else self._status,
                attempts=self._attempt,
                points=self._points,
                waited=self._waited,
                elapsed=monotonic() - self._began_at,
            )
            tell(hooks, "on_end", details)
