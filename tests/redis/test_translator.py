"""The translator: each construct does in a real store what it does in Python, and the rules do, step by step, on any history."""

# pyright: reportPrivateUsage=false
# What is kept inside is compared.

from __future__ import annotations

import copy
import importlib.util
import linecache
import math
import random
import re
import sys
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
    from pathlib import Path
    from types import ModuleType

# Constructs. Each text is a module; its `run` is called with all the arguments, in Python and in the store.

HEAD = """
from __future__ import annotations
import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, NamedTuple, cast
import msgspec
TWO: Final = 2
HALF: Final = 1 / TWO
class Kind(IntEnum):
    ODD = 7
class Pair(msgspec.Struct):
    one: float
    other: float = HALF
    end: list[float] = []
    also: float | None = None
class Seen(NamedTuple):
    what: str
    much: float = 3
"""
NUMBERS: list[tuple[Any, ...]] = [(-7.5, 2), (7, -2), (7, 2), (0, 3), (1, 0.1), (5, math.inf), (2.5, 2.5), (-1, -1)]
TRUTHS: list[tuple[Any, ...]] = [
    (one, other) for one in (None, 0, 1, False, True, "", "x", [], [0]) for other in (None, 0, 5, "", False)
]
CONSTRUCTS: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "arithmetic": (
        "def run(a: float, b: float): return [a + b, a - b * TWO, a / b, a // b, a % b, -a, -(-a), 2 ** b, Kind.ODD]",
        NUMBERS,
    ),
    "comparisons": (
        "def run(a: float, b: float): return [a < b, a <= b, a > b, a >= b, a == b, a != b, -1 < a <= b, 0 < a < b < 9]",
        NUMBERS,
    ),
    "functions": (
        (
            "def run(a: float, b: float):\n"
            "  return [int(a), int(-a), abs(a), min(a, b), max(a, b, 3), min(a, math.inf), float(a)]"
        ),
        NUMBERS,
    ),
    "mathematics": (
        "def run(a: float): return [math.ceil(a), math.floor(a), math.sqrt(a), math.exp(a)]",
        [(0.5,), (2.25,), (3,)],
    ),
    "bits": (
        "def run(a: int, b: int):\n  c = a | b\n  c |= 8\n  return [a & b, c, bool(a & 1)]",
        [(5, 3), (0, 16)],
    ),
    "truth": ("def run(a, b): return [1 if a else 2, bool(b), not a, bool(a and b), bool(a or b)]", TRUTHS),
    "either": (
        "def run(a, b):\n  c = a or b\n  d = a and b\n  return [[c is None, c or 0], [d is None, d or 0], 9]",
        TRUTHS,
    ),
    "truth of what is known": (
        (
            "def run(a: int, b: bool, c: list[int], d: dict[str, int], e: str):\n"
            "  f = [1 if a else 2, 1 if b else 2, 1 if c else 2, 1 if d else 2, 1 if e else 2]\n"
            "  return [f, a or 5, (c or [3])[0], b and a > 1]"
        ),
        [(0, False, [], {}, ""), (2, True, [1], {"x": 0}, "e")],
    ),
    "choices": (
        (
            "def run(a: bool, b: bool, n: float | None):\n  c = n if a else b\n"
            "  return [c is None, [n if a else 5, 1][1], (b if a else not b), n if n else 0]"
        ),
        [(True, False, None), (False, True, 0), (True, True, 4), (False, False, 2)],
    ),
    "None": (
        "def run(a: float | None): return [a is None, a is not None, a is not None and a > 2, 0 if a is None else a]",
        [(None,), (0,), (3,)],
    ),
    "strings": (
        r'def run(a: str, b: str): return [a + b, " " in a, b not in a, a == b, "\n\"\\é%" + a]',
        [("a b", "b"), ("", ""), ("%", "."), ("ü", "ü")],
    ),
    "lists": (
        (
            "def run(a: list[float], i: int):\n  b = [a[0], a[-1], a[i]]\n  b.append(a.pop(0))\n  b.append(a.pop())\n"
            "  b[1] += 5\n  b[-1] = 0\n  c = [min(b), max(b), sum(b), len(b), len(a)]\n  b.clear()\n  c.append(len(b))\n"
            "  return c"
        ),
        [([1, 2, 3, 4], 2), ([5, 5.5], 1)],
    ),
    "dicts": (
        (
            "def run(a: dict[str, float], k: str):\n  b: dict[str, float] = {}\n  b[k] = 1\n  b['x'] = len(a)\n  del b[k]\n"
            "  c = a.get(k, 7)\n  d = a.get(k)\n  e = a.pop(k, None)\n"
            "  f = [c, d is None, e is None, k in a, k not in b, len(b), b['x']]\n  b.clear()\n  f.append(len(b))\n  return f"
        ),
        [({"k": 1, "l": 2}, "k"), ({}, "z")],
    ),
    "loops over dicts": (
        (
            "def run(a: dict[str, list[float]], b: dict[int, float]):\n  out = []\n  for k, v in sorted(a.items()):\n"
            "    out.append(k)\n    out.append(v[0])\n  for n, m in sorted(b.items()): out.append(n + m)\n  return out"
        ),
        [({"b": [1], "a": [2], "": [3], "ab": [4], "B": [5], "é": [6]}, {20: 1, 3: 2})],
    ),
    "loops": (
        (
            "def run(n: int):\n  out = []\n  for i in range(n):\n    if i == 2: continue\n    if i > 5: break\n"
            "    for j in range(1, i):\n      if j == 3: break\n      out.append(i * 10 + j)\n  k = 0\n  while k < n:\n"
            "    k += 1\n    while True:\n      if k % 2: break\n      k += 1\n      continue\n    out.append(k)\n"
            "  for at, _, much in [(1, 2, 3), (4, 5, 6)]:\n    if much == 6: continue\n    out.append(at)\n"
            "  out.append(at)\n  return out"
        ),
        [(0,), (3,), (9,)],
    ),
    "returns within loops": (
        "def run(n: int):\n  for i in [1, 2, 3]:\n    if i < n: continue\n    return i * 10\n  return -1",
        [(1,), (3,), (7,)],
    ),
    "assignments": (
        (
            "def run(a: float, b: float):\n  a, b = b, a\n  c = d = a + 1\n  e: float = c if a > b else d * 2\n  p = Pair(a)\n"
            "  p.one, p.other = p.other, p.one\n  x, y = [e, p.one]\n  end = x\n  end -= 1\n  p.end.append(end)\n"
            "  return [a, b, c, d, e, p.one, p.other, x, y, end, p.end[0]]"
        ),
        NUMBERS,
    ),
    "instances": (
        (
            "def run(a: float):\n  p = Pair(other=a, one=2)\n  q = Pair(1)\n  q.end.append(1)\n  s = Seen('x')\n"
            "  t = [p.one, p.other, len(p.end), q.other, p.also is None, len(q.end), s.much]\n"
            "  return [t, s.what, 1 if p else 2, cast('float', a)]"
        ),
        [(4,)],
    ),
    "calls": (
        (
            "def other(a: float, b: float = TWO, *, c: float = -1) -> float: return a + b * c\n"
            "def none(a: float) -> float | None:\n  if a > 1: return\n  pass\n"
            "def run(a: float):\n  '''Words.'''\n  assert a\n  none(a)\n"
            "  return [other(a), other(a, 3), other(c=4, a=a), none(a) is None, -1 < other(a) + 1 <= 3]"
        ),
        [(0.5,), (2,), (-3,)],
    ),
    "functions that are given": (
        (
            "def call(f: Any, a: float): return f(a, 1)\ndef other(a: float, b: float) -> float: return a - b\n"
            "def run(a: float): return other(other(a, 2), 3)"
        ),
        [(0.5,)],
    ),
}
REFUSED = {
    "comprehension": ("def run(a: list[int]):\n  b = 1\n  return [i for i in a]", "4: ListComp `[i for i in a]`"),
    "try": ("def run():\n  try: pass\n  finally: pass", "3: Try `try:`"),
    "walrus": ("def run(a: int): return (b := a)", "2: NamedExpr"),
    "slice": ("def run(a: list[int]): return a[1:]", "2: Subscript"),
    "negative index": ("def run(a: list[int], i: int): return a[-i]", "2: Subscript"),
    "unknown container": ("def run(a, i: int): return a[i]", "2: Subscript `a[i]` looks into what is not known to be"),
    "loop over what is unknown": ("def run(a):\n  for b in a: pass", "3: Name `a` is not known to be a list"),
    "unsorted items": ("def run(a: dict[str, int]):\n  for b, c in a.items(): pass", "3: Call `a.items()`"),
    "keys": ("def run(a: dict[str, int]):\n  for b in a: pass", "3: Name `a`"),
    "sorted list": ("def run(a: list[int]):\n  for b in sorted(a): pass", "3: Call"),
    "sorted items of what is unknown": ("def run(a):\n  for b, c in sorted(a.items()): pass", "3: Call"),
    "unpacked number": ("def run(a: int):\n  b, c = a", "3: Tuple"),
    "else of a loop": ("def run():\n  while True: break\n  else: pass", "3: While"),
    "equal lists": ("def run(a: list[int]): return a == []", "2: Compare"),
    "bool as number": ("def run(a: bool): return a + 1", "2: Name `a` is no number"),
    "bool among numbers": ("def run(a: bool): return max(1, a)", "2: Call"),
    "bool equals number": ("def run(a: bool): return a == 1", "2: Compare"),
    "order of strings": ("def run(a: str): return a < 'b'", "2: Compare"),
    "identity": ("def run(a: object, b: object): return a is b", "2: Compare"),
    "f-string": ("def run(a: str): return f'{a}'", "2: JoinedStr"),
    "length of a string": ("def run(a: str): return len(a)", "2: Call"),
    "big number": ("def run(): return 2 ** 3 + 123456789012345678901", "2: Constant"),
    "pop(-1)": ("def run(a: list[int]): return a.pop(-1)", "2: Call"),
    "missing argument": ("def f(a: int): return a\ndef run(): return f()", "3: Call `f()` lacks a"),
    "unknown argument": ("def f(a: int): return a\ndef run(): return f(b=1)", "3: Call"),
    "many arguments": ("def run(*a: int): return 1", "2: FunctionDef"),
    "unknown function": ("def run(): return open('x')", "2: Call"),
    "keyword": ("def run(a: int): return int(x=a)", "2: Call"),
    "shift": ("def run(a: int): return a << 1", "2: BinOp"),
    "no field": (
        "class C:\n  def __init__(self) -> None: pass\n  def run(self): return self.x",
        "4: Attribute `self.x` is no field",
    ),
    "method as value": ("class C:\n  def run(self): return self.run", "3: Attribute"),
    "class method": ("class C:\n  @classmethod\n  def run(cls): return 1", "4: FunctionDef"),
    "super": ("class C:\n  def run(self): return super().run()", "3: Call"),
    "target with a call": ("def f() -> list[int]: return [1]\ndef run(): f()[0] = 1", "3: Subscript"),
    "lambda": ("def run(): return lambda: 1", "2: Lambda"),
    "name from nowhere": ("def run(): return nowhere", "2: Name"),
    "expression that does nothing": ("def run(a: int):\n  a\n  float(a)", "3: Expr"),
}


