"""One account per process: loops, threads, forks, dead loops, collected permits, and the shared budget."""

# pyright: reportPrivateUsage=false
# What is kept inside is looked at.

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import uvloop
from support.budgets import in_threads, says, spend, turns, waiters

from whereby_async.errors import ClientClosedError
from whereby_async.limiter import Permit, PointBudget, Unlimited, shared_budget
from whereby_async.limiter.core import ADVERTISED
from whereby_async.testing.clock import SimulatedLoop, run_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Factory: TypeAlias = "Callable[[], asyncio.AbstractEventLoop]"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def factory(request: pytest.FixtureRequest) -> Factory:
    found: Factory = request.param
    return found


def run(main: Coroutine[Any, Any, Any], factory: Factory = asyncio.new_event_loop) -> Any:
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def one(budget: PointBudget, remaining: int = 99, *, limit: int = 100) -> None:
    (await budget.acquire(1)).settle(says(remaining, limit=limit))


def test_three_loops_in_a_row_share_one_account(factory: Factory) -> None:
    budget = PointBudget(100)
    for remaining in (99, 98, 97):
        run(one(budget, remaining), factory)
    assert budget.snapshot().remaining == 97


def test_threads_with_a_loop_each_share_one_account(factory: Factory) -> None:
    """Four threads spend no more than the limit between them, and a refund in one wakes a waiter in another."""
    budget = PointBudget(40, period=0.4)
    run(one(budget, 39, limit=40))
    spent: list[float] = []

    async def call() -> None:
        permit = await budget.acquire(1)
        spent.append(time.monotonic())
        await asyncio.sleep(0.005)
        permit.settle(None)

    async def many() -> None:
        await asyncio.gather(*(call() for _ in range(30)))

    in_threads(*[lambda: run(many(), factory)] * 4)
    assert len(spent) == 120
    spent.sort()
    assert all(spent[i + 40] - spent[i] >= 0.4 for i in range(80))


def test_end_in_another_thread_wakes_the_waiter(factory: Factory) -> None:
    budget = PointBudget(1)

    async def main() -> None:
        held = await budget.acquire(1)
        (waiting,) = await waiters(budget, 1)
        threading.Thread(target=held.release).start()
        (await asyncio.wait_for(waiting, 5)).lost()

    run(main(), factory)


def test_refused_elsewhere_is_heard_here() -> None:
    budget = PointBudget(1)
    waiting = threading.Event()

    async def wait() -> None:
        held = await budget.acquire(1)
        (task,) = await waiters(budget, 1)
        waiting.set()
        with pytest.raises(ClientClosedError):
            await task
        held.lost()

    def close() -> None:
        assert waiting.wait(5)
        run(budget.aclose())

    in_threads(lambda: run(wait()), close)


def test_loop_that_dies_with_waiters_takes_nothing_with_it(factory: Factory) -> None:
    budget = PointBudget(2, period=0.2)
    loop = factory()
    held: list[Permit] = []

    async def take() -> None:
        held.append(await budget.acquire(2))

    loop.run_until_complete(take())
    stuck = [loop.create_task(take()) for _ in range(3)]
    loop.run_until_complete(turns())
    assert budget.snapshot().waiting_points == 6
    loop.close()
    held[0].settle(says(0, limit=2))
    run(asyncio.wait_for(one(budget, 1, limit=2), 5))
    assert budget.snapshot().waiting_points == 0
    for task in stuck:
        task.get_coro().close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # not in the stubs


def test_loop_that_stands_still_is_passed_over(factory: Factory) -> None:
    """Its waiters get nothing while it does not run, so others are not held up, and are served when it goes on."""
    budget = PointBudget(2, period=0.3)
    loop = factory()

    async def hold() -> Permit:
        return await budget.acquire(1)

    held = loop.run_until_complete(hold())
    waiting = loop.create_task(hold())
    loop.run_until_complete(turns())
    held.release()
    run(asyncio.wait_for(one(budget, 1), 5))
    assert not waiting.done()
    loop.run_until_complete(asyncio.wait_for(waiting, 5)).lost()
    loop.close()


def test_simulated_loop_has_an_account_of_its_own() -> None:
    """Points spent at a simulated moment mean nothing at a real one; a permit keeps its clock wherever it ends."""
    budget = PointBudget(10)
    permits: list[Permit] = []

    async def simulated() -> None:
        permits.append(await budget.acquire(4))
        assert budget.snapshot().in_flight == 4
        permits.append(await asyncio.wait_for(budget.acquire(4), 10))
        assert asyncio.get_running_loop().time() == pytest.approx(2)
        permits.pop().lost()

    run_simulated(simulated())
    assert budget.snapshot().in_flight == 0
    permits.pop().settle(says(6, limit=10))
    assert budget.snapshot().remaining is None
    run_simulated(simulated())
    permits.pop().lost()


