"""`Core` and its queue: hung calls, starvation, clocks that jump, prices that come and go, and what is kept."""

# pyright: reportPrivateUsage=false
# What is kept inside is looked at.

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support.budgets import (
    BookedGrant,
    Server,
    call,
    cancel,
    now,
    refuses,
    says,
    simulated,
    spend,
    spent,
    turns,
    waiters,
)

from whereby_async.limiter import Permit, PointBudget, Priority, RateLimit
from whereby_async.limiter.core import MOST_PRICES, NO, Core, Price
from whereby_async.limiter.loops import WaitingCall
from whereby_async.limiter.queue import PriorityQueue, Queue

PERIOD = 60.0


class Alone:
    """A core and a clock that the test sets."""

    def __init__(self, limit: int | None = 100) -> None:
        self.core = Core.cold(limit, PERIOD)
        self.now = 1000.0

    def grant(self, cost: int = 1, operation: str = "") -> BookedGrant | None:
        price = self.core.price(operation, cost)
        verdict = self.core.decide(self.now, price)
        if verdict <= NO:
            return None
        return self.core.book(BookedGrant, None, price, self.now, verdict, 0)

    def call(self, answer: RateLimit | None, cost: int = 1, operation: str = "") -> None:
        grant = self.grant(cost, operation)
        assert grant is not None
        self.now += 0.01
        self.core.answer(grant, self.now, answer)


# Hung calls


@simulated
@pytest.mark.parametrize("state", ["cold", "warm", "idle", "in doubt", "alone"])
async def test_call_that_hangs_holds_others_up_for_two_seconds_at_most(state: str) -> None:
    """The first call ever, the first after idleness, a probe, or one that goes alone to show its price."""
    budget = PointBudget(100)
    if state != "cold":
        await spend(budget, 1)
    if state == "idle":
        await asyncio.sleep(10)
    if state == "in doubt":
        for left in (90, 80, 70):
            (await budget.acquire(1)).settle(says(left))
    if state == "alone":
        await spend(budget, 90)
    hung = await budget.acquire(1, operation="insights.rooms" if state == "alone" else "")
    began = now()
    for _ in range(3):
        (await budget.acquire(1)).settle(says(60 if state != "alone" else 5))
    assert now() - began <= 2.1
    hung.lost()


@simulated
async def test_calls_that_all_hang_still_go_by_the_ledger() -> None:
    budget = PointBudget(20)
    calls = [asyncio.create_task(budget.acquire(1)) for _ in range(40)]
    await asyncio.sleep(200)
    assert sum(task.done() for task in calls) == 20
    for task in calls:
        if task.done():
            task.result().lost()
        else:
            task.cancel()


@simulated
async def test_after_idleness_few_calls_go_until_an_answer_shows_what_is_left() -> None:
    """Foreign use has spent the window meanwhile: of a hundred calls at once hardly any is refused."""
    budget, server = PointBudget(1000), Server(1000, PERIOD, now)
    await asyncio.gather(*(call(budget, server) for _ in range(200)))
    await asyncio.sleep(10)
    server.serve(795)
    await asyncio.gather(*(call(budget, server, flight=0.05) for _ in range(100)))
    assert server.refused <= 16


# Cancels and deadlines


@simulated
async def test_deadline_and_cancel_in_one_turn_leave_the_counts_right() -> None:
    budget = PointBudget(1)
    held = await budget.acquire(1)
    waiting = await waiters(budget, 3, 1, max_wait=5)
    loop = asyncio.get_running_loop()
    for task in waiting:
        loop.call_at(now() + 5, task.cancel)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert now() == pytest.approx(5, abs=0.01)
    snapshot = budget.snapshot()
    assert (sum(snapshot.waiting.values()), snapshot.waiting_points, snapshot.in_flight) == (0, 0, 1)
    (later,) = await waiters(budget, 1)
    held.release()
    (await later).lost()


@simulated
async def test_retry_may_come_again_behind_its_own_cancelled_attempt() -> None:
    budget = PointBudget(1)
    first = await budget.acquire(1)
    first.settle(says(0, limit=1))
    held = asyncio.create_task(budget.acquire(1, priority=Priority.INTERACTIVE))
    (before,) = await waiters(budget, 1, 1, after=first)
    (again,) = await waiters(budget, 1, 1, after=first)
    again.cancel()
    await turns()
    (third,) = await waiters(budget, 1, 1, after=first)
    assert budget.snapshot().waiting_points == 3
    for task in asyncio.as_completed((held, before, third)):
        (await task).release()


# Nobody starves


@simulated
async def test_new_operation_is_served_under_an_endless_interactive_stream() -> None:
    """Its price is not known, and little is left: it goes within two periods."""
    budget, server = PointBudget(30), Server(30, PERIOD, now)
    await call(budget, server)
    served: list[float] = []

    async def stream() -> None:
        while not served:
            await call(budget, server, operation="meetings.get", priority=Priority.INTERACTIVE)

    streams = [asyncio.create_task(stream()) for _ in range(20)]
    await asyncio.sleep(1)
    began = now()
    served.append(await call(budget, server, operation="insights.rooms"))
    assert served[0] - began <= 2 * PERIOD
    assert not server.refused
    await cancel(*streams)


