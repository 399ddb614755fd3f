"""A batch while the service is away: it pauses as a whole, and past its limit it ends with one error."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from support.batches import creates, each_once, lines, outcomes_of, rooms, sent, states, take
from support.outages import server_context, tunnel_to
from support.wire_server import WireServer, answering

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    RetryPolicy,
    ServiceUnavailableError,
    SessionPool,
    WherebyClient,
)
from whereby_async.limiter import Unlimited
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
    from pathlib import Path

    from whereby_async.batch import Batch, Outcome, Progress
    from whereby_async.models import Meeting

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]

LATENCY = 1.0
LIMIT = 10.0
"""Seconds that a batch here waits for the service, where it is to give up."""


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server that takes its time, and that is up in the end."""
    async with FakeWhereby(limit=1_000_000, latency=LATENCY) as server:
        yield server


@pytest.fixture
async def whereby(fake: FakeWhereby) -> AsyncIterator[WherebyClient]:
    async with fake.client(timeout=5.0, limiter=Unlimited(), retry=RetryPolicy(base=1.0)) as client:
        yield client


@contextlib.asynccontextmanager
async def outage(fake: FakeWhereby, *, after: float, seconds: float) -> AsyncGenerator[None]:
    """The service goes away after so many seconds, for so many; the end of the block waits for its return."""

    async def go_away() -> None:
        await asyncio.sleep(after)
        async with fake.away():
            await asyncio.sleep(seconds)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(go_away())
        yield


def begun(journal: Path) -> int:
    return sum(line.get("state") == "begun" for line in lines(journal))


