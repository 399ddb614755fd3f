"""Being refused, by the server or by ourselves: how long it lasts, and what is never refused wrongly."""

# pyright: reportPrivateUsage=false
# What is kept inside is looked at.

from __future__ import annotations

import asyncio
import itertools

import pytest
from support.budgets import Listener, Server, call, cancel, now, refuses, says, simulated, spend, spent, turns, waiters

from whereby_async.errors import BudgetError, BudgetTimeoutError, RateLimitError, Throttled
from whereby_async.limiter import Permit, PointBudget, Priority, RateLimit, Unlimited
from whereby_async.testing import FakeWhereby


@simulated
async def test_short_retry_after_is_waited_for_within_a_short_max_wait() -> None:
    """After a 429 with 0.3 seconds a call that may wait for two goes after 0.3, although the period is a minute."""
    budget = PointBudget(100)
    refused = await budget.acquire(1)
    refused.settle(refuses(0.3))
    assert budget.forecast(1).seconds == pytest.approx(0.3, abs=0.02)
    began = now()
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(1, max_wait=0.2)
    assert now() == began
    permit = await budget.acquire(1, max_wait=2.0, after=refused)
    assert now() - began == pytest.approx(0.3, abs=0.02)
    permit.settle(says(98))


@simulated
async def test_window_that_others_have_spent_and_that_ends_soon_is_waited_for() -> None:
    """One answer that says that nothing is left may be garbled, so one more call goes; its refusal names the time."""
    budget = PointBudget()
    (await budget.acquire(1, max_wait=3)).settle(says(0, reset_in=0.96))
    began = now()
    refused = await budget.acquire(1, max_wait=3)
    assert now() == began
    refused.settle(RateLimit(limit=100, remaining=0, retry_after=0.96, throttled=True))
    permit = await budget.acquire(1, max_wait=3, after=refused)
    assert 0.96 <= now() - began <= 1.55
    permit.settle(says(99, reset_in=60))


@simulated
async def test_answer_in_flight_may_bring_what_is_asked_for() -> None:
    """While an answer is out, a call whose points it may bring is not refused; when it brings none, it is, early."""
    for left, served in ((9, True), (0, False)):
        budget = PointBudget(10)
        await spend(budget, 9, limit=10)
        last = await budget.acquire(1)
        (asking,) = await waiters(budget, 1, 1, max_wait=30)
        assert not asking.done()
        last.settle(says(left, limit=10))
        await turns()
        assert asking.done()
        if served:
            (await asking).lost()
        else:
            with pytest.raises(BudgetTimeoutError, match="was not served 1 point within its max_wait"):
                await asking


@simulated
async def test_cheap_call_that_may_pass_a_dear_one_is_not_refused() -> None:
    """Behind a 3-point call that does not fit, cheaper calls get what is left."""
    budget = PointBudget(10)
    permits = [await budget.acquire(1)]
    permits[0].settle(says(9, limit=10))
    for remaining in range(8, 0, -1):
        (await budget.acquire(1)).settle(says(remaining, limit=10))
    (dear,) = await waiters(budget, 1, 3)
    assert not dear.done()
    (await budget.acquire(1, max_wait=1)).lost()
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(3, max_wait=50)
    dear.cancel()


@simulated
async def test_retry_is_judged_by_its_own_place() -> None:
    budget = await spent(10, 7)
    held = [await budget.acquire(1) for _ in range(2)]
    later = await waiters(budget, 50, 3)
    held[0].settle(refuses(5))
    held[1].settle(refuses(5))
    again = await budget.acquire(1, max_wait=10, after=held[0])
    assert now() == pytest.approx(5.0, abs=0.1)
    again.lost()
    await cancel(*later)


@simulated
async def test_old_call_is_judged_by_the_share_it_is_owed() -> None:
    budget = await spent(10)
    others = await waiters(budget, 200, 1, priority=Priority.INTERACTIVE)
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(1, max_wait=50)
    (patient,) = await waiters(budget, 1, 1, max_wait=70)
    assert not patient.done()
    (await patient).lost()
    await cancel(*others)


@simulated
async def test_refusal_speaks_to_people() -> None:
    """Operation, wait, points, queue and max_wait; `retry_after` is exact."""
    budget = await spent(100)
    calls = await waiters(budget, 20, 2)
    with pytest.raises(BudgetTimeoutError) as caught:
        await budget.acquire(3, operation="meetings.create", max_wait=0)
    assert str(caught.value) == (
        "meetings.create would wait at least 60.0 s for 3 points (40 points are queued before it), max_wait is 0 s"
    )
    assert caught.value.retry_after == pytest.approx(60.021, abs=0.0015)
    assert isinstance(caught.value, Throttled)
    assert (now(), budget.snapshot().waiting_points) == (0, 40)
    await cancel(*calls)


