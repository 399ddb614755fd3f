"""A fake Whereby in a thread of its own, so that `whereby` can be run against it by whatever waits for its end.

And a receiver of webhooks.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import ExitStack
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web
from anyio.from_thread import start_blocking_portal

from support.processes import PATIENCE
from whereby_async.testing import FAKE_API_KEY, FakeWhereby

if TYPE_CHECKING:
    from collections.abc import Callable

    from whereby_async.testing import RecordedRequest

_servers = itertools.count(1)


class Served:
    """A server that runs while the block does. Its world may be filled before and between commands.

    Attributes:
        fake: The server.
    """

    def __init__(self, **options: Any) -> None:
        # A process keeps the budget of a key and port for a while, and ports come again.
        options.setdefault("api_key", f"{FAKE_API_KEY}-{next(_servers)}")
        self.fake = FakeWhereby(**options)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._stack.enter_context(self._portal.wrap_async_context_manager(self.fake))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def variables(self) -> dict[str, str]:
        """What leads `whereby` to it."""
        return {"WHEREBY_BASE_URL": self.fake.url, "WHEREBY_API_KEY": self.fake.api_key}

    def do(self, act: Callable[[], Any]) -> Any:
        """Do something in the server's thread."""
        return self._portal.call(act)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the server's world is so; what a process does there tells nobody."""
        deadline = monotonic() + PATIENCE
        while not condition():
            assert monotonic() < deadline
            sleep(0.005)

    def last(self, operation: str) -> RecordedRequest:
        """The last request of an operation."""
        return [request for request in self.fake.requests if request.operation == operation][-1]


class Receiver:
    """A server that keeps what is posted to it, and answers with one status after the other; `None` is silence."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.received: list[tuple[bytes, str | None]] = []
        self.times: list[float] = []

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._receive))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hooks?a=%2F"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _receive(self, request: web.BaseRequest) -> web.Response:
        assert (request.method, request.raw_path) == ("POST", "/hooks?a=%2F")
        assert request.headers["Content-Type"] == "application/json"
        self.received.append((await request.read(), request.headers.get("Whereby-Signature")))
        self.times.append(asyncio.get_running_loop().time())
        status = self.statuses.pop(0) if self.statuses else 204
        if status is None:
            await asyncio.sleep(60.0)
        text = None if status in {None, 204} else f"answer {status}"
        return web.Response(status=status or 204, headers={"Location": "/"}, text=text)
