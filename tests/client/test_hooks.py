"""What hooks hear of calls, in what order, and what becomes of errors in them; and what the log says."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import pydoc
import re
import time
import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.budgets import cancel, until
from support.calls import AT_ONCE, UNTIL
from support.recording_limiter import RecordingLimiter

import whereby_async.hooks
from whereby_async import (
    APIConnectionError,
    APIStatusError,
    BudgetError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    WherebyClient,
    hooks,
)
from whereby_async.limiter import PointBudget
from whereby_async.testing import FakeWhereby, Fault, run_simulated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from whereby_async.hooks import AttemptDetails, CallDetails, EndDetails
    from whereby_async.limiter import Permit

pytestmark = pytest.mark.anyio

METHODS = ("on_call", "on_attempt", "on_response", "on_retry", "on_end")


class Recorder:
    """Keeps all details that a client gives it, in order.

    Attributes:
        heard: Each method's name and its details.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(name)
        return functools.partial(self._keep, name)

    def _keep(self, name: str, details: object) -> None:
        self.heard.append((name, details))

    def of(self, method: str) -> list[Any]:
        return [details for name, details in self.heard if name == method]

    @property
    def calls(self) -> list[CallDetails]:
        return self.of("on_call")

    @property
    def ends(self) -> list[EndDetails]:
        return self.of("on_end")


def hook_with(function: Any, *methods: str) -> Any:
    return type("Hook", (), dict.fromkeys(methods, staticmethod(function)))()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def hooked(fake: FakeWhereby, limiter: RecordingLimiter, recorder: Recorder) -> AsyncIterator[WherebyClient]:
    """A client that does not wait between attempts, with a hook that keeps all details."""
    async with fake.client(limiter=limiter, retry=AT_ONCE, hooks=[recorder]) as client:
        yield client


async def test_a_call_is_told_from_its_beginning_to_its_end(
    fake: FakeWhereby, hooked: WherebyClient, recorder: Recorder
) -> None:
    """All details carry the call's number, and those of an attempt its number; the end sums them up."""
    fake.faults.add(Fault(status=429), Fault(drop="after"), Fault(status=503, body=b"12345"))
    await hooked.meetings.list()
    assert [(name, getattr(details, "attempt", 0)) for name, details in recorder.heard] == [
        ("on_call", 0),
        ("on_attempt", 1), ("on_response", 1), ("on_retry", 1),
        ("on_attempt", 2), ("on_retry", 2),
        ("on_attempt", 3), ("on_response", 3), ("on_retry", 3),
        ("on_attempt", 4), ("on_response", 4),
        ("on_end", 0),
    ]  # fmt: skip
    (begun,), (end,) = recorder.calls, recorder.ends
    assert {(details.call, details.operation) for _, details in recorder.heard} == {(begun.call, "meetings.list")}
    assert begun == hooks.CallDetails(
        call=begun.call,
        operation="meetings.list",
        method="GET",
        path="/meetings",
        named=True,
        base_url=fake.url,
        priority="NORMAL",
    )
    attempts, responses, retries = (recorder.of(name) for name in ("on_attempt", "on_response", "on_retry"))
    assert (attempts[0].method, attempts[0].cost, attempts[0].priority) == ("GET", 1, "NORMAL")
    assert [each.status for each in responses] == [429, 503, 200]
    assert responses[1].size == 5
    assert responses[2].rate_limit.remaining == 999_996
    assert [(each.reason, each.error) for each in retries] == [
        ("throttled", "RateLimitError"),
        ("connection", "APIConnectionError"),
        ("status 503", "InternalServerError"),
    ]
    assert (end.error, end.cancelled, end.status, end.attempts, end.points) == (None, False, 200, 4, 4)
    assert end.waited == pytest.approx(sum(attempt.waited for attempt in attempts))
    assert all(each.elapsed > 0 for each in responses)
    assert end.elapsed > end.waited + sum(each.elapsed for each in responses)
    with pytest.raises(AttributeError):
        attempts[0].cost = 5


async def test_calls_at_once_have_numbers_of_their_own(hooked: WherebyClient, recorder: Recorder) -> None:
    await asyncio.gather(*(hooked.meetings.list().collect() for _ in range(20)))
    numbers = [details.call for details in recorder.calls]
    assert len(set(numbers)) == 20
    assert sorted(details.call for details in recorder.ends) == sorted(numbers)


