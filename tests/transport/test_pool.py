"""The pool: what goes wrong is raised as what it is, nobody is passed over, and closing leaves nothing behind."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import socket
import ssl
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.attempts import attempt
from support.outages import server_context
from support.wire_server import OK, WireServer, answer_each, answering, silent

from whereby_async import WherebyClient
from whereby_async.errors import APIConnectionError, APITimeoutError, ClientClosedError, ConfigurationError
from whereby_async.limiter import Unlimited
from whereby_async.redaction import Secret
from whereby_async.transport import SessionPool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

REFUSAL = b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    with socket.socket() as unbound:
        unbound.bind(("127.0.0.1", 0))
        return f"localhost:{unbound.getsockname()[1]}"


@pytest.mark.parametrize("injected", [False, True])
async def test_a_connection_that_was_never_made_never_left(nowhere: str, *, injected: bool) -> None:
    """A refused connection did nothing, over a session of the user's too, which cannot say when it sends."""
    session = aiohttp.ClientSession() if injected else None
    pool = SessionPool(session=session)
    sent = attempt(f"http://{nowhere}")
    with pytest.raises(APIConnectionError, match="nothing was sent") as caught:
        await pool.send(sent)
    assert not sent.left
    assert not caught.value.may_have_happened
    assert caught.value.__context__ is None
    await pool.aclose()
    if session:
        await session.close()


async def test_a_timeout_before_the_connection_stood_never_left(pool: SessionPool) -> None:
    """A server that accepts nobody costs the timeout, and no doubt about what it did."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # fill the queue of connections that wait to be accepted
            filler.setblocking(False)
            filler.connect_ex(address)
        sent = attempt(f"http://127.0.0.1:{address[1]}", timeout=0.3)
        with pytest.raises(APITimeoutError, match=r"0\.3 s \(nothing was sent\)"):
            await pool.send(sent)
        for filler in fillers:
            filler.close()
    assert not sent.left


async def test_a_stalled_answer_times_out_and_may_have_happened(pool: SessionPool) -> None:
    """Once the request is out, nobody can say what the server did with it."""
    async with WireServer(silent) as server:
        sent = attempt(server.url, timeout=0.2)
        with pytest.raises(APITimeoutError) as caught:
            await pool.send(sent)
    assert sent.left
    assert caught.value.may_have_happened
    assert pool.in_use == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_broken_answer_is_a_connection_error(pool: SessionPool, answer: bytes) -> None:
    """Whatever breaks on the wire, the caller sees one class, with nothing of aiohttp's chained to it."""
    async with WireServer(answering(answer, times=1)) as server:
        with pytest.raises(APIConnectionError, match="it was sent") as caught:
            await pool.send(attempt(server.url))
    assert type(caught.value) is APIConnectionError
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert pool.in_use == 0


