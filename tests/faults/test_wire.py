"""Broken servers byte by byte: the memory and time they can take, whose answer is whose, what the budget hears."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import subprocess
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.recording_limiter import RecordingLimiter
from support.wire_server import WireServer, answering, saying

from whereby_async import (
    APIConnectionError,
    APITimeoutError,
    InternalServerError,
    NotFoundError,
    ResponseDecodeError,
    RetryPolicy,
    SessionPool,
    WherebyClient,
    capture_responses,
)
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault, TcpFault, TcpProxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]

PAGE = b'{"results": [], "cursor": null}'
ONCE = RetryPolicy(attempts=1)
MEBIBYTE = 1 << 20


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def whole(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    return head(f"Content-Length: {len(body)}", *lines, status=status) + body


def meeting(meeting_id: str) -> bytes:
    return whole(b'{"meetingId": "%s"}' % meeting_id.encode())


class Wired:
    """A client of a `WireServer`, with a limiter that writes down what it granted."""

    def __init__(
        self, url: str, *, max_body: int = MEBIBYTE, session: aiohttp.ClientSession | None = None, **options: Any
    ) -> None:
        self.limiter = RecordingLimiter()
        self.pool = SessionPool(max_body=max_body, session=session)
        given: dict[str, Any] = {"retry": ONCE, "limiter": self.limiter, "pool": self.pool, **options}
        self.whereby = WherebyClient(FAKE_API_KEY, base_url=url, **given)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        assert (self.pool.in_use, self.pool.waiting) == (0, 0)
        await self.whereby.aclose()
        await self.pool.aclose()


# Whose answer is whose


@pytest.mark.parametrize("together", [True, False], ids=["at once", "later"])
async def test_an_answer_too_many_is_not_the_next_call_s(together: bool) -> None:
    """A server that answers one request twice: the second answer goes nowhere, the next call gets its own."""
    sent = asyncio.Event()

    async def twice(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await server.next_request(reader)
            asked = request.split(b" ")[1].rpartition(b"/")[2].decode()
            writer.write(meeting(asked) + (meeting("stale") if together else b""))
            await writer.drain()
            if not together:
                await asyncio.sleep(0.01)
                writer.write(meeting("stale"))
                await writer.drain()
            sent.set()

    async with WireServer(twice) as server, Wired(server.url) as wired:
        for asked in ("1", "2", "3"):
            sent.clear()
            assert (await wired.whereby.meetings.get(asked)).meeting_id == asked
            await sent.wait()
            await asyncio.sleep(0.01)
        assert len(server.requests) == 3
        assert wired.limiter.ends == [["settle"]] * 3


async def test_many_spoilt_connections_cost_no_call() -> None:
    """However many kept connections have something on them that nobody asked for, a call finds a good one."""
    spoil: list[Callable[[], None]] = []

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoil.append(lambda: writer.write(meeting("stale")))
        while True:
            await server.next_request(reader)
            await asyncio.sleep(0.01)
            writer.write(meeting("1"))

    async with WireServer(script) as server, Wired(server.url) as wired:
        await asyncio.gather(*(wired.whereby.meetings.get("1") for _ in range(20)))
        assert server.connections == len(spoil) == 20
        for write in spoil:
            write()
        await asyncio.sleep(0.02)
        assert (await wired.whereby.meetings.get("1")).meeting_id == "1"
        assert server.connections == 21


async def test_half_an_answer_left_over_is_not_the_next_call_s() -> None:
    """Bytes behind a body, at once or later, spoil the connection and no other call."""

    async def trailing(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.next_request(reader)
            writer.write(meeting("1"))
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(b"}}\r\n")

    async with WireServer(trailing) as server, Wired(server.url) as wired:
        for _ in range(3):
            assert (await wired.whereby.meetings.get("1")).meeting_id == "1"
            await asyncio.sleep(0.02)
        assert server.connections == 3


# Bounded in memory and time


def bomb(mebibytes: int) -> bytes:
    """So many MiB of zeros, as gzip."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(squeeze.compress(bytes(MEBIBYTE)) for _ in range(mebibytes)) + squeeze.flush()