def test_loop_clock_outlives_its_loop() -> None:
    budget = PointBudget(10)
    loop = SimulatedLoop()
    permit = loop.run_until_complete(budget.acquire(1))
    loop.close()
    del loop
    gc.collect()
    permit.settle(says(9))


def test_fork_starts_cold_with_locks_of_its_own() -> None:
    """The child has a fresh account even if a thread held the lock; a permit it inherited ends without harm."""
    budget = PointBudget(100)
    unlimited = Unlimited()
    run(one(budget))
    permit = run(budget.acquire(1))
    account = budget._account
    account.enter()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            permit.settle(says(98))
            assert budget.snapshot().state == "unknown"
            run(asyncio.wait_for(one(budget), 5))
            run(asyncio.wait_for(unlimited.acquire(1), 5)).lost()
            assert shared_budget("https://x", "k").snapshot().state == "unknown"
            status = 0
        except BaseException:  # noqa: BLE001 - a child tells and ends, whatever happens
            traceback.print_exc()
        finally:
            os._exit(status)
    account.leave()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    permit.settle(says(98))
    assert budget.snapshot().remaining == 98


def test_permits_collected_under_the_lock_do_not_deadlock() -> None:
    budget = PointBudget(10)
    permit = run(budget.acquire(2))
    account = budget._account
    account.enter()
    del permit
    gc.collect()
    account.leave()
    assert budget.snapshot().in_flight == 2
    run(budget.aclose())
    account.look()
    assert budget.snapshot().in_flight == 0


def test_clients_of_one_api_and_key_share_a_budget() -> None:
    """However many are made one after the other; another key or API has another; the key is nowhere kept."""
    budget = shared_budget("https://api.example/v1", "secret-key")
    run(one(budget))
    assert shared_budget("https://api.example/v1/", "secret-key") is budget
    assert shared_budget("https://api.example/v1", "other") is not budget
    assert shared_budget("https://api.other/v1", "secret-key") is not budget
    identity = id(budget)
    del budget
    gc.collect()
    again = shared_budget("https://api.example/v1", "secret-key")
    assert id(again) == identity
    assert again.snapshot().remaining == 99
    referrers: list[Any] = gc.get_referrers(again)
    assert not any("secret-key" in repr(thing) for thing in referrers)


def test_budget_is_let_go_two_periods_after_its_last_use() -> None:

    async def use() -> None:
        budget = shared_budget("https://idle.example", "k")
        await one(budget)
        identity = id(budget)
        del budget
        gc.collect()
        shared_budget("https://other.example", "k")
        assert id(shared_budget("https://idle.example", "k")) == identity

    run(use())
    account = shared_budget("https://idle.example", "k")._account
    account.core._heard_at -= 121
    del account
    gc.collect()
    assert shared_budget("https://idle.example", "k").snapshot().remaining is None


def test_end_that_comes_while_the_lock_is_held_is_booked_by_the_next_call() -> None:
    """It gets the points that came back meanwhile."""
    budget = PointBudget(1)
    permit = run(budget.acquire(1))
    account = budget._account
    account.enter()
    permit.release()
    assert account.mailbox
    account.leave()
    run(asyncio.wait_for(budget.acquire(1, max_wait=0), 5)).settle(None)
    other = PointBudget(1)
    held = run(other.acquire(1))
    account = other._account
    account.enter()
    held.settle(says(0, limit=1))
    account.leave()
    account.look()
    assert other.snapshot().in_flight == 0


def test_grants_for_a_closed_loop_go_back() -> None:
    budget = PointBudget(2, period=0.2)
    account = budget._account
    loop = asyncio.new_event_loop()

    async def hold() -> Permit:
        return await budget.acquire(1)

    held = loop.run_until_complete(hold())
    task = loop.create_task(hold())
    loop.run_until_complete(turns())
    call = next(iter(account.queue))
    account._hand(call, account._grant(call, time.monotonic(), ADVERTISED))
    loop.close()
    held.release()
    account._follow_up(None)
    assert budget.snapshot().in_flight == 0
    task.get_coro().close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # not in the stubs


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
    budget = PointBudget(2)
    asyncio.run(budget.aclose())
    loop = SimulatedLoop()
    with pytest.raises(ClientClosedError):
        loop.run_until_complete(budget.acquire(1))
    loop.close()


def test_many_threads_end_permits_while_others_ask() -> None:  # noqa: C901 - two sides of one story
    """Ends that lie in the mailbox are booked by the thread that has the lock."""
    budget = PointBudget(100_000)
    permits: list[Permit] = []

    async def take() -> None:
        await spend(budget, 1, limit=100_000)
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
