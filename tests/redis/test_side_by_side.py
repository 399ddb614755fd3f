"""The script's ledger and the local one, side by side on the same histories: the same source, a given clock, a real store."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec
import redis
from hypothesis import given, settings, strategies as st

from whereby_async.limiter import RateLimit
from whereby_async.limiter.ageing import GRAIN
from whereby_async.limiter.costs import Prices
from whereby_async.limiter.ledger import Charge, Ledger
from whereby_async.limiter.reserve import Reserve
from whereby_async.limiter.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 20
PERIOD = 60.0
LONGEST = 4096

_RULES = "\n".join(
    (resources.files("whereby_async.limiter.redis") / part).read_text() for part in ("ledger.lua", "others.lua", "prices.lua")
)
# Walks through a history; after each step the state goes through the store's own format and back.
_WALK = """
local history = cmsgpack.unpack(ARGV[1])
local s = Ledger.new(history.limit or nil, history.period, history.grain)
local trail, prices, reserve, charges, seen = Trail.new(4096), Prices.new(), Reserve.new(0.1, history.period), {}, {}
for number, step in ipairs(history.steps) do
  local now, what, which, told = step[1], step[2], step[3], step[4]
  local granted = 0
  if what == "ask" then
    local room = Ledger.room(s, now, which)
    granted = room
    if room >= which or Ledger.asks(s, which, now) then
      local charge = { cost = which, lead = 0 }
      Ledger.charge(s, charge, now)
      charges[#charges + 1] = charge
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
    prices.version, Ledger.left(s), s.lead.whole, s.lead.probation, s.pace.ends,
  }
  s, trail, prices = cmsgpack.unpack(cmsgpack.pack(s)), cmsgpack.unpack(cmsgpack.pack(trail)), cmsgpack.unpack(cmsgpack.pack(prices))
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
_steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.0004, 0.001, 0.05, 0.3, 1.0, 2.5, 20.0, 59.9, 61.0, 200.0]),
        st.one_of(
            st.tuples(st.just("ask"), st.integers(1, 3), st.none()),
            st.tuples(st.just("ask"), st.integers(1, 3), st.none()),
            st.tuples(st.just("true"), st.integers(0, 5), st.none()),
            st.tuples(st.just("settle"), st.integers(0, 5), _answers),
            st.tuples(st.sampled_from(["lose", "refund"]), st.integers(0, 5), st.none()),
        ),
    ),
    min_size=5,
    max_size=120,
)


