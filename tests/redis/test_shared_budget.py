"""The shared budget on a real store: one process, one loop, and two budgets that stand for two processes."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.budgets import (
    LIMIT,
    PERIOD,
    Listener,
    Server,
    call,
    callers,
    cancel,
    refuses,
    says,
    turns,
    until,
    until_told,
)

from whereby_async.errors import BudgetError, BudgetTimeoutError, ClientClosedError
from whereby_async.limiter import Priority

if TYPE_CHECKING:
    from whereby_async.limiter import Permit

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def budget(share: Any, server: Server) -> Any:
    """A budget that knows where it stands."""
    budget = share()
    await call(budget, server)
    return budget


async def spend(budget: Any, server: Server) -> None:
    """Spend the rest of the window."""
    for _ in range(LIMIT - server.spent):
        await call(budget, server)


async def test_a_first_call_goes_at_once_and_learns_the_limit(share: Any) -> None:
    """The limit is the header's, whatever was assumed."""
    budget, server = share(limit=None), Server(1000)
    assert budget.snapshot().state == "unknown"
    await call(budget, server)
    await call(budget, server)
    permit = await budget.acquire(1)
    snapshot = budget.snapshot()
    assert (snapshot.limit, snapshot.state, snapshot.in_flight) == (1000, "open", 1)
    assert snapshot.remaining == 997
    permit.release()


async def test_a_cold_start_sends_one_call_first(share: Any) -> None:
    budget, server = share(), Server()
    hook = Listener(budget)
    first = await budget.acquire(1)
    rest = [asyncio.create_task(call(budget, server)) for _ in range(9)]
    await hook.until_waiting(9)
    assert server.spent == 0
    first.settle(server.serve(1))
    await asyncio.wait_for(asyncio.gather(*rest), 1.0)
    assert server.spent == 10


async def test_a_window_is_filled_and_the_next_waited_for(share: Any) -> None:
    budget, server = share(), Server()
    began = time.monotonic()
    await asyncio.gather(*[call(budget, server) for _ in range(50)])
    assert server.refused == 0
    assert 2 * PERIOD < time.monotonic() - began < 2.6 * PERIOD + 1


async def test_two_processes_spend_one_budget(share: Any) -> None:
    budgets, server = (share(), share()), Server(100)
    async with callers(budgets, server, 80) as counts:
        await until(lambda: sum(counts) >= 300, 3.5 * PERIOD)
    assert server.refused == 0
    assert 0.6 < counts[0] / counts[1] < 1.67


async def test_priorities_hold_across_processes(share: Any) -> None:
    """When points come, an interactive call of one process goes before the batch of another.

    One point of the new window may go to a call of the batch that has waited for a whole period.
    """
    batch, people, server = share(reserve=0.0), share(reserve=0.0), Server()
    await call(batch, server)
    await asyncio.gather(*[call(batch, server, priority=Priority.BATCH) for _ in range(19)])
    hook = Listener(batch)
    waiting = [asyncio.create_task(call(batch, server, priority=Priority.BATCH)) for _ in range(40)]
    await hook.until_waiting(40)
    urgent = [asyncio.create_task(call(people, server, priority=Priority.INTERACTIVE)) for _ in range(10)]
    await until(lambda: sum(task.done() for task in urgent) >= 9, 2 * PERIOD)
    served = sum(task.done() for task in waiting)
    assert server.refused == 0
    assert served <= 11
    done = [task.result() for task in urgent if task.done()]
    assert max(done) - min(done) < PERIOD / 2
    waiting += urgent
    await cancel(*waiting)


async def test_a_priority_is_served_in_order(budget: Any, server: Server) -> None:
    order: list[int] = []

    async def one(number: int) -> None:
        await call(budget, server)
        order.append(number)

    await asyncio.gather(*[one(number) for number in range(LIMIT + 15)])
    assert order == sorted(order)


async def test_max_wait_zero_refuses_when_nothing_is_left(budget: Any, server: Server) -> None:
    await spend(budget, server)
    with pytest.raises(BudgetTimeoutError) as refusal:
        await budget.acquire(1, max_wait=0, operation="meetings.list")
    assert refusal.value.retry_after is not None
    assert 0 < refusal.value.retry_after <= PERIOD + 0.5
    assert not refusal.value.may_have_happened
    assert "meetings.list" in str(refusal.value)
    assert budget.snapshot().waiting_points == 0


async def test_max_wait_that_suffices_is_waited(budget: Any, server: Server) -> None:
    await spend(budget, server)
    await call(budget, server, max_wait=2 * PERIOD)
    assert server.refused == 0


