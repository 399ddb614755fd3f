"""`TcpProxy`: a stretch of wire between a client and a server, with the faults that lie below HTTP.

```python
async with FakeWhereby() as fake, TcpProxy(fake.url) as wire, fake.client(base_url=wire.url) as whereby:
    wire.faults.add(TcpFault(at="answer", after=20))
    await whereby.meetings.list()
```

It carries bytes both ways and understands just enough to know where it is: a *turn* is a request and its answer. It begins
with the first byte that a client sends on a new connection, or after an answer on one that was kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from .delivery import ABRUPTLY
from .tcp_faults import TcpFault, TcpFaultPlan, TcpPoint

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_PIECE = 1 << 16
_BACKLOG = 512
_BLANK_LINE = b"\r\n\r\n"


class TcpProxy:
    """Listens on a loopback port and carries what comes to a server and back, or fails to, as `faults` say.

    Args:
        target_url: The server's base URL, such as `FakeWhereby().url`; http only.

    Raises:
        ValueError: The URL is no http URL with a port.

    Attributes:
        faults: The faults to come.
        accepted: Connections that were accepted so far.
    """

    def __init__(self, target_url: str) -> None:
        parts = urlsplit(target_url)
        if parts.scheme != "http" or not parts.hostname or not parts.port:
            message = f"target_url must be an http URL with a port, such as FakeWhereby().url, not {target_url!r}"
            raise ValueError(message)
        self._target = (parts.hostname, parts.port)
        self._path = parts.path
        self._family = socket.AF_INET6 if ":" in parts.hostname else socket.AF_INET
        self._address: tuple[str, int] | None = None
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._refusing = False
        self._wires: dict[asyncio.Task[None], _Wire] = {}
        self.faults: TcpFaultPlan = TcpFaultPlan()
        self.accepted: int = 0

    def __repr__(self) -> str:
        return f"<TcpProxy to port {self._target[1]}, {len(self._wires)} connections>"

    @property
    def url(self) -> str:
        """The base URL by which the server is reached through this proxy."""
        if self._address is None:
            message = "the proxy is not running: use `async with TcpProxy(url) as wire:`"
            raise RuntimeError(message)
        host, port = self._address
        return urlunsplit(("http", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", self._path, "", ""))

    @property
    def connections(self) -> int:
        """Connections that stand now."""
        return len(self._wires)

    async def __aenter__(self) -> Self:
        self._bind(("::1" if self._family == socket.AF_INET6 else "127.0.0.1", 0))
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_accepting()
        await self.drop_connections()
        self._close_socket()

    async def refuse(self) -> None:
        """Refuse new connections until `accept`; those that stand stay."""
        await self._stop_accepting()
        self._close_socket()
        if self._address is not None:
            self._bind(self._address)  # bound, and not listening: the port stays ours, and the kernel refuses

    async def accept(self) -> None:
        """Accept connections again. Without effect if it does."""
        if self._listening is not None and self._accepting is None:
            self._refusing = False
            self._listening.listen(_BACKLOG)
            self._accepting = asyncio.get_running_loop().create_task(self._accept(self._listening))

    async def drop_connections(self, *, abruptly: bool = False) -> None:
        """End the connections that stand, idle or not.

        Args:
            abruptly: With a reset; else in order, as a server does with connections that were idle for long.
        """
        tasks = list(self._wires)
        for task, wire in list(self._wires.items()):
            wire.abruptly = abruptly
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _bind(self, address: tuple[str, int]) -> None:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        self._listening = sock
        self._address = sock.getsockname()[:2]

    def _close_socket(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def _stop_accepting(self) -> None:
        """Tell the accepting task to stop, and wake it by a connection of our own: a cancel might lose a connection."""
        if self._accepting is None or self._address is None:
            return
        self._refusing = True
        with socket.socket(self._family, socket.SOCK_STREAM) as knock:
            knock.setblocking(False)
            knock.connect_ex(self._address)
            await asyncio.wait([self._accepting])
        self._accepting = None

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listening)
            if self._refusing:
                client.close()
                return
            self.accepted += 1
            wire = _Wire(client, self._target, self._family, self.faults)
            task = loop.create_task(wire.carry())
            self._wires[task] = wire
            task.add_done_callback(self._wires.pop)


class _Wire:
    """One connection: both its halves, and the fault of the turn that is under way."""

    def __init__(
        self, client: socket.socket, target: tuple[str, int], family: socket.AddressFamily, faults: TcpFaultPlan
    ) -> None:
        self.abruptly = False
        self._client = client
        self._server = socket.socket(family, socket.SOCK_STREAM)
        for sock in (self._client, self._server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._target = target
        self._faults = faults
        self._fault: TcpFault | None = None
        self._passed = 0
        self._head = b""
        self._answering = True

    async def carry(self) -> None:
        """Carry bytes until one side ends, or the fault does."""
        loop = asyncio.get_running_loop()
        try:
            with contextlib.suppress(OSError):
                if fault := self._faults.take(connecting=True):
                    await self._strike(fault)
                await loop.sock_connect(self._server, self._target)
                await self._both_ways()
        finally:
            if self.abruptly:
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
            self._client.close()
            self._server.close()

    async def _both_ways(self) -> None:
        halves = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._answers())]
        try:
            await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)

    async def _requests(self) -> None:
        loop = asyncio.get_running_loop()
        while piece := await loop.sock_recv(self._client, _PIECE):
            if self._answering:
                self._answering = False
                self._fault = self._faults.take(connecting=False)
                self._passed = 0
            await self._pass_on(self._server, piece, "request")

    async def _answers(self) -> None:
        loop = asyncio.get_running_loop()
        while piece := await self._from_server(loop):
            if not self._answering:
                self._answering = True
                self._head = b""
            head, body = self._split(piece)
            await self._pass_on(self._client, head, "answer")
            await self._pass_on(self._client, body, "answer" if self._at("answer") else "body")

    async def _from_server(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._server, _PIECE)
        except ConnectionResetError:
            self.abruptly = True
            return b""

    def _at(self, point: TcpPoint) -> bool:
        return self._fault is not None and self._fault.at == point

    def _split(self, piece: bytes) -> tuple[bytes, bytes]:
        """What belongs to the answer's head, and what to its body."""
        known = len(self._head)
        if _BLANK_LINE in self._head:
            return b"", piece
        self._head += piece
        end = self._head.find(_BLANK_LINE)
        if end < 0:
            return piece, b""
        end += len(_BLANK_LINE) - known
        return piece[:end], piece[end:]

    async def _pass_on(self, to: socket.socket, piece: bytes, point: TcpPoint) -> None:
        loop = asyncio.get_running_loop()
        fault = self._fault if self._at(point) else None
        if fault is None:
            await loop.sock_sendall(to, piece)
            return
        through = piece[: max(0, fault.after - self._passed)]
        rest = piece[len(through) :]
        await loop.sock_sendall(to, through)
        self._passed += len(through)
        if piece and not fault.drip and self._passed >= fault.after:
            await self._strike(fault)
        for byte in rest:
            await asyncio.sleep(fault.drip)
            await loop.sock_sendall(to, bytes([byte]))

    async def _strike(self, fault: TcpFault) -> None:
        if fault.do == "stall" and fault.at in {"connect", "request"}:
            while await asyncio.get_running_loop().sock_recv(self._client, _PIECE):
                """Swallow what comes, until the client gives up."""
        elif fault.do == "stall":
            await asyncio.get_running_loop().create_future()  # until the client gives up, which the other half sees
        self.abruptly = fault.do == "reset"
        raise ConnectionAbortedError
