"""The smaller pure parts: queue, window, others, pace, quota, reserve, listeners."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from limiter.driving import says
from whereby_async.limiter.listeners import Listeners
from whereby_async.limiter.protocol import Priority
from whereby_async.limiter.redis.present.ageing import GRAIN, GUARD, Ageing
from whereby_async.limiter.redis.present.charge import Charge
from whereby_async.limiter.redis.present.lanes import PresentLane, PresentLanes
from whereby_async.limiter.redis.present.lead import Lead
from whereby_async.limiter.redis.present.others import Others
from whereby_async.limiter.redis.present.pacing import Pace
from whereby_async.limiter.redis.present.present_ledger import PresentLedger
from whereby_async.limiter.redis.present.present_waiter import PresentWaiter
from whereby_async.limiter.redis.present.quota import Quota
from whereby_async.limiter.redis.present.reserve import Reserve
from whereby_async.limiter.redis.present.window import Window


def waiter(order: int, cost: int = 1, priority: Priority = Priority.NORMAL, *, now: float = 0.0) -> PresentWaiter:
    return PresentWaiter(cost, f"op{cost}", priority, order=order, now=now, waited=0.0, seed=cost)


def drain(lane: PresentLane) -> list[int]:
    """Serve all, first come, first served."""
    served: list[int] = []
    while head := lane.head():
        served.append(head.order)
        lane.discard(head)
    return served


def test_lane_serves_in_order_across_prices() -> None:
    """Whatever they cost, and whoever leaves in between."""
    lane = PresentLane()
    waiters = [waiter(order, 1 + order % 3) for order in range(300)]
    for one in waiters:
        lane.push(one)
    assert (lane.count, lane.points) == (300, 600)
    for one in waiters[::2]:
        lane.discard(one)
        lane.discard(one)
    assert (lane.count, lane.points) == (150, sum(one.cost for one in waiters[1::2]))
    assert drain(lane) == list(range(1, 300, 2))
    assert (lane.count, lane.points) == (0, 0)


def test_call_that_comes_again_stands_at_its_old_place() -> None:
    """By its number, before those that came later, behind those that came earlier."""
    lane = PresentLane()
    for order in (5, 9, 2, 7, 5):
        lane.push(waiter(order))
    assert drain(lane) == [2, 5, 5, 7, 9]


def test_new_prices_keep_the_order() -> None:
    """Only the points change."""
    lanes = PresentLanes()
    for order in range(6):
        lanes.push(waiter(order, 1 + order % 2, Priority.BATCH))
    lanes.reprice(lambda one: 5 if one.cost == 2 else 1)
    assert lanes.points == 3 * 5 + 3
    assert [one.order for one in sorted(lanes, key=lambda one: one.order)] == list(range(6))
    assert drain(lanes[Priority.BATCH]) == list(range(6))


def test_backfill_finds_the_oldest_that_fits() -> None:
    """In the first lane that has one."""
    lanes = PresentLanes()
    lanes.push(waiter(1, 3))
    assert lanes.backfill(2) is None
    lanes.push(waiter(2, 2, Priority.BATCH))
    lanes.push(waiter(3, 1))
    found = lanes.backfill(2)
    assert found is not None
    assert found.order == 3


def test_old_calls_are_owed_a_share_of_each_period() -> None:
    """A batch call that has waited two periods goes before higher lanes, up to 5 % of the limit."""
    lanes = PresentLanes()
    for order in range(20):
        lanes.push(waiter(order, 1, Priority.BATCH))
    assert lanes.owed(119.0, 100, 60.0) is None
    served = 0
    while owed := lanes.owed(121.0, 100, 60.0):
        lanes.paid(owed)
        lanes.discard(owed)
        served += 1
    assert served == 5
    assert lanes.owed(150.0, 100, 60.0) is None
    assert lanes.owed(182.0, 100, 60.0) is not None


def test_head_that_keeps_its_place_has_only_higher_lanes_before_it() -> None:
    """Its wait is not judged by those behind it."""
    lanes = PresentLanes()
    lanes.push(waiter(10, 3))
    lanes.push(waiter(11, 2, Priority.INTERACTIVE))
    assert lanes.ahead_of(Priority.NORMAL, 12) == 5
    assert lanes.ahead_of(Priority.NORMAL, 4) == 2


def test_window_needs_two_answers_to_move() -> None:
    """One garbled end is ignored; two in a row that agree are believed; most of eight make it sure."""
    window = Window(60.0)
    assert window.ends_in(0.0) is None
    for now in range(5):
        window.note(40.5 - now, float(now))
    assert window.sure
    assert window.settled
    window.note(3.5, 5.0)
    assert not window.settled
    assert window.ends_in(5.0) == pytest.approx(35.52)
    window.note(90.5, 5.0)
    window.note(55.5, 6.0)
    assert window.ends_in(6.0) == pytest.approx(34.52)
    window.note(54.5, 7.0)
    assert window.ends_in(7.0) == pytest.approx(54.52)
    assert window.ends_in(70.0) is None


def test_window_bias_is_bounded() -> None:
    """A refusal long after the end teaches nothing."""
    window = Window(60.0)
    window.note(10.5, 0.0)
    window.refused(50.0, 11.0)
    assert window.end == pytest.approx(10.52)
    window.refused(1.0, 11.0)
    assert window.end == pytest.approx(12.0)
    window.note(60.5, 20.0)
    window.note(60.5, 20.0)
    assert window.end == pytest.approx(80.52 + 1.48)


def test_others_leave_half_of_the_rest_in_flight() -> None:
    """And all of it when little is left; one call alone may take what is there."""
    others = Others(60.0)
    others.beware(100, 0.0, 0)
    assert others.cap(10) == 40
    assert others.cap(0) == 50
    others.note(6, 0.0, 1.0, 1)
    assert others.cap(4) == 2
    assert others.cap(0) == 6
    others.note(50, 0.5, 1.5, 2)
    assert (others.least, others.released) == (6, 1)
    others.note(50, 1.0, 2.0, 3)
    assert (others.least, others.released) == (50, 3)


def test_probes_become_rare_and_stop_when_one_is_refused() -> None:
    """They double their distance; a refusal ends them for ten periods."""
    others = Others(60.0)
    others.beware(0, 0.0, 0)
    times: list[float] = []
    now = 0.0
    for _ in range(4):
        now = others.pilot_at(math.inf)
        times.append(now)
        others.piloted(now)
        others.note(0, now, now, 0)
    assert times == pytest.approx([1.5, 4.5, 10.5, 22.5])
    others.piloted(now)
    others.emptied(now, 0)
    assert others.pilot_at(math.inf) == pytest.approx(60.0)
    assert others.pilot_at(40.0) == pytest.approx(40.0)
    others.piloted(60.0)
    assert others.pilot_at(math.inf) == pytest.approx(120.0)


def test_foreign_rate_is_a_decaying_mean() -> None:
    """Five points a second beyond our own are found within a window."""
    others = Others(60.0)
    left, spent = 1000, 0
    for second in range(60):
        left -= 7
        spent += 2
        others.measure(left, spent, float(second))
    assert others.rate == pytest.approx(5.0, rel=0.2)
    others.measure(990, spent, 61.0)
    assert others.rate == pytest.approx(5.0, rel=0.2)


def test_foreign_rate_on_a_sliding_server_is_what_others_have_spent_within_a_period() -> None:
    """Where points come back all the time, drops say nothing; what is missing beside ours does."""
    others = Others(60.0)
    for _ in range(100):
        others.weigh(300)
    assert others.rate == pytest.approx(5.0, rel=0.02)
    for _ in range(200):
        others.weigh(-3)
    assert others.rate == pytest.approx(0.0, abs=0.01)


def test_pace_needs_three_rises_within_half_a_period() -> None:
    """A garbled zero between honest answers is no rise, and a window turns only once."""
    pace = Pace(60.0)
    now = 0.0
    for remaining in (50, 49, 0, 48, 47, 0, 46, 45, 44):
        pace.note(remaining, now, now + 0.1)
        now += 0.2
    assert pace.until < now
    for remaining in (10, 9, 11, 10, 12, 11, 13):
        pace.note(remaining, now, now + 0.1)
        now += 0.2
    assert pace.until > now + 100


def test_headroom_grows_with_refusals_and_shrinks_with_time() -> None:
    """By two points for each moment with a refusal, up to a fiftieth of the limit or ten, and down again by one."""
    pace = Pace(60.0)
    for now in (100.0, 100.1, 100.2):
        pace.refused(1000, now)
    assert pace.headroom == 4
    for now in range(110, 300, 10):
        pace.refused(1000, float(now))
    assert pace.headroom == 20
    pace.ease(310.0)
    assert pace.headroom == 20
    pace.ease(330.0)
    assert pace.headroom == 19
    small = Pace(60.0)
    for now in range(100, 200, 10):
        small.refused(100, float(now))
    assert small.headroom == 10
    for now in range(240, 600, 31):
        small.ease(float(now))
    assert small.headroom == 2


def test_paced_room_is_what_was_told_and_what_came_back() -> None:
    """Less a margin; what is not confirmed yet counts for one call, and the others' noise grows with the time."""
    pace = Pace(60.0)
    assert pace.room(50, 1, 0, 0.0) == 48
    assert pace.room(50, 1, 0, 25.0) == 43
    assert pace.room(0, 3, 4, 0.0) == 2
    assert pace.room(0, 3, 400, 0.0) == 3
    assert pace.room(0, 3, 400, 25.0) == 3
    assert pace.room(-2, 3, 400, 0.0) == 1


