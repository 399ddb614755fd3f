"""`Listeners`: the hooks that a limiter tells of waits, throttling and prices."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .. import hooks as hooking

if TYPE_CHECKING:
    import msgspec

    from ..hooks import LimiterHook


class Listeners:
    """Hooks, each told once however often it was subscribed."""

    __slots__ = ("_counts", "_hooks", "_lock")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._hooks: tuple[LimiterHook, ...] = ()
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

    def remove(self, hook: LimiterHook) -> None:
        """Take back one `add`; a hook that is not there is left alone."""
        with self._lock:
            count = self._counts.pop(id(hook), 0)
            if count > 1:
                self._counts[id(hook)] = count - 1
            else:
                self._hooks = tuple(other for other in self._hooks if other is not hook)

    def tell(self, method: str, details: msgspec.Struct) -> None:
        """Call `method` of every hook that has it."""
        hooking.tell(self._hooks, method, details)