def _module(folder: Path, text: str) -> ModuleType:
    """A module of that text."""
    path = folder / "of_a_test.py"
    path.write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location("of_a_test", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "of_a_test", module)  # Where dataclasses look.
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_construct_does_in_the_store_what_it_does_in_python(client: Any, tmp_path: Path, construct: str) -> None:
    text, calls = CONSTRUCTS[construct]
    module = _module(tmp_path, HEAD + text)
    lua = translated("run", module) + (
        "local a = cmsgpack.unpack(ARGV[1]) return cmsgpack.pack(M.run(a.a1, a.a2, a.a3, a.a4, a.a5))"
    )
    for arguments in calls:
        given = {f"a{number}": each for number, each in enumerate(arguments, 1)}
        there = msgspec.msgpack.decode(client.eval(lua, 0, msgspec.msgpack.encode(given)))
        assert there == module.run(*copy.deepcopy(arguments)), arguments


STATE = """
@dataclass(slots=True)
class Base:
    x: float = TWO
    end: float = 1
    names: dict[str, float] = field(default_factory=dict[str, float])
    cache: dict[int, Pair] = field(default_factory=dict[int, Pair])
    pairs: list[Pair] = field(default_factory=list[Pair])

    @property
    def twice(self) -> float:
        return self.x * 2

    def _add(self, more: float = 1) -> float:
        self.x += more
        return self.x

    def go(self) -> float:
        return self._add() + self._add(more=3)

    def unused(self) -> list[int]:
        return [i for i in ()]

@dataclass(slots=True)
class Derived(Base):
    y: float = 5

    def _add(self, more: float = 10) -> float:
        self.y -= more
        return self.y

    def all(self, n: float) -> list[object]:
        self.cache[1] = Pair(n)
        self.pairs.append(self.cache[1])
        if n > 3:
            self.names["three"] = 3
        return [self.go(), self.twice, 0 < self.twice < n, self.end, len(self.names), self.pairs[0].one]
"""


