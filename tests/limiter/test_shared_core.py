"""`SharedCore` by `carry_out`: members that share a budget, on a clock that the test sets."""

# pyright: reportPrivateUsage=false
# What is kept inside is looked at.

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from support.peers import LEASE, Call, Here, Peer, alike, cold, points

from whereby_async.limiter import RateLimit
from whereby_async.limiter.core import GUARD, NO, OWED_SHARE, Grant
from whereby_async.limiter.shared.shared_core import (
    _TIMES,
    DEAREST_CALL,
    LATE,
    LOST,
    PAUSE,
    RELEASED,
    SETTLED,
    SharedCore,
    booked_grant,
    part_of,
    unpacked,
)

PERIOD = 60.0


class World:
    """A store, a clock, and a server that counts the points of one window."""

    def __init__(self, limit: int = 100) -> None:
        self.here = Here()
        self.now = 1_000_000.0
        self.limit = limit
        self.left = limit
        self.starter = self.peer("starter")

    def peer(self, name: str) -> Peer:
        return Peer(self.here, name, start=cold(self.limit))

    def answer(self, peer: Peer, count: int | None = None) -> None:
        for call in list(peer.out)[:count]:
            self.left -= call.granted.cost
            peer.end(call, SETTLED, RateLimit(limit=self.limit, remaining=self.left))

    def visit(self, peer: Peer, after: float = 0.01, *, hears: bool = True) -> list[Call]:
        self.now += after
        return peer.visit(self.now, hears=hears)

    @property
    def core(self) -> SharedCore:
        core = unpacked(self.here.state or b"")
        assert core is not None
        return core

    def flight_of(self, peer: Peer) -> int:
        return next(member.flight for member in self.core._members if member.id == peer.name)


def warmed(limit: int = 100) -> World:
    """A world in which 32 points were spent, and so many may be in flight."""
    world = World(limit)
    for count in (1, 1, 2, 4, 8, 16):
        went = world.visit(world.starter.want(count))
        assert len(went) == count
        world.answer(world.starter)
        world.visit(world.starter)
    return world


def busy() -> tuple[World, Peer, Peer]:
    """A world in which as much is in flight as may be, so that two members that come now have to wait."""
    world = warmed()
    world.starter.want(40)
    assert len(world.visit(world.starter)) == 32
    return world, world.peer("one"), world.peer("other")


def ended(world: World) -> int:
    """What was in flight has ended; what is left."""
    world.starter.wants.clear()
    world.answer(world.starter)
    world.visit(world.starter)
    return world.left


def both_heard() -> tuple[World, Peer, Peer]:
    """Two members have come, and nothing is in flight."""
    world, one, other = busy()
    world.visit(one)
    world.visit(other)
    ended(world)
    return world, one, other


# One member


def test_first_call_goes_alone_and_then_twice_as_many_each_time() -> None:
    """A cold start is one of `Core`'s, whoever asks."""
    world = World()
    one, other = world.peer("one"), world.peer("other")
    assert len(one.want(10).visit(world.now)) == 1
    assert not other.want(10).visit(world.now)
    world.answer(one)
    assert len(world.visit(one)) == 1
    world.answer(one)
    assert len(world.visit(one)) + len(world.visit(other)) == 2


def test_what_is_there_is_granted_in_order() -> None:
    """By priority and then as it was asked, and nothing passes what does not fit."""
    world = warmed(1000)
    peer = world.peer("one")
    peer.want(2, cost=3, operation="third", priority=2).want(operation="first", priority=0)
    peer.want(cost=200, operation="", priority=2).want(operation="last", priority=2)
    peer.want(2, operation="second")
    assert [call.operation for call in world.visit(peer)] == ["first", "second", "second", "third", "third"]
    assert [ask.operation for ask in peer.wants] == ["", "last"]


def test_grants_say_where_they_stand() -> None:
    world = warmed()
    before = world.core._granted
    went = world.visit(world.starter.want(3, cost=2))
    assert [call.granted.upto for call in went] == [before + 2, before + 4, before + 6]
    assert [call.granted.before for call in went] == [0, 2, 4]
    assert world.core._granted - world.core._answered == world.flight_of(world.starter) == 6


# Sharing


