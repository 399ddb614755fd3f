"""A client in several loops, threads and forks, left unclosed, closed in mid-call, and with many calls at once."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
import textwrap
import threading
import warnings
from typing import TYPE_CHECKING

import pytest
from support.budgets import turns, until

from whereby_async import APIConnectionError, ClientClosedError, ConfigurationError, SessionPool, WherebyClient
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault, simulated

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[FakeWhereby]:
    """A server in a thread with a loop of its own, for clients in other loops, threads and processes."""
    with FakeWhereby(limit=100_000).in_thread() as fake:
        yield fake


def run_program(code: str, url: str, *, uvloop: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a program with warnings as errors in asyncio's debug mode; what it prints is all that it may print."""
    preamble = "import uvloop; uvloop.install()" if uvloop else ""
    program = (
        f"import asyncio, logging, os, sys, warnings\n{preamble}\nfrom whereby_async import WherebyClient\n"
        # What debug mode says of callbacks that took long is about the machine.
        "logging.getLogger('asyncio').addFilter(lambda record: not record.msg.startswith('Executing '))\n"
        + textwrap.dedent(code)
    )
    strict = ["-W", "error", *(["-W", "ignore::DeprecationWarning"] if uvloop else ["-X", "dev"])]
    environment = {**os.environ, "WHEREBY_API_KEY": FAKE_API_KEY, "WHEREBY_BASE_URL": url}
    return subprocess.run(
        [sys.executable, *strict, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("uvloop", [False, True])
def test_a_module_level_client_works_under_three_loops_in_a_row(server: FakeWhereby, uvloop: bool) -> None:
    """Each loop's session closes quietly with its loop; nothing is printed, nothing warned of."""
    code = """
        client = WherebyClient()
        async def main():
            await asyncio.gather(*(client.meetings.list().collect() for _ in range(5)))
        for _ in range(3):
            asyncio.run(main())
        print("done")
    """
    ran = run_program(code, server.url, uvloop=uvloop)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


def test_a_loop_that_is_closed_without_ceremony_makes_no_noise(server: FakeWhereby) -> None:
    """A loop that never finished its async generators ends without "Event loop is closed" or "Unclosed"."""
    code = """
        warnings.simplefilter("default")
        client = WherebyClient()
        for _ in range(3):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(client.meetings.list().collect())
            loop.close()
        import gc; gc.collect()
        print("done")
    """
    ran = run_program(code, server.url)
    assert (ran.returncode, ran.stdout) == (0, "done\n")
    assert "Event loop is closed" not in ran.stderr
    assert "Unclosed" not in ran.stderr
    assert "WherebyClient" not in ran.stderr


def test_a_client_left_unclosed_is_named_in_one_warning(server: FakeWhereby) -> None:
    """Exactly one `ResourceWarning`, which names the client, and nothing else on stderr."""
    code = """
        warnings.simplefilter("always")
        async def main():
            client = WherebyClient()
            await client.meetings.list().collect()
            del client
            import gc; gc.collect()
            await asyncio.sleep(0)
        asyncio.run(main())
        print("done")
    """
    ran = run_program(code, server.url)
    assert (ran.returncode, ran.stdout) == (0, "done\n")
    # Newer Pythons show the source line below a warning, and all of them advise tracemalloc.
    told = [line for line in ran.stderr.splitlines() if not line.startswith(("ResourceWarning: Enable", "  "))]
    assert len(told) == 1
    assert f"ResourceWarning: WherebyClient(base_url='{server.url}') was not closed" in told[0]


def test_a_client_that_was_never_used_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WherebyClient("k" * 20)
        gc.collect()


def test_threads_with_loops_of_their_own_share_one_client(server: FakeWhereby) -> None:
    client = WherebyClient(FAKE_API_KEY, base_url=server.url, limiter=PointBudget(100_000))
    counts: list[int] = []

    def work() -> None:
        async def calls() -> int:
            pages = await asyncio.gather(*(client.meetings.list().collect() for _ in range(30)))
            return len(pages)

        counts.append(asyncio.run(calls()))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [30] * 6
    assert server.points_spent == 180
    assert client.limiter.snapshot().in_flight == 0
    asyncio.run(client.aclose())


def test_closing_closes_the_sessions_of_other_running_loops(server: FakeWhereby) -> None:
    """`aclose` in one loop ends the connections that a loop in another thread holds, on that loop."""
    client = WherebyClient(FAKE_API_KEY, base_url=server.url, limiter=Unlimited())
    called, stop = threading.Event(), threading.Event()
    outcome: list[object] = []

    def work() -> None:
        async def calls() -> None:
            await client.meetings.list().collect()
            called.set()
            await asyncio.to_thread(stop.wait)
            try:
                await client.meetings.list().collect()
            except ClientClosedError as error:
                outcome.append(error)

        asyncio.run(calls())

    thread = threading.Thread(target=work)
    thread.start()
    called.wait()
    asyncio.run(client.aclose())
    stop.set()
    thread.join()
    assert isinstance(outcome[0], ClientClosedError)


def test_closing_while_another_loop_ends_or_stands_still_neither_raises_nor_hangs(server: FakeWhereby) -> None:
    """The other loop may end by itself, or stop without being closed, at any moment of it."""

    def run_and_end(client: WherebyClient, *, tidy: bool) -> None:
        async def calls() -> None:
            await client.meetings.list()
            called.set()
            asked.wait(3)  # blocks this loop, so that it ends with the closing already asked for

        if tidy:
            asyncio.run(calls())
        else:
            loops.append(asyncio.new_event_loop())
            loops[-1].run_until_complete(calls())

    async def close(client: WherebyClient) -> None:
        async with asyncio.timeout(3):
            closing = asyncio.create_task(client.aclose())
            await asyncio.sleep(0)
            asked.set()
            await closing

    loops: list[asyncio.AbstractEventLoop] = []
    for tidy in (True, False):
        client = WherebyClient(FAKE_API_KEY, base_url=server.url, limiter=Unlimited())
        called, asked = threading.Event(), threading.Event()
        thread = threading.Thread(target=run_and_end, args=(client,), kwargs={"tidy": tidy})
        thread.start()
        called.wait()
        asyncio.run(close(client))
        thread.join()
    for loop in loops:
        loop.run_until_complete(turns())  # running again, it closes what it was asked to
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_starts_cold_and_leaves_the_parents_connections_alone(server: FakeWhereby) -> None:
    """Parent and child both go on calling after a fork; the parent's connection is the one it had before."""
    code = """
        client = WherebyClient()
        async def call():
            await client.meetings.list().collect()
        async def main():
            await call()
            pid = os.fork()
            if pid == 0:
                # The child leaves the inherited loop and runs one of its own.
                asyncio.events._set_running_loop(None)
                try:
                    asyncio.run(call())
                    asyncio.run(call())
                except BaseException as error:
                    print("child failed", repr(error), flush=True)
                    os._exit(1)
                os._exit(0)
            _, status = await asyncio.to_thread(os.waitpid, pid, 0)
            for _ in range(3):
                await call()
            print("child", os.waitstatus_to_exitcode(status))
        asyncio.run(main())
        print("done")
    """
    ran = run_program(code, server.url)
    assert (ran.returncode, ran.stdout) == (0, "child 0\ndone\n"), ran.stderr
    assert "Unclosed" not in ran.stderr


async def test_a_pool_and_a_limiter_that_were_passed_stay_open() -> None:
    pool, budget = SessionPool(), PointBudget()
    async with FakeWhereby() as fake:
        async with WherebyClient(FAKE_API_KEY, base_url=fake.url, pool=pool, limiter=budget) as client:
            await client.meetings.list()
        assert not pool.closed
        async with WherebyClient(FAKE_API_KEY, base_url=fake.url, pool=pool, limiter=budget) as client:
            await client.meetings.list()
        await pool.aclose()


async def test_closing_in_mid_call_ends_every_call_in_one_of_our_errors() -> None:
    """On the wire: a connection error; waiting for a connection or for points: `ClientClosedError`."""
    async with FakeWhereby(limit=6) as fake:
        fake.faults.add(Fault(delay=30, times=100))
        budget = PointBudget(6)
        client = WherebyClient(FAKE_API_KEY, base_url=fake.url, limiter=budget)
        calls = [asyncio.create_task(client.meetings.get(str(n))) for n in range(20)]
        while not fake.requests:
            await asyncio.sleep(0)
        await client.aclose()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        kinds = {type(outcome) for outcome in outcomes}
        assert kinds == {APIConnectionError, ClientClosedError}
        snapshot = budget.snapshot()
        assert (snapshot.in_flight, sum(snapshot.waiting.values())) == (0, 0)


async def test_the_callers_own_cancel_wins_over_closing() -> None:
    async with FakeWhereby(limit=1) as fake:
        budget = PointBudget(1)
        client = WherebyClient(FAKE_API_KEY, base_url=fake.url, limiter=budget)
        await client.meetings.list()
        waiting = asyncio.create_task(client.meetings.get("1"))
        while not sum(budget.snapshot().waiting.values()):
            await asyncio.sleep(0)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(waiting.cancel)  # right behind the closing's own cancel
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await closing


async def test_a_waiter_that_is_gone_before_the_closing_reaches_it_is_left_alone() -> None:
    """A task that its owner cancelled just before is cancelled once, and not again by the closing."""
    async with FakeWhereby(limit=1) as fake:
        budget = PointBudget(1)
        client = WherebyClient(FAKE_API_KEY, base_url=fake.url, limiter=budget)
        await client.meetings.list()
        after = asyncio.Event()

        async def call() -> str:
            try:
                await client.meetings.get("1")
            except asyncio.CancelledError:
                await after.wait()  # a second cancel would end this wait too
            return "went on"

        waiting = asyncio.create_task(call())
        while not sum(budget.snapshot().waiting.values()):
            await asyncio.sleep(0)
        closing = asyncio.create_task(client.aclose())
        waiting.cancel()
        await closing
        after.set()
        assert await waiting == "went on"


def test_without_an_asyncio_loop_a_call_says_what_it_runs_on() -> None:
    """Under trio, or driven by hand, the error names asyncio and uvloop; nothing is sent."""
    call = WherebyClient("k" * 20).meetings.get("1")
    with pytest.raises(ConfigurationError, match="asyncio or uvloop"):
        call.send(None)


def test_without_an_asyncio_loop_a_client_closes() -> None:
    """So that the error is seen which says what it runs on, and none of the closing's."""

    async def block() -> None:
        async with WherebyClient("k" * 20) as client:
            await client.meetings.get("1")

    with pytest.raises(ConfigurationError, match="asyncio or uvloop") as error:
        block().send(None)
    assert error.value.__context__ is None


def test_a_client_of_other_loops_closes_without_one() -> None:
    """Its sessions are closed by the loops that they belong to, when those run again."""
    with FakeWhereby().in_thread() as fake, asyncio.Runner() as runner:
        client = WherebyClient(FAKE_API_KEY, base_url=fake.url)
        runner.run(client.meetings.list().collect())
        pool = client._shared.pool  # pyright: ignore[reportPrivateUsage] - nothing else shows its connections
        [connections] = pool._by_loop.values()  # pyright: ignore[reportPrivateUsage] - no public way
        with pytest.raises(StopIteration):
            client.aclose().send(None)
        assert client.closed
        assert not connections.ended.done()
        runner.run(until(connections.ended.done))


async def test_clients_made_per_request_share_one_account() -> None:
    async with FakeWhereby(limit=50, period=60) as fake:
        for _ in range(5):
            async with WherebyClient(FAKE_API_KEY, base_url=fake.url) as client:
                await client.meetings.list()
        async with WherebyClient(FAKE_API_KEY, base_url=fake.url) as client:
            assert client.limiter.snapshot().remaining == 45
        async with WherebyClient(FAKE_API_KEY + "x", base_url=fake.url) as other:
            assert other.limiter.snapshot().state == "unknown"


@simulated
async def test_400_gets_on_a_100_point_window_meet_no_429() -> None:
    async with FakeWhereby(limit=100) as fake, fake.client() as client:
        began = asyncio.get_running_loop().time()
        pages = await asyncio.gather(*(client.meetings.list(page_size=1).collect() for _ in range(400)))
        took = asyncio.get_running_loop().time() - began
        assert len(pages) == 400
        assert (len(fake.requests), fake.throttled, fake.points_spent) == (400, 0, 400)
        assert 180 <= took < 200


async def test_1000_calls_of_which_200_are_cancelled_leave_nothing_behind() -> None:
    """Cancels at random moments lose no permit, slot, connection or task, and the next call works at once."""
    chance = random.Random(11)
    budget, pool = PointBudget(100_000), SessionPool(connections=20)
    async with FakeWhereby(limit=100_000, latency=0.002) as fake:
        async with fake.client(limiter=budget, pool=pool) as client:
            await client.meetings.list()
            idle = asyncio.all_tasks()
            calls = [asyncio.create_task(client.meetings.list(page_size=1).collect()) for _ in range(1000)]
            victims = chance.sample(calls, 200)
            while victims:
                for task in (victims.pop() for _ in range(min(len(victims), chance.randrange(12)))):
                    task.cancel()
                for _ in range(chance.randrange(20)):
                    await asyncio.sleep(0)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            done = sum(isinstance(outcome, list) for outcome in outcomes)
            cancelled = sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
            assert done + cancelled == 1000
            assert done >= 800
            assert cancelled > 100
            assert (pool.in_use, pool.waiting) == (0, 0)
            snapshot = budget.snapshot()
            assert (snapshot.in_flight, snapshot.waiting_points, sum(snapshot.waiting.values())) == (0, 0, 0)
            await client.meetings.list()
            assert pool.in_use == 0
            # The server's own tasks for open connections aside, no task is left.
            left = {
                task
                for task in asyncio.all_tasks() - idle
                if "whereby_async/testing" not in repr(task) and "web_protocol" not in repr(task)
            }
            assert left == set()
        await pool.aclose()
