"""One span for each call: its name, its attributes, its parent, and its end, whatever becomes of the call."""

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
from opentelemetry.trace import SpanKind, StatusCode
from support.calls import CREATES, EVERY, UNTIL, answer
from support.recording_limiter import RecordingLimiter
from support.telemetry import BlockedLimiter, Telemetry, attributes, events, listed, span_id, times

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    BudgetError,
    ClientClosedError,
    Priority,
    RetryPolicy,
    SessionPool,
    WherebyClient,
    WherebyError,
    use_priority,
)
from whereby_async.limiter import Unlimited
from whereby_async.otel import OpenTelemetryHooks
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.trace import Span

    from whereby_async.hooks import AttemptDetails, RetryDetails
    from whereby_async.limiter import Permit

pytestmark = pytest.mark.anyio


async def test_a_call_is_one_client_span_by_the_conventions(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry
) -> None:
    """Name, kind, attributes and events of a call that goes well; it is a root, and its status stays unset."""
    await whereby.meetings.create(end_date=UNTIL)
    span = telemetry.only()
    assert (span.name, span.kind, span.status.status_code) == ("meetings.create", SpanKind.CLIENT, StatusCode.UNSET)
    waited = attributes(span)["whereby.points.waited"]
    assert 0 <= waited < 0.1
    points = {"whereby.points.remaining": 999_997, "whereby.points.limit": 1_000_000}
    assert attributes(span) == points | {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "server.address": "127.0.0.1",
        "server.port": fake.port,
        "url.scheme": "http",
        "url.template": "/v1/meetings",
        "whereby.operation": "meetings.create",
        "whereby.lane": "normal",
        "whereby.points.spent": 3,
        "whereby.points.waited": waited,
    }
    assert events(span) == [
        ("attempt", {"whereby.attempt": 1, "whereby.points.cost": 3, "whereby.points.waited": waited}),
        ("response", points | {"whereby.attempt": 1, "http.response.status_code": 201}),
    ]
    scope = span.instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.schema_url) == ("whereby_async", "https://opentelemetry.io/schemas/1.27.0")
    assert telemetry.waits == []
    assert span.parent is None
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("operation", EVERY)
async def test_every_operation_goes_by_its_name_and_template(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry, operation: str
) -> None:
    answer(fake, operation)
    await EVERY[operation](whereby)
    span = telemetry.only()
    assert (span.name, attributes(span)["whereby.operation"]) == (operation, operation)
    assert "/1" not in attributes(span)["url.template"]
    assert "/demo" not in attributes(span)["url.template"]


async def test_a_request_of_ones_own_goes_by_the_name_it_was_given(
    whereby: WherebyClient, telemetry: Telemetry
) -> None:
    """With `operation=`, by that; without, by its method: its path may hold an id. The path is never shown."""
    await whereby.request("GET", "/meetings", operation="meetings.search")
    with pytest.raises(APIStatusError):
        await whereby.request("GET", "/meetings/424242")
    named, unnamed = telemetry.calls
    assert (named.name, attributes(named)["whereby.operation"]) == ("meetings.search", "meetings.search")
    assert unnamed.name == "GET"
    assert "whereby.operation" not in attributes(unnamed)
    assert "url.template" not in attributes(named) | attributes(unnamed)
    assert "424242" not in telemetry.everything()


async def test_no_id_and_no_name_of_a_room_is_shown(whereby: WherebyClient, telemetry: Telemetry) -> None:
    """Arguments stay out of spans and metrics, in paths, queries, bodies and errors."""
    with pytest.raises(APIStatusError):
        await whereby.meetings.get("planted-id")
    await whereby.meetings.create(end_date=UNTIL, room_name_prefix="planted-prefix")
    await whereby.rooms.set_theme_tokens("/planted-room", primary="#000000")
    await whereby.insights.rooms(name_contains="planted-part", extra={"x": "planted-extra"})
    assert len(telemetry.calls) == 4
    assert "planted" not in telemetry.everything()


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 422, 500, 503])
async def test_an_error_status_is_shown_by_its_number(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry, status: int
) -> None:
    """The span ends as an error; neither the server's words nor a traceback are in it."""
    fake.faults.add(Fault(status=status, body=b'{"error": "planted"}'))
    with pytest.raises(APIStatusError):
        await whereby.meetings.create(end_date=UNTIL)
    span = telemetry.only()
    assert (attributes(span)["http.response.status_code"], attributes(span)["error.type"]) == (status, str(status))
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert [name for name, _ in events(span)] == ["attempt", "response"]
    assert "planted" not in telemetry.everything()


