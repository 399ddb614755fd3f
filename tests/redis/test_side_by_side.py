"""The script's ledger and the local one, side by side on the same histories: the same source, a given clock, a real store."""

from __future__ import annotations

import os
import random
from importlib import resources
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from whereby_async.limiter import RateLimit
from whereby_async.limiter.redis.present.ageing import GRAIN
from whereby_async.limiter.redis.present.charge import Charge
from whereby_async.limiter.redis.present.costs import Prices
from whereby_async.limiter.redis.present.lessons import undisturbed
from whereby_async.limiter.redis.present.present_ledger import PresentLedger
from whereby_async.limiter.redis.present.reserve import Reserve
from whereby_async.limiter.redis.present.trail import Trail

LIMIT = 20
PERIOD = 60.0
LONGEST = 4096

_RULES = "\n".join(
    (resources.files("whereby_async.limiter.redis") / part).read_text()
    for part in ("parts.lua", "others.lua", "caution.lua", "ledger.lua", "prices.lua")
)
# Walks through a history; after each step the state goes through the store's own format and back.
_WALK = """
local history = cmsgpack.unpack(ARGV[1])
local s = Ledger.new(history.limit or nil, history.period, history.grain)
local trail, prices, reserve, charges, seen = Trail.new(4096), Prices.new(), Reserve.new(0.6, history.period), {}, {}
for number, step in ipairs(history.steps) do
  local now, what, which, told = step[1], step[2], step[3], step[4]
  local granted = 0
  if what == "miss" then
    reserve.missed = reserve.missed + which
  elseif what == "ask" or what == "batch" then
    local room = Ledger.room(s, now, which)
    granted = room
    if room >= which or Ledger.asks(s, which, now) then
      local charge = { cost = which, lead = 0 }
      Ledger.charge(s, charge, now)
      charges[#charges + 1] = charge
      reserve.batch = reserve.batch + (what == "batch" and which or 0)
    end
  elseif charges[which] then
    local charge = charges[which]
    charges[which] = false
    if what == "settle" then
      local answer = nil
      if told then
        answer = { limit = told[1] or nil, remaining = told[2] or nil, reset_in = told[3] or nil, retry_after = told[4] or nil,
                   throttled = told[5] }
      end
      Ledger.settle(s, charge, answer, now)
      if answer then
        Prices.study(s, trail, prices, charge, "op" .. charge.cost, answer, now)
      end
    elseif what == "lose" then
      Ledger.lost(s, charge, s.slowest, now)
    else
      Ledger.refund(s, charge)
    end
  end
  local reserved = Reserve.points(reserve, s, now)
  seen[number] = {
    granted, s.why, s.again_at, s.granted, Ledger.held(s), s.floor, s.quota.limit, s.cold.on, s.lead.due, s.gate.opens_at,
    s.others.ends, s.others.rate, s.pace.headroom, s.window.ends, s.slowest, s.adrift, reserved, Ledger.more_at(s, now),
    prices.version, Ledger.left(s), s.lead.whole, s.lead.probation, s.pace.ends, s.pace.gap, s.gate.named_at, s.others.released,
    Ledger.leads(s, 1),
  }
  s, trail, prices = cmsgpack.unpack(cmsgpack.pack(s)), cmsgpack.unpack(cmsgpack.pack(trail)), cmsgpack.unpack(cmsgpack.pack(prices))
  reserve = cmsgpack.unpack(cmsgpack.pack(reserve))
end
local list = {}
for operation, price in pairs(prices.list) do list[#list + 1] = { operation, price } end
return cmsgpack.pack({ seen = seen, prices = list })
"""

_answers = st.one_of(
    st.none(),
    st.builds(
        RateLimit,
        limit=st.sampled_from([None, LIMIT, LIMIT, LIMIT, LIMIT - 5, LIMIT * 2]),
        remaining=st.one_of(st.none(), st.integers(0, LIMIT)),
        reset_in=st.sampled_from([None, 0.0, 3.0, 17.25, 30.0, 59.5, 60.0, 100.0]),
    ),
    st.builds(
        RateLimit,
        limit=st.sampled_from([None, LIMIT, LIMIT - 5]),
        retry_after=st.sampled_from([None, 0.0, 0.5, 7.0, 40.0]),
        throttled=st.just(True),
    ),
)
_times = st.sampled_from([0.0, 0.0, 0.0, 0.0004, 0.001, 0.05, 0.05, 0.3, 1.0, 2.5, 7.0, 20.0, 59.9, 61.0, 200.0])
_acts = st.one_of(
    *[st.tuples(st.just("ask"), st.integers(1, 3), st.none())] * 3,
    st.tuples(st.just("batch"), st.integers(1, 3), st.none()),
    st.tuples(st.just("miss"), st.integers(1, 8), st.none()),
    *[st.tuples(st.just("true"), st.integers(0, 5), st.none())] * 4,
    st.tuples(st.just("theirs"), st.integers(1, 8), st.none()),
    st.tuples(st.just("settle"), st.integers(0, 5), _answers),
    st.tuples(st.sampled_from(["lose", "refund"]), st.integers(0, 5), st.none()),
)
_steps = st.lists(st.tuples(_times, _acts), min_size=5, max_size=150)
_kinds = st.sampled_from(["fixed", "aligned", "log", "bucket", "cheap", "dear"])


