"""Answers that could be foretold are booked in short: nothing may come of that but speed."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from limiter.driving import PERIOD, refuses, says
from whereby_async.limiter import PointBudget, Priority, RateLimit
from whereby_async.limiter.listeners import Listeners
from whereby_async.limiter.redis.present.costs import Prices
from whereby_async.limiter.redis.present.local_permit import LivePermit
from whereby_async.limiter.redis.present.present_account import PresentAccount
from whereby_async.limiter.redis.present.present_ledger import PresentLedger
from whereby_async.limiter.redis.present.process import never, quick_grant
from whereby_async.limiter.redis.present.reserve import Reserve

LIMIT = 1000


class Desk:
    """An account with a clock, and a server that counts a fixed window; `shortly` or else every answer goes the long way."""

    def __init__(self, *, shortly: bool = True) -> None:
        self.now = 1000.0
        self.ledger = PresentLedger(LIMIT, PERIOD)
        self.prices = Prices({})
        self.account = PresentAccount(self.ledger, self.prices, Reserve(0.0, PERIOD), lambda: self.now, Listeners())
        self.limit, self.spent, self.ends = LIMIT, 0, 0.0
        self.shortly = shortly

    def grant(self, cost: int = 1, operation: str = "") -> LivePermit:
        """A call goes, if there is room."""
        price = self.prices.price(operation, cost)
        assert self.ledger.room(self.now, price) >= price
        permit = LivePermit(price, self.now, 0, self.account, operation, 0)
        self.ledger.charge(permit, self.now)
        return permit

    def serve(self, cost: int = 1) -> RateLimit:
        """A call arrives at the server."""
        if self.now >= self.ends:
            self.ends, self.spent = self.now + PERIOD, 0
        self.spent += cost
        return says(self.limit - self.spent, limit=self.limit, reset_in=self.ends - self.now + 0.25)

    def settle(self, permit: LivePermit, answer: RateLimit) -> None:
        """The answer comes."""
        if self.shortly:
            permit.settle(answer)
        else:
            permit.retire()
            self.account.settle(permit, answer, self.now)

    def call(self, cost: int = 1) -> None:
        """One call at once."""
        self.settle(self.grant(cost), self.serve(cost))

    def warm(self) -> None:
        """So many answers that all is as usual."""
        for _ in range(100):
            self.now += 0.01
            self.call()
        assert self.ledger.foresight.steady

    def burst(self, count: int, charged: int, cost: int, *, strangers: int = 0) -> None:
        """So many calls of one operation at once, answered in order in a tenth of a second."""
        permits = [self.grant(charged, "insights.rooms") for _ in range(count)]
        answers = [self.serve(cost) for _ in permits]
        for permit, answer in zip(permits, answers, strict=True):
            self.now += 0.1 / count
            self.settle(permit, answer)
        self.now += 0.5
        self.spent += strangers


@pytest.mark.parametrize("count", [1, 2, 5, 50])
@pytest.mark.parametrize("shortly", [True, False])
def test_price_too_high_is_learned_from_calls_at_once(count: int, *, shortly: bool) -> None:
    """No later than if every answer went the long way: within twelve samples or two bursts."""
    desk = Desk(shortly=shortly)
    desk.warm()
    for _ in range(max(2, 12 // count)):
        desk.burst(count, 3, 1)
    assert desk.prices.table == {"insights.rooms": 1}


@pytest.mark.parametrize("count", [1, 2, 5, 50])
def test_price_too_low_is_learned_from_calls_at_once(count: int) -> None:
    """It shows at the first answer after which less is left than the calls in flight explain."""
    desk, twin = Desk(), Desk(shortly=False)
    for each in (desk, twin):
        each.warm()
        rounds = 0
        while not each.prices.table:
            each.burst(count, 1, 3)
            rounds += 1
            assert rounds * count <= max(2 * count, 12)
    assert desk.prices.table == twin.prices.table == {"insights.rooms": 3}


@pytest.mark.parametrize("shortly", [True, False])
def test_price_too_high_is_learned_from_a_rare_call_behind_others(*, shortly: bool) -> None:
    """Though its own answer is hidden among those in flight, and only the next burst shows that more is left than was thought."""
    desk = Desk(shortly=shortly)
    desk.warm()
    for number in range(20):
        permits = [desk.grant() for _ in range(4)]
        permits.append(desk.grant(3, "insights.rooms") if number % 2 else desk.grant())
        for permit in permits:
            desk.now += 0.01
            desk.settle(permit, desk.serve(1))
        desk.now += 0.5
    assert desk.prices.table == {"insights.rooms": 1}


def test_lost_call_does_not_cut_the_lesson_short() -> None:
    """What was learned from the answers before it still counts."""
    desk = Desk()
    desk.warm()
    for _ in range(2):
        permits = [desk.grant(3, "insights.rooms") for _ in range(8)]
        for permit in permits[:-2]:
            desk.now += 0.01
            desk.settle(permit, desk.serve(1))
        permits[-2].lost()  # and it never arrives
        desk.settle(permits[-1], desk.serve(1))
        desk.now += 2
    assert desk.prices.table == {"insights.rooms": 1}


def test_right_prices_stay() -> None:
    """Bursts that were foretold teach nothing."""
    desk = Desk()
    desk.warm()
    for _ in range(20):
        desk.burst(5, 3, 3)
    assert desk.prices.table == {}
    assert desk.ledger.foresight.steady


@pytest.mark.parametrize("seed", range(40))
def test_unusual_answer_is_judged_as_if_all_had_gone_the_long_way(seed: int) -> None:
    """After any history of calls in any order, some lost and some taken back, the next surprise has the same effect."""
    ends: list[Any] = []
    for shortly in (True, False):
        dice, desk = random.Random(seed), Desk(shortly=shortly)
        desk.warm()
        flying: list[tuple[LivePermit, RateLimit]] = []
        for _ in range(150):
            desk.now += dice.uniform(0.0, 0.05)
            fate = dice.random()
            permit = desk.grant(dice.choice((1, 2, 3)))
            if fate < 0.05:
                permit.release()
            elif fate < 0.1:
                permit.lost()
                desk.serve(permit.cost)
            else:
                flying.append((permit, desk.serve(permit.cost)))
            while len(flying) > 8:
                desk.settle(*flying.pop(dice.randrange(len(flying))))
        for permit, answer in flying:
            desk.settle(permit, answer)
        assert not desk.shortly or desk.ledger.foresight.passed or desk.ledger.foresight.steady
        desk.now += 0.05
        surprise = dice.choice((says(3, limit=LIMIT), says(120, limit=200), refuses(5.0), RateLimit()))
        desk.settle(desk.grant(), surprise)
        ledger = desk.ledger
        ends.append(
            [
                *(ledger.room(desk.now), ledger.held, ledger.pending, ledger.limit, ledger.slowest, ledger.cold.on),
                *(ledger.calm, ledger.others.until, ledger.others.votes, ledger.gate.opens_at, desk.prices.table),
            ]
        )
    assert ends[0] == ends[1]


def test_slow_answer_is_remembered_though_it_could_be_foretold() -> None:
    """A lost call may take as long as the slowest that was answered, so that one is never passed by."""
    desk = Desk()
    desk.warm()
    slow = desk.grant()
    late = desk.serve()
    for _ in range(60):
        desk.now += 0.1
        desk.call()
    desk.settle(slow, late)
    assert desk.ledger.slowest == pytest.approx(6.0)


@pytest.mark.parametrize("straggler", [False, True])
def test_new_window_is_noted_under_an_endless_stream(*, straggler: bool) -> None:
    """Though no moment is without a call in flight, and even if a late answer of the old window comes into the new one."""
    desk = Desk()
    desk.ends = turn = desk.now + 30.0
    desk.warm()
    late: list[tuple[LivePermit, RateLimit]] = []
    flying: list[tuple[LivePermit, RateLimit]] = []
    while desk.now < turn + 8:
        desk.now += 0.05
        if straggler and not late and desk.now > turn - 1:
            late.append((desk.grant(), desk.serve()))
        flying.append((desk.grant(), desk.serve()))
        if len(flying) > 4:
            desk.settle(*flying.pop(0))
        if late and desk.now > turn + 5:
            straggler = False
            desk.settle(*late.pop())
            assert desk.ledger.foresight.low < LIMIT - 200
    assert desk.ledger.foresight.low == desk.limit - desk.spent + len(flying)


@pytest.mark.parametrize("flying", [1, 5, 50])
def test_others_that_begin_in_mid_burst_are_seen_within_a_moment(flying: int) -> None:
    """What hides behind calls in flight is looked at after a fifth of a second at the latest."""
    desk = Desk()
    desk.warm()
    permits = [desk.grant() for _ in range(flying)]
    desk.spent += 1
    for permit in permits:
        desk.now += 0.19 / flying
        desk.settle(permit, desk.serve())
    desk.now += 0.2
    desk.call()
    assert desk.ledger.others.votes
    assert not desk.ledger.foresight.steady


@pytest.mark.parametrize("limit", [500, LIMIT - 4, 2000])
def test_limit_that_changes_in_mid_burst_is_heard_at_once(limit: int) -> None:
    """An answer that names another limit than the last is never passed by: a lower one counts at once, a higher one twice."""
    desk = Desk()
    desk.warm()
    permits = [desk.grant() for _ in range(10)]
    desk.settle(permits.pop(), desk.serve())
    desk.limit = limit
    for permit in permits[:2]:
        desk.settle(permit, desk.serve())
    assert desk.ledger.limit == limit


def test_429_in_mid_burst_shuts_the_gate() -> None:
    """Whatever it says is left."""
    desk = Desk()
    desk.warm()
    permits = [desk.grant() for _ in range(3)]
    told = desk.serve()
    desk.settle(permits[0], RateLimit(limit=LIMIT, remaining=told.remaining, retry_after=5.0, throttled=True))
    assert desk.ledger.gate.opens_at > desk.now + 5


class _Counting(PointBudget):
    """A budget of a user's own."""

    asked = 0

    async def acquire(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        return await super().acquire(*args, **options)


def test_budget_that_grants_in_its_own_way_is_always_asked() -> None:
    """Whether its class or the object itself says how."""
    budget, wrapped = PointBudget(), PointBudget()
    assert quick_grant(budget) is not never
    assert quick_grant(_Counting()) is never
    vars(wrapped)["acquire"] = budget.acquire
    assert quick_grant(wrapped) is never


@pytest.mark.anyio
async def test_quick_grant_gives_only_what_needs_no_second_thought() -> None:
    """Not before the first answer, to a batch, above what is left, for nothing, in another loop, or when it is closed."""
    budget = PointBudget(100, costs={"insights.rooms": 5})
    quick = quick_grant(budget)
    assert quick(1, "", Priority.NORMAL) is None
    (await budget.acquire(1)).settle(says(99))
    assert quick(1, "", Priority.NORMAL) is None
    (await budget.acquire(1)).settle(says(98))
    granted = quick(1, "insights.rooms", Priority.NORMAL)
    assert granted is not None
    assert granted.cost == 5
    assert budget.snapshot().in_flight == 5
    granted.release()
    assert quick(1, "", Priority.BATCH) is None
    assert quick(0, "", Priority.NORMAL) is None
    assert quick(-1, "", Priority.NORMAL) is None
    assert quick(99, "", Priority.NORMAL) is None
    assert await asyncio.to_thread(quick, 1, "", Priority.NORMAL) is None
    everything = quick(98, "", Priority.NORMAL)
    assert everything is not None
    waiter = asyncio.ensure_future(budget.acquire(1))
    await asyncio.sleep(0)
    everything.release()
    (await waiter).release()
    (await budget.acquire(1)).release()
    assert quick(1, "", Priority.NORMAL) is not None
    await budget.aclose()
    assert quick(1, "", Priority.NORMAL) is None
