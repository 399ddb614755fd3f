"""One span for each call: its name, its attributes, its end, whatever becomes of the call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from otel.telemetry import Telemetry, Turnstile, attributes, events
from support.calls import CREATES, EVERY, UNTIL, answer
from support.wire_server import WireServer

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetError,
    ClientClosedError,
    Priority,
    ResponseDecodeError,
    RetryPolicy,
    SessionPool,
    WherebyClient,
    use_priority,
)
from whereby_async.limiter import Unlimited
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from whereby_async.hooks import RetryDetails
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio


async def test_a_call_is_one_client_span_by_the_conventions(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry
) -> None:
    """Name, kind, attributes and events of a call that goes well; its status stays unset."""
    await whereby.meetings.create(end_date=UNTIL)
    span = telemetry.only()
    assert (span.name, span.kind, span.status.status_code) == ("meetings.create", SpanKind.CLIENT, StatusCode.UNSET)
    waited = attributes(span)["whereby.points.waited"]
    assert 0 <= waited < 0.1
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "server.address": "127.0.0.1",
        "server.port": fake.port,
        "url.scheme": "http",
        "url.template": "/v1/meetings",
        "whereby.operation": "meetings.create",
        "whereby.lane": "normal",
        "whereby.points.spent": 3,
        "whereby.points.remaining": 999_997,
        "whereby.points.limit": 1_000_000,
        "whereby.points.waited": waited,
    }
    assert events(span) == [
        ("attempt", {"whereby.attempt": 1, "whereby.points.cost": 3, "whereby.points.waited": waited}),
        (
            "response",
            {
                "whereby.attempt": 1,
                "http.response.status_code": 201,
                "whereby.points.remaining": 999_997,
                "whereby.points.limit": 1_000_000,
            },
        ),
    ]
    scope = span.instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.schema_url) == ("whereby_async", "https://opentelemetry.io/schemas/1.27.0")
    assert telemetry.waits == []


@pytest.mark.parametrize("operation", EVERY)
async def test_every_operation_goes_by_its_name_and_template(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry, operation: str
) -> None:
    """Placeholders stay placeholders."""
    answer(fake, operation)
    await EVERY[operation](whereby)
    span = telemetry.only()
    assert (span.name, attributes(span)["whereby.operation"]) == (operation, operation)
    assert "/1" not in attributes(span)["url.template"]
    assert "/demo" not in attributes(span)["url.template"]


async def test_a_request_of_ones_own_goes_by_the_name_it_was_given(
    whereby: WherebyClient, telemetry: Telemetry
) -> None:
    """With `operation=`, by that; without, by its method: its path may hold an id. The path is never told."""
    await whereby.request("GET", "/meetings", operation="meetings.search")
    with pytest.raises(APIStatusError):
        await whereby.request("GET", "/meetings/424242")
    named, unnamed = telemetry.calls
    assert (named.name, attributes(named)["whereby.operation"]) == ("meetings.search", "meetings.search")
    assert unnamed.name == "GET"
    assert "whereby.operation" not in attributes(unnamed)
    assert "url.template" not in attributes(named) | attributes(unnamed)
    assert "424242" not in telemetry.everything()


async def test_no_id_and_no_name_of_a_room_is_told(whereby: WherebyClient, telemetry: Telemetry) -> None:
    """Arguments stay out of spans and metrics, in paths, queries, bodies and errors."""
    with pytest.raises(APIStatusError):
        await whereby.meetings.get("planted-id")
    await whereby.meetings.create(end_date=UNTIL, room_name_prefix="planted-prefix")
    await whereby.rooms.set_theme_tokens("/planted-room", primary="#000000")
    await whereby.insights.rooms(name_contains="planted-part", extra={"x": "planted-extra"})
    assert len(telemetry.calls) == 4
    assert "planted" not in telemetry.everything()


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 422, 500, 503])
async def test_an_error_status_is_told_by_its_number(
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
    assert attributes(span)["http.request.resend_count"] == 3
    assert attributes(span)["http.response.status_code"] == 200
    assert attributes(span)["whereby.points.spent"] == 4
    assert "error.type" not in attributes(span)
    assert span.status.status_code is StatusCode.UNSET
    times = [event.timestamp for event in span.events]
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= times[0]
    assert times == sorted(times)
    assert times[-1] <= span.end_time


async def test_an_answer_without_headers_states_no_points(
    whereby: WherebyClient, telemetry: Telemetry, fake: FakeWhereby
) -> None:
    """What the server did not say is not told."""
    fake.faults.add(Fault(headers={"X-RateLimit-Limit": "?", "X-RateLimit-Remaining": "?"}))
    await whereby.meetings.list()
    assert not attributes(telemetry.only()).keys() & {"whereby.points.remaining", "whereby.points.limit"}


async def test_a_refused_connection_spends_no_points_and_has_no_status(telemetry: Telemetry) -> None:
    """The error is told by its class."""
    async with WireServer(_stall) as server:
        url = server.url
    policy = RetryPolicy(attempts=2, base=0)
    async with WherebyClient(
        "k" * 20, base_url=url, limiter=Unlimited(), retry=policy, hooks=[telemetry.hooks]
    ) as whereby:
        with pytest.raises(APIConnectionError):
            await whereby.meetings.create(end_date=UNTIL)
    told = attributes(telemetry.only())
    assert (told["error.type"], told["whereby.points.spent"], told["http.request.resend_count"]) == (
        "APIConnectionError", 0, 1,
    )  # fmt: skip
    assert "http.response.status_code" not in told
    assert telemetry.only().status.status_code is StatusCode.ERROR


async def test_a_timeout_spends_its_points(telemetry: Telemetry) -> None:
    """It may have reached the server."""
    async with WireServer(_stall) as server, _client(server, telemetry, timeout=0.05) as whereby:
        with pytest.raises(APITimeoutError):
            await whereby.meetings.create(end_date=UNTIL)
    told = attributes(telemetry.only())
    assert (told["error.type"], told["whereby.points.spent"]) == ("APITimeoutError", 3)


async def test_a_body_of_the_wrong_shape_is_an_error_with_status_200(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry
) -> None:
    """The class tells that it was not the status."""
    fake.faults.add(Fault(status=200, body=b"3"))
    with pytest.raises(ResponseDecodeError):
        await whereby.meetings.list()
    told = attributes(telemetry.only())
    assert (told["http.response.status_code"], told["error.type"]) == (200, "ResponseDecodeError")


async def test_a_cancel_during_the_wait_ends_the_span(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """The wait in vain is told with its error, no attempt, no points."""
    turnstile = Turnstile()
    async with fake.client(hooks=[telemetry.hooks], limiter=turnstile) as whereby:
        task = asyncio.create_task(_get(whereby))
        while not turnstile.asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    told = attributes(telemetry.only())
    assert (told["error.type"], told["whereby.points.spent"]) == ("CancelledError", 0)
    assert telemetry.only().status.status_code is StatusCode.ERROR
    assert events(telemetry.only()) == []
    (wait,) = telemetry.waits
    assert (attributes(wait)["error.type"], wait.status.status_code) == ("CancelledError", StatusCode.ERROR)


async def test_a_cancel_on_the_wire_ends_the_span(telemetry: Telemetry) -> None:
    """Its points are spent, and no status is known."""
    async with WireServer(_stall) as server, _client(server, telemetry) as whereby:
        task = asyncio.create_task(_get(whereby))
        while not server.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    told = attributes(telemetry.only())
    assert (told["error.type"], told["whereby.points.spent"]) == ("CancelledError", 1)
    assert "http.response.status_code" not in told


async def test_a_cancel_in_the_body_ends_the_span_with_the_status(telemetry: Telemetry) -> None:
    """The headers had come."""
    heard = asyncio.Event()

    async def half(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nX-RateLimit-Limit: 7\r\n\r\n{")
        await writer.drain()
        await reader.read()

    async def on_request_end(*_: object) -> None:
        heard.set()

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_request_end)
    async with (
        WireServer(half) as server,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        _client(server, telemetry, pool=SessionPool(session=session)) as whereby,
    ):
        task = asyncio.create_task(_get(whereby))
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    told = attributes(telemetry.only())
    assert (told["error.type"], told["http.response.status_code"]) == ("CancelledError", 200)


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
        task = asyncio.create_task(_get(whereby))
        await pauses.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    told = attributes(telemetry.only())
    assert (told["error.type"], told["http.response.status_code"]) == ("CancelledError", 503)


async def test_a_refusal_to_wait_ends_the_span(whereby: WherebyClient, telemetry: Telemetry) -> None:
    """No attempt, no points."""
    limiter: Any = whereby.limiter
    limiter.refuse = True
    with pytest.raises(BudgetError):
        await whereby.meetings.list()
    told = attributes(telemetry.only())
    assert (told["error.type"], told["whereby.points.spent"]) == ("BudgetError", 0)


async def test_a_refusal_after_a_429_tells_of_the_429(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry
) -> None:
    """What the caller gets is the server's answer, and so does the span."""
    fake.faults.add(Fault(status=429))
    with pytest.raises(APIStatusError):
        await whereby.with_options(max_wait=1).meetings.list()
    told = attributes(telemetry.only())
    assert (told["error.type"], told["http.response.status_code"]) == ("429", 429)