async def test_batch_pauses_while_the_service_is_away(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    """Nothing is read, announced or tried meanwhile; then everything goes on, and no room is made twice."""
    read = 0
    seen: list[tuple[Progress, int, int]] = []

    class Requests(list[dict[str, Any]]):
        """Says how many of them were read."""

        def __iter__(self) -> Iterator[dict[str, Any]]:
            nonlocal read
            for request in super().__iter__():
                read += 1
                yield request

    def watch(progress: Progress) -> None:
        if 8 < progress.elapsed < 32:
            seen.append((progress, read, begun(journal)))

    options: dict[str, Any] = {"journal": journal, "concurrency": 4, "on_progress": watch, "progress_interval": 2.0}
    batch = whereby.batch(whereby.meetings.create, Requests(creates(60)), **options)
    async with outage(fake, after=2.5 * LATENCY, seconds=30):
        outcomes = await outcomes_of(batch)
    assert states(outcomes) == {"ok": 60}
    assert each_once(fake, 60)
    assert len(seen) > 10
    assert {progress.waiting for progress, _, _ in seen} == {"service"}
    assert {progress.eta for progress, _, _ in seen} == {None}
    assert all(progress.away == pytest.approx(progress.elapsed - 2.5 * LATENCY, abs=1.5) for progress, _, _ in seen)
    assert {(number, announced) for _, number, announced in seen} == {(seen[0][1], seen[0][2])}
    assert 0 < seen[0][1] < 25
    assert (batch.progress.waiting, batch.progress.away, batch.progress.eta) == (None, 0.0, 0.0)


async def test_batch_goes_on_while_another_operation_alone_is_away(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A gateway that answers one operation with 503 is no pause for a batch of another one, and its progress says so."""
    fake.faults.add(Fault(operation="meetings.get", status=503, times=None))
    ids = [{"meeting_id": fake.add_meeting()["meetingId"]} for _ in range(9)]
    seen: list[Progress] = []

    def watch(progress: Progress) -> None:
        if sum(request.status == 503 for request in fake.requests) >= 5:
            seen.append(progress)

    batch = whereby.batch(whereby.meetings.delete, ids, concurrency=1, on_progress=watch, progress_interval=0.1)
    gets = asyncio.gather(*(whereby.meetings.get("1") for _ in range(6)), return_exceptions=True)
    outcomes = await outcomes_of(batch)
    assert states(outcomes) == {"ok": 9}
    assert len(seen) > 5
    assert {(progress.waiting, progress.away) for progress in seen} == {(None, 0.0)}
    assert all(isinstance(error, APIStatusError) for error in await gets)


async def test_outage_past_the_limit_ends_the_job_with_one_error(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """Items that were not begun stay so, and the next run makes them without being asked to."""
    fake.faults.add(Fault(operation="meetings.create", status=429, headers={"Retry-After": "5"}, skip=3))
    batch = whereby.batch(whereby.meetings.create, creates(50), journal=journal, concurrency=4, max_outage=LIMIT)
    seen: list[Outcome[Meeting]] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with outage(fake, after=LATENCY + 0.5, seconds=100):
        with pytest.raises(ServiceUnavailableError):
            await take(batch, seen)
        took = loop.time() - began
    assert took == pytest.approx(LATENCY + 5 + LIMIT, abs=1.5)
    assert states(seen) == {"ok": 3}
    assert batch.in_doubt == ()
    announced = begun(journal)
    assert 3 < announced <= 7
    assert [line["state"] for line in lines(journal) if line.get("away")] == ["failed"] * (announced - 3)
    assert {line.get("error") for line in lines(journal)} == {None, "ServiceUnavailableError"}
    again = await outcomes_of(whereby.batch(whereby.meetings.create, creates(50), journal=journal))
    assert states(again) == {"ok": 50}
    assert sum(outcome.resumed for outcome in again) == 3
    assert each_once(fake, 50)
    assert sent(fake, "meetings.list") == 0


async def test_items_that_do_not_wait_are_taken_up_by_the_next_run(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """With `max_outage=0` each fails as it is, and its entry says that the service was away."""
    async with fake.away():
        first = await outcomes_of(whereby.batch(whereby.meetings.create, creates(5), journal=journal, max_outage=0))
    assert states(first) == {"failed": 5}
    assert states(await outcomes_of(whereby.batch(whereby.meetings.create, creates(5), journal=journal))) == {"ok": 5}
    assert each_once(fake, 5)


async def test_item_of_which_something_was_sent_fails_and_is_taken_up_by_the_next_run(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """A delete that was answered 503 before the service went away."""
    ids = [{"meeting_id": fake.add_meeting()["meetingId"]} for _ in range(9)]
    fake.faults.add(Fault(operation="meetings.delete", status=503, headers={"Retry-After": "3"}, skip=1))
    batch = whereby.batch(whereby.meetings.delete, ids, journal=journal, concurrency=1, max_outage=LIMIT)
    seen: list[Outcome[None]] = []
    async with outage(fake, after=2.5 * LATENCY, seconds=100):
        with pytest.raises(ServiceUnavailableError):
            await take(batch, seen)
    assert [outcome.state for outcome in seen] == ["ok", "failed"]
    assert isinstance(seen[1].error, ServiceUnavailableError)
    assert len(lines(journal)) == 4
    assert lines(journal)[-1]["away"] is True
    again = await outcomes_of(whereby.batch(whereby.meetings.delete, ids, journal=journal))
    assert states(again) == {"ok": 9}
    assert [outcome.resumed for outcome in again] == [True] + [False] * 8


async def test_function_that_made_something_before_the_outage_is_not_run_again(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """The error says of a later call that it did not happen, but not of the create before it."""

    async def own(number: int) -> None:
        await whereby.meetings.create(**creates(1 + number)[number])
        await asyncio.sleep(1)
        await whereby.meetings.list()

    requests = [{"number": 0}]
    batch: Batch[None] = whereby.batch(own, requests, journal=journal, max_outage=LIMIT)
    seen: list[Outcome[None]] = []
    async with outage(fake, after=LATENCY + 0.5, seconds=100):
        with pytest.raises(ServiceUnavailableError):
            await take(batch, seen)
    assert [outcome.state for outcome in seen] == ["unknown"]
    (again,) = await outcomes_of(whereby.batch(own, requests, journal=journal))
    assert (again.state, again.resumed) == ("unknown", True)
    assert rooms(fake) == {0: 1}


async def test_lost_create_is_looked_for_when_the_service_is_back(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """However long that takes: an outage says nothing about the room, and is no look-up that failed."""
    batch = whereby.batch(whereby.meetings.create, creates(3), max_outage=None)
    async with outage(fake, after=0.75 * LATENCY, seconds=3600):
        outcomes = await outcomes_of(batch)
    assert states(outcomes) == {"ok": 3}
    assert each_once(fake, 3)
    assert sent(fake, "meetings.create") == 3 + sum(not outcome.adopted for outcome in outcomes)


@pytest.mark.parametrize("count", [4, 8], ids=["nothing else to do", "more to do"])
async def test_lost_creates_do_not_hold_up_the_end_of_a_job_that_gives_up(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, count: int
) -> None:
    """They stay in doubt, and the next run finds them."""
    batch = whereby.batch(whereby.meetings.create, creates(count), journal=journal, concurrency=4, max_outage=LIMIT)
    loop = asyncio.get_running_loop()
    began = loop.time()
    seen: list[Outcome[Meeting]] = []
    async with outage(fake, after=0.75 * LATENCY, seconds=100):
        with pytest.raises(ServiceUnavailableError):
            await take(batch, seen)
        took = loop.time() - began
    looked_at = 5.0 if count == 4 else 0.0  # nobody looks for a room before its create has had its time
    assert took == pytest.approx(LATENCY + looked_at + LIMIT, abs=1.5)
    assert seen == []
    assert sorted(batch.in_doubt) == ["0", "1", "2", "3"]
    again = await outcomes_of(whereby.batch(whereby.meetings.create, creates(count), journal=journal))
    assert states(again) == {"ok": count}
    assert each_once(fake, count)


async def test_results_that_can_not_be_read_again_end_the_job(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """With `refetch=True` too an outage is the job's error, and not one of each item."""
    await outcomes_of(whereby.batch(whereby.meetings.create, creates(20), journal=journal))
    options: dict[str, Any] = {"journal": journal, "concurrency": 2, "refetch": True, "max_outage": LIMIT}
    batch = whereby.batch(whereby.meetings.create, creates(20), **options)
    seen: list[Outcome[Meeting]] = []
    async with outage(fake, after=0, seconds=100):
        await asyncio.sleep(0.5)
        with pytest.raises(ServiceUnavailableError):
            await take(batch, seen)
    assert seen == []
    again = await outcomes_of(whereby.batch(whereby.meetings.create, creates(20), **options))
    assert all(outcome.resumed and outcome.result.room_name for outcome in again)


# Out of reach for good


class Proxy(WireServer):
    """A proxy that lets nobody through until it is open, for want of a password; then into TLS in front of the server.

    Attributes:
        is_open: It lets everybody through.
        refused: How often it has let somebody not through.
    """

    def __init__(self, fake: FakeWhereby, context: ssl.SSLContext) -> None:
        super().__init__(self._answer)
        self.is_open = False
        self.refused = 0
        self._tunnel = tunnel_to(fake.port, context)

    async def _answer(self, server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.refused += not self.is_open
        refusal = answering(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        await (self._tunnel if self.is_open else refusal)(server, reader, writer)


@pytest.fixture
async def proxy(fake: FakeWhereby, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with Proxy(fake, server_context(tmp_path)) as server:
        yield server


@contextlib.asynccontextmanager
async def client_through(proxy: Proxy, fake: FakeWhereby) -> AsyncGenerator[WherebyClient]:
    """A client with connections of its own, all of them through the proxy."""
    async with SessionPool(proxy=proxy.url, ssl=False) as pool:
        options: dict[str, Any] = {"timeout": 5.0, "limiter": Unlimited(), "pool": pool}
        async with fake.client(base_url=f"https://localhost:{fake.port}/v1", **options) as client:
            yield client


async def take_barred(batch: Batch[Any]) -> None:
    """Run a batch that ends for that proxy's refusal, without an outcome."""
    seen: list[Outcome[Any]] = []
    with pytest.raises(APIConnectionError, match="the proxy answered 407") as caught:
        await take(batch, seen)
    assert (caught.value.permanent, seen) == (True, [])


@pytest.mark.parametrize("kind", ["read", "create", "download", "function", "ordered"])
async def test_refusal_for_good_ends_the_job_after_one_connection(
    fake: FakeWhereby, proxy: Proxy, kind: str, tmp_path: Path
) -> None:
    """A proxy that counts wrong passwords is not asked once for each item."""
    async with client_through(proxy, fake) as whereby:

        async def own(number: int) -> None:
            await whereby.meetings.get(str(number))

        recordings = [{"recording_id": str(number), "destination": tmp_path / str(number)} for number in range(20)]
        batches: dict[str, Callable[[], Batch[Any]]] = {
            "read": lambda: whereby.batch(whereby.meetings.get, [{"meeting_id": "1"}] * 20, concurrency=1),
            "create": lambda: whereby.batch(whereby.meetings.create, creates(20), concurrency=1),
            "download": lambda: whereby.batch(whereby.recordings.download, recordings, concurrency=1),
            "function": lambda: whereby.batch(own, [{"number": 1}] * 20, concurrency=1),
            "ordered": lambda: whereby.batch(whereby.meetings.create, creates(20), concurrency=1, ordered=True),
        }
        await take_barred(batches[kind]())
    assert (proxy.refused, fake.requests) == (1, [])


async def test_items_that_a_refusal_for_good_has_kept_back_are_begun_by_the_next_run(
    fake: FakeWhereby, proxy: Proxy, journal: Path
) -> None:
    options: dict[str, Any] = {"journal": journal, "concurrency": 4}
    async with client_through(proxy, fake) as whereby:
        batch = whereby.batch(whereby.meetings.create, creates(20), **options)
        await take_barred(batch)
        assert proxy.refused <= 4
        assert batch.in_doubt == ()
        proxy.is_open = True
        again = await outcomes_of(whereby.batch(whereby.meetings.create, creates(20), **options))
    assert states(again) == {"ok": 20}
    assert each_once(fake, 20)


@pytest.mark.parametrize("refetch", [False, True])
async def test_refusal_for_good_says_nothing_about_what_an_earlier_run_has_left(
    fake: FakeWhereby, proxy: Proxy, journal: Path, refetch: bool
) -> None:
    """Lost creates are looked up, and results read again, by the run after."""
    options: dict[str, Any] = {"journal": journal, "concurrency": 4, "refetch": refetch}
    proxy.is_open = True
    async with client_through(proxy, fake) as whereby:
        async with whereby.batch(whereby.meetings.create, creates(8), **options) as outcomes:
            for _ in range(4 if refetch else 0):
                await anext(outcomes)
            await asyncio.sleep(0.5 * LATENCY)
        assert len(outcomes.in_doubt) == 4
    proxy.is_open = False
    async with client_through(proxy, fake) as whereby:
        await take_barred(whereby.batch(whereby.meetings.create, creates(8), **options))
        assert proxy.refused <= 4 + 1
        proxy.is_open = True
        again = await outcomes_of(whereby.batch(whereby.meetings.create, creates(8), **options))
    assert states(again) == {"ok": 8}
    assert each_once(fake, 8)


async def test_stop_drops_what_waits_for_the_service(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    batch = whereby.batch(whereby.meetings.create, creates(20), journal=journal, concurrency=2)
    loop = asyncio.get_running_loop()
    async with outage(fake, after=0, seconds=30):
        await asyncio.sleep(0.5)
        async with batch as outcomes:
            await asyncio.sleep(10)
            assert batch.calls_under_way == 0
            assert batch.progress.waiting == "service"
            batch.stop()
            stopped_at = loop.time()
            assert [outcome async for outcome in outcomes] == []
            assert loop.time() - stopped_at < 0.1
    assert batch.in_doubt == ()
    assert fake.requests == []