async def test_max_wait_is_judged_before_the_wait(budget: Any, server: Server) -> None:
    await spend(budget, server)
    hook = Listener(budget)
    queue = [asyncio.create_task(budget.acquire(1)) for _ in range(5 * LIMIT)]
    await hook.until_waiting(5 * LIMIT)
    began = time.monotonic()
    with pytest.raises(BudgetTimeoutError, match="queued before it"):
        await budget.acquire(1, max_wait=1.5 * PERIOD)
    assert time.monotonic() - began < PERIOD
    await cancel(*queue)


async def test_a_wait_that_turns_out_longer_ends_on_time(share: Any) -> None:
    budget = share()
    pilot = await budget.acquire(1)
    began = time.monotonic()
    with pytest.raises(BudgetTimeoutError, match="within its max_wait"):
        await budget.acquire(1, max_wait=0.3)
    assert 0.25 < time.monotonic() - began < PERIOD
    pilot.release()


async def test_a_retry_keeps_its_place_and_its_waiting_time(share: Any) -> None:
    budget, server = share(), Server()
    for _ in range(LIMIT - 1):
        await call(budget, server)
    first = await budget.acquire(1)
    hook = Listener(budget)
    order: list[str] = []

    async def one(what: str, **options: Any) -> Permit:
        permit: Permit = await budget.acquire(1, **options)
        order.append(what)
        return permit

    later = asyncio.create_task(one("later"))
    await hook.until_waiting(1)
    first.settle(refuses(PERIOD / 4, limit=LIMIT))
    again = asyncio.create_task(one("again", after=first))
    done, _ = await asyncio.wait([later, again], return_when=asyncio.FIRST_COMPLETED, timeout=2 * PERIOD)
    assert order == ["again"]
    (await done.pop()).release()
    (await later).release()


async def test_a_price_above_the_limit_is_refused_at_once(budget: Any, server: Server) -> None:
    with pytest.raises(BudgetError, match="never be paid"):
        await budget.acquire(LIMIT + 1)


async def test_nothing_that_the_store_could_not_be_told_gets_there(budget: Any, server: Server) -> None:
    """A fraction, a truth value, a nameless or unencodable operation are refused here, and the next call is served."""
    for cost in (0, 1.5, True, "1", None):
        with pytest.raises(ValueError, match="cost must be a whole number of points"):
            await budget.acquire(cost)
    with pytest.raises(ValueError, match="max_wait"):
        await budget.acquire(1, max_wait=-1)
    with pytest.raises(TypeError, match="operation must be a string, not NoneType"):
        await budget.acquire(1, operation=None)
    with pytest.raises(ValueError, match="half a surrogate pair"):
        await budget.acquire(1, operation="x\udcff")
    await call(budget, server)
    assert budget.snapshot().state == "open"


async def test_released_points_go_back(share: Any) -> None:
    budget, server = share(), Server()
    await asyncio.gather(*[call(budget, server) for _ in range(10)])
    permits = [await budget.acquire(1) for _ in range(LIMIT - 10)]
    for permit in permits[:5]:
        permit.release()
    await asyncio.gather(*[call(budget, server, max_wait=0.5) for _ in range(5)])
    for permit in permits[5:]:
        permit.settle(server.serve(1))
    assert server.refused == 0


async def test_lost_points_stay_spent_for_a_period(budget: Any, server: Server) -> None:
    for _ in range(LIMIT - 1):
        (await budget.acquire(1)).lost()
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(1, max_wait=0)


async def test_a_dropped_permit_counts_as_lost(budget: Any, server: Server) -> None:
    permit = await budget.acquire(3)
    assert "cost=3 live" in repr(permit)
    del permit
    gc.collect()
    await until_told(budget)


async def test_a_second_end_does_nothing(budget: Any, server: Server) -> None:
    permit = await budget.acquire(2)
    permit.settle(server.serve(2))
    permit.settle(server.serve(2))
    permit.release()
    permit.lost()
    await until_told(budget)


async def test_a_call_cancelled_while_it_waits_leaves_the_queue(budget: Any, server: Server) -> None:
    await spend(budget, server)
    hook = Listener(budget)
    tasks = [asyncio.create_task(call(budget, server)) for _ in range(15)]
    await hook.until_waiting(15)
    await cancel(*tasks[::2])
    await asyncio.wait_for(asyncio.gather(*tasks[1::2]), 2 * PERIOD)
    assert server.refused == 0
    assert budget.snapshot().waiting_points == 0


async def test_a_call_cancelled_in_the_moment_of_its_grant_gives_the_points_back(budget: Any, server: Server) -> None:
    for count in range(30):
        task = asyncio.create_task(budget.acquire(1))
        await turns(count % 8)
        await asyncio.sleep(0.0005 * (count % 4))
        task.cancel()
        for permit in await asyncio.gather(task, return_exceptions=True):
            if not isinstance(permit, BaseException):
                permit.release()
    await until_told(budget)


