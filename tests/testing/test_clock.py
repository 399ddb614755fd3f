"""The event loop with a simulated clock, and `@simulated` tests in it: client and server on sockets in one loop."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import yarl
from hypothesis import given, settings, strategies as st
from support.bare import Bare

from whereby_async import Priority, WherebyClient
from whereby_async.testing import FakeWhereby, Fault, SimulatedDeadlockError, SimulatedLoop, run_simulated, simulated
from whereby_async.testing.clock import simulation


def test_hours_pass_at_once_and_in_order() -> None:
    fired: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, asyncio.get_running_loop().time()))

    async def main() -> None:
        await asyncio.gather(sleeper("late", 7200), sleeper("soon", 0.5), sleeper("later", 7200.25))

    began = time.monotonic()
    run_simulated(main(), start=100.0)
    assert fired == [("soon", 100.5), ("late", 7300.0), ("later", 7300.25)]
    assert time.monotonic() - began < 2


def test_time_stands_still_while_anything_is_ready() -> None:
    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_simulated(main()) == 0.0


def test_time_waits_for_threads() -> None:
    working = threading.Event()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        asyncio.get_running_loop().call_later(1.0, working.set)
        await loop.run_in_executor(None, time.sleep, 0.05)
        assert not working.is_set()
        return loop.time()

    assert run_simulated(main()) == 0.0


def test_wakeup_from_another_thread_is_heard() -> None:
    """Without any timer the loop waits in real time for other threads."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, "heard")).start()
        return await future

    assert run_simulated(main()) == "heard"


@pytest.mark.parametrize("with_sockets", [False, True])
def test_deadlock_ends_a_run(with_sockets: bool) -> None:
    """When nothing can ever happen again, the loop says so instead of hanging, open sockets or not."""

    async def main() -> None:
        if with_sockets:
            async with FakeWhereby():
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    with pytest.raises(SimulatedDeadlockError, match=r"0\.05 s of real time: every task waits for another"):
        run_simulated(main(), patience=0.05)


def test_ten_minutes_of_budget_take_a_second() -> None:
    """A job of 1,000 points at 100 a minute waits for nine windows, without a 429, and without waiting."""

    @simulated
    async def job() -> float:
        clock = asyncio.get_running_loop().time
        async with FakeWhereby(limit=100, latency=0.1) as fake, fake.client() as whereby:
            began = clock()
            with fake.spends(exactly=1000, throttled=0):
                await asyncio.gather(*(whereby.meetings.list() for _ in range(1000)))
            return clock() - began

    began = time.monotonic()
    took = job()
    assert 540.0 <= took < 545.0
    assert time.monotonic() - began < 20.0  # a second or two where nothing else runs


def test_retries_uploads_jobs_and_the_reserve_pass_time_too() -> None:
    @simulated
    async def job() -> tuple[float, str | None]:
        clock = asyncio.get_running_loop().time
        async with FakeWhereby(limit=10, processing_time=45.0) as fake, fake.client(priority=Priority.BATCH) as whereby:
            recording = fake.add_recording()["recordingId"]
            fake.faults.add(Fault(operation="recordings.get", status=503, times=2))
            await whereby.recordings.get(recording)
            await whereby.rooms.set_logo("/a", b"\x89PNG\r\n\x1a\n")
            made = (await whereby.transcriptions.create(recording)).transcription_id
            while (found := await whereby.transcriptions.get(made)).state == "in_progress":
                await asyncio.sleep(5.0)
            return clock(), found.state

    took, state = job()
    assert state == "ready"
    assert 45.0 <= took < 180.0


@simulated
@pytest.mark.parametrize("number", [1, 2])
async def test_simulated_test_is_an_ordinary_one(number: int, tmp_path: object) -> None:
    assert number in {1, 2}
    assert tmp_path is not None
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    await asyncio.sleep(3600.0)
    assert loop.time() == 3600.0


class TestMethods:
    @simulated
    async def test_methods_too(self) -> None:
        await asyncio.sleep(3600.0)
        assert isinstance(self, TestMethods)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100))
@simulated
async def test_under_hypothesis(seconds: int) -> None:
    await asyncio.sleep(seconds)
    assert asyncio.get_running_loop().time() == seconds


def test_it_keeps_the_signature_and_what_is_returned() -> None:
    @simulated
    async def double(number: int) -> int:
        """Twice as much."""
        return number * 2

    assert double(4) == 8
    assert not inspect.iscoroutinefunction(double)
    assert (double.__name__, double.__doc__, str(inspect.signature(double))) == (
        "double",
        "Twice as much.",
        "(number: 'int') -> 'int'",
    )


def test_only_coroutine_functions_can_be_simulated() -> None:
    with pytest.raises(TypeError, match="simulated is for tests that are `async def`, not <function"):
        simulated(lambda: None)  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType] - the subject


