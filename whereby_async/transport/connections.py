"""The connections of one event loop: an aiohttp session, the gate before it, and what ends them with their loop.

Together with `pool.py` this is all that touches aiohttp.

How far an attempt got (`Exchange.left`) decides whether its points and the call itself may be spent again, so it has to be
known exactly: a connector of our own notes the moment in which a connection is handed over. aiohttp's silent second try on a
dead kept-alive connection is off: every request on the wire is one that was paid for.

Nothing of aiohttp's is chained to our errors: its frames hold header and body bytes, and some of its messages repeat
headers.
"""

from __future__ import annotations

import functools
import io
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import payload
from yarl import URL

from ..errors import APIConnectionError, APITimeoutError, ClientClosedError, ResponseDecodeError, WherebyError
from ..redaction import SilentBytes
from .exchange import Answer, Exchange
from .gate import Gate

if TYPE_CHECKING:
    import asyncio
    import ssl as ssl_module
    from collections.abc import AsyncGenerator

    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection

    from ..operation import Request
    from .proxies import ProxyChoice

_DNS_TTL = 60
_KEPT_OF_OVERSIZED = 4096

_FAILURES = (
    aiohttp.ClientError,
    aiohttp.http.HttpProcessingError,
    TimeoutError,
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
)
"""Everything that aiohttp, a socket or TLS raise when an exchange fails; uvloop tells a closed transport as RuntimeError."""

_WORDS = {
    "ServerDisconnectedError": "the server closed the connection without an answer",
    "ClientPayloadError": "the answer broke off or its encoding is wrong",
    "ClientResponseError": "the answer is no valid HTTP",
    "ClientConnectionResetError": "the connection was reset",
    "ClientHttpProxyError": "the proxy refused",
}

_closing: set[asyncio.Task[None]] = set()

_sending: ContextVar[Exchange] = ContextVar("whereby_async_sending")


