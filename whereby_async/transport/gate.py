"""The gate of connection slots: who may use one of the pool's connections next.

It stands in front of aiohttp, whose own queue for connections is not first come, first served, and whose timeouts count
the wait in it. One gate belongs to one event loop, so nothing here needs a lock.

On cancel: a waiter that is cancelled in the queue is skipped when its turn comes; one that is cancelled after it was given
a slot, but before it ran, hands the slot on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import WherebyError

_LANES = 3


class Gate:
    """`slots` calls may be inside at once; the others wait by lane, first come, first served within one."""

    __slots__ = ("_free", "_lanes", "_loop", "_waiting", "slots")

    def __init__(self, slots: int, loop: asyncio.AbstractEventLoop) -> None:
        self.slots: int = slots
        self._loop = loop
        self._free = slots
        self._waiting = 0
        self._lanes: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in range(_LANES))

    @property
    def inside(self) -> int:
        """Slots in use."""
        return self.slots - self._free

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return self._waiting

    def try_enter(self) -> bool:
        """Take a slot if one is free; then nobody waits, since `leave` hands its slot to a waiter."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def enter(self, lane: int) -> None:
        """Wait for a slot in `lane` (0 is served first)."""
        turn = self._loop.create_future()
        self._lanes[lane].append(turn)
        self._waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        """Give the slot back: to the next in line, if there is one."""
        for lane in self._lanes:
            while lane:
                turn = lane.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1

    def fail_waiting(self, error: type[WherebyError], message: str) -> None:
        """Send everybody in the queue away with an error of their own."""
        for lane in self._lanes:
            while lane:
                turn = lane.popleft()
                if not turn.done():
                    turn.set_exception(error(message))
