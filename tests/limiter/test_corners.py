"""What happens rarely: closed loops, parked calls, crowds that leave, servers that say odd things."""

# pyright: reportPrivateUsage=false
# What is kept inside is looked at.

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING

import pytest

import whereby_async.limiter
from limiter.driving import PERIOD, BookedGrant, now, refuses, says, simulated, spend, turns, warm
from limiter.serving import Server, call
from whereby_async.errors import ClientClosedError
from whereby_async.limiter import Permit, PointBudget, Priority, RateLimit, Unlimited
from whereby_async.limiter.core import Core, Price
from whereby_async.limiter.loops import WaitingCall
from whereby_async.limiter.queue import PriorityQueue, Queue
from whereby_async.notify import tell
from whereby_async.testing.clock import SimulatedLoop

if TYPE_CHECKING:
    from whereby_async.hooks import WaitDetails


def _waiting(order: int, price: Price) -> WaitingCall:
    return WaitingCall(price, "", Priority.NORMAL, order, 0.0, 0.0)


def test_cancelled_calls_are_swept_once_they_are_the_majority() -> None:
    """So a crowd that leaves leaves nothing behind."""
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
    """Then nobody is next, and nobody stands before a newcomer."""
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
    """It was cut off, or rounded up: nobody knows."""
    core = Core.cold(100, PERIOD)
    grant = core.book(BookedGrant, None, core.price("", 1), 0.0, 1, 0)
    core.answer(grant, 0.0, RateLimit(throttled=True, retry_after=7.0, reset_in=7.0))
    assert core.frozen_until == 8.0


@simulated
async def test_refused_probes_become_rarer() -> None:
    """Somebody else spends all there is: each refusal of a call that only asks makes the next one later."""
    budget = PointBudget(100)
    for left in (50, 20, 0):
        (await budget.acquire(1)).settle(says(left))
    asked: list[float] = []
    for _ in range(4):
        permit = await budget.acquire(1)
        asked.append(now())
        permit.settle(RateLimit(limit=100, remaining=0, retry_after=0.5, throttled=True))
    gaps = [later - sooner for sooner, later in itertools.pairwise(asked)]
    assert gaps[-1] > gaps[0]
    (await budget.acquire(1)).settle(says(90))
    assert budget.snapshot().state in {"open", "empty"}


@simulated
async def test_one_garbled_rise_opens_nothing() -> None:
    """The window has just turned: that it should turn again is believed when two answers say so."""
    budget = PointBudget(200)
    (await budget.acquire(1)).settle(says(199, limit=200))
    held = [await budget.acquire(1)]
    held[0].settle(says(198, limit=200))
    for left in range(197, 0, -1):
        (await budget.acquire(1)).settle(says(left, limit=200))
    last = await budget.acquire(1)
    last.settle(says(190, limit=200))
    assert budget.snapshot().available <= 200 // 16 + 16


@simulated
async def test_call_that_does_not_fit_lets_cheap_ones_pass_only_if_it_waits_no_longer() -> None:
    """All points come back in one moment: what is left is given to who can use it."""
    budget, server = PointBudget(10), Server(10, PERIOD, now)
    for _ in range(9):
        await call(budget, server)
    dear = asyncio.create_task(call(budget, server, 3))
    await turns()
    began = now()
    await call(budget, server)
    assert now() - began <= 1
    await dear
    assert not server.refused


@simulated
async def test_forecast_and_wait_in_doubt_go_by_the_servers_window() -> None:
    """Others have spent it: it ends by its own word, not when our points come back."""
    budget = PointBudget(100)
    for left in (60, 30, 0):
        (await budget.acquire(1)).settle(says(left, reset_in=20.0))
    assert budget.snapshot().foreign_rate > 0
    assert budget.forecast(10).seconds == pytest.approx(20.0, abs=0.5)


