"""The connections of one event loop: an aiohttp session, the gate before it, and what ends them with their loop.

Together with the modules beside it this is all that touches aiohttp.

How far an attempt got (`Exchange.left`) decides whether its points and the call itself may be spent again, so it has to be
known exactly: a connector of our own notes the moment in which a connection is handed over. aiohttp's silent second try on a
dead kept-alive connection is off: every request on the wire is one that was paid for.

Nothing of aiohttp's is chained to our errors: its frames hold header and body bytes, and some of its messages repeat
headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import payload
from aiohttp.hdrs import CONTENT_ENCODING
from yarl import URL

from ..errors import ClientClosedError, ConfigurationError, ResponseDecodeError
from ..redaction import SilentBytes
from .body import Body
from .connector import Connector, accustom_allocator, sending
from .deadlines import Deadlines
from .exchange import SUCCESS, Answer, Exchange
from .failures import FAILURES, failure_of
from .gate import Gate
from .outgoing import MAKES_HEADERS, NoCookies, OutgoingRequest, WireHeaders
from .storage import BUFFER, Departure

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

    from ..operation import Request
    from ..redaction import Secret
    from .proxies import ProxyChoice

_DNS_TTL = 60
_OK = 200
_AT_ONCE = 512 * 1024
"""Bytes of a body that are written in one go; a larger one is written in pieces, so that the loop's other tasks run between."""
_KEPT_OF_OVERSIZED = 4096

_closing: set[asyncio.Task[None]] = set()

_UNTIMED = aiohttp.ClientTimeout(total=None)
"""An attempt is ended by `Deadlines`, and a download by its own: what aiohttp does for each call to bound it costs more."""


