"""What is translated means in the store what it means in Python; all else is refused, with file, line and construct."""

from __future__ import annotations

import importlib.util
import itertools
import math
import re
import sys
import types
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from whereby_async.errors import ConfigurationError
from whereby_async.limiter import core
from whereby_async.limiter.redis.translator import translated
from whereby_async.limiter.shared import shared_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

RULES = '''
import math
from dataclasses import dataclass, field

import msgspec

FACTOR = 3
BELOW = -1
NOTHING = None
WORD = "word"
FAR = -math.inf


class Pair(msgspec.Struct):
    one: int
    two: float = 2.5
    name: str = "pair"
    many: list[int] = []
    perhaps: int | None = None


def twice(x):
    return x * 2


def helped(f, x):
    return f(x) + 1


@dataclass
class Base:
    total: int = 7
    rows: list[list[float]] = field(default_factory=list[list[float]])
    names: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def doubled(self):
        return self.total * 2

    def plus(self, a, b=5, c=WORD):
        return self.total + a * b if c == "word" else 0

    def which(self):
        return "base"

    def asked(self):
        return self.which()


@dataclass
class Child(Base):
    """A child."""

    def which(self):
        """Which one it is."""
        return "child"

    def calls_parent(self):
        return self.asked()

    def arithmetic(self, a, b):
        return [a + b, a - b, a * b, a / b, a**b, -a, a - -b, (a + b) * -2, 7 & 3, 5 | 8, FACTOR * a, 2.0 ** min(b, 16), -BELOW, BELOW**2]

    def rounded(self, x):
        return [int(x), math.ceil(x), math.floor(x), abs(x), math.sqrt(abs(x)), math.exp(x), int(-x)]

    def extremes(self, a, b):
        return [min(a, b), max(a, b), min([a, b, 3]), max([b, a]), min(a, b, 0), max(a, b, 0)]

    def compared(self, a, b):
        return [a < b, a <= b, a > b, a >= b, a == b, a != b, a is None, a is not None, 0 < b <= 3, FAR < b < math.inf]

    def tested(self, x):
        if x:
            return "true"
        return "false"

    def negated(self, x):
        return [not x, not (x and 1), not x or 1 > 2]

    def both(self, a, b):
        return 1 if a and b else 0

    def either(self, a, b):
        return a or b

    def neither(self, a, b):
        return a or b or 9

    def comparing(self, a, b):
        return a > 1 and b > 1

    def chosen(self, x, y):
        return [x if x else y, "yes" if x and y else "no", 0 if x else 1, y if x is None else 3]

    def within(self, text):
        return [" " in text, "." not in text, "a" in WORD, "rd" in WORD]

    def indexed(self, place):
        row = [10, 20, 30, 40]
        row[-1] += 1
        row[0] = row[1]
        row[place] += 5
        return [row[0], row[-1], row[place], len(row), row]

    def listed(self, items):
        items.append(4)
        first = items.pop(0)
        found = 0
        for item in items:
            found += item
            if found > 8:
                break
        return [first, found, items, len(items)]

    def unpacked(self):
        self.rows.append([1, 2, 3])
        self.rows.append([4, 5, 6])
        total = 0
        for a, _, c in self.rows:
            total += a * c
        last, self.total = self.rows[-1], total
        last[1] += 10
        return [total, self.rows, self.total]

    def swapped(self, a, b):
        a, b = b, a
        c = d = a + b
        self.total = e = c
        return [a, b, c, d, e, self.total]

    def looked_up(self, key):
        before = self.names.get(key)
        self.names[key] = 3
        self.names["other"] = 4
        size = len(self.names)
        value = self.names[key]
        self.names.clear()
        return ["none" if before is None else "some", value, size, len(self.names)]

    def counted(self, n):
        k = 0
        while k < n:
            k += 1
            if k == 5:
                break
            if k > 3:
                pass
            elif k > 2:
                n -= 1
            else:
                n += 0.5
        return [k, n]

    def made(self):
        pair = Pair(1, name=WORD)
        pair.many.append(5)
        other = Pair(one=FACTOR)
        other.perhaps = 1
        return [pair.one, pair.two, pair.name, pair.many, pair.perhaps is None, other.one, other.many, other.perhaps]

    def called(self, x):
        return [self.plus(x), self.plus(x, 1), self.plus(x, 2, "no"), self.doubled, twice(x), helped(twice, x)]

    def reserved(self, end, local):
        nil: int = end + 1
        until = nil
        until *= local
        return until

    def nothing(self):
        return

    def nothing_either(self):
        return NOTHING
'''

