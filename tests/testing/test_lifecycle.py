"""How the fake server comes and goes: side by side, again, in mid-flight, in a thread, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.bare import Bare, jump, until

import whereby_async.testing
from whereby_async import APIConnectionError, WherebyClient
from whereby_async.testing import FakeWhereby, Fault, run_simulated

if TYPE_CHECKING:
    from whereby_async.testing import Algorithm

pytestmark = pytest.mark.anyio


async def test_two_servers_stand_side_by_side() -> None:
    async with FakeWhereby() as one, FakeWhereby(limit=5) as two, Bare(one) as first, Bare(two) as second:
        one.add_meeting()
        assert one.port != two.port
        assert len((await first("GET", "/meetings")).content["results"]) == 1
        assert (await second("GET", "/meetings")).content["results"] == []
        assert (one.points_spent, two.points_spent) == (1, 1)


async def test_server_comes_back_at_the_same_port() -> None:
    """Down it refuses connections; up again it has the same world, and its clock went on."""
    fake = FakeWhereby()
    assert (fake.port, repr(fake)) == (0, "<FakeWhereby not running, 1000 points per 60 s>")
    await fake.aclose()
    async with fake:
        url = fake.url
        fake.add_meeting()
        with pytest.raises(RuntimeError, match="running already"):
            await fake.start()
        jump(3_000.0)
    jump(2_000.0)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
    async with fake, Bare(fake) as call:
        assert fake.url == url
        assert repr(fake) == f"<FakeWhereby {url}, 1000 points per 60 s>"
        assert len((await call("GET", "/meetings")).content["results"]) == 1
        jump(2_300.0)
        assert (await call("GET", "/meetings")).content["results"] == []


async def test_service_can_be_away() -> None:
    """Calls under way break off, connections are refused, its clock goes on; then it is back as it was."""
    async with FakeWhereby() as fake, Bare(fake) as call:
        url = fake.url
        fake.add_meeting()
        fake.faults.add(Fault(answer_delay=1e6))
        stalled = asyncio.ensure_future(call("GET", "/meetings"))
        await until(lambda: fake.points_spent)
        async with fake.away():
            with pytest.raises(aiohttp.ClientConnectionError):
                await stalled
            for _ in range(3):
                with pytest.raises(aiohttp.ClientConnectorError):
                    await call("GET", "/meetings")
            assert repr(fake) == "<FakeWhereby not running, 1000 points per 60 s>"
            jump(3_000.0)
        assert fake.url == url
        assert len((await call("GET", "/meetings")).content["results"]) == 1
        async with fake.away():
            jump(4_300.0)
        assert (await call("GET", "/meetings")).content["results"] == []
    with pytest.raises(RuntimeError, match="not running"):
        await fake.away().__aenter__()


async def test_it_comes_back_from_a_block_that_raises() -> None:
    async with FakeWhereby() as fake, Bare(fake) as call:
        with pytest.raises(LookupError):
            async with fake.away():
                raise LookupError
        assert (await call("GET", "/meetings")).status == 200


@pytest.mark.parametrize("algorithm", ["fixed", "aligned", "sliding_log", "sliding_counter", "token_bucket"])
@pytest.mark.parametrize(("forgets", "left"), [(False, [7, 6, 5]), (True, [7, 7, 8])])
async def test_points_spent_survive_a_restart_unless_it_forgets_them(
    algorithm: Algorithm, forgets: bool, left: list[int]
) -> None:
    """The count goes on, or begins anew with the limit that was set last; by `aclose` and `start` too."""
    fake = FakeWhereby(limit=8, period=1e9, algorithm=algorithm, forgets_points=forgets)
    async with Bare(fake) as call:

        async def remaining() -> int:
            return int((await call("GET", "/meetings")).headers["X-RateLimit-Remaining"])

        async with fake:
            seen = [await remaining()]
            async with fake.away():
                pass
            seen.append(await remaining())
            if forgets:
                fake.set_limit(9)
        async with fake:
            assert [*seen, await remaining()] == left


async def test_taken_port_is_reported() -> None:
    async with FakeWhereby() as one:
        two = FakeWhereby(port=one.port)
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            await two.start()
        await two.aclose()


async def test_world_can_be_filled_before_the_start() -> None:
    """Jobs that are under way then finish on the server's clock."""
    fake = FakeWhereby(processing_time=5.0, subdomain="acme")
    made = fake.add_transcription(state="in_progress")["transcriptionId"]
    assert fake.add_meeting()["roomUrl"].startswith("https://acme.whereby.com/")
    async with fake, Bare(fake) as call:
        assert (await call("GET", f"/transcriptions/{made}")).content["state"] == "in_progress"
        jump(5.0)
        assert (await call("GET", f"/transcriptions/{made}")).content["state"] == "ready"


