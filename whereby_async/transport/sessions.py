"""The aiohttp sessions of one loop: one for calls, of ours or the user's, and one for files, which are not the API's.

aiohttp's silent second try on a dead kept-alive connection is off in ours: every request on the wire is one that was paid for.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import payload
from yarl import URL

from ..errors import ConfigurationError
from .connector import Connector, accustom_allocator, sending
from .outgoing import MAKES_HEADERS, NoCookies, OutgoingRequest, WireHeaders
from .storage import BUFFER, Departure

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Awaitable, Coroutine, Mapping

    from ..operation import Request
    from ..redaction import Secret
    from .exchange import Exchange
    from .proxies import ProxyChoice

_DNS_TTL = 60
_AT_ONCE = 512 * 1024
"""Bytes of a body that are written in one go; a larger one is written in pieces, so that the loop's other tasks run between."""

_UNTIMED = aiohttp.ClientTimeout(total=None)
"""An attempt is ended by `Deadlines`, and a download by its own: what aiohttp does for each call to bound it costs more."""


class Sessions(ABC):
    """What is asked through aiohttp in one loop. The session for files is always ours; `OwnSession` has one for both.

    Attributes:
        own: The session for calls is closed with its loop; who still reads from it has to be told of that.
    """

    own: bool

    def __init__(
        self,
        calls: aiohttp.ClientSession,
        files: aiohttp.ClientSession,
        proxies: ProxyChoice,
        ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint,
    ) -> None:
        self._calls = calls
        self._files = files
        self._proxies = proxies
        self._proxied = proxies.any
        self._ssl = ssl

    @abstractmethod
    def ask(self, exchange: Exchange) -> Awaitable[aiohttp.ClientResponse]:
        """Send an attempt: the head of its answer. What it raises is aiohttp's."""

    async def fetch(self, url: Secret, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """A plain GET of something that is not the API's: the head of the answer, redirects not followed.

        It has neither the bearer nor a time limit; what it raises is aiohttp's.
        """
        sending.set(Departure())
        return await self._request(self._files, "GET", url, headers, read_bufsize=BUFFER)

    def _request(
        self, session: aiohttp.ClientSession, method: str, url: str, headers: Mapping[str, str], **more: Any
    ) -> Awaitable[aiohttp.ClientResponse]:
        """A request through a session whose own settings must not matter."""
        proxy = self._proxies(url)
        return session.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            timeout=_UNTIMED,
            allow_redirects=False,
            raise_for_status=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
            ssl=self._ssl,
            auto_decompress=False,
            **more,
        )

    async def aclose(self) -> None:
        """Close what is ours."""
        await self._files.close()

    def let_go(self) -> None:
        """Forget what is ours without touching a socket."""
        self._files.detach()


class OwnSession(Sessions):
    """One session of ours for both."""

    own = True

    def __init__(
        self,
        proxies: ProxyChoice,
        ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint,
        keepalive: float,
    ) -> None:
        session = _new_session(ssl, keepalive)
        super().__init__(session, session, proxies, ssl)
        self._wire_headers = WireHeaders()

    def ask(self, exchange: Exchange) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        """Send an attempt. Without the context that `ClientSession.request` wraps around it."""
        request, url = exchange.request, URL(exchange.url, encoded=True)
        proxy = self._proxies(exchange.url) if self._proxied else None
        if MAKES_HEADERS:
            exchange.wire = self._wire_headers.of(exchange.headers, url)
        return self._calls._request(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
            request.operation.method,
            url,
            headers=None if MAKES_HEADERS else exchange.headers,
            data=_body(request),
            allow_redirects=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
        )


class InjectedSession(Sessions):
    """A session of the user's for calls, whose own settings must not matter; beside it one of ours for files."""

    own = False

    def __init__(
        self,
        injected: aiohttp.ClientSession,
        proxies: ProxyChoice,
        ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint,
        keepalive: float,
    ) -> None:
        super().__init__(injected, _session_beside(injected, ssl, keepalive), proxies, ssl)

    def ask(self, exchange: Exchange) -> Awaitable[aiohttp.ClientResponse]:
        """Send an attempt.

        Raises:
            ConfigurationError: The session is closed.
        """
        if self._calls.closed:
            msg = "the aiohttp.ClientSession that was passed as SessionPool(session=…) is closed"
            raise ConfigurationError(msg)
        exchange.left = True  # a session that is not ours cannot tell when it sends
        request = exchange.request
        return self._request(self._calls, request.operation.method, exchange.url, exchange.headers, data=_body(request))


def _new_session(ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint, keepalive: float) -> aiohttp.ClientSession:
    accustom_allocator()
    connector = Connector(keepalive_timeout=keepalive, ttl_dns_cache=_DNS_TTL, ssl=ssl)
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


def _session_beside(
    injected: aiohttp.ClientSession, ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint, keepalive: float
) -> aiohttp.ClientSession:
    """One over the same connector, but without the headers, cookies and auth of a session made for the API."""
    connector = getattr(injected, "connector", None)
    if not isinstance(connector, aiohttp.BaseConnector):  # something that only behaves like a session
        return _new_session(ssl, keepalive)
    return aiohttp.ClientSession(
        connector=connector, connector_owner=False, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    )


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
