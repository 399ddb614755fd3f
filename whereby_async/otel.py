"""Traces and metrics of a client's calls for OpenTelemetry (extra `[otel]`, which brings in `opentelemetry-api` alone).

```python
from whereby_async import WherebyClient
from whereby_async.otel import OpenTelemetryHooks

async with WherebyClient(hooks=[OpenTelemetryHooks()]) as whereby:
    ...
```

Nothing else in this package imports OpenTelemetry. Source of the names: the OpenTelemetry semantic conventions for HTTP
client spans and metrics; what is Whereby's own is called `whereby.…`. The conventions ask for `url.full`; it is left
out, since Whereby's paths and queries name rooms and people.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable
from contextvars import Token
from functools import lru_cache
from itertools import chain, count
from time import monotonic, time_ns
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from . import errors
from .hooks import AttemptDetails, CallDetails, EndDetails, LimiterDetails, ResponseDetails, RetryDetails
from .limiter.point_budget import UNMETERED
from .limiter.protocol import BudgetSnapshot, Limiter
from .rate_limit import THROTTLED
from .redaction import once_made, shown
from .version import __version__

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        "whereby_async.otel needs its extra: pip install 'whereby-async[otel]'", name=_missing.name
    ) from _missing

__all__ = ["OpenTelemetryHooks"]

Attributes: TypeAlias = dict[str, AttributeValue]
Reading: TypeAlias = Callable[[BudgetSnapshot], Iterable[tuple[int, dict[str, str]]]]

_SCOPE: Final = "whereby_async"
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.27.0"
_REQUEST_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Those of the conventions for `http.client.request.duration`."""
_WAIT_BOUNDS: Final = (0.001, 0.01, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)

_METHOD: Final = "http.request.method"
_STATUS: Final = "http.response.status_code"
_ERROR: Final = "error.type"
_ADDRESS: Final = "server.address"
_OPERATION: Final = "whereby.operation"
_LANE: Final = "whereby.lane"
_ATTEMPT: Final = "whereby.attempt"
_SPENT: Final = "whereby.points.spent"
_WAITED: Final = "whereby.points.waited"
_REMAINING: Final = "whereby.points.remaining"
_LIMIT: Final = "whereby.points.limit"
_AWAY: Final = "whereby.service.away"

_SUCCESS: Final = range(200, 300)
_UNKNOWN_PATH: Final = "{path}"
_UNNAMED: Final = "_OTHER"
_PORTS: Final = {"https": 443, "http": 80}
_SHORTEST_WAIT: Final = 0.001
"""Seconds; a shorter wait for points is only the time that asking takes."""
_STATUS_ERRORS: Final = frozenset(
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.APIStatusError)
)