class _Connector(aiohttp.TCPConnector):
    """Notes on the exchange under way that it has a connection, so that from here on it may reach the server."""

    async def connect(self, req: ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109 - aiohttp's
        connection = await super().connect(req, traces, timeout)
        _sending.get().left = True
        return connection

    def __del__(self, *_: object) -> None:
        """Quiet: a session is closed with its loop, or let go without touching its sockets (see `Connections.let_go`)."""


@functools.lru_cache(maxsize=64)
def _client_timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


class Connections:
    """One loop's share of the pool."""

    def __init__(  # noqa: PLR0913 - what a pool is made of
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        slots: int,
        injected: aiohttp.ClientSession | None,
        proxies: ProxyChoice,
        ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint,
        keepalive: float,
        max_body: int,
    ) -> None:
        self.loop = loop
        self.gate: Gate = Gate(slots, loop)
        self.closed: bool = False
        self._proxies = proxies
        self._ssl = ssl
        self._max_body = max_body
        self._injected = injected is not None
        self._session = injected or self._new_session(keepalive)
        self._lifetime = self._live()

    def _new_session(self, keepalive: float) -> aiohttp.ClientSession:
        connector = _Connector(
            limit=0,  # the gate bounds them; a limit here would be a second, unfair queue
            keepalive_timeout=keepalive,
            ttl_dns_cache=_DNS_TTL,
            ssl=self._ssl,
        )
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True, trust_env=False
        )
        session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - there is no public switch
        return session

    async def open(self) -> None:
        """Tie the session's end to its loop's: asyncio and uvloop finish every async generator before a loop is closed."""
        await anext(self._lifetime)

    async def _live(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._close_session()

    async def send(self, exchange: Exchange) -> Answer:
        """One attempt, from the gate to the last byte.

        Raises:
            APIConnectionError: No answer.
            APITimeoutError: None in time.
            ClientClosedError: The pool was closed while the call stood at the gate.
            ResponseDecodeError: The body is larger than `max_body`.
        """
        if not self.gate.try_enter():
            await self.gate.enter(exchange.priority)
        _sending.set(exchange)
        exchange.left = self._injected  # a session that is not ours cannot tell when it sends
        try:
            proxy = self._proxies(exchange.url)
            response = await self._session.request(
                exchange.request.operation.method,
                URL(exchange.url, encoded=True),
                headers=proxy.headers_for(exchange) if proxy else exchange.headers,
                data=_body(exchange.request),
                timeout=_client_timeout(exchange.timeout),
                allow_redirects=False,
                raise_for_status=False,
                proxy=proxy.url if proxy else None,
                proxy_headers=proxy.headers if proxy else None,
                ssl=self._ssl,
            )
            try:
                body = await self._read(response, exchange.request.operation.name)
            except BaseException:
                response.close()
                raise
            return Answer(response.status, response.headers, body)
        except _FAILURES as error:
            failure = self._failure(error, exchange)
        finally:
            self.gate.leave()
        # Outside of the except block: an error raised inside would carry aiohttp's frames along as its context.
        raise failure

    async def _read(self, response: aiohttp.ClientResponse, operation: str) -> SilentBytes:
        """All of the body, never as a plain local: a traceback would show it."""
        content = response.content
        body = SilentBytes(await content.readany())
        if not content.at_eof():
            parts = _Parts()
            while body and parts.size <= self._max_body:
                parts.add(body)
                body = SilentBytes(await content.readany())
            body = parts.joined()
        if len(body) > self._max_body:
            msg = (
                f"{operation}: the answer is larger than {self._max_body} bytes: SessionPool(max_body=…) sets the bound"
            )
            raise ResponseDecodeError(msg, body=body[:_KEPT_OF_OVERSIZED], operation=operation)
        return body

    def _failure(self, error: Exception, exchange: Exchange) -> WherebyError:
        """Our error for one of aiohttp's or the system's."""
        name = exchange.request.operation.name
        if isinstance(error, aiohttp.ClientConnectorError):
            exchange.left = False
        left = exchange.left
        if self.closed and not left:
            return ClientClosedError(f"{name}: the client was closed before the call was sent")
        known = "the server may have acted on it" if left else "nothing was sent"
        if isinstance(error, TimeoutError):
            msg = f"{name}: no answer within timeout={exchange.timeout:g} s ({known})"
            return APITimeoutError(msg, operation=name, may_have_happened=left)
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        words = (
            cause.strerror if isinstance(cause, OSError) and cause.strerror else _WORDS.get(type(error).__name__, "")
        )
        told = f"{type(error).__name__}: {words}" if words else type(error).__name__
        msg = f"{name}: connection failed ({told}; {known})"
        return APIConnectionError(msg, operation=name, may_have_happened=left)

    async def aclose(self) -> None:
        """Send the waiting away, close the session and its connections; calls under way fail with `APIConnectionError`."""
        self.closed = True
        self.gate.fail_waiting(ClientClosedError, "the client was closed before the call was sent")
        await self._lifetime.aclose()

    def start_closing(self) -> None:
        """`aclose` from a callback of the loop."""
        task = self.loop.create_task(self.aclose())
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    def let_go(self) -> None:
        """Forget the session without touching a socket: its loop is closed, or it is a parent process's."""
        self.closed = True
        if not self._injected:
            self._session.detach()

    async def _close_session(self) -> None:
        self.closed = True
        if not self._injected:
            await self._session.close()


class _Parts:
    """The pieces of a body, silent in tracebacks."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)

    def joined(self) -> SilentBytes:
        return SilentBytes(b"".join(self._pieces))


def _body(request: Request[Any]) -> aiohttp.Payload | aiohttp.FormData | None:
    """The body in an object whose repr is silent; a new one for each attempt."""
    if request.json is not None:
        return payload.BytesPayload(request.json, content_type="application/json")
    if not request.files and not request.form:
        return None
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in request.form:
        form.add_field(name, value)
    for part in request.files:
        form.add_field(part.field, io.BytesIO(part.content), filename=part.filename, content_type=part.content_type)
    return form