@pytest.mark.parametrize("status", ["200 OK", "503 Away"])
async def test_a_gzip_bomb_takes_no_more_memory_than_the_bound(status: str) -> None:
    """128 MiB in 128 kB of gzip: a few times `max_body` at the most."""
    packed = bomb(128)
    async with (
        WireServer(answering(whole(packed, "Content-Encoding: gzip", status=status))) as server,
        Wired(server.url) as wired,
    ):
        tracemalloc.start()
        try:
            with pytest.raises((ResponseDecodeError, InternalServerError)) as caught:
                await wired.whereby.meetings.list()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert isinstance(caught.value, ResponseDecodeError | InternalServerError)
        assert len(caught.value.body) <= 4096
        assert peak < 6 * MEBIBYTE
        assert wired.limiter.ends == [["settle"]]


async def test_a_bomb_does_not_stop_the_loop() -> None:
    """While a large body is inflated, other tasks run."""
    packed, turns = bomb(16), 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with (
        WireServer(answering(whole(packed, "Content-Encoding: gzip"))) as server,
        Wired(server.url, max_body=64 * MEBIBYTE) as wired,
    ):
        counting = asyncio.ensure_future(count())
        with pytest.raises(ResponseDecodeError, match="expected JSON"):
            await wired.whereby.meetings.list()
        counting.cancel()
    assert turns > 16 * 4


@pytest.mark.parametrize(
    "endless",
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"],
    ids=["100", "103"],
)
async def test_interim_answers_without_end_are_a_timeout(endless: bytes) -> None:
    """A server that is always about to answer has the attempt's time and no more."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        while True:
            writer.write(endless * 100)
            await writer.drain()
            await asyncio.sleep(0.001)

    async with WireServer(script) as server, Wired(server.url, timeout=0.3) as wired:
        with pytest.raises(APITimeoutError):
            await wired.whereby.meetings.list()
        assert asyncio.get_running_loop().time() < 0.4


@pytest.mark.parametrize("line", [b"X-Filler: y\r\n", b"y" * 1000], ids=["lines", "one line"])
async def test_a_head_without_end_is_an_error_soon(line: bytes) -> None:
    """Headers are bounded in number and length."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(line)
            await writer.drain()

    async with WireServer(script) as server, Wired(server.url, timeout=20) as wired:
        with pytest.raises(APIConnectionError, match=r"more than 128 headers|longer than 65536 bytes"):
            await wired.whereby.meetings.list()


LONG_HEADS: dict[str, tuple[bytes, int]] = {
    "value": (b"HTTP/1.1 200 OK\r\nX-Long: %s\r\n", 6),
    "name": (b"HTTP/1.1 200 OK\r\nX%s: y\r\n", len("XContent-Length")),
    "reason": (b"HTTP/1.1 200 %s\r\n", 0),
    "cookie": (b"HTTP/1.1 200 OK\r\nSet-Cookie: a=%s\r\nset-cookie: a=b\r\n", 12),
    "early hint": (b"HTTP/1.1 103 Early Hints\r\nLink: %s\r\n\r\nHTTP/1.1 200 OK\r\n", 4),
}
"""A head with a long line, and the bytes that count besides: the name with its value, and with the next name."""


@pytest.mark.parametrize("injected", [False, True])
@pytest.mark.parametrize("name", LONG_HEADS)
async def test_a_line_of_a_head_may_have_64_kib(name: str, *, injected: bool) -> None:
    """So much passes, more does not, and the error says so; through an injected session too."""
    template, besides = LONG_HEADS[name]
    most = 64 * 1024 - besides
    asked = iter([20_000, most, most + 1 + besides])

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for length in asked:
            await server.next_request(reader)
            raw = template % (b"y" * length) + b"Content-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)
            for start in range(0, len(raw), 10_000):
                writer.write(raw[start : start + 10_000])
                await writer.drain()

    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(WireServer(script))
        session = await stack.enter_async_context(aiohttp.ClientSession()) if injected else None
        wired = await stack.enter_async_context(Wired(server.url, session=session))
        for _ in range(2):
            assert (await wired.whereby.meetings.list()).results == []
        with pytest.raises(APIConnectionError, match="line of the answer's head is longer than 65536 bytes"):
            await wired.whereby.meetings.list()