@simulated
async def test_many_new_operations_do_not_go_one_by_one_while_much_is_left() -> None:
    """A hundred operations that were never seen take few round trips."""
    budget, server = PointBudget(1000), Server(1000, PERIOD, now)
    await asyncio.gather(*(call(budget, server) for _ in range(200)))
    began = now()
    await asyncio.gather(*(call(budget, server, flight=0.1, operation=f"new.{number}") for number in range(100)))
    assert now() - began <= 1.5


# Refusals


@simulated
async def test_retry_after_zero_makes_no_storm() -> None:
    """Twenty callers for a minute, each refused with `Retry-After: 0`: ten refusals at most."""
    budget = PointBudget(100)
    refused = 0

    async def caller() -> None:
        nonlocal refused
        permit: Permit | None = None
        while True:
            permit = await budget.acquire(1, after=permit)
            await asyncio.sleep(0.05)
            refused += 1
            permit.settle(refuses(0.0))

    callers = [asyncio.create_task(caller()) for _ in range(20)]
    await asyncio.sleep(60)
    for task in callers:
        task.cancel()
    assert 4 <= refused <= 10


@simulated
async def test_refusal_of_another_limiter_is_waited_for_briefly() -> None:
    """A 429 that names no time while points are left comes from a gateway: the waits are 1, 2 and 4 s."""
    budget = await spent(1000, 10)
    waits: list[float] = []
    for _ in range(3):
        (await budget.acquire(1)).settle(RateLimit(throttled=True))
        began = now()
        assert budget.snapshot().state == "frozen"
        reset_in = budget.snapshot().reset_in
        assert reset_in is not None
        permit = await budget.acquire(1)
        waits.append(now() - began)
        assert waits[-1] == pytest.approx(reset_in)
        permit.release()
    assert waits == pytest.approx([1.0, 2.0, 4.0], abs=0.05)
    (await budget.acquire(1)).settle(says(980, limit=1000))
    assert budget.snapshot().state == "open"
    assert budget.snapshot().foreign_rate == 0


# The clock


def _account(clock: list[float]) -> tuple[PointBudget, Any]:
    """A budget of a real loop, whose clock the test sets."""
    budget = PointBudget(10)
    account = budget._account
    account.clock = lambda: clock[0]
    account.last_now = clock[0]
    return budget, account


@pytest.mark.anyio
async def test_clock_that_shows_a_little_less_stands_still() -> None:
    """Threads read it before they have the lock, and uvloop keeps what it read."""
    clock = [time.monotonic()]
    budget, account = _account(clock)
    core = account.core
    (await budget.acquire(1)).settle(says(9, limit=10))
    clock[0] -= 0.9
    assert budget.snapshot().remaining == 9
    permit = await budget.acquire(1)
    permit.settle(says(8, limit=10))
    assert budget.snapshot().remaining == 8
    assert account.core is core


@pytest.mark.anyio
async def test_clock_that_was_set_back_is_another_clock() -> None:
    """The budget starts anew, waiters go on waiting, and permits from before end without effect."""
    clock = [time.monotonic()]
    budget, account = _account(clock)
    old = [await budget.acquire(10)]
    waiting = await waiters(budget, 3, 3, operation="meetings.create")
    clock[0] -= 3600
    snapshot = budget.snapshot()
    assert (snapshot.state, snapshot.remaining) == ("unknown", None)
    assert snapshot.waiting[Priority.NORMAL] == 3
    old.append(await asyncio.wait_for(waiting[0], 5))
    old[1].settle(says(7, limit=10))
    old.append(await asyncio.wait_for(waiting[1], 5))
    before = budget.snapshot()
    old[0].settle(says(0, limit=10))
    old[0].lost()
    assert budget.snapshot() == before
    old[2].settle(says(4, limit=10))
    (await asyncio.wait_for(waiting[2], 5)).settle(says(1, limit=10))
    assert budget.snapshot().in_flight == 0
    # Forwards is only time.
    clock[0] += 3600
    assert budget.snapshot().available == 10
    assert account.core.limit == 10


# Prices


def test_price_that_rose_by_garbage_falls_again() -> None:
    """Two samples of calls that were alone raise a price; then the least of the last four samples counts."""
    alone = Alone(1000)
    left, learned = 1000, {}
    for drop in (7, 7, 7, 1, 1, 1, 1):
        alone.call(says(left - 1, limit=1000))
        left -= 1 + drop
        alone.call(says(left, limit=1000), operation="insights.rooms")
        if drop == 7:
            learned = alone.core.prices()
    assert learned == {"insights.rooms": 7}
    assert alone.core.prices() == {}
    changes = [(change.old, change.new) for change in alone.core.take_changes()]
    assert changes == [(1, 7), (7, 1)]
    assert alone.core.take_changes() == []


