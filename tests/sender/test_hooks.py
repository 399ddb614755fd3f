"""Hooks and the log: who is told what."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import pydoc
import time
import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.calls import AT_ONCE
from support.recording_limiter import RecordingLimiter

import whereby_async.hooks
from whereby_async import (
    InternalServerError,
    RetryPolicy,
    WherebyClient,
)
from whereby_async.limiter import PointBudget
from whereby_async.testing import FakeWhereby, Fault, run_simulated

if TYPE_CHECKING:
    from whereby_async.hooks import AttemptDetails, EndDetails, ResponseDetails, RetryDetails
    from whereby_async.limiter import Permit


pytestmark = pytest.mark.anyio


class Listener:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[AttemptDetails | RetryDetails | ResponseDetails] = []

    def on_attempt(self, details: AttemptDetails) -> None:
        self.told.append(details)

    def on_retry(self, details: RetryDetails) -> None:
        self.told.append(details)

    def on_response(self, details: ResponseDetails) -> None:
        self.told.append(details)


async def test_hooks_are_told_of_attempts_retries_and_answers(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """In order, with attempt numbers, prices, reasons and sizes."""
    listener = Listener()
    fake.faults.add(Fault(status=429), Fault(drop="after"), Fault(status=503, body=b"12345"))
    async with fake.client(limiter=limiter, retry=AT_ONCE, hooks=[listener]) as whereby:
        await whereby.meetings.list()
    told = [(type(each).__name__.removesuffix("Details"), each.attempt) for each in listener.told]
    assert told == [
        ("Attempt", 1), ("Response", 1), ("Retry", 1),
        ("Attempt", 2), ("Retry", 2),
        ("Attempt", 3), ("Response", 3), ("Retry", 3),
        ("Attempt", 4), ("Response", 4),
    ]  # fmt: skip
    by_kind: dict[str, list[Any]] = {}
    for each in listener.told:
        by_kind.setdefault(type(each).__name__, []).append(each)
        assert each.operation == "meetings.list"
    assert [each.reason for each in by_kind["RetryDetails"]] == ["throttled", "connection", "status 503"]
    assert [each.status for each in by_kind["ResponseDetails"]] == [429, 503, 200]
    assert by_kind["ResponseDetails"][1].size == 5
    assert by_kind["ResponseDetails"][2].rate_limit.remaining == 999_996
    assert all(each.elapsed > 0 for each in by_kind["ResponseDetails"])
    attempt = by_kind["AttemptDetails"][0]
    assert (attempt.method, attempt.cost, attempt.priority) == ("GET", 1, "NORMAL")
    assert attempt.waited >= 0
    with pytest.raises(AttributeError):
        attempt.cost = 5


class Lagging:
    """A limiter on a busy machine: it has the points, but the process is put to sleep before they are asked for."""

    async def acquire(self, cost: int, **how: Any) -> Permit:
        time.sleep(0.01)  # noqa: ASYNC251 - stands for the machine's scheduler
        ask: Any = super()
        permit: Permit = await ask.acquire(cost, **how)
        return permit


class LaggingBudget(Lagging, PointBudget):
    """It says of each permit how long the call has waited."""


class LaggingRecorder(Lagging, RecordingLimiter):
    """It says nothing of that."""


@pytest.mark.parametrize(("kind", "says"), [(LaggingBudget, True), (LaggingRecorder, False)])
async def test_points_that_were_there_were_not_waited_for(
    fake: FakeWhereby, kind: type[LaggingBudget | LaggingRecorder], says: bool
) -> None:
    """However long the machine takes over it, if the limiter says so; if it says nothing, the clock has to do."""
    told: list[AttemptDetails | EndDetails] = []

    class Everything:
        on_attempt = on_end = staticmethod(told.append)

    fake.faults.add(Fault(status=503))
    async with fake.client(limiter=kind(), retry=AT_ONCE, hooks=[Everything()]) as whereby:
        await whereby.meetings.list()
    assert [each.waited == 0.0 for each in told] == [says] * 3
    assert says or told[2].waited >= 0.02


@pytest.mark.parametrize("batched", [False, True], ids=["alone", "in-a-batch"])
def test_waits_are_told_in_the_time_of_the_loop(batched: bool) -> None:
    """A call waits a minute for its window; its second attempt finds a point there, and has not waited."""
    told: list[AttemptDetails | EndDetails] = []

    class Everything:
        on_attempt = on_end = staticmethod(told.append)

    async def wait_and_fail() -> None:
        options: Any = {"limiter": PointBudget(2, reserve=0), "retry": AT_ONCE, "hooks": [Everything()]}
        async with FakeWhereby(limit=2, period=60.0) as fake, fake.client(**options) as whereby:
            for _ in range(2):
                await whereby.meetings.list()
            told.clear()
            fake.faults.add(Fault(status=503))
            if batched:
                async with whereby.batch(whereby.meetings.list().collect, [{}]) as outcomes:
                    assert [outcome.ok async for outcome in outcomes] == [True]
            else:
                await whereby.meetings.list()

    run_simulated(wait_and_fail())
    waited, again, all_together = (each.waited for each in told)
    assert 59.0 < waited < 61.0
    assert again == 0.0
    assert all_together == waited


async def test_the_last_failure_is_no_retry(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """`on_retry` is told only of attempts that another follows; a timeout is told as one."""
    listener = Listener()
    fake.faults.add(Fault(delay=60), Fault(status=500, times=None))
    policy = RetryPolicy(attempts=3, base=0)
    async with fake.client(limiter=limiter, retry=policy, hooks=[listener], timeout=0.2) as whereby:
        with pytest.raises(InternalServerError):
            await whereby.meetings.list()
    retries = [each for each in listener.told if type(each).__name__ == "RetryDetails"]
    assert [msgspec.structs.asdict(each)["reason"] for each in retries] == ["timeout", "status 500"]


async def test_a_hook_that_raises_breaks_nothing(
    fake: FakeWhereby, limiter: RecordingLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    """The call goes on, the other hooks are told, and the log says it once for each method."""

    class Broken:
        def on_attempt(self, details: AttemptDetails) -> None:
            raise KeyError(details.operation)

        def on_retry(self, details: RetryDetails) -> None:
            raise KeyError(details.operation)

        def on_response(self, details: ResponseDetails) -> None:
            raise KeyError(details.operation)

    listener = Listener()
    fake.faults.add(Fault(status=503, times=2))
    with caplog.at_level(logging.ERROR, logger="whereby_async"):
        async with fake.client(limiter=limiter, retry=AT_ONCE, hooks=[Broken(), listener]) as whereby:
            await whereby.meetings.list()
            await whereby.meetings.list()
    assert limiter.ends == [["settle"]] * 4
    assert len(listener.told) == 10
    said = [record.getMessage() for record in caplog.records]
    assert [words.partition(" ")[0] for words in said] == ["Broken.on_attempt", "Broken.on_response", "Broken.on_retry"]


@pytest.mark.parametrize("steps", [1, 3, 11, 12, 16, 25])
def test_call_that_is_dropped_with_its_loop_simply_goes(steps: int) -> None:
    """However far it got: nothing is raised but its end, and that is told as given up from outside."""
    ends: list[EndDetails] = []

    class Ends:
        def on_end(self, details: EndDetails) -> None:
            ends.append(details)

    async def some_steps() -> None:
        for _ in range(steps):
            await asyncio.sleep(0.0)

    with FakeWhereby().in_thread() as fake:
        fake.faults.add(Fault(delay=1000.0, times=None))
        # aiohttp's wait for a name to be resolved raises a RuntimeError when it is dropped
        client = fake.client(hooks=[Ends()], base_url=fake.url.replace("127.0.0.1", "localhost"))
        loop = asyncio.new_event_loop()
        call = client.meetings.get("1")
        task: Any = loop.create_task(call)
        task._log_destroy_pending = False
        loop.run_until_complete(some_steps())
        others: list[Any] = [each for each in asyncio.all_tasks(loop) if each is not task]
        for each in others:
            each._log_destroy_pending = False
        loop.close()
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            call.close()
            del task, call, others
            gc.collect()
        asyncio.run(client.aclose())
    assert [(end.error, end.cancelled) for end in ends] == [("GeneratorExit", True)]


def test_hooks_can_be_looked_up() -> None:
    """`help` and `inspect.signature` find every name that the details speak of."""
    assert "class LimiterDetails" in pydoc.plain(pydoc.render_doc(whereby_async.hooks))
    for name in whereby_async.hooks.__all__:
        kind = getattr(whereby_async.hooks, name)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            assert list(inspect.signature(kind).parameters) == list(kind.__struct_fields__)
    assert {"OnOutage", "OutageDetails", "Hook"} <= set(whereby_async.hooks.__all__)


async def test_limiter_hooks_are_subscribed_once_and_taken_back(fake: FakeWhereby) -> None:
    """However many views there are: each limiter tells a hook once, and no limiter keeps it after the client is closed."""

    class Waits:
        def on_wait(self, details: object) -> None:
            """Told by the limiter."""

    waits, listener, one, two = Waits(), Listener(), RecordingLimiter(), RecordingLimiter()
    async with fake.client(limiter=one, hooks=[waits, listener]) as whereby:
        for _ in range(3):
            whereby.with_options(timeout=5)
            whereby.with_options(limiter=two)
        assert one.hooks == two.hooks == [waits]
    assert one.hooks == two.hooks == []


async def test_a_limiter_of_ones_own_need_not_take_hooks_back(fake: FakeWhereby) -> None:
    """A limiter without `unsubscribe` is closed over without a word."""

    class Plain(RecordingLimiter):
        unsubscribe = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - it has none

    class Throttled:
        def on_throttle(self, details: object) -> None:
            """Told by the limiter."""

    limiter = Plain()
    async with fake.client(limiter=limiter, hooks=[Throttled()]) as whereby:
        await whereby.meetings.list()
    assert len(limiter.hooks) == 1


async def test_the_log_tells_operations_and_no_addresses(
    fake: FakeWhereby, whereby: WherebyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A retry is one DEBUG line of the one logger: operation, attempt, reason, delay."""
    fake.faults.add(Fault(status=503))
    with caplog.at_level(logging.DEBUG, logger="whereby_async"):
        await whereby.meetings.list(extra={"planted": "planted-value"})
    (record,) = [record for record in caplog.records if record.name == "whereby_async"]
    assert record.getMessage() == "meetings.list: attempt 1 failed (status 503); again in 0.000 s"
    assert "planted" not in caplog.text
