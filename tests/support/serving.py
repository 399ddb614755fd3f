"""A fake Whereby in a thread of its own, so that `whereby` can be run against it by whatever waits for its end."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import Callable

    from whereby_async.testing import RecordedRequest


_PATIENCE = 30.0


class Served:
    """A server that runs while the block does. Its world may be filled before and between commands.

    Attributes:
        fake: The server.
    """

    def __init__(self, **options: Any) -> None:
        self.fake = FakeWhereby(**options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.fake.start(), self._loop).result(10)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self.fake.aclose(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def variables(self) -> dict[str, str]:
        """What leads `whereby` to it."""
        return {"WHEREBY_BASE_URL": self.fake.url, "WHEREBY_API_KEY": self.fake.api_key}

    def do(self, act: Callable[[], Any]) -> Any:
        """Do something in the server's thread."""

        async def acted() -> Any:
            return act()

        return asyncio.run_coroutine_threadsafe(acted(), self._loop).result(10)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the server's world is so; what a process does there tells nobody."""
        deadline = monotonic() + _PATIENCE
        while not condition():
            assert monotonic() < deadline
            sleep(0.005)

    def last(self, operation: str) -> RecordedRequest:
        """The last request of an operation."""
        return [request for request in self.fake.requests if request.operation == operation][-1]