class Connections:
    """One loop's share of the pool."""

    def __init__(  # noqa: PLR0913 - what a pool is made of
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        slots: int,
        downloads: int,
        injected: aiohttp.ClientSession | None,
        proxies: ProxyChoice,
        ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint,
        keepalive: float,
        max_body: int,
    ) -> None:
        self.loop = loop
        self.gate: Gate = Gate(slots, loop)
        self.downloads: Gate = Gate(downloads, loop)
        self.closed: bool = False
        self._deadlines: dict[float, Deadlines] = {}
        self._proxies = proxies
        self._proxied = proxies.any
        self._ssl = ssl
        self._max_body = max_body
        self._wire_headers = WireHeaders()
        self._injected = injected is not None
        self._session = injected or self._new_session(keepalive)
        self._ask: Callable[[Exchange], Awaitable[aiohttp.ClientResponse]] = (
            self._ask_own if injected is None else self._ask_injected
        )
        self._storage_session = self._session if injected is None else self._session_beside(injected, keepalive)
        self._answering: set[aiohttp.ClientResponse] = set()
        self.fetching: set[aiohttp.ClientResponse] = set()
        self._lifetime = self._live()
        self.ended: Future[None] = Future()

    def _new_session(self, keepalive: float) -> aiohttp.ClientSession:
        accustom_allocator()
        connector = Connector(keepalive_timeout=keepalive, ttl_dns_cache=_DNS_TTL, ssl=self._ssl)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=NoCookies(),
            request_class=OutgoingRequest,
            timeout=_UNTIMED,
            auto_decompress=False,
            trust_env=False,
        )
        session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - there is no public switch
        return session

    def _session_beside(self, injected: aiohttp.ClientSession, keepalive: float) -> aiohttp.ClientSession:
        """One over the same connector, but without the headers, cookies and auth of a session made for the API."""
        connector = getattr(injected, "connector", None)
        if not isinstance(connector, aiohttp.BaseConnector):  # something that only behaves like a session
            return self._new_session(keepalive)
        return aiohttp.ClientSession(
            connector=connector, connector_owner=False, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    def _deadlines_of(self, seconds: float) -> Deadlines:
        """Those of the attempts that may take so long; of times that nobody uses any more none are kept."""
        self._deadlines = {kept: each for kept, each in self._deadlines.items() if not each.idle}
        new = self._deadlines[seconds] = Deadlines(self.loop, seconds)
        return new

    async def open(self) -> None:
        """Tie the session's end to its loop's: asyncio and uvloop finish every async generator before a loop is closed."""
        await anext(self._lifetime)

    async def _live(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            try:
                await self._close_session()
            finally:
                self.ended.set_result(None)

    async def send(self, exchange: Exchange) -> Answer:
        """One attempt, from the gate to the last byte.

        Raises:
            APIConnectionError: No answer.
            APITimeoutError: None in time.
            ClientClosedError: The pool was closed while the call stood at the gate.
            ConfigurationError: The injected session is closed.
            ResponseDecodeError: The body is larger than `max_body`.
        """
        if not self.gate.try_enter():
            await self.gate.enter(exchange.priority)
        sending.set(exchange)
        deadlines = self._deadlines.get(exchange.timeout) or self._deadlines_of(exchange.timeout)
        deadlines.begin(exchange)
        try:
            response = await self._ask(exchange)
            content = response.content
            if content.is_eof() and CONTENT_ENCODING not in response.headers and response.status >= _OK:
                # The common case: all of it has come already.
                body = SilentBytes(content.read_nowait())
                if len(body) <= self._max_body:
                    return Answer(response.status, response.headers, body)
                exchange.heard = response.status, response.headers
                return self._oversized(response, exchange, body)
            exchange.heard = response.status, response.headers
            return await self._answer(response, exchange, deadlines)
        except FAILURES as error:
            failure = failure_of(error, exchange, closed=self.closed)
        except asyncio.CancelledError:
            if not deadlines.over(exchange):
                raise
            failure = failure_of(TimeoutError(), exchange, closed=self.closed)
        finally:
            deadlines.end(exchange)
            self.gate.leave()
        # Outside of the except block: an error raised inside would carry aiohttp's frames along as its context.
        raise failure

    def _ask_own(self, exchange: Exchange) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        """The head of the answer, through a session of ours."""
        request, url = exchange.request, URL(exchange.url, encoded=True)
        proxy = self._proxies(exchange.url) if self._proxied else None
        if MAKES_HEADERS:
            exchange.wire = self._wire_headers.of(exchange.headers, url)
        return self._session._request(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - `request` wraps it in a context
            request.operation.method,
            url,
            headers=None if MAKES_HEADERS else exchange.headers,
            data=_body(request),
            allow_redirects=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
        )

    def _ask_injected(self, exchange: Exchange) -> Awaitable[aiohttp.ClientResponse]:
        """The same through a session of the user's, whose own settings must not matter."""
        if self._session.closed:
            msg = "the aiohttp.ClientSession that was passed as SessionPool(session=…) is closed"
            raise ConfigurationError(msg)
        exchange.left = True  # a session that is not ours cannot tell when it sends
        proxy = self._proxies(exchange.url)
        return self._session.request(
            exchange.request.operation.method,
            URL(exchange.url, encoded=True),
            headers=exchange.headers,
            data=_body(exchange.request),
            timeout=_UNTIMED,
            allow_redirects=False,
            raise_for_status=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
            ssl=self._ssl,
            auto_decompress=False,
        )

    async def fetch(self, url: Secret, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """A plain GET of something that is not the API's: the head of the answer, redirects not followed.

        It has neither the bearer nor a time limit; what it raises is aiohttp's.
        """
        sending.set(Departure())
        proxy = self._proxies(url)
        return await self._storage_session.request(
            "GET",
            URL(url, encoded=True),
            headers=headers,
            timeout=_UNTIMED,
            allow_redirects=False,
            raise_for_status=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
            ssl=self._ssl,
            auto_decompress=False,
            read_bufsize=BUFFER,
        )

    async def _answer(self, response: aiohttp.ClientResponse, exchange: Exchange, deadlines: Deadlines) -> Answer:
        """The answer with its body. A refusal stands by its status alone: of its body, what came will do."""
        body = Body(self._max_body)
        self._answering.add(response)
        try:
            await body.read(response)
        except (*FAILURES, asyncio.CancelledError) as error:
            cancelled = isinstance(error, asyncio.CancelledError) and not deadlines.over(exchange)
            if cancelled or response.status in SUCCESS:
                raise
        finally:
            self._answering.discard(response)
            if not body.whole or response.status < _OK:  # an upgraded connection is never given back by itself
                response.close()
        content = body.joined()
        if not body.too_large:
            return Answer(response.status, response.headers, content)
        return self._oversized(response, exchange, content)

    def _oversized(self, response: aiohttp.ClientResponse, exchange: Exchange, content: SilentBytes) -> Answer:
        """A refusal whose body is too large keeps its beginning; a result can not be had."""
        content = SilentBytes(content[:_KEPT_OF_OVERSIZED])
        if response.status not in SUCCESS:
            return Answer(response.status, response.headers, content)
        operation = exchange.request.operation.name
        msg = f"{operation}: the answer is larger than {self._max_body} bytes: SessionPool(max_body=…) sets the bound"
        raise ResponseDecodeError(msg, body=content, operation=operation)

    async def aclose(self) -> None:
        """Send the waiting away, close the session and its connections; calls under way fail with `APIConnectionError`."""
        self.closed = True
        self.gate.fail_waiting(ClientClosedError, "the client was closed before the call was sent")
        self.downloads.fail_waiting(ClientClosedError, "the client was closed before the download began")
        with contextlib.suppress(RuntimeError):  # the loop's own end is closing it already
            await self._lifetime.aclose()

    def ask_to_close(self) -> bool:
        """Have the loop close its session, from any thread; `ended` tells when. `False` if the loop is closed already."""
        try:
            self.loop.call_soon_threadsafe(self._start_closing)
        except RuntimeError:
            self.let_go()
            return False
        return True

    def _start_closing(self) -> None:
        if not self.ended.done():
            task = self.loop.create_task(self.aclose())
            _closing.add(task)
            task.add_done_callback(_closing.discard)

    def let_go(self) -> None:
        """Forget the session without touching a socket: its loop is closed, or it is a parent process's."""
        self.closed = True
        self._storage_session.detach()
        if not self._injected:
            self._session.detach()

    async def _close_session(self) -> None:
        self.closed = True
        for deadlines in self._deadlines.values():
            deadlines.forget()
        under_way = self.fetching if self._injected else self.fetching | self._answering
        for response in list(under_way):
            response.close()  # who reads a body does not hear of the session's closing, and would wait for the timeout
        await self._storage_session.close()
        if not self._injected:
            await self._session.close()


def _body(request: Request[Any]) -> aiohttp.Payload | aiohttp.FormData | None:
    """The body in an object whose repr is silent; a new one for each attempt."""
    if request.json is not None:
        if len(request.json) > _AT_ONCE:
            return payload.BytesIOPayload(io.BytesIO(request.json), content_type="application/json")
        return payload.BytesPayload(request.json, content_type="application/json")
    if not request.files and not request.form:
        return None
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in request.form:
        form.add_field(name, value)
    for part in request.files:
        form.add_field(part.field, io.BytesIO(part.content), filename=part.filename, content_type=part.content_type)
    return form
