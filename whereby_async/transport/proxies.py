"""Which proxy a URL goes through: the one that was given, or the environment's when that was asked for.

aiohttp's own `trust_env` is not used: it looks the proxy up in a thread for each call, and it reads `.netrc`, whose entry
for the API's host would collide with the bearer.
"""

from __future__ import annotations

import base64
import urllib.request
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from ..errors import ConfigurationError
from ..redaction import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .exchange import Exchange


class Proxy(NamedTuple):
    """A proxy's URL without its user, and the header that carries the user to it."""

    url: str
    headers: dict[str, str]

    def headers_for(self, exchange: Exchange) -> Mapping[str, str]:
        """The request's own headers: a plain http request goes to the proxy itself, and so carries the proxy's header too."""
        return exchange.headers if exchange.url.startswith("https:") else {**exchange.headers, **self.headers}


def parse_proxy(url: str) -> Proxy:
    """Split the user from a proxy's URL, so that the password shows in no URL's repr.

    Raises:
        ConfigurationError: It is no `http` or `https` URL with a host.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in {"http", "https"} or not host:
        msg = f"proxy: a {parts.scheme or 'relative'} URL is not usable: pass one like 'http://proxy.example:3128'"
        raise ConfigurationError(msg)
    location = f"[{host}]" if ":" in host else host
    bare = urlunsplit((parts.scheme, f"{location}:{port}" if port else location, "", "", ""))
    if parts.username is None:
        return Proxy(bare, {})
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(bare, {"Proxy-Authorization": Secret("Basic " + base64.b64encode(user).decode())})


class ProxyChoice:
    """The proxy for each URL."""

    __slots__ = ("_fixed", "_known", "_trust_env")

    def __init__(self, proxy: str | None, *, trust_env: bool) -> None:
        self._fixed = parse_proxy(proxy) if proxy is not None else None
        self._trust_env = trust_env
        self._known: dict[tuple[str, str], Proxy | None] = {}

    def __call__(self, url: str) -> Proxy | None:
        """The proxy for `url`; the environment is asked once for each origin."""
        if self._fixed is not None or not self._trust_env:
            return self._fixed
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        if origin not in self._known:
            self._known[origin] = self._from_environment(*origin)
        return self._known[origin]

    @staticmethod
    def _from_environment(scheme: str, location: str) -> Proxy | None:
        if urllib.request.proxy_bypass(location):
            return None
        proxies = urllib.request.getproxies()
        found = proxies.get(scheme) or proxies.get("all")
        return parse_proxy(found if "://" in found else f"http://{found}") if found else None
