"""Calls that wait for points, or pause before another attempt, so that closing the client can send them away.

A limiter may be shared with other clients, so it is not closed with one. Instead the waiting task is cancelled, and the
cancellation is turned into `ClientClosedError` here, in the frame that waits; a cancel by the caller at the same moment wins.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from .errors import ClientClosedError, ConfigurationError

if TYPE_CHECKING:
    from .limiter.protocol import Limiter, Permit, Priority


class WaitingCalls:
    """The tasks of one client that wait, over all its loops and threads."""

    __slots__ = ("_over", "_sent_away", "_tasks")

    def __init__(self) -> None:
        self._over = False
        self._tasks: set[asyncio.Task[object]] = set()
        self._sent_away: set[asyncio.Task[object]] = set()

    async def acquire(  # noqa: PLR0913 - as `Limiter.acquire`
        self,
        limiter: Limiter,
        cost: int,
        *,
        operation: str,
        priority: Priority,
        max_wait: float | None,
        after: Permit | None,
    ) -> Permit:
        """`limiter.acquire`, but `ClientClosedError` once `send_away` is called."""
        task = _current_task()
        self._tasks.add(task)
        try:
            if not self._over:  # asked when it is known here, so that a closing in another thread cannot miss it
                return await limiter.acquire(
                    cost, operation=operation, priority=priority, max_wait=max_wait, after=after
                )
        except asyncio.CancelledError:
            if task not in self._sent_away or task.uncancel():
                raise
        finally:
            self._tasks.discard(task)
            self._sent_away.discard(task)
        sent = "nothing was sent" if after is None else "it was not sent again"
        msg = f"{operation}: the client was closed while the call waited for points; {sent}"
        raise ClientClosedError(msg)

    async def pause(self, seconds: float, *, until: asyncio.Event | None = None) -> None:
        """Sleep, but no longer than until `send_away` is called, or `until` is set."""
        task = _current_task()
        self._tasks.add(task)
        try:
            if not self._over and until is None:
                await asyncio.sleep(seconds)
            elif not self._over and until is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await until.wait()
        except asyncio.CancelledError:
            if task not in self._sent_away or task.uncancel():
                raise
        finally:
            self._tasks.discard(task)
            self._sent_away.discard(task)

    def send_away(self) -> None:
        """End every wait, each in its own loop, and let no other begin."""
        self._over = True
        for task in list(self._tasks):
            with contextlib.suppress(RuntimeError):  # a loop that is closed has no one waiting
                task.get_loop().call_soon_threadsafe(self._cancel, task)

    def _cancel(self, task: asyncio.Task[object]) -> None:
        if task in self._tasks and task not in self._sent_away:
            self._sent_away.add(task)
            task.cancel()


def _current_task() -> asyncio.Task[object]:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is None:
        msg = "there is no asyncio task here: whereby_async runs on asyncio or uvloop, not on trio; start it with asyncio.run(…)"
        raise ConfigurationError(msg)
    return task
