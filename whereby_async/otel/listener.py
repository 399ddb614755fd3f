"""`OpenTelemetryHooks`: hears of calls, and makes spans and measurements of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry import metrics, trace

from ..errors import ConfigurationError
from ..rate_limit import THROTTLED
from ..redaction import shown
from ..version import __version__
from .budgets import budgets_of
from .span import CallSpan
from .target import SUCCESS, error_type, outcome, target_of

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from ..hooks import AttemptDetails, CallDetails, EndDetails, LimiterDetails, ResponseDetails, RetryDetails

_SCOPE: Final = "whereby_async"
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.27.0"
_REQUEST_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Those of the conventions for `http.client.request.duration`."""
_WAIT_BOUNDS: Final = (0.001, 0.01, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)


class OpenTelemetryHooks:
    """Hooks that make spans and metrics of a client's calls. One object serves any number of clients, loops and threads.

    **Spans.** Each call is one span of kind CLIENT named by its operation (`meetings.create`); a page of a list is a call. It
    has `http.request.method`, `server.address`, `server.port`, `url.scheme`, `url.template`, `http.response.status_code`,
    `http.request.resend_count` (if it was sent again), `error.type` (the status, or the class of the error, `CancelledError`
    among them), and of its own `whereby.operation`, `whereby.lane`, `whereby.points.spent`, `whereby.points.waited` (seconds),
    `whereby.points.remaining` and `whereby.points.limit` (as the last answer stated them). Attempts, answers and retries are
    events `whereby.attempt`, `whereby.response`, `whereby.retry`; a wait for points of a millisecond or more is a child span
    `wait for points`. The caller's current span is the parent; the call's span is current while an attempt is on the wire, so
    that the spans of an instrumented aiohttp nest in it.

    **Metrics.**

    - `http.client.request.duration` (histogram, s): each attempt, by method, server, `url.template`, status and `error.type`.
    - `whereby.points.spent` (counter): points of attempts that may have reached the server, by operation and lane.
    - `whereby.points.wait` (histogram, s): each attempt's wait for its points, and those in vain, which have an `error.type`.
    - `whereby.throttled` (counter): answers with status 429, by operation and lane.
    - `whereby.points.limit`, `whereby.points.remaining`, `whereby.queue.points`, `whereby.queue.calls` (gauges): each limiter's
      `snapshot()`, by `server.address` and `whereby.budget`, as long as the limiter lives.

    No attribute holds a key, a URL, an id, a room's name or the text of an error. `client.request` without `operation=` is named
    by its method alone, and counted as operation `_OTHER`: its full name holds the path. (An instrumentation of aiohttp does
    tell whole URLs, and measures each request a second time, in a scope of its own.)

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
                msg = f"{name}={shown(provider)} has no {method}: pass one of OpenTelemetry's SDK, or None for the global one"
                raise ConfigurationError(msg)
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider, _SCHEMA)
        meter_provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
        meter = meter_provider.get_meter(_SCOPE, __version__, _SCHEMA)
        self._budgets = budgets_of(meter_provider, meter)
        self._calls: dict[int, CallSpan] = {}
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
        self._spent = meter.create_counter("whereby.points.spent", "{point}", "Points spent.")
        self._throttled = meter.create_counter("whereby.throttled", "{response}", "Answers with status 429.")

    def __repr__(self) -> str:
        return f"<OpenTelemetryHooks, {len(self._calls)} calls under way>"

    def on_limiter(self, details: LimiterDetails, /) -> None:
        """A client spends from this limiter: show its points and its queue."""
        self._budgets.add(details.limiter, details.base_url)

    def on_call(self, details: CallDetails, /) -> None:
        """A call begins: open its span."""
        self._calls[details.call] = CallSpan(self._tracer, target_of(details))

    def on_attempt(self, details: AttemptDetails, /) -> None:
        """An attempt goes out: its wait for points is over."""
        if call := self._calls.get(details.call):
            self._waits.record(details.waited, call.target.points)
            call.attempt(details)

    def on_response(self, details: ResponseDetails, /) -> None:
        """An answer came."""
        if call := self._calls.get(details.call):
            call.answered(details)
            error = None if details.status in SUCCESS else str(details.status)
            self._requests.record(details.elapsed, {**call.target.request, **outcome(details.status, error)})
            if details.status == THROTTLED:
                self._throttled.add(1, call.target.points)

    def on_retry(self, details: RetryDetails, /) -> None:
        """Another attempt will follow."""
        if call := self._calls.get(details.call):
            self._unanswered(call, None, details.error)
            call.retries(details)

    def on_end(self, details: EndDetails, /) -> None:
        """The call has ended: close its span."""
        call = self._calls.pop(details.call, None)
        if call is None:
            return
        try:
            error = error_type(details)
            self._unanswered(call, details.status, error)
            if details.points:
                self._spent.add(details.points, call.target.points)
            if (in_vain := details.waited - call.waited) > 0:
                self._waits.record(in_vain, {**call.target.points, **outcome(None, error)})
        finally:
            call.end(details)

    def _unanswered(self, call: CallSpan, status: int | None, error: str | None) -> None:
        """If an attempt is on the wire still, then it has got no answer, or not all of one."""
        if (elapsed := call.off_the_wire()) is not None:
            self._requests.record(elapsed, {**call.target.request, **outcome(status, error)})
