"""What goes on the wire: each call's own headers, though they are put together once for each client."""

from __future__ import annotations

import asyncio
import gc
from email.parser import BytesParser

import pytest
from support.attempts import attempt, fields, headers_of
from support.wire_server import OK, WireServer, answer_each, read_request

from whereby_async import WherebyClient
from whereby_async.limiter import Unlimited
from whereby_async.operation import FilePart
from whereby_async.redaction import SilentBytes
from whereby_async.transport import SessionPool

pytestmark = pytest.mark.anyio


def keys(server: WireServer) -> list[str]:
    """The keys that a server was shown, one for each request."""
    return [dict(fields(request))["authorization"].removeprefix("Bearer ") for request in server.requests]


async def test_the_head_of_a_read_is_all_there_in_order(pool: SessionPool) -> None:
    """`Host` with its port stands first, nothing stands twice, and nothing of aiohttp's own replaces what was given."""
    async with WireServer(answer_each) as server:
        await pool.send(attempt(server.url))
    assert fields(server.requests[0])[:4] == [
        ("host", f"127.0.0.1:{server.port}"),
        ("authorization", "Bearer planted-key"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip"),
    ]
    names = [name for name, _ in fields(server.requests[0])]
    assert len(names) == len(set(names))
    assert "content-length" not in names


async def test_an_ipv6_host_is_in_brackets(pool: SessionPool) -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await read_request(reader))
        writer.write(OK)
        writer.close()

    try:
        server = await asyncio.start_server(serve, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        await pool.send(attempt(f"http://[::1]:{port}"))
    assert fields(heard[0])[0] == ("host", f"[::1]:{port}")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_without_a_body_says_that_it_has_none(pool: SessionPool, method: str) -> None:
    """Servers wait for a body, or answer 411, if nobody says `Content-Length: 0`."""
    async with WireServer(answer_each) as server:
        await pool.send(attempt(server.url, method))
    assert [value for name, value in fields(server.requests[0]) if name == "content-length"] == ["0"]


@pytest.mark.parametrize("size", [2, 700_000])
async def test_json_is_sent_with_its_type_and_length(pool: SessionPool, size: int) -> None:
    body = b"{" + b" " * (size - 2) + b"}"
    once = attempt("http://unused", "POST", json=body)
    async with WireServer(answer_each) as server:
        for _ in range(2):
            once.url = server.url + "/things"
            await pool.send(once)
    for request in server.requests:
        assert dict(fields(request))["content-type"] == "application/json"
        assert dict(fields(request))["content-length"] == str(size)
        assert request.endswith(b"\r\n\r\n" + body)


async def test_a_file_is_sent_whole_each_time(pool: SessionPool) -> None:
    """A form with its fields, and the file with name and type, for the second attempt as for the first."""
    part = FilePart("image", "logo.png", "image/png", SilentBytes(b"\x89PNG\r\n\x1a\n\x00\xff"))
    once = attempt("http://unused", "PUT", files=[part], form=[("size", "small")])
    async with WireServer(answer_each) as server:
        once.url = server.url + "/things"
        for _ in range(2):
            await pool.send(once)
    for request in server.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        assert len(body) == int(dict(fields(request))["content-length"])
        message = BytesParser().parsebytes(head.partition(b"\r\n")[2] + b"\r\n\r\n" + body)
        assert message.get_content_type() == "multipart/form-data"
        size, image = [each for each in message.walk() if not each.is_multipart()]
        assert size.get_payload(decode=True) == b"small"
        assert image.get_filename() == "logo.png"
        assert image.get_content_type() == "image/png"
        assert image.get_payload(decode=True) == b"\x89PNG\r\n\x1a\n\x00\xff"


async def test_nothing_of_a_call_is_in_the_next(pool: SessionPool) -> None:
    """What aiohttp adds for one body is not left in the headers that the calls of a client share."""
    headers = headers_of("one")
    async with WireServer(answer_each) as server:
        await pool.send(attempt(server.url, headers=headers))
        await pool.send(attempt(server.url, "POST", headers=headers, json=b"{}"))
        await pool.send(attempt(server.url, headers=headers))
    first, between, last = map(fields, server.requests)
    assert ("content-length", "2") in between
    assert first == last
    assert list(headers) == ["Authorization", "Accept", "Accept-Encoding"]


async def test_one_mapping_serves_several_hosts(pool: SessionPool) -> None:
    headers = headers_of("one")
    async with WireServer(answer_each) as left, WireServer(answer_each) as right:
        for server in (left, right, left, left, right):
            await pool.send(attempt(server.url, headers=headers))
    for server in (left, right):
        assert {dict(fields(request))["host"] for request in server.requests} == {f"127.0.0.1:{server.port}"}


async def test_a_key_is_never_taken_for_another(pool: SessionPool) -> None:
    """Clients come and go over one pool, so that what is known by where it lies in memory lies there no more."""
    told: list[str] = []
    async with WireServer(answer_each) as server:
        for number in range(300):
            told.append(f"key-{number}")
            await pool.send(attempt(server.url, headers=headers_of(told[-1])))
            gc.collect(0)
        kept = [headers_of(f"kept-{number}") for number in range(100)]
        for _ in range(2):
            for number, headers in enumerate(kept):
                told.append(f"kept-{number}")
                await pool.send(attempt(server.url, headers=headers))
    assert keys(server) == told


async def test_calls_side_by_side_do_not_mix_their_keys() -> None:
    """Two clients and a view with another key, over one pool and two servers: each server sees whom it should."""
    pool = SessionPool(connections=7)
    async with WireServer(answer_each) as left, WireServer(answer_each) as right:
        here = WherebyClient("here", base_url=left.url, pool=pool, limiter=Unlimited())
        view = here.with_options(api_key="view")
        there = WherebyClient("there", base_url=right.url, pool=pool, limiter=Unlimited())
        clients = [here, view, there] * 20
        await asyncio.gather(*(client.request("GET", f"/{number}") for number, client in enumerate(clients)))
        assert sorted(keys(left)) == ["here"] * 20 + ["view"] * 20
        assert keys(right) == ["there"] * 20
        for request in left.requests:
            number = int(request.split()[1].removeprefix(b"/"))
            assert ("authorization", f"Bearer {['here', 'view'][number % 3]}") in fields(request)
        for client in (here, there):
            await client.aclose()
    await pool.aclose()
