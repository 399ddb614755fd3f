"""`PointBudget` and `Unlimited`: waiting, order, deadlines, the three ends of a permit, and closing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.budgets import (
    Listener,
    Server,
    call as send,
    cancel,
    in_threads,
    now,
    refuses,
    says,
    simulated,
    spend,
    spent,
    turns,
    waiters,
)

import whereby_async.limiter
from whereby_async.errors import (
    BudgetError,
    BudgetTimeoutError,
    ClientClosedError,
    ConfigurationError,
)
from whereby_async.limiter import Limiter, Permit, PointBudget, Priority, Unlimited
from whereby_async.limiter.accounts import BudgetPermit
from whereby_async.limiter.point_budget import never, quick_grant

if TYPE_CHECKING:
    from collections.abc import Callable


@simulated
async def test_points_at_hand_are_granted_at_once() -> None:
    budget = PointBudget(100)
    began = now()
    await spend(budget, 100)
    assert now() == began
    assert budget.snapshot().available == 0


@simulated
async def test_spent_window_is_waited_for() -> None:
    """The call after the last point goes a period after the first answer."""
    budget = await spent(100)
    began = now()
    permit = await budget.acquire(1)
    assert now() - began == pytest.approx(60.0, abs=0.05)
    permit.settle(says(99))


@simulated
async def test_cold_start_sends_one_call_at_a_time() -> None:
    """Until an answer carries usable headers, the second call waits for the first."""
    budget = PointBudget(100)
    first = await budget.acquire(1)
    (second,) = await waiters(budget, 1)
    assert not second.done()
    first.settle(says(98))
    await turns()
    assert second.done()
    (await second).settle(says(97))


@simulated
async def test_server_that_never_tells_is_learned_by_slow_start() -> None:
    """Each round of answers without headers doubles what may be in flight, up to the configured limit."""
    budget = PointBudget(100)
    rounds: list[int] = []
    calls = [asyncio.create_task(budget.acquire(1)) for _ in range(100)]
    while calls:
        await turns()
        done = [call for call in calls if call.done()]
        calls = [call for call in calls if not call.done()]
        rounds.append(len(done))
        for call in done:
            call.result().settle(None)
    assert rounds == [1, 1, 2, 4, 8, 16, 32, 36]
    assert budget.snapshot().available == 0


@simulated
async def test_silent_pilot_does_not_hold_the_others_for_ever() -> None:
    """After two seconds without its answer another call is let out."""
    budget = PointBudget(100)
    first = await budget.acquire(1)
    began = now()
    second = await budget.acquire(1)
    assert now() - began == pytest.approx(2.0)
    first.lost()
    second.settle(says(98))


@simulated
async def test_429_freezes_everyone_until_the_servers_time() -> None:
    budget = await spent(100, 1)
    permit = await budget.acquire(1)
    permit.settle(refuses(7.5))
    began = now()
    assert budget.snapshot().state == "frozen"
    calls = [asyncio.create_task(budget.acquire(1)) for _ in range(3)]
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    assert now() - began == pytest.approx(7.5, abs=0.05)
    done.pop().result().settle(says(98))
    for call in calls:
        (await call).settle(says(97))


@simulated
async def test_priority_is_first_come_first_served_whatever_the_cost() -> None:
    """A 3-point call waits for nothing but the calls before it, under a stream of 1-point calls behind."""
    budget = await spent(10)
    order: list[int] = []

    async def call(number: int, cost: int) -> None:
        permit = await budget.acquire(cost)
        order.append(number)
        permit.settle(None)

    calls = [asyncio.create_task(call(number, 3 if number == 2 else 1)) for number in range(12)]
    await asyncio.gather(*calls)
    assert order == list(range(12))


@simulated
async def test_higher_priority_goes_first() -> None:
    """Interactive before normal before batch, whoever came first, while none has waited for a period."""
    budget = await spent(10)
    await asyncio.sleep(10)
    order: list[Priority] = []

    async def call(priority: Priority) -> None:
        permit = await budget.acquire(1, priority=priority)
        order.append(priority)
        permit.settle(None)

    await asyncio.gather(*(call(priority) for priority in (Priority.BATCH, Priority.NORMAL, Priority.INTERACTIVE)))
    assert order == [Priority.INTERACTIVE, Priority.NORMAL, Priority.BATCH]


@simulated
async def test_max_wait_counts_the_queue_ahead() -> None:
    """A call behind three windows of points is refused with a max_wait of 100 seconds, and served with 190."""
    budget = await spent(100)
    calls = await waiters(budget, 250)
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(1, max_wait=100)
    last = asyncio.create_task(budget.acquire(1, max_wait=190))
    for call in calls:
        (await call).settle(None)
    (await last).settle(None)


@simulated
async def test_max_wait_zero_refuses_instead_of_waiting() -> None:
    budget = PointBudget(1)
    (await budget.acquire(1, max_wait=0)).settle(says(0, limit=1))
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(1, max_wait=0)


@simulated
async def test_wait_that_turns_out_longer_ends_on_time() -> None:
    """A call that is overtaken by a higher priority is refused when its time is over."""
    budget = await spent(10)
    await asyncio.sleep(30)
    began = now()
    (patient,) = await waiters(budget, 1, 1, max_wait=50)
    others = [asyncio.create_task(budget.acquire(1, priority=Priority.INTERACTIVE)) for _ in range(20)]
    with pytest.raises(BudgetTimeoutError):
        await patient
    assert now() - began == pytest.approx(50, abs=0.01)
    await cancel(*others)


@simulated
async def test_freeze_beyond_the_deadline_refuses_at_once() -> None:
    budget = await spent(10, 9)
    last = await budget.acquire(1)
    began = now()
    patient = asyncio.create_task(budget.acquire(1, max_wait=65))
    await asyncio.sleep(1)
    last.settle(refuses(300))
    with pytest.raises(BudgetTimeoutError):
        await patient
    assert now() - began == pytest.approx(1)


@simulated
async def test_retry_keeps_its_place_and_sums_its_waits() -> None:
    """With `after=` a call goes before all that came later, and what it has waited counts against max_wait."""
    budget = await spent(10, 9)
    last = await budget.acquire(1)
    order: list[str] = []

    async def call(name: str, after: Permit | None = None) -> None:
        permit = await budget.acquire(1, after=after)
        order.append(name)
        permit.settle(None)

    later = [asyncio.create_task(call("later")) for _ in range(3)]
    await turns()
    last.settle(refuses(5))
    again = asyncio.create_task(call("again", after=last))
    await asyncio.gather(*later, again)
    assert order == ["again", "later", "later", "later"]
    budget = PointBudget(1)
    (await budget.acquire(1)).settle(says(0, limit=1))
    waited = await budget.acquire(1, max_wait=100)
    waited.settle(refuses(50))
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(1, max_wait=100, after=waited)


@simulated
async def test_release_gives_the_points_back_and_wakes_the_next() -> None:
    budget = PointBudget(1)
    held = await budget.acquire(1)
    (waiting,) = await waiters(budget, 1)
    assert not waiting.done()
    held.release()
    await turns()
    assert waiting.done()
    (await waiting).lost()


@simulated
async def test_lost_points_stay_spent() -> None:
    """A request without an answer may have counted, and may still arrive: a period and its longest flight."""
    budget = PointBudget(1)
    (await budget.acquire(1)).lost()
    began = now()
    permit = await budget.acquire(1)
    assert now() - began == pytest.approx(61.0, abs=0.05)
    permit.lost()


@pytest.mark.parametrize("budget", [PointBudget(10), Unlimited()], ids=repr)
@simulated
async def test_permit_ends_once(budget: PointBudget | Unlimited) -> None:
    permit = await budget.acquire(3)
    before = budget.snapshot()
    assert (permit.cost, before.in_flight) == (3, 3)
    permit.lost()
    permit.release()
    permit.settle(refuses(60))
    after = budget.snapshot()
    assert (after.in_flight, after.available, after.state) == (0, before.available, "unknown")
    assert "ended" in repr(permit)


@simulated
async def test_permit_collected_without_an_end_is_lost() -> None:
    budget = PointBudget(10)
    permit = await budget.acquire(3)
    assert "live" in repr(permit)
    del permit
    gc.collect()
    snapshot = budget.snapshot()
    assert (snapshot.in_flight, snapshot.available) == (0, 7)


@pytest.mark.parametrize("end", ["settle", "release", "lost", "dropped"])
@simulated
async def test_ended_permits_leave_no_trace(end: str) -> None:
    """Nothing refers to a permit that has ended: the reference count of the class is as before."""
    budget = PointBudget(1_000_000)
    (await budget.acquire(1)).settle(says(999_999, limit=1_000_000))
    before = sys.getrefcount(BudgetPermit)
    for left in range(999_998, 999_000, -1):
        permit = await budget.acquire(1)
        if end == "settle":
            permit.settle(says(left, limit=1_000_000))
        elif end != "dropped":
            getattr(permit, end)()
        del permit
    assert budget.snapshot().in_flight == 0
    assert sys.getrefcount(BudgetPermit) == before


@simulated
async def test_cancelled_waiter_leaves_and_the_rest_move_up() -> None:
    budget = await spent(10)
    calls = await waiters(budget, 5)
    calls[0].cancel()
    calls[2].cancel()
    await turns()
    assert budget.snapshot().waiting[Priority.NORMAL] == 3
    for call in (calls[1], calls[3], calls[4]):
        (await call).settle(None)


@simulated
async def test_cancelled_between_grant_and_wakeup_gives_the_points_back() -> None:
    budget = PointBudget(1)
    held = await budget.acquire(1)
    first = asyncio.create_task(budget.acquire(1))
    (second,) = await waiters(budget, 1)
    held.release()
    first.cancel()
    await turns()
    assert first.cancelled()
    assert second.done()
    (await second).lost()


@simulated
async def test_dropped_coroutine_leaves_nothing_behind() -> None:
    budget = PointBudget(1)
    held = await budget.acquire(1)
    dropped = budget.acquire(1)
    dropped.send(None)
    assert budget.snapshot().waiting_points == 1
    dropped.close()
    assert budget.snapshot().waiting_points == 0
    held.lost()


@simulated
async def test_price_above_the_limit_is_refused() -> None:
    budget = PointBudget(10, costs={"insights.rooms": 11})
    with pytest.raises(BudgetError, match=r"insights\.rooms costs 11 points, more than the whole limit of 10"):
        await budget.acquire(1, operation="insights.rooms")


@simulated
async def test_pinned_price_wins() -> None:
    budget = PointBudget(10, costs={"insights.rooms": 5})
    permit = await budget.acquire(1, operation="insights.rooms")
    assert permit.cost == 5
    assert budget.snapshot().costs == {"insights.rooms": 5}
    permit.lost()


@simulated
async def test_closing_refuses_who_waits_and_who_comes() -> None:
    budget = PointBudget(1)
    held = await budget.acquire(1)
    (waiting,) = await waiters(budget, 1)
    await budget.aclose()
    with pytest.raises(ClientClosedError):
        await waiting
    with pytest.raises(ClientClosedError):
        await budget.acquire(1)
    held.settle(says(0, limit=1))
    with pytest.raises(ClientClosedError):
        await budget.acquire(1)
    await budget.aclose()


@simulated
async def test_hooks_hear_of_waits_with_their_reason_and_of_429s() -> None:
    """Each reason is told once per wait; the same hook subscribed twice hears once, until both are taken back."""
    budget = PointBudget(10)
    hook = Listener(budget, budget)
    first = await budget.acquire(1)
    (pilot,) = await waiters(budget, 1)
    first.settle(says(9, limit=10))
    (await pilot).settle(says(8, limit=10))
    for remaining in range(7, -1, -1):
        (await budget.acquire(1)).settle(says(remaining, limit=10))
    calls = await waiters(budget, 2)
    budget.unsubscribe(hook)
    (await calls[0]).settle(refuses(3))
    (frozen,) = await waiters(budget, 1, 1, priority=Priority.INTERACTIVE)
    budget.unsubscribe(hook)
    budget.unsubscribe(hook)
    (third,) = await waiters(budget, 1)
    assert [details.reason for details in hook.waits] == ["pilot", "empty", "empty", "frozen"]
    assert [round(details.delay) for details in hook.throttles] == [3]
    for call in (frozen, calls[1], third):
        (await call).lost()


@simulated
async def test_hooks_hear_who_waits_for_the_reserve_and_who_for_his_turn() -> None:
    """There are points for both, but one is a batch call, and the other stands behind a call that needs more."""
    budget = PointBudget(100, reserve=0.1)
    hook = Listener(budget)
    await spend(budget, 95)
    (batch,) = await waiters(budget, 1, 1, priority=Priority.BATCH)
    dear = asyncio.create_task(budget.acquire(7))
    (behind,) = await waiters(budget, 1)
    assert [(details.reason, details.ahead) for details in hook.waits] == [("reserve", 0), ("empty", 0), ("queue", 7)]
    await cancel(batch, dear, behind)


@simulated
async def test_reserve_is_kept_from_batch_calls_and_melts() -> None:
    """Batch calls may not spend the last tenth of a young window, others may; a minute later the batch has it."""
    budget = PointBudget(100, reserve=0.1)
    server = Server(100, 60.0, now)
    batch = [asyncio.create_task(send(budget, server, priority=Priority.BATCH)) for _ in range(99)]
    await asyncio.sleep(1)
    assert 85 <= server.spent <= 90
    await send(budget, server, max_wait=0)
    await asyncio.sleep(58)
    assert 94 <= server.spent <= 100
    assert not server.refused
    await cancel(*batch)


@simulated
async def test_reserve_is_of_the_limit_that_the_server_names() -> None:
    """A batch that came before any answer leaves the others their share of the real limit."""
    budget = PointBudget(reserve=0.3)
    server = Server(1000, 60.0, now)
    batch = [asyncio.create_task(send(budget, server, priority=Priority.BATCH)) for _ in range(1000)]
    await asyncio.sleep(1)
    assert 680 <= server.spent <= 710
    await asyncio.gather(*[send(budget, server, max_wait=0) for _ in range(280)])
    await asyncio.sleep(60)
    assert all(task.done() for task in batch)


@simulated
@pytest.mark.parametrize("ending", ["refused", "late", "cancelled"])
async def test_batch_leaves_others_their_share_whatever_became_of_them(ending: str) -> None:
    """Beside an endless batch, others are served within a second, though none came for a quarter of an hour.

    Every third comes when its window ends, and the reserve has melted.
    """
    budget = PointBudget(100, reserve=0.3)
    server = Server(100, 60.0, now)
    batch = [asyncio.create_task(send(budget, server, priority=Priority.BATCH)) for _ in range(3000)]
    for _ in range(15):
        await asyncio.sleep(60)
        with pytest.raises(BudgetTimeoutError):
            await budget.acquire(30, max_wait=0, priority=Priority.BATCH)
    served = 0
    for _ in range(15):
        await asyncio.sleep(20)
        try:
            if ending == "cancelled":
                await asyncio.wait_for(send(budget, server, 10), 1.0)
            else:
                await send(budget, server, 10, max_wait=0.0 if ending == "refused" else 1.0)
        except (BudgetTimeoutError, TimeoutError):
            continue
        served += 1
    assert served >= 10
    assert not server.refused
    await cancel(*batch)


@simulated
async def test_batch_call_goes_ahead_when_a_window_has_turned() -> None:
    """The first points that come back are fewer than the reserve, but one call has to ask what the server has left."""
    budget = PointBudget(100, reserve=0.1)
    for left in range(99, -1, -1):
        (await budget.acquire(1)).settle(says(left))
        await asyncio.sleep(0.5)
    calls = [asyncio.create_task(budget.acquire(1, priority=Priority.BATCH)) for _ in range(3)]
    (await calls[0]).settle(says(99))
    assert now() == pytest.approx(60.02, abs=0.05)
    await turns()
    assert all(call.done() for call in calls)


@simulated
async def test_forecast_counts_windows_and_seconds() -> None:
    budget = await spent(100, 1)
    assert (budget.forecast(99).windows, budget.forecast(99).seconds) == (1, 0.0)
    assert budget.forecast(100).windows == 2
    assert budget.forecast(100).seconds == pytest.approx(60, abs=0.1)
    assert budget.forecast(1000).windows == 11
    assert budget.forecast(1000).seconds == pytest.approx(600, abs=2)
    assert budget.forecast(0).seconds == 0


@simulated
async def test_snapshot_tells_what_is_known() -> None:
    budget = PointBudget()
    fresh = budget.snapshot()
    assert (fresh.limit, fresh.remaining, fresh.reset_in, fresh.state) == (100, None, None, "unknown")
    (await budget.acquire(1)).settle(says(899, limit=1000, reset_in=30.25))
    (await budget.acquire(1)).settle(says(898, limit=1000, reset_in=30.25))
    held = await budget.acquire(3)
    known = budget.snapshot()
    assert (known.limit, known.remaining, known.in_flight) == (1000, 895, 3)
    assert known.reset_in == pytest.approx(30.25, abs=0.1)
    held.lost()


@simulated
async def test_unlimited_meters_nothing_but_honours_a_freeze() -> None:
    """Thousands go at once, whatever answers say of a limit; after a 429 everyone waits for the server's time."""
    budget = Unlimited()
    permits = [await budget.acquire(3) for _ in range(2000)]
    permits.pop().settle(says(1, limit=2))
    assert budget.snapshot().available > 1_000_000
    permits.pop().settle(refuses(12))
    began = now()
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(1, max_wait=5)
    await asyncio.gather(*(budget.acquire(1) for _ in range(10)))
    assert now() - began == pytest.approx(12, abs=0.05)
    for permit in permits:
        permit.settle(None)
    permits.clear()
    assert budget.forecast(10_000).seconds == 0
    await budget.aclose()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"limit": 0}, "limit=0"),
        ({"limit": True}, "limit=True"),
        ({"limit": 1.5}, r"limit=1\.5"),
        ({"period": 0}, "period=0"),
        ({"period": math.nan}, "period=nan"),
        ({"reserve": 1}, "reserve=1"),
        ({"reserve": -0.1}, r"reserve=-0\.1"),
        ({"costs": {"x": 0}}, r"costs\['x'\]=0"),
        ({"costs": {"x": "3"}}, r"costs\['x'\]='3'"),
        ({"limit": "100"}, "limit='100'"),
        ({"period": "x"}, "period='x'"),
        ({"period": None}, "period=None"),
        ({"period": True}, "period=True"),
        ({"reserve": "x"}, "reserve='x'"),
        ({"costs": ["a"]}, r"costs=\['a'\]"),
        ({"costs": "a"}, "costs='a'"),
        ({"costs": {1: 2}}, "costs has the key 1"),
    ],
)
def test_unusable_options_are_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told + ".*give "):
        PointBudget(**options)