@pytest.mark.parametrize("n", [1, 4.5])
def test_methods_are_the_last_class_s_and_msgspec_reads_its_state(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: float
) -> None:
    """Dicts that are empty are not read as lists, and those that are caches are left out."""
    module = _module(tmp_path, HEAD + STATE)
    monkeypatch.setitem(sys.modules, "of_a_test", module)
    lua = translated("all go", module) + (
        "local self = New.Derived({ x = tonumber(ARGV[1]) }) local told = M.all(self, self.x) "
        "return { cmsgpack.pack(told), Pack.Derived(self), Pack.Derived(New.Derived(cmsgpack.unpack(Pack.Derived(self)))) }"
    )
    told, *blobs = client.eval(lua, 0, n)
    here = module.Derived(x=n)
    assert msgspec.msgpack.decode(told) == here.all(n)
    here.cache.clear()
    for blob in blobs:
        assert msgspec.to_builtins(msgspec.msgpack.decode(blob, type=module.Derived)) == msgspec.to_builtins(here)


@pytest.mark.parametrize("construct", REFUSED)
def test_what_is_not_in_the_subset_is_refused_with_its_place(tmp_path: Path, construct: str) -> None:
    text, words = REFUSED[construct]
    module = _module(tmp_path, f"import math\n{text}\n")
    with pytest.raises(SyntaxError, match=re.escape(f"of_a_test.py:{words}")):
        translated("run", module)


