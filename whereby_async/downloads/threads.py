"""File work off the loop, such that it has ended when its caller goes on, cancelled or not.

`anyio.to_thread` holds that for its own cancel scopes only: a plain `task.cancel()` goes on at once, and the thread would write
to a descriptor that is closed by then, or that is another file's already.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """`work()` in a thread. A cancel takes effect when the work is done."""
    future = asyncio.get_running_loop().run_in_executor(None, work)
    with anyio.CancelScope(shield=True):  # or anyio would cancel again and again
        await _ended(future)
    return future.result()


async def _ended(future: asyncio.Future[T]) -> None:
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        _ = future.cancelled() or future.exception()  # looked at, so that nobody complains: the cancel comes first
        raise cancelled
