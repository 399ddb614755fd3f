"""The program of the process that plays the API, and counts who spent what in which window; faults of the wire are here too."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from typing import TYPE_CHECKING, Any

from whereby_async.testing import FakeWhereby, TcpFault, TcpProxy

from .orders import Program

if TYPE_CHECKING:
    from whereby_async.testing import RecordedRequest

_WHO = re.compile(r"w\d+")


class Window:
    """A window that was opened by its first call.

    Attributes:
        began: When.
        ended: When the next began; `None` if none has.
        by: Points by process.
        throttled: 429s by process.
    """

    def __init__(self, began: float) -> None:
        self.began: float = began
        self.by: dict[str, int] = {}
        self.throttled: dict[str, int] = {}

    def told(self) -> dict[str, Any]:
        """What is told of it."""
        points = sum(self.by.values())
        return {"began": self.began, "points": points, "by": self.by, "throttled": self.throttled}


class Api(Program):
    """The API."""

    def __init__(self) -> None:
        super().__init__()
        self._fake: FakeWhereby | None = None
        self._wires: list[TcpProxy] = []
        self._doors: list[asyncio.Server] = []
        self._windows: list[Window] = []
        self._calls = 0
        self._turned = asyncio.Event()

    async def open(self, limit: int, period: float, latency: float = 0.0, algorithm: Any = "fixed") -> dict[str, str]:
        """Begin anew."""
        await self.end()
        self._windows, self._calls = [], 0
        self._fake = await FakeWhereby(
            limit=limit, period=period, latency=latency, algorithm=algorithm, keep=1000
        ).start()
        self._fake.subscribe(self._hear)
        return {"url": self._fake.url, "key": self._fake.api_key}

    def _hear(self, request: RecordedRequest) -> None:
        assert self._fake
        if request.remaining is None:
            return
        self._calls += 1
        opens = request.status != 429 and request.points > 0 and request.remaining == self._fake.limit - request.points
        if opens or not self._windows:
            self._windows.append(Window(request.at))
            self._turned.set()
            self._turned = asyncio.Event()
        found = _WHO.search(request.target)
        who = found[0] if found else ""
        # Answers may overtake each other, but not by so much that a call of the last window comes after the one that opens the next.
        window = (
            self._windows[-1] if request.at >= self._windows[-1].began or len(self._windows) == 1 else self._windows[-2]
        )
        window.by[who] = window.by.get(who, 0) + request.points
        if request.status == 429:
            window.throttled[who] = window.throttled.get(who, 0) + 1

    async def look(self) -> dict[str, Any]:
        """What has been spent and refused since `open`."""
        assert self._fake
        return {
            "calls": self._calls,
            "points": self._fake.points_spent,
            "throttled": self._fake.throttled,
            "windows": [window.told() for window in self._windows],
        }

    async def windows(self, count: int) -> None:
        """Come back when so many more windows have begun."""
        wanted = len(self._windows) + count
        while len(self._windows) < wanted:
            await self._turned.wait()

    async def spend(self, points: int) -> None:
        """Let a stranger spend."""
        assert self._fake
        self._fake.spend(points)

    # The wire between processes and the store

    async def wire(self, port: int) -> int:
        """A proxy to a port; the port it listens on."""
        wire = await TcpProxy(f"http://127.0.0.1:{port}").__aenter__()
        self._wires.append(wire)
        return int(wire.url.rpartition(":")[2])

    async def tls(self, port: int, certificate: str, key: str) -> int:
        """A door before a port that ends TLS; the port it listens on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inside, outside = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pump(reader, outside), _pump(inside, writer))

        server = await asyncio.start_server(carry, "localhost", 0, ssl=context)
        self._doors.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        """Nobody gets through any more, and those who did are dropped."""
        for wire in self._wires:
            await wire.refuse()
            await wire.drop_connections(abruptly=True)

    async def mend(self) -> None:
        """All get through again."""
        for wire in self._wires:
            wire.faults.clear()
            await wire.accept()
            await wire.drop_connections()

    async def swallow(self) -> None:
        """The wire takes what is sent, and nothing ever comes back."""
        for wire in self._wires:
            wire.faults.add(TcpFault(at="answer", do="stall", times=None), TcpFault(do="stall", times=None))

    async def end(self) -> None:
        """Close everything."""
        for wire in self._wires:
            await wire.__aexit__(None, None, None)
        for door in self._doors:
            door.close()
        self._wires, self._doors = [], []
        if self._fake is not None:
            await self._fake.aclose()
            self._fake = None


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    sink.close()


async def _main() -> None:
    await Api().serve()


if __name__ == "__main__":
    asyncio.run(_main())
