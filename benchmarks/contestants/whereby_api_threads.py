"""`whereby-api`, which blocks, called from threads as asyncio code would. It has no list of meetings."""

from __future__ import annotations

import asyncio
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.kit.bodies import MEETING_ID, PAGE

if TYPE_CHECKING:
    from collections.abc import Callable

UNTIL = datetime(2099, 1, 1, tzinfo=UTC)
_MOST_THREADS = 50


class Caller:
    """See `benchmarks.contestants.caller.Caller`."""

    _threads: ThreadPoolExecutor
    _open: Callable[[], Any]

    async def open(self, base_url: str, authority: str | None, connections: int | None) -> None:
        """Make the client."""
        module: Any = importlib.import_module("whereby_api")

        def client() -> Any:
            made: Any = module.WherebyClient("a-key")
            made.api_base_url = base_url
            made.session.verify = authority or True
            return made

        self._open = client
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(connections or _MOST_THREADS)

    async def close(self) -> None:
        """Close it."""
        self._threads.shutdown()

    async def _call(self, do: Callable[[Any], object]) -> object:
        def call() -> object:
            # requests' sessions are not promised to be safe between threads: each has one of its own
            client: Any = getattr(self._own, "client", None)
            if client is None:
                client = self._own.client = self._open()
            return do(client)

        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def get(self) -> object:
        """One meeting."""
        return await self._call(lambda client: client.get_meeting(MEETING_ID))

    async def list(self) -> object:
        """A page of meetings."""
        raise LookupError("whereby-api has no list of meetings")

    async def insights(self) -> object:
        """A page of rooms."""
        return await self._call(lambda client: client.get_room_insights({"limit": PAGE}))

    async def create(self) -> object:
        """A new meeting."""
        return await self._call(lambda client: client.create_meeting(UNTIL, UNTIL, fields=["hostRoomUrl"]))
