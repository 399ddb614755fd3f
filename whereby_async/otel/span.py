"""`CallSpan`: the trace of one call.

**Theory.** A call has one span of kind CLIENT, from the moment when it first asks for points to its result or error: retries,
pauses and waits included. An attempt is the event `whereby.attempt` when it goes out, then `whereby.response` if an answer came
and `whereby.retry` if another attempt follows. A wait for points that took a millisecond or more is a child span, `wait for
points`, from asking to having, or to giving up.

The parent is whatever span is current in the caller's task when the call begins. The call's own span is current in that task
while an attempt is on the wire, and only then: an instrumentation of aiohttp thus nests its span of the very request. It is not
current during waits, in which tasks and timers may be born that serve other calls as well. It is entered and left in the task
of the call; should the coroutine be dropped and closed elsewhere, it is not left there, since it was never entered.
"""

from __future__ import annotations

from time import monotonic, time_ns
from typing import TYPE_CHECKING, Final

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from .target import (
    ATTEMPT,
    COST,
    DELAY,
    ERROR,
    LIMIT,
    REASON,
    REMAINING,
    RESENDS,
    SPENT,
    STATUS,
    WAITED,
    error_type,
    outcome,
)

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue

    from ..hooks import AttemptDetails, EndDetails, ResponseDetails, RetryDetails
    from .target import Target

WORTH_TELLING: Final = 0.001
"""Seconds: a shorter wait is only the time that asking takes."""
_NANOSECONDS: Final = 1_000_000_000


class CallSpan:
    """A call's span, and how far the call has got.

    Attributes:
        target: Where it goes.
        sent_at: When its attempt went out; `None` if none is on the wire.
        waited: Seconds that it waited for points until its last attempt.
    """

    __slots__ = ("_began_at", "_recording", "_span", "_state", "_token", "_tracer", "sent_at", "target", "waited")

    def __init__(self, tracer: Tracer, target: Target) -> None:
        self.target: Target = target
        self.sent_at: float | None = None
        self.waited: float = 0.0
        self._tracer = tracer
        self._began_at = time_ns()
        self._span: Span = tracer.start_span(
            target.name, kind=SpanKind.CLIENT, attributes=target.span, start_time=self._began_at
        )
        self._recording = self._span.is_recording()
        self._token: Token[Context] | None = None
        self._state: dict[str, AttributeValue] = {}

    def attempt(self, details: AttemptDetails) -> None:
        """An attempt goes out."""
        self.waited += details.waited
        if self._recording:
            self._wait(details.waited, None)
            self._span.add_event(
                "whereby.attempt", {ATTEMPT: details.attempt, COST: details.cost, WAITED: details.waited}
            )
        if self._span.get_span_context().is_valid:
            self._token = context.attach(trace.set_span_in_context(self._span))
        self.sent_at = monotonic()

    def answered(self, details: ResponseDetails) -> None:
        """An answer came."""
        self.off_the_wire()
        if not self._recording:
            return
        event: dict[str, AttributeValue] = {ATTEMPT: details.attempt, STATUS: details.status}
        if details.rate_limit.remaining is not None:
            event[REMAINING] = self._state[REMAINING] = details.rate_limit.remaining
        if details.rate_limit.limit is not None:
            event[LIMIT] = self._state[LIMIT] = details.rate_limit.limit
        self._span.add_event("whereby.response", event)

    def retries(self, details: RetryDetails) -> None:
        """Another attempt will follow."""
        if self._recording:
            self._span.add_event(
                "whereby.retry", {ATTEMPT: details.attempt, REASON: details.reason, DELAY: details.delay}
            )

    def off_the_wire(self) -> float | None:
        """The attempt is over; the seconds that it took, or `None` if none was on the wire."""
        token, self._token = self._token, None
        if token is not None and trace.get_current_span() is self._span:
            context.detach(token)
        sent_at, self.sent_at = self.sent_at, None
        return None if sent_at is None else monotonic() - sent_at

    def end(self, details: EndDetails) -> None:
        """The call has ended, whatever way."""
        try:
            if self._recording:
                error = error_type(details)
                self._wait(details.waited - self.waited, error)
                attributes = self._state | outcome(details.status, error)
                attributes |= {SPENT: details.points, WAITED: details.waited}
                if details.attempts > 1:
                    attributes[RESENDS] = details.attempts - 1
                self._span.set_attributes(attributes)
                if error is not None:
                    self._span.set_status(Status(StatusCode.ERROR))
        finally:
            self._span.end()

    def _wait(self, seconds: float, error: str | None) -> None:
        """A wait for points that ends now."""
        if seconds < WORTH_TELLING:
            return
        ended_at = time_ns()
        wait = self._tracer.start_span(
            "wait for points",
            context=trace.set_span_in_context(self._span),
            attributes=self.target.points,
            start_time=max(self._began_at, ended_at - int(seconds * _NANOSECONDS)),
        )
        if error is not None:
            wait.set_attribute(ERROR, error)
            wait.set_status(Status(StatusCode.ERROR))
        wait.end(ended_at)
