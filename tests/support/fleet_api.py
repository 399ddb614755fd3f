"""The process that plays the API and counts who spent what in which window; it also holds the wires to the store."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from whereby_async.testing import FakeWhereby, TcpFault, TcpProxy

from .fleet_worker import Program

if TYPE_CHECKING:
    from whereby_async.testing import RecordedRequest

_WHO = re.compile(r"w\d+")


@dataclass
class Window:
    """A window that was opened by its first call; points and 429s are by process."""

    began: float
    by: dict[str, int] = field(default_factory=dict[str, int])
    throttled: dict[str, int] = field(default_factory=dict[str, int])


class Api(Program):
    """The API."""

    def __init__(self) -> None:
        super().__init__()
        self._fake: FakeWhereby | None = None
        self._wires: list[TcpProxy] = []
        self._windows: list[Window] = []
        self._calls = 0
        self._turned = asyncio.Event()

    async def open(self, limit: int, period: float, latency: float = 0.0) -> dict[str, str]:
        await self.end()
        self._windows, self._calls = [], 0
        self._fake = await FakeWhereby(limit=limit, period=period, latency=latency, keep=1000).start()
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
        # Answers may overtake each other, but never by a whole window.
        late = request.at < self._windows[-1].began and len(self._windows) > 1
        window = self._windows[-2 if late else -1]
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
            "windows": [{**asdict(window), "points": sum(window.by.values())} for window in self._windows],
        }

    async def windows(self, count: int) -> None:
        """Return when so many more windows have begun."""
        wanted = len(self._windows) + count
        while len(self._windows) < wanted:
            await self._turned.wait()

    # The wires between processes and the store

    async def wire(self, port: int) -> int:
        """A proxy to a port; the port it listens on."""
        wire = await TcpProxy(f"http://127.0.0.1:{port}").__aenter__()
        self._wires.append(wire)
        return int(wire.url.rpartition(":")[2])

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
        for wire in self._wires:
            await wire.__aexit__(None, None, None)
        self._wires = []
        if self._fake is not None:
            await self._fake.aclose()
            self._fake = None


if __name__ == "__main__":
    asyncio.run(Api().serve())