class _Local:
    """The same walk with the local ledger, its prices learned as the account does it."""

    def __init__(self, limit: int | None) -> None:
        self.now = 1_800_000_000.0
        self.ledger = Ledger(limit, PERIOD)
        self.trail = Trail()
        self.prices = Prices({})
        self.reserve = Reserve(0.1, PERIOD)
        self.changes = 0
        self.charges: list[Charge | None] = []
        self.arrived: list[tuple[float, int]] = []
        self.history: list[Any] = []

    def live(self, pick: int) -> int:
        """The number of one of the calls in flight, from 1; 0 if there is none."""
        live = [number for number, charge in enumerate(self.charges, 1) if charge]
        return live[pick % len(live)] if live else 0

    def truth(self) -> RateLimit:
        """What an honest server says that counts fixed windows from the first call."""
        if not self.arrived or self.now >= self.arrived[0][0] + PERIOD:
            self.arrived = [(self.now, 0)]
        spent = sum(cost for _, cost in self.arrived)
        return RateLimit(
            limit=LIMIT, remaining=max(0, LIMIT - spent), reset_in=self.arrived[0][0] + PERIOD - self.now
        )

    def walk(self, steps: list[Any]) -> list[Any]:
        seen: list[Any] = []
        for passed, (what, which, answer) in steps:
            self.now += passed
            seen.append(self.step(what, which, answer))
        return seen

    def step(self, what: str, which: int, answer: RateLimit | None) -> Any:
        ledger, now, granted = self.ledger, self.now, 0
        if what == "ask":
            self.history.append((now, what, which, None))
            granted = ledger.room(now, which)
            if granted >= which or ledger.asks(which, now):
                charge = Charge(which, 0.0, 0)
                ledger.charge(charge, now)
                self.charges.append(charge)
        else:
            which = self.live(which)
            charge_ = self.charges[which - 1] if which else None
            if what == "true":
                what = "settle"
                if charge_:
                    self.truth()
                    self.arrived.append((now, charge_.cost))
                answer = self.truth()
            told = (answer.limit, answer.remaining, answer.reset_in, answer.retry_after, answer.throttled) if answer else None
            self.history.append((now, what, which, told))
            if charge_:
                self.charges[which - 1] = None
                self.end(charge_, what, answer)
        reserved = self.reserve.points(ledger, now)
        return [
            granted, ledger.why, ledger.again_at, ledger.granted, ledger.held, ledger.floor, ledger.limit, ledger.cold.on,
            ledger.lead.due, ledger.gate.opens_at, ledger.others.until, ledger.others.rate, ledger.pace.headroom,
            ledger.window.end, ledger.slowest, ledger.adrift, reserved, ledger.more_at(now), self.changes, ledger._left,  # pyright: ignore[reportPrivateUsage]
            ledger.lead.whole, ledger.lead.probation, ledger.pace.until,
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
        """As `Account.learn` does it."""
        ledger, trail, now = self.ledger, self.trail, self.now
        samples = []
        if not answer.throttled and answer.remaining is not None and answer.remaining < ledger.limit:
            samples = trail.note(answer.remaining, f"op{charge.cost}", charge.cost, charge.granted_at, now)
        samples += trail.ripe(now, ledger.slowest if ledger.pending else 0.0)
        clean = bool(samples) and ledger.undisturbed(now) and now - trail.refilled_at > ledger.period
        changes = [change for sample in samples if (change := self.prices.learn(sample, clean=clean))]
        self.changes += len(changes + self.prices.suspect() if answer.throttled else changes)


def _walk(client: redis.Redis, local: _Local, limit: int | None) -> Any:
    history = {"limit": limit, "period": PERIOD, "grain": GRAIN, "steps": local.history}
    text = client.eval(_RULES + _WALK, 0, msgspec.msgpack.encode(history))
    return msgspec.msgpack.decode(text)  # type: ignore[arg-type]


def _compare(client: redis.Redis, steps: list[Any], limit: int | None) -> None:
    local = _Local(limit)
    here = local.walk(steps)
    there = _walk(client, local, limit)
    for number, (mine, theirs) in enumerate(zip(here, there["seen"], strict=True)):
        assert mine == theirs, (number, local.history[number])
    assert local.prices.table == dict(there["prices"])


def test_the_script_keeps_the_local_ledger_s_rules(client: redis.Redis) -> None:
    """Room, reasons, moments, evidence, caution, reserve and prices are the same, step by step, on any history."""

    @settings(max_examples=150, deadline=None)
    @given(steps=_steps, limit=st.sampled_from([None, LIMIT, LIMIT]))
    def compare(steps: list[Any], limit: int | None) -> None:
        _compare(client, steps, limit)

    compare()


def _patterns() -> dict[str, Callable[[], list[Any]]]:
    def busy() -> list[Any]:
        one = [(0.01, ("ask", 1 + i % 3, None)) for i in range(12)] + [(0.02, ("true", 0, None)) for _ in range(12)]
        return [step for _ in range(6) for step in (*one, (30.0, ("ask", 1, None)), (31.0, ("ask", 2, None)))]

    def strangers() -> list[Any]:
        answers = [RateLimit(limit=LIMIT, remaining=i, reset_in=30.0) for i in (9, 5, 7, 9, 11, 4, 6, 8, 10, 3)]
        return [(0.4, step) for answer in answers * 8 for step in (("ask", 1, None), ("settle", 0, answer))]

    def refused() -> list[Any]:
        no = RateLimit(throttled=True, retry_after=3.0, limit=LIMIT)
        return [step for _ in range(20) for step in ((1.6, ("ask", 2, None)), (0.1, ("settle", 0, no)), (1.0, ("true", 0, None)))]

    return {"busy": busy, "strangers": strangers, "refused": refused}


def test_long_histories_agree_too(client: redis.Redis) -> None:
    """Full windows with leads, strangers that make it pace, and a server that refuses again and again."""
    for pattern in _patterns().values():
        _compare(client, pattern(), LIMIT)