@simulated
async def test_refusal_tells_no_wait_of_nothing() -> None:
    """Where the first answer, which tells the limit, may come at any moment."""
    budget = PointBudget()
    first = await budget.acquire(1)
    with pytest.raises(BudgetTimeoutError, match=r"^meetings\.get would wait for 1 point, max_wait is 0 s$"):
        await budget.acquire(1, operation="meetings.get", max_wait=0)
    first.lost()


@pytest.mark.parametrize("told", [None, 0.0])
@simulated
async def test_refusals_without_progress_back_off(told: float | None) -> None:
    """A 429 that names no time, or says "now", is waited for 1, 2, 4 … seconds, one call at a time."""
    for budget in (PointBudget(100), Unlimited()):
        flying: list[Permit] = [await budget.acquire(1)]
        began = now()
        waiting = await waiters(budget, 50)
        sent: list[float] = []
        while now() - began < 100:
            flying += [task.result() for task in waiting if task.done()]
            waiting = [task for task in waiting if not task.done()]
            waiting += [asyncio.create_task(budget.acquire(1)) for _ in flying]
            sent += [now() - began] * len(flying)
            await asyncio.sleep(0.05)
            while flying:
                flying.pop().settle(refuses(told))
            await asyncio.sleep(0.05)
        # Whatever went before the first refusal is another matter.
        rounds = [at for at in sent if at > 0.5]
        assert rounds == pytest.approx([1, 3, 7, 15, 31, 63], abs=1.5)
        for task in waiting:
            task.cancel()


@simulated
async def test_wrong_time_is_obeyed_once() -> None:
    """A server that says 0.3 seconds and refuses again is waited for longer; a success makes all as before."""
    for budget in (PointBudget(100), Unlimited()):
        waits: list[float] = []
        for told in (0.3, 0.3, 0.3, None, 0.3):
            began = now()
            permit = await budget.acquire(1)
            waits.append(now() - began)
            permit.settle(refuses(told) if told else says(98))
        (await budget.acquire(1)).settle(says(97))
        assert waits == pytest.approx([0.0, 0.3, 2.0, 4.0, 0.0], abs=0.05)
        assert budget.snapshot().state == "open"


@simulated
async def test_crowd_refused_at_once_is_one_refusal() -> None:
    budget = Unlimited()
    permits = [await budget.acquire(1) for _ in range(50)]
    for permit in permits:
        permit.settle(refuses())
    began = now()
    (await budget.acquire(1)).settle(None)
    assert now() - began == pytest.approx(1.0, abs=0.05)


@simulated
async def test_limit_that_two_periods_confirm_refuses_what_is_dearer() -> None:
    """Calls that wait and calls that come are refused; until then dear calls go one at a time. Cheap calls go on."""
    budget, server = PointBudget(100), Server(2, 60.0, now)

    async def create() -> None:
        permit: Permit | None = None
        while True:
            permit = await budget.acquire(3, operation="meetings.create", after=permit)
            await asyncio.sleep(0.05)
            permit.settle(server.serve(3))

    await call(budget, server)
    dear = [asyncio.create_task(create()) for _ in range(3)]
    reads = [asyncio.create_task(call(budget, server)) for _ in range(8)]
    for task in dear:
        with pytest.raises(BudgetError, match=r"meetings\.create costs 3 points, more than the whole limit of 2"):
            await task
    assert 120 <= now() <= 400
    assert server.refused <= 8
    with pytest.raises(BudgetError, match="limit of 2"):
        await budget.acquire(3)
    for read in reads:
        await read


@simulated
async def test_limit_that_one_answer_garbled_stops_no_dear_call() -> None:
    budget = PointBudget()
    await spend(budget, 1)
    (await budget.acquire(1)).settle(says(1, limit=1))
    assert budget.snapshot().limit == 1
    began = now()
    asking = await budget.acquire(3, max_wait=0)
    (second,) = await waiters(budget, 1, 3)
    asking.settle(says(95))
    (await second).settle(says(92))
    assert now() - began <= 2.1
    assert budget.snapshot().limit == 100


