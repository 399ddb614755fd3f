"""A real OpenTelemetry SDK that keeps everything in memory, and a limiter that lets a test say when a wait is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from support.recording_limiter import RecordingLimiter
from whereby_async.otel import OpenTelemetryHooks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whereby_async import WherebyClient
    from whereby_async.limiter import Permit


class _OpenSpans(SimpleSpanProcessor):
    """Counts spans that have begun and not ended."""

    open = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.open += 1
        super().on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self.open -= 1
        super().on_end(span)


class Telemetry:
    """Everything that was traced and measured."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._processor = _OpenSpans(self._exporter)
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(self._processor)
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = self.tracers.get_tracer("the caller")
        self.hooks = self.more_hooks()

    def more_hooks(self) -> OpenTelemetryHooks:
        return OpenTelemetryHooks(tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def open(self) -> int:
        """Spans that were never ended."""
        return self._processor.open

    @property
    def spans(self) -> list[ReadableSpan]:
        """Ended spans, in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    @property
    def calls(self) -> list[ReadableSpan]:
        """The spans of calls, without those of waits and of the caller."""
        return [span for span in self.spans if span.kind.name == "CLIENT"]

    @property
    def waits(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == "wait for points"]

    def only(self) -> ReadableSpan:
        """The one call's span."""
        (span,) = self.calls
        return span

    def points(self, metric: str) -> list[tuple[dict[str, Any], Any]]:
        """The data points of a metric: attributes, and value or histogram."""
        data = self._reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), getattr(point, "value", point))
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric
            for point in each.data.data_points
        ]

    def everything(self) -> str:
        """All that an exporter would get to see."""
        data = self._reader.get_metrics_data()
        return "\n".join([span.to_json() for span in self.spans] + [data.to_json() if data else ""])

    def close(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def events(span: ReadableSpan) -> list[tuple[str, Mapping[str, Any]]]:
    return [(event.name.removeprefix("whereby."), dict(event.attributes or {})) for event in span.events]


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    number: int = span.context.span_id
    return number


def times(span: ReadableSpan) -> tuple[int, int]:
    """When it began and ended, in nanoseconds."""
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


async def listed(whereby: WherebyClient) -> object:
    """The call that most tests make, as a coroutine."""
    return await whereby.meetings.list()


class BlockedLimiter(RecordingLimiter):
    """Lets nobody through until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()
        self.asked = asyncio.Event()

    async def acquire(self, *args: Any, **options: Any) -> Permit:
        self.asked.set()
        await self.opened.wait()
        return await super().acquire(*args, **options)