def test_half_is_left_for_another_that_waits() -> None:
    world, one, other = busy()
    assert not world.visit(one.want(60))
    assert not world.visit(other.want(60))
    left = ended(world)
    first = world.visit(one)
    assert abs(len(first) - left / 2) <= 1
    assert one.reply
    assert one.reply.again_in <= 0.051
    for _ in range(8):
        for peer in (one, other):
            world.answer(peer)
            world.visit(peer)
    assert world.left == 0
    had = [60 - peer.wants[0].count for peer in (one, other)]
    assert sum(had) == left
    assert abs(had[0] - had[1]) <= 2


def test_what_is_left_for_another_is_left_until_it_is_late() -> None:
    """A member that is expected and does not come delays nobody for longer than half a second."""
    world, one, other = busy()
    world.visit(one.want(60))
    world.visit(other.want(60))
    assert other.reply
    due = world.now + other.reply.again_in
    ended(world)
    first = world.visit(one)
    world.answer(one)
    world.now = due + LATE - 0.01
    assert not world.visit(one, 0)
    world.now = due + LATE + 0.01
    assert len(first) + len(world.visit(one, 0)) > 32


def test_whoever_has_had_least_comes_first() -> None:
    """What a member was granted lately counts; a newcomer has had nothing."""
    world, one, other = busy()
    ended(world)
    world.visit(one.want(20))
    world.answer(one)
    one.want(60)
    world.starter.want(40)
    assert not other.reply
    world.visit(world.starter)
    world.visit(other.want(10))
    ended(world)
    assert not world.visit(one)
    assert len(world.visit(other)) == min(10, world.left)


def test_what_a_member_had_fades() -> None:
    """After some periods all are equal again."""
    world = warmed()
    had = next(member.had for member in world.core._members)
    assert had == pytest.approx(32, rel=0.01)
    world.visit(world.starter, LEASE - 1)
    assert next(member.had for member in world.core._members) == pytest.approx(had * math.exp(-(LEASE - 1) / PERIOD))


def test_higher_priority_elsewhere_comes_first() -> None:
    """Its points are kept from lower priorities in all processes."""
    world, one, other = busy()
    world.visit(one.want(60, priority=1))
    world.visit(other.want(30, priority=0))
    left = ended(world)
    assert len(world.visit(one)) == left - 30
    assert len(world.visit(other)) == 30


def test_lower_priority_elsewhere_takes_nothing() -> None:
    world, one, other = busy()
    world.visit(one.want(60, priority=1))
    world.visit(other.want(60, priority=2))
    left = ended(world)
    assert not world.visit(other)
    assert len(world.visit(one)) == min(left, 64)


def test_calls_that_have_waited_long_get_a_share_whatever_comes_before_them() -> None:
    """They get a twentieth of a period's points, and no more in that period."""
    world, one, other = busy()
    world.visit(other.want(200, priority=0))
    world.visit(one.want(20, priority=1))
    ended(world)
    assert not world.visit(one)
    went: list[Call] = []
    for _ in range(20):
        one.wants.clear()
        went += world.visit(one.want(owed=True).want(20))
        world.answer(one)
    assert len(went) == OWED_SHARE * world.limit


def test_old_call_goes_before_what_waits_beside_it() -> None:
    world, one, _ = busy()
    one.want(100, priority=0).want(owed=True, operation="old")
    world.visit(one)
    left = ended(world)
    went = world.visit(one)
    assert went[0].operation == "old"
    assert len(went) == left


def test_call_of_unknown_price_that_must_go_alone_holds_others_for_one_round_trip() -> None:
    """No other call goes before it, so it does not starve; when it is answered, all go."""
    world, one, other = busy()
    world.left = 46
    ended(world)  # 14 are left, less than the dearest call may cost.
    assert world.visit(other.want(3))
    assert not world.visit(one.want(operation="new"))
    assert world.core._alone == "one"
    assert not world.visit(other.want(3))
    world.answer(other)
    assert not world.visit(other)
    went = world.visit(one)
    assert [call.operation for call in went] == ["new"]
    assert not world.visit(other)
    world.answer(one)
    world.visit(one)
    assert world.visit(other)


