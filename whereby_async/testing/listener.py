"""Listening on a port, and stopping without leaving a connection half accepted.

`loop.create_server` may lose a connection that comes in at the very moment of closing: it is accepted, and then
nobody owns its socket. Here one task accepts, and it is told to stop rather than cancelled: a flag, and a connection
of our own that wakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

_BACKLOG = 4096
_GRACE = 0.1


class Listener:
    """A port on which an aiohttp server answers; made by `open`, in a running loop.

    Attributes:
        port: The port.
    """

    def __init__(self, server: web.Server, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._closing = False
        self.port: int = sock.getsockname()[1]
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    @classmethod
    def open(cls, server: web.Server, host: str, port: int) -> Listener:
        """Listen.

        Args:
            server: Who answers.
            host: The address.
            port: The port; 0 finds a free one.

        Raises:
            OSError: The port is taken, or the address is none of this machine.
        """
        sock = socket.create_server((host, port), family=_family(host), backlog=_BACKLOG)
        sock.setblocking(False)
        return cls(server, sock)

    async def aclose(self) -> None:
        """Accept no more; connections that stand stay."""
        self._closing = True
        with socket.socket(self._sock.family, socket.SOCK_STREAM) as knock:
            knock.setblocking(False)
            knock.connect_ex(self._sock.getsockname())
            await asyncio.wait([self._accepting])
        self._sock.close()

    async def drop_connections(self) -> None:
        """Close the connections; nothing is under way on them any more."""
        self._server.pre_shutdown()
        await self._server.shutdown(_GRACE)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._sock)
            if self._closing:
                connection.close()
                return
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(self._server, connection)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
