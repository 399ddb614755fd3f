"""Being refused, by the server or by ourselves: how long it lasts, and what is never refused wrongly."""

from __future__ import annotations

import asyncio

import pytest

from limiter.driving import now, refuses, says, simulated, spend, turns, warm
from whereby_async.errors import BudgetError, BudgetTimeoutError
from whereby_async.limiter import Permit, PointBudget, Priority, RateLimit, Unlimited


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
    """The server says that nothing is left for 0.96 seconds: three seconds of max_wait are enough."""
    budget = PointBudget()
    (await budget.acquire(1, max_wait=3)).settle(says(0, reset_in=0.96))
    began = now()
    permit = await budget.acquire(1, max_wait=3)
    assert now() - began == pytest.approx(0.98, abs=0.01)
    permit.settle(says(99, reset_in=60))


@simulated
async def test_answer_in_flight_may_bring_what_is_asked_for() -> None:
    """While an answer is out, a call whose points it may bring is not refused; when it brings none, it is, early."""
    for left, served in ((9, True), (0, False)):
        budget = PointBudget(10)
        await spend(budget, 9, limit=10)
        last = await budget.acquire(1)
        asking = asyncio.create_task(budget.acquire(1, max_wait=30))
        await turns()
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
    """Behind a 3-point call that does not fit, what is left goes to whoever it is enough for."""
    budget = PointBudget(10)
    permits = [await budget.acquire(1)]
    permits[0].settle(says(9, limit=10))
    for remaining in range(8, 0, -1):
        (await budget.acquire(1)).settle(says(remaining, limit=10))
    dear = asyncio.create_task(budget.acquire(3))
    await turns()
    assert not dear.done()
    (await budget.acquire(1, max_wait=1)).lost()
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(3, max_wait=50)
    dear.cancel()


@simulated
async def test_retry_is_judged_by_its_own_place() -> None:
    """What came after a call's first try does not stand before its second."""
    budget = PointBudget(10)
    await spend(budget, 9, limit=10)
    first = await budget.acquire(1)
    later = [asyncio.create_task(budget.acquire(1)) for _ in range(50)]
    await turns()
    first.settle(refuses(5))
    again = await budget.acquire(1, max_wait=10, after=first)
    again.lost()
    for call in later:
        call.cancel()


@simulated
async def test_old_call_is_judged_by_the_share_it_is_owed() -> None:
    """Behind twenty windows of interactive calls it is served after two periods, and not refused before."""
    budget = PointBudget(10)
    await spend(budget, 10, limit=10)
    rivals = [asyncio.create_task(budget.acquire(1, priority=Priority.INTERACTIVE)) for _ in range(200)]
    await turns()
    with pytest.raises(BudgetTimeoutError):
        await budget.acquire(1, max_wait=100)
    patient = asyncio.create_task(budget.acquire(1, max_wait=190))
    await turns()
    assert not patient.done()
    for task in (*rivals, patient):
        task.cancel()


@simulated
async def test_refusal_speaks_to_people() -> None:
    """Operation, wait, points, queue and max_wait; `retry_after` is exact."""
    budget = PointBudget(100)
    await spend(budget, 100)
    calls = [asyncio.create_task(budget.acquire(2)) for _ in range(20)]
    await turns()
    with pytest.raises(BudgetTimeoutError) as caught:
        await budget.acquire(3, operation="meetings.create", max_wait=0)
    assert str(caught.value) == (
        "meetings.create would wait at least 60.0 s for 3 points (40 points are queued before it), max_wait is 0 s"
    )
    assert caught.value.retry_after == pytest.approx(60.021, abs=0.0015)
    for call in calls:
        call.cancel()


@pytest.mark.parametrize("told", [None, 0.0])
@simulated
async def test_refusals_without_progress_back_off(told: float | None) -> None:
    """A 429 that names no time, or says "now", is waited for 1, 2, 4 … seconds, by either limiter, one call at a time."""
    for budget in (PointBudget(100), Unlimited()):
        flying: list[Permit] = [await budget.acquire(1)]
        began = now()
        waiting = [asyncio.create_task(budget.acquire(1)) for _ in range(50)]
        await turns()
        sent: list[float] = []
        while now() - began < 100:
            flying += [call.result() for call in waiting if call.done()]
            waiting = [call for call in waiting if not call.done()]
            waiting += [asyncio.create_task(budget.acquire(1)) for _ in flying]
            sent += [now() - began] * len(flying)
            await asyncio.sleep(0.05)
            while flying:
                flying.pop().settle(refuses(told))
            await asyncio.sleep(0.05)
        # Whatever went before the first refusal is another matter.
        rounds = [at for at in sent if at > 0.5]
        assert rounds == pytest.approx([1, 3, 7, 15, 31, 63], abs=1.0)
        for call in waiting:
            call.cancel()