async def test_paths_are_told_as_templates(hooked: WherebyClient, recorder: Recorder) -> None:
    """Also those of `request`, where it is told too whether the name is made of the path."""
    with pytest.raises(NotFoundError):
        await hooked.meetings.get("17")
    await hooked.request("GET", "/meetings")
    await hooked.request("GET", "/meetings", operation="mine")
    assert [(call.path, call.operation, call.named) for call in recorder.calls] == [
        ("/meetings/{meeting_id}", "meetings.get", True),
        ("{path}", "GET /meetings", False),
        ("{path}", "mine", True),
    ]


async def test_an_end_tells_the_error_and_the_points_that_it_cost(
    fake: FakeWhereby, hooked: WherebyClient, recorder: Recorder
) -> None:
    """And the last attempt's status: what an earlier one was answered is not passed off as the answer."""
    fake.faults.add(Fault(operation="meetings.create", status=500))
    with pytest.raises(InternalServerError):
        await hooked.meetings.create(end_date=UNTIL)
    fake.faults.add(Fault(status=429))
    with pytest.raises(RateLimitError):
        await hooked.with_options(max_wait=0).meetings.list()
    fake.faults.add(Fault(status=503), Fault(drop="after"))
    with pytest.raises(APIConnectionError):
        await hooked.with_options(retry=RetryPolicy(attempts=2, base=0)).meetings.list()
    limiter: Any = hooked.limiter
    limiter.refuse = True
    with pytest.raises(BudgetError):
        await hooked.meetings.list()
    assert [(end.error, end.status, end.attempts, end.points, end.cancelled) for end in recorder.ends] == [
        ("InternalServerError", 500, 1, 3, False),
        ("RateLimitError", 429, 1, 1, False),
        ("APIConnectionError", None, 2, 2, False),
        ("BudgetError", None, 0, 0, False),
    ]


async def test_a_cancelled_call_has_an_end(fake: FakeWhereby, hooked: WherebyClient, recorder: Recorder) -> None:
    fake.faults.add(Fault(delay=60))
    call = asyncio.create_task(hooked.meetings.list().collect())
    await until(lambda: fake.requests)
    await cancel(call)
    assert call.cancelled()
    (end,) = recorder.ends
    assert (end.error, end.cancelled, end.points) == ("CancelledError", True, 1)
    assert 0 < end.elapsed < 30


async def test_a_wait_in_vain_counts_as_waited(fake: FakeWhereby, recorder: Recorder) -> None:
    limiter = PointBudget(1)
    permit = await limiter.acquire(1)
    async with fake.client(limiter=limiter, hooks=[recorder]) as whereby:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await whereby.meetings.list()
    permit.release()
    (end,) = recorder.ends
    assert (end.attempts, end.points) == (0, 0)
    assert 0.04 < end.waited <= end.elapsed


@pytest.mark.parametrize(("method", "times"), list(zip(METHODS, (1, 2, 2, 1, 1), strict=True)))
async def test_a_hook_hears_only_what_it_has_a_method_for(fake: FakeWhereby, method: str, times: int) -> None:
    heard: list[msgspec.Struct] = []
    fake.faults.add(Fault(status=503))
    hook = hook_with(heard.append, method)
    async with fake.client(limiter=RecordingLimiter(), retry=AT_ONCE, hooks=[hook]) as whereby:
        await whereby.meetings.list()
    name = method.removeprefix("on_").capitalize() + "Details"
    assert [type(details).__name__ for details in heard] == [name] * times


async def test_details_can_be_kept_as_json(hooked: WherebyClient, recorder: Recorder) -> None:
    await hooked.meetings.list()
    for _, details in recorder.heard:
        assert msgspec.json.decode(msgspec.json.encode(details))["call"] == recorder.calls[0].call


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("method", METHODS)
async def test_what_stops_the_program_passes_and_loses_no_point(
    fake: FakeWhereby, recorder: Recorder, error: type[BaseException], method: str
) -> None:
    """Every permit has ended, as it should, and the other hooks have heard of the end."""

    def stop(_: object) -> None:
        raise error

    limiter, hook = RecordingLimiter(), hook_with(stop, method)
    fake.faults.add(Fault(status=503))
    async with fake.client(limiter=limiter, retry=AT_ONCE, hooks=[hook, recorder]) as whereby:
        with pytest.raises(error):
            await whereby.meetings.list()
    assert limiter.ends == {
        "on_call": [], "on_attempt": [["release"]], "on_response": [["settle"]], "on_retry": [["settle"]],
        "on_end": [["settle"], ["settle"]],
    }[method]  # fmt: skip
    (end,) = recorder.ends
    assert (end.cancelled, end.error) == ((False, None) if method == "on_end" else (True, error.__name__))
    assert end.points == len([ends for ends in limiter.ends if ends != ["release"]])


