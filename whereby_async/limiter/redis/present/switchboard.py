"""`Switchboard`: the loops in which calls wait, their deadlines, and the waking of all that have an outcome.

What is decided under the account's lock is told after it: `hand` only notes whom to tell, `wake` tells. Both may run in several
threads at once, so what goes from one to the other goes through deques, of which every entry is taken by exactly one thread.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Final

from .local_permit import LocalPermit
from .station import Station

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .present_waiter import PresentWaiter

HEARTBEAT: Final = 5.0
"""Seconds after which waiting calls are looked at in any case."""

_FEW: Final = 64


class Switchboard:
    """All stations of an account."""

    __slots__ = ("_deadlines", "_ringing", "_stations", "_tick")

    def __init__(self, tick: Callable[[Station], None]) -> None:
        self._tick = tick
        self._stations: dict[asyncio.AbstractEventLoop, Station] = {}
        self._ringing: deque[Station] = deque()
        self._deadlines: list[tuple[float, int, PresentWaiter]] = []

    @property
    def ringing(self) -> bool:
        """Somebody is to be told."""
        return bool(self._ringing)

    @property
    def hurried(self) -> bool:
        """Somebody waits with a deadline, or has."""
        return bool(self._deadlines)

    def seat(self, waiter: PresentWaiter, loop: asyncio.AbstractEventLoop, deadline: float | None) -> None:
        """A call begins to wait in this loop, which is the running one. Under the lock."""
        station = self._stations.get(loop)
        if station is None:
            station = self._stations[loop] = Station(loop, self._tick)
        station.waiting += 1
        waiter.station = station
        waiter.future = loop.create_future()
        if deadline is not None:
            if len(self._deadlines) > _FEW + 2 * sum(station.waiting for station in self._stations.values()):
                self._deadlines = [entry for entry in self._deadlines if entry[2].queued]
                heapq.heapify(self._deadlines)
            # A retry has the order of the call's first attempt, whose entry may still lie here: the id keeps the two apart.
            heapq.heappush(self._deadlines, (deadline, id(waiter), waiter))

    def overdue(self, now: float) -> PresentWaiter | None:
        """One whose deadline has passed, if there is any. Under the lock."""
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= now or not deadlines[0][2].queued):
            waiter = heapq.heappop(deadlines)[2]
            if waiter.queued:
                return waiter
        return None

    def hand(self, waiter: PresentWaiter) -> None:
        """Its outcome stands. Under the lock."""
        station = waiter.station
        station.inbox.append(waiter)
        self._ringing.append(station)

    def parked(self) -> list[PresentWaiter]:
        """Let go of those that were passed over. Under the lock."""
        waiters = [waiter for station in self._stations.values() for waiter in station.parked]
        for station in self._stations.values():
            station.waiting -= len(station.parked)
            station.parked.clear()
        return waiters

    def wake(self, here: asyncio.AbstractEventLoop | None, when: float, now: float, *, more: bool) -> None:
        """Tell those that have an outcome, and see that each loop with waiters looks again: soon if there is more, or `when`."""
        while self._ringing:
            try:
                station = self._ringing.popleft()
            except IndexError:  # another thread has just told the last
                break
            self._attempt(station, lambda station: station.ring(here))
        if self._deadlines:
            when = min(when, self._deadlines[0][0])
        when = min(when, now + HEARTBEAT)
        for station in list(self._stations.values()):
            if station.waiting and more:
                self._attempt(station, lambda station: station.soon(here))
            elif station.waiting:
                self._attempt(station, lambda station: station.arm(when, now, here))
            elif station.loop is here or station.dead:
                station.rest()
                self._stations.pop(station.loop, None)

    def _attempt(self, station: Station, act: Callable[[Station], None]) -> None:
        try:
            act(station)
        except RuntimeError:
            # Its loop is closed: what it was granted goes back, and its waiters are passed over from now on.
            self._stations.pop(station.loop, None)
            while station.inbox:
                waiter = station.inbox.popleft()
                if isinstance(waiter.outcome, LocalPermit):
                    waiter.outcome.release()
