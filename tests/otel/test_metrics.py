"""What is measured (requests, points, waits, refusals, limiters), and what the extra needs."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from support.calls import UNTIL
from support.recording_limiter import RecordingLimiter
from support.telemetry import BlockedLimiter, Telemetry, listed, times

from whereby_async import BudgetTimeoutError, ConfigurationError, NotFoundError, Priority, RetryPolicy, WherebyClient
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.otel import OpenTelemetryHooks
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from whereby_async.limiter import BudgetSnapshot

pytestmark = pytest.mark.anyio

DURATION = "http.client.request.duration"
GAUGES = ("whereby.points.limit", "whereby.points.remaining", "whereby.queue.points", "whereby.queue.calls")


async def test_each_request_is_measured_by_the_conventions(
    fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry
) -> None:
    """Each attempt of each call, by method, server, template, status and error, in the conventions' buckets."""
    fake.faults.add(Fault(status=503), Fault(drop="after"))
    await whereby.meetings.list()
    with pytest.raises(NotFoundError):
        await whereby.meetings.get("1")
    server = {
        "http.request.method": "GET", "server.address": "127.0.0.1", "server.port": fake.port, "url.scheme": "http",
    }  # fmt: skip
    listing, got = server | {"url.template": "/v1/meetings"}, server | {"url.template": "/v1/meetings/{meeting_id}"}
    expected = (
        listing | {"http.response.status_code": 200},
        listing | {"http.response.status_code": 503, "error.type": "503"},
        listing | {"error.type": "APIConnectionError"},
        got | {"http.response.status_code": 404, "error.type": "404"},
    )
    measured = telemetry.points(DURATION)
    assert sorted((attributes for attributes, _ in measured), key=str) == sorted(expected, key=str)
    assert [point.count for _, point in measured] == [1] * 4
    assert all(0 < point.sum < 5 for _, point in measured)
    assert measured[0][1].explicit_bounds == (
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    )  # fmt: skip


async def test_points_are_counted_by_operation_and_lane(
    whereby: WherebyClient, telemetry: Telemetry, fake: FakeWhereby
) -> None:
    await whereby.meetings.create(end_date=UNTIL)
    await whereby.with_options(priority=Priority.BATCH).meetings.create(end_date=UNTIL)
    await whereby.meetings.list()
    await whereby.request("GET", "/meetings")
    counted = {tuple(told.values()): value for told, value in telemetry.points("whereby.points.spent")}
    assert {tuple(told) for told, _ in telemetry.points("whereby.points.spent")} == {
        ("whereby.operation", "whereby.lane")
    }
    assert counted == {
        ("meetings.create", "normal"): 3,
        ("meetings.create", "batch"): 3,
        ("meetings.list", "normal"): 1,
        ("_OTHER", "normal"): 1,
    }
    assert sum(counted.values()) == fake.points_spent


async def test_answers_429_are_counted(fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry) -> None:
    fake.faults.add(Fault(status=429, times=2))
    for _ in range(2):
        await whereby.meetings.list()
        labels = {"whereby.operation": "meetings.list", "whereby.lane": "normal"}
        assert telemetry.points("whereby.throttled") == [(labels, 2)]


async def test_waits_for_points_are_measured(telemetry: Telemetry) -> None:
    """Over a window's end: calls that waited are seen, and those that did not count as 0."""
    async with FakeWhereby(limit=4, period=0.3) as fake:
        limiter = PointBudget(4, period=0.3)
        async with fake.client(hooks=[telemetry.hooks], limiter=limiter) as whereby:
            await asyncio.gather(*(listed(whereby) for _ in range(6)))
    ((told, point),) = telemetry.points("whereby.points.wait")
    assert told == {"whereby.operation": "meetings.list", "whereby.lane": "normal"}
    assert point.count == 6
    assert point.max >= 0.2
    assert point.explicit_bounds[-1] == 300.0
    longest = max(ended - began for began, ended in map(times, telemetry.waits))
    assert longest / 1e9 == pytest.approx(point.max, abs=0.01)


async def test_waits_in_vain_are_measured_with_their_error(fake: FakeWhereby, telemetry: Telemetry) -> None:
    blocked = BlockedLimiter()
    budget = PointBudget(1, period=60.0)
    async with fake.client(hooks=[telemetry.hooks], limiter=blocked) as whereby:
        task = asyncio.create_task(listed(whereby))
        await blocked.asked.wait()
        task.cancel()
        await asyncio.wait([task])
        refused = whereby.with_options(limiter=budget, max_wait=0)
        permit = await budget.acquire(1)
        with pytest.raises(BudgetTimeoutError):
            await refused.meetings.list()
        permit.release()
        await refused.meetings.list()
    assert {told.get("error.type"): point.count for told, point in telemetry.points("whereby.points.wait")} == {
        "CancelledError": 1, "BudgetTimeoutError": 1, None: 1,
    }  # fmt: skip


