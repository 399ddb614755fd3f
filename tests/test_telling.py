"""What hooks are told of calls: the beginning, the end however it comes, and the number that ties a call's parts together."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.calls import AT_ONCE, UNTIL
from support.recording_limiter import RecordingLimiter

from whereby_async import (
    APIConnectionError,
    BudgetError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    WherebyClient,
    hooks,
)
from whereby_async.limiter import PointBudget
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from whereby_async.hooks import CallDetails, EndDetails, RetryDetails

pytestmark = pytest.mark.anyio


class Diary:
    """Writes down all that a client tells."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def on_call(self, details: object) -> None:
        self.told.append(("call", details))

    def on_attempt(self, details: object) -> None:
        self.told.append(("attempt", details))

    def on_response(self, details: object) -> None:
        self.told.append(("response", details))

    def on_retry(self, details: object) -> None:
        self.told.append(("retry", details))

    def on_end(self, details: object) -> None:
        self.told.append(("end", details))

    @property
    def calls(self) -> list[CallDetails]:
        return [details for kind, details in self.told if kind == "call"]

    @property
    def ends(self) -> list[EndDetails]:
        return [details for kind, details in self.told if kind == "end"]


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    async with FakeWhereby(limit=1_000_000) as server:
        yield server


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
async def whereby(fake: FakeWhereby, diary: Diary) -> AsyncIterator[WherebyClient]:
    async with fake.client(limiter=RecordingLimiter(), retry=AT_ONCE, hooks=[diary]) as client:
        yield client


async def test_a_call_is_told_from_its_beginning_to_its_end(
    fake: FakeWhereby, whereby: WherebyClient, diary: Diary
) -> None:
    """All parts carry the call's number; the end sums them up."""
    fake.faults.add(Fault(status=429), Fault(drop="after"))
    await whereby.meetings.list()
    assert [kind for kind, _ in diary.told] == [
        "call", "attempt", "response", "retry", "attempt", "retry", "attempt", "response", "end",
    ]  # fmt: skip
    (begun,), (end,) = diary.calls, diary.ends
    assert {details.call for _, details in diary.told} == {begun.call}
    assert begun == hooks.CallDetails(
        call=begun.call,
        operation="meetings.list",
        method="GET",
        path="/meetings",
        named=True,
        base_url=fake.url,
        priority="NORMAL",
    )
    assert (end.operation, end.error, end.cancelled, end.status) == ("meetings.list", None, False, 200)
    assert (end.attempts, end.points) == (3, 3)
    attempts = [details for kind, details in diary.told if kind == "attempt"]
    assert end.waited == pytest.approx(sum(attempt.waited for attempt in attempts))
    responses = [details for kind, details in diary.told if kind == "response"]
    assert end.elapsed > end.waited + sum(response.elapsed for response in responses)
    retries: list[RetryDetails] = [details for kind, details in diary.told if kind == "retry"]
    assert [retry.error for retry in retries] == ["RateLimitError", "APIConnectionError"]


async def test_calls_at_once_have_numbers_of_their_own(whereby: WherebyClient, diary: Diary) -> None:
    """No number is given twice, and each begins and ends once."""
    await asyncio.gather(*(whereby.meetings.list().collect() for _ in range(20)))
    numbers = [details.call for details in diary.calls]
    assert len(set(numbers)) == 20
    assert sorted(details.call for details in diary.ends) == sorted(numbers)


async def test_paths_are_told_as_templates(whereby: WherebyClient, diary: Diary) -> None:
    """Also those of `request`, where it is told too whether the name is made of the path."""
    with pytest.raises(NotFoundError):
        await whereby.meetings.get("17")
    await whereby.request("GET", "/meetings")
    await whereby.request("GET", "/meetings", operation="mine")
    assert [(call.path, call.operation, call.named) for call in diary.calls] == [
        ("/meetings/{meeting_id}", "meetings.get", True),
        ("{path}", "GET /meetings", False),
        ("{path}", "mine", True),
    ]


async def test_an_end_tells_the_error_and_the_points_that_it_cost(
    fake: FakeWhereby, whereby: WherebyClient, diary: Diary
) -> None:
    """By status, by refusal, and after a retry that could not be paid for."""
    fake.faults.add(Fault(operation="meetings.create", status=500))
    with pytest.raises(InternalServerError):
        await whereby.meetings.create(end_date=UNTIL)
    fake.faults.add(Fault(status=429))
    with pytest.raises(RateLimitError):
        await whereby.with_options(max_wait=0).meetings.list()
    limiter: Any = whereby.limiter
    limiter.refuse = True
    with pytest.raises(BudgetError):
        await whereby.meetings.list()
    assert [(end.error, end.status, end.attempts, end.points, end.cancelled) for end in diary.ends] == [
        ("InternalServerError", 500, 1, 3, False),
        ("RateLimitError", 429, 1, 1, False),
        ("BudgetError", None, 0, 0, False),
    ]