async def _nothing() -> None:
    """Do nothing."""


def test_simulation_within_a_loop_is_refused() -> None:
    """In words, and no coroutine is left that was never awaited."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="run_simulated runs a loop of its own, and there is one here already"):
            run_simulated(_nothing())
        with pytest.raises(RuntimeError, match="@simulated _nothing runs a loop of its own"):
            simulated(_nothing)()

    asyncio.run(main())


def test_simulation_stands_for_what_is_run_in_it() -> None:
    """Fixtures and test share one loop and one clock; the next has its own, and it is closed."""
    with simulation() as outer:
        outer.run(asyncio.sleep(60.0))

        @simulated
        async def later() -> float:
            return asyncio.get_running_loop().time()

        assert later() == 60.0
        with simulation() as inner:
            assert inner is outer
        loop = outer.get_loop()
    assert loop.is_closed()
    assert later() == 0.0


def test_time_stands_still_while_bytes_are_on_their_way() -> None:
    """A file that is much bigger than any socket's buffer comes whole, in no time, both ways together."""
    size = 8_000_000

    @simulated
    async def transfer() -> tuple[int, float]:
        clock = asyncio.get_running_loop().time
        async with FakeWhereby() as fake, aiohttp.ClientSession() as session:
            recording = fake.add_recording(size=size)["recordingId"]
            link = fake.access_link(recording, 60, fake.url.removesuffix("/v1"))["accessLink"]
            async with asyncio.timeout(1.0), session.get(yarl.URL(link, encoded=True)) as response:
                return len(await response.read()), clock()

    received, took = transfer()
    assert received == size
    assert took < 0.5


@pytest.fixture
def freeze_time() -> Any:
    return pytest.importorskip("freezegun").freeze_time


async def _made_now(whereby: WherebyClient) -> datetime | None:
    """When a room was made that ends an hour from now, by the test's own clock."""
    return (await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))).start_date


@pytest.mark.parametrize("real_asyncio", [False, True])
@pytest.mark.parametrize("when", ["2001-02-03 04:05:06", "2101-02-03 04:05:06"])
@pytest.mark.parametrize("served_by", ["this loop", "uvloop", "the fixture's thread"])
def test_server_lives_in_frozen_time(
    freeze_time: Any, when: str, real_asyncio: bool, served_by: str, request: pytest.FixtureRequest
) -> None:
    """From the moment of the freeze to the moment of the thaw, on the connection that was open before."""
    factory = pytest.importorskip("uvloop").new_event_loop if served_by == "uvloop" else None
    running = request.getfixturevalue("fake_whereby") if served_by.startswith("the fixture") else None

    async def main() -> None:
        server = contextlib.nullcontext(running) if running is not None else FakeWhereby()
        async with server as fake, fake.client() as whereby:
            await whereby.meetings.list()
            with freeze_time(when, real_asyncio=real_asyncio) as frozen:
                assert str(await _made_now(whereby)) == f"{when}+00:00"
                frozen.tick(timedelta(hours=2))
                assert await _made_now(whereby) == datetime.now(UTC)
                frozen.move_to("2051-01-01")
                assert await _made_now(whereby) == datetime.now(UTC)
                assert fake.requests[-1].status == 201
            made = await _made_now(whereby)
            assert made is not None
            assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


@pytest.mark.anyio
async def test_points_come_back_although_a_thaw_sets_all_clocks_back(freeze_time: Any) -> None:
    async with FakeWhereby(limit=5) as fake, Bare(fake) as call:
        with freeze_time("2101-02-03") as frozen:
            fake.spend(5)
            assert (await call("GET", "/meetings")).status == 429
            frozen.tick(61)
            assert (await call("GET", "/meetings")).status == 200
            fake.spend(5)
        refused = await call("GET", "/meetings")
        assert refused.status == 429
        assert float(refused.headers["Retry-After"]) <= 60.0


def test_simulated_minutes_pass_in_frozen_time_too(freeze_time: Any) -> None:
    @simulated
    async def hours(fake: FakeWhereby) -> None:
        async with fake, fake.client() as whereby:
            with freeze_time("2101-02-03") as frozen:
                assert str(await _made_now(whereby)) == "2101-02-03 00:00:00+00:00"
                await asyncio.sleep(600.0)
                frozen.tick(60.0)
                assert str(await _made_now(whereby)) == "2101-02-03 00:11:00+00:00"
            made = await _made_now(whereby)
            assert made is not None
            assert abs(datetime.now(UTC) + timedelta(minutes=10) - made) < timedelta(minutes=1)

    hours(FakeWhereby())
    with freeze_time("2101-02-03"):
        hours(FakeWhereby())