@pytest.mark.parametrize("method", ["on_call", "on_attempt", "on_response", "on_end"])
async def test_a_cancel_that_a_hook_makes_itself_is_its_own_error(
    fake: FakeWhereby, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """Nobody has cancelled the call: it goes on, and the log tells."""

    def cancelled(_: object) -> None:
        raise asyncio.CancelledError

    hook: Any = type("Cancelled" + method, (), {method: staticmethod(cancelled)})()
    with caplog.at_level(logging.ERROR, logger="whereby_async"):
        async with fake.client(hooks=[hook]) as whereby:
            await whereby.meetings.list()
            await whereby.meetings.list()
    (record,) = caplog.records
    assert record.getMessage() == f"Cancelled{method}.{method} raised; the call goes on, and this is said only once"


async def test_a_hook_that_is_given_twice_is_told_once(fake: FakeWhereby, recorder: Recorder) -> None:
    async with fake.client(hooks=[recorder, recorder]) as whereby:
        await whereby.meetings.list()
    assert len(recorder.calls) == len(recorder.ends) == 1


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
    hooks = [hook_with(told.append, "on_attempt", "on_end")]
    fake.faults.add(Fault(status=503))
    async with fake.client(limiter=kind(), retry=AT_ONCE, hooks=hooks) as whereby:
        await whereby.meetings.list()
    assert [each.waited == 0.0 for each in told] == [says] * 3
    assert says or told[2].waited >= 0.02


@pytest.mark.parametrize("batched", [False, True], ids=["alone", "in-a-batch"])
def test_waits_are_told_in_the_time_of_the_loop(batched: bool) -> None:
    """A call waits a minute for its window; its second attempt finds a point there, and has not waited."""
    told: list[AttemptDetails | EndDetails] = []
    hooks = [hook_with(told.append, "on_attempt", "on_end")]

    async def wait_and_fail() -> None:
        options: Any = {"limiter": PointBudget(2, reserve=0), "retry": AT_ONCE, "hooks": hooks}
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


async def test_the_last_failure_is_no_retry(fake: FakeWhereby, hooked: WherebyClient, recorder: Recorder) -> None:
    """`on_retry` is told only of attempts that another follows; a timeout is told as one."""
    fake.faults.add(Fault(delay=60), Fault(status=500, times=None))
    with pytest.raises(InternalServerError):
        await hooked.with_options(retry=RetryPolicy(attempts=3, base=0), timeout=0.2).meetings.list()
    assert [each.reason for each in recorder.of("on_retry")] == ["timeout", "status 500"]


async def test_a_hook_that_raises_breaks_nothing(
    fake: FakeWhereby, limiter: RecordingLimiter, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """The call goes on, the other hooks are told, and the log says it once for each method."""

    class Broken:
        def on_attempt(self, details: AttemptDetails) -> None:
            raise KeyError(details.operation)

        on_retry = on_response = on_attempt

    fake.faults.add(Fault(status=503, times=2))
    with caplog.at_level(logging.ERROR, logger="whereby_async"):
        async with fake.client(limiter=limiter, retry=AT_ONCE, hooks=[Broken(), recorder]) as whereby:
            await whereby.meetings.list()
            await whereby.meetings.list()
    assert limiter.ends == [["settle"]] * 4
    assert len(recorder.heard) == 14
    said = [record.getMessage() for record in caplog.records]
    assert [words.partition(" ")[0] for words in said] == ["Broken.on_attempt", "Broken.on_response", "Broken.on_retry"]


@pytest.mark.parametrize("steps", [1, 3, 11, 12, 16, 25])
def test_call_that_is_dropped_with_its_loop_simply_goes(steps: int) -> None:
    """However far it got: nothing is raised but its end, and that is told as given up from outside."""
    ends: list[EndDetails] = []

    async def some_steps() -> None:
        for _ in range(steps):
            await asyncio.sleep(0.0)

    with FakeWhereby().in_thread() as fake:
        fake.faults.add(Fault(delay=1000.0, times=None))
        # aiohttp's wait for a name to be resolved raises a RuntimeError when it is dropped
        client = fake.client(
            hooks=[hook_with(ends.append, "on_end")], base_url=fake.url.replace("127.0.0.1", "localhost")
        )
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


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines of the one logger, without the milliseconds."""
    lines = [record.getMessage() for record in caplog.records if record.name == "whereby_async"]
    return [re.sub(r"\d+ ms", "N ms", line) for line in lines]


async def test_the_log_has_a_line_for_each_attempt_answer_and_retry(
    fake: FakeWhereby, whereby: WherebyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG: operation, status, points, points left and milliseconds, and nothing of what was sent."""
    fake.faults.add(Fault(status=503), Fault(drop="after"), Fault(truncate=1))
    with caplog.at_level(logging.DEBUG, logger="whereby_async"):
        await whereby.meetings.list(extra={"planted": "planted-value"})
    assert logged(caplog) == [
        "meetings.list: attempt 1, 1 point",
        "meetings.list: 503 for 1 point after N ms, 999999 points left of 1000000",
        "meetings.list: attempt 1 failed (status 503); again as soon as there are points",
        "meetings.list: attempt 2, 1 point",
        "meetings.list: no answer after N ms",
        "meetings.list: attempt 2 failed (connection); again as soon as there are points",
        "meetings.list: attempt 3, 1 point",
        "meetings.list: 200, but not all of the answer after N ms",
        "meetings.list: attempt 3 failed (connection); again as soon as there are points",
        "meetings.list: attempt 4, 1 point",
        "meetings.list: 200 for 1 point after N ms, 999996 points left of 1000000",
    ]
    assert "planted" not in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/meetings/planted-id", "GET /meetings/…"),
        ("DELETE", "rooms/%2Fplanted-room/theme/logo", "DELETE /rooms/…"),
        ("GET", "/meetings", "GET /meetings"),
    ],
)
async def test_the_log_cuts_a_path_short(
    whereby: WherebyClient, caplog: pytest.LogCaptureFixture, method: str, path: str, name: str
) -> None:
    """The name of a call without one is made of method and path, which may hold an id or a room's name."""
    with caplog.at_level(logging.DEBUG, logger="whereby_async"), contextlib.suppress(APIStatusError):
        await whereby.request(method, path)
    assert len(lines := logged(caplog)) == 2
    assert all(line.startswith(f"{name}: ") for line in lines)
    assert "planted" not in caplog.text