async def test_the_status_at_the_end_is_the_last_attempts(fake: FakeWhereby, diary: Diary) -> None:
    """What an earlier attempt was answered is not passed off as the answer."""
    fake.faults.add(Fault(status=503), Fault(drop="after"))
    async with fake.client(limiter=RecordingLimiter(), retry=RetryPolicy(attempts=2, base=0), hooks=[diary]) as whereby:
        with pytest.raises(APIConnectionError):
            await whereby.meetings.list()
    (end,) = diary.ends
    assert (end.error, end.status, end.attempts) == ("APIConnectionError", None, 2)


async def test_a_cancelled_call_has_an_end(fake: FakeWhereby, whereby: WherebyClient, diary: Diary) -> None:
    """An expired deadline is one too."""
    fake.faults.add(Fault(delay=60))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await whereby.meetings.list()
    (end,) = diary.ends
    assert (end.error, end.cancelled, end.points) == ("CancelledError", True, 1)
    assert 0.05 < end.elapsed < 30


async def test_a_wait_in_vain_counts_as_waited(fake: FakeWhereby, diary: Diary) -> None:
    """Though no attempt came of it."""
    limiter = PointBudget(1)
    permit = await limiter.acquire(1)
    async with fake.client(limiter=limiter, hooks=[diary]) as whereby:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await whereby.meetings.list()
    permit.release()
    (end,) = diary.ends
    assert (end.attempts, end.points) == (0, 0)
    assert 0.04 < end.waited <= end.elapsed


@pytest.mark.parametrize("method", ["on_call", "on_attempt", "on_response", "on_retry", "on_end"])
async def test_a_hook_hears_only_what_it_has_a_method_for(fake: FakeWhereby, method: str) -> None:
    """Whatever the method is."""
    told: list[msgspec.Struct] = []

    def listen(_: object, details: msgspec.Struct) -> None:
        told.append(details)

    hook: Any = type("One", (), {method: listen})()
    fake.faults.add(Fault(status=503))
    async with fake.client(limiter=RecordingLimiter(), retry=AT_ONCE, hooks=[hook]) as whereby:
        await whereby.meetings.list()
    names = {"on_call": 1, "on_attempt": 2, "on_response": 2, "on_retry": 1, "on_end": 1}
    assert len(told) == names[method]
    assert {type(details).__name__ for details in told} == {method.removeprefix("on_").capitalize() + "Details"}


async def test_details_can_be_kept_as_json(whereby: WherebyClient, diary: Diary) -> None:
    """They are plain values."""
    await whereby.meetings.list()
    for _, details in diary.told:
        assert msgspec.json.decode(msgspec.json.encode(details))["call"] == diary.calls[0].call


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("method", ["on_call", "on_attempt", "on_response", "on_retry", "on_end"])
async def test_what_stops_the_program_passes_and_loses_no_point(
    fake: FakeWhereby, diary: Diary, error: type[BaseException], method: str
) -> None:
    """Every permit has ended, as it should, and the other hooks have heard of the end."""

    def stop(_: object, __: object) -> None:
        raise error

    limiter = RecordingLimiter()
    hook: Any = type("Stop", (), {method: stop})()
    fake.faults.add(Fault(status=503))
    async with fake.client(limiter=limiter, retry=AT_ONCE, hooks=[hook, diary]) as whereby:
        with pytest.raises(error):
            await whereby.meetings.list()
    assert limiter.ends == {
        "on_call": [], "on_attempt": [["release"]], "on_response": [["settle"]], "on_retry": [["settle"]],
        "on_end": [["settle"], ["settle"]],
    }[method]  # fmt: skip
    (end,) = diary.ends
    assert (end.cancelled, end.error) == ((False, None) if method == "on_end" else (True, error.__name__))
    assert end.points == len([ends for ends in limiter.ends if ends != ["release"]])


@pytest.mark.parametrize("method", ["on_call", "on_attempt", "on_response", "on_end"])
async def test_a_cancel_that_a_hook_makes_itself_is_its_own_error(
    fake: FakeWhereby, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """Nobody has cancelled the call: it goes on, and the log tells."""

    def cancelled(_: object, __: object) -> None:
        raise asyncio.CancelledError

    hook: Any = type("Cancelled" + method, (), {method: cancelled})()
    with caplog.at_level(logging.ERROR, logger="whereby_async"):
        async with fake.client(hooks=[hook]) as whereby:
            await whereby.meetings.list()
            await whereby.meetings.list()
    (record,) = caplog.records
    assert record.getMessage() == f"Cancelled{method}.{method} raised; the call goes on, and this is said only once"


async def test_a_hook_that_is_given_twice_is_told_once(fake: FakeWhereby, diary: Diary) -> None:
    """As by a limiter."""
    async with fake.client(hooks=[diary, diary]) as whereby:
        await whereby.meetings.list()
    assert len(diary.calls) == len(diary.ends) == 1
