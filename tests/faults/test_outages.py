"""The service away for a while: whoever may wait for it comes through, once, and nobody runs into it.

A real server that goes away and comes back, over real sockets, in simulated time.
"""

from __future__ import annotations

import asyncio
import random
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import pytest
from support.batches import UNTIL, created, each_once, outcomes_of, states
from support.cancellation import assert_acted_as_told
from support.outages import (
    Counter,
    CountingBudget,
    answering_503,
    begun,
    failures,
    names_fail,
    now,
    result_of,
    server_context,
    tunnel_to,
)
from support.wire_server import WireServer, answering, silent

from whereby_async import (
    APIConnectionError,
    ClientClosedError,
    Priority,
    RetryPolicy,
    ServiceUnavailableError,
    SessionPool,
    WherebyClient,
    WherebyError,
)
from whereby_async.testing import FakeWhereby, Fault, TcpProxy, simulated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from support.wire_server import Script

    from whereby_async.batch import Outcome

T = TypeVar("T")

CALLS = 4_000
LATER = 2.5
"""Seconds by which work may end later than an outage explains: the service has to be noticed to be back."""
REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"

forgetting = pytest.mark.parametrize("forgets", [False, True], ids=["window survives", "window is lost"])
linux = pytest.mark.skipif(sys.platform != "linux", reason="other kernels refuse where Linux does not answer")


@pytest.fixture(autouse=True)
def _chance_repeats_itself() -> None:
    """Delays and probes are drawn the same way each time."""
    random.seed(16)


async def deletes(whereby: WherebyClient, meetings: list[str], **options: Any) -> list[Outcome[None]]:
    return await outcomes_of(whereby.batch(whereby.meetings.delete, [{"meeting_id": m} for m in meetings], **options))


async def time_of_deletes(
    seconds: float, away: Callable[[FakeWhereby], AbstractAsyncContextManager[None]], *, forgets: bool = False
) -> tuple[float, FakeWhereby, Counter]:
    """Three hundred deletes, fifty a second, with the service away from the third second on; how long they took."""
    counter, began = Counter(), now()
    async with FakeWhereby(limit=100, period=1.0, forgets_points=forgets) as fake:
        meetings = [fake.add_meeting()["meetingId"] for _ in range(300)]
        async with fake.client(hooks=[counter]) as whereby:
            work = asyncio.create_task(deletes(whereby, meetings))
            if seconds:
                await asyncio.sleep(2.2)
                async with away(fake):
                    await asyncio.sleep(seconds)
            assert states(await work) == {"ok": 300}
        assert fake.meetings == {}
        return now() - began, fake, counter


# Waiting


@forgetting
@simulated
async def test_reads_that_wait_for_points_do_not_run_into_it(forgets: bool) -> None:
    """The service is away as a window turns: calls that would get their points then wait for both."""
    counter = Counter()
    async with FakeWhereby(limit=100, period=10.0, forgets_points=forgets) as fake:
        meeting = fake.add_meeting(end_date=UNTIL)["meetingId"]
        async with fake.client(hooks=[counter]) as whereby:
            reads = begun(whereby.meetings.get(meeting) for _ in range(400))
            await asyncio.sleep(9.5)
            async with fake.away():
                await asyncio.sleep(1.0)
            assert await failures(reads) == []
        assert fake.throttled == 0
        assert counter.attempts <= 2 * counter.calls


@forgetting
@pytest.mark.parametrize("seconds", [2.0, 10.0, 30.0])
@simulated
async def test_a_batch_takes_longer_by_the_outage_alone(seconds: float, forgets: bool) -> None:
    undisturbed, _, _ = await time_of_deletes(0.0, FakeWhereby.away)
    took, fake, counter = await time_of_deletes(seconds, FakeWhereby.away, forgets=forgets)
    assert seconds - 1.0 <= took - undisturbed <= seconds + LATER
    assert fake.throttled == 0
    assert counter.attempts <= 2 * counter.calls