def test_call_that_must_go_alone_and_does_not_come_holds_others_for_a_second() -> None:
    world, one, other = busy()
    world.left = 46
    ended(world)
    world.visit(other.want(3))
    world.visit(one.want(operation="new"))
    world.answer(other)
    held = world.now
    world.now = held + 2 * LATE - 0.01
    assert not world.visit(other.want(3), 0)
    world.now = held + 2 * LATE + 0.01
    assert world.visit(other, 0)


# Answers that are not heard


def test_grants_that_were_not_heard_are_taken_back() -> None:
    """The next request says so, and what it wants is granted anew."""
    world = warmed(1000)
    before = world.core._granted
    peer = world.peer("one").want(5, cost=2, operation="new")
    assert not world.visit(peer, hears=False)
    assert (world.core._granted, world.flight_of(peer), world.core._unknown_out) == (before + 10, 10, 5)
    assert len(world.visit(peer)) == 5
    assert (world.core._granted, world.flight_of(peer), world.core._unknown_out) == (before + 10, 10, 5)
    assert world.core._members[-1].had == pytest.approx(10, rel=0.01)
    peer.release(5)
    world.visit(peer)
    assert (world.core._granted, world.flight_of(peer), world.core._unknown_out) == (before, 0, 0)


def test_grants_that_were_never_heard_come_back_when_nothing_is_wanted_any_more() -> None:
    world = warmed()
    before = world.core._granted
    peer = world.peer("one").want(5)
    for _ in range(3):
        world.visit(peer, hears=False)
    assert world.core._granted == before + 5
    peer.wants.clear()
    world.visit(peer, hears=False)
    world.visit(peer)
    core = world.core
    assert (core._granted, core._answered, core._fresh, core._recent) == (before, before, 0, 0)


@pytest.mark.parametrize("how", [SETTLED, RELEASED, LOST])
def test_ends_count_once(how: int) -> None:
    """They are repeated until an answer was heard."""
    world = warmed()
    peer = world.peer("one").want(6)
    world.visit(peer)
    before = world.core
    for call in list(peer.out)[:3]:
        peer.end(call, how)
    world.visit(peer, hears=False)
    peer.end(peer.out[0], how)
    world.visit(peer, hears=False)
    peer.end(peer.out[0], how)
    world.visit(peer)
    world.visit(peer)
    core = world.core
    assert world.flight_of(peer) == 1
    assert core._answered - before._answered == (5 if how == SETTLED else 0)
    assert before._granted - core._granted == (5 if how == RELEASED else 0)
    assert sum(lost for _, lost, _ in core._lost) == (5 if how == LOST else 0)


def test_request_that_comes_after_a_later_one_counts_for_nothing() -> None:
    world = warmed()
    peer = world.peer("one").want(3)
    late = peer.compose()
    world.visit(peer)
    before = world.here.state
    reply, _ = world.here.transact(late, None, world.now)
    assert reply.stale
    assert not reply.grants
    core = world.core
    assert core._granted == (unpacked(before or b"") or core)._granted
    assert core._version == (unpacked(before or b"") or core)._version


# Members that are gone


def test_points_of_a_dead_member_come_back_a_lease_and_a_period_later() -> None:
    """The calls may arrive as late as any call did, a second at least."""
    world = warmed()
    peer = world.peer("one")
    assert len(world.visit(peer.want(20))) == 20
    died = world.now
    world.now = died + LEASE + 0.1
    world.visit(world.starter, 0)
    assert world.flight_of(peer) == 0
    world.now = died + LEASE + 0.9 + PERIOD
    world.visit(world.starter, 0)
    released = world.core._released
    world.visit(world.starter, GUARD + 0.01 + PERIOD / 64)
    assert world.core._released == released + 20
    assert world.core._answered == world.core._granted


def test_what_a_dead_member_says_later_moves_no_points() -> None:
    world = warmed()
    peer = world.peer("one")
    world.visit(peer.want(20))
    world.visit(world.starter, LEASE + 5)
    before = world.core
    for how in (SETTLED, RELEASED, LOST):
        peer.end(peer.out[0], how, RateLimit(limit=100, remaining=60) if how == SETTLED else None)
    world.visit(peer)
    core = world.core
    assert (core._granted, core.in_flight) == (before._granted, 0)
    assert core._answered <= core._granted
    assert (core._fresh, core._recent, core._probing, core._unknown_out, world.flight_of(peer)) == (0, 0, 0, 0, 0)
    # It has a new lease, under which calls count again.
    went = world.visit(peer.want(2))
    assert {call.lease for call in went} == {peer.out[-1].lease}
    assert world.flight_of(peer) == len(went) > 0