@simulated
async def test_limit_that_some_answers_garbled_heals() -> None:
    """No dear call is ever told that it can never be paid for, and within two periods all go."""
    budget, server = PointBudget(), Server(100, 60.0, now)
    for _ in range(3):
        await call(budget, server)
    for _ in range(2):
        permit = await budget.acquire(1)
        server.serve(1)
        permit.settle(says(1, limit=1))
    began = now()
    await asyncio.gather(*(call(budget, server, cost) for cost in (3, 1, 3, 1)))
    assert now() - began <= 120
    assert budget.snapshot().limit == 100
    assert not server.refused


@simulated
async def test_price_that_rises_above_the_limit_sends_away_who_waits_for_it() -> None:
    """A call whose price is learned while it waits, and can never be paid, hears so; the others go on waiting."""
    budget = PointBudget(5)
    hook = Listener(budget)
    for left in (4, 3):
        (await budget.acquire(1)).settle(says(left, limit=5))
    # A limit of five, and calls that cost more.
    core = budget._account_here().core
    price = core.price("insights.rooms", 1)
    for _ in range(2):
        core._sample(price, 9)
    held = await budget.acquire(1)
    dear = [asyncio.create_task(budget.acquire(1, operation="insights.rooms")) for _ in range(2)]
    (cheap,) = await waiters(budget, 1, 5)
    held.settle(says(2, limit=5))
    await turns()
    assert [details.new for details in hook.cost_changes] == [9]
    for task in dear:
        with pytest.raises(BudgetError, match=r"insights\.rooms costs 9 points, more than the whole limit of 5"):
            await task
    assert not cheap.done()
    cheap.cancel()


@simulated
async def test_refused_probes_become_rarer() -> None:
    """Foreign use spends everything: each refused probe makes the next one later."""
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
    """A window has just begun: that another has begun is believed only when two answers say so."""
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
async def test_forecast_and_wait_in_doubt_go_by_the_servers_window() -> None:
    """Foreign use has spent it: it ends when the server says, not when our points come back."""
    budget = PointBudget(100)
    for left in (60, 30, 0):
        (await budget.acquire(1)).settle(says(left, reset_in=20.0))
    assert budget.snapshot().foreign_rate > 0
    assert budget.forecast(10).seconds == pytest.approx(20.0, abs=0.5)


@simulated
async def test_wait_that_is_told_goes_by_the_servers_window() -> None:
    """It ends 20 s after the calls, which is sooner than their points come back: one that waits has it so."""
    budget = PointBudget(100)
    for left in range(99, -1, -1):
        (await budget.acquire(1)).settle(says(left, reset_in=20.0))
    began = now()
    with pytest.raises(BudgetTimeoutError) as caught:
        await budget.acquire(1, max_wait=5.0)
    told = caught.value.retry_after
    assert told == pytest.approx(20.0, abs=2.0)
    permit = await budget.acquire(1)
    assert now() - began == pytest.approx(told, abs=1.0)
    permit.settle(says(99, reset_in=60.0))


# Over real sockets, by a client


@pytest.mark.anyio
async def test_window_that_another_client_has_spent_is_waited_for_within_max_wait() -> None:
    """It ends in less than a second: three are enough, though the budget's own period is a minute."""
    async with FakeWhereby(limit=10, period=1.0) as fake:
        async with fake.client(limiter=Unlimited()) as other:
            for _ in range(10):
                await other.meetings.list()
        async with fake.client(limiter=PointBudget(), max_wait=3.0) as client:
            assert (await client.meetings.list()).results == []
        assert fake.throttled <= 1


@pytest.mark.anyio
async def test_window_that_ends_too_late_is_not_waited_for() -> None:
    async with FakeWhereby(limit=3, period=30.0) as fake, fake.client(max_wait=3.0) as client:
        for _ in range(3):
            await client.meetings.list()
        with pytest.raises(
            BudgetTimeoutError, match=r"meetings\.list would wait .* s for 1 point, max_wait is 3 s"
        ) as caught:
            await client.meetings.list()
        assert caught.value.retry_after is not None
        assert 25 < caught.value.retry_after < 33
        assert fake.throttled == 0


@pytest.mark.anyio
async def test_call_dearer_than_the_whole_limit_fails() -> None:
    """It costs few 429s: two periods have to confirm the limit."""
    async with FakeWhereby(limit=2, period=1.0) as fake, fake.client(limiter=PointBudget(period=1.0)) as client:
        await client.meetings.list()
        with pytest.raises((BudgetError, RateLimitError)):
            await client.meetings.create(end_date="2030-01-01T00:00:00Z")
        with pytest.raises(BudgetError, match=r"meetings\.create costs 3 points, more than the whole limit of 2"):
            await client.meetings.create(end_date="2030-01-01T00:00:00Z")
        assert fake.throttled <= 3