def test_parked_calls_leave_and_are_refused_with_the_rest() -> None:
    """Calls of a loop that stands still: one is cancelled, one is sent away when the limiter closes."""
    budget = PointBudget(2, period=0.3)
    loop = asyncio.new_event_loop()
    held: list[Permit] = []

    async def hold() -> Permit:
        return await budget.acquire(1)

    held.append(loop.run_until_complete(hold()))
    waiting = [loop.create_task(hold()) for _ in range(3)]
    loop.run_until_complete(turns())

    async def elsewhere() -> None:
        held[0].release()
        (await asyncio.wait_for(budget.acquire(1), 5)).settle(says(1, limit=2))

    asyncio.run(elsewhere())
    waiting[0].cancel()
    asyncio.run(budget.aclose())

    async def hear() -> list[object]:
        return await asyncio.gather(*waiting, return_exceptions=True)

    heard = loop.run_until_complete(hear())
    assert isinstance(heard[0], asyncio.CancelledError)
    assert all(isinstance(one, ClientClosedError) for one in heard[1:])
    assert budget.snapshot().waiting_points == 0
    loop.close()


def test_closed_limiter_opens_no_account_for_another_clock() -> None:
    """A simulated loop that comes later is sent away too."""
    budget = PointBudget(2)
    asyncio.run(budget.aclose())
    loop = SimulatedLoop()
    with pytest.raises(ClientClosedError):
        loop.run_until_complete(budget.acquire(1))
    loop.close()


def test_package_says_what_it_has() -> None:
    """Names are loaded on first use, and are listed before."""
    assert "PointBudget" in dir(whereby_async.limiter)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        whereby_async.limiter.nothing  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue, reportUnusedExpression]


def test_error_in_a_hook_goes_no_further_and_a_stop_does() -> None:
    """Once all are told."""
    heard: list[str] = []

    class Broken:
        def on_wait(self, details: WaitDetails) -> None:
            heard.append("broken")
            raise ValueError

    class Stopping:
        def on_wait(self, details: WaitDetails) -> None:
            heard.append("stopping")
            raise KeyboardInterrupt

    class Cancelling:
        def on_wait(self, details: WaitDetails) -> None:
            heard.append("cancelling")
            raise asyncio.CancelledError

    with pytest.raises(KeyboardInterrupt):
        tell([object(), Broken(), Stopping(), Broken(), Cancelling()], "on_wait", says(1))
    assert heard == ["broken", "stopping", "broken", "cancelling"]


@simulated
async def test_unlimited_permits_end_once() -> None:
    """As those of any budget."""
    budget = Unlimited()
    for end in ("lost", "release"):
        permit = await budget.acquire(1)
        getattr(permit, end)()
        permit.settle(refuses(60))
        permit.lost()
    assert budget.snapshot().in_flight == 0
    assert budget.snapshot().state == "unknown"


def test_many_threads_end_permits_while_others_ask() -> None:  # noqa: C901 - two sides of one story
    """What lies in the mailbox is booked by whoever has the lock."""
    budget = PointBudget(100_000)
    permits: list[Permit] = []

    async def take() -> None:
        await warm(budget, 99_999, limit=100_000)
        await spend(budget, 0)
        for number in range(3000):
            permit = await budget.acquire(1)
            if number < 64:
                permit.settle(says(99_998 - number, limit=100_000))
            elif number % 2:
                permits.append(permit)
            else:
                permit.settle(None)
            if number % 40 == 0:
                await asyncio.sleep(0)

    def end() -> None:
        while not done.is_set() or permits:
            try:
                permits.pop().settle(None)
            except IndexError:
                done.wait(0.0001)

    done = threading.Event()
    enders = [threading.Thread(target=end) for _ in range(3)]
    for thread in enders:
        thread.start()
    try:
        asyncio.run(asyncio.wait_for(take(), 60))
    finally:
        done.set()
        for thread in enders:
            thread.join(10)
    assert budget.snapshot().in_flight == 0
