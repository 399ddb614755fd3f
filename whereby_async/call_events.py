"""Tells a client's hooks and the log of its calls, and subscribes the hooks to its limiters.

Details are made only for hooks that have a method for them.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .errors import APIStatusError
from .hooks import (
    CALL_METHODS,
    LIMITER_METHODS,
    AttemptDetails,
    CallDetails,
    EndDetails,
    LimiterDetails,
    ResponseDetails,
    RetryDetails,
)
from .notify import logger, name_in_log, points_in_words, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import msgspec

    from .errors import WherebyError
    from .hooks import Hook, LimiterHook
    from .limiter.protocol import Limiter, Permit, Priority
    from .operation import Operation, Request
    from .rate_limit import RateLimit
    from .transport import Reachability

CallListeners: TypeAlias = "Mapping[str, tuple[Hook, ...]]"
"""The hooks that have each of the five methods on calls, by its name; empty if there are none."""

_numbers = itertools.count(1)


def _having(hooks: Iterable[Hook], *methods: str) -> tuple[Hook, ...]:
    """Those of the hooks that have one of the methods."""
    return tuple(hook for hook in hooks if any(callable(getattr(hook, method, None)) for method in methods))


def call_listeners(hooks: tuple[Hook, ...]) -> CallListeners:
    """The hooks of a client that hear of its calls."""
    listeners = {method: _having(hooks, method) for method in CALL_METHODS}
    return listeners if any(listeners.values()) else {}


def calls_are_logged() -> bool:
    """Whether the log wants a line for each attempt and answer."""
    return logger.isEnabledFor(logging.DEBUG)


class CallEvents:
    """Tells the hooks, and the log at DEBUG, of one call.

    The sender calls the methods in this order: `begin`; for each attempt `ask` and `granted` if no points were at hand,
    `attempt`, then `answered` or `unanswered`, and `retry` if another attempt follows; and `end`.
    """

    def __init__(self, listeners: CallListeners, operation: Operation[Any], priority: Priority) -> None:
        self._listeners = listeners
        self._operation = operation
        self._log_name = name_in_log(operation.name) if calls_are_logged() else None
        self._price = ""
        self._priority = priority.name
        self._number = next(_numbers)
        self._began_at = monotonic()
        self._asked_at: float | None = None
        self._sent_at = 0.0
        self._attempt = 0
        self._points = 0
        self._waited = self._attempt_waited = self._said = 0.0
        self._away = 0.0
        self._status: int | None = None

    def _tell(self, method: str, kind: Callable[..., msgspec.Struct], /, **fields: object) -> None:
        if hooks := self._listeners.get(method):
            tell(hooks, method, kind(call=self._number, operation=self._operation.name, **fields))

    def _log(self, text: str, *values: object) -> None:
        if self._log_name is not None:
            logger.debug(f"%s: {text}", self._log_name, *values)

    def begin(self, request: Request[Any], base_url: str) -> None:
        """The call begins."""
        operation = self._operation
        self._tell(
            "on_call",
            CallDetails,
            method=operation.method,
            path=operation.path,
            named=operation.name != f"{operation.method} {request.path}",
            base_url=base_url,
            priority=self._priority,
        )

    def ask(self) -> None:
        """The call asks the limiter for points, and perhaps waits for them."""
        self._asked_at = monotonic()

    def away(self, seconds: float) -> None:
        """The call has waited for the service for so long."""
        self._away += seconds

    def granted(self, permit: Permit) -> None:
        """The call has got points, to be sent or in vain: the wait for them is over.

        Its length is the permit's `waited`, which goes on from one permit of a call to the next, if it has one: on a
        busy machine our clock goes on between the grant and this task's next step.
        """
        said = getattr(permit, "waited", None)
        if said is None:
            self._end_wait(monotonic())
        elif self._asked_at is not None:
            self._end_wait(self._asked_at + max(0.0, said - self._said))
            self._said = said

    def _end_wait(self, at: float) -> None:
        if self._asked_at is not None:
            self._attempt_waited += at - self._asked_at
            self._waited += at - self._asked_at
            self._asked_at = None

    def attempt(self, permit: Permit) -> None:
        """An attempt has its points and is about to be sent."""
        waited, self._attempt_waited = self._attempt_waited, 0.0
        self._sent_at = monotonic()
        self._status = None
        self._attempt += 1
        self._points += permit.cost
        if self._log_name is not None:
            self._price = points_in_words(permit.cost)
            self._log("attempt %d, %s", self._attempt, self._price)
        self._tell(
            "on_attempt",
            AttemptDetails,
            method=self._operation.method,
            attempt=self._attempt,
            cost=permit.cost,
            priority=self._priority,
            waited=waited,
        )

    def answered(self, status: int, size: int, rate_limit: RateLimit) -> None:
        """An answer came, whose decoded body has `size` bytes."""
        self._status = status
        elapsed = monotonic() - self._sent_at
        if self._log_name is not None:
            self._log("%d for %s after %.0f ms%s", status, self._price, 1000 * elapsed, _left_in_words(rate_limit))
        told = {"attempt": self._attempt, "status": status, "elapsed": elapsed, "size": size, "rate_limit": rate_limit}
        self._tell("on_response", ResponseDetails, **told)

    def unanswered(self, status: int | None, unspent: int) -> None:
        """No answer came, or only its status. `unspent` points went back, because the request never left."""
        self._status = status
        self._points -= unspent
        what = "not sent" if unspent else "no answer" if status is None else f"{status}, but not all of the answer"
        self._log("%s after %.0f ms", what, 1000 * (monotonic() - self._sent_at))

    def retry(self, delay: float, reason: str, error: WherebyError) -> None:
        """Another attempt will follow."""
        name = type(error).__name__
        when = f"in {delay:.3f} s" if delay else "as soon as there are points"
        self._log("attempt %d failed (%s); again %s", self._attempt, reason, when)
        self._tell("on_retry", RetryDetails, attempt=self._attempt, delay=delay, reason=reason, error=name)

    def end(self, error: BaseException | None) -> None:
        """The call has ended, with this error or with a result."""
        self._end_wait(monotonic())
        self._tell(
            "on_end",
            EndDetails,
            error=None if error is None else type(error).__name__,
            cancelled=not isinstance(error, Exception | None),
            status=error.status if isinstance(error, APIStatusError) else self._status,
            attempts=self._attempt,
            points=self._points,
            waited=self._waited,
            elapsed=monotonic() - self._began_at,
            away=self._away,
        )


def _left_in_words(said: RateLimit) -> str:
    """The points that an answer says are left, as the end of a line; nothing if it does not say so."""
    if said.remaining is None:
        return ""
    return f", {points_in_words(said.remaining)} left" + ("" if said.limit is None else f" of {said.limit}")


class Subscriptions:
    """What a client's hooks are subscribed to, until the client is closed, or dropped without it.

    It keeps no limiter alive: a view may have one of its own that goes with the view. Nor does it keep what is known of
    an origin, but for the API's, which the client itself keeps.
    """

    def __init__(self, hooks: tuple[Hook, ...]) -> None:
        self._hooks = cast("tuple[LimiterHook, ...]", _having(hooks, *LIMITER_METHODS))
        self._on_limiter = _having(hooks, "on_limiter")
        self._on_unavailable = _having(hooks, "on_unavailable")
        self._origins: weakref.WeakSet[Reachability] = weakref.WeakSet()
        self._limiters: list[Callable[[], Limiter | None]] = []
        self._finish: weakref.finalize[..., Subscriptions] | None = None
        if self._hooks or self._on_limiter or self._on_unavailable:
            self._finish = weakref.finalize(
                self, _unsubscribe, self._limiters, self._hooks, self._origins, self._on_unavailable
            )
            self._finish.atexit = False

    def add(self, limiter: Limiter, base_url: str) -> None:
        """Subscribe the hooks to a limiter: once, however many views of the client have it."""
        if self._finish is None or not self._finish.alive:
            return
        known = [(refer, other) for refer in self._limiters if (other := refer()) is not None]
        if any(limiter is other for _, other in known):
            return
        self._limiters[:] = [refer for refer, _ in known] + [_reference(limiter)]
        for hook in self._hooks:
            limiter.subscribe(hook)
        if self._on_limiter:
            tell(self._on_limiter, "on_limiter", LimiterDetails(limiter=limiter, base_url=base_url))

    def add_reachability(self, reachability: Reachability) -> None:
        """Have the hooks hear of changes, however often it is added."""
        if self._finish is None or not self._finish.alive or reachability in self._origins:
            return
        self._origins.add(reachability)
        for hook in self._on_unavailable:
            reachability.listeners.add(hook)

    def end(self) -> None:
        """Take the hooks back from everything."""
        if self._finish is not None:
            self._finish()


def _reference(limiter: Limiter) -> Callable[[], Limiter | None]:
    with contextlib.suppress(TypeError):  # an object with slots and without `__weakref__` has no weak references
        return weakref.ref(limiter)
    return lambda: limiter


def _unsubscribe(
    limiters: list[Callable[[], Limiter | None]],
    hooks: tuple[LimiterHook, ...],
    origins: weakref.WeakSet[Reachability],
    on_unavailable: tuple[Hook, ...],
) -> None:
    for reachability in list(origins):
        for hook in on_unavailable:
            reachability.listeners.remove(hook)
    while limiters:
        limiter = limiters.pop()()
        if callable(getattr(limiter, "unsubscribe", None)):  # a limiter of the user's own may lack it
            for hook in hooks:
                cast("Limiter", limiter).unsubscribe(hook)
