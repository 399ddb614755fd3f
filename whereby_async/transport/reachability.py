"""Whether a service can be reached: one fact for each origin and proxy, known to all calls of this process.

**Theory.** An outage concerns all calls alike. So it is noticed once, one probe finds out when it is over, and nobody
else goes on trying meanwhile.

```
ready        → unavailable   a fresh connection could not be made, or five attempts in a row ended as they do at a
                             gateway that has nobody behind it: in a 502, 503, 504, 520 to 523 or 530, or in a fresh
                             connection that is closed without an answer
unavailable  → ready         a probe was answered, or an attempt that was begun since
```

*In a row* means: begun after the last success. `epoch` counts successes and changes, so an attempt that finds the epoch
in which it began has seen none. If all five were calls of one operation, only that operation waits, until another one
fails too. An idle connection that is reset says nothing, and neither does a 429, which is the budget's.

The probe after a failed connection is a fresh connection; after answers of a gateway it is a safe read. It is made 0.25
s after the service went away, then at intervals that double up to 1 s in the first minute and up to 5 s later, each
varied by a fifth, and never before a `Retry-After` is over. gRPC calls these the connectivity states, its calls with
`wait for ready` wait likewise, and its others fail likewise: see `max_outage`.

Who waits stands in a queue of its loop. The first in it probes, unless another loop does, and hands that on when it
leaves; nothing runs in the background. When the service is back, they go on in their order, some hundreds in each turn
of the loop. Nothing here is stored or sent; a forked child begins ready.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import random
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from ..hooks import UnavailableDetails
from ..notify import Listeners, logger, name_in_log

GATEWAY_FAILURES: Final = frozenset({502, 503, 504, 520, 521, 522, 523, 530})
"""The statuses by which a gateway says that the service behind it does not answer."""
LONGEST_PROBE: Final = 5.0
"""Seconds that a probe, and any connection, may take to be made."""

_FAILURES: Final = 5
_FIRST_INTERVAL: Final = 0.25
_LONGEST_INTERVAL: Final = 1.0
_LONGEST_INTERVAL_LATER: Final = 5.0
_FIRST_MINUTE: Final = 60.0
_VARIED_BY: Final = 0.2
_LONGEST_RETRY_AFTER: Final = 900.0
"""Seconds. One answer does not shut the process out for longer, whatever it asks for."""
_WOKEN_AT_ONCE: Final = 500


class ReachabilitySnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a service can be reached, as far as this process knows, such as for a health check.

    Attributes:
        origin: Scheme, host and port.
        state: `ready`, or `unavailable`.
        since: When it was noticed that it can not be reached, in UTC; `None` if it can.
        away: Seconds since then; 0 if it can be reached.
        reason: Why, in words for people; empty if it can be reached.
        probes: How often it was tried since then.
        probe_in: Seconds until it is tried next, if calls wait for it; `None` if it can be reached.
    """

    origin: str
    state: Literal["ready", "unavailable"]
    since: datetime | None = None
    away: float = 0.0
    reason: str = ""
    probes: int = 0
    probe_in: float | None = None


class _Waiter:
    """A call that waits; `woken` is set when it has to look."""

    __slots__ = ("woken",)

    def __init__(self) -> None:
        self.woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)


