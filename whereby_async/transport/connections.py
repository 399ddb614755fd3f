"""The connections of one event loop: its aiohttp sessions, the slots before them, and what ends them with their loop.

Nothing of aiohttp's is chained to our errors: its frames hold header and body bytes, and some of its messages repeat
headers.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from aiohttp.hdrs import CONTENT_ENCODING

from ..errors import APIConnectionError, ResponseDecodeError
from ..redaction import SilentBytes
from .aiohttp_session import Sessions
from .body import Body
from .deadlines import SILENCE, Deadlines
from .exchange import FAILURES, SUCCESS, Answer, why_unreachable
from .slots import ConnectionSlots

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import AsyncGenerator

    import aiohttp

    from ..redaction import Secret
    from .exchange import Exchange
    from .proxies import ProxyChoice
    from .reachability import Reachability

_OK: Final = 200
_MISDIRECTED: Final = 421
_KEPT_OF_OVERSIZED: Final = 4096

_closing: set[asyncio.Task[None]] = set()


class Connections:
    """One loop's share of the pool.

    Attributes:
        closed: The sessions are closed, or will be at once.
        ended: Done when the sessions are closed.
        failures: What is raised when an attempt fails.
    """

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
        self.slots: ConnectionSlots = ConnectionSlots(slots, loop)
        self.download_slots: ConnectionSlots = ConnectionSlots(downloads, loop)
        self.closed: bool = False
        self.ended: Future[None] = Future()
        self._max_body = max_body
        self._sessions = Sessions(injected, proxies, ssl, keepalive)
        self.failures: tuple[type[Exception], ...] = self._sessions.failures
        self._deadlines: dict[float, Deadlines] = {}
        self._reading: set[aiohttp.ClientResponse] = set()
        self._suspecting: asyncio.Task[None] | None = None
        self._lifetime = self._live()

    async def open(self) -> None:
        """Tie the end of the sessions to the loop's, which finishes all async generators before it closes."""
        await anext(self._lifetime)

    async def _live(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            try:
                await self._close_sessions()
            finally:
                self.ended.set_result(None)

    async def send(self, exchange: Exchange) -> Answer:
        """One attempt, from its slot to the last byte; `SessionPool.send` says what it raises."""
        if not self.slots.try_take():
            await self.slots.take(exchange.priority)
        reachability = exchange.reachability
        exchange.epoch = reachability.epoch
        if reachability.unavailable and exchange.patience and reachability.blocks(exchange.request.operation.name):
            self.slots.give_back()
            exchange.refused = ""
            raise APIConnectionError("the service went away", operation=exchange.request.operation.name)
        deadlines = self._deadlines.get(exchange.timeout) or self._new_deadlines(exchange.timeout)
        deadlines.begin(exchange)
        try:
            response = await self._sessions.ask(exchange)
            content = response.content
            _use_once_if_misdirected(response)
            if content.is_eof() and CONTENT_ENCODING not in response.headers and response.status >= _OK:
                # The common case: all of it has come already.
                body = SilentBytes(content.read_nowait())
                if len(body) <= self._max_body:
                    return Answer(response.status, response.headers, body)
                exchange.heard = response.status, response.headers
                return self._oversized(response, exchange, body)
            exchange.heard = response.status, response.headers
            return await self._read(response, exchange, deadlines)
        except self.failures as error:
            failure = exchange.failure(error, closed=self.closed)
        except asyncio.CancelledError:
            if not deadlines.over(exchange):
                raise
            failure = exchange.failure(TimeoutError(), closed=self.closed)
        finally:
            deadlines.end(exchange)
            self.slots.give_back()
        # Outside of the except block: an error raised inside would carry aiohttp's frames along as its context.
        raise failure

    def _new_deadlines(self, seconds: float) -> Deadlines:
        """Deadlines for attempts with another timeout; those that no attempt uses any more are dropped."""
        self._deadlines = {kept: each for kept, each in self._deadlines.items() if not each.idle}
        new = self._deadlines[seconds] = Deadlines(self.loop, seconds, self._suspect)
        return new

    async def _read(self, response: aiohttp.ClientResponse, exchange: Exchange, deadlines: Deadlines) -> Answer:
        """The answer with its body. A refusal stands by its status alone: as much of its body as came will do."""
        body = Body(self._max_body)
        if self._sessions.own:
            self._reading.add(response)
        try:
            await body.read(response)
        except (*FAILURES, asyncio.CancelledError) as error:
            cancelled = isinstance(error, asyncio.CancelledError) and not deadlines.over(exchange)
            if cancelled or response.status in SUCCESS:
                raise
        finally:
            self._reading.discard(response)
            if not body.whole or response.status < _OK:  # an upgraded connection is never given back by itself
                response.close()
        content = body.joined()
        if not body.too_large:
            return Answer(response.status, response.headers, content)
        return self._oversized(response, exchange, content)

    def _oversized(self, response: aiohttp.ClientResponse, exchange: Exchange, content: SilentBytes) -> Answer:
        """A refusal whose body is too large keeps the beginning of it; a result raises."""
        content = SilentBytes(content[:_KEPT_OF_OVERSIZED])
        if response.status not in SUCCESS:
            return Answer(response.status, response.headers, content)
        operation = exchange.request.operation.name
        msg = f"{operation}: the answer is larger than {self._max_body} bytes: SessionPool(max_body=…) sets the bound"
        raise ResponseDecodeError(msg, body=content, operation=operation)

    async def probe(self, origin: str) -> str | None:
        """Why no fresh connection can be made to an origin; `None` if one can, or if only a call can tell."""
        if not self._sessions.own:
            return None
        try:
            await self._sessions.connect(origin)
        except self.failures as error:
            return why_unreachable(error)
        return None

    def _suspect(self, exchange: Exchange) -> None:
        """Several attempts are silent: see whether a fresh connection can be made."""
        if self._suspecting is None and not exchange.reachability.unavailable:
            self._suspecting = self.loop.create_task(self._check(exchange.reachability))

    async def _check(self, suspected: Reachability) -> None:
        try:
            if (reason := await self.probe(suspected.origin)) is not None:
                suspected.refused(f"no byte for {SILENCE:g} s; {reason}")
        finally:
            self._suspecting = None

    async def fetch(self, url: Secret, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """The head of the answer to a GET of a file. `drop` it; closing the pool closes it too."""
        response = await self._sessions.fetch(url, headers)
        self._reading.add(response)
        return response

    def drop(self, response: aiohttp.ClientResponse) -> None:
        """Close a response of `fetch`; its connection too, if its body was not read to the end."""
        self._reading.discard(response)
        response.close()

    async def aclose(self) -> None:
        """Close the sessions: calls that wait raise `ClientClosedError`, those on the wire `APIConnectionError`."""
        self.closed = True
        self.slots.close("the client was closed before the call was sent")
        self.download_slots.close("the client was closed before the download began")
        with contextlib.suppress(RuntimeError):  # the loop's own end is closing it already
            await self._lifetime.aclose()

    def ask_to_close(self) -> bool:
        """Have the loop close its sessions, from any thread, or return `False` if the loop is closed already."""
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
        """Forget the sessions without touching a socket: their loop is closed, or it is a parent process's."""
        self.closed = True
        self._sessions.let_go()

    async def _close_sessions(self) -> None:
        self.closed = True
        if self._suspecting is not None:
            self._suspecting.cancel()
        for deadlines in self._deadlines.values():
            deadlines.close()
        for response in list(self._reading):
            response.close()  # else its reader would not notice that the session closes, and would wait for the timeout
        await self._sessions.aclose()


def _use_once_if_misdirected(response: aiohttp.ClientResponse) -> None:
    """Keep no connection over which a 421 came: only another one may lead to a server that answers for the origin."""
    if response.status == _MISDIRECTED and (protocol := getattr(response, "_protocol", None)) is not None:
        protocol.force_close()
