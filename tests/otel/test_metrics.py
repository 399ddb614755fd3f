"""What is measured: requests, points, waits, refusals."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from otel.telemetry import Telemetry, Turnstile
from support.calls import UNTIL
from support.wire_server import WireServer

from whereby_async import APIConnectionError, BudgetTimeoutError, NotFoundError, Priority, RetryPolicy, WherebyClient
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

DURATION = "http.client.request.duration"


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
    listed, got = server | {"url.template": "/v1/meetings"}, server | {"url.template": "/v1/meetings/{meeting_id}"}
    measured = telemetry.points(DURATION)
    assert sorted((attributes for attributes, _ in measured), key=str) == sorted(
        (
            listed | {"http.response.status_code": 200},
            listed | {"http.response.status_code": 503, "error.type": "503"},
            listed | {"error.type": "APIConnectionError"},
            got | {"http.response.status_code": 404, "error.type": "404"},
        ),
        key=str,
    )
    assert [point.count for _, point in measured] == [1] * 4
    assert all(0 < point.sum < 5 for _, point in measured)
    assert measured[0][1].explicit_bounds == (
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    )  # fmt: skip


async def test_points_are_counted_by_operation_and_lane(
    whereby: WherebyClient, telemetry: Telemetry, fake: FakeWhereby
) -> None:
    """As many as the server counts."""
    await whereby.meetings.create(end_date=UNTIL)
    await whereby.with_options(priority=Priority.BATCH).meetings.create(end_date=UNTIL)
    await whereby.meetings.list()
    await whereby.request("GET", "/meetings")
    counted = {
        (told["whereby.operation"], told["whereby.lane"]): value
        for told, value in telemetry.points("whereby.points.spent")
    }
    assert counted == {
        ("meetings.create", "normal"): 3,
        ("meetings.create", "batch"): 3,
        ("meetings.list", "normal"): 1,
        ("_OTHER", "normal"): 1,
    }
    assert sum(counted.values()) == fake.points_spent


async def test_a_request_that_never_left_spends_nothing(telemetry: Telemetry) -> None:
    """It is measured as a request, and no point is counted."""
    async with WireServer(_hang_up) as server:
        url = server.url
    policy = RetryPolicy(attempts=2, base=0)
    async with WherebyClient(
        "k" * 20, base_url=url, limiter=Unlimited(), retry=policy, hooks=[telemetry.hooks]
    ) as whereby:
        with pytest.raises(APIConnectionError):
            await whereby.meetings.list()
    ((told, point),) = telemetry.points(DURATION)
    assert (told["error.type"], point.count) == ("APIConnectionError", 2)
    assert telemetry.points("whereby.points.spent") == []


async def test_answers_429_are_counted(fake: FakeWhereby, whereby: WherebyClient, telemetry: Telemetry) -> None:
    """Each, and the retry that succeeds is none."""
    fake.faults.add(Fault(status=429, times=2))
    await whereby.meetings.list()
    assert telemetry.points("whereby.throttled") == [
        ({"whereby.operation": "meetings.list", "whereby.lane": "normal"}, 2)
    ]
    await whereby.meetings.list()
    assert [value for _, value in telemetry.points("whereby.throttled")] == [2]


async def test_waits_for_points_are_measured(telemetry: Telemetry) -> None:
    """Over a window's end: whoever waited is seen, and who did not counts as 0."""
    async with FakeWhereby(limit=4, period=0.3) as fake:
        limiter = PointBudget(4, period=0.3)
        async with fake.client(hooks=[telemetry.hooks], limiter=limiter) as whereby:
            await asyncio.gather(*(_list(whereby) for _ in range(6)))
    ((told, point),) = telemetry.points("whereby.points.wait")
    assert told == {"whereby.operation": "meetings.list", "whereby.lane": "normal"}
    assert point.count == 6
    assert point.max >= 0.2
    assert point.explicit_bounds[-1] == 300.0
    longest = max(span.end_time - span.start_time for span in telemetry.waits if span.end_time and span.start_time)
    assert longest / 1e9 == pytest.approx(point.max, abs=0.01)


async def test_waits_in_vain_are_measured_with_their_error(fake: FakeWhereby, telemetry: Telemetry) -> None:
    """A refusal and a cancel; a call that was served is not among them."""
    turnstile = Turnstile()
    budget = PointBudget(1, period=60.0)
    async with fake.client(hooks=[telemetry.hooks], limiter=turnstile) as whereby:
        task = asyncio.create_task(_list(whereby))
        while not turnstile.asked:
            await asyncio.sleep(0)
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


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_call_that_began_unheard_is_left_alone(
    fake: FakeWhereby, telemetry: Telemetry, when: str, no_beginning: Callable[[object], object]
) -> None:
    """Should the beginning of a call not have come through, the rest of it makes no span and no error."""
    hooks = [no_beginning(telemetry.hooks)]
    fake.faults.add(Fault(drop="before" if when == "before" else "after"))
    async with fake.client(hooks=hooks, retry=RetryPolicy(base=0)) as whereby:
        await whereby.meetings.list()
    assert telemetry.spans == []


@pytest.fixture
def no_beginning() -> Callable[[object], object]:
    """Passes on everything but beginnings."""

    class Deaf:
        def __init__(self, hooks: object) -> None:
            self._hooks = hooks

        def __getattr__(self, name: str) -> object:
            if name == "on_call":
                raise AttributeError(name)
            return getattr(self._hooks, name)

    return Deaf


async def _list(whereby: WherebyClient) -> object:
    return await whereby.meetings.list()


async def _hang_up(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
