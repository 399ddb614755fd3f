"""A fake Whereby in a thread of its own, so that `whereby` can be run against it by whatever waits for its end."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

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
