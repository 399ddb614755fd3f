"""A program that does what it is told by lines of JSON, and answers by lines of JSON; it ends when nobody talks to it any more.

Each line in is an order, `{"id": 7, "do": "look", …}`, whose `do` names a method of the program; each line out is an
answer, `{"id": 7, "answer": …}` or `{"id": 7, "error": "…"}`. Orders run beside each other.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from typing import Any


class Program:
    """What orders are given to; a subclass has a coroutine method for each."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def pid(self) -> int:
        """Which process this is."""
        return os.getpid()

    async def end(self) -> None:
        """Nobody talks any more: let go of everything."""

    async def serve(self) -> None:
        """Do what the lines on standard input say, until there are no more."""
        lines = asyncio.StreamReader(limit=1 << 24)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while line := await lines.readline():
            task = asyncio.ensure_future(self._obey(json.loads(line)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        transport.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.end()

    async def _obey(self, order: dict[str, Any]) -> None:
        number, name = order.pop("id"), order.pop("do")
        try:
            said = {"id": number, "answer": await getattr(self, name)(**order)}
        except Exception:  # noqa: BLE001 - whoever gave the order is told
            said = {"id": number, "error": traceback.format_exc()}
        print(json.dumps(said), flush=True)  # noqa: T201 - how it answers
