"""Waits for transcriptions and summaries, on a simulated clock over real sockets, and the arithmetic behind them."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, strategies as st
from support.cancellation import Meddling, Moment, assert_idle, awaiting, run_cleanly

from whereby_async import (
    AuthenticationError,
    ClientClosedError,
    InternalServerError,
    JobFailedError,
    NotFoundError,
    Priority,
    RetryPolicy,
    SessionPool,
    WherebyClient,
)
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.models import Summary, Transcription
from whereby_async.polling import (
    LONGEST,
    LONGEST_FOR_POINTS,
    SHORTEST,
    ListSearch,
    PollingCosts,
    interval_by_age,
    interval_for_points,
)
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]

MANY = 300


def started(fake: FakeWhereby, count: int = 1) -> list[str]:
    return [fake.add_transcription(state="in_progress")["transcriptionId"] for _ in range(count)]


def reads(fake: FakeWhereby) -> dict[str, int]:
    return Counter(request.operation for request in fake.requests)


def watches(client: WherebyClient) -> int:
    return len(client._watches)  # pyright: ignore[reportPrivateUsage] - nothing may be left over


@pytest.fixture
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeWhereby]:
    """A server whose jobs take a minute; a test may ask for other options. No task may be left."""
    before = len(asyncio.all_tasks())
    options: dict[str, Any] = {"processing_time": 60.0} | getattr(request, "param", {})
    async with FakeWhereby(**options) as server:
        yield server
    await asyncio.sleep(1)
    assert len(asyncio.all_tasks()) <= before


@pytest.fixture
async def whereby(fake: FakeWhereby) -> AsyncIterator[WherebyClient]:
    """A client with a budget of its own. No watch may be left, and no call refused."""
    async with fake.client(limiter=PointBudget(), retry=RetryPolicy(base=0.1)) as client:
        yield client
        assert watches(client) == 0
        assert fake.throttled == 0


def server(**options: Any) -> pytest.MarkDecorator:
    """Options for the test's server."""
    return pytest.mark.parametrize("fake", [options], indirect=True)