def test_absurd_drops_and_pinned_prices_teach_nothing() -> None:
    """A drop of more than a call can cost is foreign use, and a pinned price does not change."""
    alone = Alone(1000)
    alone.core = Core.cold(1000, PERIOD, {"pinned": 2})
    left = 1000
    for operation, drop in (("other", 40), ("other", 40), ("pinned", 9), ("pinned", 9)):
        alone.now += PERIOD * 3
        alone.call(says(left - 1, limit=1000))
        left -= 1 + drop
        alone.call(says(left, limit=1000), operation=operation)
    assert alone.core.prices() == {"pinned": 2}


# What is kept


def test_state_stays_bounded() -> None:
    """However many calls there were, of however many operations, with many of them lost."""
    alone = Alone(100_000)
    core = alone.core
    unknown = 0
    for number in range(100_000):
        alone.now += 0.001
        grant = alone.grant(1, f"operation.{number % 1000}" if number % 10 == 0 else "")
        if grant is None:
            unknown += 1
            alone.now += 1
        elif number % 7 == 0:
            core.lost(grant, alone.now)
        else:
            core.answer(grant, alone.now, None if number % 3 else says(99_000, limit=100_000))
    assert unknown < 1000
    assert len(core._log) <= 1100
    assert len(core._lost) <= 300
    assert len(core._prices) <= MOST_PRICES
    assert len(core._plain_prices) <= 16


def test_operations_without_a_name_of_their_own_are_not_kept() -> None:
    """Such as a method and a path; they share a price by seed."""
    core = Core.cold(100, PERIOD)
    one, other = core.price("GET /rooms/1", 1), core.price("GET /rooms/2", 1)
    assert one is other
    assert one.known
    assert core.prices() == {}
    named = core.price("meetings.get", 1)
    assert core.price("meetings.get", 1) is named
    assert core.price("meetings.get", 2) is not named


# What is told


def test_reset_is_the_servers_word_else_when_points_come_back() -> None:
    """Two answers have to agree on the window's end; without them the oldest point comes back after a period."""
    alone = Alone(100)
    assert alone.core.reset_in(alone.now) is None
    alone.call(says(99))
    assert alone.core.reset_in(alone.now) == pytest.approx(PERIOD + 0.02, abs=0.001)
    alone.call(says(98, reset_in=30.0))
    alone.call(says(97, reset_in=29.99))
    assert alone.core.reset_in(alone.now) == pytest.approx(29.99, abs=0.02)
    alone.call(refuses(7.0))
    assert alone.core.reset_in(alone.now) == pytest.approx(7.0)


@simulated
async def test_window_that_is_over_by_the_servers_word_is_asked_for() -> None:
    """Windows of four seconds, and a budget that believes in a minute: 350 reads take less than half a minute."""
    budget, server = PointBudget(), Server(100, 4.0, now)
    began = now()
    await asyncio.gather(*(call(budget, server) for _ in range(350)))
    assert now() - began <= 30
    assert server.refused <= 1


# The queue, and ends


def _waiting(order: int, price: Price) -> WaitingCall:
    return WaitingCall(price, "", Priority.NORMAL, order, 0.0, 0.0)


def test_cancelled_calls_are_swept_once_they_are_the_majority() -> None:
    queue, price = PriorityQueue(), Price("", 1, 1, pinned=True)
    calls = [_waiting(order, price) for order in range(300)]
    for one in calls:
        queue.push(one)
    for one in calls[1:299]:
        queue.remove(one)
    assert queue.count == 2
    assert sum(len(others) for others in queue._queues.values()) <= 70
    assert [one.order for one in queue] == [0, 299]
    assert queue.points(most=0) == 0


def test_nobody_waits() -> None:
    queue = Queue(Core.cold(10, PERIOD))
    assert queue.next(0.0) is None
    one = _waiting(1, Price("", 1, 1, pinned=True))
    assert queue.may_pass(one)
    queue.remove(one)
    assert (queue.count, queue.points) == (0, 0)


def test_lost_calls_of_one_moment_share_an_entry_and_ends_are_final() -> None:
    """A second end of either kind does nothing."""
    core = Core.cold(100, PERIOD)
    price = core.price("", 1)
    grants = [core.book(BookedGrant, None, price, 0.0, 1, 0) for _ in range(3)]
    for _ in range(2):
        for grant in grants[:2]:
            core.lost(grant, 0.0)
        core.refund(grants[2])
    assert core.in_flight == 0
    assert len(core._lost) == 1
    assert core.available(0.0) == 98
    assert core.reset_in(0.0) is None
    assert core.available(70.0) == 100


def test_reset_in_whole_seconds_is_waited_for_a_second_longer() -> None:
    core = Core.cold(100, PERIOD)
    grant = core.book(BookedGrant, None, core.price("", 1), 0.0, 1, 0)
    core.answer(grant, 0.0, RateLimit(throttled=True, retry_after=7.0, reset_in=7.0))
    assert core.frozen_until == 8.0