def test_calls_of_unknown_price_die_with_their_member() -> None:
    world = warmed(1000)
    world.visit(world.peer("one").want(3, operation="new"))
    assert world.core._unknown_out == 3
    world.visit(world.starter, LEASE + 1)
    assert world.core._unknown_out == 0


def test_dead_member_is_forgotten_after_a_period() -> None:
    world = warmed()
    for number in range(20):
        world.visit(world.peer(f"peer {number}"))
    assert world.core.members == 21
    world.visit(world.starter, PERIOD - 1)
    assert world.core.members == 21
    world.visit(world.starter, 2)
    assert world.core.members == 1


# States that are lost


@pytest.mark.parametrize("newest_first", [True, False])
def test_lost_state_is_restored_from_the_newest_that_anybody_knows(newest_first: bool) -> None:
    """In whatever order members come; then there is a pause, and then one call goes."""
    world, one, other = busy()
    world.visit(other)
    ended(world)
    world.visit(one.want(9))
    granted, epoch = world.core._granted, world.core._epoch
    world.here.state = None
    one.want(30)
    other.want(30)
    lost = world.now
    for peer in (one, other) if newest_first else (other, one):
        assert not world.visit(peer)
    core = world.core
    assert core._granted == granted
    assert core._epoch > epoch
    assert sum(entry[1] for entry in core._log) >= 9
    held = core._held_until
    assert lost + PAUSE < held <= lost + PERIOD / 10
    world.now = held - 0.01
    assert not world.visit(one, 0)
    assert not world.visit(other, 0)
    world.now = held + 0.01
    assert len(world.visit(one, 0)) + len(world.visit(other, 0)) == 1


def test_what_was_granted_by_a_state_that_is_replaced_is_not_forgotten() -> None:
    """A member that knew little has restored the state; others got points before one came that knows more."""
    world, one, other = busy()
    world.visit(other)
    ended(world)
    world.visit(one.want(9))
    granted = world.core._granted
    world.here.state = None
    world.visit(other.want(5))
    world.visit(other, 6.0)
    world.answer(other)
    world.visit(other)
    spent = 5 - sum(ask.count for ask in other.wants)
    assert spent == 1 + points(other.out)
    world.visit(one)
    assert world.core._granted == granted + spent
    assert world.core._granted - world.core._released >= 9 + spent


def test_state_that_is_older_than_what_a_member_knows_is_replaced() -> None:
    """As after a failover to a replica that lagged. Points that came back in the old state do not count twice."""
    world = warmed()
    world.visit(world.starter, PERIOD + 1)
    old, epoch = world.here.state, world.core._epoch
    assert world.visit(world.starter.want(1))
    granted = world.core._granted
    world.here.state = old
    world.visit(world.starter.want(5))
    assert world.core._granted == granted
    assert world.core._epoch > epoch


def test_newcomer_takes_the_state_as_it_is() -> None:
    """It knows nothing, so it replaces nothing."""
    world = warmed()
    before = world.core
    newcomer = world.peer("one")
    world.visit(newcomer)
    assert newcomer.tries == 1
    assert world.core.version == (before._epoch, before._version + 1)


def test_cold_start_of_all_needs_no_pause() -> None:
    world = World()
    assert world.starter.want().visit(world.now)
    assert world.starter.tries == 2


# Outages


def test_all_may_report_after_an_outage_before_anybody_gets_points() -> None:
    """The store was away for all, so one report does not cover everything that was spent."""
    world, one, other = both_heard()
    granted = world.core._granted
    back = world.now + 8.0
    one.spent(10)
    other.spent(12)
    assert not world.visit(one.want(30), 8.0)
    assert world.core._held_until == pytest.approx(back + 2.5)
    assert not world.visit(other.want(30), 1.0)
    assert world.core._granted == granted + 22
    assert world.core._held_until == pytest.approx(back + 2.5), "a second report does not make the pause longer"
    world.now = back + 2.51
    assert len(world.visit(one, 0)) + len(world.visit(other, 0)) == 1


