"""Waits for transcriptions and summaries, on a simulated clock over real sockets."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import TYPE_CHECKING, Any

import anyio
import pytest
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
from whereby_async.testing import FakeWhereby, Fault, run_simulated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MANY = 300
FOREVER = 10_000.0


def started(fake: FakeWhereby, count: int = 1) -> list[str]:
    """Ids of new transcriptions that are in progress."""
    return [fake.add_transcription(state="in_progress")["transcriptionId"] for _ in range(count)]


def reads(fake: FakeWhereby) -> dict[str, int]:
    """How often each operation was called."""
    found: dict[str, int] = {}
    for request in fake.requests:
        found[request.operation] = found.get(request.operation, 0) + 1
    return found


def watches(client: WherebyClient) -> int:
    """Watches that are open."""
    return len(client._shared.watches)  # pyright: ignore[reportPrivateUsage] - nothing may be left over


def simulated(
    main: Callable[[FakeWhereby, WherebyClient], Awaitable[None]], client: dict[str, Any] | None = None, **server: Any
) -> None:
    """Run it with a fake server and a client of it, on a simulated clock; no watch, task or descriptor is left."""

    async def whole() -> None:
        settings: dict[str, Any] = {"processing_time": 60.0} | server
        async with FakeWhereby(**settings) as fake, fake.client(**client or {}) as whereby:
            await main(fake, whereby)
            assert watches(whereby) == 0
            assert fake.throttled == 0

    run_cleanly(whole())


def test_a_wait_ends_soon_after_the_transcription() -> None:
    """It takes a minute: seen at most a third later, in a dozen looks."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        (job,) = started(fake)
        began = asyncio.get_running_loop().time()
        transcription = await whereby.transcriptions.wait(job)
        assert 60 <= asyncio.get_running_loop().time() - began < 80
        assert isinstance(transcription, Transcription)
        assert transcription.is_ready
        assert reads(fake).keys() == {"transcriptions.get"}
        assert fake.points_spent <= 13

    simulated(main)