def test_probes_follow_what_they_find() -> None:
    """The gap becomes the time in which a call's worth comes back, and doubles after each probe that was in vain."""
    pace = Pace(60.0)
    assert pace.gap == pytest.approx(1.5)
    for gap in (3.0, 6.0, 12.0, 24.0, 30.0, 30.0):
        pace.learn(0, 2, 1.0, probe=True)
        assert pace.gap == pytest.approx(gap)
    pace.learn(-5, 2, 10.0, probe=False)  # no probe: it only tells what it finds
    assert pace.gap == 30.0
    pace.learn(8, 2, 20.0, probe=False)  # eight in twenty seconds: four take ten
    assert pace.gap == pytest.approx(15.0)
    pace.learn(8, 2, 20.0, probe=False)
    assert pace.gap == pytest.approx(10.0)
    for _ in range(5):
        pace.learn(400, 2, 20.0, probe=True)
    assert pace.gap == pytest.approx(1.5)


def test_quota_says_when_it_changes() -> None:
    """Once per change, and `whole` follows what two answers agree on."""
    quota = Quota(None)
    assert (quota.limit, quota.whole, quota.told) == (100, 100, False)
    assert not quota.said(1000)
    assert quota.said(1000)
    assert quota.said(500)
    assert (quota.limit, quota.whole, quota.told) == (500, 1000, True)
    assert not quota.said(500)
    assert quota.whole == 500


