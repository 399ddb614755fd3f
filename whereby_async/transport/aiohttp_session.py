"""How requests go through aiohttp: our connector and request class, and the sessions of one event loop.

How far an attempt got (`Exchange.left`) decides whether its points and the call itself may be spent again. Our
connector therefore marks the attempt at the moment in which a connection is handed over. aiohttp's silent second try on
a dead kept-alive connection is off: every request on the wire is one that was paid for.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import io
import re
import select
import urllib.request
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from urllib.parse import urlsplit

import aiohttp
from aiohttp import payload
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.hdrs import CONTENT_LENGTH, HOST
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from ..errors import ConfigurationError
from ..options import is_loopback
from ..redaction import shown
from .exchange import FAILURES, LONGEST_HEAD_LINE, MOST_HEADERS, sending
from .reachability import LONGEST_PROBE

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Coroutine, Mapping

    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader

    from ..operation import Request
    from ..redaction import Secret
    from .exchange import Exchange
    from .proxies import ProxyChoice

_DNS_TTL: Final = 60
_READ: Final = 64 * 1024
"""Bytes that asyncio reads at once. It reserves as many for each read, by default so many that the allocator returns
the memory to the system each time: a sixth of what a small call costs."""
_ALLOCATOR_PRIMER: Final = 1024 * 1024
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_AT_ONCE: Final = 512 * 1024
"""Bytes of a body that are written in one go; a larger one is written in pieces, so that other tasks run in between."""
_DOWNLOAD_BUFFER: Final = 256 * 1024
"""Bytes that wait in memory for each download; aiohttp holds at most twice as many."""
_UNTIMED: Final = aiohttp.ClientTimeout(total=None, sock_connect=LONGEST_PROBE)
"""`Deadlines` end an attempt, and `Storage` a download: aiohttp's own timeouts cost more for each call. The one on
making a connection is for connectors that are not ours."""
_MAKES_HEADERS: Final = hasattr(aiohttp.ClientRequest, "update_headers")
"""Whether this version of aiohttp lets a request make its own headers; if not, they are passed to it."""
_MOST_WIRE_HEADERS: Final = 64


_probing: Final[ContextVar[bool]] = ContextVar("whereby_async_probing", default=False)
"""The running task makes a connection only to see whether it can be made."""


_HEAD_LIMITS: Final[dict[str, Any]] = {
    "max_line_size": LONGEST_HEAD_LINE,
    "max_field_size": LONGEST_HEAD_LINE,
    "max_headers": MOST_HEADERS,
}
_HEADS_END: Final = re.compile(rb"\n\r?\n")
_FIRST_FINAL: Final = 200
_NO_CONTENT: Final = 204
_of_file: Final[ContextVar[Mapping[str, str]]] = ContextVar("whereby_async_of_file")
"""The headers of the file that the running task asks a storage for."""


class _ConnectedError(Exception):
    """What a probe ends with when its connection was made."""


class _Protocol(ResponseHandler):
    """aiohttp's reader of answers, which reads once more what it could not read, the head before what follows it.

    It loses an answer that comes in one piece with bytes which are neither its body nor another answer. A 204 has no
    body whatever its head says, so what a server sends for one belongs to nobody.
    """

    _unread = b""
    """What has come of an answer whose head is not known yet."""
    _status = 0
    """That of the head that was read last."""
    _options: dict[str, Any]

    def set_response_params(self, **options: Any) -> None:
        """Get ready for an answer, be it the server's or a proxy's."""
        options.update(_HEAD_LIMITS)
        self._options = options
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Have aiohttp read what has come."""
        if self._parser is not None and self._at_head():
            self._unread += data
        super().data_received(data)
        if self._exception is not None and self._payload is not None and not self._payload.is_eof():
            # aiohttp does not tell the reader of a body that is no valid HTTP, who would wait for the timeout.
            self._payload.set_exception(aiohttp.ClientPayloadError())

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take the head of an answer. Where a 204 says that it has a body, that may come later."""
        message, _ = data
        self._status = message.code
        # Behind the head of an interim answer, the next one may have begun.
        self._unread = b"" if message.code >= _FIRST_FINAL else _HEADS_END.split(self._unread)[-1]
        if message.code == _NO_CONTENT and (message.chunked or message.headers.get(CONTENT_LENGTH, "0") != "0"):
            self.force_close()
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Give up, but only when what has come cannot be read head by head either."""
        unread, self._unread = self._unread, b""
        if not unread or not isinstance(exc, HttpProcessingError):
            super().set_exception(exc, *((exc_cause,) if exc_cause else ()))
            return
        super().set_response_params(**self._options)
        self._status = 0
        while unread and self._exception is None and not (self._status >= _FIRST_FINAL and self._at_head()):
            head = _HEADS_END.search(unread) if self._at_head() else None
            end = len(unread) if head is None else head.end()
            super().data_received(unread[:end])
            unread = unread[end:]
        self.force_close()

    def _at_head(self) -> bool:
        """No body is being read."""
        return self._payload is None or self._payload.is_eof()


