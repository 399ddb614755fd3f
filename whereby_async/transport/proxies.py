"""Which proxy a URL goes through: the one that was given, or the environment's when that was asked for.

Only https goes through a proxy, in a tunnel that it cannot look into. Plain http is allowed to this machine alone, and
would hand the bearer to the proxy. aiohttp's own `trust_env` is not used: it looks the proxy up in a thread for each
call, and it reads `.netrc`, whose entry for the API's host would collide with the bearer.
"""

from __future__ import annotations

import base64
import urllib.request
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ..errors import ConfigurationError
from ..redaction import Secret


class Proxy(NamedTuple):
    """A proxy's URL without its user, and the header that carries the user to it."""

    url: str
    headers: dict[str, str]


def parse_proxy(url: str) -> Proxy:
    """Split the user from a proxy's URL, so that the password shows in no URL's repr."""
    proxy = _parsed(url) if isinstance(url, str) else None
    if proxy is None:
        msg = "proxy is no URL that can be used: pass one like 'http://user:password@proxy.example:3128'"
        raise ConfigurationError(msg)
    return proxy


def _parsed(url: str) -> Proxy | None:
    """The proxy, or `None`. Raises nothing, since its frame holds the password."""
    try:
        parts = urlsplit(str(url))
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host:
        return None
    location = f"[{host}]" if ":" in host else host
    bare = f"{parts.scheme}://{location}" + (f":{port}" if port else "")
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
        self._known: dict[str, Proxy | None] = {}

    def __call__(self, url: str) -> Proxy | None:
        """The proxy for `url`; the environment is asked once for each host."""
        if not url.startswith("https:"):
            return None
        if self._fixed is not None or not self._trust_env:
            return self._fixed
        location = urlsplit(url).netloc
        if location not in self._known:
            self._known[location] = self._from_environment(location)
        return self._known[location]

    @staticmethod
    def _from_environment(location: str) -> Proxy | None:
        if urllib.request.proxy_bypass(location):
            return None
        proxies = urllib.request.getproxies()
        found = Secret(proxies.get("https") or proxies.get("all") or "")
        return parse_proxy(Secret(found if "://" in found else f"http://{found}")) if found else None
