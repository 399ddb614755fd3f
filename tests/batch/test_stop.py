"""`Batch.stop`: calls on the wire end, everything else is dropped, and the next run goes on at once."""

from __future__ import annotations

import asyncio
import os
import signal
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import pytest
from support.batches import UNTIL, creates, each_once, lines, outcomes_of, rooms, sent, states

from whereby_async import Priority, RetryPolicy, WherebyClient
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from whereby_async.batch import Batch, Outcome

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]

T = TypeVar("T")

LATENCY = 1.0
TIMEOUT = 60.0


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server that takes its time."""
    async with FakeWhereby(limit=1_000_000, latency=LATENCY) as server:
        yield server


@pytest.fixture
async def whereby(fake: FakeWhereby) -> AsyncIterator[WherebyClient]:
    async with fake.client(timeout=TIMEOUT, limiter=Unlimited(), retry=RetryPolicy(base=0)) as client:
        yield client


async def stopped(batch: Batch[T], after: float) -> tuple[list[Outcome[T]], float]:
    """Run a batch and stop it after so many seconds; its outcomes, and the seconds from then to its end."""
    loop = asyncio.get_running_loop()
    async with batch as outcomes:
        stopped_at = loop.time() + after
        loop.call_at(stopped_at, batch.stop, context=Context())  # as from a signal's handler, outside of any task
        found = [outcome async for outcome in outcomes]
        took = loop.time() - stopped_at
    return sorted(found, key=lambda outcome: outcome.index), took


def numbers(count: int) -> Iterator[dict[str, int]]:
    return ({"number": number} for number in range(count))


async def test_calls_on_the_wire_end_and_no_other_begins(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """Their outcomes come out and are written down, the input is not read on, and the next run makes the rest."""
    read: list[int] = []

    def requests() -> Iterator[dict[str, Any]]:
        for number, request in enumerate(creates(100)):
            read.append(number)
            yield request

    batch = whereby.batch(whereby.meetings.create, requests(), journal=journal, concurrency=4)
    outcomes, took = await stopped(batch, after=2.5 * LATENCY)
    assert states(outcomes) == {"ok": 12}
    assert took == pytest.approx(LATENCY / 2, abs=0.1)
    assert batch.in_doubt == ()
    assert len(read) <= 20
    assert sent(fake, "meetings.create") == 12
    assert [line["state"] for line in lines(journal)[2:]].count("ok") == 12
    again = await outcomes_of(whereby.batch(whereby.meetings.create, creates(100), journal=journal))
    assert states(again) == {"ok": 100}
    assert sum(outcome.resumed for outcome in again) == 12
    assert each_once(fake, 100)
    assert sent(fake, "meetings.list") == 0


async def test_calls_under_way_are_counted(fake: FakeWhereby, whereby: WherebyClient) -> None:
    batch = whereby.batch(whereby.meetings.create, creates(10), concurrency=7)
    assert batch.calls_under_way == 0
    async with batch as outcomes:
        await asyncio.sleep(LATENCY / 2)
        assert batch.calls_under_way == 7
        batch.stop()
        assert batch.calls_under_way == 7
        assert len([outcome async for outcome in outcomes]) == 7
        assert batch.calls_under_way == 0
    assert len(rooms(fake)) == 7


@pytest.mark.parametrize(("one_attempt", "most"), [(300.0, 20.0), (5.0, 5.0)])
async def test_calls_on_the_wire_are_cancelled_when_their_time_is_over(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, one_attempt: float, most: float
) -> None:
    """After the client's `timeout`, or 20 seconds; a create is in doubt then, and the next run finds it."""
    fake.faults.add(Fault(operation="meetings.create", answer_delay=1000, skip=1))
    slow = whereby.with_options(timeout=300)
    requests = [{"number": number} for number in range(2)]

    async def own(number: int) -> str:
        return (await slow.meetings.create(**creates(2)[number])).meeting_id

    view = whereby.with_options(timeout=one_attempt)
    batch: Batch[Any] = view.batch(own, requests, journal=journal)
    outcomes, took = await stopped(batch, after=LATENCY / 2)
    assert states(outcomes) == {"ok": 1}
    assert took == pytest.approx(most)
    assert len(batch.in_doubt) == 1
    assert sorted(line["state"] for line in lines(journal)[2:]) == ["begun", "begun", "ok"]


async def sleep(number: int) -> None:
    await asyncio.sleep(1000 + number)