async def test_a_wait_ends_soon_after_the_transcription(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """It takes a minute: seen at most a third later, in a dozen looks."""
    (job,) = started(fake)
    began = asyncio.get_running_loop().time()
    transcription = await whereby.transcriptions.wait(job)
    assert 60 <= asyncio.get_running_loop().time() - began < 80
    assert isinstance(transcription, Transcription)
    assert transcription.is_ready
    assert reads(fake).keys() == {"transcriptions.get"}
    assert fake.points_spent <= 13


async def test_what_is_ready_is_returned_at_once(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """One look, one point; a summary's `completed` is as good as `ready`."""
    transcription = fake.add_transcription()["transcriptionId"]
    summary = fake.add_summary(transcription)["summaryId"]
    fake.summaries[summary]["state"] = "completed"
    assert (await whereby.transcriptions.wait(transcription)).is_ready
    found = await whereby.summaries.wait(summary)
    assert isinstance(found, Summary)
    assert (found.is_ready, fake.points_spent) == (True, 2)


async def test_a_failed_job_raises_with_the_reason(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The server's own words, if it has any."""
    told, silent = started(fake, 2)
    fake.finish_transcription(told, "failed", error="audio is silent")
    fake.finish_transcription(silent, "failed")
    with pytest.raises(JobFailedError, match=f"transcription {told} failed: audio is silent") as caught:
        await whereby.transcriptions.wait(told)
    for error in (caught.value, copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert (error.job_id, error.state, error.message) == (told, "failed", "audio is silent")
    with pytest.raises(JobFailedError, match="the server gives no reason"):
        await whereby.transcriptions.wait(silent)
    summary = fake.add_summary(told, state="in_progress")["summaryId"]
    waiting = asyncio.create_task(whereby.summaries.wait(summary))
    await asyncio.sleep(10)
    fake.finish_summary(summary, "failed")
    with pytest.raises(JobFailedError, match=f"summary {summary} failed"):
        await waiting


async def test_an_unknown_state_is_waited_on(fake: FakeWhereby, whereby: WherebyClient) -> None:
    (job,) = started(fake)
    fake.transcriptions[job]["state"] = "polishing"
    with anyio.move_on_after(50) as scope:
        await whereby.transcriptions.wait(job)
    assert scope.cancelled_caught
    assert (await whereby.transcriptions.wait(job)).is_ready


async def test_deleted_while_waiting(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A 404, whether it was there before or never."""
    jobs = started(fake, 5)
    waiting = [asyncio.create_task(whereby.transcriptions.wait(job)) for job in jobs]
    await asyncio.sleep(10)
    for job in jobs[:3]:
        await whereby.transcriptions.delete(job)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotFoundError] * 3 + [Transcription] * 2
    with pytest.raises(NotFoundError):
        await whereby.transcriptions.wait("never")


@pytest.mark.parametrize("fake", [{"limit": 100}, {"limit": 1000}], indirect=True)
async def test_hundreds_of_waits_share_the_list(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """300 waits of a minute: three points a round in place of 300, and no more than a fifth of the budget."""
    loop = asyncio.get_running_loop()
    jobs = started(fake, MANY)
    began = loop.time()
    found = await asyncio.gather(*(whereby.transcriptions.wait(job) for job in jobs))
    took = loop.time() - began
    assert [transcription.transcription_id for transcription in found] == jobs
    assert 60 <= took < 100
    assert reads(fake).keys() == {"transcriptions.list"}
    assert fake.points_spent <= 3 * 13
    assert fake.points_spent <= max(0.4 * fake.limit * took / 60, 9)


async def test_summaries_share_the_list_too(fake: FakeWhereby, whereby: WherebyClient) -> None:
    transcriptions = started(fake, 20)
    summaries = [fake.add_summary(each, state="in_progress")["summaryId"] for each in transcriptions]
    async with asyncio.TaskGroup() as tasks:
        for job, summary in zip(transcriptions, summaries, strict=True):
            tasks.create_task(whereby.transcriptions.wait(job))
            tasks.create_task(whereby.summaries.wait(summary))
        await asyncio.sleep(1)
        assert watches(whereby) == 2
    assert reads(fake).keys() == {"transcriptions.list", "summaries.list"}
    assert fake.points_spent <= 30


@server(limit=10_000)
async def test_few_among_many_are_read_by_their_ids(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Three waits among a thousand old transcriptions: the list is given up after a page or two."""
    jobs = [fake.add_transcription(state="in_progress", start_date=-1e6)["transcriptionId"] for _ in range(3)]
    for _ in range(1000):
        fake.add_transcription()
    await asyncio.gather(*map(whereby.transcriptions.wait, jobs))
    assert reads(fake)["transcriptions.list"] <= 3
    assert fake.points_spent <= 3 * 13 + 3


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 403},
        {"status": 404},
        {"status": 400},
        {"body": b"<html>"},
        {"body": b'{"results": [], "cursor": null}'},
    ],
)
async def test_a_list_that_is_of_no_use_is_read_once(
    fake: FakeWhereby, whereby: WherebyClient, answer: dict[str, Any]
) -> None:
    """It is refused, cannot be read or does not show the jobs: each is read by its id then."""
    jobs = started(fake, 5)
    fake.faults.add(Fault(operation="transcriptions.list", times=None, **answer))
    found = await asyncio.gather(*map(whereby.transcriptions.wait, jobs))
    assert all(each.is_ready for each in found)
    assert reads(fake)["transcriptions.list"] == 1


@pytest.mark.parametrize(("status", "kind", "tries"), [(500, InternalServerError, 4), (401, AuthenticationError, 1)])
async def test_an_error_of_the_poll_goes_to_all_who_wait(
    fake: FakeWhereby, whereby: WherebyClient, status: int, kind: type[Exception], tries: int
) -> None:
    """After the retries of any call; each gets an error of its own."""
    jobs = started(fake, 5)
    fake.faults.add(Fault(operation="transcriptions.list", status=status, times=None))
    outcomes = await asyncio.gather(*map(whereby.transcriptions.wait, jobs), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [kind] * 5
    assert len({id(outcome) for outcome in outcomes}) == 5
    assert reads(fake) == {"transcriptions.list": tries}
    fake.faults.clear()
    assert (await whereby.transcriptions.wait(jobs[0])).is_ready


async def test_an_error_of_one_read_goes_to_whom_it_concerns(fake: FakeWhereby, whereby: WherebyClient) -> None:
    job, other = started(fake, 2)
    fake.faults.add(Fault(operation="transcriptions.list", status=403))
    fake.faults.add(Fault(operation="transcriptions.get", status=422))
    outcomes = await asyncio.gather(*map(whereby.transcriptions.wait, (job, other)), return_exceptions=True)
    assert [isinstance(outcome, Transcription) for outcome in outcomes].count(True) == 1


async def test_a_deadline_is_the_callers(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Waits that run out of time, or are cancelled, disturb no other, whoever of them led."""
    jobs = started(fake, 20)
    waiting = [asyncio.create_task(whereby.transcriptions.wait(job)) for job in jobs]
    for number, task in enumerate(waiting[:15]):
        await asyncio.sleep(3 if number % 2 else 0.01)
        task.cancel()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await whereby.transcriptions.wait(jobs[0])
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [asyncio.CancelledError] * 15 + [Transcription] * 5


async def test_several_wait_for_the_same(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """One look serves all, and one that leaves takes nothing along."""
    (job,) = started(fake)
    waiting = [asyncio.create_task(whereby.transcriptions.wait(job)) for _ in range(10)]
    await asyncio.sleep(5)
    waiting[0].cancel()
    outcomes = await asyncio.gather(*waiting[1:])
    assert len({id(outcome) for outcome in outcomes}) == 1
    assert fake.points_spent <= 13


async def test_who_leaves_while_his_job_is_read_is_not_told(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The leader reads it for him, and goes on with its own."""
    job, other = started(fake, 2)
    fake.finish_transcription(other)
    fake.faults.add(Fault(operation="transcriptions.list", status=403))
    leading = asyncio.create_task(whereby.transcriptions.wait(job))
    await asyncio.sleep(0)
    leaving = asyncio.create_task(whereby.transcriptions.wait(other))
    fake.subscribe(lambda request: leaving.cancel() if request.target.endswith(other) else None)
    await asyncio.sleep(30)
    assert leaving.cancelled()
    assert (await leading).transcription_id == job


async def test_a_newcomer_is_looked_at_at_once(fake: FakeWhereby, whereby: WherebyClient) -> None:
    (job,) = started(fake)
    fake.processing_time = None
    (slow,) = started(fake)
    waiting = asyncio.create_task(whereby.transcriptions.wait(slow))
    await asyncio.sleep(301)
    began = asyncio.get_running_loop().time()
    await whereby.transcriptions.wait(job)
    assert asyncio.get_running_loop().time() - began < 1
    fake.finish_transcription(slow)
    await waiting


async def test_polls_wait_in_the_callers_lane(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Other lanes, keys and limiters have watches of their own."""
    jobs = started(fake, 4)
    views = [
        whereby,
        whereby.with_options(priority=Priority.BATCH),
        whereby.with_options(limiter=Unlimited()),
        whereby.with_options(max_wait=100.0),
    ]
    async with asyncio.TaskGroup() as tasks:
        for view in views:
            for job in jobs:
                tasks.create_task(view.transcriptions.wait(job))
        await asyncio.sleep(1)
        assert watches(whereby) == 4


@server(limit=100, processing_time=280.0)
async def test_looks_grow_rarer_when_points_are_short(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Ten waits read by their ids on 100 points a minute: a small part of the budget, and others hardly wait."""
    fake.faults.add(Fault(operation="transcriptions.list", status=403, times=None))
    jobs = started(fake, 10)
    loop = asyncio.get_running_loop()
    waiting = asyncio.gather(*map(whereby.transcriptions.wait, jobs))
    longest = 0.0
    for _ in range(300):
        began = loop.time()
        await whereby.meetings.list()
        longest = max(longest, loop.time() - began)
        await asyncio.sleep(1)
    await waiting
    spent = reads(fake)["transcriptions.get"]
    assert spent <= 0.25 * 100 * 300 / 60
    assert longest < 15


@pytest.mark.parametrize("count", [1, 5])
@server(limit=10, processing_time=1.0)
async def test_a_look_that_max_wait_refuses_is_put_off(fake: FakeWhereby, count: int) -> None:
    """The budget is spent: the wait goes on when there are points again."""
    async with fake.client(limiter=PointBudget(10)) as whereby:
        await whereby.meetings.list()
        fake.spend(9)
        await asyncio.sleep(1)
        for _ in range(9):
            if whereby.limiter.snapshot().available:
                await whereby.meetings.list()
        jobs = started(fake, count)
        view = whereby.with_options(max_wait=0.0)
        found = await asyncio.gather(*map(view.transcriptions.wait, jobs))
        assert all(each.is_ready for each in found)
        assert watches(whereby) == 0


@server(processing_time=None)
async def test_closing_the_client_ends_waits(fake: FakeWhereby, whereby: WherebyClient) -> None:
    waiting = [asyncio.create_task(whereby.transcriptions.wait(job)) for job in started(fake, 5)]
    loop = asyncio.get_running_loop()
    await asyncio.sleep(100)
    began = loop.time()
    await whereby.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ClientClosedError] * 5
    assert loop.time() - began < 1


@pytest.mark.parametrize("bad", ["", "a/b", "."])
async def test_ids_are_checked(fake: FakeWhereby, whereby: WherebyClient, bad: str) -> None:
    for wait in (whereby.transcriptions.wait, whereby.summaries.wait):
        with pytest.raises(ValueError, match="_id="):
            await wait(bad)
    assert fake.requests == []


def test_loops_that_ended_leave_no_watch() -> None:
    """A loop that was closed without ceremony is forgotten at the next wait."""
    fake = FakeWhereby()
    job = fake.add_transcription()["transcriptionId"]
    left: list[asyncio.Task[Transcription]] = []
    client = WherebyClient("key", base_url="http://127.0.0.1:9", limiter=Unlimited())

    async def leave() -> None:
        left.append(asyncio.ensure_future(client.transcriptions.wait(job)))
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    assert watches(client) == 1

    async def again() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await client.transcriptions.wait(job)
        await client.aclose()

    asyncio.run(again())
    assert watches(client) == 0
    left[0]._log_destroy_pending = False  # type: ignore[attr-defined]  # not in the stubs


MOMENTS: tuple[Moment, ...] = ("early", "late")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("count", [1, 4])
def test_a_cancel_at_any_await_disturbs_nobody(count: int, moment: Moment) -> None:
    """The one that leads is cancelled at await 0, 1, 2, …: the others come to their end, and nothing is left."""

    async def meddled(nth: int) -> bool:
        budget, pool = PointBudget(1000), SessionPool()
        async with FakeWhereby(processing_time=10.0) as fake, fake.client(limiter=budget, pool=pool) as client:
            jobs = started(fake, count)

            def cancel() -> None:
                task.cancel()

            meddling = Meddling(client.transcriptions.wait(jobs[0]), nth, moment, cancel)
            task = asyncio.ensure_future(awaiting(meddling))
            others = await asyncio.gather(*map(client.transcriptions.wait, jobs[1:]))
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            assert all(each.is_ready for each in others)
            assert isinstance(outcome, Transcription | asyncio.CancelledError)
            assert watches(client) == 0
            assert_idle(budget, pool)
        await pool.aclose()
        return meddling.reached

    for nth in range(200):
        if not run_cleanly(meddled(nth)):
            assert nth > 5
            return
    pytest.fail("it never came to its end")


@pytest.mark.parametrize(("waited", "seconds"), [(0, SHORTEST), (6, 2), (30, 10), (90, LONGEST), (10_000, LONGEST)])
def test_the_interval_grows_with_the_wait(waited: float, seconds: float) -> None:
    assert interval_by_age(waited) == seconds


def test_looks_take_a_tenth_of_the_budget() -> None:
    """A round of three points is worth 18 s of a budget of 100 a minute; one without a meter costs nothing."""
    assert interval_for_points(3, PointBudget(100)) == pytest.approx(18, rel=0.15)
    assert interval_for_points(3, PointBudget(1000)) == pytest.approx(1.8, rel=0.15)
    assert interval_for_points(300, PointBudget(100)) == LONGEST_FOR_POINTS
    assert interval_for_points(300, Unlimited()) == 0


def test_a_list_is_searched_when_that_is_cheaper() -> None:
    """For two jobs, but not for one; not when its jobs are not on it; never once it was given up."""
    costs = PollingCosts()
    assert [costs.prefers_list(jobs) for jobs in (0, 1, 2)] == [False, False, True]
    costs = PollingCosts(pages=3, unlisted=5)
    assert [costs.prefers_list(jobs) for jobs in (8, 9)] == [False, True]
    assert (costs.round_of(4), costs.round_of(100)) == (4, 8)
    assert not PollingCosts(page=10, pages=3, unlisted=5).prefers_list(35)
    costs.give_up_list()
    assert not costs.prefers_list(10_000)
    assert costs.round_of(5) == 5


def test_a_search_ends_when_all_are_seen_or_the_rest_is_cheaper_one_by_one() -> None:
    """The last one is read by its id rather than from another page."""
    costs, search = PollingCosts(), ListSearch({"a", "b", "c"})
    search.saw({"a", "x"})
    assert not search.is_over(costs)
    search.saw({"b"})
    assert search.is_over(costs)
    costs.learn_from(search, ended=False)
    assert (search.sought, costs.pages, costs.unlisted) == ({"c"}, 3, 0)
    costs.learn_from(search, ended=True)
    assert (costs.pages, costs.unlisted) == (2, 1)


@given(st.integers(2, 2000))
def test_a_hopeless_search_is_given_up_soon(jobs: int) -> None:
    """After about as many pages without any of them as the logarithm of their number."""
    costs, search = PollingCosts(), ListSearch({str(number) for number in range(jobs)})
    while not search.is_over(costs):
        search.saw({"other"})
    assert search.pages <= math.log2(jobs) + 1
    costs.learn_from(search, ended=False)
    assert not costs.prefers_list(jobs)
