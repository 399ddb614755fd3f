"""The script's protocol, message by message: who gets what, who is dropped, what is said twice and what is forgotten."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from limiter.serving import LIMIT, PERIOD

from whereby_async.limiter.redis import wire
from whereby_async.limiter.redis.connection import script
from whereby_async.limiter.redis.redis_options import plan_of

PLAN = plan_of(LIMIT, PERIOD, 0.0)
BATCH, NORMAL, INTERACTIVE = 2, 1, 0


class Caller:
    """A client of the store that says exactly what it is told to say."""

    def __init__(self, store: Any, name: str, id: str) -> None:  # noqa: A002 - the wire's word
        self.store, self.key, self.id = store, name, id
        self.seq = self.confirmed = self.generation = self.out = 0
        self.epoch = 0.0
        self.granted: list[wire.Ending] = []

    def call(self, *lanes: list[int], hear: bool = True, waited: float = 0.0, old: int = 0, **parts: Any) -> wire.Reply:
        """One call that wants points at these prices, by lane."""
        self.seq = parts.pop("seq", self.seq + 1)
        wants = [
            wire.Wants(costs=costs, points=sum(costs), waited=waited, old=old if costs else 0)
            for costs in (*lanes, [], [], [])[:3]
        ]
        options: dict[str, Any] = {
            "id": self.id, "seq": self.seq, "confirmed": self.confirmed, "epoch": self.epoch, "generation": self.generation,
            "out": self.out, "spent": 0, "away": 0.0, "outage": 0, "total_away": 0, "spent_away": 0, "again": [], "ends": [], "orphans": [],
            "lanes": wants, "prices": 0, "plan": PLAN,
        } | parts  # fmt: skip
        reply = wire.decode(self.store.eval(script(), 1, self.key, wire.encode(wire.Message(**options))))
        if hear and not reply.stale:
            self.confirmed, self.epoch, self.generation = self.seq, reply.epoch, reply.generation
            for number, (lane, place) in enumerate(reply.served):
                cost = wants[lane - 1].costs[place - 1]
                self.out += cost
                lead = reply.lead if number == reply.lead_place else 0
                self.granted.append(
                    (wire.SETTLED, cost, reply.answered, reply.granted_at, lead, "op", None, reply.generation)
                )
        return reply

    def answer(self, left: int | None = None, count: int = 1, *, kind: int = wire.SETTLED) -> list[wire.Ending]:
        """The ends of the oldest permits; the first is told how many points are left."""
        ends: list[wire.Ending] = []
        for number in range(count):
            _, cost, answered, granted_at, lead, operation, _, generation = self.granted.pop(0)
            self.out -= cost
            told = None if left is None or number else (LIMIT, left, PERIOD, None, False)
            ends.append((kind, cost, answered, granted_at, lead, operation, told, generation))
        return ends


@pytest.fixture
def clients(client: Any, name: str) -> dict[str, Caller]:
    """Three clients of one budget, which is warm: one point is spent, and the rest is known to be there."""
    made = {each: Caller(client, name, each) for each in ("a", "b", "c")}
    made["a"].call([], [1])
    made["a"].call(ends=made["a"].answer(LIMIT - 1))
    return made


def test_what_is_there_is_granted(clients: dict[str, Caller]) -> None:
    """In the order of the lanes, and of the places in each."""
    reply = clients["b"].call([2], [1, 1], [3])
    assert reply.served == [(1, 1), (2, 1), (2, 2), (3, 1)]
    assert (reply.pending, reply.remaining, reply.room) == (7, LIMIT - 8, LIMIT - 8)


def test_a_share_is_left_for_who_waits(clients: dict[str, Caller]) -> None:
    """When points come, who has had nine of them leaves so many to another who waits, and the tenth is for both."""
    a, b = clients["a"], clients["b"]
    assert len(a.call([], [1] * 19).served) == 19
    assert b.call([], [1] * 40).served == []
    reply = a.call([], [1] * 40, ends=a.answer(None, 10, kind=wire.RELEASED))
    assert (len(reply.served), reply.why) == (1, "queue")
    assert len(b.call([], [1] * 40).served) == 9


def test_who_has_had_least_comes_first(clients: dict[str, Caller]) -> None:
    """Ten points between one that has had nine of this window, and one that has had none."""
    a, b = clients["a"], clients["b"]
    a.call([], [1] * 19)
    b.call([], [1] * 40)
    a.call(ends=a.answer(None, 10, kind=wire.RELEASED))
    # Nobody else waits by then: all that is left is for whoever asks.
    assert len(b.call([], [1] * 40).served) == 10
    assert b.call([], [1] * 30).why == "empty"


def test_a_higher_lane_elsewhere_comes_first(clients: dict[str, Caller]) -> None:
    """What an interactive call in another process waits for is not given to a batch."""
    a, b = clients["a"], clients["b"]
    a.call([], [1] * 19)
    assert b.call([4]).served == []
    reply = a.call([], [], [1] * 10, ends=a.answer(None, 6, kind=wire.RELEASED))
    assert reply.served == [(3, 1), (3, 2)]
    assert reply.why == "queue"
    assert reply.elsewhere == (4, 0, 0)
    assert b.call([4]).served == [(1, 1)]


def test_what_nobody_comes_for_is_for_whoever_asks(clients: dict[str, Caller]) -> None:
    """Points are left for who waits only until he is late."""
    a, b = clients["a"], clients["b"]
    a.call([], [1] * 19)
    wake = b.call([], [1] * 40).again_in
    time.sleep(wake + 0.2)
    assert len(a.call([], [1] * 40, ends=a.answer(None, 10, kind=wire.RELEASED)).served) == 10


def test_an_older_head_is_not_starved_by_cheap_calls(clients: dict[str, Caller]) -> None:
    """A dear call that waits longer elsewhere gets what comes together for it."""
    a, b = clients["a"], clients["b"]
    a.call([], [1] * 19)
    assert b.call([], [3], waited=1.0).served == []
    a.call(ends=a.answer(None, 2, kind=wire.RELEASED))
    reply = clients["c"].call([], [1, 1])
    assert (reply.served, reply.why) == ([], "queue")


def test_old_calls_get_a_share_whatever_comes_before_them(clients: dict[str, Caller]) -> None:
    """A twentieth of a window for calls that have waited two periods."""
    a, b = clients["a"], clients["b"]
    a.call([], [1] * 19)
    b.call([20])
    reply = a.call([], [], [1] * 5, waited=2 * PERIOD, old=3, ends=a.answer(None, 2, kind=wire.RELEASED))
    assert reply.served == [(3, 1)]
    c = clients["c"]
    assert c.call([], [1], waited=2 * PERIOD, old=1).served == []


def test_a_cheap_call_never_passes_where_others_wait(clients: dict[str, Caller]) -> None:
    """A head that does not fit is not passed unless what it waits for comes at once."""
    a = clients["a"]
    a.call([], [1] * 18)
    reply = a.call([], [3, 1])
    assert (reply.served, reply.why) == ([], "empty")


def test_a_message_that_comes_late_counts_for_nothing(clients: dict[str, Caller]) -> None:
    """A call that was given up, and is carried out after a later one."""
    b = clients["b"]
    b.call([], [1])
    b.call([], [1])
    assert b.call([], [1], seq=1, hear=False).stale


def test_unheard_grants_are_taken_back_and_ends_count_once(clients: dict[str, Caller]) -> None:
    """Whether the unheard call was carried out or not."""
    b = clients["b"]
    b.call([], [2, 2])
    ends = b.answer(None, 1)
    b.call([], [3], ends=ends, hear=False)
    reply = b.call(again=[(b.seq, ends)])
    assert (reply.pending, reply.held) == (2, 5)
    # Not carried out: the number is missing.
    ends = b.answer(None, 1)
    reply = b.call(again=[(b.seq + 1, ends)], seq=b.seq + 2)
    assert (reply.pending, reply.held) == (0, 5)


def test_a_dead_client_is_dropped_and_its_points_age(clients: dict[str, Caller]) -> None:
    """After its lease its points are not in flight any more, but spent; what it still says of them moves nothing."""
    b = clients["b"]
    b.call([], [3, 3])
    time.sleep(PLAN.lease + 0.3)
    reply = clients["a"].call()
    assert reply.pending == 0
    assert reply.held >= 6
    late = b.answer(None, 2)
    reply = b.call(ends=late)
    assert not reply.adopted
    assert reply.pending == 0


def test_others_speak_for_who_cannot(clients: dict[str, Caller]) -> None:
    """Permits of a loop that has gone end through another."""
    a, b = clients["a"], clients["b"]
    b.call([], [3])
    assert a.call(orphans=[("b", ending) for ending in b.answer(None, 1)]).pending == 0
    assert a.call(orphans=[("nobody", (0, 3, 0.0, 0.0, 0, "", None, 1))]).pending == 0


def test_new_books_begin_with_what_everybody_holds(clients: dict[str, Caller], client: Any, name: str) -> None:
    """The key is gone: in flight and spent are told, there is a pause, and one call goes ahead."""
    a, b = clients["a"], clients["b"]
    b.call([], [3, 2])
    client.delete(name)
    reply = b.call([], [1], spent=9)
    assert reply.adopted
    assert (reply.served, reply.why, reply.pending, reply.held) == ([], "pilot", 5, 14)
    assert a.call([], [1], spent=1).held == 15
    time.sleep(PLAN.pause + 0.05)
    # Of the permits of old, only the points are known.
    moved = [(*ending[:2], None, *ending[3:7], b.generation) for ending in b.answer(5, 2)]
    assert b.call(ends=moved).pending == 0
    assert len(a.call([], [1, 1]).served) == 1


def test_books_of_yesterday_are_noticed(clients: dict[str, Caller], client: Any, name: str) -> None:
    """A replica that lagged takes over: what a client knows of is told again."""
    b = clients["b"]
    b.call([], [1])
    old: Any = client.dump(name)
    b.call([], [3, 3])
    b.call()
    client.restore(name, 100_000, old, replace=True)
    reply = b.call([], [1], spent=2)
    assert reply.adopted
    assert reply.pending == 7
    assert reply.held >= 10


def test_what_was_spent_while_the_store_was_away_counts(clients: dict[str, Caller]) -> None:
    """And if nobody was there meanwhile, all may report before anybody gets points."""
    b = clients["b"]
    time.sleep(0.5)
    reply = b.call([], [1], away=0.4, outage=1, spent_away=7, total_away=7)
    assert (reply.served, reply.why, reply.held) == ([], "pilot", 8)
    time.sleep(PLAN.pause)
    assert len(b.call([], [1]).served) == 1


def test_who_was_away_alone_makes_nobody_wait(clients: dict[str, Caller]) -> None:
    """The others were there all the time."""
    a, b = clients["a"], clients["b"]
    a.call()
    assert len(b.call([], [1], away=5.0, outage=1, spent_away=7, total_away=7).served) == 1


def test_what_was_spent_away_is_told_once(clients: dict[str, Caller]) -> None:
    """However often it is repeated; what has come since is told, too, and another outage is another matter."""
    b = clients["b"]
    for total, held in ((7, 8), (7, 8), (9, 10), (9, 10)):
        assert b.call(outage=1, spent_away=7, total_away=total, away=1.0).held == held
    assert b.call(outage=1, spent_away=7, total_away=9).held == 10
    assert b.call(outage=2, spent_away=3, total_away=3).held == 13


def test_calls_from_a_store_s_buffers_are_no_sign_of_life(clients: dict[str, Caller]) -> None:
    """It hung, and carries out at once what nobody waits for any more."""
    a, b = clients["a"], clients["b"]
    a.call()
    b.call()
    time.sleep(0.5)
    a.call(hear=False)
    a.call(hear=False)
    reply = b.call([], [1], away=0.5, outage=1, spent_away=7, total_away=7)
    assert (reply.served, reply.why) == ([], "pilot")


def test_a_429_of_a_forgotten_permit_still_stops_all(clients: dict[str, Caller]) -> None:
    """Its points are nobody's, the server's word is everybody's."""
    b = clients["b"]
    b.call()
    refusal = (LIMIT, None, None, 0.5, True)
    reply = b.call([], [1], ends=[(wire.SETTLED, 3, 0.0, 0.0, 0, "op", refusal, 77)])
    assert (reply.served, reply.why) == ([], "frozen")
    assert 0.4 < reply.gate_in < 0.6


