"""A service that can not be reached, as a call meets it: how long it waits, what it pays, and what it raises."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest
from support.calls import UNTIL
from support.recording_limiter import RecordingLimiter

from whereby_async import (
    APIConnectionError,
    ClientClosedError,
    ConfigurationError,
    InternalServerError,
    Priority,
    RetryPolicy,
    ServiceUnavailableError,
    SessionPool,
    WherebyClient,
    use_priority,
)
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FakeWhereby, Fault, TcpFault, TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from whereby_async.batch import Batch, Outcome
    from whereby_async.hooks import AttemptDetails, EndDetails, UnavailableDetails

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]


class Heard:
    """A hook that keeps what it is told of attempts, ends and outages."""

    def __init__(self) -> None:
        self.attempts = 0
        self.ends: list[EndDetails] = []
        self.changes: list[UnavailableDetails] = []

    def on_attempt(self, details: AttemptDetails) -> None:
        self.attempts += 1

    def on_end(self, details: EndDetails) -> None:
        self.ends.append(details)

    def on_unavailable(self, details: UnavailableDetails) -> None:
        self.changes.append(details)


@pytest.fixture
async def stopped() -> AsyncIterator[FakeWhereby]:
    """A server that was there, and is not now; nobody else gets its port."""
    async with FakeWhereby() as fake, fake.away():
        yield fake
        await fake.aclose()


def now() -> float:
    return asyncio.get_running_loop().time()


async def back_after(fake: FakeWhereby, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await fake.start()


async def waited(client: WherebyClient) -> float:
    """Seconds until a call gives up."""
    began = now()
    with pytest.raises(APIConnectionError):
        await client.meetings.get("1")
    return now() - began


async def outcomes_of(batch: Batch[None]) -> list[Outcome[None]]:
    async with batch as outcomes:
        return [outcome async for outcome in outcomes]


# How long


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({}, 0.7, 2.0),
        ({"priority": Priority.INTERACTIVE}, 0.0, 1.8),
        ({"priority": Priority.BATCH}, 890.0, 900.0),
        ({"max_outage": 30}, 28.0, 30.0),
        ({"max_outage": 0.5, "priority": Priority.BATCH}, 0.0, 0.5),
        ({"max_outage": 0, "priority": Priority.BATCH}, 0.0, 1.8),
    ],
)
async def test_a_call_waits_as_long_as_its_priority_or_its_client_says(
    options: dict[str, Any], least: float, most: float, stopped: FakeWhereby
) -> None:
    async with stopped.client(**options) as whereby:
        assert least <= await waited(whereby) <= most


async def test_a_view_may_wait_longer_than_its_client(stopped: FakeWhereby) -> None:
    async with stopped.client(max_outage=1.0) as whereby:
        assert await waited(whereby) <= 1.0
        assert 50.0 <= await waited(whereby.with_options(max_outage=60.0)) <= 60.0
        with use_priority(Priority.BATCH):  # what was said counts more than the priority
            assert await waited(whereby) <= 1.0


async def test_a_call_may_wait_as_long_as_it_takes(stopped: FakeWhereby) -> None:
    async with stopped.client(max_outage=None) as whereby, anyio.create_task_group() as group:
        group.start_soon(back_after, stopped, 7200.0)
        await whereby.meetings.list()
        assert now() >= 7200.0


@pytest.mark.parametrize("value", [-1, float("nan"), "2", True, [1]])
async def test_what_is_no_number_of_seconds_is_refused(value: Any, fake: FakeWhereby) -> None:
    async with fake.client() as whereby:
        for use in (
            lambda: fake.client(max_outage=value),
            lambda: whereby.with_options(max_outage=value),
            lambda: whereby.batch(whereby.meetings.get, [], max_outage=value),
        ):
            with pytest.raises(ConfigurationError, match=r"max_outage=.*pass seconds from 0 "):
                use()


async def test_what_is_in_a_batch_waits_as_the_batch_says_else_for_900_seconds(stopped: FakeWhereby) -> None:
    async def read() -> None:
        await whereby.meetings.get("1")

    async with stopped.client() as whereby:
        for batch, least, most in (
            (whereby.batch(read, [{}]), 890.0, 900.0),
            (whereby.batch(read, [{}], max_outage=3.0), 0.0, 3.0),
        ):
            began = now()
            with pytest.raises(ServiceUnavailableError):
                await outcomes_of(batch)
            assert least <= now() - began <= most


async def test_downloads_and_waits_for_jobs_wait_for_900_seconds(stopped: FakeWhereby, tmp_path: Path) -> None:
    async with stopped.client() as whereby:
        for call in (
            whereby.recordings.download("1", tmp_path / "film.mp4"),
            whereby.transcriptions.wait("1"),
            whereby.summaries.wait("1"),
        ):
            began = now()
            with pytest.raises(ServiceUnavailableError):
                await call
            assert 890.0 <= now() - began <= 900.1


async def test_seconds_are_summed_over_a_call() -> None:
    """Back for a moment each time, and gone before the call is through: the waits add up."""
    async with FakeWhereby() as fake, TcpProxy(fake.url) as wire:
        wire.faults.add(TcpFault(at="request", times=None))
        options: dict[str, Any] = {"limiter": Unlimited(), "retry": RetryPolicy(attempts=30, base=0.0)}
        async with fake.client(base_url=wire.url, max_outage=5.0, **options) as whereby:

            async def flap() -> None:
                while True:
                    await wire.refuse()
                    await asyncio.sleep(2.0)
                    await wire.accept()
                    await asyncio.sleep(0.1)

            flapping = asyncio.ensure_future(flap())
            began = now()
            with pytest.raises(APIConnectionError):
                await whereby.meetings.get("1")
            assert now() - began <= 7.0
            flapping.cancel()


# What it costs


async def test_what_never_left_gives_its_points_back_keeps_its_place_and_is_no_attempt(stopped: FakeWhereby) -> None:
    limiter = RecordingLimiter()
    async with stopped.client(limiter=limiter) as whereby, anyio.create_task_group() as group:
        group.start_soon(back_after, stopped, 1.0)
        await whereby.meetings.create(end_date=UNTIL)
    assert limiter.ends == [["release"], ["settle"]]
    assert [permit.after for permit in limiter.permits] == [None, limiter.permits[0]]
    assert len(stopped.meetings) == 1


async def test_waiting_for_the_service_is_no_waiting_for_points(stopped: FakeWhereby) -> None:
    async with stopped.client(max_wait=0.1, max_outage=60.0) as whereby, anyio.create_task_group() as group:
        group.start_soon(back_after, stopped, 30.0)
        await whereby.meetings.list()


async def test_calls_that_wait_for_points_wait_for_the_service_instead_when_their_turn_comes() -> None:
    """Each is granted points in vain once at most; then all go on in their order, and no answer is a 429."""
    async with FakeWhereby(limit=50, period=10.0) as fake:
        heard, done = Heard(), list[int]()
        async with fake.client(limiter=PointBudget(50, period=10.0), hooks=[heard]) as whereby:
            await whereby.meetings.list()

            async def read(number: int) -> None:
                await whereby.meetings.list()
                done.append(number)

            async with anyio.create_task_group() as group:
                for number in range(300):
                    group.start_soon(read, number)
                await asyncio.sleep(9.5)
                async with fake.away():
                    await asyncio.sleep(1.0)
        assert len(done) == 300
        assert fake.throttled == 0
        assert heard.attempts <= 301 + 101
        assert sorted(done) == list(range(300))
        assert all(abs(place - number) <= 100 for place, number in enumerate(done))  # a hundred go at once


async def test_an_outage_draws_nothing_from_the_retry_budget() -> None:
    """Hundreds of calls on the wire when the server dies, again and again: none is lost for want of a token."""
    async with FakeWhereby(limit=10**9, latency=0.2) as fake, fake.client(max_outage=60.0) as whereby:
        for _ in range(6):
            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(_read, whereby)
                await asyncio.sleep(0.1)
                await fake.aclose()
                await asyncio.sleep(1.0)
                await fake.start()


async def _read(whereby: WherebyClient) -> None:
    await whereby.meetings.list()


# What it says


async def test_the_error_says_since_when_why_how_often_and_when_again(stopped: FakeWhereby) -> None:
    async with stopped.client(max_outage=3.0) as whereby:
        with pytest.raises(ServiceUnavailableError) as caught:
            await whereby.meetings.create(end_date=UNTIL)
    error = caught.value
    assert f"meetings.create: http://127.0.0.1:{stopped.port} can not be reached since " in str(error)
    for words in ("Connection refused; tried ", "it is tried again in ", "nothing was sent"):
        assert words in str(error)
    assert error.retry_after is not None
    assert 0 < error.retry_after <= 1.2
    assert (error.may_have_happened, error.operation) == (False, "meetings.create")
    assert isinstance(error.__cause__, APIConnectionError)


async def test_a_call_that_comes_when_it_is_known_fails_at_once_if_the_next_probe_is_too_late(
    stopped: FakeWhereby,
) -> None:
    async with stopped.client(max_outage=60.0) as whereby:
        await waited(whereby)
        began = now()
        with pytest.raises(ServiceUnavailableError):
            await whereby.with_options(max_outage=0.1).meetings.list()
        assert now() - began <= 0.1


async def test_what_may_have_happened_stays_so_though_the_rest_was_an_outage() -> None:
    async with FakeWhereby() as fake, TcpProxy(fake.url) as wire:
        whereby = fake.client(base_url=wire.url)
        await whereby.meetings.list()
        wire.faults.add(TcpFault(at="answer"))
        await wire.refuse()
        with pytest.raises(ServiceUnavailableError, match="it was not sent again") as caught:
            await whereby.meetings.delete("1")
        await whereby.aclose()
    assert caught.value.may_have_happened is True


async def test_hooks_the_log_and_health_checks_hear_of_it_once(
    stopped: FakeWhereby, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    began = datetime.now(UTC)
    with caplog.at_level(logging.WARNING, "whereby_async"):
        async with stopped.client(hooks=[heard, heard], max_outage=60.0) as whereby:
            assert whereby.reachability.state == "ready"
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(_read, whereby)
                await asyncio.sleep(5.0)
                known = whereby.reachability
                assert (known.state, known.origin) == ("unavailable", stopped.url.removesuffix("/v1"))
                assert known.since is not None
                assert known.since >= began
                assert known.away == pytest.approx(5.0, abs=0.1)
                await stopped.start()
            assert whereby.reachability.state == "ready"
    assert [change.away for change in heard.changes] == [True, False]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "can not be reached" in caplog.messages[0]
    assert "can be reached again after " in caplog.messages[1]
    assert {end.error for end in heard.ends} == {None}
    assert all(5.0 <= end.away <= 7.0 for end in heard.ends)
    assert all(end.waited < 1.0 for end in heard.ends)


async def test_what_is_cancelled_in_an_outage_has_not_waited_for_points(stopped: FakeWhereby) -> None:
    """Also calls that had got points, and gave them back."""
    heard = Heard()
    async with stopped.client(hooks=[heard], max_outage=60.0) as whereby:
        calls = [asyncio.ensure_future(_read(whereby)) for _ in range(3)]
        await asyncio.sleep(5.0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    assert [round(end.away) for end in heard.ends] == [5, 5, 5]
    assert [round(end.waited, 1) for end in heard.ends] == [0.0] * 3


async def test_a_hook_hears_nothing_any_more_when_its_client_is_closed(stopped: FakeWhereby) -> None:
    heard = Heard()
    async with stopped.client() as other:
        async with stopped.client(hooks=[heard]):
            pass
        await waited(other)
    assert heard.changes == []


# How it ends


async def test_closing_the_client_ends_all_waits(stopped: FakeWhereby) -> None:
    async with stopped.client(max_outage=None) as whereby:
        calls = [asyncio.ensure_future(_read(whereby)) for _ in range(1_000)]
        await asyncio.sleep(10.0)
        began = now()
        await whereby.aclose()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert now() - began < 0.1
    assert {type(result) for result in results} == {ClientClosedError}


async def test_the_first_success_of_a_call_that_does_not_wait_frees_those_that_do(stopped: FakeWhereby) -> None:
    async with stopped.client(max_outage=900.0) as whereby, anyio.create_task_group() as group:
        group.start_soon(_read, whereby)
        await asyncio.sleep(100.0)
        await stopped.start()
        began = now()
        await whereby.with_options(max_outage=0).meetings.list()
        assert whereby.reachability.state == "ready"
        assert now() - began < 0.1


# Gateways


async def test_a_gateway_without_a_service_is_probed_by_a_read_and_nobody_else_asks() -> None:
    async with FakeWhereby() as fake, fake.client(limiter=Unlimited(), priority=Priority.BATCH) as whereby:
        fake.faults.add(Fault(status=503, times=None, points=0))
        refused: list[float] = []
        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(_read_room if number % 2 else _read, whereby)
            await asyncio.sleep(20.0)
            refused += [request.at for request in fake.requests]
            fake.faults.clear()
        assert len([at for at in refused if at - refused[0] < 0.1]) <= 110
        probes = [request for request in fake.requests if request.query == (("limit", "1"),)]
        assert 15 <= len(probes) <= 25


async def _read_room(whereby: WherebyClient) -> None:
    await whereby.insights.rooms()


async def test_an_operation_that_alone_fails_alone_waits() -> None:
    async with FakeWhereby() as fake, fake.client(limiter=Unlimited()) as whereby:
        fake.faults.add(Fault(status=503, times=None, operation="insights.rooms"))
        results = await asyncio.gather(*(_read_room(whereby) for _ in range(20)), return_exceptions=True)
        assert {type(result) for result in results} <= {InternalServerError, ServiceUnavailableError}
        await whereby.meetings.list()


async def test_health_checks_hear_nothing_of_one_operation_that_fails() -> None:
    async with FakeWhereby() as fake, fake.client(limiter=Unlimited(), max_outage=60.0) as whereby:
        fake.faults.add(Fault(status=503, times=None, operation="insights.rooms"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.gather(*(_read_room(whereby) for _ in range(8)))
        assert len(fake.requests) >= 5
        assert whereby.reachability.state == "ready"


async def test_a_retry_after_of_a_day_is_no_day_of_silence() -> None:
    async with FakeWhereby() as fake, fake.client(limiter=Unlimited()) as whereby:
        fake.faults.add(Fault(status=503, headers={"Retry-After": "86400"}, times=None))
        await asyncio.gather(
            *(_read(whereby) for _ in range(3)), whereby.rooms.reset_logo("/x"), return_exceptions=True
        )
        await asyncio.gather(*(_read(whereby) for _ in range(3)), return_exceptions=True)
        assert whereby.reachability.state == "unavailable"
        fake.faults.clear()
        began = now()
        await whereby.with_options(max_outage=None).meetings.list()
        assert 800.0 <= now() - began <= 901.0


async def test_a_long_retry_after_is_obeyed_by_who_may_wait_so_long() -> None:
    async with FakeWhereby() as fake, fake.client() as whereby:
        fake.faults.add(Fault(status=503, headers={"Retry-After": "120"}, times=2))
        with pytest.raises(InternalServerError):
            await whereby.meetings.list()
        fake.clear()
        await whereby.with_options(priority=Priority.BATCH).meetings.list()
        first, second = fake.requests
        assert 120.0 <= second.at - first.at <= 120.5


# Silence


async def test_two_silent_calls_and_no_new_connection_make_an_outage() -> None:
    """What is on the wire says nothing for 30 s; the others learn of it after five to ten."""
    async with FakeWhereby() as fake, TcpProxy(fake.url) as wire:
        options: dict[str, Any] = {"base_url": wire.url, "max_outage": 900.0, "timeout": 60.0}
        async with fake.client(**options) as whereby:
            await asyncio.gather(_read(whereby), _read(whereby))
            wire.faults.add(TcpFault(at="answer", do="stall", times=2))
            silent = [asyncio.ensure_future(_read(whereby)) for _ in range(2)]
            await asyncio.sleep(0.1)
            await wire.refuse()
            states: list[str] = []
            for seconds in (4.5, 6.0):
                await asyncio.sleep(seconds)
                states.append(whereby.reachability.state)
            assert states == ["ready", "unavailable"]
            assert whereby.reachability.reason.startswith("no byte for 5 s; ")
            await wire.accept()
            await asyncio.gather(*silent)


async def test_two_slow_calls_are_no_outage_while_connections_can_be_made() -> None:
    async with FakeWhereby() as fake, fake.client() as whereby:
        fake.faults.add(Fault(delay=20.0, times=2))
        await asyncio.gather(_read(whereby), _read(whereby))
        assert whereby.reachability.state == "ready"


async def test_an_idle_connection_that_is_reset_says_nothing(fake: FakeWhereby) -> None:
    async with TcpProxy(fake.url) as wire, fake.client(base_url=wire.url, limiter=Unlimited()) as whereby:
        heard: list[str] = []
        for _ in range(20):
            await whereby.meetings.list()
            await wire.drop_connections(abruptly=True)
            heard.append(whereby.reachability.state)
        assert set(heard) == {"ready"}


# Pools


async def test_an_injected_session_has_its_own_and_is_probed_by_a_read(stopped: FakeWhereby) -> None:
    async with aiohttp.ClientSession() as session, stopped.client() as other:
        whereby = stopped.client(pool=SessionPool(session=session), max_outage=60.0)
        async with anyio.create_task_group() as group:
            group.start_soon(back_after, stopped, 5.0)
            await whereby.meetings.list()
            assert other.reachability.state == "ready"
        await whereby.aclose()
    assert len([request for request in stopped.requests if request.query == (("limit", "1"),)]) == 1


async def test_a_probe_s_connection_is_used_by_the_next_call(fake: FakeWhereby) -> None:
    async with TcpProxy(fake.url) as wire, fake.client(base_url=wire.url, max_outage=60.0) as whereby:
        await wire.refuse()
        async with anyio.create_task_group() as group:
            group.start_soon(_read, whereby)
            await asyncio.sleep(3.0)
            await wire.accept()
        assert wire.accepted == 1
