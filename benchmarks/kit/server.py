"""The API's server of the benches: a process of its own that answers canned bodies, as fast as a Python can.

Each port keeps a budget of its own as the service does: a fixed window that the first request opens, `X-RateLimit-Remaining`
falling by the price of each answer, 429 once it is spent. So each contestant that has a port of its own is alone with its points.
Further ports do otherwise: see `STYLES`.

    python -m benchmarks.kit.server PORTS [--tls DIRECTORY]

Prints one JSON object with the ports, and stops when its input ends.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import ssl
import sys
import time
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.kit import bodies

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 10_000_000
"""Points in each window: so many that no contestant ever waits."""
PERIOD = 60.0
_WRITE = 3
_FIXED = (
    b"Content-Type: application/json; charset=utf-8\r\nConnection: keep-alive\r\nVary: Accept-Encoding\r\n"
    b"Strict-Transport-Security: max-age=15724800; includeSubDomains\r\nX-Content-Type-Options: nosniff\r\n"
    b'ETag: W/"1c8-5Yp1Lx1nRb1zq4cJ8o3k0mC9uXg"\r\n'
)
STYLES = {"unmoved": "Remaining never moves", "silent": "no headers", "shared": "others spend as much"}
"""What ports may do instead of `plain`: each of these has ports of its own, without TLS."""


class Account:
    """One port's budget, and the lines of a head that tell of it.

    Args:
        style: One of `STYLES`, or anything else for what the service does.
    """

    def __init__(self, style: str = "plain") -> None:
        self._style = style
        self._others_turn = False
        self._left = 0
        self._ends_at = 0.0
        self._reset = b""
        self._second = 0
        self._date = b""

    def spend(self, cost: int) -> tuple[bool, bytes]:
        """Whether a call is taken, and the lines."""
        now = time.time()
        if now >= self._ends_at:
            self._ends_at = now + PERIOD
            self._left = LIMIT
            reset = datetime.fromtimestamp(self._ends_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._reset = f"X-RateLimit-Reset: {reset}\r\n".encode()
        if int(now) != self._second:
            self._second = int(now)
            self._date = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        taken = self._left >= cost
        self._left = max(0, self._left - cost)
        if self._style == "silent":
            return taken, self._date
        if self._style == "shared":
            # By turns, so that a single call in between shows its own price.
            self._others_turn = not self._others_turn
            self._left = max(0, self._left - 2 * cost * self._others_turn)
        told = LIMIT - 10 if self._style == "unmoved" else self._left
        head = b"%b%bX-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d\r\n"
        return taken, head % (self._date, self._reset, LIMIT, told)

    def wait(self) -> float:
        """Seconds until the window ends."""
        return max(0.0, self._ends_at - time.time())


class Answers:
    """What is answered to which request line."""

    def __init__(self) -> None:
        self._meeting, self._created = bodies.meeting(), bodies.created()
        self._meetings, self._rooms = bodies.meetings(), bodies.rooms()

    def of(self, line: bytes) -> tuple[bytes, bytes, int]:
        """Status line, body and price."""
        if line.startswith(b"POST /v1/meetings "):
            return b"HTTP/1.1 201 Created\r\n", self._created, _WRITE
        if line.startswith(b"GET /v1/meetings/"):
            return b"HTTP/1.1 200 OK\r\n", self._meeting, 1
        if line.startswith((b"GET /v1/meetings?", b"GET /v1/meetings ")):
            return b"HTTP/1.1 200 OK\r\n", self._meetings, 1
        if line.startswith(b"GET /v1/insights/rooms"):
            return b"HTTP/1.1 200 OK\r\n", self._rooms, 1
        return b"HTTP/1.1 404 Not Found\r\n", b'{"error":"Not found"}', 1


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, account: Account, answers: Answers) -> None:
        self._account = account
        self._answers = answers
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport = transport  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue] - a stream's

    def data_received(self, data: bytes) -> None:
        """A request came, or several, or a part of one."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            stop = end + 4 + _length(head)
            if len(self._buffer) < stop:
                return
            self._buffer = self._buffer[stop:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        status, body, cost = self._answers.of(head[: head.find(b"\r\n")])
        taken, told = self._account.spend(cost)
        if not taken:
            left = self._account.wait()
            status = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: %.3f\r\n" % left
            body = b'{"error":"Rate limit active","data":{"msLeft":%d}}' % (left * 1000)
        assert self._transport is not None
        self._transport.write(b"%b%b%bContent-Length: %d\r\n\r\n%b" % (status, told, _FIXED, len(body), body))


def _length(head: bytes) -> int:
    """How long the body of a request is."""
    if head.startswith(b"GET"):
        return 0
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def certified(directory: Path) -> ssl.SSLContext:
    """A certificate for the loopback address; who signed it is written into `directory` as `ca.pem`."""
    trustme: Any = importlib.import_module("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


async def serve(ports: int, directory: Path | None) -> None:
    """Open the ports, tell them, and answer until the input ends."""
    loop = asyncio.get_running_loop()
    answers = Answers()
    opened: dict[str, list[int]] = {}
    for transport in ("plain", *STYLES, *(("tls",) if directory else ())):
        context = certified(directory) if directory and transport == "tls" else None
        opened[transport] = []
        for _ in range(ports):
            account = Account(transport)
            server = await loop.create_server(
                lambda account=account: Connection(account, answers),
                "127.0.0.1",
                0,
                ssl=context,
                backlog=1024,
            )
            opened[transport].append(server.sockets[0].getsockname()[1])
    print(json.dumps(opened), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Make a loop: uvloop's where it is installed."""
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made


def main() -> None:
    """Run it."""
    directory = Path(sys.argv[3]) if len(sys.argv) > 2 else None
    with asyncio.Runner(loop_factory=new_loop()) as runner:
        runner.run(serve(int(sys.argv[1]), directory))


if __name__ == "__main__":
    main()