@pytest.mark.parametrize("fault", [Fault(drop="before"), Fault(drop="after")])
async def test_a_call_whose_beginning_was_missed_is_left_alone(
    fake: FakeWhereby, telemetry: Telemetry, fault: Fault
) -> None:
    class NoBeginning:
        def __getattr__(self, name: str) -> object:
            if name == "on_call":
                raise AttributeError(name)
            return getattr(telemetry.hooks, name)

    fake.faults.add(fault)
    async with fake.client(hooks=[NoBeginning()], retry=RetryPolicy(base=0)) as whereby:
        await whereby.meetings.list()
    assert telemetry.spans == []


async def test_points_are_shown_as_the_limiter_knows_them(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """Nothing that is unknown; then limit and remaining, labelled with server and budget."""
    async with fake.client(hooks=[telemetry.hooks], limiter=PointBudget(1_000_000)) as whereby:
        assert telemetry.points("whereby.points.remaining") == []
        await whereby.meetings.list()
        label = {"server.address": "127.0.0.1", "whereby.budget": "1"}
        assert [telemetry.points(gauge) for gauge in GAUGES[:3]] == [
            [(label, 1_000_000)],
            [(label, 999_999)],
            [(label, 0)],
        ]


async def test_the_queue_is_shown_by_lane(fake: FakeWhereby, telemetry: Telemetry) -> None:
    limiter = PointBudget(2)
    permit = await limiter.acquire(2)
    async with fake.client(hooks=[telemetry.hooks], limiter=limiter) as whereby:
        batch = whereby.with_options(priority=Priority.BATCH)
        tasks = [asyncio.create_task(listed(client)) for client in (whereby, whereby, batch)]
        while sum(limiter.snapshot().waiting.values()) < 3:
            await asyncio.sleep(0)
        calls = {told["whereby.lane"]: value for told, value in telemetry.points("whereby.queue.calls")}
        assert calls == {"interactive": 0, "normal": 2, "batch": 1}
        assert [value for _, value in telemetry.points("whereby.queue.points")] == [3]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    permit.release()


async def test_limiters_are_told_apart_and_shown_once(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """By their name, or by number; however many clients, views and hooks of one provider there are."""

    class Named(RecordingLimiter):
        name = "jobs"

    plain, named, homonym = PointBudget(10), Named(), Named()
    async with (
        fake.client(hooks=[telemetry.hooks], limiter=plain) as one,
        fake.client(hooks=[telemetry.hooks, telemetry.more_hooks()], limiter=plain),
        fake.client(hooks=[telemetry.more_hooks()], limiter=named),
    ):
        one.with_options(limiter=homonym)
        one.with_options(limiter=homonym, timeout=3)
        shown = [(told["whereby.budget"], value) for told, value in telemetry.points("whereby.points.limit")]
        assert shown == [("1", 10), ("jobs", 1000), ("2", 1000)]


async def test_gauges_keep_neither_client_nor_limiter_nor_hooks_alive(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """What is dropped is gone, and its label is free again."""
    hooks = telemetry.more_hooks()
    client = fake.client(hooks=[hooks], limiter=PointBudget(10))
    await client.meetings.list()
    await client.aclose()
    references: list[weakref.ref[Any]] = [weakref.ref(client), weakref.ref(client.limiter), weakref.ref(hooks)]
    del client, hooks
    gc.collect()
    assert [reference() for reference in references] == [None] * 3
    assert [telemetry.points(gauge) for gauge in GAUGES] == [[]] * 4
    async with fake.client(hooks=[telemetry.hooks], limiter=PointBudget(20)):
        ((told, value),) = telemetry.points("whereby.points.limit")
        assert (told["whereby.budget"], value) == ("1", 20)


async def test_what_is_unmetered_has_a_queue_and_no_points(fake: FakeWhereby, telemetry: Telemetry) -> None:
    async with fake.client(hooks=[telemetry.hooks], limiter=Unlimited()) as whereby:
        await whereby.meetings.list()
        assert [len(telemetry.points(gauge)) for gauge in GAUGES] == [0, 0, 1, 3]


async def test_a_limiter_that_fails_hides_no_other(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """One whose snapshot raises is not shown, nor one that nobody can refer to weakly."""

    class Broken(RecordingLimiter):
        def snapshot(self) -> BudgetSnapshot:
            raise ConnectionError

    class Slotted:
        __slots__ = ("aclose", "acquire", "forecast", "snapshot", "subscribe", "unsubscribe")

    slotted: Any = Slotted()
    for name in Slotted.__slots__:
        setattr(slotted, name, getattr(RecordingLimiter(), name))
    for limiter in (Broken(), slotted, PointBudget(10)):
        async with fake.client(hooks=[telemetry.hooks], limiter=limiter):
            shown = [value for _, value in telemetry.points("whereby.points.limit")]
    assert shown == [10]


def _output(program: str) -> str:
    """What a Python prints that runs the program without a warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, check=False, encoding="utf-8"
    )
    assert done.stderr == ""
    return done.stdout


def test_hooks_made_before_and_after_the_global_provider_was_set_share_its_gauges() -> None:
    """A client at a module's top level is made before the application has set up its SDK."""
    program = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from whereby_async import WherebyClient
from whereby_async.limiter import PointBudget
from whereby_async.otel import OpenTelemetryHooks

early = WherebyClient("key", limiter=PointBudget(10), hooks=[OpenTelemetryHooks()])
reader = InMemoryMetricReader()
provider = MeterProvider([reader])
metrics.set_meter_provider(provider)
late = WherebyClient("key", limiter=PointBudget(20), hooks=[OpenTelemetryHooks()])
named = WherebyClient("key", limiter=PointBudget(30), hooks=[OpenTelemetryHooks(meter_provider=provider)])
(resource,) = reader.get_metrics_data().resource_metrics
(scope,) = resource.scope_metrics
(limits,) = (metric for metric in scope.metrics if metric.name == "whereby.points.limit")
print([point.value for point in limits.data.data_points])
"""
    assert _output(program) == "[10, 20, 30]\n"


def test_spans_go_to_the_global_provider_whenever_it_was_set() -> None:
    """Hooks at a module's top level are made before the application has set up its SDK."""
    program = r"""
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from whereby_async.otel import OpenTelemetryHooks
from whereby_async.testing import FakeWhereby

early = OpenTelemetryHooks()
provider = TracerProvider()
exporter = ConsoleSpanExporter(formatter=lambda span: f"{span.name} {span.attributes.get('whereby.points.spent')}\n")
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

async def main():
    for hooks in (early, OpenTelemetryHooks()):
        async with FakeWhereby() as fake, fake.client(hooks=[hooks]) as traced:
            await traced.meetings.list()

asyncio.run(main())
"""
    assert _output(program) == "meetings.list 1\n" * 2


def test_calls_with_other_hooks_load_no_opentelemetry() -> None:
    program = """
import asyncio, sys
from whereby_async.testing import FakeWhereby

class Hook:
    def on_end(self, details): print(details.operation, details.status)

async def main():
    async with FakeWhereby() as fake, fake.client(hooks=[Hook()]) as whereby:
        await whereby.meetings.list()

asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    assert _output(program) == "meetings.list 200\n[]\n"


def test_the_hooks_alone_load_no_sdk_and_no_client() -> None:
    program = "import sys, whereby_async.otel; print([n for n in sys.modules if n in ('aiohttp', 'opentelemetry.sdk')])"
    assert _output(program) == "[]\n"


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        ("opentelemetry", "ModuleNotFoundError opentelemetry whereby_async.otel needs its extra: pip install"),
        ("msgspec", "ModuleNotFoundError msgspec No module named 'msgspec'"),
    ],
)
def test_a_module_that_is_missing_is_named(absent: str, told: str) -> None:
    """The advice to install the extra is given only where it helps."""
    program = f"""
import sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Nowhere())
try:
    from whereby_async.otel import OpenTelemetryHooks
except ImportError as error:
    print(type(error).__name__, error.name, error)
"""
    assert _output(program).startswith(told)


@pytest.mark.parametrize("name", ["tracer_provider", "meter_provider"])
@pytest.mark.parametrize("odd", ["x", 5, TracerProvider])
def test_a_provider_that_is_none_is_refused(name: str, odd: Any) -> None:
    match = rf"{name}=.* has no get_(tracer|meter): pass one of OpenTelemetry's SDK"
    with pytest.raises(ConfigurationError, match=match):
        OpenTelemetryHooks(**{name: odd})