async def test_retries_are_events_of_one_span(fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry) -> None:
    """Each attempt, its answer if one came, and why it is sent again; the status is the last one's."""
    fake.faults.add(Fault(status=429), Fault(drop="after"), Fault(status=503))
    await whereby.meetings.list()
    span = telemetry.only()
    assert [(name, told["whereby.attempt"], told.get("whereby.retry.reason")) for name, told in events(span)] == [
        ("attempt", 1, None), ("response", 1, None), ("retry", 1, "throttled"),
        ("attempt", 2, None), ("retry", 2, "connection"),
        ("attempt", 3, None), ("response", 3, None), ("retry", 3, "status 503"),
        ("attempt", 4, None), ("response", 4, None),
    ]  # fmt: skip
    told = attributes(span)
    assert (told["http.request.resend_count"], told["http.response.status_code"]) == (3, 200)
    assert told["whereby.points.spent"] == 4
    assert "error.type" not in told
    assert span.status.status_code is StatusCode.UNSET
    began, ended = times(span)
    moments = [began, *(event.timestamp for event in span.events), ended]
    assert moments == sorted(moments)


async def test_an_answer_without_headers_states_no_points(
    whereby: WherebyClient, telemetry: Telemetry, fake: FakeWhereby
) -> None:
    fake.faults.add(Fault(headers={"X-RateLimit-Limit": "?", "X-RateLimit-Remaining": "?"}))
    await whereby.meetings.list()
    assert not attributes(telemetry.only()).keys() & {"whereby.points.remaining", "whereby.points.limit"}


def _is_error(telemetry: Telemetry, kind: str, status: int | None, spent: int) -> None:
    told = attributes(telemetry.only())
    assert (told["error.type"], told.get("http.response.status_code")) == (kind, status)
    assert told["whereby.points.spent"] == spent
    assert telemetry.only().status.status_code is StatusCode.ERROR


async def test_a_refused_connection_spends_no_points_and_has_no_status(telemetry: Telemetry) -> None:
    async with WherebyClient(
        "k" * 20,
        base_url="http://127.0.0.1:9",
        limiter=Unlimited(),
        retry=RetryPolicy(attempts=2, base=0),
        max_outage=0,
        hooks=[telemetry.hooks],
    ) as whereby:
        with pytest.raises(APIConnectionError):
            await whereby.meetings.create(end_date=UNTIL)
    _is_error(telemetry, "APIConnectionError", None, 0)
    assert attributes(telemetry.only())["http.request.resend_count"] == 1
    ((told, point),) = telemetry.points("http.client.request.duration")
    assert (told["error.type"], point.count) == ("APIConnectionError", 2)
    assert telemetry.points("whereby.points.spent") == []


@pytest.mark.parametrize(
    ("fault", "options", "told"),
    [
        (Fault(delay=60), {"timeout": 0.05}, ("APITimeoutError", None, 1)),  # may have reached the server
        (Fault(body=b"3"), {}, ("ResponseDecodeError", 200, 1)),
        (Fault(status=429), {"max_wait": 1}, ("429", 429, 1)),  # which is what the caller gets
    ],
)
async def test_a_failed_call_shows_error_status_and_points(
    whereby: WherebyClient, fake: FakeWhereby, *, telemetry: Telemetry, fault: Fault, options: Any, told: Any
) -> None:
    fake.faults.add(fault)
    with pytest.raises(WherebyError):
        await whereby.with_options(retry=RetryPolicy(attempts=1), **options).meetings.list()
    _is_error(telemetry, *told)


async def test_a_refusal_to_wait_ends_the_span(whereby: WherebyClient, telemetry: Telemetry) -> None:
    limiter: Any = whereby.limiter
    limiter.refuse = True
    with pytest.raises(BudgetError):
        await whereby.meetings.list()
    _is_error(telemetry, "BudgetError", None, 0)