class Reachability:
    """Whether one origin can be reached, through one proxy or none. For all threads and loops.

    Attributes:
        origin: Scheme, host and port.
        way: Such as ` through the proxy proxy.example:3128`; empty if there is none.
        epoch: How many successes and changes there have been.
        unavailable: It can not be reached.
        outages: How often it could not be reached by any operation.
        needs_read: Gateways answer for it, so that only a read can tell whether it is back.
        listeners: The hooks that hear of changes.
    """

    def __init__(self, origin: str, proxy: str = "", *, draw: Callable[[], float] = random.random) -> None:
        """Ready at first. `proxy` is a URL without a user; `draw` gives random numbers from 0 to 1."""
        self.origin: str = origin
        self.way: str = f" through the proxy {proxy.partition('://')[2]}" if proxy else ""
        self._draw = draw
        self.listeners: Listeners = Listeners()
        self.epoch: int = 0
        self.outages: int = 0
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        """Ready, and nobody waits: at first, and in a forked child."""
        self._lock = threading.Lock()
        self.listeners.unlock()
        self.unavailable: bool = False
        self.needs_read: bool = False
        self._failing: dict[str, int] = {}
        self._only: str | None = None
        self._away_epoch = 0
        self._since = self._probe_at = self._claimed_until = 0.0
        self._since_date = datetime.min.replace(tzinfo=UTC)
        self._probes = 0
        self._reason = ""
        self._queues: dict[asyncio.AbstractEventLoop, dict[_Waiter, None]] = {}

    def __repr__(self) -> str:
        return f"<{self.origin}: {'unavailable' if self.unavailable else 'ready'}>"

    # What is known

    def blocks(self, operation: str) -> bool:
        """Whether calls of an operation have to wait now."""
        return self.unavailable and self._only in {None, operation}

    def snapshot(self, operation: str = "") -> ReachabilitySnapshot:
        """What is known now, as calls of an operation see it, or as all do."""
        if not self.blocks(operation):
            return ReachabilitySnapshot(origin=self.origin, state="ready")
        now = _now()
        return ReachabilitySnapshot(
            origin=self.origin,
            state="unavailable",
            since=self._since_date,
            away=max(0.0, now - self._since),
            reason=self._reason,
            probes=self._probes,
            probe_in=max(0.0, self._probe_at - now),
        )

    # What has happened

    def succeeded(self, operation: str, epoch: int) -> None:
        """An attempt that began in this epoch was answered, whatever its status, by the service itself."""
        self.epoch += 1
        if self._failing or self.unavailable:
            self._recover(operation, epoch)

    def _recover(self, operation: str, epoch: int) -> None:
        with self._lock:
            if not self.unavailable:
                self._failing.clear()
                return
            if epoch < self._away_epoch or self._only not in {None, operation}:
                return
        self.reached()

    def failed(self, operation: str, epoch: int, reason: str, retry_after: float | None = None) -> None:
        """An attempt that began in this epoch met a gateway without a service: it was answered with one of
        `GATEWAY_FAILURES`, or not at all on a fresh connection.
        """
        with self._lock:
            if epoch != self.epoch:
                return
            self._failing[operation] = self._failing.get(operation, 0) + 1
            went_away = not self.unavailable and sum(self._failing.values()) >= _FAILURES
            only = operation if len(self._failing) == 1 else None
            if went_away:
                self._leave(reason, only, needs_read=True)
            if self.unavailable:
                self._concern(only)
                self._probe_at = max(self._probe_at, _now() + _asked(retry_after))
        if went_away:
            self._tell(away=True)

    def refused(self, reason: str) -> None:
        """A fresh connection could not be made, for this reason; a probe's is told by `probe_failed`."""
        with self._lock:
            if self.unavailable:
                self._concern(None)
                return
            self._leave(reason, None, needs_read=False)
        self._tell(away=True)

    def probe_failed(self, reason: str, retry_after: float | None = None) -> None:
        """A probe was not answered. The next one comes after the interval, or a `Retry-After`."""
        with self._lock:
            now = _now()
            self._reason = reason
            self._probe_at = now + max(self._interval(now), _asked(retry_after))

    def reached(self) -> None:
        """A probe was answered: it can be reached again."""
        with self._lock:
            if not self.unavailable:
                return
            self.unavailable = False
            self._only = None
            self._failing.clear()
            self.epoch += 1
        for loop in list(self._queues):
            self._in_loop(loop, self._wake_some, loop)
        self._tell(away=False)

    def _concern(self, only: str | None) -> None:
        """From one operation an outage may go over to all, and not back."""
        if only is None and self._only is not None:
            self._only = None
            self.outages += 1

    def _leave(self, reason: str, only: str | None, *, needs_read: bool) -> None:
        now = _now()
        self._only = only
        self.outages += only is None
        self.unavailable, self.needs_read, self._reason = True, needs_read, reason
        self.epoch += 1
        self._away_epoch = self.epoch
        self._since, self._since_date = now, datetime.now(UTC)
        self._probes = 0
        self._claimed_until = now
        self._probe_at = now + self._interval(now)

    def _interval(self, now: float) -> float:
        longest = _LONGEST_INTERVAL if now < self._since + _FIRST_MINUTE else _LONGEST_INTERVAL_LATER
        interval = min(longest, _FIRST_INTERVAL * 2.0 ** min(self._probes, 30))
        return interval * (1.0 + _VARIED_BY * (2.0 * self._draw() - 1.0))

    def _tell(self, *, away: bool) -> None:
        if away:
            calls = "calls" if self._only is None else f"calls of {name_in_log(self._only)}"
            where = self.origin + self.way
            logger.warning("%s can not be reached (%s): %s wait for it", where, self._reason, calls)
        else:
            logger.warning("%s can be reached again after %.1f s", self.origin, _now() - self._since)
        if self.listeners:
            details = UnavailableDetails(origin=self.origin, away=away, since=self._since_date, reason=self._reason)
            self.listeners.tell("on_unavailable", details)

    # Waiting

    async def wait(self, operation: str, seconds: float, probe: Callable[[], Awaitable[None]]) -> bool:
        """Wait until calls of an operation may go; `False` if that can not be within so many seconds.

        Args:
            operation: The operation's name.
            seconds: The most to wait; infinite for as long as it takes.
            probe: Tries whether it is back, and says so by `reached`, or by `probe_failed`.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        queue = self._queues.setdefault(loop, {})
        me = _Waiter()
        queue[me] = None
        try:
            while self.blocks(operation):
                now = loop.time()
                if now >= until or self._probe_at > until:
                    return False
                is_first = next(iter(queue)) is me
                if is_first and self._claim(now):
                    await self._probe(probe, until)
                    continue
                me.woken = loop.create_future()
                wake_at = min(until, max(self._probe_at, self._claimed_until)) if is_first else until
                timer = None if math.isinf(wake_at) else loop.call_at(wake_at, me.wake)
                try:
                    await me.woken
                finally:
                    if timer is not None:
                        timer.cancel()
            return True
        finally:
            del queue[me]
            if queue:
                next(iter(queue)).wake()
            elif self._queues.get(loop) is queue:
                del self._queues[loop]

    def _claim(self, now: float) -> bool:
        """Whether the caller is the one to probe now. A claim ends by itself if its loop stops."""
        with self._lock:
            if not self.unavailable or now < self._probe_at or now < self._claimed_until:
                return False
            self._claimed_until = now + 2 * LONGEST_PROBE
            self._probes += 1
            return True

    async def _probe(self, probe: Callable[[], Awaitable[None]], until: float) -> None:
        try:
            async with asyncio.timeout_at(None if math.isinf(until) else until):
                await probe()
        except TimeoutError:
            self.probe_failed(self._reason)
        finally:
            self._claimed_until = 0.0
            for loop in list(self._queues):  # who stands first elsewhere has waited for the end of this claim
                self._in_loop(loop, self._wake_first, loop)

    def _wake_first(self, loop: asyncio.AbstractEventLoop) -> None:
        if queue := self._queues.get(loop):
            next(iter(queue)).wake()

    def _wake_some(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the first of a loop go on, and more in its next turn, when these have left the queue."""
        if self.unavailable or not (queue := self._queues.get(loop)):
            return
        for waiter in itertools.islice(queue, _WOKEN_AT_ONCE):
            waiter.wake()
        loop.call_soon(self._wake_some, loop)

    def _in_loop(
        self,
        loop: asyncio.AbstractEventLoop,
        act: Callable[[asyncio.AbstractEventLoop], None],
        argument: asyncio.AbstractEventLoop,
    ) -> None:
        try:
            loop.call_soon_threadsafe(act, argument)
        except RuntimeError:  # the loop is closed, and whoever waited in it is gone
            self._queues.pop(loop, None)


_all: weakref.WeakSet[Reachability] = weakref.WeakSet()
_known: weakref.WeakValueDictionary[tuple[str, str], Reachability] = weakref.WeakValueDictionary()
_known_lock = threading.Lock()


def reachability(origin: str, proxy: str) -> Reachability:
    """The process's own for an origin and the URL of a proxy without its user, which is empty if there is none."""
    with _known_lock:
        found = _known.get((origin, proxy))
        if found is None:
            found = _known[origin, proxy] = Reachability(origin, proxy)
        return found


def _asked(retry_after: float | None) -> float:
    """Seconds for which a `Retry-After` puts a probe off."""
    return min(retry_after or 0.0, _LONGEST_RETRY_AFTER)


def _now() -> float:
    """The running loop's time; without a loop that of real loops, which all go by this clock."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


def _after_fork_in_child() -> None:
    global _known_lock  # noqa: PLW0603 - another thread of the parent may have held it
    _known_lock = threading.Lock()
    for each in list(_all):
        each._reset()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - same module


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