@simulated
async def test_downloads_go_on_where_they_were(tmp_path: Path) -> None:
    """Twelve files, some of them half there when the storage goes away together with the API."""
    async with FakeWhereby(latency=0.4) as fake:
        films = [fake.add_recording(content=bytes([n]) * 100_000)["recordingId"] for n in range(12)]
        fake.faults.add(Fault(operation="storage", truncate=30_000, skip=3, times=4))
        requests = [{"recording_id": film, "destination": tmp_path / film} for film in films]
        async with fake.client() as whereby:
            work = asyncio.create_task(outcomes_of(whereby.batch(whereby.recordings.download, requests, concurrency=4)))
            await asyncio.sleep(1.7)
            async with fake.away():
                await asyncio.sleep(8.0)
            assert states(await work) == {"ok": 12}
        assert [(tmp_path / film).read_bytes()[::99_999] for film in films] == [bytes([n, n]) for n in range(12)]
        assert fake.throttled == 0


@simulated
async def test_a_wait_for_a_transcription_goes_on() -> None:
    """By itself, whatever the priority; the transcription becomes ready while the service is away."""
    async with FakeWhereby(processing_time=8.0) as fake, fake.client() as whereby:
        transcription = fake.add_transcription(state="in_progress")["transcriptionId"]
        waiting = asyncio.create_task(whereby.transcriptions.wait(transcription))
        await asyncio.sleep(3.0)
        async with fake.away():
            await asyncio.sleep(20.0)
        assert (await waiting).state == "ready"
        assert fake.throttled == 0


# Work of all kinds


async def sometime(dice: random.Random, call: Callable[[], Awaitable[object]]) -> object:
    """What a call gives or raises that begins within the next seconds."""
    await asyncio.sleep(dice.uniform(0, 12))
    return await result_of(call())


@forgetting
@pytest.mark.parametrize("seconds", [1.0, 4.0, 10.0])
@pytest.mark.parametrize("seed", [1, 2])
@simulated
async def test_work_of_all_kinds_comes_through(seed: int, seconds: float, forgets: bool, tmp_path: Path) -> None:
    """Two outages at random moments over reads, writes, pages, creates, batches and downloads.

    A create that is on the wire when the server is cut off may end in doubt, outside of a batch. All else has a result;
    nothing was done twice, and nobody is refused for points.
    """
    dice = random.Random(f"{seed} {seconds:g}")
    fake = FakeWhereby(limit=120, period=5.0, latency=(0.02, 0.3), forgets_points=forgets, seed=seed)
    doomed = [fake.add_meeting(room_name_prefix="other-")["meetingId"] for _ in range(40)]
    kept = fake.add_meeting(room_name_prefix="other-", end_date=UNTIL)["meetingId"]
    films = [fake.add_recording(content=bytes(200_000))["recordingId"] for _ in range(6)]
    async with fake, fake.client(timeout=5.0, max_outage=60.0) as whereby:
        create, write = whereby.meetings.create, whereby.rooms.set_theme_tokens
        tokens: dict[str, Any] = {"primary": "#112233"}
        singles = begun(
            sometime(dice, partial(create, end_date=UNTIL, room_name_prefix=f"single{n}-")) for n in range(20)
        )
        calls: list[Callable[[], Awaitable[object]]] = [
            *[partial(whereby.meetings.get, kept)] * 40,
            *[partial(write, f"/room{n}", **tokens) for n in range(15)],
            *[whereby.recordings.list(page_size=2).collect] * 5,
        ]
        repeatable = begun(sometime(dice, call) for call in calls)
        batches: list[asyncio.Task[list[Outcome[Any]]]] = begun(
            (
                created(whereby, 30, journal=tmp_path / "creates.jsonl"),
                deletes(whereby, doomed),
                outcomes_of(whereby.batch(partial(pages, whereby), [{"number": n} for n in range(6)])),
                outcomes_of(
                    whereby.batch(
                        whereby.recordings.download,
                        [{"recording_id": film, "destination": tmp_path / film} for film in films],
                    )
                ),
            )
        )
        for _ in range(2):
            await asyncio.sleep(dice.uniform(0.3, 5.0))
            async with fake.away():
                await asyncio.sleep(seconds)
        assert [error for error in await asyncio.gather(*repeatable) if isinstance(error, Exception)] == []
        assert [states(await batch) for batch in batches] == [{"ok": count} for count in (30, 40, 6, 6)]
        for number, outcome in enumerate(await asyncio.gather(*singles)):
            made = [m for m in fake.meetings.values() if m["roomName"].startswith(f"/single{number}-")]
            assert_acted_as_told(outcome, len(made))
            assert not isinstance(outcome, WherebyError) or outcome.may_have_happened
        assert each_once(fake, 30)
        assert not fake.meetings.keys() & set(doomed)
        assert all((tmp_path / film).read_bytes() == bytes(200_000) for film in films)
        assert fake.throttled == 0


