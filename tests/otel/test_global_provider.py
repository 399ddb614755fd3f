"""Hooks that were given no provider: spans go where the application sends its own."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from whereby_async.otel import OpenTelemetryHooks
from whereby_async.testing import FakeWhereby

early = OpenTelemetryHooks()
provider = TracerProvider()
provider.add_span_processor(
    SimpleSpanProcessor(
        ConsoleSpanExporter(formatter=lambda span: f"{span.name} {span.attributes.get('whereby.points.spent', '')}\\n")
    )
)
trace.set_tracer_provider(provider)

async def main():
    for hooks in (early, OpenTelemetryHooks()):
        async with FakeWhereby() as fake, fake.client(hooks=[hooks]) as traced:
            await traced.meetings.list()

asyncio.run(main())
"""


def test_spans_go_to_the_global_provider_whenever_it_was_set() -> None:
    """Hooks at a module's top level are made before the application has set up its SDK."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM], capture_output=True, check=False, encoding="utf-8"
    )
    assert (done.stdout, done.stderr) == ("meetings.list 1\n" * 2, "")
