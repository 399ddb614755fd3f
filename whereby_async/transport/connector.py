"""`Connector`: aiohttp's, but it says when a request leaves, and hands out no connection that is about to end."""

from __future__ import annotations

import select
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import aiohttp

if TYPE_CHECKING:
    import asyncio

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection

    from .exchange import Exchange
    from .storage import Departure

_READ: Final = 64 * 1024
"""Bytes that asyncio reads at once. It reserves as many for each read, by default so many that the allocator gives the memory
back to the system each time: a sixth of what a small call costs."""
_FAMILIAR: Final = 1024 * 1024
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

sending: Final[ContextVar[Exchange | Departure]] = ContextVar("whereby_async_sending")
"""What the running task sends."""


class Connector(aiohttp.TCPConnector):
    """Notes on the exchange under way that it has a connection, so that from here on it may reach the server.

    A kept-alive connection on which something came while nobody asked is not used again: aiohttp would take an answer that
    came too much for the answer to the next request. For a call that must not be made twice the socket itself is asked too,
    since the loop may not have heard yet that the server closed it.
    """

    def __init__(self, **options: Any) -> None:
        # The gate bounds them; a limit here would be a second, unfair queue.
        super().__init__(limit=0, **options)  # pyright: ignore[reportUnknownMemberType] - socket_factory's, in aiohttp
        self._fresh: set[object] = set()

    async def _create_connection(self, *args: Any, **options: Any) -> ResponseHandler:
        protocol = await super()._create_connection(*args, **options)
        self._fresh.add(protocol)
        transport: Any = protocol.transport
        if hasattr(transport, "max_size"):
            transport.max_size = _READ
        return protocol

    async def connect(self, req: ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109 - aiohttp's
        """A connection that is fit for use; from now on the request may reach the server."""
        while True:
            connection = await _connect(self, req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101 - a connection that was just handed over has one
            if self._fresh and protocol in self._fresh:
                self._fresh.remove(protocol)
                break
            if not protocol.should_close and (req.method in _REPEATABLE or not _is_stale(protocol.transport)):
                break
            connection.close()
        sending.get().left = True
        return connection

    def __del__(self, *_: object) -> None:
        """Quiet: a session is closed with its loop, or let go without touching its sockets (see `Connections.let_go`)."""


def accustom_allocator() -> None:
    """Let the allocator of Linux (glibc's) keep the memory of some large blocks for the next ones.

    It gives a free block of 128 KiB back to the system at once, and so each page of a list would be paid for in page faults,
    until it has once seen a larger one go. That one is here, and is never written to. At most two megabytes are kept.
    """
    bytes(_FAMILIAR)


_connect = aiohttp.TCPConnector.connect
"""Looked up once: `super()` is not cheap, and this runs for each attempt."""


def _is_stale(transport: asyncio.BaseTransport | None) -> bool:
    """Is something to be read on an idle connection? That is the server's farewell, or nothing that was asked for."""
    if transport is None or not hasattr(select, "poll"):
        return False
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(waiting.poll(0))
