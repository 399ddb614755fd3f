"""`OutgoingRequest`: aiohttp's request, but with headers that were put together once, not for each call.

aiohttp copies the headers of a call twice, name by name, which is a twentieth of what a call costs. This way the bearer
does not go through its frames either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.hdrs import HOST
from multidict import CIMultiDict
from yarl import URL

from .connector import sending
from .exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.cookies import BaseCookie

MAKES_HEADERS: Final = hasattr(aiohttp.ClientRequest, "update_headers")
"""Whether this version of aiohttp lets a request make its own headers; if not, they have to be handed to it."""

_MOST: Final = 64
_NOWHERE: Final = URL()


class WireHeaders:
    """Headers as they go on the wire, `Host` among them, of the clients that share a pool."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[int, tuple[Mapping[str, str], str | None, CIMultiDict[str]]] = {}

    def of(self, headers: Mapping[str, str], url: URL) -> CIMultiDict[str]:
        """Those of a call to `url`; not to be changed."""
        made, host = self._made.get(id(headers)), url.host_port_subcomponent
        if made is not None and made[0] is headers and made[1] == host:
            return made[2]
        if len(self._made) >= _MOST:
            self._made.clear()
        wire = CIMultiDict({HOST: host, **headers} if host else headers)
        self._made[id(headers)] = headers, host, wire
        return wire


class OutgoingRequest(aiohttp.ClientRequest):
    """The request of the attempt that the running task sends."""

    def update_headers(self, headers: Any) -> None:
        """Take the attempt's own."""
        exchange = sending.get()
        if isinstance(exchange, Exchange) and exchange.wire is not None:
            self.headers: CIMultiDict[str] = exchange.wire.copy()
        else:
            super().update_headers(headers)


class NoCookies(aiohttp.DummyCookieJar):
    """A jar that does not even make a new empty cookie for each call."""

    def __init__(self) -> None:
        super().__init__()
        self._none: BaseCookie[str] = super().filter_cookies(_NOWHERE)

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:  # noqa: ARG002 - none for any
        """None."""
        return self._none
