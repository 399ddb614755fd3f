"""Connection slots: how many calls, or downloads, of one event loop may be on the wire, and who is next.

aiohttp's own queue for connections is not used: it is not first come, first served, and its timeouts count the wait in
it. All slots of an object belong to one event loop, so no lock is needed.

A waiter that is cancelled in the queue is skipped at its turn. One that is cancelled after it was given a slot, but
before it ran, hands the slot on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from ..errors import ClientClosedError

_PRIORITIES: Final = 3


class ConnectionSlots:
    """A number of slots, handed out by priority, and first come, first served within one.

    Attributes:
        waiting: How many wait for a slot.
    """

    __slots__ = ("_count", "_free", "_loop", "_queues", "waiting")

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._count = count
        self._free = count
        self.waiting: int = 0
        self._loop = loop
        self._queues: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in range(_PRIORITIES))

    @property
    def in_use(self) -> int:
        """Slots that are taken."""
        return self._count - self._free

    def try_take(self) -> bool:
        """Take a slot if one is free. While somebody waits none is, since `give_back` hands its slot to a waiter."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def take(self, priority: int) -> None:
        """Wait for a slot (priority 0 is served first)."""
        turn = self._loop.create_future()
        self._queues[priority].append(turn)
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()
            raise
        finally:
            self.waiting -= 1

    def give_back(self) -> None:
        """Hand the slot to the next in the queue, if there is one."""
        for queue in self._queues:
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1

    def close(self, message: str) -> None:
        """Raise `ClientClosedError` with this message in all who wait."""
        for queue in self._queues:
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_exception(ClientClosedError(message))