@simulated
async def test_unusable_arguments_are_told() -> None:
    budget = PointBudget(10)
    bad: Any
    for bad in (0, -1, 1.5, True, "1", None):
        with pytest.raises(ValueError, match=f"cost must be a whole number of points from 1 on, not {bad!r}"):
            await budget.acquire(bad)
    held = await budget.acquire(1)
    for wait in (math.nan, -1.0):
        with pytest.raises(ValueError, match="max_wait must be seconds"):
            await budget.acquire(1, max_wait=wait)
    held.lost()


def test_outside_asyncio_it_says_what_it_runs_on() -> None:
    with pytest.raises(ConfigurationError, match="asyncio or uvloop"):
        PointBudget().acquire(1).send(None)


def test_both_are_limiters() -> None:
    limiters: list[Limiter] = [PointBudget(), Unlimited()]
    assert all(limiter.snapshot().waiting_points == 0 for limiter in limiters)


@simulated
async def test_crowd_is_granted_in_chunks_and_in_order() -> None:
    """A thousand waiters of one window: all in their order, none left for a later timer."""
    budget = await spent(1000)
    order: list[int] = []

    async def call(number: int) -> None:
        permit = await budget.acquire(1)
        order.append(number)
        permit.settle(says(999 - number, limit=1000))

    began = now()
    await asyncio.gather(*(call(number) for number in range(1000)))
    assert order == list(range(1000))
    assert now() - began < 60.1


