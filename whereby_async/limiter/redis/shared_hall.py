"""`SharedHall`: who waits for the store's points in one event loop, and how his wait ends. Only ever touched in that loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from ...errors import BudgetError
from ..protocol import Priority
from .caller import Caller
from .present import refusals
from .present.arrears import OLD
from .present.lanes import PresentLanes
from .present.outlook import Outlook
from .wire import Wants

if TYPE_CHECKING:
    import asyncio

    from .branch import Branch
    from .outbox import Outbox

Sent: TypeAlias = list[list[tuple[Caller, int]]]
"""The calls that a message asks points for, by lane, each with the price that it named."""


class SharedHall:
    """The lanes of one event loop.

    Attributes:
        lanes: Who waits.
    """

    def __init__(self, branch: Branch, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self.lanes: PresentLanes = PresentLanes()
        self._branch = branch
        self._loop = loop
        self._outbox = outbox

    # Coming

    def enter(self, caller: Caller, *, known: bool) -> None:
        """A call begins to wait.

        Args:
            caller: Who.
            known: The store has said how long such calls wait: it may be refused at once.

        Raises:
            BudgetTimeoutError: It would wait longer than it may.
            BudgetError: The price is above the whole limit.
        """
        now, branch = self._loop.time(), self._branch
        caller.arrive(self._loop.create_future(), now)
        caller.cost = branch.tariff.price(caller.operation, caller.seed)
        self._check_price(caller)
        if known:
            self._judge(caller, now)
        if (left := caller.left(now)) is not None and left > 0:
            caller.timer = self._loop.call_later(left, self._late, caller)
        self.lanes.push(caller)
        if known:
            alone = self.lanes[caller.priority].count == 1
            branch.tell_wait(caller, branch.view.reply.why if alone else "queue", self)

    def outlook(self) -> Outlook:
        """What those who wait here can expect."""
        return Outlook(self._branch.view, self.lanes)

    def ahead(self, caller: Caller) -> int:
        """Points that wait before it, as far as we know."""
        return self.lanes.ahead_of(caller.priority, caller.order) + self._branch.view.before(caller.priority)

    def _check_price(self, caller: Caller) -> None:
        whole = self._branch.view.quota.whole
        if caller.cost > whole:
            raise refusals.too_dear(caller, whole)

    def _judge(self, caller: Caller, now: float) -> None:
        """Refuse a call that would surely wait too long."""
        caller.judged = True
        left = caller.left(now)
        if left is None:
            return
        outlook = self.outlook()
        if left <= 0 or outlook.least(caller, now) > left:
            self._outbox.misses(caller)
            likely = outlook.likely(caller, now)
            raise refusals.too_long(caller, self.ahead(caller), likely, caller.max_wait or 0.0)

    # Going

    def wanted(self, most: int) -> tuple[Sent, list[Wants]]:
        """What the store is to be asked for: so many calls at most, the first lanes first."""
        now = self._loop.time()
        old_since = now - OLD * self._branch.plan.period
        sent: Sent = []
        wants: list[Wants] = []
        for priority in Priority:
            lane = self.lanes[priority]
            callers = cast("list[Caller]", lane.first(most)) if lane.count else []
            most -= len(callers)
            old = next((place for place, caller in enumerate(callers) if caller.since > old_since), len(callers))
            waited = now - callers[0].since if callers else 0.0
            sent.append([(caller, caller.cost) for caller in callers])
            wants.append(Wants(costs=[caller.cost for caller in callers], points=lane.points, waited=waited, old=old))
        return sent, wants

    def give_up(self, caller: Caller) -> None:
        """Its task is gone."""
        if caller.queued:
            self._outbox.misses(caller)
        self.leave(caller)

    def leave(self, caller: Caller) -> None:
        """It waits no longer."""
        caller.hush()
        self.lanes.discard(caller)

    def _refuse(self, caller: Caller, error: Exception) -> None:
        self.leave(caller)
        if not caller.future.done():
            caller.future.set_exception(error)

    def _late(self, caller: Caller) -> None:
        if caller.queued:
            self._outbox.misses(caller)
            wait = self._branch.view.likely_wait(self._loop.time(), caller.cost)
            self._refuse(caller, refusals.too_late(caller, wait))

    def sort_out(self, sent: Sent, why: str) -> None:
        """Of those that were not served, some need not wait at all; the hooks hear of the others."""
        now = self._loop.time()
        for caller in [caller for callers in sent for caller, _ in callers if caller.queued and not caller.judged]:
            try:
                self._check_price(caller)
                self._judge(caller, now)
            except BudgetError as error:
                self._refuse(caller, error)
            else:
                self._branch.tell_wait(caller, why, self)

    def reprice(self) -> None:
        """Prices or the limit have moved: those who wait pay the new ones, if they can be paid at all."""
        self.lanes.reprice(lambda waiter: self._branch.tariff.price(waiter.operation, waiter.seed))
        whole = self._branch.view.quota.whole
        for caller in [cast("Caller", waiter) for waiter in self.lanes if waiter.cost > whole]:
            self._refuse(caller, refusals.too_dear(caller, whole))

    def turn_away(self, error: Exception | None = None) -> None:
        """Send all away, with an error, or to wait somewhere else."""
        for caller in sorted(cast("list[Caller]", list(self.lanes)), key=lambda waiter: waiter.order):
            self.leave(caller)
            caller.pause(self._loop.time())
            if caller.future.done():
                continue
            if error is None:
                caller.future.set_result(None)
            else:
                caller.future.set_exception(error)