def test_ageing_releases_never_too_early() -> None:
    """Answers of one millisecond share an entry, lost calls stand behind, and nothing is released before its time."""
    ageing = Ageing(60.0)
    ageing.answered(1, 0.0)
    ageing.answered(2, 0.0005)
    ageing.unanswered(5, 3.0, 0.0006)
    ageing.answered(4, 0.002)
    ageing.answered(8, 0.0025)
    assert ageing.younger(10.0, 0.01) == 15
    ageing.release(60.0 + GUARD)
    assert ageing.released == 0
    ageing.release(60.0 + GUARD + GRAIN)
    assert ageing.released == 3
    ageing.release(60.0025 + GUARD + GRAIN)
    assert ageing.released == 15
    assert ageing.first_at == pytest.approx(63.0, abs=0.1)
    assert not ageing.due(62.0)
    ageing.clear()
    assert ageing.released == 20
    assert ageing.first_at is None
    assert not ageing.brings(1, 1.0)


def test_reserve_follows_the_other_lanes_and_melts() -> None:
    """It begins at its whole share, follows their rate, and is nothing at the window's end."""
    ledger = PresentLedger(1000, 60.0)
    charge = Charge(1, 0.0, 0)
    ledger.charge(charge, 0.0)
    ledger.settle(charge, says(999, limit=1000, reset_in=59.5), 0.1)
    reserve = Reserve(0.1, 60.0)
    assert reserve.points(ledger, 0.2) == 100
    assert reserve.points(ledger, 59.3) < 10
    for minute in range(2, 10):
        ledger.room(60.0 * minute)
        reserve.points(ledger, 60.0 * minute)
    assert 0 < reserve.points(ledger, 541.0) <= 12
    assert Reserve(0.0, 60.0).points(ledger, 0.2) == 0