class OpenTelemetryHooks:
    """Makes spans and metrics of a client's calls. One object serves any number of clients, loops and threads.

    **Spans.** Each call is one span of kind CLIENT named by its operation (`meetings.create`), from the moment when it
    first asks for points to its end; a page of a list is a call. It has `http.request.method`, `server.address`,
    `server.port`, `url.scheme`, `url.template`, `http.response.status_code`, `http.request.resend_count` (if it was
    sent again), `error.type` (the status, or the class of the error, `CancelledError` among them), and of its own
    `whereby.operation`, `whereby.lane`, `whereby.points.spent`, `whereby.points.waited` (seconds),
    `whereby.points.remaining` and `whereby.points.limit` (as the last answer stated them), and, if it waited for a
    service that could not be reached, `whereby.service.away` (seconds). Attempts, answers and
    retries are events `whereby.attempt`, `whereby.response`, `whereby.retry`; a wait for points of a millisecond or
    more is a child span `wait for points`. The caller's current span is the parent; the call's span is current while an
    attempt is on the wire, so that the spans of an instrumented aiohttp nest in it.

    **Metrics.**

    - `http.client.request.duration` (histogram, s): each attempt, by method, server, `url.template`, status and
      `error.type`.
    - `whereby.points.spent` (counter): points of attempts that may have reached the server, by operation and lane.
    - `whereby.points.wait` (histogram, s): each attempt's wait for its points, and those in vain, which have an
      `error.type`.
    - `whereby.throttled` (counter): answers with status 429, by operation and lane.
    - `whereby.points.limit`, `whereby.points.remaining`, `whereby.queue.points`, `whereby.queue.calls` (gauges): each
      limiter's `snapshot()`, by `server.address` and `whereby.budget`, as long as the limiter lives. `whereby.budget`
      is the limiter's `name` if it has one that is not taken, else the least number that is free.

    No attribute holds a key, a URL, an id, a room's name or the text of an error. `client.request` without `operation=`
    is named by its method alone, and counted as operation `_OTHER`: its full name holds the path. (An instrumentation
    of aiohttp does tell whole URLs, and measures each request a second time, in a scope of its own.)

    Args:
        tracer_provider: Where spans go; default: the global one, also if it is set later.
        meter_provider: Where measurements go; default: the global one, also if it is set later.

    Raises:
        ConfigurationError: A provider is none.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        for name, provider, method in (
            ("tracer_provider", tracer_provider, "get_tracer"),
            ("meter_provider", meter_provider, "get_meter"),
        ):
            if provider is not None and (isinstance(provider, type) or not callable(getattr(provider, method, None))):
                advice = f"has no {method}: pass one of OpenTelemetry's SDK, or None for the global one"
                raise errors.ConfigurationError(f"{name}={shown(provider)} {advice}")
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider, _SCHEMA)
        meter_provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
        meter = meter_provider.get_meter(_SCOPE, __version__, _SCHEMA)
        self._gauges = _gauges_of(meter_provider, meter)
        self._calls: dict[int, _CallSpan] = {}
        self._requests = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_REQUEST_BOUNDS,
        )
        self._waits = meter.create_histogram(
            "whereby.points.wait",
            "s",
            "Time that attempts waited for their points.",
            explicit_bucket_boundaries_advisory=_WAIT_BOUNDS,
        )
        self._spent = meter.create_counter(_SPENT, "{point}", "Points spent.")
        self._throttled = meter.create_counter("whereby.throttled", "{response}", "Answers with status 429.")

    @once_made
    def __repr__(self) -> str:
        return f"<OpenTelemetryHooks, {len(self._calls)} calls under way>"

    def on_limiter(self, details: LimiterDetails, /) -> None:
        """A client spends from this limiter: show its points and its queue."""
        self._gauges.add(details.limiter, details.base_url)

    def on_call(self, details: CallDetails, /) -> None:
        """A call begins: open its span."""
        operation = details.operation if details.named else None
        target = _target(details.base_url, details.method, details.path, operation, details.priority.lower())
        self._calls[details.call] = _CallSpan(self._tracer, target)

    def on_attempt(self, details: AttemptDetails, /) -> None:
        """An attempt goes out: its wait for points is over."""
        if call := self._calls.get(details.call):
            self._waits.record(details.waited, call.target.points)
            call.begin_attempt(details)

    def on_response(self, details: ResponseDetails, /) -> None:
        """An answer came."""
        if call := self._calls.get(details.call):
            call.add_response(details)
            error = None if details.status in _SUCCESS else str(details.status)
            self._requests.record(details.elapsed, {**call.target.request, **_outcome(details.status, error)})
            if details.status == THROTTLED:
                self._throttled.add(1, call.target.points)

    def on_retry(self, details: RetryDetails, /) -> None:
        """Another attempt will follow."""
        if call := self._calls.get(details.call):
            self._end_attempt(call, None, details.error)
            call.add_retry(details)

    def on_end(self, details: EndDetails, /) -> None:
        """The call has ended: close its span."""
        call = self._calls.pop(details.call, None)
        if call is None:
            return
        try:
            error = _error_type(details)
            self._end_attempt(call, details.status, error)
            if details.points:
                self._spent.add(details.points, call.target.points)
            if (in_vain := details.waited - call.waited) > 0:
                self._waits.record(in_vain, {**call.target.points, **_outcome(None, error)})
        finally:
            call.end(details)

    def _end_attempt(self, call: _CallSpan, status: int | None, error: str | None) -> None:
        """Measure an attempt that got no answer, or not all of one, if there is one."""
        if (elapsed := call.end_attempt()) is not None:
            self._requests.record(elapsed, {**call.target.request, **_outcome(status, error)})


class _CallSpan:
    """The span of one call.

    It is current in the task of the call while an attempt is on the wire, and only then: tasks and timers that are made
    during waits may serve other calls as well. A coroutine that is dropped may be closed in another task, where the
    span was never made current; it is not detached there.

    Attributes:
        target: Where the call goes.
        waited: Seconds that it waited for points until its last attempt.
    """

    __slots__ = ("_began_at", "_recording", "_sent_at", "_span", "_stated", "_token", "_tracer", "target", "waited")

    def __init__(self, tracer: Tracer, target: _Target) -> None:
        self.target: _Target = target
        self.waited: float = 0.0
        self._tracer = tracer
        self._began_at = time_ns()
        self._span: Span = tracer.start_span(
            target.name, kind=SpanKind.CLIENT, attributes=target.span, start_time=self._began_at
        )
        self._recording = self._span.is_recording()
        self._sent_at: float | None = None
        self._token: Token[Context] | None = None
        self._stated: Attributes = {}

    def begin_attempt(self, details: AttemptDetails) -> None:
        self.waited += details.waited
        if self._recording:
            self._add_wait(details.waited, None)
            points = {"whereby.points.cost": details.cost, _WAITED: details.waited}
            self._span.add_event("whereby.attempt", {_ATTEMPT: details.attempt, **points})
        if self._span.get_span_context().is_valid:
            self._token = context.attach(trace.set_span_in_context(self._span))
        self._sent_at = monotonic()

    def end_attempt(self) -> float | None:
        """Make the span current no longer; the attempt's seconds, or `None` if none was on the wire."""
        token, self._token = self._token, None
        if token is not None and trace.get_current_span() is self._span:
            context.detach(token)
        sent_at, self._sent_at = self._sent_at, None
        return None if sent_at is None else monotonic() - sent_at

    def add_response(self, details: ResponseDetails) -> None:
        """Add the event of an answer, which ends the attempt."""
        self.end_attempt()
        if self._recording:
            stated = {_REMAINING: details.rate_limit.remaining, _LIMIT: details.rate_limit.limit}
            known: Attributes = {name: value for name, value in stated.items() if value is not None}
            self._stated |= known
            self._span.add_event("whereby.response", {_ATTEMPT: details.attempt, _STATUS: details.status, **known})

    def add_retry(self, details: RetryDetails) -> None:
        if self._recording:
            reason: Attributes = {"whereby.retry.reason": details.reason, "whereby.retry.delay": details.delay}
            self._span.add_event("whereby.retry", {_ATTEMPT: details.attempt, **reason})

    def end(self, details: EndDetails) -> None:
        try:
            if self._recording:
                error = _error_type(details)
                self._add_wait(details.waited - self.waited, error)
                attributes = self._stated | _outcome(details.status, error)
                attributes |= {_SPENT: details.points, _WAITED: details.waited}
                if details.away:
                    attributes[_AWAY] = details.away
                if details.attempts > 1:
                    attributes["http.request.resend_count"] = details.attempts - 1
                self._span.set_attributes(attributes)
                if error is not None:
                    self._span.set_status(Status(StatusCode.ERROR))
        finally:
            self._span.end()

    def _add_wait(self, seconds: float, error: str | None) -> None:
        """Add the span of a wait for points that ends now."""
        if seconds < _SHORTEST_WAIT:
            return
        ended_at = time_ns()
        wait = self._tracer.start_span(
            "wait for points",
            context=trace.set_span_in_context(self._span),
            attributes=self.target.points,
            start_time=max(self._began_at, ended_at - int(seconds * 1_000_000_000)),
        )
        if error is not None:
            wait.set_attribute(_ERROR, error)
            wait.set_status(Status(StatusCode.ERROR))
        wait.end(ended_at)