def test_moments_come_in_several_forms() -> None:
    fake = FakeWhereby()
    naive = datetime(2025, 1, 1)  # noqa: DTZ001 - naive is UTC here
    for moment in (naive, naive.replace(tzinfo=UTC), "2025-01-01T01:00:00+01:00"):
        assert fake.add_meeting(start_date=moment)["startDate"] == "2025-01-01T00:00:00.000Z"
    with pytest.raises(ValueError, match="not a date: 'tomorrow'"):
        fake.add_meeting(start_date="tomorrow")


STALLS = [Fault(delay=1e6), Fault(answer_delay=1e6), Fault(drip=1e6), Fault(truncate=0, delay=1e6)]


async def stalled_shutdown() -> None:
    """Forty requests stall in all kinds of ways, idle connections stand, new ones come: close in the middle of it."""
    fake = await FakeWhereby().start()
    async with Bare(fake) as call:
        await call("GET", "/meetings")
        fake.faults.add(*STALLS * 10)
        asked = [asyncio.ensure_future(call("GET", "/meetings")) for _ in range(40)]
        await until(lambda: len(fake.requests) == 41)
        asked += [asyncio.ensure_future(call("GET", "/meetings")) for _ in range(5)]
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await fake.aclose()
            results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(result, Exception) for result in results) >= 40
    mine = {asyncio.current_task()}
    for _ in range(3):
        await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - mine if "fake" in repr(task).lower() or "aiohttp" in repr(task)]
    assert not left


@pytest.mark.parametrize("engine", ["asyncio", "uvloop"])
def test_shutdown_leaves_nothing(engine: str) -> None:
    """It is prompt with requests stalled, and no task, socket or warning is left, on asyncio and uvloop."""
    factory = pytest.importorskip("uvloop").new_event_loop if engine == "uvloop" else asyncio.SelectorEventLoop
    complaints: list[dict[str, Any]] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
            for _ in range(5):
                runner.run(stalled_shutdown())
        gc.collect()
    assert not complaints
    assert not [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)]


def test_shutdown_takes_no_time() -> None:
    """On a simulated clock it is over at the very moment at which it begins, though a request would stall for days."""

    async def stall_and_stop() -> tuple[float, bool]:
        fake = await FakeWhereby().start()
        fake.faults.add(Fault(delay=1e6))
        async with Bare(fake) as call:
            asked = asyncio.ensure_future(call("GET", "/meetings"))
            await until(lambda: fake.requests and fake.requests[0].points)
            began = asyncio.get_running_loop().time()
            await fake.aclose()
            took = asyncio.get_running_loop().time() - began
            await asyncio.wait([asked])
        return took, fake.requests[0].acted

    assert run_simulated(stall_and_stop()) == (0.0, False)


@pytest.mark.parametrize(
    ("host", "origin"), [("::1", "http://[::1]:"), ("::", "http://[::1]:"), ("0.0.0.0", "http://127.0.0.1:")]
)
async def test_other_addresses_are_served(host: str, origin: str) -> None:
    """The URL leads to this machine, also if it listens on all addresses."""
    try:
        fake = await FakeWhereby(host=host).start()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    async with Bare(fake) as call:
        assert fake.url.startswith(origin)
        assert (await call("GET", "/meetings")).status == 200
    await fake.aclose()


def ask(fake: FakeWhereby) -> None:
    """Make a call as somebody who has never heard of asyncio; it raises if it is refused."""
    request = urllib.request.Request(fake.url + "/meetings", headers={"Authorization": f"Bearer {fake.api_key}"})
    urllib.request.urlopen(request).close()


