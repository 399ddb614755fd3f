"""Whatever bytes a server answers with, the call ends in a result or a `WherebyError`, in time; the next is served.

Over a real socket, against a server below HTTP; on a simulated clock, so that a stalled answer takes no time.
The long command: `WHEREBY_EXAMPLES=100000 python -m pytest tests/fuzz --timeout=0`.
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fuzz.inputs import effort, spoilt
from hypothesis import given, strategies as st
from support.wire_server import WireServer

from whereby_async import RetryPolicy, SessionPool, WherebyClient, WherebyError
from whereby_async.limiter import Unlimited
from whereby_async.testing import SimulatedLoop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterator

TIMEOUT = 5.0
MAX_WAIT = 20.0
TRIES = 3

MEETING = b'{"meetingId":"1","roomUrl":"https://example.whereby.com/x","endDate":"2025-01-01T00:00:00Z"}'
LIMITS = b"X-RateLimit-Limit: 1000\r\nX-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: 9\r\n"
ZIPPED = gzip.compress(MEETING, mtime=0)


def answer(head: bytes, body: bytes = b"") -> bytes:
    """An answer with the right length."""
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (head, LIMITS, len(body), body)


VALID = (
    answer(b"200 OK", MEETING),
    answer(b"200 OK", b'{"results":[' + MEETING + b'],"cursor":null}'),
    answer(b"201 Created", MEETING),
    answer(b"204 No Content"),
    answer(b"302 Found\r\nLocation: http://127.0.0.1:1/", b"gone"),
    answer(b"404 Not Found", b'{"error":"no such meeting"}'),
    answer(b"429 Too Many Requests\r\nRetry-After: 2", b'{"error":"Rate limit active","data":{"msLeft":2000}}'),
    answer(b"503 Service Unavailable\r\nRetry-After: 1", b"<html>busy</html>"),
    answer(b"200 OK\r\nContent-Encoding: gzip", ZIPPED),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(MEETING), MEETING),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + MEETING,
    b"HTTP/1.0 200 OK\r\n\r\n" + MEETING,
    b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"200 OK", MEETING),
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
)

PIECES = (
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\x00",
    b" ",
    b": ",
    b"HTTP/1.1 ",
    b"HTTP/9.9 ",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"099",
    b"999",
    b"1000",
    b"-1",
    b"9" * 30,
    b"Content-Length: 3\r\n",
    b"Content-Length: -5\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: deflate\r\n",
    b"Content-Encoding: br\r\n",
    b"Content-Encoding: zstd\r\n",
    b"Content-Type: \xff/\xfe; charset=\x80\r\n",
    b"Set-Cookie: a=\xff; path=;;=\r\n",
    b"Link: <;>;rel=\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"X-RateLimit-Remaining: \xed\xa0\x80\r\n",
    b"Retry-After: 0\r\n",
    b"Retry-After: 9999999\r\n",
    b"X" * 9000,
    b"\xff" * 10,
    ZIPPED[:20],
)


class Wire:
    """A raw server and a client of it, kept for all examples.

    Attributes:
        loop: The simulated loop that both run in.
        bad: What the server sends for the next few requests, and whether it then hangs up.
    """

    def __init__(self) -> None:
        self.loop = SimulatedLoop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.bad = b""
        self.hangs_up = False
        self.left = 0
        self._served = 0
        self.pool = SessionPool(connections=2)
        self.server = WireServer(self._script)
        self.run(self.server.__aenter__())

    def client(self) -> WherebyClient:
        """A client of one's own: what the bytes did to another's budgets does not count."""
        return WherebyClient(
            "k" * 20,
            base_url=self.server.url,
            pool=self.pool,
            limiter=Unlimited(),
            timeout=TIMEOUT,
            max_wait=MAX_WAIT,
            retry=RetryPolicy(attempts=2),
        )

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    async def _script(self, server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.next_request(reader)
            if self.left:
                self.left -= 1
                writer.write(self.bad)
                if self.hangs_up:
                    return
            else:
                self._served += 1
                writer.write(answer(b"200 OK", json.dumps({"served": self._served}).encode()))

    async def next_call_gets_its_own_answer(self) -> None:
        """A bad answer's rest is not taken for the answer to the next request."""
        told = await self.client().request("GET", "/next")
        assert told == {"served": self._served}

    def close(self) -> None:
        self.run(self.pool.aclose())
        self.run(self.server.__aexit__())
        self.loop.close()
        assert not self.complaints, self.complaints


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


CALLS: dict[str, Callable[[WherebyClient], Coroutine[Any, Any, object]]] = {
    "read": lambda client: client.meetings.get("1"),
    "list": lambda client: client.meetings.list().collect(),
    "create": lambda client: client.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1)),
    "delete": lambda client: client.meetings.delete("1"),
    "participant": lambda client: client.insights.participant("1", "2"),
    "anything": lambda client: client.request("GET", "/anything"),
}


@effort(500)
@given(
    kind=st.sampled_from(tuple(CALLS)),
    bad=spoilt(VALID, PIECES) | spoilt(VALID, PIECES) | st.sampled_from(VALID) | st.binary(max_size=64),
    hangs_up=st.booleans(),
    times=st.integers(1, TRIES),
)
def test_any_bytes_end_in_a_result_or_an_error_of_ours(
    wire: Wire, kind: str, bad: bytes, hangs_up: bool, times: int
) -> None:
    """No other error, no later than the timeouts allow; no slot, no permit and no wrong answer is left behind."""
    wire.bad, wire.hangs_up, wire.left = bad, hangs_up, times

    client = wire.client()

    async def call() -> None:
        began = wire.loop.time()
        try:
            await CALLS[kind](client)
        except WherebyError as error:
            str(error)
        most = (TRIES + 2) * TIMEOUT + MAX_WAIT + 2
        assert wire.loop.time() - began <= most
        assert wire.pool.in_use == wire.pool.waiting == 0
        assert client.limiter.snapshot().in_flight == 0
        wire.left = 0
        await wire.next_call_gets_its_own_answer()

    wire.run(call())
