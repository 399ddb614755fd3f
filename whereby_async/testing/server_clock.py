"""The fake service's clocks: seconds on the loop's clock since it started, and the wall clock that it shows in its headers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class ServerClock:
    """Time as the service has it; all of it follows the loop's clock, so that a simulated loop moves it too.

    Attributes:
        skew: Seconds by which its wall clock is ahead of this machine's.
    """

    def __init__(self, skew: float = 0.0) -> None:
        self.skew = skew
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_start = 0.0
        self._before = 0.0
        self._wall_start = time.time()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let it run, on this loop's clock."""
        self._loop = loop
        self._loop_start = loop.time()

    def stop(self) -> None:
        """Stand still."""
        self._before = self.elapsed()
        self._loop = None

    def elapsed(self) -> float:
        """Seconds that it has run."""
        if self._loop is None:
            return self._before
        return self._before + self._loop.time() - self._loop_start

    def wall(self) -> float:
        """Its wall clock, in seconds since 1970."""
        return self._wall_start + self.skew + self.elapsed()