def test_server_runs_beside_code_that_does_not_await() -> None:
    """It answers while the block lasts, keeps its world, comes back at the same port, and leaves no thread."""
    fake = FakeWhereby(limit=2)
    before = threading.active_count()
    urls: list[str] = []
    for _ in range(2):
        with fake.in_thread() as running, fake.spends(exactly=1):
            assert running is fake
            ask(fake)
            urls.append(fake.url)
    assert threading.active_count() == before
    assert len(fake.requests) == 2
    assert urls[0] == urls[1]


def test_loops_of_ones_own_reach_it() -> None:
    async def rooms(fake: FakeWhereby) -> int:
        async with fake.client() as whereby:
            return len(await whereby.meetings.list().collect())

    with FakeWhereby().in_thread() as fake:
        fake.add_meeting()
        assert [asyncio.run(rooms(fake)) for _ in range(2)] == [1, 1]


def test_server_in_a_thread_goes_away_and_ends_from_any_loop() -> None:
    """As tests of an app have it: the app's loop, the test's and the server's are three."""

    async def calls(fake: FakeWhereby) -> list[int]:
        async with fake.client(max_outage=0) as whereby:
            answered = [len(await whereby.meetings.list().collect())]
            async with fake.away():
                with pytest.raises(APIConnectionError):
                    await whereby.meetings.list()
            async with fake.client() as another:
                return [*answered, len(await another.meetings.list().collect())]

    with FakeWhereby().in_thread() as fake:
        fake.add_meeting()
        assert [asyncio.run(calls(fake)) for _ in range(2)] == [[1, 1], [1, 1]]
        asyncio.run(fake.aclose())
        assert "not running" in repr(fake)
    asyncio.run(fake.aclose())


async def test_server_whose_loop_is_over_starts_in_another() -> None:
    fake = FakeWhereby()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, _round(fake)).result()
    await _round(fake)
    async with fake, Bare(fake) as call:
        assert (await call("GET", "/meetings")).status == 200


async def _round(fake: FakeWhereby) -> None:
    async with fake, fake.away():
        pass


def test_error_in_the_block_ends_it_and_a_second_thread_does_not() -> None:
    fake = FakeWhereby()
    with pytest.raises(ZeroDivisionError), fake.in_thread():  # noqa: PT012 - the block is the subject
        with pytest.raises(RuntimeError, match="running already"), fake.in_thread():
            raise AssertionError
        assert "not running" not in repr(fake)
        raise ZeroDivisionError
    assert "not running" in repr(fake)


def test_plain_with_and_a_client_before_the_start_say_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"with FakeWhereby\(\)\.in_thread\(\) as fake"), FakeWhereby():  # type: ignore[attr-defined]  # the mistake
        pass
    with pytest.raises(RuntimeError, match="the fake server has no port yet: start it first"):
        FakeWhereby().client()
    assert "41999" in repr(FakeWhereby(port=41999).client())


def test_error_in_when_comes_out_of_the_block() -> None:
    with pytest.raises(ZeroDivisionError), FakeWhereby().in_thread() as fake:  # noqa: PT012 - the block is the subject
        fake.faults.add(Fault(when=lambda _: 1 / 0))
        ask(fake)


def test_importing_the_kit_loads_nothing() -> None:
    """Its name is free; each part comes when it is touched, a fault without aiohttp."""
    program = """
import sys
import whereby_async.testing
heavy = {"aiohttp", "msgspec", "anyio", "asyncio", "pytest", "hypothesis"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
from whereby_async.testing import Fault, UnusedFaultWarning
assert "aiohttp" not in sys.modules and "pytest" not in sys.modules
from whereby_async.testing import FakeWhereby
assert "aiohttp" in sys.modules and "pytest" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_server_that_takes_the_port_of_another_begins_with_all_its_points() -> None:
    """Ports come again; a server that stops and starts is the same one."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def call(times: int) -> float:
            async with WherebyClient(fake.api_key, base_url=fake.url) as client:
                for _ in range(times):
                    await client.meetings.list()
            return loop.time()

        async with FakeWhereby(limit=50) as fake:
            assert await call(50) < 1
        async with fake:
            assert await call(50) > 55
        began = loop.time()
        async with FakeWhereby(limit=50, port=fake.port) as fake:
            assert await call(50) < began + 1

    run_simulated(main())


def test_unknown_part_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'FakeWherby'"):
        _ = whereby_async.testing.FakeWherby  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType,reportUnknownVariableType] - the subject
