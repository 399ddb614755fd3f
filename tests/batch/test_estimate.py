"""What a batch tells of itself while it runs, and what is said before it starts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.batches import UNTIL, creates, outcomes_of

from whereby_async import ConfigurationError, WherebyClient
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FakeWhereby, Fault, run_simulated

if TYPE_CHECKING:
    from support.recording_limiter import RecordingLimiter

    from whereby_async.batch import Progress

pytestmark = pytest.mark.anyio

NOTHING: list[dict[str, Any]] = [{}]
"""A request for a call that takes no argument."""


@pytest.mark.simulated_clock
async def test_progress_counts_items_and_points(fake: FakeWhereby, whereby: WherebyClient) -> None:
    told: list[Progress] = []
    fake.faults.add(
        Fault(operation="meetings.create", status=400),
        Fault(operation="meetings.create", drop="after"),
        Fault(operation="meetings.list", status=403, times=None),
    )
    batch = whereby.batch(whereby.meetings.create, creates(10), on_progress=told.append, progress_interval=0.05)
    await outcomes_of(batch)
    last = told[-1]
    assert (last.done, last.failed, last.unknown, last.resumed, last.under_way, last.total) == (8, 1, 1, 0, 0, 10)
    assert last.finished == 10
    assert last.points == fake.points_spent
    assert last.points_per_second == pytest.approx(last.points / last.elapsed)
    assert last.eta == 0.0
    assert last.waiting is None
    assert batch.progress == last
    assert 3 < len(told) < 3 + last.elapsed / 0.05


async def test_progress_callback_that_raises_harms_nothing(
    whereby: WherebyClient, caplog: pytest.LogCaptureFixture
) -> None:

    def tell(_: Progress) -> None:
        raise ZeroDivisionError

    async def call() -> None:
        await anyio.sleep(0.02)

    outcomes = await outcomes_of(
        whereby.batch(call, NOTHING * 5, concurrency=1, on_progress=tell, progress_interval=0.01)
    )
    assert len(outcomes) == 5
    assert caplog.text.count("on_progress raised") == 1


async def test_total_is_unknown_for_an_iterator(whereby: WherebyClient) -> None:
    batch = whereby.batch(whereby.meetings.create, iter(creates(2)))
    await outcomes_of(batch)
    assert (batch.progress.total, batch.progress.eta) == (None, None)


async def test_eta_is_never_0_before_the_end(whereby: WherebyClient) -> None:
    """Even when there are points for all that is under way, and nothing is known of the pace."""
    go_on = anyio.Event()

    async with whereby.batch(go_on.wait, NOTHING * 5) as outcomes:
        await anyio.wait_all_tasks_blocked()
        assert outcomes.progress.eta == 1.0
        go_on.set()
        assert len([outcome async for outcome in outcomes]) == 5
        assert outcomes.progress.eta == 0.0


def test_eta_of_look_ups_does_not_go_by_the_pace() -> None:
    """What is only looked for ends at a known time, however long the other items took."""

    async def main() -> None:
        async with FakeWhereby() as fake, fake.client(timeout=1.0, limiter=Unlimited()) as client:
            fake.faults.add(Fault(operation="meetings.create", drop="before", times=3))
            async with client.batch(client.meetings.create, creates(4), absent_after=100) as outcomes:
                await asyncio.sleep(90)
                progress = outcomes.progress
                assert progress.lookups == 3
                assert progress.lookups_end == pytest.approx(11.0, abs=0.5)
                assert progress.eta == progress.lookups_end
                assert len([outcome async for outcome in outcomes if outcome.ok]) == 4

    run_simulated(main())


async def test_slow_consumer_shows_as_such(whereby: WherebyClient) -> None:
    """When as many outcomes lie ready as may, the job waits for whoever takes them."""

    async def call() -> None: ...

    async with whereby.batch(call, NOTHING * 100, concurrency=3) as outcomes:
        await anyio.wait_all_tasks_blocked()
        assert outcomes.progress.waiting == "consumer"


def test_waiting_for_points_has_its_reason() -> None:
    """`pilot` before anything is known, `empty` in a spent window, `frozen` after a 429, `reserve` near its end."""
    seen: set[str | None] = set()

    async def main() -> None:
        async with FakeWhereby(limit=100, latency=0.1) as fake, fake.client(limiter=PointBudget(reserve=0.3)) as client:
            fake.faults.add(Fault(operation="meetings.get", status=429, skip=110, headers={"Retry-After": "20"}))
            ids = [{"meeting_id": fake.add_meeting()["meetingId"]}] * 250
            async with client.batch(
                client.meetings.get, ids, on_progress=lambda p: seen.add(p.waiting), progress_interval=0.05
            ) as outcomes:
                async for outcome in outcomes:
                    assert outcome.ok

    run_simulated(main())
    assert seen >= {"pilot", "empty", "frozen", "reserve"}


@pytest.mark.parametrize("calls", [20, 100, 1000])
def test_estimate_and_eta_tell_the_truth(calls: int) -> None:
    """What is said before a job starts, and at half of it, is within a few percent of what it takes."""

    async def main() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()
        async with FakeWhereby(limit=100, latency=0.1) as fake, fake.client() as client:
            await client.meetings.list()
            requests = [{"end_date": UNTIL}] * calls
            said = client.estimate(client.meetings.create, calls)
            assert (said.operation, said.calls, said.price, said.points) == ("meetings.create", calls, 3, 3 * calls)
            assert said.windows == -(-(3 * calls + 1) // 99)
            began = loop.time()
            eta = 0.0
            async with client.batch(client.meetings.create, requests) as outcomes:
                async for outcome in outcomes:
                    assert outcome.ok
                    if not eta and outcomes.progress.finished >= calls // 2:
                        eta = loop.time() - began + (outcomes.progress.eta or 0.0)
            assert fake.throttled == 0
            return said.seconds, eta, loop.time() - began

    said, eta, took = run_simulated(main())
    assert said == pytest.approx(took, rel=0.05, abs=5)
    assert eta == pytest.approx(took, rel=0.1, abs=65)


@pytest.mark.parametrize("reserve", [0.1, 0.5])
@pytest.mark.parametrize("calls", [32, 65])
def test_estimate_names_the_window_in_which_a_job_ends(calls: int, reserve: float) -> None:
    """With a reserve a job that fills its last window ends with it: the reserve melts while nobody else calls."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        budget = PointBudget(reserve=reserve)
        async with FakeWhereby(limit=100, latency=0.1) as fake, fake.client(limiter=budget) as client:
            await client.meetings.list()
            began = loop.time()
            said = client.estimate(client.meetings.create, calls)
            assert said.windows == -(-(3 * calls + 1) // 100)
            async with client.batch(client.meetings.create, [{"end_date": UNTIL}] * calls) as outcomes:
                async for outcome in outcomes:
                    assert outcome.ok
            # Half of each window melts for a minute: the last calls go in the next one.
            late = 2 if reserve < 0.5 else 45
            assert said.seconds + 10 < loop.time() - began < 60 * said.windows + late

    run_simulated(main())


async def test_estimate_goes_by_learned_prices(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """A pinned or learned price wins over the documented one, by name or method; any limiter will do."""
    async with fake.client(limiter=PointBudget(1000, costs={"insights.rooms": 7})) as client:
        by_name, by_method = client.estimate("insights.rooms", 10), client.estimate(client.insights.rooms, 10)
        assert by_name == by_method
        assert (by_name.price, by_name.points, by_name.learned) == (7, 70, True)
        assert client.estimate("meetings.create", 0).seconds == 0.0
        assert client.estimate(client.rooms.reset_logo, 2).operation == "rooms.set_logo"
    async with fake.client(limiter=Unlimited()) as client:
        assert client.estimate("meetings.delete", 1000).points == 2000
        assert client.estimate("meetings.delete", 1000).seconds == 0.0
    async with fake.client(limiter=limiter) as client:
        assert client.estimate("meetings.get", 1000).windows == 1000
    assert not fake.requests


@pytest.mark.parametrize(
    ("operation", "calls", "words"),
    [
        ("meetings.change", 1, "meetings.change"),
        (outcomes_of, 1, "not known"),
        ("meetings.get", -1, "n=-1"),
        ("meetings.get", 1.5, "n=1.5"),
    ],
)
async def test_estimate_refuses_what_it_can_not_know(
    whereby: WherebyClient, operation: Any, calls: Any, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        whereby.estimate(operation, calls)
