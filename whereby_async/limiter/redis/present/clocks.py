"""Which clock a loop runs on: the process's monotonic one, as all real loops do, or one of its own."""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import Final

_APART: Final = 1.0
"""Seconds by which a loop's clock must differ from the process's to be another clock."""

_monotonic: set[type[asyncio.AbstractEventLoop]] = set()


class PresentLoopClock:
    """A loop's time, without keeping the loop alive."""

    __slots__ = ("_last", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._last = loop.time()

    def __call__(self) -> float:
        """Seconds; once the loop is gone, as it was when it was last asked."""
        loop = self._loop()
        if loop is not None:
            self._last = loop.time()
        return self._last


def is_monotonic(loop: asyncio.AbstractEventLoop) -> bool:
    """Does this loop run on the process's monotonic clock?"""
    kind = type(loop)
    if kind in _monotonic:
        return True
    if kind.time is asyncio.BaseEventLoop.time or kind.__module__.partition(".")[0] == "uvloop":
        _monotonic.add(kind)
        return True
    return not getattr(loop, "simulated", False) and abs(loop.time() - time.monotonic()) < _APART
