"""The connections of one event loop: its aiohttp sessions, the gate before them, and what ends them with their loop.

Together with the modules beside it this is all that touches aiohttp.

How far an attempt got (`Exchange.left`) decides whether its points and the call itself may be spent again, so it has to be
known exactly: a connector of our own notes the moment in which a connection is handed over.

Nothing of aiohttp's is chained to our errors: its frames hold header and body bytes, and some of its messages repeat
headers.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from typing import TYPE_CHECKING

from aiohttp.hdrs import CONTENT_ENCODING

from ..errors import ClientClosedError, ResponseDecodeError
from ..redaction import SilentBytes
from .body import Body
from .connector import sending
from .deadlines import Deadlines
from .exchange import SUCCESS, Answer, Exchange
from .failures import FAILURES, failure_of
from .gate import Gate
from .sessions import InjectedSession, OwnSession, Sessions

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import AsyncGenerator

    import aiohttp

    from .proxies import ProxyChoice

_OK = 200
_KEPT_OF_OVERSIZED = 4096

_closing: set[asyncio.Task[None]] = set()


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
        self._max_body = max_body
        self.sessions: Sessions = (
            OwnSession(proxies, ssl, keepalive)
            if injected is None
            else InjectedSession(injected, proxies, ssl, keepalive)
        )
        self._ask = self.sessions.ask
        self._answering: set[aiohttp.ClientResponse] = set()
        self.fetching: set[aiohttp.ClientResponse] = set()
        self._lifetime = self._live()
        self.ended: Future[None] = Future()

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
        self.sessions.let_go()

    async def _close_session(self) -> None:
        self.closed = True
        for deadlines in self._deadlines.values():
            deadlines.forget()
        under_way = self.fetching | self._answering if self.sessions.own else self.fetching
        for response in list(under_way):
            response.close()  # who reads a body does not hear of the session's closing, and would wait for the timeout
        await self.sessions.aclose()