@pytest.mark.parametrize(
    ("begun", "more"),
    [(b"0\r\n", b"X-Filler: y\r\n"), (b"0\r\nX: ", b"y" * 1000)],
    ids=["lines", "one line"],
)
async def test_trailers_are_bounded(begun: bytes, more: bytes) -> None:
    """What stands behind the chunks is no body, but takes memory too."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(head("Transfer-Encoding: chunked") + begun)
        while True:
            writer.write(more)
            await writer.drain()

    async with WireServer(script) as server, Wired(server.url, timeout=20) as wired:
        with pytest.raises(APIConnectionError, match=r"broke off|no valid HTTP"):
            await wired.whereby.meetings.list()


@pytest.mark.parametrize("framing", ["length", "chunked", "until the end"])
@pytest.mark.parametrize("size", [1000, 1001])
async def test_the_bound_is_exact(framing: str, size: int) -> None:
    """`max_body` bytes pass, one more does not, however the body is framed."""
    body = b'"' + b"x" * (size - 2) + b'"'
    answers = {
        "length": whole(body),
        "chunked": head("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        "until the end": head() + body,
    }

    async with WireServer(answering(answers[framing], times=1)) as server, Wired(server.url, max_body=1000) as wired:
        if size <= 1000:
            assert len(await wired.whereby.request("GET", "/x")) == size - 2
        else:
            with pytest.raises(ResponseDecodeError, match="larger than 1000 bytes"):
                await wired.whereby.request("GET", "/x")


async def test_a_proxy_s_head_may_be_as_long() -> None:
    """The status of its refusal is told, with whatever it wants for an answer."""
    refusal = head("Proxy-Authenticate: Negotiate " + "y" * 20_000, "Content-Length: 0", status="407 No")
    async with WireServer(answering(refusal)) as proxy:
        pool = SessionPool(proxy=proxy.url)
        async with Wired("https://api.whereby.example", pool=pool) as wired:
            with pytest.raises(APIConnectionError, match="the proxy answered 407"):
                await wired.whereby.meetings.list()
        await pool.aclose()


# Encodings


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP ", "deflate", "identity", ""])
async def test_known_encodings_are_undone(coding: str) -> None:
    """gzip, which is asked for, and zlib; in one piece or dripping; an empty body needs none."""
    packed = {"deflate": zlib.compress(PAGE), "identity": PAGE, "": PAGE}.get(coding, gzip.compress(PAGE))
    line = f"Content-Encoding: {coding}"

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await server.next_request(reader)
        assert b"Accept-Encoding: gzip\r\n" in request
        writer.write(whole(packed, line))
        await server.next_request(reader)
        writer.write(head(f"Content-Length: {len(packed)}", line))
        for byte in packed:
            writer.write(bytes([byte]))
            await writer.drain()
        await server.next_request(reader)
        writer.write(whole(b"", line))
        await reader.read()

    async with WireServer(script) as server, Wired(server.url) as wired:
        for _ in range(2):
            assert (await wired.whereby.meetings.list()).results == []
        assert await wired.whereby.request("DELETE", "/x") is None
        assert server.connections == 1


def bare_deflate(content: bytes) -> bytes:
    """Deflate without the zlib header that belongs to it."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(content) + squeeze.flush()