SOME = (0, 1, 3, 2.5, -1.5)
TRUTHS: tuple[Any, ...] = (None, False, True, 0, 0.0, 1, "", "a", [], [0])
CASES: dict[str, list[tuple[Any, ...]]] = {
    "calls_parent": [()],
    "arithmetic": [(3, 2), (2.5, -2), (-1, 4)],
    "rounded": [(2.5,), (-2.5,), (0.0,), (7,), (-0.2,)],
    "extremes": [(1, 2), (2.5, -1)],
    "compared": [*itertools.product(SOME, SOME), (2.0, math.inf), (math.inf, -math.inf)],
    "tested": [(x,) for x in TRUTHS],
    "negated": [(x,) for x in TRUTHS],
    "both": [*itertools.product(TRUTHS, TRUTHS)],
    "either": [*itertools.product(TRUTHS, TRUTHS)],
    "neither": [*itertools.product(TRUTHS, TRUTHS)],
    "comparing": [(1, 1), (1, 2), (2, 1), (2, 2)],
    "chosen": [(0, 5), (1, 5), (None, 5), ("", "b"), ("a", "b"), ([], 1)],
    "within": [("",), ("a b",), ("a.b",), ("%d",)],
    "indexed": [(1,), (2,), (3,)],
    "listed": [([1, 2, 3],), ([9],), ([5, 5, 5, 5],)],
    "unpacked": [()],
    "swapped": [(1, 2)],
    "looked_up": [("key",), ("",), ("1",)],
    "counted": [(0,), (2,), (4,), (50,)],
    "made": [()],
    "called": [(2,), (0.5,)],
    "reserved": [(2, 3)],
    "nothing": [()],
    "nothing_either": [()],
}


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModuleType]]:
    """Makes modules of their text."""
    home = tmp_path_factory.mktemp("modules")
    names: list[str] = []

    def load(text: str) -> ModuleType:
        name = f"translated_{len(names)}"
        path = home / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec
        assert spec.loader
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        names.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in names:
        del sys.modules[name]


@pytest.fixture(scope="module")
def rules(load: Callable[[str], ModuleType]) -> ModuleType:
    """A module that has each construct of the subset."""
    return load(RULES)


@pytest.mark.parametrize("method", CASES)
def test_each_construct_means_what_it_does_in_python(client: Any, rules: ModuleType, method: str) -> None:
    """Numbers, truth, lists, dicts, loops, calls: the store finds what Python finds."""
    called = (
        "local core = { total = 7, rows = {}, names = {} }\n"
        "local args = cmsgpack.unpack(ARGV[1])\n"
        f"return cmsgpack.pack((M.{method}(core, args.one, args.two)))"
    )
    run = client.register_script(translated(method, rules) + called)
    for args in CASES[method]:
        expected = getattr(rules.Child(), method)(*msgspec.msgpack.decode(msgspec.msgpack.encode(args)))
        # What is `None` is missing in the store.
        given = {name: value for name, value in zip(("one", "two"), args, strict=False) if value is not None}
        value = msgspec.msgpack.decode(run(args=[msgspec.msgpack.encode(given)]))
        assert _same(value, expected), f"{method}{args}: {value} in the store, {expected} in Python"


def _same(found: Any, expected: Any) -> bool:
    """Are they the same? True is not 1 in the store, but a number with `.0` is the number without."""
    if isinstance(expected, list) and isinstance(found, list):
        pairs = list(itertools.zip_longest(cast("list[object]", found), cast("list[object]", expected)))
        return all(_same(one, other) for one, other in pairs)
    if isinstance(expected, bool) or expected is None or isinstance(found, bool):
        return found is expected
    if isinstance(expected, float) and math.isfinite(expected):
        return math.isclose(found, expected, rel_tol=1e-12)
    return bool(found == expected)


