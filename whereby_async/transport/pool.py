"""`SessionPool`: one aiohttp session for each event loop, and a fixed number of connection slots before it.

A call takes its points first, then a slot. There are as many slots as connections, so nobody waits inside aiohttp, and
the time of an attempt starts at its slot.

A pool is bound to no loop. Each loop that uses it, in whatever thread, gets a session of its own, which closes with
that loop. A forked child lets the parent's sessions go without closing a socket (to close one would end the parent's
connection, or take it out of a selector that both share) and begins with none.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import ssl as ssl_module
import threading
import warnings
import weakref
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp

from ..errors import ClientClosedError, ConfigurationError, refuses
from ..redaction import as_secret, once_made, plain, shown
from .connections import Connections
from .exchange import Answer, Exchange
from .proxies import ProxyChoice
from .reachability import Reachability, reachability
from .storage import Storage

_CLOSING_CHECK: Final = 0.005
_CLOSING_LIMIT: Final = 5.0
"""Seconds that `aclose` waits for loops in other threads to close their sessions."""


@refuses(__enter__="use `async with SessionPool(…) as pool:`, in an `async def` function")
class SessionPool:
    """Connections for one or several clients, which leave it open: close it, or use it in `async with`.

    Args:
        connections: Calls on the wire at once, per event loop; the others wait their turn, by priority and in order.
        downloads: Files downloaded at once, per event loop, beside the calls; further ones wait their turn likewise.
        session: An `aiohttp.ClientSession` of your own to send through. It serves the loop it is first used in, and is
            never closed here; its `raise_for_status` is overridden, and its own connection limit should be no smaller
            than `connections` and `downloads` together. Downloads share its connector, but none of its headers, cookies
            or auth, and not its proxy: pass that as `proxy`, for calls and downloads. Plain http is refused where it
            would meet a proxy, and beyond this machine where it might. Where a server sends bytes that belong
            to no answer, such as a body behind a 204, only sessions of the pool's own still read the answer.
        proxy: URL of an HTTP proxy for https, `http://user:password@host:port`; plain http goes through none.
        ssl: An `ssl.SSLContext`, an `aiohttp.Fingerprint`, or `False` to check no certificate.
        trust_env: Take the proxy for https from `HTTPS_PROXY`, else `ALL_PROXY`, also in lower case, but for this
            machine's own addresses and what `NO_PROXY` lists: names, addresses, and networks such as `10.0.0.0/8` for
            URLs with an address.
        keepalive: Seconds that an idle connection is kept. Shorter than the server's own limit (5 s is a common one),
            since a call that meets a connection which is being closed may have to be repeated, and a create may not be.
        max_body: The largest body in bytes, decompressed, that an answer may have.

    Raises:
        ConfigurationError: An option is out of range.
    """

    def __init__(  # noqa: PLR0913 - options, all of them keywords
        self,
        *,
        connections: int = 100,
        downloads: int = 16,
        session: aiohttp.ClientSession | None = None,
        proxy: str | None = None,
        ssl: ssl_module.SSLContext | bool | aiohttp.Fingerprint | None = None,
        trust_env: bool = False,
        keepalive: float = 4.0,
        max_body: int = 64 * 1024 * 1024,
    ) -> None:
        proxy = as_secret(proxy)
        connections, downloads, max_body = plain(connections), plain(downloads), plain(max_body)
        keepalive = plain(keepalive)
        self._by_loop: dict[asyncio.AbstractEventLoop, Connections] = {}
        self._connections = connections
        self._closed = False
        if session is not None and not hasattr(session, "request"):
            advice = "pass an aiohttp.ClientSession, or nothing for sessions of its own"
            raise ConfigurationError(f"SessionPool(session={shown(session)}): {advice}")
        for name, value, least in (
            ("connections", connections, 1),
            ("downloads", downloads, 1),
            ("keepalive", keepalive, 0),
            ("max_body", max_body, 1),
        ):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < least:
                raise ConfigurationError(f"SessionPool({name}={value!r}): pass a number from {least}")
        self._injected = session
        self._proxies = ProxyChoice(proxy, trust_env=trust_env)
        self._own: dict[str, Reachability] = {}
        self._new_connections = functools.partial(
            Connections,
            slots=int(connections),
            downloads=int(downloads),
            injected=session,
            proxies=self._proxies,
            ssl=True if ssl is None else ssl,
            keepalive=keepalive,
            max_body=int(max_body),
        )
        self._lock = threading.Lock()
        self._label = "SessionPool"
        _pools.add(self)

    @once_made
    def __repr__(self) -> str:
        closed = " closed" if self._closed else ""
        return f"<SessionPool connections={self._connections} loops={len(self._by_loop)}{closed}>"

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._closed

    @property
    def in_use(self) -> int:
        """Connections in use, over all loops; those of downloads too."""
        return sum(each.slots.in_use + each.download_slots.in_use for each in list(self._by_loop.values()))

    @property
    def waiting(self) -> int:
        """Calls that have their points and wait for a connection, and downloads that wait for one, over all loops."""
        return sum(each.slots.waiting + each.download_slots.waiting for each in list(self._by_loop.values()))

    def name_after(self, owner: str) -> None:
        """Set whom the warning names if the pool is dropped with open sessions."""
        self._label = owner

    async def send(self, exchange: Exchange) -> Answer:
        """Send one attempt and read its answer whole. Its status may be any; nothing is followed, repeated or decoded.

        Args:
            exchange: The attempt. Its `left` shows afterwards whether it may have reached the server.

        Raises:
            APIConnectionError: No answer came.
            APITimeoutError: None came within its `timeout`.
            ClientClosedError: The pool is closed.
            ConfigurationError: An injected session is used in a second loop.
            ResponseDecodeError: The answer is larger than `max_body`.
        """
        connections = self._by_loop.get(asyncio.get_running_loop())
        if connections is None or connections.closed:
            connections = await self._open()
        return await connections.send(exchange)

    @property
    def probes(self) -> bool:
        """Whether it can make a connection only to see whether it can be made; a session that is not ours can not."""
        return self._injected is None

    def reachability(self, url: str) -> Reachability:
        """What is known of the origin that a URL leads to, through the proxy that it takes.

        It is the process's, unless the pool sends through an injected session, which may have ways of its own.

        Raises:
            ConfigurationError: The environment's proxy can not be used.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"
        if self._injected is not None:
            if origin not in self._own:
                self._own[origin] = Reachability(origin)
            return self._own[origin]
        proxy = self._proxies(url)
        return reachability(origin, proxy.url if proxy else "")

    async def probe(self, origin: str) -> str | None:
        """Why no fresh connection can be made to an origin; `None` if one can, or if only a call can tell."""
        return await (await self._connections_here()).probe(origin)

    async def storage(self, operation: str, priority: int, root: str = "") -> Storage:
        """Wait for a slot for one download, and return the way to files behind access links; `leave` it when done.

        Args:
            operation: What errors call it, such as `recordings.download`.
            priority: Who gets a slot first, 0 before all others.
            root: The API's root; if it is http, links to its host may be too.

        Raises:
            ClientClosedError: The pool is closed.
            ConfigurationError: An injected session is used in a second loop.
        """
        connections = await self._connections_here()
        if not connections.download_slots.try_take():
            await connections.download_slots.take(priority)
        return Storage(connections, operation, self.reachability, root)

    async def _connections_here(self) -> Connections:
        connections = self._by_loop.get(asyncio.get_running_loop())
        return await self._open() if connections is None or connections.closed else connections

    async def _open(self) -> Connections:
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._closed:
                msg = "this client (or its SessionPool) is closed: create a new one, or call inside its `async with`"
                raise ClientClosedError(msg)
            for other, dead in list(self._by_loop.items()):
                if other.is_closed() or dead.closed:
                    dead.let_go()
                    del self._by_loop[other]
            if (opened := self._by_loop.get(loop)) is not None:
                return opened
            if self._injected is not None and self._by_loop:
                what = "an injected aiohttp.ClientSession serves one event loop only"
                raise ConfigurationError(f"{what}: use a SessionPool without session= here")
            connections = self._by_loop[loop] = self._new_connections(loop)
        await connections.open()
        return connections

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the sessions of all loops, each on its own loop. An injected session stays open.

        Calls that wait for a slot get `ClientClosedError`; calls on the wire fail with `APIConnectionError`. A second
        call does nothing. Where no asyncio loop runs, as under trio, the other loops are only asked to close theirs.
        """
        here = asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise
        with self._lock:
            self._closed = True
            opened = list(self._by_loop.values())
            self._by_loop = {}
        closing: list[Connections] = []
        for connections in opened:
            if connections.loop is here:
                await connections.aclose()
            elif connections.loop.is_closed():
                connections.let_go()
            elif connections.ask_to_close():
                closing.append(connections)
        if here is None:
            return
        # Not for ever: a loop that is blocked, or does not run, closes its session when it runs again.
        end = here.time() + _CLOSING_LIMIT
        while closing and here.time() < end:
            closing = [each for each in closing if each.loop.is_running() and not each.ended.done()]
            await asyncio.sleep(_CLOSING_CHECK)

    def __del__(self) -> None:
        """Warn once if the pool is dropped with open sessions, and let their loops close them."""
        left_open = False
        for loop, connections in getattr(self, "_by_loop", {}).items():
            if connections.closed or loop.is_closed():
                connections.let_go()
                continue
            left_open = self._injected is None
            connections.ask_to_close()
        if left_open:
            warnings.warn(
                f"{self._label} was not closed: use `async with`, or `await …aclose()`",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    def _reset(self) -> None:
        """Begin without sessions, in a forked child; the parent's are kept from being collected."""
        self._lock = threading.Lock()
        for connections in self._by_loop.values():
            _inherited.append(connections)
            connections.let_go()
        self._by_loop = {}


_pools: weakref.WeakSet[SessionPool] = weakref.WeakSet()
_inherited: list[Connections] = []


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        pool._reset()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - same module


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