class Connector(aiohttp.TCPConnector):
    """Marks the attempt under way when it has a connection, since from then on it may reach the server.

    A kept-alive connection on which something came while nobody asked is not used again: aiohttp would take a surplus
    answer for the answer to the next request. For a call that must not be made twice the socket itself is asked too,
    since the loop may not have heard yet that the server closed it.
    """

    def __init__(self, **options: Any) -> None:
        # The connection slots bound the connections; a limit here would be a second, unfair queue.
        super().__init__(limit=0, **options)  # pyright: ignore[reportUnknownMemberType] - socket_factory's, in aiohttp
        self._factory = cast("functools.partial[ResponseHandler]", functools.partial(_Protocol, loop=self._loop))
        self._fresh: set[object] = set()

    async def _create_connection(self, *args: Any, **options: Any) -> ResponseHandler:
        """Make a connection: the one place where one to an origin or a proxy comes to be, or fails to.

        Name, socket, a proxy's tunnel and TLS have `LONGEST_PROBE` together; aiohttp raises `ConnectionTimeoutError`.
        """
        async with asyncio.timeout(LONGEST_PROBE):
            protocol = await super()._create_connection(*args, **options)
        self._fresh.add(protocol)
        transport: Any = protocol.transport
        if hasattr(transport, "max_size"):
            transport.max_size = _READ
        return protocol

    async def connect(self, req: ClientRequest, *args: Any, **options: Any) -> Connection:
        """A connection that is fit for use; from now on the request may reach the server."""
        exchange = sending.get()
        if exchange is None and _probing.get():
            await self._probe(req, *args, **options)
        while True:
            connection = await _connect(self, req, *args, **options)
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101 - a connection that was just handed over has one
            if self._fresh and protocol in self._fresh:
                self._fresh.remove(protocol)
                if exchange is not None:
                    exchange.fresh = True
                break
            if not protocol.should_close and (req.method in _REPEATABLE or not _is_stale(protocol.transport)):
                break
            connection.close()
        if exchange is not None:
            exchange.left = True
        return connection

    async def _probe(self, req: ClientRequest, *args: Any, **options: Any) -> NoReturn:
        """Make a fresh connection, and keep it for the next request."""
        protocol = await self._create_connection(req, *args, **options)
        self._fresh.discard(protocol)
        Connection(self, req.connection_key, protocol, self._loop).release()
        raise _ConnectedError

    def __del__(self, *_: object) -> None:
        """No warning: a session is closed with its loop, or let go without touching its sockets."""


_connect = aiohttp.TCPConnector.connect
"""Looked up once: `super()` is not cheap, and this runs for each attempt."""


def _is_stale(transport: asyncio.BaseTransport | None) -> bool:
    """Whether something can be read on an idle connection: the server closed it, or sent what nobody asked for."""
    if transport is None or not hasattr(select, "poll"):
        return False
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(waiting.poll(0))


class OutgoingRequest(aiohttp.ClientRequest):
    """aiohttp's request with the headers that the attempt brings, put together once for all calls of a client.

    aiohttp copies the headers of a call twice, name by name, which is a twentieth of what a call costs. This way the
    bearer does not go through its frames either. Tracing libraries put headers such as `traceparent` into those that
    aiohttp was passed: they go to the API, but not to a storage, where a link's holder is to be known by nothing else.
    """

    def update_headers(self, headers: Any) -> None:
        """Take those of the attempt that the running task sends, and what a tracing library has added."""
        exchange = sending.get()
        if exchange is None:
            super().update_headers(_of_file.get())
        elif exchange.wire is None:
            super().update_headers(headers)
        else:
            self.headers: CIMultiDict[str] = exchange.wire.copy()
            if headers:
                self.headers.update(headers)