@simulated
async def test_served_waits_do_not_pile_up_behind_their_deadlines() -> None:
    """Hundreds of calls with an hour of max_wait, served at once, leave nothing behind."""
    budget = PointBudget(1)
    held = await budget.acquire(1)
    (patient,) = await waiters(budget, 1, 1, max_wait=1000, priority=Priority.BATCH)
    for _ in range(300):
        (waiting,) = await waiters(budget, 1, 1, max_wait=3600)
        held.release()
        held = await waiting
    assert not patient.done()
    held.lost()
    patient.cancel()
    assert len(budget._account_here()._deadlines) < 100  # pyright: ignore[reportPrivateUsage] - what it keeps


@simulated
async def test_missing_headers_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    silent, told = PointBudget(), PointBudget()
    (await told.acquire(1)).settle(says(99))
    for budget in (silent, told):
        for _ in range(8):
            (await budget.acquire(1)).settle(None)
    (message,) = caplog.messages
    assert "limit=" in message


def long_waits(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "INFO"]


@simulated
async def test_long_waits_are_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """How long, for how many points, and why; eight calls a second begin to wait."""
    caplog.set_level("INFO", "whereby_async")
    budget = await spent(100)
    for beginning in range(25):
        await waiters(budget, 1, 3, operation="meetings.create")
        assert len(long_waits(caplog)) == 1 + beginning // 8
        await asyncio.sleep(0.125)
    first = "meetings.create waits about 60 s for 3 points: the window's points are spent"
    assert long_waits(caplog)[0] == first