def member(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


ODD_ENCODINGS: dict[str, tuple[bytes, bytes]] = {
    "a charset": (b"Content-Encoding: utf-8", PAGE),
    "a charset in capitals": (b"Content-Encoding: UTF8", PAGE),
    "what a storage writes": (b"Content-Encoding: aws-chunked", PAGE),
    "none": (b"Content-Encoding: none", PAGE),
    "a transfer encoding of mail": (b"Content-Encoding: 8bit", PAGE),
    "no word at all": (b"Content-Encoding: \xff, ;", PAGE),
    "a charset before gzip": (b"Content-Encoding: utf-8, gzip", member(PAGE)),
    "a charset after gzip": (b"Content-Encoding: gzip, utf-8", member(PAGE)),
    "in two lines": (b"Content-Encoding: utf-8\r\ncontent-encoding: gzip", member(PAGE)),
    "gzip twice": (b"Content-Encoding: gzip, gzip", member(member(PAGE))),
    "deflate and gzip": (b"Content-Encoding: deflate, gzip", member(bare_deflate(PAGE))),
    "members": (b"Content-Encoding: gzip", member(PAGE[:5]) + member(b"") + member(PAGE[5:])),
    "padding": (b"Content-Encoding: gzip", member(PAGE) + bytes(600)),
    "padding between members": (b"Content-Encoding: gzip", member(PAGE[:5]) + bytes(3) + member(PAGE[5:])),
    "a line break behind it": (b"Content-Encoding: gzip", member(PAGE) + b"\r\n"),
    "a line break behind padding": (b"Content-Encoding: x-gzip", member(PAGE) + bytes(3) + b"\n"),
    "junk behind members": (
        b"Content-Encoding: gzip",
        member(PAGE[:5]) + member(PAGE[5:]) + b"junkjunk" + member(PAGE),
    ),
    "half a beginning behind it": (b"Content-Encoding: gzip", member(PAGE) + b"\x1f"),
    "half a beginning and junk": (b"Content-Encoding: gzip", member(PAGE) + b"\x1fjunk"),
    "deflate and junk": (b"Content-Encoding: deflate", zlib.compress(PAGE) + b"x\n"),
    "deflate without its header and junk": (b"Content-Encoding: deflate", bare_deflate(PAGE) + b"junk"),
    "junk inside and outside": (b"Content-Encoding: gzip, gzip", member(member(PAGE) + b"\n") + b"\n"),
    "deflate without its header": (b"Content-Encoding: deflate", bare_deflate(PAGE)),
    "gzip as deflate": (b"Content-Encoding: deflate", member(PAGE)),
    "nothing in br": (b"Content-Encoding: br", b""),
}


@pytest.mark.parametrize("name", ODD_ENCODINGS)
async def test_what_encodings_allow_is_read(name: str) -> None:
    """One that is no compression changes nothing; members, padding, junk and lists are read, in one piece or dripping."""
    line, body = ODD_ENCODINGS[name]
    top = b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n" % (line, len(body))

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(top + body)
        await server.next_request(reader)
        for piece in (top, *(bytes([byte]) for byte in body)):
            writer.write(piece)
            await writer.drain()
        await reader.read()

    async with WireServer(script) as server, Wired(server.url) as wired:
        for _ in range(2):
            if body:
                assert (await wired.whereby.meetings.list()).results == []
            else:
                assert await wired.whereby.request("DELETE", "/x") is None
        assert server.connections == 1


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        ("br", PAGE, "'br', which was not asked for"),
        ("ZSTD", b"\x28\xb5\x2f\xfd", "'zstd', which was not asked for"),
        ("gzip, br", member(PAGE), "'br', which was not asked for"),
        ("br, gzip", member(PAGE), "'br', which was not asked for"),
        ("gzip", PAGE, "'gzip', and its body is not"),
        ("x-gzip", member(PAGE) + b"\x1f\x8bbehind it", "'gzip', and its body is not"),
        ("gzip", member(PAGE)[:-8] + bytes(8), "'gzip', and its body is not"),
        ("gzip, gzip", member(PAGE), "'gzip', and its body is not"),
        ("deflate", PAGE, "'deflate', and its body is not"),
    ],
)
async def test_a_wrong_encoding_is_named_and_not_tried_again(encoding: str, body: bytes, words: str) -> None:
    """What would come again is no better."""
    raw = whole(body, f"Content-Encoding: {encoding}")
    async with WireServer(answering(raw)) as server, Wired(server.url, retry=RetryPolicy()) as wired:
        with pytest.raises(APIConnectionError, match=words) as caught:
            await wired.whereby.meetings.list()
        assert (caught.value.permanent, caught.value.may_have_happened) == (True, True)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", member(PAGE) + member(PAGE)[:-9]),
        ("gzip", member(PAGE)[:-1]),
        ("gzip", member(PAGE)[:1]),
        ("deflate", zlib.compress(PAGE)[:-2]),
        ("deflate", bare_deflate(PAGE)[:-2]),
        ("deflate, gzip", member(zlib.compress(PAGE)[:-2])),
    ],
)
async def test_a_compressed_body_that_ends_too_early_is_named_and_tried_again(encoding: str, body: bytes) -> None:
    """The framing is right: who compressed it broke off, which may not happen again."""
    words = f"content encoding is '{encoding.partition(',')[0]}', and its body broke off"
    cut = answering(whole(body, f"Content-Encoding: {encoding}"))
    async with WireServer(cut) as server, Wired(server.url, retry=RetryPolicy(attempts=2)) as wired:
        with pytest.raises(APIConnectionError, match=words) as caught:
            await wired.whereby.meetings.list()
        assert (caught.value.permanent, len(server.requests)) == (False, 2)


async def test_a_refusal_in_an_odd_encoding_keeps_its_words() -> None:
    body = b'{"error": "Could not find it"}'
    async with (
        WireServer(answering(whole(body, "Content-Encoding: utf-8", status="404 X"))) as server,
        Wired(server.url) as wired,
    ):
        with pytest.raises(NotFoundError, match="Could not find it") as caught:
            await wired.whereby.meetings.get("1")
    assert caught.value.body == body


async def test_very_many_members_do_not_stop_the_loop() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with (
        WireServer(answering(whole(member(b"") * 5000 + member(PAGE), "Content-Encoding: gzip"))) as server,
        Wired(server.url) as wired,
    ):
        counting = asyncio.ensure_future(count())
        assert (await wired.whereby.meetings.list()).results == []
        counting.cancel()
    assert turns > 4500