class Sessions:
    """The aiohttp sessions of one loop: one for calls, of ours or the user's, and one for files, which is always ours.

    Attributes:
        own: The session for calls is ours too, and the same. Closing it does not end the reading of its answers.
        failures: What is raised when an attempt fails: by what is not ours it may be anything.
    """

    def __init__(
        self,
        injected: aiohttp.ClientSession | None,
        proxies: ProxyChoice,
        ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint,
        keepalive: float,
    ) -> None:
        self.own: bool = injected is None
        self.failures: tuple[type[Exception], ...] = FAILURES if injected is None else (Exception,)
        connector = getattr(injected, "connector", None)
        if isinstance(connector, aiohttp.BaseConnector):
            # The same connections, without the headers, cookies and auth of a session that was made for the API.
            self._files = aiohttp.ClientSession(
                connector=connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                request_class=OutgoingRequest,
                trust_env=False,
            )
        else:
            self._files = _new_session(ssl, keepalive)
        self._calls = self._files if injected is None else injected
        self._proxies = proxies
        self._ssl = ssl
        self._wire_headers: dict[int, tuple[Mapping[str, str], str | None, CIMultiDict[str]]] = {}

    async def ask(self, exchange: Exchange) -> aiohttp.ClientResponse:
        """Send an attempt and return the head of its answer. Errors are aiohttp's, or ours for a closed session."""
        sending.set(exchange)
        request = exchange.request
        method, body = request.operation.method, _body_of(request)
        if not self.own:
            if getattr(self._calls, "closed", False) is True:  # what wraps a session need not say
                msg = "the aiohttp.ClientSession that was passed as SessionPool(session=…) is closed"
                raise ConfigurationError(msg)
            if exchange.url.startswith("http:"):
                _check_way(self._calls, exchange.url)
            try:
                asking = self._request(self._calls, method, exchange.url, exchange.headers, data=body)
            except TypeError:
                asking = None
            if not inspect.isawaitable(asking):
                what = "its `request` does not take, or return, what that of an aiohttp.ClientSession does"
                raise ConfigurationError(f"SessionPool(session={shown(self._calls)}): {what}")
            exchange.left = True  # a session that is not ours cannot tell when it sends
            return await asking
        url = URL(exchange.url, encoded=True)
        proxy = self._proxies(exchange.url)
        if _MAKES_HEADERS:
            exchange.wire = self._headers_for(exchange.headers, url)
        # Without the context manager that `ClientSession.request` wraps around it.
        return await self._calls._request(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
            method,
            url,
            headers=None if _MAKES_HEADERS else dict(exchange.headers),
            data=body,
            allow_redirects=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
        )

    async def fetch(self, url: Secret, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """A plain GET of a file, which is not the API's: the head of the answer, redirects not followed.

        It has neither the bearer nor a time limit; what it raises is aiohttp's.
        """
        sending.set(None)
        _of_file.set(headers)
        return await self._request(self._files, "GET", url, headers, read_bufsize=_DOWNLOAD_BUFFER)

    async def connect(self, url: str) -> None:
        """Make a fresh connection to where a URL leads, and give it to the pool. Errors are aiohttp's.

        Only for sessions of ours: the connector of another may not know how.
        """
        sending.set(None)
        _of_file.set({})
        token = _probing.set(True)
        try:
            await self._request(self._files, "GET", url, {})
        except _ConnectedError:
            return
        finally:
            _probing.reset(token)

    def _request(
        self, session: aiohttp.ClientSession, method: str, url: str, headers: Mapping[str, str], **more: Any
    ) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        """A request through a session whose own settings must not matter."""
        proxy = self._proxies(url)
        return session.request(
            method,
            URL(url, encoded=True),
            headers=dict(headers),  # a tracing library may add its own in place
            timeout=_UNTIMED,
            allow_redirects=False,
            raise_for_status=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
            ssl=self._ssl,
            auto_decompress=False,
            **_HEAD_LIMITS,
            **more,
        )

    def _headers_for(self, headers: Mapping[str, str], url: URL) -> CIMultiDict[str]:
        """The headers of a client as they go on the wire to a host, `Host` among them; not to be changed."""
        made, host = self._wire_headers.get(id(headers)), url.host_port_subcomponent
        if made is not None and made[0] is headers and made[1] == host:
            return made[2]
        if len(self._wire_headers) >= _MOST_WIRE_HEADERS:
            self._wire_headers.clear()
        wire = CIMultiDict({HOST: host, **headers} if host else headers)
        self._wire_headers[id(headers)] = headers, host, wire
        return wire

    async def aclose(self) -> None:
        """Close what is ours."""
        await self._files.close()

    def let_go(self) -> None:
        """Forget what is ours without touching a socket."""
        self._files.detach()


def _new_session(ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint, keepalive: float) -> aiohttp.ClientSession:
    # Linux's allocator returns a free block of 128 KiB to the system at once, and so each page of a list would be paid
    # for in page faults, until it has seen a larger block freed. This one is never written to; at most two megabytes
    # are kept.
    bytes(_ALLOCATOR_PRIMER)
    session = aiohttp.ClientSession(
        connector=Connector(keepalive_timeout=keepalive, ttl_dns_cache=_DNS_TTL, ssl=ssl),
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=OutgoingRequest,
        timeout=_UNTIMED,
        auto_decompress=False,
        trust_env=False,
    )
    session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - there is no public switch
    return session


def _check_way(session: aiohttp.ClientSession, url: str) -> None:
    """Refuse a session of the user's through which plain http goes to a proxy or, beyond this machine, might go."""
    host = urlsplit(url).hostname or ""
    is_known, goes_by_environment = True, bool(getattr(session, "trust_env", False))
    if is_loopback(host):
        has_proxy = bool(urllib.request.getproxies().get("http")) and not urllib.request.proxy_bypass(host)
        goes_by_environment = goes_by_environment and has_proxy
    else:  # neither a wrapper nor a connector of another kind, such as one for SOCKS, says where it sends
        is_known = isinstance(session, aiohttp.ClientSession) and type(session.connector) is aiohttp.TCPConnector
    if not is_known or goes_by_environment or getattr(session, "_default_proxy", None) is not None:
        what = "plain http would hand the key to a proxy, or might: pass an aiohttp.ClientSession itself"
        raise ConfigurationError(f"SessionPool(session=…): {what}, with a TCPConnector, no proxy and no trust_env")


def _body_of(request: Request[Any]) -> aiohttp.Payload | aiohttp.FormData | None:
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
