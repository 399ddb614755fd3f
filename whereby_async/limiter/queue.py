"""`Queue`: the calls that wait for points, in which order they go, and how long each must wait. Pure.

Three priorities are served strictly in order, and within one the first to come goes first. Within a priority every
price has a queue of its own, so that a new price of an operation moves nobody, and so that "who is the oldest that
fits?" looks at a few heads. Counts are kept for each price, so that what waits before a newcomer is known without a
look at those who wait.

A call that was cancelled stays in its queue, marked, until it comes to the head or until such calls are the majority. A
call that has waited for a period is owed a share of each period, whatever the higher priorities bring.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict, deque
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from .core import NO
from .protocol import Priority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .core import Core, Price
    from .loops import WaitingCall

OLD: Final = 1.0  # periods after which a call is owed a share; so none waits for more than two periods
BACKFILL_WITHIN: Final = 0.25  # seconds that a call which does not fit may wait longer because a cheaper one passes it
_FEW: Final = 64
_order: Final = attrgetter("order")


class PriorityQueue:
    """The calls of one priority.

    Attributes:
        count: Calls that wait.
    """

    __slots__ = ("_cancelled", "_live", "_queues", "count")

    def __init__(self) -> None:
        self._queues: defaultdict[Price, deque[WaitingCall]] = defaultdict(deque)
        self._live: defaultdict[Price, int] = defaultdict(int)
        self._cancelled = 0
        self.count: int = 0

    def push(self, call: WaitingCall) -> None:
        """Let it wait behind all that are older."""
        queue = self._queues[call.price]
        if not queue or queue[-1].order <= call.order:
            queue.append(call)
        else:
            queue.insert(next(place for place, other in enumerate(queue) if other.order > call.order), call)
        call.queued = True
        self.count += 1
        self._live[call.price] += 1

    def remove(self, call: WaitingCall) -> None:
        """Let it wait no longer."""
        call.queued = False
        self.count -= 1
        self._live[call.price] -= 1
        queue = self._queues[call.price]
        if queue[0] is call:
            queue.popleft()
            return
        self._cancelled += 1
        if self._cancelled > max(_FEW, self.count):
            self._cancelled = 0
            for price, others in self._queues.items():
                self._queues[price] = deque(other for other in others if other.queued)

    def heads(self) -> list[WaitingCall]:
        """The oldest of each price."""
        heads: list[WaitingCall] = []
        for price, queue in list(self._queues.items()):
            while queue and not queue[0].queued:
                queue.popleft()
                self._cancelled -= 1
            if queue:
                heads.append(queue[0])
            else:
                del self._queues[price], self._live[price]
        return heads

    def head(self) -> WaitingCall | None:
        """The oldest."""
        return min(self.heads(), key=_order, default=None)

    def points(self, order: float = math.inf, most: float = math.inf) -> int:
        """Points that those ask for that are older than `order` and cost `most` at most."""
        points = 0
        for price, count in self._live.items():
            if price.points > most or not count:
                continue
            queue = self._queues[price]
            if queue[-1].order >= order:
                # A retry keeps its place, which is near the head.
                count = sum(call.queued for call in queue if call.order < order)  # noqa: PLW2901 - the exact number
            points += price.points * count
        return points

    @property
    def dearest(self) -> int:
        """The highest price that somebody waits with."""
        return max((price.points for price, count in self._live.items() if count), default=0)

    def __iter__(self) -> Iterator[WaitingCall]:
        return (call for queue in self._queues.values() for call in queue if call.queued)

    def in_order(self) -> Iterator[WaitingCall]:
        """All that wait, the oldest first."""
        return (call for call in heapq.merge(*self._queues.values(), key=_order) if call.queued)


class Queue:
    """All calls that wait for the points of one `Core`.

    Attributes:
        count: Calls that wait.
    """

    __slots__ = ("_core", "_priorities", "count")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._priorities = tuple(PriorityQueue() for _ in Priority)
        self.count: int = 0

    def push(self, call: WaitingCall) -> None:
        """Let it wait."""
        self.count += 1
        self._priorities[call.priority].push(call)

    def remove(self, call: WaitingCall) -> None:
        """Let it wait no longer, if it does."""
        if call.queued:
            self.count -= 1
            self._priorities[call.priority].remove(call)

    def __iter__(self) -> Iterator[WaitingCall]:
        return (call for priority in self._priorities for call in priority)

    def in_order(self) -> Iterator[WaitingCall]:
        """All that wait, as they are served."""
        return itertools.chain.from_iterable(queue.in_order() for queue in self._priorities)

    def lower(self) -> tuple[PriorityQueue, ...]:
        """All priorities but the first."""
        return self._priorities[1:]

    def points_by_priority(self) -> list[int]:
        """Points that are asked for, by priority."""
        return [queue.points() for queue in self._priorities]

    def waiting(self) -> dict[Priority, int]:
        """Calls that wait, by priority."""
        return {priority: self._priorities[priority].count for priority in Priority}

    def waits(self, priority: Priority) -> bool:
        """Does anybody wait in this priority?"""
        return self._priorities[priority].count > 0

    @property
    def points(self) -> int:
        """Points that all ask for."""
        return sum(queue.points() for queue in self._priorities if queue.count)

    def may_pass(self, call: WaitingCall) -> bool:
        """Does a newcomer go before all that wait?"""
        head = next((queue.head() for queue in self._priorities if queue.count), None)
        return head is None or (call.priority, call.order) < (head.priority, head.order)

    # Whose turn it is

    def decide(self, call: WaitingCall, now: float) -> int:
        """The core's decision on a call, with the reserve that its priority leaves."""
        core = self._core
        if call.priority is not Priority.BATCH:
            return core.decide(now, call.price)
        return core.decide(now, call.price, core.kept(now, call.price.points))

    def next(self, now: float) -> tuple[WaitingCall, int] | None:
        """Who goes now, and by which decision; `None` if nobody can."""
        heads = [head for queue in self._priorities if queue.count and (head := queue.head())]
        if not heads:
            return None
        owed = self._owed(heads[1:], now)
        for head in (owed, heads[0]):
            if head is None:
                continue
            verdict = self.decide(head, now)
            if verdict > NO:
                if head is owed:
                    self._core.pay_owed(head.price.points)
                return head, verdict
        return self._backfill(heads[0], now)

    def _owed(self, heads: list[WaitingCall], now: float) -> WaitingCall | None:
        """The oldest head that has waited too long behind a higher priority, and is owed some of this period."""
        old = [head for head in heads if now - head.asked_at + head.waited >= OLD * self._core.period]
        if not old or not self._core.owes(now):
            return None
        return min(old, key=lambda head: head.asked_at - head.waited)

    def _backfill(self, head: WaitingCall, now: float) -> tuple[WaitingCall, int] | None:
        """A cheaper call, if the head can use what is left only with points that come back, and more come right after.

        All that pass a head take less than it costs, so that none is passed for ever.
        """
        core, cost = self._core, head.price.points
        left = core.available(now)
        if not 0 < left < cost:
            return None
        most = min(left, cost - 1 - head.passed)
        for queue in self._priorities:
            others = queue.heads() if queue.count else []
            for call in sorted(others, key=_order):
                if call.price.points <= most and core.brings(cost - left, call.price.points, BACKFILL_WITHIN):
                    verdict = self.decide(call, now)
                    if verdict > NO:
                        head.passed += call.price.points
                        return call, verdict
        return None

    # How long a call waits

    def ahead(self, call: WaitingCall, most: float = math.inf) -> int:
        """Points of calls before it that cost `most` at most."""
        higher = sum(queue.points(most=most) for queue in self._priorities[: call.priority] if queue.count)
        own = self._priorities[call.priority]
        return higher + (own.points(call.order, most) if own.count else 0)

    def least_wait(self, call: WaitingCall, now: float) -> float:
        """Seconds that it waits at the very least, although it may pass dearer calls, or be owed a share."""
        core, cost = self._core, call.price.points
        if cost > core.limit:
            # It goes to ask whether the limit is true.
            return max(0.0, core.frozen_until - now)
        ahead = self.ahead(call)
        wait = core.least_wait(now, ahead + cost)
        if wait and ahead:
            alone = core.least_wait(now, cost)
            dearest = max(queue.dearest for queue in self._priorities[: call.priority + 1])
            if dearest > cost:
                # Each window leaves it what the dearest of them cannot use.
                windows = math.ceil((self.ahead(call, cost) + cost) / (dearest - 1))
                wait = min(wait, alone + max(0, windows - 2) * core.period)
            if call.priority is not Priority.INTERACTIVE:
                # It is owed a share before higher priorities then, but not before those that are older in its own.
                owed_in = call.asked_at - call.waited + OLD * core.period - now
                older = self._priorities[call.priority].points(call.order)
                wait = min(wait, max(core.least_wait(now, older + cost), alone, owed_in))
        return wait

    def likely_wait(self, call: WaitingCall, now: float) -> float:
        """Seconds until it is served, as things stand."""
        points = self.ahead(call) + call.price.points
        return max(self._core.likely_wait(now, points), self.least_wait(call, now))

    def earliest(self, now: float) -> float:
        """The earliest moment at which anybody can be served."""
        core = self._core
        if core.limit < core.dearest:
            return max(now, core.frozen_until)
        return now + core.least_wait(now, 1)