async def test_a_broken_connection_is_told_without_the_url(pool: SessionPool) -> None:
    """The text of aiohttp repeats it; ours says what happened."""

    async def reset(_: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.transport.abort()

    async with WireServer(reset) as server:
        for _ in range(5):
            with pytest.raises(APIConnectionError) as caught:
                await pool.send(attempt(server.url, "POST", json=b"x" * 3_000_000))
            assert "127.0.0.1" not in str(caught.value)


async def test_a_dead_kept_alive_connection_is_not_silently_tried_again(pool: SessionPool) -> None:
    """One `send` is at most one request on the wire, so that every request was paid for."""

    async def once(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(OK)
        await server.next_request(reader)

    async with WireServer(once) as server:
        await pool.send(attempt(server.url))
        with pytest.raises(APIConnectionError):
            await pool.send(attempt(server.url))
    assert len(server.requests) == 2


async def test_a_create_does_not_fail_on_a_connection_that_the_server_has_closed(pool: SessionPool) -> None:
    """A server that closes after each answer without saying so costs a new connection, not the call."""
    async with WireServer(answering(OK, times=1)) as server:
        for _ in range(30):
            assert (await pool.send(attempt(server.url, "POST", json=b"{}"))).status == 200
        assert server.connections == len(server.requests) == 30


async def test_redirects_are_not_followed(pool: SessionPool) -> None:
    """The bearer stays with the origin that was asked."""
    async with WireServer(answer_each) as other:
        moved = b"HTTP/1.1 302 Found\r\nLocation: %s/things\r\nContent-Length: 0\r\n\r\n" % other.url.encode()
        async with WireServer(answering(moved)) as server:
            assert (await pool.send(attempt(server.url))).status == 302
    assert other.requests == []


async def test_cookies_are_neither_kept_nor_sent(pool: SessionPool) -> None:
    async with WireServer(answering(OK.replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1))) as server:
        await pool.send(attempt(server.url))
        await pool.send(attempt(server.url))
    assert b"ookie" not in server.requests[1]


async def test_an_upgrade_nobody_asked_for_leaves_no_connection_open(pool: SessionPool) -> None:
    """A 101 is an answer like any other, and its connection is closed."""

    async def upgrade(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
        ended.set() if not await reader.read() else None

    ended = asyncio.Event()
    async with WireServer(upgrade) as server:
        assert (await pool.send(attempt(server.url))).status == 101
        async with asyncio.timeout(5):
            await ended.wait()
    gc.collect()


async def test_no_more_calls_than_connections_are_on_the_wire() -> None:
    pool, inside, most = SessionPool(connections=3), 0, 0

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal inside, most
        while True:
            await server.next_request(reader)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1
            writer.write(OK)

    async with WireServer(script) as server:
        await asyncio.gather(*(pool.send(attempt(server.url)) for _ in range(60)))
        assert most == 3
        assert server.connections <= 3
        await pool.aclose()


async def test_nobody_starves_when_tasks_loop() -> None:
    pool, counts = SessionPool(connections=4), [0] * 40

    async def loop(number: int, url: str) -> None:
        while sum(counts) < 800:
            await pool.send(attempt(url))
            counts[number] += 1

    async with WireServer(answer_each) as server:
        await asyncio.gather(*(loop(number, server.url) for number in range(40)))
        await pool.aclose()
    assert max(counts) - min(counts) <= 2


async def test_a_wait_for_a_slot_does_not_count_against_the_timeout() -> None:
    """The attempt's clock starts at its slot: queueing behind slow calls times nobody out."""
    pool = SessionPool(connections=1)

    async def slow(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.next_request(reader)
            await asyncio.sleep(0.05)
            writer.write(OK)

    async with WireServer(slow) as server:
        answers = await asyncio.gather(*(pool.send(attempt(server.url, timeout=0.4)) for _ in range(12)))
        assert [answer.status for answer in answers] == [200] * 12
        await pool.aclose()


async def test_closing_ends_waiting_and_running_calls_cleanly() -> None:
    """Calls that wait get `ClientClosedError`, calls on the wire a connection error, later ones `ClientClosedError`."""
    pool = SessionPool(connections=1)
    async with WireServer(silent) as server:
        running = asyncio.create_task(pool.send(attempt(server.url)))
        while not server.requests:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(pool.send(attempt(server.url)))
        await asyncio.sleep(0)
        assert (pool.in_use, pool.waiting) == (1, 1)
        await pool.aclose()
        await pool.aclose()
        outcomes = await asyncio.gather(running, waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [APIConnectionError, ClientClosedError]
        with pytest.raises(ClientClosedError):
            await pool.send(attempt(server.url))
    assert pool.closed
    assert "closed" in repr(pool)


async def test_a_call_that_got_its_slot_while_the_pool_closed_is_told_so() -> None:
    """Between its grant and its first step, the pool may close: nothing was sent, and that is what it hears."""
    pool = SessionPool(connections=1)

    async def call_and_close(url: str) -> None:
        await pool.send(attempt(url))
        await pool.aclose()

    async with WireServer(answer_each) as server:
        first = asyncio.create_task(call_and_close(server.url))
        await asyncio.sleep(0)
        second = asyncio.create_task(pool.send(attempt(server.url)))
        await first
        with pytest.raises(ClientClosedError, match="before the call was sent"):
            await second
        assert len(server.requests) == 1


async def test_a_pool_dropped_with_open_sessions_warns_once_and_closes_them() -> None:
    """One `ResourceWarning`, and the server sees the connection end."""
    async with WireServer(answer_each) as server:
        pool = SessionPool()
        await pool.send(attempt(server.url))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del pool
            gc.collect()
        assert ["SessionPool was not closed" in str(warning.message) for warning in caught] == [True]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(10):
                await asyncio.sleep(0)
            gc.collect()


async def test_an_injected_session_stays_the_users() -> None:
    """It is used, never closed, its `raise_for_status` does not get in the way, and a second loop is refused."""
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        pool = SessionPool(session=session)
        async with WireServer(answering(OK.replace(b"200", b"404"))) as server:
            assert (await pool.send(attempt(server.url))).status == 404

            def elsewhere() -> None:
                with pytest.raises(ConfigurationError, match="one event loop only"):
                    asyncio.run(_send(pool, server.url))

            await asyncio.to_thread(elsewhere)
        assert len(server.requests) == 1
        await pool.aclose()
        assert not session.closed


async def _send(pool: SessionPool, url: str) -> None:
    await pool.send(attempt(url))


async def test_an_injected_session_that_is_closed_is_told() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    sent = attempt("http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"SessionPool\(session=…\) is closed"):
        await SessionPool(session=session).send(sent)
    assert not sent.left


async def test_what_wraps_a_session_need_only_send() -> None:
    """Whether it is closed it need not say, and may say in its own way."""

    class Wrapper:
        def __init__(self, session: aiohttp.ClientSession) -> None:
            self.request = session.request

    class WithMethod(Wrapper):
        def closed(self) -> bool:
            return False

    async with aiohttp.ClientSession() as session, WireServer(answer_each) as server:
        wrappers: list[Any] = [Wrapper(session), WithMethod(session)]
        for wrapper in wrappers:
            pool = SessionPool(session=wrapper)
            assert (await pool.send(attempt(server.url))).status == 200
            await pool.aclose()


class OtherClient:
    """A client of another library."""

    async def request(self, method: str, url: str, *, headers: object = None, follow_redirects: bool = False) -> None:
        raise AssertionError


class Entered:
    """A wrapper whose requests can be entered, and not awaited."""

    def request(self, *_: object, **__: object) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()


@pytest.mark.parametrize(
    "session", [aiohttp.ClientSession, OtherClient(), Entered()], ids=["a class", "another client", "only entered"]
)
async def test_what_cannot_send_as_a_session_does_is_refused(session: Any) -> None:
    """By an error of ours, which shows no header, before anything is sent."""
    sent = attempt("http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"SessionPool\(session=.*`request`") as caught:
        await SessionPool(session=session).send(sent)
    assert not sent.left
    assert caught.value.__context__ is None


class OtherError(Exception):
    """An error of another library, such as one of a connector for SOCKS."""


class Raising(aiohttp.TCPConnector):
    """A connector that raises what it likes."""

    def __init__(self, error: Exception) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - socket_factory's, in aiohttp
        self._error = error

    async def connect(self, *_: object, **__: object) -> Any:
        raise self._error


@pytest.mark.parametrize("error", [OtherError("planted-key"), KeyError("planted-key"), AssertionError()], ids=repr)
async def test_whatever_a_session_of_the_users_raises_is_a_failed_attempt(error: Exception) -> None:
    """By its kind alone, at once or when it is awaited; of a download, which shares its connector, too."""

    def raises(*_: object, **__: object) -> Any:
        raise error

    kind = type(error).__name__
    async with aiohttp.ClientSession(connector=Raising(error)) as session:
        sessions: list[tuple[Any, bool]] = [(session, True), (SimpleNamespace(request=raises), False)]
        for given, left in sessions:
            async with SessionPool(session=given) as pool:
                with pytest.raises(APIConnectionError, match=rf"connection failed \({kind}; ") as caught:
                    await pool.send(attempt("https://api.example", "POST"))
                assert (caught.value.may_have_happened, caught.value.__context__, pool.in_use) == (left, None, 0)
                assert "planted-key" not in str(caught.value)
        async with SessionPool(session=session) as pool:
            storage = await pool.storage("recordings.download", 0)
            with pytest.raises(APIConnectionError, match=rf"the storage failed \({kind}\)"):
                await storage.get(Secret("https://storage.example/file"), {}, stall=5.0)
            storage.leave()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connections", 0),
        ("connections", "many"),
        ("keepalive", -1),
        ("max_body", 0),
        *(("downloads", value) for value in (0, -1, True, "2", float("inf"))),
    ],
)
async def test_options_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}"):
        SessionPool(**{name: value})


@pytest.mark.parametrize("proxy", ["socks5://a:1", "proxy.example:3128", "http://", "http://host:port", 5])
async def test_unusable_proxies_are_refused(proxy: str) -> None:
    """The error says what one looks like, and repeats no password."""
    with pytest.raises(ConfigurationError, match=r"proxy\.example:3128"):
        SessionPool(proxy=proxy)


async def test_a_proxy_gets_its_user_in_a_header_and_never_the_bearer() -> None:
    """It is asked for a tunnel; what goes through that is none of its business, and nothing was sent if it refuses."""
    async with WireServer(answering(REFUSAL)) as proxy:
        pool = SessionPool(proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        with pytest.raises(APIConnectionError) as caught:
            await pool.send(attempt("https://api.example"))
        await pool.aclose()
    (request,) = proxy.requests
    assert request.startswith(b"CONNECT api.example:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:p@ss") in request
    assert b"planted-key" not in request
    assert not caught.value.may_have_happened


@pytest.mark.parametrize("injected", [False, True])
@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        *((status, True) for status in (400, 401, 403, 404, 405, 407, 451, 501, 505)),
        *((status, False) for status in (302, 408, 425, 429, 500, 502, 503, 504)),
    ],
)
async def test_a_proxy_that_refuses_is_told_by_its_status(status: int, *, permanent: bool, injected: bool) -> None:
    """Whatever it says nothing was sent, through a session of the user's neither."""
    sent = attempt("https://api.example", "POST")
    refusal = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    async with WireServer(answering(refusal)) as proxy, aiohttp.ClientSession(proxy=proxy.url) as session:
        pool = SessionPool(session=session) if injected else SessionPool(proxy=proxy.url)
        with pytest.raises(APIConnectionError, match=rf"the proxy answered {status}; nothing was sent") as caught:
            await pool.send(sent)
        await pool.aclose()
    assert (caught.value.permanent, caught.value.may_have_happened, sent.left) == (permanent, False, False)
    assert bool(sent.refused) is not permanent


@pytest.mark.parametrize("injected", [False, True])
async def test_a_certificate_of_another_fingerprint_gets_nothing(tmp_path: Path, *, injected: bool) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(tmp_path))
    url, other = f"https://localhost:{server.sockets[0].getsockname()[1]}", aiohttp.Fingerprint(bytes(32))
    async with server, aiohttp.ClientSession() as session:
        pool = SessionPool(session=session if injected else None, ssl=other)
        with pytest.raises(APIConnectionError, match="nothing was sent") as caught:
            await pool.send(attempt(url))
        await pool.aclose()
    assert (caught.value.permanent, caught.value.may_have_happened) == (True, False)


async def test_a_server_that_wants_a_certificate_is_asked_once(tmp_path: Path) -> None:
    """In TLS 1.3 its refusal comes after the handshake; it is told in TLS's own words, and is no outage."""
    context = server_context(tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    refusing = asyncio.create_task(asyncio.to_thread(refuse_one, listener, context))
    url, pool = f"https://localhost:{listener.getsockname()[1]}", SessionPool(ssl=False)
    async with WherebyClient("k", base_url=url, pool=pool, limiter=Unlimited()) as whereby:
        with pytest.raises(APIConnectionError, match="alert certificate required") as caught:
            await whereby.meetings.list()
        assert caught.value.permanent
        assert whereby.reachability.state == "ready"
    await pool.aclose()
    await refusing


def refuse_one(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Accept one connection, and refuse its client for want of a certificate; there is nobody for a second one."""
    with listener:
        connection, _ = listener.accept()
    with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as tls:
        with contextlib.suppress(ssl.SSLError):
            tls.do_handshake()
        with contextlib.suppress(OSError):
            tls.shutdown(socket.SHUT_WR)
            while tls.recv(4096):
                pass


async def test_plain_http_to_this_machine_goes_through_no_proxy() -> None:
    """It would hand the bearer to the proxy in clear text."""
    async with WireServer(answer_each) as proxy, WireServer(answer_each) as server:
        pool = SessionPool(proxy=f"http://127.0.0.1:{proxy.port}")
        await pool.send(attempt(server.url))
        await pool.aclose()
    assert (len(server.requests), len(proxy.requests)) == (1, 0)


async def test_proxies_of_the_environment_are_used_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, nowhere: str
) -> None:
    """`trust_env` turns them on, and `NO_PROXY` is heeded."""
    async with WireServer(answering(REFUSAL)) as proxy:
        monkeypatch.setenv("https_proxy", f"user:pass@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "localhost")
        plain, trusting = SessionPool(), SessionPool(trust_env=True)
        for pool in (plain, trusting):
            with pytest.raises(APIConnectionError):
                await pool.send(attempt(f"https://{nowhere}"))
        assert proxy.connections == 0
        for _ in range(2):
            with pytest.raises(APIConnectionError):
                await trusting.send(attempt("https://api.example"))
        assert [request.split(b" ")[0] for request in proxy.requests] == [b"CONNECT"] * 2
        await plain.aclose()
        await trusting.aclose()