async def pages(whereby: WherebyClient, number: int) -> int:
    """Walk through a list of three pages."""
    return len([film async for film in whereby.recordings.list(page_size=2)]) + number


@simulated
async def test_up_and_down_each_second_loses_no_call(tmp_path: Path) -> None:
    """For a minute: each call ends well, each room is made once, and few attempts are in vain."""
    counter = Counter()
    async with FakeWhereby(latency=0.25) as fake:
        meeting = fake.add_meeting(room_name_prefix="other-", end_date=UNTIL)["meetingId"]
        async with fake.client(timeout=5.0, hooks=[counter]) as whereby:
            patient = whereby.with_options(priority=Priority.BATCH)

            async def read() -> None:
                for _ in range(40):
                    await patient.meetings.get(meeting)

            creating = asyncio.create_task(created(whereby, 120, concurrency=3, journal=tmp_path / "creates.jsonl"))
            reading = begun(read() for _ in range(3))
            for _ in range(30):
                await asyncio.sleep(1.0)
                async with fake.away():
                    await asyncio.sleep(1.0)
            assert await failures(reading) == []
            assert states(await creating) == {"ok": 120}
        assert each_once(fake, 120)
        assert counter.attempts <= 3 * counter.calls
        assert fake.throttled == 0


# What an outage looks like


@simulated
async def test_a_balancer_that_says_503_is_an_outage() -> None:
    """It accepts connections and refuses everything; meanwhile little is asked of it."""
    undisturbed, _, _ = await time_of_deletes(0.0, answering_503)
    took, fake, counter = await time_of_deletes(10.0, answering_503)
    assert took - undisturbed <= 10.0 + LATER
    refused = [request for request in fake.requests if request.status == 503]
    probes = [request for request in refused if request.operation == "meetings.list"]
    assert all(("limit", "1") in request.query for request in probes)
    assert len(probes) <= 20
    assert counter.attempts <= 2 * counter.calls


@simulated
async def test_a_balancer_that_says_503_to_calls_of_many_kinds_is_an_outage() -> None:
    """They are all held after a few of them, and one read asks for them all."""
    counter = Counter()
    async with (
        FakeWhereby(limit=10_000, latency=0.05) as fake,
        fake.client(max_outage=60.0, hooks=[counter]) as whereby,
    ):
        meeting = fake.add_meeting(end_date=UNTIL)["meetingId"]
        await whereby.meetings.get(meeting)
        async with answering_503(fake):
            calls: list[asyncio.Task[object]] = begun(
                [sometime(random.Random(n), partial(whereby.meetings.get, meeting)) for n in range(100)]
                + [sometime(random.Random(n), whereby.recordings.list().collect) for n in range(100)]
            )
            await asyncio.sleep(10.0)
        assert [error for error in await asyncio.gather(*calls) if isinstance(error, Exception)] == []
        refused = [request for request in fake.requests if request.status == 503]
        assert sum(request.operation == "meetings.list" for request in refused) <= 20
        assert len(refused) <= 50
        assert counter.attempts <= counter.calls + 30


