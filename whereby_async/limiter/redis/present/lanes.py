"""`PresentLanes`: who waits, in which order. Pure.

**Theory.** Three lanes, served strictly in order; within a lane first come, first served. A lane keeps one queue per price,
since the question "who is the oldest that would fit into what is left?" (backfill) then looks at a handful of heads, not
at all that wait. The oldest of the heads is the lane's head. A call that is sent again keeps the number of its first try
and so its place.

Cancelled waiters stay as husks until they come to a head, or until they are the majority: cancelling is O(1), and so is a
grant. Counts and points are exact at all times, husks excluded.

A call that has waited for long is owed something whatever the higher lanes bring (`Arrears`).
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from ...protocol import Priority
from .arrears import Arrears

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .present_waiter import PresentWaiter

_FEW_HUSKS: Final = 64
_NEVER: Final = 1 << 62
"""A number that no call will have."""


class PresentLane:
    """One lane: a queue per price.

    Attributes:
        count: Calls that wait.
        points: Points that they need.
    """

    __slots__ = ("_husks", "_live", "_queues", "count", "points")

    def __init__(self) -> None:
        self._queues: dict[int, deque[PresentWaiter]] = {}
        # Calls that wait, by price: the queues' lengths, husks excluded.
        self._live: dict[int, int] = {}
        self._husks = 0
        self.count: int = 0
        self.points: int = 0

    def push(self, waiter: PresentWaiter) -> None:
        """Stand at the end, or at the place that the waiter's number says."""
        waiter.queued = True
        self.count += 1
        self.points += waiter.cost
        queue = self._queues.get(waiter.cost)
        if queue is None:
            queue = self._queues[waiter.cost] = deque()
            self._live[waiter.cost] = 0
        self._live[waiter.cost] += 1
        if not queue or queue[-1].order < waiter.order:
            queue.append(waiter)
            return
        place = next((i for i, other in enumerate(queue) if other.order > waiter.order), len(queue))
        queue.insert(place, waiter)

    def head(self) -> PresentWaiter | None:
        """The oldest."""
        return self._oldest(None)

    def first(self, count: int) -> list[PresentWaiter]:
        """The oldest, so many at most, in order."""
        queues = ((waiter for waiter in queue if waiter.queued) for queue in self._queues.values())
        return list(islice(heapq.merge(*queues, key=lambda waiter: waiter.order), count))

    def oldest_within(self, room: int) -> PresentWaiter | None:
        """The oldest that costs no more than `room`."""
        return self._oldest(room)

    def _oldest(self, room: int | None) -> PresentWaiter | None:
        oldest: PresentWaiter | None = None
        for cost, queue in self._queues.items():
            while queue and not queue[0].queued:
                queue.popleft()
                self._husks -= 1
            if queue and (room is None or cost <= room) and (oldest is None or queue[0].order < oldest.order):
                oldest = queue[0]
        return oldest

    @property
    def dearest(self) -> int:
        """The highest price that somebody waits with."""
        return max((cost for cost, count in self._live.items() if count), default=0)

    @property
    def cheapest(self) -> float:
        """The lowest price that somebody waits with; `inf` if nobody does."""
        return min((cost for cost, count in self._live.items() if count), default=math.inf)

    def points_before(self, order: int, dearest: int | None) -> int:
        """Points of those that came before that number and cost at most `dearest`."""
        points = 0
        for cost, queue in self._queues.items():
            if not queue or (dearest is not None and cost > dearest):
                continue
            if queue[-1].order < order:
                points += cost * self._live[cost]
                continue
            for other in queue:
                # A call that is sent again keeps its place, which is near the front.
                if other.order > order:
                    break
                points += cost * other.queued
        return points

    def discard(self, waiter: PresentWaiter) -> None:
        """Wait no longer: granted, cancelled or too late."""
        if not waiter.queued:
            return
        waiter.queued = False
        self.count -= 1
        self.points -= waiter.cost
        self._live[waiter.cost] -= 1
        queue = self._queues[waiter.cost]
        if queue[0] is waiter:
            queue.popleft()
            return
        self._husks += 1
        if self._husks > _FEW_HUSKS and self._husks > self.count:
            self._rebuild()

    def reprice(self, price: Callable[[PresentWaiter], int]) -> None:
        """Prices have changed: let each waiter stand in its new queue, at its place."""
        waiters = sorted(self, key=lambda waiter: waiter.order)
        self.points = 0
        for waiter in waiters:
            waiter.cost = price(waiter)
            self.points += waiter.cost
        self._rebuild(waiters)

    def _rebuild(self, waiters: list[PresentWaiter] | None = None) -> None:
        waiters = list(self) if waiters is None else waiters
        self._queues = {}
        for waiter in waiters:
            self._queues.setdefault(waiter.cost, deque()).append(waiter)
        self._live = {cost: len(queue) for cost, queue in self._queues.items()}
        self._husks = 0

    def __iter__(self) -> Iterator[PresentWaiter]:
        """All that wait, price by price."""
        return (waiter for queue in self._queues.values() for waiter in queue if waiter.queued)