async def test_hooks_hear_of_waits_throttling_and_prices(share: Any) -> None:
    """The same hooks as the local budget's, with the same reasons."""
    budget, server = share(), Server()
    hook = Listener(budget)
    for _ in range(LIMIT):
        await call(budget, server)
    task = asyncio.create_task(budget.acquire(1, operation="a"))
    await hook.until_waiting(1)
    second = asyncio.create_task(budget.acquire(1, operation="b"))
    await hook.until_waiting(2)
    assert [(details.operation, details.reason, details.priority) for details in hook.waits] == [
        ("a", "empty", "NORMAL"),
        ("b", "empty", "NORMAL"),
    ]
    permit = await task
    permit.settle(refuses(0.3, limit=LIMIT))
    (await second).release()
    (throttled,) = hook.throttles
    assert 0.2 < throttled.delay < 0.5
    budget.unsubscribe(hook)
    count = len(hook.waits)
    other = Listener(budget)
    (await budget.acquire(1)).settle(refuses(0.1, limit=LIMIT))
    await until(lambda: other.throttles)
    assert (len(hook.waits), len(hook.throttles)) == (count, 1)


async def test_a_429_stops_every_process(share: Any) -> None:
    """The server's time is everybody's."""
    one, other, server = share(), share(), Server()
    await call(one, server)
    await call(other, server)
    hook = Listener(one)
    began = time.monotonic()
    (await one.acquire(1)).settle(refuses(0.8, limit=LIMIT))
    await until(lambda: hook.throttles)
    (await other.acquire(1)).release()
    assert 0.75 < time.monotonic() - began < PERIOD
    assert one.snapshot().state in {"frozen", "open", "empty", "unknown"}


async def test_learned_prices_are_everybodys(share: Any) -> None:
    one, other = share(limit=200), share(limit=200)
    left = 200
    for _ in range(6):
        permit = await one.acquire(1, operation="insights.rooms")
        left -= 4
        permit.settle(says(left, limit=200, reset_in=PERIOD))
        await until_told(one)
    (await one.acquire(1)).release()
    assert one.snapshot().costs == {"insights.rooms": 4}
    (await other.acquire(1)).release()
    permit = await other.acquire(1, operation="insights.rooms")
    assert permit.cost == 4
    permit.release()


async def test_pinned_prices_are_never_learned(share: Any) -> None:
    budget = share(limit=200, costs={"insights.rooms": 2})
    left = 200
    for _ in range(6):
        permit = await budget.acquire(1, operation="insights.rooms")
        assert permit.cost == 2
        left -= 4
        permit.settle(says(left, limit=200, reset_in=PERIOD))
    assert budget.snapshot().costs == {"insights.rooms": 2}


async def test_a_reserve_is_kept_from_batch_calls(share: Any) -> None:
    budget, server = share(limit=100, reserve=0.2, period=4.0), Server(100, 4.0)
    await call(budget, server)
    hook = Listener(budget)
    batch = [asyncio.create_task(call(budget, server, priority=Priority.BATCH)) for _ in range(200)]
    await until(lambda: server.spent >= 75, patience=1.5)
    await until_told(budget)
    assert server.spent <= 90
    assert {details.reason for details in hook.waits} <= {"reserve", "queue"}
    for _ in range(5):
        await call(budget, server, max_wait=1.0)
    await cancel(*batch)


async def test_the_forecast_counts_windows(budget: Any, server: Server) -> None:
    (await budget.acquire(1)).release()
    assert budget.forecast(5).windows == 1
    assert budget.forecast(5).seconds == 0
    assert budget.forecast(5 * LIMIT).windows in {5, 6}
    assert 3 * PERIOD < budget.forecast(5 * LIMIT).seconds < 7 * PERIOD
    assert budget.forecast(0).seconds == 0


async def test_closing_sends_those_who_wait_away(budget: Any, server: Server) -> None:
    await spend(budget, server)
    hook = Listener(budget)
    task = asyncio.create_task(budget.acquire(1))
    await hook.until_waiting(1)
    await budget.aclose()
    with pytest.raises(ClientClosedError, match="while the call waited"):
        await task
    with pytest.raises(ClientClosedError):
        await budget.acquire(1)
    assert "closed" in repr(budget)
    await budget.aclose()


async def test_closing_reports_what_has_ended(share: Any) -> None:
    one, other, server = share(), share(), Server()
    await call(one, server)
    permit = await one.acquire(2)
    permit.settle(server.serve(2))
    await one.aclose()
    (await other.acquire(1)).release()
    assert other.snapshot().in_flight <= 1


