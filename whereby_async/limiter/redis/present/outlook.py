"""`Outlook`: how long a call will wait, as far as that can be known. Pure.

Two questions that must not be mixed up. *May it be refused at once?* Only if it will surely wait too long: `least` is a lower
bound that holds whatever the answers in flight bring, however a cheaper call may pass a dearer one, and whatever share an old
call is owed; points that come back because a call was never sent are the one thing that it does not foresee. *When would it be
served?* `likely` supposes that nothing unforeseen happens; that is what people are told.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...protocol import Priority
from . import refusals
from .arrears import OLD

if TYPE_CHECKING:
    from .horizon import Horizon
    from .lanes import PresentLanes
    from .present_waiter import PresentWaiter


class Outlook:
    """What those that wait can expect."""

    __slots__ = ("_horizon", "_lanes")

    def __init__(self, horizon: Horizon, lanes: PresentLanes) -> None:
        self._horizon = horizon
        self._lanes = lanes

    def deadline(self, waiter: PresentWaiter, max_wait: float, ahead: int, now: float) -> float:
        """The deadline of a wait that may be short enough.

        Raises:
            BudgetTimeoutError: It will surely be too long.
        """
        if not max_wait >= 0:
            raise ValueError(f"max_wait must be seconds from 0 on, or None, not {max_wait!r}")
        left = max_wait - waiter.waited
        if left <= 0 or self.least(waiter, now) > left:
            raise refusals.too_long(waiter, ahead, self.likely(waiter, now), max_wait)
        return now + left

    def next_at(self, now: float) -> float:
        """The earliest moment at which anything can be granted."""
        horizon = self._horizon
        if horizon.limit < horizon.quota.whole:
            # Somebody may go to ask whether the limit is true.
            return max(now, horizon.gate.opens_at)
        return now + horizon.least_wait(now, 1)

    def least(self, waiter: PresentWaiter, now: float) -> float:
        """Seconds that it will wait at the very least."""
        horizon = self._horizon
        if waiter.cost > horizon.limit:
            # It goes to ask whether the limit is true.
            return max(0.0, horizon.gate.opens_at - now)
        ahead = self._lanes.ahead_of(waiter.priority, waiter.order)
        wait = horizon.least_wait(now, ahead + waiter.cost, self._lanes.cheapest)
        if ahead and wait:
            wait = min(wait, self._passing(waiter, now))
            if waiter.priority is not Priority.INTERACTIVE:
                owed_in = waiter.since + OLD * horizon.period - now
                wait = min(wait, max(owed_in, horizon.least_wait(now, waiter.cost)))
        return wait

    def _passing(self, waiter: PresentWaiter, now: float) -> float:
        """The same for a call that passes dearer ones: each window leaves it what the dearest of them can not use."""
        dearest = self._lanes.dearest_of(waiter.priority)
        if dearest <= waiter.cost:
            return math.inf
        points = waiter.cost + self._lanes.ahead_of(waiter.priority, waiter.order, dearest=waiter.cost)
        windows = math.ceil(points / (dearest - 1))
        return self._horizon.least_wait(now, waiter.cost) + max(0, windows - 2) * self._horizon.period

    def likely(self, waiter: PresentWaiter, now: float) -> float:
        """Seconds until it is served, as things stand."""
        ahead = self._lanes.ahead_of(waiter.priority, waiter.order)
        return max(self._horizon.likely_wait(now, ahead + waiter.cost), self.least(waiter, now))
