"""The wire with faults below HTTP, seen from both of its ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from support.wire_server import OK, WireServer, answer_each

from whereby_async.testing import FakeWhereby, TcpFault, TcpFaultPlan, TcpProxy, run_simulated

if TYPE_CHECKING:
    from typing import Literal, Self

    from whereby_async.testing import TcpPoint

pytestmark = pytest.mark.anyio

REQUEST = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = OK.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


class Caller:
    def __init__(self, wire: TcpProxy) -> None:
        self.port = int(wire.url.rpartition(":")[2].partition("/")[0])

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self) -> bytes:
        """Send a request on the connection and read its whole answer."""
        self.writer.write(REQUEST)
        return await self.reader.readexactly(len(OK))

    async def rest(self) -> bytes | None:
        """All that comes until the end; `None` for a reset."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return None


async def test_without_faults_it_is_a_wire() -> None:
    async with WireServer(answer_each) as server, TcpProxy(server.url) as wire, Caller(wire) as caller:
        assert [await caller.ask() for _ in range(3)] == [OK] * 3
        assert server.requests == [REQUEST] * 3
        assert (wire.accepted, wire.connections, server.connections) == (1, 1, 1)
        assert repr(wire) == f"<TcpProxy to port {server.port}, 1 connections>"


@pytest.mark.parametrize(("host", "origin"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
async def test_its_url_keeps_family_and_path(host: str, origin: str) -> None:
    async with FakeWhereby(host=host) as fake, TcpProxy(fake.url) as wire:
        assert wire.url.startswith(origin)
        assert wire.url.endswith("/v1")
        assert wire.url != fake.url
        async with fake.client(base_url=wire.url) as whereby:
            assert (await whereby.meetings.list()).results == []


def test_other_urls_are_refused_and_a_proxy_that_does_not_run_has_none() -> None:
    for url in ("https://127.0.0.1:1/v1", "http://127.0.0.1/v1", "127.0.0.1:1", "http://:1"):
        with pytest.raises(ValueError, match=r"must be an http URL with a port"):
            TcpProxy(url)
    with pytest.raises(RuntimeError, match="async with TcpProxy"):
        _ = TcpProxy("http://127.0.0.1:1").url


ENDS: tuple[tuple[Literal["reset", "close"], bytes | None], ...] = (("reset", None), ("close", b""))


@pytest.mark.parametrize(("do", "end"), ENDS)
@pytest.mark.parametrize(
    ("at", "after", "through", "reached"),
    [
        ("request", 0, b"", b""),
        ("request", 7, b"", REQUEST[:7]),
        ("answer", 0, b"", REQUEST),
        ("answer", 5, OK[:5], REQUEST),
        ("answer", len(HEAD) + 1, OK[:-1], REQUEST),
        ("body", 0, HEAD, REQUEST),
        ("body", 1, OK[:-1], REQUEST),
    ],
)
async def test_a_fault_strikes_where_it_is_told_to(  # noqa: PLR0917 - a row of each table
    do: Literal["reset", "close"], end: bytes | None, at: TcpPoint, after: int, through: bytes, reached: bytes
) -> None:
    """So many bytes pass at either end, and then the connection is reset or closed, also on one that was kept."""
    seen = bytearray()

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(OK)
        while piece := await reader.read(100):
            seen.extend(piece)
            if bytes(seen) == REQUEST:
                writer.write(OK)

    async with WireServer(script) as server, TcpProxy(server.url) as wire, Caller(wire) as caller:
        await caller.ask()
        wire.faults.add(TcpFault(at=at, after=after, do=do))
        caller.writer.write(REQUEST)
        assert await caller.reader.readexactly(len(through)) == through
        assert await caller.rest() == end
        while wire.connections:
            await asyncio.sleep(0.001)
        assert bytes(seen) == reached
        assert len(wire.faults) == 0
        async with Caller(wire) as again:
            assert await again.ask() == OK


@pytest.mark.parametrize(("do", "end"), ENDS)
async def test_a_connection_can_end_as_it_begins(do: Literal["reset", "close"], end: bytes | None) -> None:
    async with WireServer(answer_each) as server, TcpProxy(server.url) as wire, Caller(wire) as old:
        await old.ask()
        wire.faults.add(TcpFault(do=do))
        async with Caller(wire) as new:
            assert await new.rest() == end
        assert await old.ask() == OK
        assert server.connections == 1


@pytest.mark.parametrize("at", ["connect", "request", "answer", "body"])
def test_a_stall_lasts_until_the_client_goes(at: TcpPoint) -> None:
    """Nothing comes through and nothing ends; when the client gives up, the wire is taken down."""

    async def main() -> None:
        async with WireServer(answer_each) as server, TcpProxy(server.url) as wire:
            wire.faults.add(TcpFault(at=at, do="stall"))
            async with Caller(wire) as caller:
                caller.writer.write(REQUEST)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(3600):
                        await caller.reader.readexactly(len(OK))
                assert len(server.requests) == (at in {"answer", "body"})
            while wire.connections:
                await asyncio.sleep(0.01)

    run_simulated(main())


@pytest.mark.parametrize(("at", "seconds"), [("request", len(REQUEST)), ("answer", len(OK)), ("body", 2)])
def test_bytes_can_drip(at: TcpPoint, seconds: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with WireServer(answer_each) as server, TcpProxy(server.url) as wire, Caller(wire) as caller:
            wire.faults.add(TcpFault(at=at, drip=1.0))
            assert await caller.ask() == OK
            assert loop.time() == pytest.approx(seconds, abs=0.1)
            assert await caller.ask() == OK
            assert loop.time() == pytest.approx(seconds, abs=0.1)

    run_simulated(main())


async def test_a_reset_of_the_server_passes_through() -> None:
    async def reset(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with WireServer(reset) as server, TcpProxy(server.url) as wire, Caller(wire) as caller:
        caller.writer.write(REQUEST)
        assert await caller.rest() is None


async def test_a_server_that_is_gone_ends_the_connection() -> None:
    async with WireServer(answer_each) as server:
        url = server.url
    async with TcpProxy(url) as wire, Caller(wire) as caller:
        assert await caller.rest() == b""


async def test_it_refuses_and_accepts_again_on_the_same_port() -> None:
    """Refused by the kernel; connections that stand go on; each twice is once."""
    async with WireServer(answer_each) as server, TcpProxy(server.url) as wire, Caller(wire) as old:
        await old.ask()
        url = wire.url
        await wire.refuse()
        await wire.refuse()
        with pytest.raises(ConnectionRefusedError):
            await Caller(wire).__aenter__()
        assert await old.ask() == OK
        await wire.accept()
        await wire.accept()
        assert wire.url == url
        async with Caller(wire) as new:
            assert await new.ask() == OK


async def connects(wire: TcpProxy, patience: float = 0.1) -> bool:
    """Whether a connection comes to be soon; else nothing at all has come of it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience), Caller(wire):
            return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels refuse where Linux does not answer")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_packets_can_vanish(host: str) -> None:
    """New connections do not come to be, and are not refused; of those that stand nothing passes, and none ends."""
    async with FakeWhereby(host=host) as fake, TcpProxy(fake.url) as wire:
        port, url = int(wire.url.rpartition(":")[2].partition("/")[0]), wire.url
        ask = b"GET /v1/meetings HTTP/1.1\r\nHost: x\r\n\r\n"
        reader, writer = await asyncio.open_connection(host, port)
        await wire.vanish()
        await wire.vanish()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await asyncio.open_connection(host, port)
        writer.write(ask)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        await wire.accept()
        assert (wire.url, wire.connections, fake.requests) == (url, 1, [])
        new_reader, new_writer = await asyncio.open_connection(host, port)
        new_writer.write(ask)
        assert (await new_reader.readline()).startswith(b"HTTP/1.1 401")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        await wire.drop_connections(abruptly=True)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert (wire.connections, len(fake.requests)) == (0, 1)
        writer.close()
        new_writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels refuse where Linux does not answer")
async def test_answers_vanish_too_and_what_vanished_can_be_refused() -> None:
    """What the server had still to say does not come; the wire can go from one trouble to the other and end in each."""
    asked = asyncio.Event()
    may_answer = asyncio.Event()

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        asked.set()
        await may_answer.wait()
        writer.write(OK)
        await reader.read()

    async with WireServer(script) as server, TcpProxy(server.url) as wire, Caller(wire) as caller:
        caller.writer.write(REQUEST)
        await asked.wait()
        await wire.vanish()
        may_answer.set()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await caller.reader.read(1)
        await wire.refuse()
        with pytest.raises(ConnectionRefusedError):
            await Caller(wire).__aenter__()
        await wire.vanish()
        assert not await connects(wire)


@pytest.mark.parametrize(("abruptly", "end"), [(False, b""), (True, None)])
async def test_connections_can_be_dropped_while_idle(abruptly: bool, end: bytes | None) -> None:
    """In order, as a server ends what is idle for long, or with a reset."""
    async with WireServer(answer_each) as server, TcpProxy(server.url) as wire, Caller(wire) as caller:
        await caller.ask()
        await wire.drop_connections(abruptly=abruptly)
        assert wire.connections == 0
        assert await caller.rest() == end


def test_a_plan_picks_connections_and_turns() -> None:
    """In order of adding, after so many have passed, so many times; connections and turns apart."""
    plan = TcpFaultPlan()
    connect, turn, ever = TcpFault(), TcpFault(at="request", skip=1, times=2), TcpFault(at="answer", times=None)
    plan.add(connect, turn, ever)
    assert repr(plan) == "<TcpFaultPlan: 3 to come>"
    assert list(plan) == [connect, turn, ever]
    assert [plan.take(connecting=False) for _ in range(5)] == [ever, turn, turn, ever, ever]
    assert [plan.take(connecting=True) for _ in range(2)] == [connect, None]
    assert list(plan) == [ever]
    plan.clear()
    plan.add(TcpFault(times=0))
    assert [plan.take(connecting=connecting) for connecting in (False, True)] == [None, None]
    plan.clear()
    assert len(plan) == 0