def test_reserve_follows_the_limit_as_it_is_known() -> None:
    """Before the other lanes' arrivals are known they are taken for the whole share, of whatever limit is believed now."""
    ledger, reserve = PresentLedger(None, 60.0), Reserve(0.3, 60.0)
    for number, limit in enumerate((100, 1000, 1000, 500)):
        charge = Charge(1, 0.0, 0)
        ledger.charge(charge, 0.0)
        ledger.settle(charge, says(limit - 1 - number, limit=limit, reset_in=60.0), 0.0)
        # One answer alone raises no limit.
        believed = (100, 100, 1000, 500)[number]
        assert ledger.limit == believed
        assert reserve.points(ledger, 0.0) == 0.3 * believed


def test_reserve_counts_what_was_asked_for_in_vain() -> None:
    """Points that the other lanes wanted and did not get are needed as much as those that they got."""
    ledger = PresentLedger(1000, 60.0)
    charge = Charge(1, 0.0, 0)
    ledger.charge(charge, 0.0)
    ledger.settle(charge, says(999, limit=1000, reset_in=60.0), 0.0)
    served, turned_away, nobody = (Reserve(0.3, 60.0) for _ in range(3))
    for second in range(0, 600, 20):
        for reserve in (served, turned_away, nobody):
            reserve.points(ledger, second)
        charge = Charge(10, 0.0, 0)
        ledger.charge(charge, second)
        for reserve in (turned_away, nobody):
            reserve.batch += 10
        turned_away.missed += 10
    ledger.lead.turned_at = 600.0
    kept = [reserve.points(ledger, 600.0) for reserve in (served, turned_away, nobody)]
    assert kept[0] == kept[1] > 40 > kept[2] > 0


def test_nobody_needs_more_than_there_is() -> None:
    """A call that is refused and comes again a thousand times a second keeps no batch from the last points of a window."""
    ledger = PresentLedger(1000, 60.0)
    charge = Charge(1, 0.0, 0)
    ledger.charge(charge, 0.0)
    ledger.settle(charge, says(999, limit=1000, reset_in=60.0), 0.0)
    reserve = Reserve(0.5, 60.0)
    reserve.points(ledger, 0.0)
    reserve.missed += 20_000
    assert reserve.points(ledger, 20.0) == 500
    assert 10 < reserve.points(ledger, 58.0) < 60


def test_hook_is_told_once_however_often_it_was_added() -> None:
    """And until it was taken away as often."""

    @dataclass(eq=True)
    class Hook:
        heard: int = 0

        def on_wait(self, _: object) -> None:
            self.heard += 1

    listeners = Listeners()
    assert not listeners
    one, twin = Hook(), Hook()
    listeners.add(one)
    listeners.add(one)
    listeners.add(twin)
    listeners.tell("on_wait", says(1))
    assert (one.heard, twin.heard) == (1, 1)
    listeners.remove(one)
    listeners.tell("on_wait", says(1))
    listeners.remove(one)
    listeners.remove(one)
    listeners.tell("on_wait", says(1))
    assert (one.heard, twin.heard) == (2, 3)


def test_lead_teaches_how_the_server_turns() -> None:
    """Less than everything puts the ledger on probation until the next lead; everything, with much still young, is whole."""
    lead = Lead()
    lead.back(everything=True, young=False)
    assert (lead.probation, lead.whole) == (False, False)
    lead.back(everything=True, young=True)
    assert (lead.probation, lead.whole) == (False, True)
    lead.back(everything=False, young=True)
    assert (lead.probation, lead.whole) == (True, False)
    lead.back(everything=False, young=True)
    assert not lead.probation