@simulated
async def test_short_waits_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nor long ones, unless the log is asked for INFO."""
    caplog.set_level("WARNING", "whereby_async")
    budget = await spent(100)
    await waiters(budget, 1, 1)
    caplog.set_level("INFO", "whereby_async")
    await asyncio.sleep(59.5)
    for _ in range(10):
        await waiters(budget, 1, 1)
    assert caplog.messages == []


@simulated
@pytest.mark.parametrize(
    ("operation", "name"),
    [("", "a call"), ("PUT /rooms/planted/theme", "PUT /rooms/…")],
)
async def test_long_wait_names_no_room(operation: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "whereby_async")
    await waiters(await spent(100), 1, 1, operation=operation)
    assert long_waits(caplog) == [f"{name} waits about 60 s for 1 point: the window's points are spent"]


def test_long_waits_in_threads_share_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "whereby_async")
    budget, began = PointBudget(3), time.monotonic()

    async def wait() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await budget.acquire(3)

    permit = asyncio.run(budget.acquire(3))
    permit.lost()
    in_threads(*[lambda: asyncio.run(wait())] * 8)
    assert 1 <= len(long_waits(caplog)) <= 1 + time.monotonic() - began


@simulated
@pytest.mark.parametrize("make", [PointBudget, Unlimited])
async def test_freeze_of_more_than_a_period_is_warned_of_once(
    make: Callable[[], PointBudget | Unlimited], caplog: pytest.LogCaptureFixture
) -> None:
    """However many calls hear it; again if it grows by a period. Others are told of at DEBUG."""
    caplog.set_level("DEBUG", "whereby_async")
    budget = make()
    (await budget.acquire(1)).settle(says(99))
    permits = [await budget.acquire(1) for _ in range(4)]
    for permit, seconds in zip(permits, (62.0, 100.0, 101.0, 200.0), strict=True):
        permit.settle(refuses(seconds))
    (await budget.acquire(1)).settle(says(99))
    (await budget.acquire(1)).settle(refuses(90.5))
    told = [(record.levelname, record.getMessage()) for record in caplog.records if "429" in record.getMessage()]
    levels = ["DEBUG", "WARNING", "DEBUG", "WARNING", "WARNING"]
    assert told == [
        (level, f"the server answered 429: calls wait {seconds} s")
        for level, seconds in zip(levels, (62.0, 100.0, 101.0, 200.0, 90.5), strict=True)
    ]


@simulated
async def test_prices_that_change_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    budget = PointBudget()
    (await budget.acquire(1)).settle(says(99))
    for left in (94, 89, 84):
        (await budget.acquire(1, operation="insights.rooms")).settle(says(left))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "insights.rooms costs 5 points, not 1")
    ]


@simulated
async def test_old_batch_call_gets_its_share_under_an_endless_higher_priority() -> None:
    budget = await spent(20, reserve=0.0)
    began = now()
    (batch,) = await waiters(budget, 1, 1, priority=Priority.BATCH)
    others = [asyncio.create_task(budget.acquire(1, priority=Priority.INTERACTIVE)) for _ in range(200)]

    async def end(other: asyncio.Task[Permit]) -> None:
        (await other).settle(None)

    endings = [asyncio.create_task(end(other)) for other in others]
    (await batch).settle(None)
    assert 60 <= now() - began <= 125
    await cancel(*others, *endings)


@simulated
async def test_repr_says_where_it_stands() -> None:
    budget, unlimited = PointBudget(50), Unlimited()
    assert repr(budget) == "<PointBudget limit=50 available=50 unknown>"
    await spend(budget, 1, limit=50)
    assert repr(budget) == "<PointBudget limit=50 available=49 open>"
    assert repr(unlimited) == "<Unlimited unknown>"
    for limiter in (budget, unlimited):
        await limiter.aclose()
    assert repr(budget) == "<PointBudget closed>"
    assert repr(unlimited) == "<Unlimited closed>"


@simulated
async def test_call_that_does_not_fit_lets_cheap_ones_pass_only_if_it_waits_no_longer() -> None:
    """All points come back in one moment, so what is left now goes to calls that fit."""
    budget, server = PointBudget(10), Server(10, 60.0, now)
    for _ in range(9):
        await send(budget, server)
    dear = asyncio.create_task(send(budget, server, 3))
    await turns()
    began = now()
    await send(budget, server)
    assert now() - began <= 1
    await dear
    assert not server.refused


def test_package_says_what_it_has() -> None:
    assert "PointBudget" in dir(whereby_async.limiter)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        whereby_async.limiter.nothing  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue, reportUnusedExpression]


class _Counting(PointBudget):
    async def acquire(self, *args: Any, **options: Any) -> Any:
        return await super().acquire(*args, **options)


def test_budget_that_grants_in_its_own_way_is_always_asked() -> None:
    """Whether a subclass or the object itself overrides `acquire`."""
    budget, wrapped = PointBudget(), PointBudget()
    assert quick_grant(budget) is not never
    assert quick_grant(_Counting()) is never
    vars(wrapped)["acquire"] = budget.acquire
    assert quick_grant(wrapped) is never
    assert never(1, "", Priority.NORMAL) is None


@pytest.mark.anyio
async def test_quick_grant_gives_only_what_needs_no_second_thought() -> None:
    """No points for a batch, above what is left, behind a waiter, without a loop, or when the budget is closed."""
    budget = PointBudget(100, costs={"insights.rooms": 5})
    quick = quick_grant(budget)
    (await budget.acquire(1)).settle(says(99))
    for left in range(98, 88, -1):
        granted = quick(1, "", Priority.NORMAL)
        assert granted is not None
        granted.settle(says(left))
    granted = quick(1, "insights.rooms", Priority.NORMAL)
    assert granted is not None
    assert granted.cost == 5
    assert budget.snapshot().in_flight == 5
    granted.release()
    # A batch announces its calls after it got their points, so it has to be asked.
    assert quick(1, "", Priority.BATCH) is None
    assert quick(99, "", Priority.NORMAL) is None
    assert await asyncio.to_thread(quick, 1, "", Priority.NORMAL) is None
    for bad in (0, -1):
        with pytest.raises(ValueError, match="cost must be a whole number"):
            quick(bad, "", Priority.NORMAL)
    everything = quick(89, "", Priority.NORMAL)
    assert everything is not None
    waiter = asyncio.ensure_future(budget.acquire(1))
    await asyncio.sleep(0)
    assert quick(1, "", Priority.INTERACTIVE) is None
    everything.release()
    (await waiter).release()
    assert quick(1, "", Priority.NORMAL) is not None
    await budget.aclose()
    assert quick(1, "", Priority.NORMAL) is None