REFUSED = {
    "a comprehension": "return [x for x in items]",
    "a lambda": "return helper(lambda x: x)",
    "`try`": "try:\n        items.append(1)\n    except ValueError:\n        pass",
    "`with`": "with items:\n        pass",
    "`raise`": "raise ValueError",
    "`assert`": "assert items",
    "`continue`": "for x in items:\n        continue",
    "`else` of a loop": "while items:\n        break\n    else:\n        return 1",
    "`else` of a `for`": "for x in items:\n        break\n    else:\n        return 1",
    "an f-string": "return f'{items}'",
    "a slice": "return items[1:]",
    "an index that is computed": "return items[1 + 1]",
    "a negative index but the last": "return items[-2]",
    "floor division": "return 5 // items",
    "a remainder": "return 5 % items",
    "a shift": "return 1 << items",
    "a dict": "return {'a': 1}",
    "a set": "return {1, 2}",
    "`*` of a list": "return [*items]",
    "an unknown name": "return sorted(items)",
    "another function of math": "return math.log(items)",
    "a keyword argument": "return max(items, default=1)",
    "another method of a list": "return items.index(1)",
    "`pop` of the last": "return items.pop()",
    "a function within": "def inner():\n        pass",
    "`global`": "global HELD",
    "`del`": "del items[0]",
    "a walrus": "if (x := items):\n        return x",
    "text beyond ASCII": "return 'ä'",
    "text with quotes": "return '\"'",
    "bytes": "return b'a'",
    "a choice of None": "return None if items else 1",
    "a choice of False": "return False if items else 1",
    "a call before the last of an `or`": "return helper(items) or 1",
    "a default of a function": "return helper()",
    "`is` a class": "return isinstance(items, int)",
    "a complex number": "return 1j",
    "`match`": "match items:\n        case _:\n            pass",
    "`await`": "return (yield items)",
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_outside_the_subset_is_refused_with_its_place(load: Callable[[str], ModuleType], what: str) -> None:
    """The error names file, line and construct."""
    head = "import math\n\n\ndef helper(x):\n    return x\n\n\nHELD = 1\n\n\ndef rule(items):\n    x = 1\n    "
    module = load(f"{head}{REFUSED[what]}\n")
    first = head.count("\n") + 1
    with pytest.raises(SyntaxError, match=r"is not in the subset") as refused:
        translated("rule", module)
    place = re.match(rf"{re.escape(str(module.__file__))}:(\d+): \w+ `.+`", str(refused.value))
    assert place, str(refused.value)
    assert int(place[1]) >= first


def test_a_parent_is_not_called(load: Callable[[str], ModuleType]) -> None:
    """`super()` would be the same method for ever."""
    module = load(
        "class A:\n    def rule(self):\n        return 1\n\n\n"
        "class B(A):\n    def rule(self):\n        return super().rule()\n"
    )
    with pytest.raises(SyntaxError, match=r":8: .*super"):
        translated("rule", module)


def test_only_what_is_reached_is_translated(load: Callable[[str], ModuleType]) -> None:
    """What only a process needs may be written in any way."""
    module = load("def rule():\n    return used()\n\n\ndef used():\n    return 1\n\n\ndef other():\n    return {}\n")
    text = translated("rule", module)
    assert "M.used = function()" in text
    assert "other" not in text


def test_sources_that_are_missing_are_told_with_the_way_out(tmp_path: Path) -> None:
    """A bundle may hold compiled modules only."""
    module = types.ModuleType("whereby_async.limiter.core")
    with pytest.raises(ConfigurationError, match=r"the source of whereby_async\.limiter\.core.*ship the \.py files"):
        translated("fits", module)
    module.__file__ = str(tmp_path / "core.pyc")
    with pytest.raises(ConfigurationError, match=r"PyInstaller: module_collection_mode=\{'whereby_async': 'py'\}"):
        translated("fits", module)


def test_rules_are_small_enough_to_be_sent() -> None:
    """A store compiles them once, but a client that finds it empty sends them all."""
    text = translated("fits transact succeed adopt", core, shared_core)
    assert len(text) < 64_000