class _Target(NamedTuple):
    """Where calls of one operation and priority go: the name and the attributes of their spans, requests and points.

    It is made once and shared by all of these calls.
    """

    name: str
    span: Attributes
    request: Attributes
    points: Attributes


@lru_cache(maxsize=512)
def _target(base_url: str, method: str, path: str, operation: str | None, priority: str) -> _Target:
    url = urlsplit(base_url)
    request: Attributes = {
        _METHOD: method,
        _ADDRESS: url.hostname or "",
        "server.port": url.port or _PORTS[url.scheme],
        "url.scheme": url.scheme,
    }
    if path != _UNKNOWN_PATH:
        request["url.template"] = url.path + path
    span = request | {_LANE: priority}
    if operation is not None:
        span[_OPERATION] = operation
    return _Target(operation or method, span, request, {_OPERATION: operation or _UNNAMED, _LANE: priority})


def _error_type(details: EndDetails) -> str | None:
    """What a call failed with: the status as text if it has one and that is the reason, else the error's class."""
    if details.error in _STATUS_ERRORS and details.status is not None:
        return str(details.status)
    return details.error


def _outcome(status: int | None, error: str | None) -> Attributes:
    return {name: value for name, value in ((_STATUS, status), (_ERROR, error)) if value is not None}


class _LimiterGauges:
    """Limiters whose points and queues are shown as gauges, none of which is kept alive by it."""

    def __init__(self, meter: Meter) -> None:
        self._lock = threading.Lock()
        self._limiters: dict[str, tuple[weakref.ref[Limiter], str]] = {}
        for name, unit, description, reading in _GAUGES:
            meter.create_observable_gauge(name, [self._callback(reading)], unit, description)

    def add(self, limiter: Limiter, base_url: str) -> None:
        """Show a limiter as long as it lives; one that cannot be referred to weakly is not shown."""
        with self._lock, contextlib.suppress(TypeError):
            reference = weakref.ref(limiter)
            self._limiters = {label: seen for label, seen in self._limiters.items() if seen[0]() is not None}
            if not any(other() is limiter for other, _ in self._limiters.values()):
                name = getattr(limiter, "name", None)
                labels = chain([name] if isinstance(name, str) else [], map(str, count(1)))
                label = next(label for label in labels if label not in self._limiters)
                self._limiters[label] = (reference, urlsplit(base_url).hostname or "")

    def _callback(self, reading: Reading) -> Callable[[CallbackOptions], list[Observation]]:
        return lambda _: list(self._observe(reading))

    def _observe(self, reading: Reading) -> Iterable[Observation]:
        for label, (reference, address) in list(self._limiters.items()):
            limiter = reference()
            if limiter is None:
                continue
            with contextlib.suppress(Exception):  # a limiter that cannot be read must not hide the others
                for value, attributes in reading(limiter.snapshot()):
                    yield Observation(value, {_ADDRESS: address, "whereby.budget": label, **attributes})