async def test_closing_the_client_ends_the_spans_of_calls_that_wait(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """And a call of a closed client is a span that ends at once."""
    turnstile = Turnstile()
    whereby = fake.client(hooks=[telemetry.hooks], limiter=turnstile)
    task = asyncio.create_task(_get(whereby))
    while not turnstile.asked:
        await asyncio.sleep(0)
    await whereby.aclose()
    for refused in (task, asyncio.create_task(_get(whereby))):
        with pytest.raises(ClientClosedError):
            await refused
    assert [attributes(span)["error.type"] for span in telemetry.calls] == ["ClientClosedError"] * 2


async def test_a_wait_for_points_is_a_child_span_with_its_true_times(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """It begins when points are asked for and ends when they are there, inside the call's span."""
    turnstile = Turnstile()
    async with fake.client(hooks=[telemetry.hooks], limiter=turnstile) as whereby:
        asyncio.get_running_loop().call_later(0.05, turnstile.opened.set)
        await whereby.meetings.list()
    call, (wait,) = telemetry.only(), telemetry.waits
    assert wait.kind is SpanKind.INTERNAL
    assert wait.parent is not None
    assert call.context is not None
    assert wait.parent.span_id == call.context.span_id
    assert wait.start_time is not None
    assert wait.end_time is not None
    assert call.start_time is not None
    assert call.start_time <= wait.start_time < wait.end_time <= call.events[0].timestamp
    waited = attributes(call)["whereby.points.waited"]
    assert waited >= 0.045
    assert (wait.end_time - wait.start_time) / 1e9 == pytest.approx(waited, abs=0.005)
    assert attributes(wait) == {"whereby.operation": "meetings.list", "whereby.lane": "normal"}
    assert wait.status.status_code is StatusCode.UNSET


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
    assert report.context is not None
    assert {span.parent and span.parent.span_id for span in telemetry.calls} == {report.context.span_id}


@pytest.mark.parametrize("lane", Priority)
async def test_the_lane_is_told(whereby: WherebyClient, telemetry: Telemetry, lane: Priority) -> None:
    """That of the call, wherever it comes from."""
    with use_priority(lane):
        await whereby.meetings.list()
    await whereby.with_options(priority=lane).meetings.list()
    assert [attributes(span)["whereby.lane"] for span in telemetry.calls] == [lane.name.lower()] * 2


@pytest.mark.parametrize("operation", CREATES)
async def test_an_argument_that_is_refused_is_no_call(
    whereby: WherebyClient, telemetry: Telemetry, operation: str
) -> None:
    """Nothing was sent, no point asked for."""
    resource = getattr(whereby, operation.partition(".")[0])
    with pytest.raises((TypeError, ValueError)):
        await resource.get("")
    assert telemetry.spans == []


async def _stall(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await server.next_request(reader)
    await reader.read()


def _client(server: WireServer, telemetry: Telemetry, **options: Any) -> WherebyClient:
    return WherebyClient("k" * 20, base_url=server.url, limiter=Unlimited(), hooks=[telemetry.hooks], **options)


async def _get(whereby: WherebyClient) -> object:
    return await whereby.meetings.list()
