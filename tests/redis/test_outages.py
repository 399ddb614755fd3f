"""The store away: at the start, in the middle, slow, read-only, full, forgetful, with a wrong password, behind TLS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.budgets import LIMIT, PERIOD, Listener, Server, call, callers, refuses, until, until_told

from whereby_async.errors import BudgetError, BudgetTimeoutError
from whereby_async.testing import TcpFault, TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from support.fleet import Store

    from whereby_async.limiter import RedisPointBudget

pytestmark = pytest.mark.anyio

NOWHERE = "redis://127.0.0.1:1/0"
SECRET = "not-a-real-password"
ALLOWED = ["+eval", "+evalsha", "+hmget", "+hset", "+pexpire", "+time", "+client", "+select"]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_without_a_store_calls_go_by_a_share(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Refused from the start: a tenth of the limit, told once, and everything works by it."""
    budget, server = make(NOWHERE, limit=200), Server(200)
    listener = Listener(budget)
    began = time.monotonic()
    await asyncio.gather(*[call(budget, server) for _ in range(30)])
    assert PERIOD <= time.monotonic() - began < 2 * PERIOD + 1
    assert server.refused == 0
    assert listener.away == [True]
    assert (listener.outages[0].limit, listener.outages[0].reason) == (20, "it cannot be reached")
    assert len(warnings_of(caplog)) == 1
    assert "20 points per 2 s" in warnings_of(caplog)[0]
    assert budget.snapshot().state == "degraded"
    assert budget.forecast(100).windows > 3
    assert "degraded" in repr(budget)


async def test_without_a_store_calls_can_be_refused(make: Any) -> None:
    """`on_unavailable="raise"`: an error that says why, and that nothing was sent."""
    budget = make(NOWHERE, on_unavailable="raise")
    listener = Listener(budget)
    for _ in range(3):
        with pytest.raises(BudgetError, match="cannot be reached") as refusal:
            await budget.acquire(1)
        assert not isinstance(refusal.value, BudgetTimeoutError)
        assert not refusal.value.may_have_happened
    assert listener.away == [True]
    assert listener.outages[0].limit == 0
    assert budget.snapshot().state == "degraded"