async def test_what_is_between_two_compressions_is_bounded_too() -> None:
    """32 MiB of padding, packed: nothing of it is in the body, and it has the body's bound all the same."""
    packed = member(member(PAGE) + bytes(32 * MEBIBYTE))
    async with (
        WireServer(answering(whole(packed, "Content-Encoding: gzip, gzip"))) as server,
        Wired(server.url) as wired,
    ):
        with pytest.raises(ResponseDecodeError, match="larger than"):
            await wired.whereby.meetings.list()


# What the budget hears


@pytest.mark.parametrize(
    "fault",
    [
        Fault(body=b" " * 5000),
        Fault(body=b" " * 65536, endless=True),
        Fault(body=PAGE, truncate=4),
        Fault(body=PAGE, headers={"Content-Encoding": "gzip"}),
        Fault(body=PAGE, headers={"Content-Encoding": "br"}),
        Fault(body=PAGE, drip=60.0),
    ],
    ids=["too large", "endless", "broken off", "no gzip", "br", "stalled"],
)
async def test_a_head_without_a_usable_body_settles_its_permit(fault: Fault) -> None:
    """What the headers said of the budget is true, whatever became of the body."""
    async with FakeWhereby(limit=500) as fake, Wired(fake.url, max_body=4096, timeout=0.3) as wired:
        fake.faults.add(fault)
        with pytest.raises((APIConnectionError, ResponseDecodeError)) as caught:
            await wired.whereby.meetings.list()
        assert caught.value.may_have_happened is True
        (permit,) = wired.limiter.permits
        (said,) = permit.answers
        assert permit.ends == ["settle"]
        assert said is not None
        assert (said.limit, said.remaining) == (500, 499)


async def test_a_cancel_in_mid_body_settles_its_permit() -> None:
    """The head is known by then."""
    async with FakeWhereby(limit=500) as fake, Wired(fake.url) as wired:
        fake.faults.add(Fault(body=PAGE, drip=0.01))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wired.whereby.meetings.list(), 0.1)
        assert wired.limiter.ends == [["settle"]]


async def test_a_head_that_breaks_off_loses_its_permit() -> None:
    """Half a head says nothing."""
    async with FakeWhereby() as fake, TcpProxy(fake.url) as wire, Wired(wire.url) as wired:
        wire.faults.add(TcpFault(at="answer", after=60))
        with pytest.raises(APIConnectionError):
            await wired.whereby.meetings.list()
        assert wired.limiter.ends == [["lost"]]


async def test_a_refusal_stands_by_its_status() -> None:
    """Of a 404 whose body breaks off, what came is kept: in the error, and in what was captured."""
    answer = head("Content-Length: 100", status="404 Gone") + b'{"error": "Could not find'
    async with WireServer(answering(answer, times=1)) as server, Wired(server.url) as wired:
        with capture_responses() as answers, pytest.raises(NotFoundError, match="Could not find") as caught:
            await wired.whereby.meetings.get("1")
    assert caught.value.body == b'{"error": "Could not find' == answers[0].body
    assert caught.value.may_have_happened is False


# TLS


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["plain HTTP", "silence"])
async def test_a_handshake_that_fails_is_no_connection(greeting: bytes) -> None:
    """Whether it is refused or never ends: nothing was sent."""
    async with WireServer(saying(greeting)) as server:
        async with Wired(server.url.replace("http:", "https:"), timeout=0.3) as wired:
            with pytest.raises(APIConnectionError, match="nothing was sent") as caught:
                await wired.whereby.with_options(max_outage=0).meetings.create(end_date="2099-01-01T00:00:00Z")
        assert isinstance(caught.value, APITimeoutError) is not bool(greeting)
        assert caught.value.permanent is bool(greeting)
        assert caught.value.may_have_happened is False
        assert wired.limiter.ends == [["release"]]


async def test_a_server_with_a_wrong_certificate_gets_nothing(tmp_path: Path) -> None:
    """It is not trusted with the key unless the caller says so."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    try:
        made = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(64))
        writer.write(whole(PAGE))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    # The server's side complains of the broken handshake.
    asyncio.get_running_loop().set_exception_handler(lambda _, __: None)
    async with Wired(url) as wired:
        with pytest.raises(APIConnectionError, match="nothing was sent"):
            await wired.whereby.meetings.list()
        assert wired.limiter.ends == [["release"]]
        assert heard == []
    server.close()
    await server.wait_closed()
