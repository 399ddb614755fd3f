"""A server below HTTP for tests: it answers each connection with what a script says, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Self, TypeAlias

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request's head and body (by Content-Length)."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return head + (await reader.readexactly(length) if length else b"")


class WireServer:
    """Listens on loopback; `script(server, reader, writer)` runs for each connection."""

    def __init__(
        self, script: Callable[[WireServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def next_request(self, reader: asyncio.StreamReader) -> bytes:
        request = await read_request(reader)
        self.requests.append(request)
        return request

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await self._script(self, reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()


Script: TypeAlias = Callable[[WireServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def seen() -> None:
    """Let the other side of a connection see what was written."""
    for _ in range(6):
        await asyncio.sleep(0)


def answering(*pieces: bytes, times: int = 10**9) -> Script:
    """A script that gives this answer to so many requests of a connection, piece by piece, and then closes it."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            await server.next_request(reader)
            for number, piece in enumerate(pieces):
                if number:
                    await seen()
                writer.write(piece)
                await writer.drain()

    return script


answer_each = answering(OK)
"""A script that answers every request with 200 and an empty object."""


def saying(greeting: bytes) -> Script:
    """A script that says this before it is asked anything, and nothing more until the client goes."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()

    return script


async def silent(server: WireServer, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """A script that takes one request and says nothing until the client goes."""
    await server.next_request(reader)
    await reader.read()
