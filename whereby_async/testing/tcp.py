"""TCP below the fake server: accepting without losing a connection, and `TcpProxy` with the faults that lie below HTTP.

```python
async with FakeWhereby() as fake, TcpProxy(fake.url) as wire, fake.client(base_url=wire.url) as whereby:
    wire.faults.add(TcpFault(at="answer", after=20))
    await whereby.meetings.list()
```

The proxy carries bytes both ways and understands just enough to know where it is: a *turn* is a request and its answer.
It begins with the first byte that a client sends on a new connection, or after an answer on one that was kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal, Self, TypeAlias
from urllib.parse import urlsplit

import msgspec

from ..errors import refuses
from ..redaction import once_made
from .faults import PlannedFaults

TcpPoint: TypeAlias = Literal["connect", "request", "answer", "body"]
"""Where a `TcpFault` strikes: as the connection is accepted, in the bytes of the request, in those of the answer from
its first one on, or in those of the answer's body."""

_PIECE = 1 << 16
_BACKLOG = 4096
_MOST_FILLERS = 64
_BLANK_LINE = b"\r\n\r\n"


class TcpFault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong below HTTP.

    Attributes:
        at: Where it strikes. `connect` takes the next connection that is accepted; the others take the next turn.
        after: Let so many bytes through first, counted from `at`.
        do: `reset` the connection, `close` it in order, or `stall`: nothing comes through any more, and nothing ends.
        drip: In place of `do`: seconds between one byte and the next from there on, to the turn's end.
        times: How many connections or turns it takes; `None` for all.
        skip: Let so many pass first.
    """

    at: TcpPoint = "connect"
    after: int = 0
    do: Literal["reset", "close", "stall"] = "reset"
    drip: float = 0.0
    times: int | None = 1
    skip: int = 0


class TcpFaultPlan(PlannedFaults[TcpFault]):
    """The faults to come, in the order in which they were added; the first that matches takes a connection or turn."""

    def take(self, *, connecting: bool) -> TcpFault | None:
        """The fault for a connection, or else for a turn, that begins; `None` if there is none. Its turn is used up."""
        return self._take(lambda fault: (fault.at == "connect") is connecting)


class Acceptor:
    """Accepts connections at a port, in a task, and can stop without leaving one half accepted.

    `loop.create_server` may lose a connection that comes in at the very moment of closing: it is accepted, and then
    nobody owns its socket. So this task is not cancelled: a flag tells it to stop, and a connection of our own wakes
    it.

    Args:
        sock: A bound socket; it is closed when accepting stops.
        take: Called with the socket of each connection, before the next one is accepted.
    """

    def __init__(self, sock: socket.socket, take: Callable[[socket.socket], Awaitable[None]]) -> None:
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self._sock = sock
        self._take = take
        self._stopping = False
        self._task = asyncio.get_running_loop().create_task(self._accept())

    async def stop(self) -> None:
        """Accept no more; connections that stand stay."""
        self._stopping = True
        with socket.socket(self._sock.family, socket.SOCK_STREAM) as knock:
            knock.setblocking(False)
            knock.connect_ex(self._sock.getsockname())
            await asyncio.wait([self._task])
        self._sock.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._sock)
            if self._stopping:
                connection.close()
                return
            await self._take(connection)


def family_of(host: str) -> socket.AddressFamily:
    """The address family of an IP address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bound(host: str, port: int) -> socket.socket:
    """A socket at a port at which nobody listens: the port stays ours, and the kernel refuses connections."""
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def http_origin(host: str, port: int) -> str:
    """Scheme, host and port of a URL; an IPv6 address is put in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reset_when_closed(sock: socket.socket) -> None:
    """Let closing this socket be a reset, not an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@refuses(__enter__="use `async with TcpProxy(url) as wire:`, in an `async def` function")