@simulated
async def test_a_balancer_that_takes_connections_and_closes_them_is_an_outage() -> None:
    """As one does that has nobody to connect them to: it accepts, reads, and closes without a word."""
    counter = Counter()
    async with FakeWhereby(limit=100, period=1.0) as fake, TcpProxy(fake.url) as balancer:
        meetings = [fake.add_meeting()["meetingId"] for _ in range(300)]
        async with fake.client(base_url=balancer.url, hooks=[counter]) as whereby:
            work = asyncio.create_task(deletes(whereby, meetings))
            await asyncio.sleep(2.2)
            async with fake.away():
                await asyncio.sleep(10.0)
            assert states(await work) == {"ok": 300}
        assert fake.meetings == {}
        assert counter.attempts <= 2 * counter.calls


@simulated
async def test_a_storage_that_says_503_is_waited_out_by_downloads_alone(tmp_path: Path) -> None:
    """Whichever download asks whether it is back uses the answer; calls of the API go on meanwhile."""
    async with FakeWhereby() as fake, fake.client() as whereby:
        films = [fake.add_recording(content=bytes(1000))["recordingId"] for _ in range(12)]
        fake.faults.add(Fault(operation="storage", status=503, points=0, times=None))
        requests = [{"recording_id": film, "destination": tmp_path / film} for film in films]
        work = asyncio.create_task(outcomes_of(whereby.batch(whereby.recordings.download, requests)))
        await asyncio.sleep(8.0)
        asked = len(fake.requests)
        began = now()
        await whereby.meetings.list()
        assert now() - began < 0.1
        fake.faults.clear()
        assert states(await work) == {"ok": 12}
        assert asked <= 12 + 60


@simulated
async def test_a_storage_that_is_up_and_down_each_second_loses_no_download(tmp_path: Path) -> None:
    async with FakeWhereby(latency=0.3) as fake, fake.client() as whereby:
        films = [fake.add_recording(content=bytes(1000))["recordingId"] for _ in range(60)]
        requests = [{"recording_id": film, "destination": tmp_path / film} for film in films]
        work = asyncio.create_task(outcomes_of(whereby.batch(whereby.recordings.download, requests, concurrency=6)))
        while not work.done():
            await asyncio.sleep(1.0)
            async with fake.away():
                await asyncio.sleep(1.0)
        assert states(await work) == {"ok": 60}


@linux
@pytest.mark.parametrize("patience", [4.0, 30.0])
@simulated
async def test_a_network_that_loses_all_packets_is_waited_out(patience: float) -> None:
    """Nothing is refused and nothing ends: what is under way is heard of no more, and no connection comes to be."""
    counter = Counter()
    async with FakeWhereby(limit=100, period=1.0, latency=0.05) as fake, TcpProxy(fake.url) as wire:
        meetings = [fake.add_meeting()["meetingId"] for _ in range(300)]
        async with fake.client(base_url=wire.url, timeout=patience, hooks=[counter]) as whereby:
            work = asyncio.create_task(deletes(whereby, meetings))
            await asyncio.sleep(2.2)
            await wire.vanish()
            await asyncio.sleep(20.0)
            served = len(fake.requests)
            await wire.accept()
            await wire.drop_connections(abruptly=True)
            assert states(await work) == {"ok": 300}
            assert served < 300
            assert now() <= 20.0 + 6.0 + LATER + patience
        assert fake.meetings == {}
        assert counter.attempts <= 2 * counter.calls


@simulated
async def test_a_name_that_is_not_found_for_a_while_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeWhereby() as fake:
        base_url = fake.url.replace("127.0.0.1", "localhost")
        found = names_fail(monkeypatch, "localhost")
        async with fake.client(base_url=base_url, max_outage=60.0) as whereby:
            calls = begun(whereby.meetings.list().collect() for _ in range(50))
            await asyncio.sleep(10.0)
            assert not any(call.done() for call in calls)
            found.set()
            assert await failures(calls) == []
            assert now() <= 10.0 + LATER
        assert len(fake.requests) == 50