class _Truth:
    """What an honest server says, of which others spend too."""

    def __init__(self, kind: str, now: float) -> None:
        self.kind, self.began, self.left_at = kind, now, now
        self.spent: list[tuple[float, float]] = []
        self.left = float(LIMIT)

    def window(self, now: float) -> float:
        """When the present window began."""
        if now >= self.began + PERIOD:
            self.began = now if self.kind in {"fixed", "cheap", "dear"} else now - (now - self.began) % PERIOD
        return now - PERIOD if self.kind == "log" else self.began

    def serve(self, cost: float, now: float) -> RateLimit:
        """A call arrives."""
        cost = {"cheap": 1, "dear": 2 * cost}.get(self.kind, cost)
        since = self.window(now)
        if self.kind == "bucket":
            self.left = min(LIMIT, self.left + (now - self.left_at) * LIMIT / PERIOD)
            self.left_at = now
            left = self.left
        else:
            left = LIMIT - sum(points for at, points in self.spent if at >= since)
        ends = (self.spent[0][0] if self.spent else now) + PERIOD if self.kind == "log" else self.began + PERIOD
        if cost > left:
            return RateLimit(
                limit=LIMIT, throttled=True, retry_after=max(0.0, ends - now), reset_in=max(0.0, ends - now)
            )
        self.spent = [*((at, points) for at, points in self.spent if at >= since), (now, cost)]
        self.left = left - cost
        return RateLimit(limit=LIMIT, remaining=int(left - cost), reset_in=max(0.0, ends - now))


class _Local:
    """The same walk with the local ledger, its prices learned as the account does it."""

    def __init__(self, limit: int | None, kind: str) -> None:
        self.now = 1_800_000_000.0
        self.server = _Truth(kind, self.now)
        self.ledger = PresentLedger(limit, PERIOD)
        self.trail = Trail()
        self.prices = Prices({})
        self.reserve = Reserve(0.6, PERIOD)
        self.changes = 0
        self.charges: list[Charge | None] = []
        self.history: list[Any] = []

    def live(self, pick: int) -> int:
        """The number of one of the calls in flight, from 1; 0 if there is none."""
        live = [number for number, charge in enumerate(self.charges, 1) if charge]
        return live[pick % len(live)] if live else 0

    def walk(self, steps: list[Any]) -> list[Any]:
        seen: list[Any] = []
        for passed, (what, which, answer) in steps:
            self.now += passed
            seen.append(self.step(what, which, answer))
        return seen

    def step(self, what: str, which: int, answer: RateLimit | None) -> Any:
        ledger, now, granted = self.ledger, self.now, 0
        if what == "theirs":
            self.server.serve(which, now)
            self.history.append((now, what, 0, None))
        elif what == "miss":
            self.history.append((now, what, which, None))
            self.reserve.missed += which
        elif what in {"ask", "batch"}:
            self.history.append((now, what, which, None))
            granted = ledger.room(now, which)
            if granted >= which or ledger.asks(which, now):
                charge = Charge(which, 0.0, 0)
                ledger.charge(charge, now)
                self.charges.append(charge)
                self.reserve.batch += which if what == "batch" else 0
        else:
            which = self.live(which)
            charge_ = self.charges[which - 1] if which else None
            if what == "true":
                what = "settle"
                answer = self.server.serve(charge_.cost, now) if charge_ else None
            told = (
                (answer.limit, answer.remaining, answer.reset_in, answer.retry_after, answer.throttled)
                if answer
                else None
            )
            self.history.append((now, what, which, told))
            if charge_:
                self.charges[which - 1] = None
                self.end(charge_, what, answer)
        reserved = self.reserve.points(ledger, now)
        return [
            granted, ledger.why, ledger.again_at, ledger.granted, ledger.held, ledger.floor, ledger.limit, ledger.cold.on,
            ledger.lead.due, ledger.gate.opens_at, ledger.others.until, ledger.others.rate, ledger.pace.headroom,
            ledger.window.end, ledger.slowest, ledger.adrift, reserved, ledger.more_at(now), self.changes, ledger.left,
            ledger.lead.whole, ledger.lead.probation, ledger.pace.until, ledger.pace.gap, ledger.gate.named_at,
            ledger.others.released, ledger.leads(1),
        ]  # fmt: skip

    def end(self, charge: Charge, what: str, answer: RateLimit | None) -> None:
        if what == "settle":
            self.ledger.settle(charge, answer, self.now)
            if answer:
                self.learn(charge, answer)
        elif what == "lose":
            self.ledger.lost(charge, self.now)
        else:
            self.ledger.refund(charge)

    def learn(self, charge: Charge, answer: RateLimit) -> None:
        """As `PresentAccount.learn` does it."""
        ledger, trail, now = self.ledger, self.trail, self.now
        samples = []
        if not answer.throttled and answer.remaining is not None and answer.remaining < ledger.limit:
            samples = trail.note(answer.remaining, f"op{charge.cost}", charge.cost, charge.granted_at, now)
        samples += trail.ripe(now, ledger.slowest if ledger.pending else 0.0)
        short = bool(ledger.others.votes & 1) or now < ledger.others.proven_until
        clean = bool(samples) and undisturbed(ledger, now) and now - trail.refilled_at > ledger.period
        changes = [change for sample in samples if (change := self.prices.learn(sample, clean=clean, short=short))]
        self.changes += len(changes + self.prices.suspect() if answer.throttled else changes)