def test_report_that_comes_right_after_the_pause_starts_no_other() -> None:
    world, one, other = both_heard()
    one.spent(10)
    world.visit(one, 8.0)
    held = world.core._held_until
    other.spent(12)
    world.visit(other, 2.6)
    assert world.core._held_until == held


def test_one_that_was_cut_off_alone_makes_nobody_wait() -> None:
    """The others have reported all the time."""
    world, one, other = both_heard()
    granted = world.core._granted
    for _ in range(40):
        world.visit(other, 0.2)
    one.spent(10)
    assert world.visit(one.want(1))
    assert world.core._granted == granted + 11
    assert world.visit(other.want(1))


def test_what_was_spent_without_the_store_counts_for_a_period() -> None:
    world = warmed()
    world.starter.spent(10)
    world.visit(world.starter)
    core = world.core
    assert core._answered == core._granted == 32 + 10
    world.visit(world.starter, PERIOD + 1)
    assert world.core._released == 42


# The clock


@pytest.mark.parametrize("step", [0.001, 0.9, 30.0, PERIOD])
def test_clock_that_steps_back_a_little_stands_still(step: float) -> None:
    world = warmed()
    before, now = world.core, world.now
    world.now -= step
    world.visit(world.starter.want(2), 0)
    assert world.starter.tries == 1
    assert world.core._now == now
    assert world.core._granted == before._granted + 2


def test_clock_that_steps_back_a_lot_is_a_cold_start() -> None:
    """Times of another clock mean nothing; all members find together again."""
    world = warmed()
    other = world.peer("other")
    world.visit(other)
    world.now -= 2 * PERIOD
    world.visit(world.starter.want(5))
    world.visit(other.want(5))
    assert world.core._now == world.now
    world.visit(world.starter, 3.0)
    world.visit(other)
    assert len(world.starter.out) + len(other.out) == 1


def test_state_of_a_clock_that_went_back_is_not_offered_again_and_again() -> None:
    """Each member finds the new state within one visit."""
    world = warmed()
    peers = [world.peer(f"peer {number}") for number in range(4)]
    for peer in peers:
        world.visit(peer)
    world.now -= 3 * PERIOD
    for peer in peers:
        world.visit(peer)
    epoch = world.core._epoch
    for peer in peers:
        world.visit(peer, 1.0)
        assert peer.tries == 1
    assert world.core._epoch == epoch


# Following a state, and parting it


def _lived(seed: int) -> World:
    """A world in which much has happened."""
    rng = random.Random(seed)
    world = World(rng.choice((20, 100)))
    peers = [world.peer(f"peer {number}") for number in range(3)]
    for step in range(150):
        if step == 50:
            world.here.state = None
        _live(world, rng.choice(peers), rng)
    return world


def _live(world: World, peer: Peer, rng: random.Random) -> None:
    world.now += rng.choice((0.0, 0.125, 0.5, 1.0, 3.0))
    for call in list(peer.out):
        if rng.random() < 0.7:
            world.left = (world.left - call.granted.cost) % world.limit
            limit = world.limit if rng.random() < 0.95 else world.limit - 1
            said = RateLimit(limit=limit, remaining=world.left, reset_in=rng.choice((None, 2.0, 30.0)))
            if rng.random() < 0.05:
                said = RateLimit(throttled=True, retry_after=rng.choice((None, 2.0)))
            peer.end(call, rng.choice((SETTLED, SETTLED, SETTLED, RELEASED, LOST)), said)
    if len(peer.wants) < 3:
        peer.want(rng.randrange(1, 5), operation=rng.choice(("", "a", "b")), priority=rng.randrange(3))
        if rng.random() < 0.2:
            peer.want(priority=2, owed=True)
    peer.visit(world.now)


def _fields(core: SharedCore) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(core)
    del fields["_prices"], fields["_plain_prices"]
    for member in fields["_members"]:
        del member["granted_at"]
    return fields


