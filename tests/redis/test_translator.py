"""The translator: each construct does in a real store what it does in Python, and the rules do, step by step, on any history."""

# pyright: reportPrivateUsage=false
# What is kept inside is compared.

from __future__ import annotations

import importlib
import importlib.util
import math
import random
import sys
import textwrap
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from limiter.driving import BookedGrant
from whereby_async.errors import ConfigurationError
from whereby_async.limiter import RateLimit, core as rules
from whereby_async.limiter.core import NO, Core
from whereby_async.limiter.redis.translator import translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

ENTRY = "decide book answer lost refund kept price next_at available in_flight brings"

# Walks through a history. After each step the state goes through the store's own format and back.
_WALK = """
local function make(cost, price, at, before, upto, top, generation, kind, owner, core, order)
  return { cost = cost, operation = price.operation, seed = price.seed, at = at, before = before, upto = upto, top = top,
    generation = generation, kind = kind }
end
redis.call("set", KEYS[1], ARGV[2])
local seen, grants = {}, {}
for number, step in ipairs(cmsgpack.unpack(ARGV[1])) do
  local self, now, result = New.Core(cmsgpack.unpack(redis.call("get", KEYS[1]))), step.now, 0
  local grant = grants[step.which]
  if grant then grant.price = self._prices[grant.operation] or M.price(self, "", grant.seed) end
  if step.what == "ask" then
    local price = M.price(self, step.operation, step.seed)
    local kept = step.batch and M.kept(self, now, price.points) or 0
    result = M.decide(self, now, price, kept)
    if result > 0 then grants[step.which] = M.book(self, make, nil, price, now, result, 0) end
  elseif step.what == "answer" then
    M.answer(self, grant, now, step.said)
  elseif step.what == "lost" then
    M.lost(self, grant, now)
  elseif step.what == "refund" then
    M.refund(self, grant)
  else
    result = { M.available(self, now), M.next_at(self, now), M.in_flight(self), M.brings(self, 3, 2, 1.5), M.kept(self, now, 1) }
  end
  if grant then grant.price = nil end
  local changes, noted = self._changes, self.noted
  self._changes, self.noted = {}, false
  local blob = Pack.Core(self)
  redis.call("set", KEYS[1], blob)
  seen[number] = { cmsgpack.pack({ result, noted, changes }), blob, cmsgpack.pack(grants[step.which] or {}) }
end
return seen
"""
OPERATIONS = ("", "meetings.create", "meetings.list", "GET /x", "insights.rooms")