@simulated
async def test_a_proxy_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    context = server_context(tmp_path)
    async with (
        FakeWhereby() as fake,
        WireServer(tunnel_to(fake.port, context)) as proxy,
        TcpProxy(proxy.url) as wire,
    ):
        pool = SessionPool(proxy=wire.url, ssl=False)
        async with fake.client(base_url=f"https://localhost:{fake.port}/v1", pool=pool, max_outage=60.0) as whereby:
            await wire.refuse()
            calls = begun(whereby.meetings.list().collect() for _ in range(20))
            await asyncio.sleep(8.0)
            assert not any(call.done() for call in calls)
            await wire.accept()
            assert await failures(calls) == []
            assert now() <= 8.0 + LATER
        await pool.aclose()
        assert len(fake.requests) == 20


async def stalls(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A script that begins an answer again and again."""
    await server.next_request(reader)
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.5)


async def says_yes_only(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A script that lets through, and leads nowhere."""
    await server.next_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await reader.read(-1)


@pytest.mark.parametrize("script", [silent, stalls, says_yes_only])
@simulated
async def test_a_connection_that_is_never_whole_is_an_outage_after_five_seconds(script: Script) -> None:
    """Whether the proxy says nothing, nothing of use, or the server behind it nothing; a probe's connection too."""
    async with WireServer(script) as proxy, SessionPool(proxy=proxy.url) as pool:
        options: dict[str, Any] = {"pool": pool, "max_outage": 0, "timeout": 60.0, "retry": RetryPolicy(attempts=1)}
        async with WherebyClient("planted.api-key", base_url="https://localhost:1/v1", **options) as whereby:
            for number in (1, 2):
                began = now()
                with pytest.raises(APIConnectionError, match=r"no connection .*within 5 s") as caught:
                    await whereby.meetings.list()
                assert not caught.value.may_have_happened
                assert now() - began == pytest.approx(5.0, abs=0.1)
                assert proxy.connections == number
            assert whereby.reachability.state == "unavailable"
            began = now()
            with pytest.raises(ServiceUnavailableError):
                await whereby.with_options(max_outage=7.0).meetings.list()
            assert now() - began == pytest.approx(7.0, abs=0.1)
            assert proxy.connections == 2 + 2  # the first probe had its five seconds, the second what was left


# What is no outage


@simulated
async def test_a_certificate_that_does_not_verify_fails_at_once(tmp_path: Path) -> None:
    """Once, and for good: neither the call nor the next one is held."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    # The server's side complains of the broken handshake.
    asyncio.get_running_loop().set_exception_handler(lambda _, __: None)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(tmp_path))
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, FakeWhereby() as fake, TcpProxy(url) as wire:
        base_url = wire.url.replace("http://127.0.0.1", "https://localhost")
        async with fake.client(base_url=base_url, max_outage=None) as whereby:
            await assert_fails_for_good(whereby, lambda: wire.accepted)


@pytest.mark.parametrize("injected", [False, True])
@simulated
async def test_a_proxy_that_wants_a_password_fails_at_once(injected: bool) -> None:
    async with (
        FakeWhereby() as fake,
        WireServer(answering(REFUSAL)) as proxy,
        aiohttp.ClientSession(proxy=proxy.url) as session,
    ):
        pool = SessionPool(session=session) if injected else SessionPool(proxy=proxy.url)
        async with fake.client(base_url="https://localhost:1/v1", pool=pool, max_outage=None) as whereby:
            await assert_fails_for_good(whereby, lambda: proxy.connections)
        await pool.aclose()


async def assert_fails_for_good(whereby: WherebyClient, connections: Callable[[], int]) -> None:
    """Each call raises at once, after one connection, an error that says that it will always be so."""
    for number in (1, 2):
        began = now()
        with pytest.raises(APIConnectionError) as caught:
            await whereby.meetings.list()
        assert not isinstance(caught.value, ServiceUnavailableError)
        assert (caught.value.permanent, caught.value.may_have_happened) == (True, False)
        assert now() - began <= 0.1
        assert connections() == number
    with pytest.raises(APIConnectionError) as caught:
        await outcomes_of(whereby.batch(whereby.meetings.create, [{"end_date": UNTIL}], stop_on_error=True))
    assert (caught.value.permanent, connections()) == (True, 3)


# Who waits for how long


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        ({"priority": Priority.INTERACTIVE}, 0.0),
        ({"max_outage": 0}, 0.0),
        ({}, 2.0),
        ({"max_outage": 7}, 7.0),
        ({"priority": Priority.INTERACTIVE, "max_outage": 7}, 7.0),
        ({"priority": Priority.BATCH}, 900.0),
    ],
)
@simulated
async def test_a_call_waits_so_long_and_no_longer(options: dict[str, Any], waits: float) -> None:
    """With 0 it is as if nobody knew: the attempts of `RetryPolicy`, and the error of the last one."""
    counter = Counter()
    async with FakeWhereby() as fake, fake.client(hooks=[counter]) as whereby:
        view = whereby.with_options(**options)
        async with fake.away():
            began = now()
            with pytest.raises(APIConnectionError, match="sent") as caught:
                await view.meetings.create(end_date=UNTIL)
            took = now() - began
            assert not caught.value.may_have_happened
            if waits:
                assert isinstance(caught.value, ServiceUnavailableError)
                assert caught.value.retry_after is not None
                assert waits - 6.0 <= took <= waits + 0.1
                assert counter.attempts == 1
            else:
                assert type(caught.value) is APIConnectionError
                assert took <= sum(min(8.0, 0.25 * 2**n) for n in range(RetryPolicy().attempts - 1))
                assert counter.attempts == RetryPolicy().attempts
        assert fake.requests == []


@simulated
async def test_without_patience_many_calls_fail_as_ever() -> None:
    """Within their retries, and the retries of all together are bounded."""
    counter = Counter()
    async with FakeWhereby() as fake, fake.client(max_outage=0, hooks=[counter]) as whereby:
        async with fake.away():
            calls = begun(whereby.meetings.get("1") for _ in range(80))
            errors = await failures(calls)
        assert {type(error) for error in errors} == {APIConnectionError}
        assert len(errors) == 80
        assert now() <= 2.0
        assert 80 < counter.attempts <= 80 + 100


@simulated
async def test_closing_ends_every_wait_at_once() -> None:
    async with FakeWhereby(limit=10_000) as fake:
        whereby = fake.client(max_outage=None)
        async with fake.away():
            calls = begun(whereby.meetings.get("1") for _ in range(1000))
            await asyncio.sleep(70.0)
            assert not any(call.done() for call in calls)
            began = now()
            await whereby.aclose()
            errors = await failures(calls)
            assert now() - began <= 0.1
        assert {type(error) for error in errors} == {ClientClosedError}
        assert len(errors) == 1000


@simulated
async def test_many_calls_that_wait_for_points_ask_for_them_hardly_twice() -> None:
    """Ten windows' worth of calls wait when the service goes away: they keep their places, and ask no more."""
    async with FakeWhereby(limit=CALLS // 10, period=10.0) as fake:
        meeting = fake.add_meeting(end_date=UNTIL)["meetingId"]
        budget = CountingBudget(period=10.0)
        async with fake.client(limiter=budget, max_outage=None) as whereby:
            calls = begun(whereby.meetings.get(meeting) for _ in range(CALLS))
            await asyncio.sleep(25.0)
            async with fake.away():
                await asyncio.sleep(20.0)
            assert await failures(calls) == []
        assert budget.asked <= 2 * CALLS
        assert fake.throttled == 0
        await budget.aclose()
