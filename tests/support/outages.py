"""What tests of outages share: who counts, work that is under way when the service goes away, and a proxy for https."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from whereby_async.errors import WherebyError
from whereby_async.limiter import PointBudget
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Coroutine, Iterable
    from pathlib import Path

    from support.wire_server import Script, WireServer
    from whereby_async.hooks import AttemptDetails, CallDetails
    from whereby_async.limiter import Permit
    from whereby_async.testing import FakeWhereby

T = TypeVar("T")


class Counter:
    """A hook that counts calls and their attempts."""

    def __init__(self) -> None:
        self.calls = 0
        self.attempts = 0

    def on_call(self, details: CallDetails) -> None:
        self.calls += 1

    def on_attempt(self, details: AttemptDetails) -> None:
        self.attempts += 1


class CountingBudget(PointBudget):
    """A budget that counts how often it is asked for points."""

    asked = 0

    async def acquire(self, *args: Any, **options: Any) -> Permit:
        self.asked += 1
        return await super().acquire(*args, **options)


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


def begun(calls: Iterable[Coroutine[Any, Any, T]]) -> list[asyncio.Task[T]]:
    """Begin calls, all at once."""
    return [asyncio.create_task(call) for call in calls]


async def failures(calls: Iterable[Awaitable[object]]) -> list[BaseException]:
    """Wait for calls; what those raised that failed."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [result for result in results if isinstance(result, BaseException)]


async def result_of(call: Awaitable[T]) -> T | WherebyError:
    """What a call gives, or the error of ours that it raises."""
    try:
        return await call
    except WherebyError as error:
        return error


@contextlib.asynccontextmanager
async def answering_503(fake: FakeWhereby) -> AsyncGenerator[None]:
    """A block during which a balancer answers for the service: it accepts connections, and says 503 to everything."""
    fake.faults.add(Fault(status=503, body=b"<html>", content_type="text/html", points=0, times=None))
    yield
    fake.faults.clear()


def names_fail(monkeypatch: pytest.MonkeyPatch, host: str) -> asyncio.Event:
    """Let a host's name not be found, until the event is set."""
    found = asyncio.Event()
    resolve = socket.getaddrinfo

    def getaddrinfo(asked: Any, *args: Any, **options: Any) -> Any:
        if asked == host and not found.is_set():
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(asked, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


def server_context(directory: Path) -> ssl.SSLContext:
    """TLS for a server that calls itself localhost, with a certificate that nobody has signed."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    try:
        made = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def tunnel_to(port: int, context: ssl.SSLContext) -> Script:
    """A script of a proxy that takes every CONNECT, and ends the client's TLS itself in front of a plain server."""

    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.next_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        await writer.start_tls(context)
        answers, requests = await asyncio.open_connection("127.0.0.1", port)
        halves = begun([_pipe(reader, requests), _pipe(answers, writer)])
        try:
            await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)
            requests.close()

    return script


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1 << 16):
        writer.write(piece)
        await writer.drain()