def waits(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> dict[str, Callable[[], Batch[Any]]]:
    """Batches all of whose items wait for something else than an answer after two latencies."""
    recordings = [
        {"recording_id": fake.add_recording()["recordingId"], "destination": journal.parent} for _ in range(3)
    ]

    def failing(**fault: Any) -> None:
        fake.faults.add(Fault(times=None, **fault))

    def points() -> Batch[Any]:
        failing(operation="meetings.create", status=429, headers={"Retry-After": "1000"})
        return whereby.batch(whereby.meetings.create, creates(3), journal=journal)

    def retry() -> Batch[Any]:
        failing(operation="meetings.delete", status=503, headers={"Retry-After": "50"})
        return whereby.batch(whereby.meetings.delete, [{"meeting_id": "1"}] * 3)

    def download() -> Batch[Any]:
        failing(operation="storage", delay=1000)
        return whereby.batch(whereby.recordings.download, recordings)

    def lookup() -> Batch[Any]:
        failing(operation="meetings.create", drop="after")
        return whereby.batch(whereby.meetings.create, creates(3))

    def function() -> Batch[Any]:
        return whereby.batch(sleep, numbers(3))

    return {each.__name__: each for each in (points, retry, download, lookup, function)}


@pytest.mark.parametrize("what", ["points", "retry", "download", "lookup", "function"])
async def test_what_waits_is_dropped_at_once(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, what: str
) -> None:
    """It has no outcome, and nothing is sent for it any more."""
    batch = waits(fake, whereby, journal)[what]()
    outcomes, took = await stopped(batch, after=3 * LATENCY)
    assert outcomes == []
    assert took < 0.1
    before = len(fake.requests)
    await asyncio.sleep(2000)
    assert len(fake.requests) == before
    assert len(batch.in_doubt) == (3 if what == "lookup" else 0)


async def test_call_that_fails_after_the_stop_is_not_sent_again(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """What would be tried again, at once or after a pause, is dropped instead; what is refused for good comes out."""
    fake.faults.add(
        Fault(operation="meetings.delete", status=503),
        Fault(operation="meetings.delete", status=429, headers={"Retry-After": "0"}),
        Fault(operation="meetings.delete", status=400),
    )
    view = whereby.with_options(retry=RetryPolicy(base=0))
    batch = view.batch(view.meetings.delete, [{"meeting_id": "1"}] * 3)
    outcomes, took = await stopped(batch, after=LATENCY / 2)
    assert [outcome.state for outcome in outcomes] == ["failed"]
    assert took == pytest.approx(LATENCY / 2, abs=0.1)
    assert sent(fake, "meetings.delete") == 3


@pytest.mark.parametrize("kept", [True, False], ids=["journal", "no journal"])
async def test_create_that_surely_did_not_leave_is_begun_at_once_by_the_next_run(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, *, kept: bool
) -> None:
    """Creates that were announced and then throttled are no longer in doubt, and nothing is looked up for them."""
    fake.faults.add(Fault(operation="meetings.create", status=429, headers={"Retry-After": "1000"}, times=5))
    options: dict[str, Any] = {"journal": journal} if kept else {}
    batch = whereby.batch(whereby.meetings.create, creates(5), **options)
    outcomes, took = await stopped(batch, after=3 * LATENCY)
    assert (outcomes, batch.in_doubt) == ([], ())
    assert took < 0.1
    if not kept:
        return
    assert [line["away"] for line in lines(journal)[-5:]] == [True] * 5
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with fake.client(limiter=Unlimited()) as later:
        again = await outcomes_of(later.batch(later.meetings.create, creates(5), journal=journal))
    assert states(again) == {"ok": 5}
    assert loop.time() - began < 2 * LATENCY
    assert each_once(fake, 5)
    assert sent(fake, "meetings.list") == 0


async def test_create_whose_answer_is_lost_after_the_stop_is_in_doubt(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """It is not looked up any more in this run, but in the next."""
    fake.faults.add(Fault(operation="meetings.create", drop="after", times=2))
    batch = whereby.batch(whereby.meetings.create, creates(5), journal=journal)
    outcomes, took = await stopped(batch, after=LATENCY / 2)
    assert states(outcomes) == {"ok": 3}
    assert took == pytest.approx(LATENCY / 2, abs=0.1)
    assert len(batch.in_doubt) == 2
    again = await outcomes_of(whereby.batch(whereby.meetings.create, creates(5), journal=journal))
    assert sum(outcome.adopted for outcome in again) == 2
    assert each_once(fake, 5)


async def test_function_of_several_calls_is_cut_off_behind_the_call_under_way(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """A create that it has made leaves the item in doubt; after reads alone it simply runs again."""

    async def own(number: int) -> None:
        if number:
            await whereby.meetings.create(end_date=UNTIL)
        else:
            await whereby.meetings.list()
        await whereby.meetings.list()

    batch: Batch[None] = whereby.batch(own, numbers(2), journal=journal)
    outcomes, took = await stopped(batch, after=LATENCY / 2)
    assert outcomes == []
    assert took == pytest.approx(LATENCY / 2, abs=0.1)
    assert batch.in_doubt == ("1",)
    assert len(fake.requests) == 2
    again = await outcomes_of(whereby.batch(own, numbers(2), journal=journal))
    assert [outcome.state for outcome in again] == ["ok", "unknown"]


async def test_ordered_batch_gives_what_has_ended(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """In order, but for the items that were dropped."""
    fake.faults.add(Fault(operation="meetings.create", drop="after", skip=1))
    batch = whereby.batch(whereby.meetings.create, creates(30), ordered=True, concurrency=5)
    outcomes, _ = await stopped(batch, after=1.5 * LATENCY)
    indexes = [outcome.index for outcome in outcomes]
    assert indexes == sorted(indexes)
    assert indexes[0] == 0
    assert {*range(10)} - {*indexes} == {int(key) for key in batch.in_doubt}
    assert len(indexes) == 9


async def test_stop_from_a_signal_handler_again_and_again(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """It is a plain call in the loop; a second one changes nothing."""
    loop = asyncio.get_running_loop()
    batch = whereby.batch(whereby.meetings.create, creates(10), concurrency=2)
    Context().run(loop.add_signal_handler, signal.SIGUSR1, batch.stop)
    try:
        async with batch as outcomes:
            await asyncio.sleep(LATENCY / 2)
            os.kill(os.getpid(), signal.SIGUSR1)
            found: list[Outcome[Any]] = []
            async for outcome in outcomes:
                batch.stop()
                found.append(outcome)
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
    assert states(found) == {"ok": 2}
    batch.stop()


@pytest.mark.parametrize("early", [True, False], ids=["before it is entered", "as soon as it is"])
async def test_batch_that_is_stopped_before_it_runs_does_nothing(
    fake: FakeWhereby, whereby: WherebyClient, *, early: bool
) -> None:
    read: list[int] = []

    def requests() -> Iterator[dict[str, Any]]:
        for request in creates(5):
            read.append(1)
            yield request

    batch = whereby.batch(whereby.meetings.create, requests())
    if early:
        batch.stop()
    async with batch as outcomes:
        batch.stop()
        assert [outcome async for outcome in outcomes] == []
    assert (read, fake.requests) == ([], [])


@pytest.mark.parametrize("where", ["item", "input"])
async def test_error_that_had_stopped_the_job_is_raised_still(whereby: WherebyClient, where: str) -> None:
    async def own(number: int) -> None:
        if number == 1 and where == "item":
            raise KeyError(where)
        await asyncio.sleep(1000)

    def requests() -> Iterator[dict[str, int]]:
        yield from numbers(2)
        if where == "input":
            raise KeyError(where)

    batch: Batch[None] = whereby.batch(own, requests(), concurrency=3, stop_on_error=True)
    with pytest.raises(KeyError, match=where):
        await stopped(batch, after=1)


async def test_stop_in_the_moment_of_a_grant_sends_nothing(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Points that were granted in the very step of the stop go back, and the call stays at home."""
    budget = PointBudget(1000, reserve=0)
    view = whereby.with_options(limiter=budget)
    batch = view.batch(view.meetings.get, [{"meeting_id": "1"}] * 5, concurrency=1)
    await view.meetings.list()
    permit = await budget.acquire(budget.snapshot().available, priority=Priority.INTERACTIVE)
    async with batch as outcomes:
        await anyio.wait_all_tasks_blocked()
        permit.release()
        batch.stop()
        assert [outcome async for outcome in outcomes] == []
    assert sent(fake, "meetings.get") == 0
    assert batch.progress.points == 0
    assert budget.snapshot().in_flight == 0