class PresentLanes:
    """All lanes.

    Attributes:
        count: Calls that wait, all lanes.
    """

    __slots__ = ("_arrears", "_lanes", "count")

    def __init__(self) -> None:
        self._lanes = tuple(PresentLane() for _ in Priority)
        self._arrears = Arrears()
        self.count: int = 0

    def __getitem__(self, priority: Priority) -> PresentLane:
        return self._lanes[priority]

    def __iter__(self) -> Iterator[PresentWaiter]:
        """All that wait."""
        return (waiter for lane in self._lanes for waiter in lane)

    @property
    def points(self) -> int:
        """Points that all need."""
        return sum(lane.points for lane in self._lanes)

    def ahead_of(self, priority: Priority, order: int, *, dearest: int | None = None) -> int:
        """Points that wait before a call with that number in that lane, of calls that cost at most `dearest`."""
        higher = self._lanes[:priority]
        if dearest is None:
            ahead = sum(lane.points for lane in higher)
        else:
            ahead = sum(lane.points_before(_NEVER, dearest) for lane in higher)
        return ahead + self._lanes[priority].points_before(order, dearest)

    @property
    def cheapest(self) -> float:
        """The lowest price in all lanes; `inf` if nobody waits."""
        return min(lane.cheapest for lane in self._lanes)

    def dearest_of(self, priority: Priority) -> int:
        """The highest price in that lane and those before it."""
        return max(lane.dearest for lane in self._lanes[: priority + 1])

    def push(self, waiter: PresentWaiter) -> None:
        """Let it wait in its lane."""
        self.count += 1
        self._lanes[waiter.priority].push(waiter)

    def discard(self, waiter: PresentWaiter) -> None:
        """Let it go, if it waits."""
        if waiter.queued:
            self.count -= 1
            self._lanes[waiter.priority].discard(waiter)

    def reprice(self, price: Callable[[PresentWaiter], int]) -> None:
        """Ask the price of each again."""
        for lane in self._lanes:
            if lane.count:
                lane.reprice(price)

    def head(self) -> PresentWaiter | None:
        """The oldest of the first lane that has any."""
        for lane in self._lanes:
            if lane.count:
                return lane.head()
        return None

    def backfill(self, room: int) -> PresentWaiter | None:
        """The oldest call that costs no more than `room`, lane by lane."""
        for lane in self._lanes:
            if lane.count and (waiter := lane.oldest_within(room)):
                return waiter
        return None

    def owed(self, now: float, limit: int, period: float) -> PresentWaiter | None:
        """The oldest call of the lower lanes that is owed a share and has not had it in this period."""
        heads = (lane.head() for lane in self._lanes[1:] if lane.count)
        return self._arrears.owed(heads, now, limit, period)

    def paid(self, waiter: PresentWaiter) -> None:
        """A call that was owed has been served."""
        self._arrears.paid(waiter.cost)