async def test_a_store_that_dies_and_comes_back(make: Any, own_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Two processes go on by half the limit each, return by themselves, and overspend neither then nor later."""
    period, server = PERIOD / 2, Server(40, PERIOD / 2)
    budgets = [make(own_store.url, limit=40, period=period) for _ in range(2)]
    listener = Listener(budgets[0])
    async with callers(budgets, server, 10) as done:
        await until(lambda: sum(done) >= 2 * 40)
        await until_told(*budgets)
        own_store.kill()
        await until(lambda: listener.away)
        before, began = sum(done), time.monotonic()
        await until(lambda: sum(done) > before + 40, 3 * period)
        assert budgets[0].snapshot().state == "degraded"
        lasted = time.monotonic() - began
        await asyncio.to_thread(own_store.start)
        await until(lambda: listener.away == [True, False])
        before = sum(done)
        await until(lambda: sum(done) > before + 40)
        assert budgets[0].snapshot().state != "degraded"
        assert listener.outages[1].lasted > lasted
    assert server.refused == 0
    assert len(warnings_of(caplog)) == 4


async def test_waiting_calls_are_served_by_the_share_and_return(make: Any, own_store: Store) -> None:
    budget, server = make(own_store.url, limit=40, share=0.5), Server(40)
    listener = Listener(budget)
    for _ in range(40):
        await call(budget, server)
    tasks = [asyncio.create_task(call(budget, server)) for _ in range(60)]
    await listener.until_waiting(60)
    own_store.kill()
    await asyncio.sleep(1.4 * PERIOD)
    served = sum(task.done() for task in tasks)
    assert 15 <= served <= 25
    await asyncio.to_thread(own_store.start)
    await asyncio.wait_for(asyncio.gather(*tasks), 4 * PERIOD)
    assert server.refused == 0
    assert listener.outages[0].limit == 20
    assert listener.away == [True, False]


async def test_a_refused_wait_ends_with_the_store(make: Any, own_store: Store) -> None:
    """With `"raise"`, a call that waits when the store dies is refused, and later calls go through once it is back."""
    budget, server = make(own_store.url, on_unavailable="raise"), Server()
    for _ in range(LIMIT):
        await call(budget, server)
    listener = Listener(budget)
    task = asyncio.create_task(budget.acquire(1))
    await listener.until_waiting(1)
    own_store.kill()
    with pytest.raises(BudgetError, match="away"):
        await asyncio.wait_for(task, 2 * PERIOD)
    await asyncio.to_thread(own_store.start)

    async def served() -> bool:
        try:
            await call(budget, server)
        except BudgetError:
            return False
        return True

    ends = time.monotonic() + 5
    while not await served():
        assert time.monotonic() < ends
        await asyncio.sleep(0.05)


async def test_a_store_that_hangs_is_given_up_quickly(make: Any, wire: TcpProxy) -> None:
    """No answer comes: the call goes on by the share after the time limit, and ends on time if it may wait less."""
    budget, server = make(wire.url.replace("http", "redis"), limit=200), Server(200)
    await call(budget, server)
    await until_told(budget)
    wire.faults.add(TcpFault(at="answer", do="stall", times=None))
    began = time.monotonic()
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(1, max_wait=0.05)
    assert budget.snapshot().state != "degraded", "its time was up long before the store's"
    await call(budget, server)
    assert time.monotonic() - began < 2.0
    assert budget.snapshot().state == "degraded"
    wire.faults.clear()
    await wire.drop_connections()
    await until(lambda: budget.snapshot().state != "degraded")


async def test_a_dropped_connection_is_no_outage(make: Any, wire: TcpProxy) -> None:
    budget, server = make(wire.url.replace("http", "redis")), Server()
    listener = Listener(budget)
    for abruptly in (True, False, True):
        await call(budget, server)
        await until_told(budget)
        await wire.drop_connections(abruptly=abruptly)
    await call(budget, server)
    assert listener.away == []


async def test_points_granted_into_the_void_come_back(make: Any, wire: TcpProxy, own_store: Store) -> None:
    """The answer never came: what the store granted is taken back, and what was reported does not count twice."""
    budget, other, server = make(wire.url.replace("http", "redis")), make(own_store.url), Server()
    await call(other, server)
    for _ in range(6):
        await call(budget, server)  # as many may be in flight then
    held = await budget.acquire(2)
    wire.faults.add(TcpFault(at="answer", do="reset", times=1))
    held.settle(server.serve(2))
    permits = await asyncio.gather(*[budget.acquire(1) for _ in range(5)])
    (await other.acquire(1)).release()
    assert other.snapshot().in_flight == 6
    for permit in permits:
        permit.release()
    await until_told(budget)
    (await other.acquire(1)).release()
    assert other.snapshot().in_flight <= 1
    assert budget.snapshot().state != "degraded"


async def test_a_forgotten_script_is_sent_again(make: Any, client: Any) -> None:
    """`SCRIPT FLUSH` and a restart make no difference."""
    budget, server = make(), Server()
    listener = Listener(budget)
    await call(budget, server)
    client.script_flush()
    await call(budget, server)
    assert listener.away == []
    assert server.refused == 0


async def test_lost_books_are_made_anew_from_what_everybody_holds(make: Any, client: Any, name: str) -> None:
    """The key is gone, as after an eviction: nobody gets points before all have told what they have spent."""
    budgets, server = [make(), make()], Server()
    for budget in budgets:
        await call(budget, server)
    for _ in range(10):
        await call(budgets[0], server)
    flying = [await budget.acquire(3) for budget in budgets]
    client.delete(f"whereby:{{{name}}}:2")
    for permit in flying:
        permit.settle(server.serve(permit.cost))
    await asyncio.gather(*[call(budget, server) for budget in budgets])
    with pytest.raises(BudgetTimeoutError):
        await call(budgets[0], server, max_wait=0.2)
    assert server.refused == 0
    assert server.spent <= LIMIT
    await asyncio.gather(*[call(budget, server) for budget in budgets for _ in range(5)])
    assert server.refused == 0


async def test_a_store_that_went_back_in_time_is_noticed(make: Any, client: Any, name: str) -> None:
    """As after a failover to a replica that lagged: what it has forgotten it is told again."""
    budget, server = make(period=5.0), Server(LIMIT, 5.0)
    await call(budget, server)
    key = f"whereby:{{{name}}}:2"
    await until_told(budget)
    old: Any = client.dump(key)
    for _ in range(15):
        (await budget.acquire(1)).settle(None)  # no answer helps it to remember
    await until_told(budget)
    client.restore(key, 100_000, old, replace=True)
    (await budget.acquire(1)).settle(None)
    spent = 1 + 15 + 1
    for _ in range(10):
        with contextlib.suppress(BudgetTimeoutError):
            (await budget.acquire(1, max_wait=0.1)).settle(None)
            spent += 1
    assert spent <= LIMIT


@pytest.mark.parametrize(
    "trouble",
    [
        (
            "REPLICAOF 127.0.0.1 1",
            "REPLICAOF NO ONE",
            "a read-only replica: connect to the primary, or through Sentinel",
        ),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "memory is full"),
    ],
    ids=["read-only", "full"],
)
async def test_a_store_that_takes_nothing_is_away(
    make: Any, own_store: Store, plain: Any, trouble: tuple[str, str, str]
) -> None:
    """The reason says what to do, and it goes on as soon as the store can be written to."""
    spoil, restore, reason = trouble
    budget, server = make(own_store.url, limit=200), Server(200)
    listener = Listener(budget)
    await call(budget, server)
    plain.execute_command(*spoil.split())
    await call(budget, server)
    assert reason in listener.outages[0].reason
    plain.execute_command(*restore.split())
    await until(lambda: listener.away == [True, False])
    assert server.refused == 0


async def test_a_key_of_another_kind_is_told(make: Any, client: Any, name: str) -> None:
    client.set(f"whereby:{{{name}}}:2", "mine")
    budget, server = make(), Server()
    listener = Listener(budget)
    await call(budget, server)
    assert listener.outages[0].reason == "the key is used by something else: choose another name="


@pytest.fixture
def guarded(own_store: Store, plain: Any) -> Store:
    plain.acl_setuser("worker", enabled=True, passwords=[f"+{SECRET}"], keys=["whereby:*"], commands=ALLOWED)
    plain.acl_setuser("guest", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=["+ping"])
    plain.acl_setuser("default", enabled=True, reset_passwords=True, passwords=[f"+{SECRET}-2"], commands=["+@all"])
    return own_store


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("worker:wrong-" + SECRET + "@", "refuses the user name or password"),
        ("nobody:" + SECRET + "@", "refuses the user name or password"),
        ("", "wants a password"),
        ("guest:" + SECRET + "@", "may not run scripts"),
    ],
    ids=["wrong password", "unknown user", "no password", "not allowed"],
)
async def test_a_wrong_password_is_an_outage_that_says_what_to_do(
    make: Any, guarded: Store, user: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls go on by the share; nothing of the URL's secret shows anywhere."""
    url = f"redis://{user}127.0.0.1:{guarded.port}/0"
    budget: RedisPointBudget = make(url)
    server, listener = Server(), Listener(budget)
    with caplog.at_level(logging.DEBUG):
        await call(budget, server)
    assert reason in listener.outages[0].reason
    hidden: dict[str, Any] = vars(budget)
    shown = caplog.text + repr(budget) + repr(listener.outages) + repr(hidden)
    assert SECRET not in shown
    refusing = make(url, on_unavailable="raise")
    with pytest.raises(BudgetError, match=reason) as refusal:
        await refusing.acquire(1)
    assert SECRET not in repr(refusal.value)
    assert refusal.value.__cause__ is refusal.value.__context__ is None


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody has signed, in `tmp_path / "certificate.pem"`."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@contextlib.asynccontextmanager
async def tls_front(port: int, context: ssl.SSLContext) -> AsyncGenerator[int]:
    """Ends TLS before a store that has none; the port it listens on."""

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(carry, "localhost", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_user_with_its_password_is_let_in_over_tls(
    make: Any, guarded: Store, certificate: ssl.SSLContext, tmp_path: Path
) -> None:
    """`rediss://` with the authority in the URL, and an ACL user who may use scripts and the key, nothing else."""
    async with tls_front(guarded.port, certificate) as port:
        url = f"rediss://worker:{SECRET}@localhost:{port}/0?ssl_ca_certs={tmp_path / 'certificate.pem'}"
        budget, server = make(url), Server()
        listener = Listener(budget)
        await call(budget, server)
        await call(budget, server)
        assert listener.away == []
        await budget.aclose()


async def test_an_untrusted_certificate_is_an_outage(make: Any, own_store: Store, certificate: ssl.SSLContext) -> None:
    """The budget does not talk to an unknown server."""
    async with tls_front(own_store.port, certificate) as port:
        budget, server = make(f"rediss://localhost:{port}/0"), Server()
        listener = Listener(budget)
        await call(budget, server)
        assert listener.outages[0].reason == "TLS failed: check the certificates and that rediss:// meets a TLS port"


async def test_a_share_obeys_a_429_and_a_lower_remaining(make: Any) -> None:
    """While the store is away, a 429 still stops the calls."""
    budget = make(NOWHERE, limit=200)
    (await budget.acquire(1)).settle(None)
    (await budget.acquire(1)).settle(refuses(0.5, limit=200))
    began = time.monotonic()
    permit = await budget.acquire(1)
    assert 0.4 < time.monotonic() - began < PERIOD
    assert permit.cost == 1
    assert "live" in repr(permit)
    permit.release()
    (await budget.acquire(1)).lost()
