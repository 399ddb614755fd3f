"""Which proxy a URL goes through: the one that was given, or the environment's when that was asked for.

Only https goes through a proxy, in a tunnel that it cannot look into; plain http would hand the bearer to the proxy.
The environment's is never asked for this machine's own addresses. aiohttp's own `trust_env` is not used: it looks the
proxy up in a thread for each call, and it reads `.netrc`, whose entry for the API's host would collide with the bearer.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import urllib.request
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConfigurationError
from ..options import is_loopback
from ..redaction import Secret, SilentDict


class Proxy(NamedTuple):
    """A proxy's URL without its user, and the header that carries the user to it."""

    url: str
    headers: dict[str, str]


def parse_proxy(url: str, name: str = "proxy") -> Proxy:
    """Split the user from a proxy's URL, so that the password shows in no URL's repr.

    Args:
        url: The proxy's URL.
        name: What the error calls it: the option or the variable that it comes from.

    Raises:
        ConfigurationError: It is no URL of an HTTP proxy.
    """
    proxy = _parsed(url) if isinstance(url, str) else None
    if proxy is None:
        is_socks = isinstance(url, str) and url.lower().startswith("socks")
        wrong = "names a SOCKS proxy, which can not be used" if is_socks else "is no URL that can be used"
        advice = "" if name == "proxy" else ", or NO_PROXY=* to go without a proxy"
        raise ConfigurationError(f"{name} {wrong}: pass one like 'http://proxy.example:3128'{advice}")
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
        parts = urlsplit(url)
        if parts.netloc not in self._known:
            self._known[parts.netloc] = _from_environment(parts)
        return self._known[parts.netloc]


def _from_environment(parts: SplitResult) -> Proxy | None:
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    variables = SilentDict(urllib.request.getproxies())
    location = f"[{host}]" if ":" in host else host
    if urllib.request.proxy_bypass(f"{location}:{parts.port or 443}") or _is_listed(host, variables.get("no", "")):
        return None
    kind = "https" if variables.get("https") else "all"
    url = Secret(variables.get(kind) or "")
    if not url:
        return None
    names = (name for name in os.environ if name.lower() == f"{kind}_proxy" and os.environ[name] == url)
    name = next(names, "the system's proxy")
    return parse_proxy(Secret(url if "://" in url else f"http://{url}"), name)


def _is_listed(host: str, no_proxy: str) -> bool:
    """Whether a literal address is one of those of `NO_PROXY`, or in one of its networks; names are urllib's part."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        with contextlib.suppress(ValueError):  # a name, or nothing that can be understood
            if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                return True
    return False
