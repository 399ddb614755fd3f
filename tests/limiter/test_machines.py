"""State machines: the ledger alone against a model server, and the whole limiter under random cancels."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from limiter.driving import refuses, says, turns
from whereby_async.errors import BudgetTimeoutError
from whereby_async.limiter import PointBudget, Priority
from whereby_async.limiter.redis.present.charge import Charge
from whereby_async.limiter.redis.present.present_ledger import PresentLedger
from whereby_async.testing.clock import SimulatedLoop

LIMIT = 20
PERIOD = 60.0


class LedgerAlone(RuleBasedStateMachine):
    """We alone spend; the server counts a sliding log, the strictest of those that the proof covers, or fixed windows."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.ledger = PresentLedger(LIMIT, PERIOD)
        self.flying: list[tuple[Charge, int | None, float]] = []
        self.unsent: list[Charge] = []
        self.log: deque[tuple[float, int]] = deque()
        self.fixed = False
        self.window_end = 0.0
        self.spent = 0

    @initialize(fixed=st.booleans())
    def choose(self, fixed: bool) -> None:
        """Which server it is."""
        self.fixed = fixed

    def serve(self, cost: int) -> int:
        """The call arrives; what it is told. Nothing that the ledger lets go is ever refused."""
        if self.fixed and self.now >= self.window_end:
            self.window_end = self.now + PERIOD
            self.spent = 0
        while not self.fixed and self.log and self.log[0][0] + PERIOD <= self.now:
            self.spent -= self.log.popleft()[1]
        self.spent += cost
        self.log.append((self.now, cost))
        assert self.spent <= LIMIT, "a 429 that the ledger has earned"
        return LIMIT - self.spent

    @rule(cost=st.integers(1, 3))
    def grant(self, cost: int) -> None:
        """A call asks for points."""
        if self.ledger.room(self.now, cost) >= cost:
            charge = Charge(cost, 0.0, 0)
            self.ledger.charge(charge, self.now)
            self.unsent.append(charge)

    @precondition(lambda self: self.unsent)
    @rule(pick=st.integers(0, 100))
    def arrive(self, pick: int) -> None:
        """One of those on their way reaches the server."""
        charge = self.unsent.pop(pick % len(self.unsent))
        self.flying.append((charge, self.serve(charge.cost), self.now))

    @precondition(lambda self: self.flying)
    @rule(pick=st.integers(0, 100), spoilt=st.sampled_from(["no", "no", "no", "headers", "zero"]))
    def answer(self, pick: int, spoilt: str) -> None:
        """Some answer comes back, its headers perhaps garbled."""
        charge, remaining, arrived = self.flying.pop(pick % len(self.flying))
        told = {"no": remaining, "headers": None, "zero": 0}[spoilt]
        left = max(0.0, self.window_end - arrived) if self.fixed else PERIOD
        answer = None if told is None else says(told, limit=LIMIT, reset_in=left)
        self.ledger.settle(charge, answer, self.now)

    @precondition(lambda self: self.flying)
    @rule(pick=st.integers(0, 100))
    def lose(self, pick: int) -> None:
        """An answer never comes."""
        self.ledger.lost(self.flying.pop(pick % len(self.flying))[0], self.now)

    @precondition(lambda self: self.unsent)
    @rule(pick=st.integers(0, 100))
    def cancel(self, pick: int) -> None:
        """A call never leaves."""
        self.ledger.refund(self.unsent.pop(pick % len(self.unsent)))

    @rule(seconds=st.sampled_from([0.0, 0.0005, 0.05, 0.3, 2.5, 20.0, 59.9, 61.0, 200.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, but no call flies for longer than a moment."""
        if seconds > 1 and (self.unsent or self.flying):
            for charge in self.unsent:
                self.flying.append((charge, self.serve(charge.cost), self.now))
            for charge, remaining, _ in self.flying:
                self.ledger.settle(charge, says(remaining or 0, limit=LIMIT), self.now)
            self.unsent, self.flying = [], []
        self.now += seconds

    @invariant()
    def books_balance(self) -> None:
        """What is in flight is in flight, and nothing is released before it was answered."""
        flying = sum(charge.cost for charge in self.unsent) + sum(charge.cost for charge, _, _ in self.flying)
        assert self.ledger.pending == flying
        assert self.ledger.ageing.released <= self.ledger.answered <= self.ledger.granted
        assert self.ledger.held >= flying

    def teardown(self) -> None:
        """In the end everything comes back."""
        for charge in self.unsent:
            self.ledger.refund(charge)
        for charge, _, _ in self.flying:
            self.ledger.lost(charge, self.now)
        self.ledger.room(self.now + 3 * PERIOD)
        assert self.ledger.held == 0


class WholeLimiter(RuleBasedStateMachine):
    """Callers of all lanes come, are cancelled at any moment, and end in every way; nobody is stuck, nothing is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = SimulatedLoop()
        self.budget = PointBudget(LIMIT, period=PERIOD)
        self.waiting: list[asyncio.Task[Any]] = []
        self.held: list[Any] = []
        self.count = 0

    def run(self, coroutine: Any) -> Any:
        """In the loop."""
        return self.loop.run_until_complete(coroutine)

    @rule(cost=st.integers(1, 3), lane=st.sampled_from(Priority), wait=st.sampled_from([None, None, 0.0, 30.0, 100.0]))
    def come(self, cost: int, lane: Priority, wait: float | None) -> None:
        """A caller asks, and may have to wait."""

        async def call() -> Any:
            permit = await self.budget.acquire(cost, priority=lane, max_wait=wait, operation=f"cost{cost}")
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
        """A call ends in one of its ways."""
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
        """Time passes."""
        self.run(asyncio.sleep(seconds))

    @invariant()
    def counts_agree(self) -> None:
        """What the limiter says is in flight and waiting is what really is."""
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
        """The snapshot by the loop's own clock."""
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


LedgerAloneTest = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")(
    LedgerAlone.TestCase
)
LedgerAloneTest.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
WholeLimiterTest = WholeLimiter.TestCase
WholeLimiterTest.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