def test_what_was_missed_is_kept_from_the_batch(clients: dict[str, Caller], client: Any, name: str) -> None:
    """Points that others asked for in vain count as needed, once, be they told by a call whose answer was not heard."""
    a, b = clients["a"], clients["b"]
    missed: list[wire.Ending] = [(wire.MISSED, 9, None, 0.0, 0, "", None, 0)]
    books: Any = msgspec.msgpack.decode(client.hget(name, "books"))
    # It is long known that nobody but the batch ever wants anything.
    books["reserve"] |= {"share": 0.5, "unknown": 0.0, "reckoned_at": books["last"], "needed": 1}
    client.hset(name, "books", msgspec.msgpack.encode(books))
    b.call(ends=missed, hear=False)
    b.call(again=[(b.seq, missed)])
    time.sleep(0.3)
    # But for one that has been granted, and the half: 9 points a moment ago are more than that by the window's end.
    reply = a.call([], [], [1] * 19)
    assert (len(reply.served), reply.why) == (9, "reserve")
    books = msgspec.msgpack.decode(client.hget(name, "books"))
    assert books["reserve"]["missed"] == 9


def test_those_who_wait_come_one_after_the_other(clients: dict[str, Caller]) -> None:
    """The first of them when points come, the rest a little later, each at a moment of his own."""
    a, b, c = clients["a"], clients["b"], clients["c"]
    a.call([], [1] * 19)
    a.call(ends=a.answer(0, 19))
    for each in (a, b, c):
        each.call([], [1] * 9)
    waits = [each.call([], [1] * 9).again_in for each in (b, c, a)]
    assert waits[0] + 0.003 < waits[1] < waits[2] - 0.003


def test_a_clock_that_steps_back_stands_still(clients: dict[str, Caller], client: Any, name: str) -> None:
    """The store's time is never less than it was."""
    b = clients["b"]
    books: Any = msgspec.msgpack.decode(client.hget(name, "books"))
    books["last"] += 3600
    client.hset(name, "books", msgspec.msgpack.encode(books))
    first = b.call([], [1]).granted_at
    second = b.call([], [1]).granted_at
    assert books["last"] <= first < second < first + 1
