"""Whose child a call's span is, and when it is current."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from otel.telemetry import Telemetry, Turnstile, attributes
from support.recording_limiter import RecordingLimiter

from whereby_async import RetryPolicy, SessionPool, WherebyClient
from whereby_async.limiter import Unlimited
from whereby_async.otel import OpenTelemetryHooks
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from whereby_async.hooks import AttemptDetails
    from whereby_async.limiter import Permit

pytestmark = pytest.mark.anyio


class Watched(RecordingLimiter):
    """Writes down which span is current while points are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Span] = []

    async def acquire(self, *args: Any, **options: Any) -> Permit:
        self.seen.append(trace.get_current_span())
        return await super().acquire(*args, **options)


async def test_the_span_is_current_on_the_wire_and_nowhere_else(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """The tracing of aiohttp sees it, at each attempt; the limiter, a pause and the caller afterwards see the caller's."""
    on_the_wire: list[int] = []

    async def on_request_start(*_: object) -> None:
        on_the_wire.append(trace.get_current_span().get_span_context().span_id)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(on_request_start)
    config.on_request_end.append(on_request_start)
    fake.faults.add(Fault(status=503, times=2))
    limiter = Watched()
    policy = RetryPolicy(base=0)
    with telemetry.tracer.start_as_current_span("caller") as caller:
        async with aiohttp.ClientSession(trace_configs=[config]) as session:
            pool = SessionPool(session=session)
            async with fake.client(hooks=[telemetry.hooks], limiter=limiter, pool=pool, retry=policy) as whereby:
                await whereby.meetings.list()
                assert trace.get_current_span() is caller
    call = telemetry.only().context
    assert call is not None
    assert len(on_the_wire) == 6
    assert set(on_the_wire) == {call.span_id}
    assert limiter.seen == [caller] * 3


async def test_fifty_calls_at_once_have_each_their_own_parent(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry
) -> None:
    """Half of them are retried, and some are cancelled; nothing gets mixed up."""
    fake.faults.add(Fault(status=429, times=25))

    async def one(number: int) -> None:
        with telemetry.tracer.start_as_current_span(f"caller {number}") as caller:
            task = asyncio.create_task(_list(whereby))
            if number % 10 == 0:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            assert trace.get_current_span() is caller

    await asyncio.gather(*(one(number) for number in range(50)))
    callers = {
        span.context.span_id: span for span in telemetry.spans if span.name.startswith("caller") and span.context
    }
    parents = [span.parent.span_id for span in telemetry.calls if span.parent]
    assert sorted(parents) == sorted(callers)
    assert [attributes(span)["error.type"] for span in telemetry.calls if "error.type" in attributes(span)] == (
        ["CancelledError"] * 5
    )
    for span in telemetry.calls:
        assert span.parent is not None
        caller = callers[span.parent.span_id]
        assert caller.start_time is not None
        assert caller.end_time is not None
        assert span.start_time is not None
        assert span.end_time is not None
        assert caller.start_time <= span.start_time <= span.end_time <= caller.end_time


async def test_a_call_without_a_caller_is_a_root(whereby: WherebyClient, telemetry: Telemetry) -> None:
    """It has no parent, and leaves nothing current behind."""
    await whereby.meetings.list()
    assert telemetry.only().parent is None
    assert not trace.get_current_span().get_span_context().is_valid


async def test_a_dropped_coroutine_ends_its_span(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """While it waits; in a copy of its context or in another one, as the garbage collector does it."""
    turnstile = Turnstile()
    async with fake.client(hooks=[telemetry.hooks], limiter=turnstile) as whereby:
        for context in (contextvars.copy_context(), contextvars.Context()):
            coroutine = _list(whereby)
            coroutine.send(None)
            context.run(coroutine.close)
    assert [attributes(span)["error.type"] for span in telemetry.calls] == ["GeneratorExit"] * 2


def test_a_coroutine_dropped_on_the_wire_ends_its_span(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """Closed in another context than it was begun in, where its span was never current: nothing is left there, nor logged."""

    async def main() -> None:
        async with FakeWhereby() as fake, fake.client(hooks=[telemetry.hooks]) as whereby:
            await whereby.meetings.list()  # a connection is at hand, so that the next call goes as far as its answer
            context = contextvars.copy_context()
            coroutine = _list(whereby)
            context.run(coroutine.send, None)
            assert context.run(trace.get_current_span).is_recording()
            coroutine.close()
            assert not trace.get_current_span().get_span_context().is_valid

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    assert attributes(telemetry.calls[-1])["error.type"] == "GeneratorExit"
    assert attributes(telemetry.calls[-1])["whereby.points.spent"] == 1
    assert "detach" not in caplog.text


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("method", ["on_call", "on_attempt", "on_response", "on_retry", "on_end"])
@pytest.mark.parametrize("first", [False, True])
async def test_another_hook_that_raises_leaves_no_span_open(
    fake: FakeWhereby, telemetry: Telemetry, error: type[BaseException], method: str, *, first: bool
) -> None:
    """Whatever it raises, wherever, before this one or behind it: each span that began has ended, and none is current."""

    class Broken:
        def __getattr__(self, name: str) -> Any:
            if name != method:
                raise AttributeError(name)
            return self.fail

        def fail(self, _: object) -> None:
            raise error

    fake.faults.add(Fault(status=503))
    hooks: list[Any] = [telemetry.hooks, Broken()]
    async with fake.client(
        hooks=hooks[::-1] if first else hooks, limiter=Unlimited(), retry=RetryPolicy(base=0)
    ) as whereby:
        try:
            await whereby.meetings.list()
        except (KeyboardInterrupt, SystemExit) as stop:
            assert type(stop) is error  # noqa: PT017 - that only these two come out is what is asserted
        else:
            assert error in {KeyError, asyncio.CancelledError}
    assert telemetry.open == 0
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_client_of_several_loops_and_threads_is_traced_in_all(telemetry: Telemetry) -> None:
    """One client and one hooks object: three loops in a row, then three threads with a loop each."""

    async def work(whereby: WherebyClient) -> None:
        await asyncio.gather(*(_list(whereby) for _ in range(5)))

    async def serve() -> None:
        async with FakeWhereby() as fake:
            client = fake.client(hooks=[telemetry.hooks])
            await asyncio.to_thread(run, client)
            await client.aclose()

    def run(client: WherebyClient) -> None:
        for _ in range(3):
            asyncio.run(work(client))
        threads = [threading.Thread(target=asyncio.run, args=(work(client),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    asyncio.run(serve())
    assert len(telemetry.calls) == 30
    assert len({span.context.trace_id for span in telemetry.calls if span.context}) == 30
    assert [value for _, value in telemetry.points("whereby.points.spent")] == [30]


async def test_views_are_traced_by_the_clients_hooks(whereby: WherebyClient, telemetry: Telemetry) -> None:
    """Once for each call, with the view's own limiter too."""
    await whereby.with_options(timeout=5.0).meetings.list()
    await whereby.with_options(limiter=Unlimited()).meetings.list()
    assert len(telemetry.calls) == 2


async def test_the_same_hooks_given_twice_trace_once(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """They are one listener."""
    async with fake.client(hooks=[telemetry.hooks, telemetry.hooks]) as whereby:
        await whereby.meetings.list()
    assert len(telemetry.calls) == 1


async def test_an_unsampled_call_is_not_recorded_but_measured(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """What nests in it is unsampled too; metrics do not depend on sampling."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    hooks = OpenTelemetryHooks(tracer_provider=provider, meter_provider=telemetry.meters)
    sampled: list[bool] = []

    class Watch:
        def on_attempt(self, details: AttemptDetails) -> None:
            context = trace.get_current_span().get_span_context()
            assert context.is_valid
            sampled.append(context.trace_flags.sampled)

    async with fake.client(hooks=[hooks, Watch()]) as whereby:
        await whereby.meetings.list()
    assert sampled == [False]
    assert telemetry.spans == []
    assert [value for _, value in telemetry.points("whereby.points.spent")] == [1]


async def test_without_an_sdk_nothing_happens(fake: FakeWhereby) -> None:
    """The API's own no-op providers: calls go on, and a caller's span stays current."""
    fake.faults.add(Fault(status=503))
    async with fake.client(hooks=[OpenTelemetryHooks()], retry=RetryPolicy(base=0)) as whereby:
        await whereby.meetings.list()
    assert not trace.get_current_span().get_span_context().is_valid


async def _list(whereby: WherebyClient) -> object:
    return await whereby.meetings.list()
