"""Where people run it: several loops, threads, forks, clients that are passed in; and what is refused."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio as aio
import uvloop
from support.budgets import LIMIT, PERIOD, Listener, Server, call, in_threads, says, until, until_told
from support.fleet import Store

from whereby_async import limiter
from whereby_async.errors import ClientClosedError, ConfigurationError
from whereby_async.limiter import RedisPointBudget

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def budget(store: str, name: str) -> RedisPointBudget:
    """A budget as a module would have it: made without a loop."""
    return RedisPointBudget(store, name=name, limit=LIMIT, period=PERIOD)


def in_flight(store: str, name: str) -> int:
    """What another process sees in flight, its own call excluded."""

    async def look() -> int:
        other = RedisPointBudget(store, name=name, limit=LIMIT, period=PERIOD)
        permit = await other.acquire(1)
        permit.release()
        seen = other.snapshot().in_flight - 1
        await other.aclose()
        return seen

    return asyncio.run(look())


@pytest.mark.filterwarnings("error")
def test_three_loops_in_a_row(budget: RedisPointBudget, store: str, name: str) -> None:
    """Each `asyncio.run` has a connection of its own, which goes with it, and reports what ended in it."""
    server = Server()
    for _ in range(3):
        asyncio.run(call(budget, server))
    gc.collect()
    assert server.refused == 0
    assert in_flight(store, name) == 0
    asyncio.run(budget.aclose())


def test_loops_in_threads_share_one_budget(budget: RedisPointBudget) -> None:
    """Three threads with a loop each, asyncio's and uvloop's, spend no more than there is."""
    server = Server()

    async def work() -> None:
        await asyncio.gather(*[call(budget, server) for _ in range(12)])

    in_threads(lambda: asyncio.run(work()), lambda: uvloop.run(work()), lambda: asyncio.run(work()))
    assert server.refused == 0
    asyncio.run(budget.aclose())


def test_a_permit_may_end_in_another_thread(budget: RedisPointBudget, store: str, name: str) -> None:
    """No loop runs there; the loop that granted the permit reports its end."""

    async def main() -> None:
        permit = await budget.acquire(1)
        await asyncio.to_thread(permit.settle, says(LIMIT - 1, limit=LIMIT))
        for end in ("release", "release", "lost"):
            await asyncio.to_thread(getattr(await budget.acquire(1), end))
        await until_told(budget)

    asyncio.run(main())
    assert in_flight(store, name) == 0


def test_a_permit_that_outlives_its_loop_is_reported_by_the_next(
    budget: RedisPointBudget, store: str, name: str
) -> None:
    """Its points do not wait for the lease to run out."""
    server = Server()
    held: list[Any] = []

    async def first() -> None:
        for _ in range(6):
            await call(budget, server)
        held.extend([await budget.acquire(2), await budget.acquire(3)])

    asyncio.run(first())
    held[0].settle(server.serve(2))
    held[1].release()
    asyncio.run(call(budget, server))
    assert in_flight(store, name) == 0
    assert server.refused == 0


def test_a_loop_that_is_closed_without_ado_leaves_nothing_behind(
    budget: RedisPointBudget, store: str, name: str
) -> None:
    """No task of it is cancelled; the next loop reports what ended."""
    server = Server()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(call(budget, server))
    permit = loop.run_until_complete(budget.acquire(2))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    permit.settle(server.serve(2))
    asyncio.run(call(budget, server))
    assert in_flight(store, name) == 0


@pytest.mark.parametrize("kind", ["file", "store"])
def test_a_forked_child_has_a_budget_of_its_own(store: str, name: str, tmp_path: Path, kind: str) -> None:
    """As in a Celery worker: parent and child go on, by one shared budget, and neither takes the other's answers."""
    arguments = f"{store!r}, name={name!r}" if kind == "store" else repr(str(tmp_path / "budget"))
    program = textwrap.dedent(
        f"""
        import asyncio, os
        from whereby_async.limiter import HostPointBudget, RateLimit, RedisPointBudget

        budget = {"RedisPointBudget" if kind == "store" else "HostPointBudget"}({arguments}, limit=20, period=20.0)
        held = []

        async def calls(count):
            for number in range(count):
                permit = await asyncio.wait_for(budget.acquire(1), 10)
                permit.settle(RateLimit(limit=20))

        async def first():
            (await budget.acquire(1)).settle(RateLimit(limit=20, remaining=19))
            held.append(await budget.acquire(1))

        loop = asyncio.new_event_loop()
        loop.run_until_complete(first())
        pid = os.fork()
        if not pid:
            held.pop().release()  # the parent's: nothing happens
            asyncio.run(calls(5))
            asyncio.run(budget.aclose())
            os._exit(0)
        loop.run_until_complete(calls(5))
        held.pop().settle(RateLimit(limit=20))
        assert os.waitpid(pid, 0)[1] == 0

        async def look():
            (await budget.acquire(1)).release()
            seen = budget.snapshot().available, budget.snapshot().in_flight
            await budget.aclose()
            return seen

        seen = loop.run_until_complete(look())
        assert seen in {(7, 1), (8, 0), (8, 1)}, seen  # the store is told of the last call a little later
        loop.close()
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False, text=True)
    assert done.returncode == 0, done.stderr


def test_closing_reaches_the_loops_of_other_threads(budget: RedisPointBudget) -> None:
    """Calls that wait there are refused, and the connection is closed there."""
    server, hook = Server(), Listener(budget)

    async def wait() -> None:
        for _ in range(LIMIT):
            await call(budget, server)
        with pytest.raises(ClientClosedError):
            await budget.acquire(5)

    async def close() -> None:
        await hook.until_waiting(1)
        await budget.aclose()

    in_threads(lambda: asyncio.run(wait()), lambda: asyncio.run(close()))


# Clients that are passed in


def pool_of(store: str, **options: Any) -> aio.ConnectionPool:
    return aio.ConnectionPool.from_url(store, **options)  # pyright: ignore[reportUnknownMemberType] - its keywords have no types


@pytest.mark.anyio
@pytest.mark.parametrize(
    "options", [{}, {"decode_responses": True}, {"protocol": 3}], ids=["plain", "decoding", "RESP3"]
)
async def test_an_injected_client_is_used_and_never_closed(store: str, name: str, options: Any) -> None:
    client: Any = aio.Redis(connection_pool=pool_of(store, **options))
    budget, server = RedisPointBudget(client, name=name, limit=LIMIT, period=PERIOD), Server()
    for _ in range(3):
        await call(budget, server)
    assert budget.snapshot().state == "open"
    await budget.aclose()
    assert await client.ping()
    await client.aclose(close_connection_pool=True)


def test_an_injected_client_serves_one_loop(store: str, name: str) -> None:
    """In a second one there is a clear error, which says what to do."""

    async def first() -> RedisPointBudget:
        client: Any = aio.Redis(connection_pool=pool_of(store))
        budget = RedisPointBudget(client, name=name)
        (await budget.acquire(1)).release()
        await until_told(budget)
        await client.aclose(close_connection_pool=True)
        return budget

    budget = asyncio.run(first())
    with pytest.raises(ConfigurationError, match="one event loop"):
        asyncio.run(call(budget, Server()))


@pytest.mark.anyio
async def test_a_cluster_client_works(tmp_path: Path, name: str) -> None:
    """All keys have one hash tag, so they lie in one slot."""
    with Store(tmp_path / "cluster", "--cluster-enabled", "yes") as cluster, cluster.client() as plain:
        plain.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await until(lambda: "cluster_state:ok" in str(plain.execute_command("CLUSTER", "INFO")))
        client = aio.RedisCluster(host="127.0.0.1", port=cluster.port)
        budget, server = RedisPointBudget(client, name=name, limit=LIMIT, period=PERIOD), Server()
        for _ in range(3):
            await call(budget, server)
        assert budget.snapshot().state == "open"
        await budget.aclose()
        await client.aclose()


# What is refused


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("http://localhost",), {}, "redis://"),
        (("localhost:6379",), {}, "no scheme"),
        (("redis://localhost:port",), {}, "cannot be read"),
        (("redis://localhost/0?foo=bar",), {}, "does not know"),
        (("redis://localhost/main",), {}, "the database 'main'"),
        (("redis://localhost/-1",), {}, "the database '-1'"),
        ((redis.Redis(),), {}, "redis.asyncio"),
        ((None,), {}, "redis.asyncio"),
        (("redis://localhost",), {"name": ""}, "name=''"),
        (("redis://localhost",), {"name": "a{b"}, "braces"),
        (("redis://localhost",), {"on_unavailable": "maybe"}, "on_unavailable='maybe'"),
        (("redis://localhost",), {"share": 0}, "share=0"),
        (("redis://localhost",), {"share": 1.5}, "share=1.5"),
        (("redis://localhost",), {"share": "half"}, "share='half'"),
        (("redis://localhost",), {"timeout": 0}, "timeout=0"),
        (("redis://localhost",), {"limit": 0}, "limit=0"),
        (("redis://localhost",), {"period": -1}, "period=-1"),
        (("redis://localhost",), {"reserve": 1}, "reserve=1"),
        (("redis://localhost",), {"costs": {"a": 0}}, "costs"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments: Any, options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        RedisPointBudget(*arguments, **options)
    assert words in str(refusal.value)


@pytest.mark.anyio
async def test_a_database_that_is_not_there_is_refused_by_the_first_call(store: str) -> None:
    budget = RedisPointBudget(store.removesuffix("/0") + "/4711")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="database"):
            await budget.acquire(1)
    await budget.aclose()


def test_a_bad_url_s_password_is_not_shown() -> None:
    for url in ("redis://user:not-a-secret@localhost:port", "redisx://user:not-a-secret@localhost"):
        with pytest.raises(ConfigurationError) as refusal:
            RedisPointBudget(url)
        assert "not-a-secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["valkey://localhost", "valkeys://localhost", "valkey+unix:///tmp/s", "rediss://localhost"]
)
def test_urls_of_both_stores_are_taken(url: str) -> None:
    """Valkey has schemes of its own."""
    budget = RedisPointBudget(url)
    assert repr(budget) == "<RedisPointBudget 'whereby' limit=100 available=100 unknown>"
    assert budget.snapshot().limit == 100


def test_without_redis_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "from whereby_async.limiter import RedisPointBudget\n"
        "from whereby_async.errors import ConfigurationError\n"
        "try: RedisPointBudget('redis://localhost')\n"
        "except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert "pip install 'whereby-async[redis]'" in done.stdout


def test_only_who_asks_for_it_pays_for_redis() -> None:
    """Neither the limiter's package nor a client loads redis-py."""
    program = (
        "import sys, whereby_async.limiter; from whereby_async import WherebyClient; WherebyClient('key')\n"
        "assert 'redis' not in sys.modules; assert 'RedisPointBudget' in dir(whereby_async.limiter)\n"
        "from whereby_async.limiter import RedisPointBudget; assert 'redis' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_loop_no_permit() -> None:
    budget = RedisPointBudget("redis://localhost")
    with pytest.raises(ConfigurationError, match="asyncio"):
        budget.acquire(1).send(None)
    assert not hasattr(limiter, "RedisPoint")
