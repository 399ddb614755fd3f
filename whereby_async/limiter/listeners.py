"""`Listeners`: the hooks that a limiter tells of waits, throttling and prices.

A client that is dropped takes its hooks back, perhaps in the garbage collector while this very thread is in here: so a hook that
leaves never waits for the lock, but is struck off by whoever has it or gets it next.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from .. import telling

if TYPE_CHECKING:
    import msgspec

    from ..hooks import LimiterHook


class Listeners:
    """Hooks, each told once however often it was subscribed."""

    __slots__ = ("_counts", "_hooks", "_leaving", "_lock")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._hooks: tuple[LimiterHook, ...] = ()
        self._leaving: deque[LimiterHook] = deque()
        self.unlock()

    def unlock(self) -> None:
        """A lock of its own: at birth and in a forked child."""
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def add(self, hook: LimiterHook) -> None:
        """Tell it from now on."""
        with self._lock:
            count = self._counts.get(id(hook), 0)
            self._counts[id(hook)] = count + 1
            if not count:
                self._hooks = (*self._hooks, hook)
        self._strike_off()

    def remove(self, hook: LimiterHook) -> None:
        """Take back one `add`; a hook that is not there is left alone."""
        self._leaving.append(hook)
        self._strike_off()

    def _strike_off(self) -> None:
        while self._leaving and self._lock.acquire(blocking=False):
            try:
                while self._leaving:
                    self._take_back(self._leaving.popleft())
            finally:
                self._lock.release()

    def _take_back(self, hook: LimiterHook) -> None:
        count = self._counts.pop(id(hook), 0)
        if count > 1:
            self._counts[id(hook)] = count - 1
        else:
            self._hooks = tuple(other for other in self._hooks if other is not hook)

    def tell(self, method: str, details: msgspec.Struct) -> None:
        """Call `method` of every hook that has it."""
        telling.tell(self._hooks, method, details)