def test_following_with_a_shift_and_back_gives_the_same_state() -> None:
    for seed in range(20):
        told = _lived(seed).core
        away, back = SharedCore.cold(), SharedCore.cold()
        expected = _fields(told)
        assert {name for name, value in expected.items() if isinstance(value, float) and _is_time(value)} <= _TIMES | {
            "_epoch",
            "_base_epoch",
        }
        dues = [member.due for member in told._members]
        away.follow(told, 4096.0)
        assert [member.due - 4096.0 for member in away._members] == pytest.approx(dues)
        copy = unpacked(msgspec.msgpack.encode(away))
        assert copy is not None
        back.follow(copy, -4096.0)
        alike(_fields(back), expected, f"seed {seed}")
        for name in _TIMES:
            assert getattr(away, name) == getattr(back, name) + 4096.0 or math.isinf(getattr(back, name))


def _is_time(value: float) -> bool:
    """The clock of these tests began at a million, and nothing else is so large."""
    return 500_000 < value < math.inf


def test_every_time_in_a_state_is_shifted() -> None:
    """A state that was moved to another clock does there, step by step, what it does here."""
    seen: set[str] = set()
    for seed in range(22):
        here = _lived(seed)
        there = _lived(seed)
        core = here.core
        seen |= {name for name in _TIMES if math.isfinite(getattr(core, name))}
        moved, told = SharedCore.cold(), there.core
        moved.follow(told, 4096.0)
        moved._prices = told._prices
        there.here.state = msgspec.msgpack.encode(moved)
        there.now += 4096.0
        newcomers = here.peer("new"), there.peer("new")
        rng = random.Random(seed)
        for _ in range(60):
            mark = rng.getstate()
            _live(here, newcomers[0], rng)
            rng.setstate(mark)
            _live(there, newcomers[1], rng)
            one, other = here.core, there.core
            assert (one._granted, one._answered, one._released) == (other._granted, other._answered, other._released)
            assert len(newcomers[0].out) == len(newcomers[1].out)
            assert one.next_at(here.now) == pytest.approx(other.next_at(there.now) - 4096.0, abs=1e-6)
    assert seen == _TIMES


@pytest.mark.parametrize("members", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("limit", [1, 5, 20, 100, 1000])
def test_parts_are_no_more_than_the_limit(limit: int, members: int) -> None:
    """But each has enough for the dearest call that is documented."""
    share = 1 / members
    parts = members * part_of(limit, share)
    assert parts <= max(limit, members * min(limit, DEAREST_CALL))
    assert part_of(limit, share) >= min(limit, DEAREST_CALL)


@pytest.mark.parametrize("headers", [True, False])
@pytest.mark.parametrize("flying", [0, 12])
@pytest.mark.parametrize("members", [2, 3, 5, 10])
def test_members_that_part_do_not_spend_more_than_the_limit_together(members: int, flying: int, headers: bool) -> None:
    """This holds for every period, with what was spent before and what was in flight."""
    world = warmed(100)
    if flying:
        world.visit(world.starter.want(flying))
    spent = [(world.now, 32 + flying)]
    cores = [world.core for _ in range(members)]
    for core in cores:
        core.part(1 / members, world.now)
    while world.now < 1_000_000.0 + 4 * PERIOD:
        world.now += 0.25
        for core in cores:
            _go(core, world, spent, 1 / members, headers=headers)
    assert len(spent) > 200
    for at, _ in spent:
        assert sum(cost for then, cost in spent if at - PERIOD < then <= at) <= 100


def _go(core: SharedCore, world: World, spent: list[tuple[float, int]], share: float, *, headers: bool) -> None:
    grants: list[Grant] = []
    price = core.price("", 1)
    while (verdict := core.decide(world.now, price)) > NO:
        grants.append(core.book(booked_grant, None, price, world.now, verdict, 0))
        spent.append((world.now, 1))
    for grant in grants:
        left = 100 - sum(cost for then, cost in spent if world.now - PERIOD < then)
        said = RateLimit(limit=100, remaining=max(left, 0)) if headers else None
        core.answer_alone(grant, world.now + 0.1, said, share)


def test_small_limit_is_not_parted_below_the_dearest_call() -> None:
    """A call that costs ten could never go otherwise."""
    core = SharedCore.cold(20)
    core.part(0.1, 1000.0)
    assert core.limit == DEAREST_CALL
    assert core.decide(1000.0, core.price("", DEAREST_CALL)) > NO