class TcpProxy:
    """Listens on a loopback port and passes bytes to a server and back, with the faults that `faults` has.

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
            raise ValueError(
                f"target_url must be an http URL with a port, such as FakeWhereby().url, not {target_url!r}"
            )
        self._target = (parts.hostname, parts.port)
        self._path = parts.path
        self._family = family_of(parts.hostname)
        self._address: tuple[str, int] | None = None
        self._socket: socket.socket | None = None
        self._acceptor: Acceptor | None = None
        self._wires: dict[asyncio.Task[None], _Wire] = {}
        self._lost: list[_Wire] = []
        self._fillers: list[socket.socket] = []
        self.faults: TcpFaultPlan = TcpFaultPlan()
        self.accepted: int = 0

    @once_made
    def __repr__(self) -> str:
        return f"<TcpProxy to port {self._target[1]}, {self.connections} connections>"

    @property
    def url(self) -> str:
        """The base URL by which the server is reached through this proxy."""
        if self._address is None:
            raise RuntimeError("the proxy is not running: use `async with TcpProxy(url) as wire:`")
        return http_origin(*self._address) + self._path

    @property
    def connections(self) -> int:
        """Connections that stand now, those of which `vanish` lost the packets among them."""
        return len(self._wires) + len(self._lost)

    async def __aenter__(self) -> Self:
        self._bind("::1" if self._family == socket.AF_INET6 else "127.0.0.1", 0)
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()
        await self.drop_connections()

    async def refuse(self) -> None:
        """Refuse new connections until `accept`; those that stand stay."""
        await self._stop()
        if self._address is not None:
            self._bind(*self._address)

    async def vanish(self) -> None:
        """Lose every packet until `accept`, as a network does that is cut: nothing is refused, and nothing ends.

        Nothing more passes on the connections that stand, in either direction. They stay so after `accept` too, until
        `drop_connections`. Whoever connects waits, until `accept` at the earliest. On Linux; other systems may refuse
        new connections instead.
        """
        await self.refuse()
        if self._socket is not None:
            self._fillers = _fill(self._socket)
        tasks = list(self._wires)
        for task, wire in list(self._wires.items()):
            wire.lost = True
            task.cancel()
            self._lost.append(wire)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def accept(self) -> None:
        """Accept connections again. Without effect if it does."""
        if self._fillers:
            await self.refuse()
        if self._socket is not None and self._acceptor is None:
            self._acceptor = Acceptor(self._socket, self._carry)

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
        while self._lost:
            self._lost.pop().close(abruptly=abruptly)

    def _bind(self, host: str, port: int) -> None:
        self._socket = bound(host, port)
        self._address = self._socket.getsockname()[:2]

    async def _stop(self) -> None:
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            await acceptor.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        while self._fillers:
            self._fillers.pop().close()

    async def _carry(self, client: socket.socket) -> None:
        self.accepted += 1
        wire = _Wire(client, self._target, self._family, self.faults)
        task = asyncio.get_running_loop().create_task(wire.carry())
        self._wires[task] = wire
        task.add_done_callback(self._wires.pop)


def _fill(sock: socket.socket) -> list[socket.socket]:
    """Listen with the shortest queue, and fill it, so that the kernel answers nobody who connects; what fills it."""
    sock.listen(0)
    fillers: list[socket.socket] = []
    for _ in range(_MOST_FILLERS):
        filler = socket.socket(sock.family, socket.SOCK_STREAM)
        fillers.append(filler)
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
        try:
            filler.getpeername()  # on loopback a connection is there at once, or not at all
        except OSError:
            break
    return fillers


class _Wire:
    """One connection: both its halves, and the fault of the turn that is under way.

    Attributes:
        abruptly: It ends with a reset.
        lost: It does not end: when its task does, both its sockets stay open, and nobody reads from them.
    """

    def __init__(
        self, client: socket.socket, target: tuple[str, int], family: socket.AddressFamily, faults: TcpFaultPlan
    ) -> None:
        self.abruptly = False
        self.lost = False
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
            if not self.lost:
                self.close(abruptly=self.abruptly)

    def close(self, *, abruptly: bool) -> None:
        """End both halves, that of the client perhaps with a reset."""
        if abruptly:
            reset_when_closed(self._client)
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
