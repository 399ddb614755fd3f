"""The gauges of points and queues: whose they are, what they show, and that they keep nobody alive."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from otel.telemetry import Telemetry, Turnstile
from support.recording_limiter import RecordingLimiter

from whereby_async import Priority, WherebyClient
from whereby_async.limiter import PointBudget, Unlimited

if TYPE_CHECKING:
    from whereby_async.limiter import BudgetSnapshot
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

GAUGES = ("whereby.points.limit", "whereby.points.remaining", "whereby.queue.points", "whereby.queue.calls")


async def test_points_are_shown_as_the_limiter_knows_them(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """Nothing that is unknown; then limit and remaining, labelled with server and budget."""
    async with fake.client(hooks=[telemetry.hooks], limiter=PointBudget(1_000_000)) as whereby:
        assert telemetry.points("whereby.points.remaining") == []
        await whereby.meetings.list()
        label = {"server.address": "127.0.0.1", "whereby.budget": "1"}
        assert telemetry.points("whereby.points.limit") == [(label, 1_000_000)]
        assert telemetry.points("whereby.points.remaining") == [(label, 999_999)]
        assert telemetry.points("whereby.queue.points") == [(label, 0)]


async def test_the_queue_is_shown_by_lane(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """Calls that wait, and the points that they ask for."""
    limiter = PointBudget(2)
    permit = await limiter.acquire(2)
    async with fake.client(hooks=[telemetry.hooks], limiter=limiter) as whereby:
        batch = whereby.with_options(priority=Priority.BATCH)
        tasks = [asyncio.create_task(_list(client)) for client in (whereby, whereby, batch)]
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
    refers: list[weakref.ref[Any]] = [weakref.ref(client), weakref.ref(client.limiter), weakref.ref(hooks)]
    del client, hooks
    gc.collect()
    assert [refer() for refer in refers] == [None] * 3
    assert [telemetry.points(gauge) for gauge in GAUGES] == [[]] * 4
    async with fake.client(hooks=[telemetry.hooks], limiter=PointBudget(20)):
        ((told, value),) = telemetry.points("whereby.points.limit")
        assert (told["whereby.budget"], value) == ("1", 20)


async def test_what_is_unmetered_has_a_queue_and_no_points(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """Two thousand million points would be no news."""
    async with fake.client(hooks=[telemetry.hooks], limiter=Unlimited()) as whereby:
        await whereby.meetings.list()
        assert [len(telemetry.points(gauge)) for gauge in GAUGES] == [0, 0, 1, 3]


async def test_a_limiter_that_fails_hides_no_other(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """One whose snapshot raises is not shown, nor one that nobody can refer to weakly."""

    class Broken(RecordingLimiter):
        def snapshot(self) -> BudgetSnapshot:
            raise ConnectionError

    broken, slotted = Broken(), _without_weak_references(Turnstile())
    clients = [fake.client(hooks=[telemetry.hooks], limiter=limiter) for limiter in (broken, slotted, PointBudget(10))]
    assert [value for _, value in telemetry.points("whereby.points.limit")] == [10]
    for client in clients:
        await client.aclose()


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
print({metric.name: [point.value for point in metric.data.data_points] for metric in scope.metrics}["whereby.points.limit"])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, check=True, encoding="utf-8"
    )
    assert (done.stdout, done.stderr) == ("[10, 20, 30]\n", "")


def _without_weak_references(limiter: RecordingLimiter) -> Any:
    class Slotted:
        __slots__ = ("aclose", "acquire", "forecast", "snapshot", "subscribe", "unsubscribe")

    slotted = Slotted()
    for name in Slotted.__slots__:
        setattr(slotted, name, getattr(limiter, name))
    return slotted


async def _list(whereby: WherebyClient) -> object:
    return await whereby.meetings.list()
