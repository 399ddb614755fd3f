"""Bodies are the same however they arrive: in one piece, which is read at once, or apart."""

from __future__ import annotations

import asyncio
import gc
import gzip

import pytest
from support.attempts import attempt
from support.wire_server import OK, WireServer, answering, seen

from whereby_async.errors import APIConnectionError, ResponseDecodeError
from whereby_async.transport import SessionPool

pytestmark = pytest.mark.anyio

PACKED = gzip.compress(b'{"a": 1}', mtime=0)
FRAMINGS: dict[str, tuple[bytes, int, bytes]] = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + b'{"a": 1}', 200, b'{"a": 1}'),
    "no body": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "chunked": (
        b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n',
        201,
        b'{"a": 1}',
    ),
    "gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(PACKED), PACKED),
        200,
        b'{"a": 1}',
    ),
    "interim": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
        404,
        b"{}",
    ),
}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_where_an_answer_is_cut_does_not_matter(pool: SessionPool, framing: str) -> None:
    """Cut at every byte, and not at all: the same status and body, and the connection serves the next call."""
    raw, status, body = FRAMINGS[framing]
    cuts = [*range(1, len(raw)), len(raw)]

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for cut in cuts:
            await answering(raw[:cut], raw[cut:], times=1)(server, reader, writer)

    async with WireServer(script) as server:
        for cut in cuts:
            answer = await pool.send(attempt(server.url))
            assert (cut, answer.status, bytes(answer.body)) == (cut, status, body)
        assert (server.connections, len(server.requests), pool.in_use) == (1, len(cuts), 0)


def no_content(*lines: bytes, status: bytes = b"204 No Content") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"", b""])


CHUNKED, LENGTH = b"Transfer-Encoding: chunked", b"Content-Length: 2"
LAST_CHUNK = b"0\r\n\r\n"
SURPLUS: dict[str, tuple[str, bytes, bytes, int, bytes]] = {
    "204 with an empty last chunk": ("DELETE", no_content(CHUNKED), LAST_CHUNK, 204, b""),
    "204 with chunks": ("DELETE", no_content(CHUNKED), b"2\r\nok\r\n" + LAST_CHUNK, 204, b""),
    "204 with a length": ("DELETE", no_content(LENGTH), b"ok", 204, b""),
    "204 without a length": ("DELETE", no_content(), b"ok", 204, b""),
    "204 after 103": ("DELETE", no_content(status=b"103 Early Hints") + no_content(LENGTH), b"ok", 204, b""),
    "304 with a length": ("GET", no_content(LENGTH, status=b"304 X"), b"ok", 304, b""),
    "304 with an empty last chunk": ("GET", no_content(CHUNKED, status=b"304 X"), LAST_CHUNK, 304, b""),
    "HEAD": ("HEAD", no_content(LENGTH, status=b"200 OK"), b"ok", 200, b""),
    "HEAD with an empty last chunk": ("HEAD", no_content(CHUNKED, status=b"404 X"), LAST_CHUNK, 404, b""),
    "an empty body": ("PUT", no_content(b"Content-Length: 0", status=b"200 OK"), b"ok", 200, b""),
    "a body": ("POST", no_content(LENGTH, status=b"201 X") + b"{}", b"\n\nok", 201, b"{}"),
    "chunks": ("POST", no_content(CHUNKED, status=b"201 X") + b"2\r\n{}\r\n" + LAST_CHUNK, b"}", 201, b"{}"),
}
"""A method, its answer, what comes behind that and belongs to nobody, and the status and body that were meant."""


@pytest.mark.parametrize("name", SURPLUS)
async def test_what_comes_behind_an_answer_does_not_spoil_it(pool: SessionPool, name: str) -> None:
    """Above all behind a 204, which has no body whatever it says. The next call takes another connection."""
    method, whole, surplus, status, body = SURPLUS[name]
    cuts = iter(range(1, len(whole)))

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw, cut = whole + surplus, next(cuts, None)
        await answering(*((raw,) if cut is None else (raw[:cut], raw[cut:])), times=1)(server, reader, writer)
        await reader.read()

    async with WireServer(script) as server:
        for _ in range(len(whole)):
            answer = await pool.send(attempt(server.url, method))
            assert (answer.status, answer.body) == (status, body)
        assert (server.connections, len(server.requests), pool.in_use) == (len(whole), len(whole), 0)


