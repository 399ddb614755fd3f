"""`Subscriptions`: the limiters that tell a client's hooks of waits, throttling and prices."""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Final, cast

from .hooks import LimiterDetails
from .notify import tell
from .telling import having

if TYPE_CHECKING:
    from collections.abc import Callable

    from .hooks import Hook, LimiterHook
    from .limiter.protocol import Limiter

_METHODS: Final = ("on_wait", "on_throttle", "on_cost_change", "on_outage")


class Subscriptions:
    """The limiters that tell a client's hooks, which are taken back from them when the client is closed, or dropped without it.

    It keeps no limiter alive: a view may have one of its own that goes with it.
    """

    __slots__ = ("__weakref__", "_finish", "_hooks", "_limiters", "_openers")

    def __init__(self, hooks: tuple[Hook, ...]) -> None:
        self._hooks = cast("tuple[LimiterHook, ...]", having(hooks, *_METHODS))
        self._openers = having(hooks, "on_limiter")
        self._limiters: list[Callable[[], Limiter | None]] = []
        self._finish: weakref.finalize[..., Subscriptions] | None = None
        if self._hooks or self._openers:
            self._finish = weakref.finalize(self, _unsubscribe, self._limiters, self._hooks)
            self._finish.atexit = False

    def listen_to(self, limiter: Limiter, base_url: str) -> None:
        """Have the hooks told by a limiter too: once, however many views there are of the client."""
        if self._finish is None or not self._finish.alive:
            return
        known = [(refer, other) for refer in self._limiters if (other := refer()) is not None]
        if any(limiter is other for _, other in known):
            return
        self._limiters[:] = [refer for refer, _ in known] + [_reference(limiter)]
        for hook in self._hooks:
            limiter.subscribe(hook)
        if self._openers:
            tell(self._openers, "on_limiter", LimiterDetails(limiter=limiter, base_url=base_url))

    def end(self) -> None:
        """Take the hooks back from every limiter."""
        if self._finish is not None:
            self._finish()


def _reference(limiter: Limiter) -> Callable[[], Limiter | None]:
    with contextlib.suppress(TypeError):  # it has slots, and none for this
        return weakref.ref(limiter)
    return lambda: limiter


def _unsubscribe(limiters: list[Callable[[], Limiter | None]], hooks: tuple[LimiterHook, ...]) -> None:
    while limiters:
        limiter = limiters.pop()()
        if callable(getattr(limiter, "unsubscribe", None)):  # one of the caller's own may lack it
            for hook in hooks:
                cast("Limiter", limiter).unsubscribe(hook)
