"""State machines: the core against a model server, the queue alone, and the whole limiter under random cancels."""

# pyright: reportPrivateUsage=false
# What is kept inside is looked at.

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.budgets import BookedGrant, refuses, says, turns

from whereby_async.errors import BudgetTimeoutError
from whereby_async.limiter import PointBudget, Priority
from whereby_async.limiter.core import NO, Core
from whereby_async.limiter.loops import WaitingCall
from whereby_async.limiter.queue import Queue
from whereby_async.testing.clock import SimulatedLoop

LIMIT = 20
PERIOD = 60.0


class CoreAlone(RuleBasedStateMachine):
    """No foreign use; the server counts a sliding log (the strictest that the proof covers) or fixed windows."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.core = Core.cold(LIMIT, PERIOD)
        self.flying: list[tuple[BookedGrant, int, float]] = []
        self.unsent: list[BookedGrant] = []
        self.log: deque[tuple[float, int]] = deque()
        self.granted: deque[tuple[float, int]] = deque()
        self.fixed = False
        self.window_end = 0.0
        self.spent = 0

    @initialize(fixed=st.booleans())
    def choose(self, fixed: bool) -> None:
        self.fixed = fixed

    def serve(self, cost: int) -> int:
        """The call arrives; the points that are left. Nothing that the core grants is ever refused."""
        if self.fixed and self.now >= self.window_end:
            self.window_end = self.now + PERIOD
            self.spent = 0
        while not self.fixed and self.log and self.log[0][0] + PERIOD <= self.now:
            self.spent -= self.log.popleft()[1]
        self.spent += cost
        self.log.append((self.now, cost))
        assert self.spent <= LIMIT, "a 429 that the core has earned"
        return LIMIT - self.spent

    @rule(cost=st.integers(1, 3), named=st.booleans())
    def grant(self, cost: int, named: bool) -> None:
        price = self.core.price(f"cost{cost}" if named else "", cost)
        verdict = self.core.decide(self.now, price)
        if verdict > NO:
            self.unsent.append(self.core.book(BookedGrant, None, price, self.now, verdict, 0))

    @precondition(lambda self: self.unsent)
    @rule(pick=st.integers(0, 100))
    def arrive(self, pick: int) -> None:
        grant = self.unsent.pop(pick % len(self.unsent))
        self.flying.append((grant, self.serve(grant.cost), self.now))

    @precondition(lambda self: self.flying)
    @rule(pick=st.integers(0, 100), spoilt=st.sampled_from(["no", "no", "no", "headers", "zero"]))
    def answer(self, pick: int, spoilt: str) -> None:
        """Some answer comes back, its headers perhaps garbled; that it comes twice changes nothing."""
        grant, remaining, arrived = self.flying.pop(pick % len(self.flying))
        told = {"no": remaining, "headers": None, "zero": 0}[spoilt]
        left = max(0.0, self.window_end - arrived) if self.fixed else PERIOD
        answer = None if told is None else says(told, limit=LIMIT, reset_in=left)
        self.core.answer(grant, self.now, answer)
        before = self.core.in_flight, self.core.available(self.now)
        self.core.answer(grant, self.now, answer)
        self.core.refund(grant)
        self.core.lost(grant, self.now)
        assert (self.core.in_flight, self.core.available(self.now)) == before

    @precondition(lambda self: self.flying)
    @rule(pick=st.integers(0, 100))
    def lose(self, pick: int) -> None:
        self.core.lost(self.flying.pop(pick % len(self.flying))[0], self.now)

    @precondition(lambda self: self.unsent)
    @rule(pick=st.integers(0, 100))
    def cancel(self, pick: int) -> None:
        self.core.refund(self.unsent.pop(pick % len(self.unsent)))

    @rule(seconds=st.sampled_from([0.0, 0.0005, 0.05, 0.3, 2.5, 20.0, 59.9, 61.0, 200.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, but no call flies for longer than a moment."""
        if seconds > 1 and (self.unsent or self.flying):
            for grant in self.unsent:
                self.flying.append((grant, self.serve(grant.cost), self.now))
            for grant, remaining, _ in self.flying:
                self.core.answer(grant, self.now, says(remaining, limit=LIMIT))
            self.unsent, self.flying = [], []
        self.now += seconds

    @invariant()
    def books_balance(self) -> None:
        """The points in flight are right, no point comes back before its answer, and the estimates are possible."""
        core = self.core
        flying = sum(grant.cost for grant in self.unsent) + sum(grant.cost for grant, _, _ in self.flying)
        assert core.in_flight == flying
        assert 0 <= core.available(self.now) <= LIMIT
        assert core._released <= core._answered <= core._granted
        assert (core.remaining(self.now) or 0) <= LIMIT
        assert core._fresh + core._recent >= 0
        assert core._probing >= 0
        assert core._unknown_out >= 0
        assert core.least_wait(self.now, 1) <= core.likely_wait(self.now, 1) + PERIOD
        reset_in = core.reset_in(self.now)
        assert reset_in is None or reset_in >= 0

    def teardown(self) -> None:
        for grant in self.unsent:
            self.core.refund(grant)
        for grant, _, _ in self.flying:
            self.core.lost(grant, self.now)
        self.now += 3 * PERIOD
        assert self.core.available(self.now) == LIMIT
        assert self.core.in_flight == 0
        assert not self.core._log
        assert not self.core._lost