async def test_the_log_tells_what_an_answer_told(limiter: RecordingLimiter, caplog: pytest.LogCaptureFixture) -> None:
    """An answer may name no points that are left; an attempt may never have left."""
    caplog.set_level(logging.DEBUG, logger="whereby_async")
    async with FakeWhereby(header_style="none") as fake, fake.client(limiter=limiter) as client:
        await client.meetings.create(end_date=UNTIL)
    once, nowhere = RetryPolicy(attempts=1), "http://127.0.0.1:9"
    async with WherebyClient("key", base_url=nowhere, limiter=limiter, retry=once, max_outage=0) as client:
        with pytest.raises(APIConnectionError):
            await client.insights.rooms()
    assert [line for line in logged(caplog) if nowhere not in line] == [
        "meetings.create: attempt 1, 3 points",
        "meetings.create: 201 for 3 points after N ms",
        "insights.rooms: attempt 1, 1 point",
        "insights.rooms: not sent after N ms",
    ]


async def test_the_log_says_nothing_of_calls_unless_asked(
    fake: FakeWhereby, whereby: WherebyClient, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """At INFO, with hooks or without."""
    fake.faults.add(Fault(status=503), Fault(status=503))
    with caplog.at_level(logging.INFO, logger="whereby_async"):
        await whereby.meetings.list()
        async with fake.client(hooks=[recorder], retry=AT_ONCE) as client:
            await client.meetings.list()
    assert logged(caplog) == []
    assert recorder.ends