def test_what_is_ready_is_returned_at_once() -> None:
    """One look, one point; a summary's `completed` is as good as `ready`."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        transcription = fake.add_transcription()["transcriptionId"]
        summary = fake.add_summary(transcription)["summaryId"]
        fake.summaries[summary]["state"] = "completed"
        assert (await whereby.transcriptions.wait(transcription)).is_ready
        found = await whereby.summaries.wait(summary)
        assert isinstance(found, Summary)
        assert (found.is_ready, fake.points_spent) == (True, 2)

    simulated(main)


def test_a_failed_transcription_raises_with_the_reason() -> None:
    """The server's own words, if it has any."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        told, silent = started(fake, 2)
        fake.finish_transcription(told, "failed", error="audio is silent")
        fake.finish_transcription(silent, "failed")
        with pytest.raises(JobFailedError, match=f"transcription {told} failed: audio is silent") as caught:
            await whereby.transcriptions.wait(told)
        for error in (caught.value, copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
            assert (error.job_id, error.state, error.message) == (told, "failed", "audio is silent")
        with pytest.raises(JobFailedError, match="the server gives no reason"):
            await whereby.transcriptions.wait(silent)

    simulated(main)


def test_a_failed_summary_raises() -> None:
    """As a transcription does."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        summary = fake.add_summary(fake.add_transcription()["transcriptionId"], state="in_progress")["summaryId"]
        waiting = asyncio.create_task(whereby.summaries.wait(summary))
        await asyncio.sleep(10)
        fake.finish_summary(summary, "failed")
        with pytest.raises(JobFailedError, match=f"summary {summary} failed"):
            await waiting

    simulated(main)


def test_an_unknown_state_is_waited_on() -> None:
    """A newer word for being under way ends nothing."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        (job,) = started(fake)
        fake.transcriptions[job]["state"] = "polishing"
        with anyio.move_on_after(50) as scope:
            await whereby.transcriptions.wait(job)
        assert scope.cancelled_caught
        assert (await whereby.transcriptions.wait(job)).is_ready

    simulated(main)


def test_deleted_while_waiting() -> None:
    """A 404, whether it was there before or never."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        jobs = started(fake, 5)
        waiting = [asyncio.create_task(whereby.transcriptions.wait(job)) for job in jobs]
        await asyncio.sleep(10)
        for job in jobs[:3]:
            await whereby.transcriptions.delete(job)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [NotFoundError] * 3 + [Transcription] * 2
        with pytest.raises(NotFoundError):
            await whereby.transcriptions.wait("never")

    simulated(main)


@pytest.mark.parametrize("limit", [100, 1000])
def test_hundreds_of_waits_share_the_list(limit: int) -> None:
    """300 waits of a minute: three points a round in place of 300, and no more than a fifth of the budget."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        loop = asyncio.get_running_loop()
        jobs = started(fake, MANY)
        began = loop.time()
        found = await asyncio.gather(*(whereby.transcriptions.wait(job) for job in jobs))
        took = loop.time() - began
        assert [transcription.transcription_id for transcription in found] == jobs
        assert 60 <= took < 100
        assert reads(fake).keys() == {"transcriptions.list"}
        assert fake.points_spent <= 3 * 13
        assert fake.points_spent <= max(0.4 * limit * took / 60, 9)

    simulated(main, limit=limit)


def test_summaries_share_the_list_too() -> None:
    """As transcriptions do, with watches of their own."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
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

    simulated(main)


def test_few_among_many_are_read_by_their_ids() -> None:
    """Three waits among a thousand old transcriptions: the list is given up after a page or two."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        jobs = [fake.add_transcription(state="in_progress", start_date=-1e6)["transcriptionId"] for _ in range(3)]
        for _ in range(1000):
            fake.add_transcription()
        await asyncio.gather(*map(whereby.transcriptions.wait, jobs))
        assert reads(fake)["transcriptions.list"] <= 3
        assert fake.points_spent <= 3 * 13 + 3

    simulated(main, limit=10_000)


def test_jobs_that_are_not_listed_are_read_by_their_ids() -> None:
    """A list that does not show them is asked once."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        jobs = started(fake, 30)
        fake.faults.add(Fault(operation="transcriptions.list", body=b'{"results": [], "cursor": null}', times=None))
        await asyncio.gather(*map(whereby.transcriptions.wait, jobs))
        assert reads(fake)["transcriptions.list"] == 1

    simulated(main)


@pytest.mark.parametrize("fault", [Fault(status=403), Fault(status=404), Fault(status=400), Fault(body=b"<html>")])
def test_a_list_that_is_refused_is_done_without(fault: Fault) -> None:
    """Each job is read by its id then."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        jobs = started(fake, 5)
        fake.faults.add(Fault(operation="transcriptions.list", status=fault.status, body=fault.body, times=None))
        found = await asyncio.gather(*map(whereby.transcriptions.wait, jobs))
        assert all(each.is_ready for each in found)
        assert reads(fake)["transcriptions.list"] == 1

    simulated(main)


@pytest.mark.parametrize(("status", "kind", "tries"), [(500, InternalServerError, 4), (401, AuthenticationError, 1)])
def test_an_error_of_the_poll_goes_to_all_who_wait(status: int, kind: type[Exception], tries: int) -> None:
    """After the retries of any call; each gets an error of its own."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        jobs = started(fake, 5)
        fake.faults.add(Fault(operation="transcriptions.list", status=status, times=None))
        outcomes = await asyncio.gather(*map(whereby.transcriptions.wait, jobs), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [kind] * 5
        assert len({id(outcome) for outcome in outcomes}) == 5
        assert reads(fake) == {"transcriptions.list": tries}
        fake.faults.clear()
        assert (await whereby.transcriptions.wait(jobs[0])).is_ready

    simulated(main, client={"retry": RetryPolicy(base=0.1)})


def test_an_error_of_one_read_goes_to_whom_it_concerns() -> None:
    """The other wait goes on."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        job, other = started(fake, 2)
        fake.faults.add(Fault(operation="transcriptions.list", status=403))
        fake.faults.add(Fault(operation="transcriptions.get", status=422))
        outcomes = await asyncio.gather(*map(whereby.transcriptions.wait, (job, other)), return_exceptions=True)
        assert [isinstance(outcome, Transcription) for outcome in outcomes].count(True) == 1

    simulated(main)


def test_a_deadline_is_the_callers() -> None:
    """Waits that run out of time, or are cancelled, disturb no other, whoever of them led."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
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

    simulated(main)


def test_several_wait_for_the_same() -> None:
    """One look serves all, and one that leaves takes nothing along."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        (job,) = started(fake)
        waiting = [asyncio.create_task(whereby.transcriptions.wait(job)) for _ in range(10)]
        await asyncio.sleep(5)
        waiting[0].cancel()
        outcomes = await asyncio.gather(*waiting[1:])
        assert len({id(outcome) for outcome in outcomes}) == 1
        assert fake.points_spent <= 13

    simulated(main)


def test_who_leaves_while_his_job_is_read_is_not_told() -> None:
    """The leader reads it for him, and goes on with its own."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
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

    simulated(main)


def test_a_newcomer_is_looked_at_at_once() -> None:
    """However long the others' pause is."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
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

    simulated(main)


def test_polls_wait_in_the_callers_lane() -> None:
    """Other lanes, keys and limiters have watches of their own."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
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

    simulated(main)


def test_looks_grow_rarer_when_points_are_short() -> None:
    """Ten waits read by their ids on 100 points a minute: a small part of the budget, and others hardly wait."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
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

    simulated(main, limit=100, processing_time=280.0)


@pytest.mark.parametrize("count", [1, 5])
def test_a_look_that_max_wait_refuses_is_put_off(count: int) -> None:
    """The budget is spent: the wait goes on when there are points again."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        await whereby.meetings.list()
        fake.spend(9)
        await asyncio.sleep(1)
        for _ in range(9):
            if whereby.limiter.snapshot().available:
                await whereby.with_options(max_wait=None).meetings.list()
        jobs = started(fake, count)
        view = whereby.with_options(max_wait=0.0)
        found = await asyncio.gather(*map(view.transcriptions.wait, jobs))
        assert all(each.is_ready for each in found)

    async def whole() -> None:
        limiter = PointBudget(10)
        async with FakeWhereby(limit=10, processing_time=1.0) as fake, fake.client(limiter=limiter) as whereby:
            await main(fake, whereby)
            assert watches(whereby) == 0

    run_simulated(whole())


def test_closing_the_client_ends_waits() -> None:
    """All of them, at once."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        waiting = [asyncio.create_task(whereby.transcriptions.wait(job)) for job in started(fake, 5)]
        loop = asyncio.get_running_loop()
        await asyncio.sleep(100 if fake.processing_time is None else 10)
        began = loop.time()
        await whereby.aclose()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ClientClosedError] * 5
        assert loop.time() - began < 1

    simulated(main, processing_time=None)


@pytest.mark.parametrize("bad", ["", "a/b", "."])
def test_ids_are_checked(bad: str) -> None:
    """Before anything is sent."""

    async def main(fake: FakeWhereby, whereby: WherebyClient) -> None:
        for wait in (whereby.transcriptions.wait, whereby.summaries.wait):
            with pytest.raises(ValueError, match="_id="):
                await wait(bad)
        assert fake.requests == []

    simulated(main)


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
    left[0]._log_destroy_pending = False  # type: ignore[attr-defined]


MOMENTS: tuple[Moment, ...] = ("early", "late")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("count", [1, 4])
def test_a_cancel_at_any_await_disturbs_nobody(count: int, moment: Moment) -> None:
    """The one that leads is cancelled at await 0, 1, 2, …: the others come to their end, and nothing is left."""

    async def meddled(nth: int) -> bool:
        budget, pool = PointBudget(1000), SessionPool()
        async with FakeWhereby(processing_time=10.0) as fake, fake.client(limiter=budget, pool=pool) as client:
            jobs = started(fake, count)
            meddling = Meddling(client.transcriptions.wait(jobs[0]), nth, moment, lambda: task.cancel())  # noqa: PLW0108 - the task is made of it
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