def test_without_sources_the_error_names_the_way_out(tmp_path: Path) -> None:
    """As in a program that PyInstaller has made."""
    module = _module(tmp_path, "def run(): return 1")
    (tmp_path / "of_a_test.py").unlink()
    linecache.clearcache()
    with pytest.raises(ConfigurationError, match="module_collection_mode"):
        translated("run", module)


# The rules

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
        self.wild = chance.choice([0.0, 0.01, 0.1])
        self.tick = chance.choice([2.0**-7, 2.0**-40])
        self.now = self.began = 1000.0
        self.spent: deque[tuple[float, float]] = deque()
        self.core = Core.cold(
            chance.choice([None, self.limit, 2 * self.limit]),
            chance.choice([60.0, self.period]),
            chance.choice([{}, {"pinned": 2}]),
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
        named = {"rude": None, "silent": chance.choice([None, 1.0])}.get(
            self.kind, chance.choice([ends, math.ceil(ends), None])
        )
        if cost > left or chance.random() < 0.003:
            limit = None if self.kind == "silent" else self.limit
            remaining = chance.choice([None, None, None, int(left)])
            return RateLimit(
                limit=limit,
                remaining=remaining,
                retry_after=named,
                reset_in=chance.choice([None, named]),
                throttled=True,
            )
        spent.append((now, cost))
        if self.kind == "silent":
            return chance.choice([None, RateLimit()])
        garbled = chance.random() < self.wild
        remaining = chance.choice([None, 0, 5000, chance.randrange(self.limit + 1)]) if garbled else int(left - cost)
        limit = chance.choice([None, self.limit + 1, 7]) if garbled and chance.random() < 0.3 else self.limit
        period = self.period if chance.random() < 0.1 else chance.choice([30.0, 10.0]) if garbled else None
        return RateLimit(
            limit=limit, remaining=remaining, reset_in=chance.choice([None, ends, math.ceil(ends)]), period=period
        )

    def go(self, count: int) -> None:
        """So many steps."""
        chance = self.chance
        while len(self.steps) < count:
            busy = chance.random() < 0.8
            self.now += chance.choice(
                [0.0, 0.0, 0.001, 0.02, 0.02, 0.3] if busy else [0.0, 1.1, 2.5, 7.0, 20.0, 59.9, 61.0, 200.0]
            )
            self.now = round(self.now / self.tick) * self.tick
            if chance.random() < self.strangers:
                self.spent.append((self.now, chance.randint(1, 3)))
            act = chance.random()
            if act < 0.1:
                self.step("look")
            elif act < 0.55 or not self.flying:
                for _ in range(chance.choice([1, 1, 3, 12])):
                    operation = chance.choice([*OPERATIONS, "pinned", "meetings.create"])
                    self.step(
                        "ask", operation=operation, seed=chance.choice([1, 1, 1, 2, 5]), batch=chance.random() < 0.3
                    )
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
    if hasattr(one, "keys"):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if hasattr(one, "append"):
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
        assert _same(
            result, msgspec.msgpack.decode(outcome) if result[2] else [*msgspec.msgpack.decode(outcome)[:2], []]
        ), (seed, number)
        kept = msgspec.msgpack.decode(booked)
        assert not grant or _same(grant, {key: kept[key] for key in grant}), (seed, number)


@pytest.mark.parametrize("seed", range(24))
def test_rules_in_the_store_are_those_of_a_process(client: Any, name: str, seed: int) -> None:
    """The whole state is the same after every step: windows, doubt, freezes, prices, limits that change."""
    _compare(client, name, seed, 300, translated(ENTRY, rules))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_so_they_are_on_long_histories(client: Any, name: str, seed: int) -> None:
    """The same for longer."""
    _compare(client, name, seed, 3000, translated(ENTRY, rules))