class Walk:
    """A history, made up while Python's rules go through it: a server that is honest as a rule, and whatever else may happen."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.limit = chance.choice([10, 20, 20, 100, 1000])
        self.period = chance.choice([4.0, 60.0, 60.0, 60.0])
        self.kind = chance.choice(["fixed", "fixed", "aligned", "log", "silent", "rude"])
        self.dear = chance.choice([1, 1, 2])
        self.strangers = chance.choice([0.0, 0.0, 0.05, 0.3])
        self.now = self.began = 1000.0 + chance.random()
        self.spent: deque[tuple[float, float]] = deque()
        self.core = Core.cold(
            chance.choice([None, self.limit, 2 * self.limit]), chance.choice([60.0, self.period]), chance.choice([{}, {"pinned": 2}])
        )
        self.first = msgspec.msgpack.encode(self.core)
        self.flying: dict[str, BookedGrant] = {}
        self.steps: list[dict[str, Any]] = []
        self.seen: list[Any] = []

    def serve(self, cost: float) -> RateLimit | None:
        """What the server says to a call that arrives now."""
        chance, now, spent = self.chance, self.now, self.spent
        if chance.random() < 0.002:
            self.limit = chance.choice([5, 10, 20, 50])
        if now >= self.began + self.period:
            self.began = now if self.kind == "fixed" else now - (now - self.began) % self.period
        since = now - self.period if self.kind == "log" else self.began
        while spent and spent[0][0] < since:
            spent.popleft()
        left = self.limit - sum(points for _, points in spent)
        ends = (spent[0][0] if spent and self.kind == "log" else self.began) + self.period - now
        named = {"rude": None, "silent": chance.choice([None, 1.0])}.get(self.kind, chance.choice([ends, math.ceil(ends), None]))
        if cost > left or chance.random() < 0.003:
            limit = None if self.kind == "silent" else self.limit
            remaining = chance.choice([None, None, None, int(left)])
            return RateLimit(limit=limit, remaining=remaining, retry_after=named, reset_in=chance.choice([None, named]), throttled=True)
        spent.append((now, cost))
        if self.kind == "silent":
            return chance.choice([None, RateLimit()])
        garbled = chance.random() < 0.02
        remaining = chance.choice([None, 0, 5000, chance.randrange(self.limit + 1)]) if garbled else int(left - cost)
        limit = chance.choice([None, self.limit + 1, 7]) if garbled and chance.random() < 0.3 else self.limit
        period = self.period if chance.random() < 0.1 else chance.choice([30.0, 10.0]) if garbled else None
        return RateLimit(limit=limit, remaining=remaining, reset_in=chance.choice([None, ends, math.ceil(ends)]), period=period)

    def go(self, count: int) -> None:
        """So many steps."""
        chance = self.chance
        while len(self.steps) < count:
            busy = chance.random() < 0.8
            self.now += chance.choice([0.0, 0.0, 0.001, 0.02, 0.02, 0.3] if busy else [0.0, 1.1, 2.5, 7.0, 20.0, 59.9, 61.0, 200.0])
            if chance.random() < self.strangers:
                self.spent.append((self.now, chance.randint(1, 3)))
            act = chance.random()
            if act < 0.1:
                self.step("look")
            elif act < 0.55 or not self.flying:
                for _ in range(chance.choice([1, 1, 3, 12])):
                    operation = chance.choice([*OPERATIONS, "pinned", "meetings.create"])
                    self.step("ask", operation=operation, seed=chance.choice([1, 1, 1, 2, 5]), batch=chance.random() < 0.3)
            else:
                for _ in range(chance.choice([1, 1, 3, len(self.flying)])):
                    self.end()

    def end(self) -> None:
        """One of those in flight ends, the oldest as a rule."""
        if not self.flying:
            return
        which = next(iter(self.flying)) if self.chance.random() < 0.8 else self.chance.choice([*self.flying])
        grant, how = self.flying[which], self.chance.random()
        if how < 0.03:
            self.step("refund", which)
        elif how < 0.06:
            self.step("lost", which)
        else:
            said = self.serve(grant.cost * (1 if grant.price.pinned else self.dear))
            self.step("answer", which, said=None if how < 0.08 else said)
        if self.chance.random() < 0.98:
            del self.flying[which]

    def step(self, what: str, which: str = "", **more: Any) -> None:
        """One step by Python's rules."""
        core, now, result, grant = self.core, self.now, 0, self.flying.get(which)
        self.steps.append({"what": what, "which": which or str(len(self.steps)), "now": now, **more})
        if grant:
            grant.price = core._prices.get(grant.price.operation) or core.price("", grant.price.seed)
        if what == "ask":
            price = core.price(more["operation"], more["seed"])
            kept = core.kept(now, price.points) if more["batch"] else 0
            result = core.decide(now, price, kept)
            if result > NO:
                grant = core.book(BookedGrant, None, price, now, result, 0)
                self.flying[str(len(self.steps) - 1)] = grant
        elif what == "answer":
            core.answer(grant, now, more["said"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - it is one
        elif what == "lost":
            core.lost(grant, now)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        elif what == "refund":
            core.refund(grant)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        else:
            told = core.available(now), core.next_at(now), core.in_flight, core.brings(3, 2, 1.5), core.kept(now, 1)
            result = list(told)  # type: ignore[assignment]
        noted = core.noted
        changes = [change._asdict() for change in core.take_changes()]
        fields = msgspec.structs.asdict(grant) if grant else {}
        known = {name: fields[name] for name in ("cost", "at", "before", "upto", "top", "generation", "kind") if fields}
        self.seen.append(([result, noted, changes], _plain(core), known))


def _plain(core: Core) -> dict[str, Any]:
    """All that a core keeps, but for what is a cache."""
    return {name: value for name, value in msgspec.to_builtins(core).items() if name != "_plain_prices"}


def _same(one: Any, other: Any) -> bool:
    """Equal; a number may differ where a store's C library rounds `exp` or `sqrt` otherwise."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other or (isinstance(one, float) and math.isclose(one, other, rel_tol=1e-9)))


def _compare(client: Any, name: str, seed: int, steps: int, lua: str) -> None:
    """A history by both."""
    walk = Walk(seed)
    walk.go(steps)
    found = client.eval(lua + _WALK, 1, name, msgspec.msgpack.encode(walk.steps), walk.first)
    for number, ((result, state, grant), (outcome, blob, booked)) in enumerate(zip(walk.seen, found, strict=True)):
        there = _plain(msgspec.msgpack.decode(blob, type=Core))
        if not _same(state, there):
            different = {key: (state[key], there[key]) for key in state if not _same(state[key], there[key])}
            raise AssertionError((seed, number, walk.steps[number], different))
        assert _same(result, msgspec.msgpack.decode(outcome) if result[2] else [*msgspec.msgpack.decode(outcome)[:2], []]), (seed, number)
        if grant:
            booked = msgspec.msgpack.decode(booked)
            assert _same(grant, {key: booked[key] for key in grant}), (seed, number)


@pytest.mark.parametrize("seed", range(24))
def test_rules_in_the_store_are_those_of_a_process(client: Any, name: str, seed: int) -> None:
    """The whole state is the same after every step: windows, doubt, freezes, prices, limits that change."""
    _compare(client, name, seed, 300, translated(ENTRY, rules))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_so_they_are_on_long_histories(client: Any, name: str, seed: int) -> None:
    """The same for longer."""
    _compare(client, name, seed, 3000, translated(ENTRY, rules))