@pytest.mark.parametrize("line", [CHUNKED, LENGTH])
async def test_a_body_that_a_204_promises_is_not_the_next_call_s(pool: SessionPool, line: bytes) -> None:
    """It may come when the next request is on its way, so that one takes another connection."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(no_content(line), times=1)(server, reader, writer)
        await reader.read(1)
        writer.write(b"ok")

    async with WireServer(script) as server:
        for _ in range(3):
            assert (await pool.send(attempt(server.url, "DELETE"))).status == 204
        assert server.connections == 3


@pytest.mark.parametrize("apart", [False, True])
async def test_a_body_that_is_no_http_is_not_waited_for(pool: SessionPool, *, apart: bool) -> None:
    """Behind its head too it is noticed at once, and not when the attempt's time is over."""
    head = no_content(CHUNKED, status=b"200 OK")
    pieces = (head, b"zz\r\n") if apart else (head + b"zz\r\n",)

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(*pieces, times=1)(server, reader, writer)
        await reader.read()

    async with WireServer(script) as server:
        with pytest.raises(APIConnectionError, match="no valid HTTP"):
            await pool.send(attempt(server.url))


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("apart", [False, True])
async def test_a_body_that_ends_with_its_connection_is_whole(pool: SessionPool, version: bytes, *, apart: bool) -> None:
    """Its length was not told: the connection's end is the body's, and the next call takes another."""
    head, body = b"HTTP/%s 200 OK\r\n\r\n" % version, b'{"a": 1}'
    pieces = (head, body) if apart else (head + body,)
    async with WireServer(answering(*pieces, times=1)) as server:
        for _ in range(3):
            assert (await pool.send(attempt(server.url, "POST", json=b"{}"))).body == b'{"a": 1}'
        assert server.connections == len(server.requests) == 3


async def test_the_answer_to_a_head_has_no_body_whatever_its_length(pool: SessionPool) -> None:
    async with WireServer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")) as server:
        for _ in range(2):
            answer = await pool.send(attempt(server.url, "HEAD"))
            assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "500")
        assert server.connections == 1


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("status", [200, 404])
async def test_too_large_a_body_leaves_what_its_head_said(status: int, *, apart: bool) -> None:
    """With its head or behind it: a result is refused, a refusal keeps its beginning, and both keep their headers."""
    pool = SessionPool(max_body=5000)
    head = b"HTTP/1.1 %d X\r\nX-RateLimit-Remaining: 7\r\nContent-Length: 5001\r\n\r\n" % status
    body = b"x" * 5001
    pieces = (head, body) if apart else (head + body,)
    async with WireServer(answering(*pieces)) as server:
        once = attempt(server.url)
        if status == 404:
            answer = await pool.send(once)
            assert (answer.headers["X-RateLimit-Remaining"], answer.body) == ("7", b"x" * 4096)
        else:
            with pytest.raises(ResponseDecodeError, match="larger than 5000 bytes") as caught:
                await pool.send(once)
            assert caught.value.body == b"x" * 4096
            assert once.heard is not None
            assert (once.heard[0], once.heard[1]["X-RateLimit-Remaining"]) == (200, "7")
        assert pool.in_use == 0
    await pool.aclose()


@pytest.mark.parametrize("gone", ["closed", "aborted"])
async def test_an_answer_right_before_the_connection_s_end_is_had(pool: SessionPool, gone: str) -> None:
    """A server that answers and goes has answered; the next call takes another connection and is sent once."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(OK)
        await writer.drain()
        if gone == "aborted":
            await seen()
            writer.transport.abort()

    async with WireServer(script) as server:
        for _ in range(20):
            assert (await pool.send(attempt(server.url, "POST", json=b"{}"))).body == b"{}"
            await seen()
        assert server.connections == len(server.requests) == 20


async def test_an_answer_before_the_request_is_out_ends_the_upload(pool: SessionPool) -> None:
    """The refusal is told, the rest is not sent, and the half-used connection serves nobody else."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        server.requests.append(head)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
        await ended.wait()

    ended = asyncio.Event()
    async with WireServer(script) as server:
        for _ in range(3):
            answer = await pool.send(attempt(server.url, "POST", json=b"x" * 20_000_000))
            assert (answer.status, answer.body) == (413, b"{}")
        assert server.connections == 3
        assert pool.in_use == 0
        ended.set()
    gc.collect()  # a response that holds on to its connection would warn here


async def test_a_body_that_breaks_off_behind_its_head_is_not_whole(pool: SessionPool) -> None:
    raw = FRAMINGS["chunked"][0]
    start = raw.index(b"\r\n\r\n") + 4
    cuts = iter(range(start, len(raw) - 2))

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(raw[: next(cuts)])

    async with WireServer(script) as server:
        for _ in range(start, len(raw) - 2):
            once = attempt(server.url)
            with pytest.raises(APIConnectionError):
                await pool.send(once)
            assert once.heard is not None
    assert pool.in_use == 0