async def test_who_waits_pays_the_new_price(share: Any) -> None:
    budget, left = share(limit=100, period=2.0, reserve=0.99), 99
    hook = Listener(budget)
    (await budget.acquire(1)).settle(says(left, reset_in=2.0))
    waiting = asyncio.create_task(budget.acquire(1, operation="insights.rooms", priority=Priority.BATCH))
    await hook.until_waiting(1)
    for _ in range(5):
        left -= 5
        (await budget.acquire(1, operation="insights.rooms")).settle(says(left, reset_in=2.0))
        await until_told(budget)
    assert not waiting.done()
    permit = await asyncio.wait_for(waiting, 10)
    assert permit.cost == 5
    assert [(change.operation, change.old, change.new) for change in hook.cost_changes] == [("insights.rooms", 1, 5)]
    permit.release()


async def test_a_lower_limit_refuses_who_can_never_be_paid_for(share: Any) -> None:
    """The plan has shrunk: once several answers over two periods have said so, who waits with a dearer call is told."""
    budget = share(limit=100, period=0.5)
    (await budget.acquire(1)).settle(says(99))
    for left in range(30, 0, -3):
        (await budget.acquire(3)).settle(says(left, limit=40))
        await asyncio.sleep(0.125)
    with pytest.raises(BudgetError, match="more than the whole limit of 40"):
        await asyncio.wait_for(budget.acquire(50), 5)


async def test_a_server_without_headers_is_told_once(share: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What to do is in the log."""
    budget = share(limit=None)
    for _ in range(6):
        (await budget.acquire(1)).settle(None)
    (await budget.acquire(1)).release()
    told = [record.getMessage() for record in caplog.records if "no rate-limit headers" in record.getMessage()]
    assert len(told) == 1
    assert f"{type(budget).__name__}(limit=...)" in told[0]


async def test_another_period_is_told(share: Any, caplog: pytest.LogCaptureFixture) -> None:
    one, other = share(), share(period=30.0)
    (await one.acquire(1)).release()
    for _ in range(2):
        (await other.acquire(1)).release()
    told = [record.getMessage() for record in caplog.records if "period" in record.getMessage()]
    assert told == [
        "the shared point budget runs with period=2, as whoever came first had it; this process was told period=30"
    ]


async def test_the_state_is_told(share: Any) -> None:
    budget, server = share(), Server()
    states = [budget.snapshot().state]
    await call(budget, server)
    (await budget.acquire(1)).release()
    states.append(budget.snapshot().state)
    await asyncio.gather(*[call(budget, server) for _ in range(LIMIT - 2)])
    last = await budget.acquire(1)
    states.append(budget.snapshot().state)
    last.settle(refuses(1.5, limit=LIMIT))
    await until(lambda: budget.snapshot().state != "empty")
    states.append(budget.snapshot().state)
    assert states == ["unknown", "open", "empty", "frozen"]
    assert 0 <= (budget.snapshot().reset_in or 0.0) <= 1.5


# What a server does for it


async def test_an_idle_budget_makes_no_call(make: Any, client: Any) -> None:
    """Nobody waits, nothing is in flight: nothing happens."""

    def calls() -> int:
        stats: Any = client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))

    budget, server = make(), Server()
    await call(budget, server)
    await until_told(budget)
    before = calls()
    await asyncio.sleep(1.5)
    assert calls() == before


async def test_group_commit_carries_many_calls(make: Any, client: Any) -> None:

    def calls() -> int:
        stats: Any = client.info("commandstats")
        return int(stats["cmdstat_evalsha"]["calls"])

    budget, server = make(limit=5000), Server(5000)
    await call(budget, server)
    before = calls()
    await asyncio.gather(*[call(budget, server, flight=0.01) for _ in range(1000)])
    assert calls() - before < 60
    assert server.refused == 0


async def test_a_lease_outlives_a_long_attempt(make: Any, client: Any) -> None:
    """While a call is in flight its process gives signs of life, so its points are not given up."""
    budget, other, server = make(), make(), Server()
    await call(budget, server)
    permit = await budget.acquire(3)
    await asyncio.sleep(2.5)  # the lease is two seconds
    look = await other.acquire(1)
    assert other.snapshot().in_flight == 4
    look.release()
    permit.settle(server.serve(3))
    await until_told(budget)
    assert server.refused == 0


async def test_the_books_expire(make: Any, client: Any, name: str) -> None:
    budget, server = make(), Server()
    await call(budget, server)
    key = f"whereby:{{{name}}}:2"
    assert 10 * PERIOD * 1000 < client.pttl(key) <= (86_400 + 10 * PERIOD) * 1000
