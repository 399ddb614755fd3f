"""How hooks are told: `tell`, the one logger, and `Listeners`, the hooks of a limiter.

A client that is dropped takes its hooks back, perhaps in the garbage collector while this very thread is in here: so a hook that
leaves never waits for the lock, but is struck off by whoever has it or gets it next.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import msgspec

    from .details import LimiterHook

logger: Final = logging.getLogger("whereby_async")

_failed: set[tuple[type, str]] = set()


def tell(hooks: Iterable[object], method: str, details: msgspec.Struct) -> None:
    """Call `method` of every hook that has it; an error in one is logged once and goes no further.

    What stops the program goes on its way, once all are told.
    """
    stop: BaseException | None = None
    for hook in hooks:
        listen = getattr(hook, method, None)
        if listen is None:
            continue
        try:
            listen(details)
        except BaseException as error:
            if not (isinstance(error, Exception) or _is_cancel(error)):
                stop = error
            elif (key := (type(hook), method)) not in _failed:
                _failed.add(key)
                logger.exception("%s.%s raised; the call goes on, and this is said only once", key[0].__name__, method)
    if stop is not None:
        raise stop


def _is_cancel(error: BaseException) -> bool:
    """A plain method awaits nothing, so nobody has cancelled it: it made this error itself."""
    from asyncio import CancelledError  # who only looks at values has no need of asyncio

    return isinstance(error, CancelledError)


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
        tell(self._hooks, method, details)