def _walk(client: Any, local: _Local, limit: int | None) -> Any:
    history = {"limit": limit, "period": PERIOD, "grain": GRAIN, "steps": local.history}
    text = client.eval(_RULES + _WALK, 0, msgspec.msgpack.encode(history))
    return msgspec.msgpack.decode(text)


def _compare(client: Any, steps: list[Any], limit: int | None, kind: str) -> None:
    local = _Local(limit, kind)
    here = local.walk(steps)
    there = _walk(client, local, limit)
    for number, (mine, theirs) in enumerate(zip(here, there["seen"], strict=True)):
        assert mine == theirs, (number, local.history[number])
    assert local.prices.table == dict(there["prices"])


def test_the_script_keeps_the_local_ledger_s_rules(client: Any) -> None:
    """Room, reasons, moments, evidence, caution, reserve and prices are the same, step by step, on any history."""

    @settings(max_examples=int(os.environ.get("SIDE_BY_SIDE_EXAMPLES", "150")), deadline=None)
    @given(steps=_steps, limit=st.sampled_from([None, LIMIT, LIMIT]), kind=_kinds)
    def compare(steps: list[Any], limit: int | None, kind: str) -> None:
        _compare(client, steps, limit, kind)

    compare()


def _runs(seed: int) -> list[Any]:
    """A long day: bursts that fill windows, lulls, strangers now and then, garbled answers rarely."""
    chance = random.Random(seed)
    steps: list[Any] = []
    for _ in range(40):
        for _ in range(chance.randint(1, 14)):
            lane = chance.choice(["ask", "ask", "batch"])
            steps.append((chance.choice([0.0, 0.01, 0.2]), (lane, chance.randint(1, 3), None)))
            if chance.random() < 0.7:
                steps.append((chance.choice([0.01, 0.1]), ("true", chance.randint(0, 3), None)))
        steps += [(0.05, ("true", 0, None))] * chance.randint(0, 14)
        if chance.random() < 0.3:
            steps.append((0.1, ("theirs", chance.randint(1, 12), None)))
        if chance.random() < 0.2:
            steps.append((0.1, (chance.choice(["lose", "refund"]), 0, None)))
        if chance.random() < 0.2:
            steps.append((0.1, ("miss", chance.randint(1, 8), None)))
        if chance.random() < 0.1:
            steps.append(
                (
                    0.1,
                    ("settle", 0, RateLimit(limit=LIMIT, throttled=True, retry_after=chance.choice([0.0, 2.0, 30.0]))),
                )
            )
        steps.append((chance.choice([0.5, 3.0, 10.0, 29.0, 55.0, 60.5, 61.0]), ("ask", 1, None)))
    return steps


@pytest.mark.parametrize("kind", ["fixed", "aligned", "log", "bucket", "cheap", "dear"])
def test_long_histories_agree_too(client: Any, kind: str) -> None:
    """Full windows with leads, servers that refill as they go, and strangers, for hours."""
    for seed in range(int(os.environ.get("SIDE_BY_SIDE_RUNS", "12"))):
        _compare(client, _runs(seed), LIMIT, kind)