async def _cancelled(whereby: WherebyClient, ready: Callable[[], Awaitable[object]]) -> None:
    task = asyncio.create_task(listed(whereby))
    await ready()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancel_during_the_wait_ends_the_span(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """The wait in vain has its error; there is no attempt, and no point is spent."""
    blocked = BlockedLimiter()

    async def waits() -> None:
        await blocked.asked.wait()
        await asyncio.sleep(0.002)

    async with fake.client(hooks=[telemetry.hooks], limiter=blocked) as whereby:
        await _cancelled(whereby, waits)
    _is_error(telemetry, "CancelledError", None, 0)
    assert events(telemetry.only()) == []
    (wait,) = telemetry.waits
    assert (attributes(wait)["error.type"], wait.status.status_code) == ("CancelledError", StatusCode.ERROR)


async def test_a_cancel_on_the_wire_ends_the_span(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry
) -> None:
    came = asyncio.Event()

    def arrives(_: object) -> bool:
        came.set()
        return True

    fake.faults.add(Fault(delay=60, when=arrives))
    await _cancelled(whereby, came.wait)
    _is_error(telemetry, "CancelledError", None, 1)


async def test_a_cancel_in_the_body_ends_the_span_with_the_status(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """The headers had come."""
    heard = asyncio.Event()

    async def on_request_end(*_: object) -> None:
        heard.set()

    config = aiohttp.TraceConfig()
    config.on_request_end.append(on_request_end)
    fake.faults.add(Fault(drip=60))
    async with aiohttp.ClientSession(trace_configs=[config]) as session:
        pool = SessionPool(session=session)
        async with fake.client(hooks=[telemetry.hooks], limiter=Unlimited(), pool=pool) as whereby:
            await _cancelled(whereby, heard.wait)
    _is_error(telemetry, "CancelledError", 200, 1)


async def test_a_cancel_in_the_pause_ends_the_span(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """The last attempt's status stays; the error is the cancel."""
    pauses = asyncio.Event()

    class Watch:
        def on_retry(self, details: RetryDetails) -> None:
            assert details.delay > 0
            pauses.set()

    fake.faults.add(Fault(status=503))
    policy = RetryPolicy(base=1000, cap=1000)
    async with fake.client(hooks=[telemetry.hooks, Watch()], limiter=Unlimited(), retry=policy) as whereby:
        await _cancelled(whereby, pauses.wait)
    _is_error(telemetry, "CancelledError", 503, 1)


async def test_closing_the_client_ends_the_spans_of_calls_that_wait(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """And a call of a closed client is a span that ends at once."""
    blocked = BlockedLimiter()
    whereby = fake.client(hooks=[telemetry.hooks], limiter=blocked)
    task = asyncio.create_task(listed(whereby))
    await blocked.asked.wait()
    await whereby.aclose()
    for refused in (task, asyncio.create_task(listed(whereby))):
        with pytest.raises(ClientClosedError):
            await refused
    assert [attributes(span)["error.type"] for span in telemetry.calls] == ["ClientClosedError"] * 2


async def test_a_wait_for_points_is_a_child_span_with_its_true_times(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """It begins when points are asked for and ends when they are there, inside the call's span."""
    blocked = BlockedLimiter()
    async with fake.client(hooks=[telemetry.hooks], limiter=blocked) as whereby:
        asyncio.get_running_loop().call_later(0.05, blocked.opened.set)
        await whereby.meetings.list()
    call, (wait,) = telemetry.only(), telemetry.waits
    assert (wait.kind, wait.status.status_code) == (SpanKind.INTERNAL, StatusCode.UNSET)
    assert wait.parent is not None
    assert wait.parent.span_id == span_id(call)
    began, ended = times(wait)
    assert times(call)[0] <= began < ended <= call.events[0].timestamp
    waited = attributes(call)["whereby.points.waited"]
    assert waited > 0
    assert (ended - began) / 1e9 == pytest.approx(waited, abs=0.005)
    assert attributes(wait) == {"whereby.operation": "meetings.list", "whereby.lane": "normal"}


async def test_each_page_is_a_call(fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry) -> None:
    """With and without read-ahead; the caller's span is the parent of all."""
    for _ in range(5):
        fake.add_meeting()
    with telemetry.tracer.start_as_current_span("report"):
        assert len(await whereby.meetings.list(page_size=2).collect()) == 5
        async with whereby.meetings.list(page_size=2, prefetch=2) as items:
            assert len([item async for item in items]) == 5
    (report,) = [span for span in telemetry.spans if span.name == "report"]
    assert [span.name for span in telemetry.calls] == ["meetings.list"] * 6
    assert {span.parent and span.parent.span_id for span in telemetry.calls} == {span_id(report)}


@pytest.mark.parametrize("lane", Priority)
async def test_the_lane_is_shown(whereby: WherebyClient, telemetry: Telemetry, lane: Priority) -> None:
    with use_priority(lane):
        await whereby.meetings.list()
    await whereby.with_options(priority=lane).meetings.list()
    assert [attributes(span)["whereby.lane"] for span in telemetry.calls] == [lane.name.lower()] * 2


@pytest.mark.parametrize("operation", CREATES)
async def test_an_argument_that_is_refused_is_no_call(
    whereby: WherebyClient, telemetry: Telemetry, operation: str
) -> None:
    resource = getattr(whereby, operation.partition(".")[0])
    with pytest.raises((TypeError, ValueError)):
        await resource.get("")
    assert telemetry.spans == []


async def test_the_span_is_current_on_the_wire_and_nowhere_else(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """The tracing of aiohttp sees it at each attempt; the limiter and the caller see the caller's."""
    on_the_wire: list[int] = []

    async def on_request(*_: object) -> None:
        on_the_wire.append(trace.get_current_span().get_span_context().span_id)

    class Limiter(RecordingLimiter):
        seen: list[Span] = []  # noqa: RUF012 - one limiter

        async def acquire(self, *args: Any, **options: Any) -> Permit:
            self.seen.append(trace.get_current_span())
            return await super().acquire(*args, **options)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(on_request)
    config.on_request_end.append(on_request)
    fake.faults.add(Fault(status=503, times=2))
    limiter, policy = Limiter(), RetryPolicy(base=0)
    with telemetry.tracer.start_as_current_span("caller") as caller:
        async with aiohttp.ClientSession(trace_configs=[config]) as session:
            pool = SessionPool(session=session)
            async with fake.client(hooks=[telemetry.hooks], limiter=limiter, pool=pool, retry=policy) as whereby:
                await whereby.meetings.list()
                assert trace.get_current_span() is caller
    assert on_the_wire == [span_id(telemetry.only())] * 6
    assert limiter.seen == [caller] * 3


async def test_fifty_calls_at_once_have_each_their_own_parent(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry
) -> None:
    fake.faults.add(Fault(status=429, times=25))

    async def one(number: int) -> None:
        with telemetry.tracer.start_as_current_span(f"caller {number}") as caller:
            task = asyncio.create_task(listed(whereby))
            if number % 10 == 0:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            assert trace.get_current_span() is caller

    await asyncio.gather(*(one(number) for number in range(50)))
    callers = {span_id(span): span for span in telemetry.spans if span.name.startswith("caller")}
    parents = {span.parent.span_id: span for span in telemetry.calls if span.parent}
    assert (len(telemetry.calls), parents.keys()) == (50, callers.keys())
    failed = [attributes(span)["error.type"] for span in telemetry.calls if "error.type" in attributes(span)]
    assert failed == ["CancelledError"] * 5
    for parent, span in parents.items():
        assert times(callers[parent])[0] <= times(span)[0] <= times(span)[1] <= times(callers[parent])[1]


async def test_a_dropped_coroutine_ends_its_span(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """While it waits; in a copy of its context or in another one, as the garbage collector does it."""
    async with fake.client(hooks=[telemetry.hooks], limiter=BlockedLimiter()) as whereby:
        for context in (contextvars.copy_context(), contextvars.Context()):
            coroutine = listed(whereby)
            coroutine.send(None)
            context.run(coroutine.close)
    assert [attributes(span)["error.type"] for span in telemetry.calls] == ["GeneratorExit"] * 2


def test_a_coroutine_dropped_on_the_wire_ends_its_span(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """It is closed in another context than it was begun in: its span is not current there, and nothing is logged."""

    async def main() -> None:
        async with FakeWhereby() as fake, fake.client(hooks=[telemetry.hooks]) as whereby:
            await whereby.meetings.list()  # a connection is at hand, so that the next call goes as far as its answer
            context = contextvars.copy_context()
            coroutine = listed(whereby)
            context.run(coroutine.send, None)
            assert context.run(trace.get_current_span).is_recording()
            coroutine.close()
            assert not trace.get_current_span().get_span_context().is_valid

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    told = attributes(telemetry.calls[-1])
    assert (told["error.type"], told["whereby.points.spent"]) == ("GeneratorExit", 1)
    assert "detach" not in caplog.text


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("method", ["on_call", "on_attempt", "on_response", "on_retry", "on_end"])
@pytest.mark.parametrize("first", [False, True])
async def test_another_hook_that_raises_leaves_no_span_open(
    fake: FakeWhereby, telemetry: Telemetry, error: type[BaseException], method: str, *, first: bool
) -> None:
    """Whatever it raises, before this one or behind it: each span that began has ended, and none is current."""

    def fail(_: object) -> None:
        raise error

    broken = type("Broken", (), {method: staticmethod(fail)})()
    fake.faults.add(Fault(status=503))
    hooks: list[Any] = [telemetry.hooks, broken]
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
        await asyncio.gather(*(listed(whereby) for _ in range(5)))

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


async def test_views_are_traced_once_by_the_clients_hooks(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """Also with the view's own limiter, and although the same hooks were given twice."""
    async with fake.client(hooks=[telemetry.hooks, telemetry.hooks]) as whereby:
        await whereby.with_options(timeout=5.0).meetings.list()
        await whereby.with_options(limiter=Unlimited()).meetings.list()
    assert len(telemetry.calls) == 2


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
    assert (sampled, telemetry.spans) == ([False], [])
    assert [value for _, value in telemetry.points("whereby.points.spent")] == [1]


async def test_without_an_sdk_nothing_happens(fake: FakeWhereby) -> None:
    """The API's own no-op providers: calls go on, and nothing stays current."""
    fake.faults.add(Fault(status=503))
    async with fake.client(hooks=[OpenTelemetryHooks()], retry=RetryPolicy(base=0)) as whereby:
        await whereby.meetings.list()
    assert not trace.get_current_span().get_span_context().is_valid