class SilentServer(RuleBasedStateMachine):
    """Answers carry no headers, some calls are lost: no stretch of a period sees more than the limit granted."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.core = Core.cold(LIMIT, PERIOD)
        self.flying: list[BookedGrant] = []
        self.granted: list[tuple[float, int]] = []

    @rule(cost=st.integers(1, 3), count=st.integers(1, 8))
    def grant(self, cost: int, count: int) -> None:
        price = self.core.price("", cost)
        for _ in range(count):
            if (verdict := self.core.decide(self.now, price)) > NO:
                self.flying.append(self.core.book(BookedGrant, None, price, self.now, verdict, 0))
                self.granted.append((self.now, cost))

    @precondition(lambda self: self.flying)
    @rule(pick=st.integers(0, 100), lost=st.booleans())
    def end(self, pick: int, lost: bool) -> None:
        grant = self.flying.pop(pick % len(self.flying))
        if lost:
            self.core.lost(grant, self.now)
        else:
            self.core.answer(grant, self.now, None)

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.9, 2.1, 30.0, 59.9, 60.5]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def never_more_than_the_limit(self) -> None:
        assert sum(cost for at, cost in self.granted if at > self.now - PERIOD) <= LIMIT


class QueueAlone(RuleBasedStateMachine):
    """Calls of all priorities and prices come, go and are served, while points come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.core = Core.cold(LIMIT, PERIOD)
        self.queue = Queue(self.core)
        self.waiting: list[WaitingCall] = []
        self.left: list[WaitingCall] = []
        self.flying: list[BookedGrant] = []
        self.orders = 0

    @rule(cost=st.integers(1, 3), priority=st.sampled_from(Priority), count=st.integers(1, 5))
    def come(self, cost: int, priority: Priority, count: int) -> None:
        for _ in range(count):
            self.orders += 1
            price = self.core.price("", cost)
            call = WaitingCall(price, "", priority, self.orders, self.now, 0.0)
            self.queue.push(call)
            self.waiting.append(call)

    @precondition(lambda self: self.left)
    @rule(pick=st.integers(0, 100))
    def come_again(self, pick: int) -> None:
        """A retry has the number of its first attempt."""
        first = self.left.pop(pick % len(self.left))
        call = WaitingCall(first.price, "", first.priority, first.order, self.now, 1.0)
        self.queue.push(call)
        self.waiting.append(call)

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 100))
    def leave(self, pick: int) -> None:
        call = self.waiting.pop(pick % len(self.waiting))
        self.queue.remove(call)
        self.queue.remove(call)
        self.left.append(call)

    @rule(most=st.integers(1, 5))
    def serve(self, most: int) -> None:
        """Calls go in order: none passes an older one of its price and priority."""
        for _ in range(most):
            found = self.queue.next(self.now)
            if found is None:
                return
            call, verdict = found
            assert verdict > NO
            assert call in self.waiting
            others = [one for one in self.waiting if (one.priority, one.price) == (call.priority, call.price)]
            assert call.order == min(one.order for one in others)
            self.queue.remove(call)
            self.waiting.remove(call)
            self.flying.append(self.core.book(BookedGrant, None, call.price, self.now, verdict, call.order))
            self.left.append(call)

    @precondition(lambda self: self.flying)
    @rule(pick=st.integers(0, 100), silent=st.booleans())
    def answer(self, pick: int, silent: bool) -> None:
        grant = self.flying.pop(pick % len(self.flying))
        self.core.answer(grant, self.now, None if silent else says(LIMIT // 2, limit=LIMIT))

    @rule(seconds=st.sampled_from([0.0, 0.3, 2.1, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counts_agree(self) -> None:
        queue = self.queue
        assert queue.count == len(self.waiting) == len(list(queue))
        assert queue.points == sum(call.price.points for call in self.waiting)
        for priority in Priority:
            waiting = [call for call in self.waiting if call.priority is priority]
            assert queue.waiting()[priority] == len(waiting)
            assert queue.waits(priority) == bool(waiting)
        for call in self.waiting:
            before = [
                one.price.points for one in self.waiting if (one.priority, one.order) < (call.priority, call.order)
            ]
            assert queue.ahead(call) == sum(before)
            assert queue.ahead(call, 2) == sum(cost for cost in before if cost <= 2)
            assert 0 <= queue.least_wait(call, self.now) <= queue.likely_wait(call, self.now)
            assert queue.earliest(self.now) >= self.now


class WholeLimiter(RuleBasedStateMachine):
    """Callers of all priorities come, are cancelled and end in every way; nobody is stuck, nothing is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = SimulatedLoop()
        self.budget = PointBudget(LIMIT, period=PERIOD)
        self.waiting: list[asyncio.Task[Any]] = []
        self.held: list[Any] = []
        self.count = 0

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    @rule(
        cost=st.integers(1, 3), priority=st.sampled_from(Priority), wait=st.sampled_from([None, None, 0.0, 30.0, 100.0])
    )
    def come(self, cost: int, priority: Priority, wait: float | None) -> None:

        async def call() -> Any:
            permit = await self.budget.acquire(cost, priority=priority, max_wait=wait, operation=f"cost{cost}")
            self.held.append(permit)

        self.waiting.append(self.loop.create_task(call()))
        self.run(turns(3))

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 100), first_release=st.booleans())
    def cancel(self, pick: int, first_release: bool) -> None:
        """A waiting caller gives up, perhaps in the very moment in which points come free."""
        if first_release and self.held:
            self.held.pop().release()
        self.waiting[pick % len(self.waiting)].cancel()
        self.run(turns(3))

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 100), how=st.sampled_from(["settle", "silent", "release", "lost", "dropped", "refused"]))
    def end(self, pick: int, how: str) -> None:
        permit = self.held.pop(pick % len(self.held))
        self.count += 1
        match how:
            case "settle":
                permit.settle(says(LIMIT // 2, limit=LIMIT))
            case "silent":
                permit.settle(None)
            case "refused":
                permit.settle(refuses(3.0))
            case "release":
                permit.release()
                permit.lost()
            case "lost":
                permit.lost()
            case _:
                del permit
        self.run(turns(3))

    @rule(seconds=st.sampled_from([0.1, 2.1, 10.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def counts_agree(self) -> None:
        self.waiting = [task for task in self.waiting if not task.done() or self.finished(task)]
        snapshot = self.run(self.look())
        assert snapshot.in_flight == sum(permit.cost for permit in self.held)
        assert sum(snapshot.waiting.values()) == len(self.waiting)

    @staticmethod
    def finished(task: asyncio.Task[Any]) -> bool:
        """Forget a task that is done, unless it failed in a way that it should not."""
        with contextlib.suppress(BudgetTimeoutError, asyncio.CancelledError):
            task.result()
        return False

    async def look(self) -> Any:
        return self.budget.snapshot()

    def teardown(self) -> None:
        """Left alone, everybody who still waits is served in time."""

        async def finish() -> None:
            for _ in range(20):
                while self.held:
                    self.held.pop().settle(None)
                await asyncio.sleep(PERIOD + 3)
                if not [task for task in self.waiting if not task.done()] and not self.held:
                    return

        self.run(finish())
        assert [task for task in self.waiting if not task.done()] == []
        assert [self.finished(task) for task in self.waiting] == [False] * len(self.waiting)
        self.loop.close()


_QUICK = settings(max_examples=100, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CoreAloneTest = CoreAlone.TestCase
CoreAloneTest.settings = _QUICK
SilentServerTest = SilentServer.TestCase
SilentServerTest.settings = _QUICK
QueueAloneTest = QueueAlone.TestCase
QueueAloneTest.settings = settings(_QUICK, max_examples=60, stateful_step_count=40)
WholeLimiterTest = WholeLimiter.TestCase
WholeLimiterTest.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