_GAUGES: Final[tuple[tuple[str, str, str, Reading], ...]] = (
    (
        _LIMIT,
        "{point}",
        "Points per period that the budget goes by.",
        lambda budget: [(budget.limit, {})] if budget.limit < UNMETERED else [],
    ),
    (
        _REMAINING,
        "{point}",
        "Points that the server was last known to have left.",
        lambda budget: [] if budget.remaining is None or budget.limit >= UNMETERED else [(budget.remaining, {})],
    ),
    (
        "whereby.queue.points",
        "{point}",
        "Points that waiting calls ask for.",
        lambda budget: [(budget.waiting_points, {})],
    ),
    (
        "whereby.queue.calls",
        "{call}",
        "Calls that wait for points, by lane.",
        lambda budget: [(calls, {_LANE: priority.name.lower()}) for priority, calls in budget.waiting.items()],
    ),
)

_gauges_by_provider: Final[weakref.WeakKeyDictionary[object, _LimiterGauges]] = weakref.WeakKeyDictionary()
_gauges_lock: Final = threading.Lock()


def _gauges_of(provider: MeterProvider, meter: Meter) -> _LimiterGauges:
    """The gauges that all hooks of a provider share: an instrument's name exists once for each provider.

    All global providers count as one, since hooks may be made before and after it was set.
    """
    key = metrics.get_meter_provider if provider is metrics.get_meter_provider() else provider
    with _gauges_lock:
        gauges = _gauges_by_provider.get(key)
        if gauges is None:
            gauges = _gauges_by_provider[key] = _LimiterGauges(meter)
        return gauges