@simulated
async def test_wrong_time_is_obeyed_once() -> None:
    """A server that says 0.3 seconds and refuses again is waited for longer; a success makes all as before."""
    for budget, longer in ((PointBudget(100), [1.5, 3.0]), (Unlimited(), [1.0, 2.0])):
        waits: list[float] = []
        for told in (0.3, 0.3, 0.3, None, 0.3):
            began = now()
            permit = await budget.acquire(1)
            waits.append(now() - began)
            permit.settle(refuses(told) if told else says(98))
        (await budget.acquire(1)).settle(says(97))
        assert waits == pytest.approx([0.0, 0.3, *longer, 0.0], abs=0.05)
        assert budget.snapshot().state == "open"


@simulated
async def test_crowd_refused_at_once_is_one_refusal() -> None:
    """Fifty answers of one moment do not make the wait longer than one does."""
    budget = Unlimited()
    permits = [await budget.acquire(1) for _ in range(50)]
    for permit in permits:
        permit.settle(refuses())
    began = now()
    (await budget.acquire(1)).settle(None)
    assert now() - began == pytest.approx(1.0, abs=0.05)


@simulated
async def test_unlimited_is_limited_by_nothing_that_answers_say() -> None:
    """Neither a small limit nor missing headers change anything."""
    budget = Unlimited()
    for _ in range(5):
        (await budget.acquire(1)).settle(RateLimit(limit=2, remaining=1))
    (await budget.acquire(3)).lost()
    assert budget.snapshot().available > 1_000_000


@simulated
async def test_limit_that_two_answers_agree_on_refuses_what_is_dearer() -> None:
    """At once for who comes, and for who waits already; the others go on waiting."""
    budget = PointBudget(100)
    await spend(budget, 98)
    held = [await budget.acquire(1) for _ in range(2)]
    dear = [asyncio.create_task(budget.acquire(3, operation="meetings.create")) for _ in range(3)]
    cheap = asyncio.create_task(budget.acquire(2))
    await turns()
    held[0].settle(says(0, limit=2))
    await turns()
    assert not any(call.done() for call in dear)
    held[1].settle(says(0, limit=2))
    await turns()
    assert not cheap.done()
    for call in dear:
        with pytest.raises(BudgetError, match=r"meetings\.create costs 3 points, more than the whole limit of 2"):
            await call
    with pytest.raises(BudgetError, match="limit of 2"):
        await budget.acquire(3)
    (await cheap).lost()


@simulated
async def test_limit_that_one_answer_names_is_asked_for_by_the_dear_call() -> None:
    """It goes alone, at once: served, the limit was garbled; refused, it is true, and nobody waits for ever."""
    for answer, fate in (
        (says(95, limit=100), None),
        (refuses(0.5, limit=2), BudgetError),
        (refuses(0.5), BudgetError),
    ):
        budget = PointBudget()
        (await budget.acquire(1)).settle(says(1, limit=2))
        began = now()
        asking = await budget.acquire(3, max_wait=0)
        second = asyncio.create_task(budget.acquire(3, max_wait=30))
        await turns()
        assert not second.done()
        assert now() == began
        asking.settle(answer)
        await turns()
        if fate is None:
            (await second).settle(says(92, limit=100))
        else:
            with pytest.raises(fate, match="limit of 2"):
                await second
            with pytest.raises(fate):
                await budget.acquire(3, after=asking)


@simulated
async def test_price_above_the_limit_is_refused_however_it_came_about() -> None:
    """Learned or pinned."""
    budget = PointBudget(100)
    await warm(budget)
    left = 99
    for _ in range(3):
        permits = [await budget.acquire(1, operation="insights.rooms") for _ in range(2)]
        await asyncio.sleep(2)
        for permit in permits:
            left -= 9
            permit.settle(says(left))
            await asyncio.sleep(2)
    assert budget.snapshot().costs == {"insights.rooms": 9}
    budget = PointBudget(8, costs={"insights.rooms": 9})
    with pytest.raises(BudgetError, match="limit of 8"):
        await budget.acquire(1, operation="insights.rooms")


@simulated
async def test_price_that_rises_above_the_limit_sends_away_who_waits_for_it() -> None:
    """A call whose price is learned while it waits, and can never be paid, hears so; the others go on waiting."""
    budget = PointBudget(100)
    await warm(budget)
    reads = [await budget.acquire(1, operation="insights.rooms") for _ in range(2)]
    calls = [await budget.acquire(1) for _ in range(3)]
    await asyncio.sleep(0.1)
    # Nine points each, as will be believed once nothing is in flight; meanwhile the limit has fallen to five.
    reads[0].settle(says(90))
    reads[1].settle(says(81))
    calls[0].settle(says(0, limit=5))
    calls[1].settle(says(0, limit=5))
    dear = [asyncio.create_task(budget.acquire(1, operation="insights.rooms")) for _ in range(2)]
    cheap = asyncio.create_task(budget.acquire(1))
    await turns()
    assert budget.snapshot().costs == {}
    assert not any(call.done() for call in (*dear, cheap))
    calls[2].settle(refuses(3.0, limit=5))
    await turns()
    assert budget.snapshot().costs == {"insights.rooms": 9}
    for call in dear:
        with pytest.raises(BudgetError, match=r"insights\.rooms costs 9 points, more than the whole limit of 5"):
            await call
    assert not cheap.done()
    (await cheap).lost()
