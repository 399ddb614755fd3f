"""What it costs to turn a page of 100 meetings, or of insights of 100 rooms, into objects, and to hold 100,000 of them.

    python benchmarks/decode.py [--table FILE] [--svg FILE]

Needs nothing but a Python and the package index. Decoders take turns; ratios are taken between rounds of the same turn and shown
as the median with its 95 % interval. Memory is what Python's allocator gives out for the objects of pages that all differ, in a
fresh process; beside it, what such a process grows by.

**What helped**, per page of 100 meetings (23 KB, CPython 3.11; bare msgspec 33.0 µs, ours 38.5 µs before, 33.0 µs now):
`gc=False` on rows that can form no cycle, -3.0 µs and -1.6 MB per 100,000 (47.0 before, 45.4 now; rooms 52.6 and 51.0);
the names of old rooms filled in by a loop over the page, 1.1 µs, instead of by a `__post_init__` of `Meeting`, 4.0 µs.

**What it costs** that all dates are in UTC, whatever offset the server sends: 1.2 µs per page of 100 meetings to see that they
are (first and last row, and no plus sign in the body, .3 µs); a look at each date takes 5 µs.

**Tried, and did not help:**

- `gc=False` with `__post_init__` kept: 1.07-1.08 × bare msgspec. A hook in C is no way out: even `operator.attrgetter`,
  which fills nothing in, takes 2.2 µs.
- Looking for nameless meetings in the bytes: `body.count(b'"roomName":"')` takes 10 µs, `b"null" in body` 15 µs;
  `None in map(attrgetter("room_name"), results)` 4.3 µs. The plain loop takes 1.1 µs.
- A `default_factory` that notes that a name was missing: costs nothing (30.0 against 29.9 µs), but does not see a null, which
  then has to be looked for in the bytes (15 µs).
- `datetime` without `Meta(tz=True)`: 29.9 against 30.1 µs, which is noise.
- Fields in the order in which the server sends them: -0.8 µs (2.5 %). Not done: it would change what a `repr` and the JSON
  of a meeting look like, for a target that is met.
- A decoder that is a function and no object with `__call__`: -0.2 µs per answer on 3.11, -0.1 µs on 3.13; of a page that is
  0.6 %.
- Fewer bytes held: what is left are 88 bytes of Struct, two dates of 48 bytes, and the texts as they came. Dates in UTC share
  one tzinfo already.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit import environments, ratios
from benchmarks.kit.children import Child, cores
from benchmarks.kit.environments import Environment, Skipped
from benchmarks.kit.reports import Bars, Report, Table, Target, arguments, publish

if TYPE_CHECKING:
    import argparse

OURS, BARE = "whereby_async", "msgspec"
GENERATED = "openapi-python-client"
KINDS = {"meetings": "100 meetings", "rooms": "100 rooms"}
MOST_MB = 46.0
HELD = 100_000


class Home(NamedTuple):
    """An environment and the decoders that live in it."""

    environment: Environment
    names: tuple[str, ...]


HOMES = (
    Home(environments.OURS, (BARE, OURS, "json")),
    Home(environments.DECODERS, ("orjson", "pydantic")),
    Home(environments.GENERATED, (GENERATED,)),
)


class Contest:
    """The decoders that take part.

    Args:
        options: What to measure.
        stack: Ends their processes.
    """

    def __init__(self, options: argparse.Namespace, stack: contextlib.ExitStack) -> None:
        self._options = options
        self._stack = stack
        self._paths: list[Path] = []
        self.notes: list[str] = []
        self._homes: dict[str, Home] = {}
        self._children: dict[str, Child] = {}
        for home in HOMES:
            names = [name for name in home.names if name in options.contestants]
            if names and self._reachable(home):
                home.environment.make()
                child = stack.enter_context(self._start(home, names))
                self._children |= dict.fromkeys(names, child)
                self._homes |= dict.fromkeys(names, home)

    def _reachable(self, home: Home) -> bool:
        if home.environment is not environments.GENERATED:
            return True
        try:
            self._paths = [environments.generated_client()]
        except Skipped as why:
            self.notes.append(f"{GENERATED} was skipped: {why}")
            return False
        return True

    def _start(self, home: Home, names: list[str]) -> Child:
        module = "benchmarks.contestants.decoding"
        return Child(names[0], home.environment.python, module, names, cores=cores()[0], paths=self._paths)

    def times(self, kind: str) -> dict[str, list[float]]:
        """Microseconds per page of all rounds."""
        taken: dict[str, list[float]] = {name: [] for name in self._children}
        for turn in range(self._options.pairs + 1):
            for name, child in self._children.items():
                us: float = child.ask(do="round", name=name, kind=kind, times=self._options.times)["us"]
                if turn:  # the first is for warming up
                    taken[name].append(us)
        return taken

    def held(self, kind: str, *, traced: bool) -> dict[str, float]:
        """Megabytes for 100,000 objects, each decoder in a fresh process."""
        objects = self._options.objects
        found: dict[str, float] = {}
        for name, home in self._homes.items():
            with self._start(home, [name]) as child:
                grown: float = child.ask(do="hold", name=name, kind=kind, objects=objects, traced=traced)["mb"]
            found[name] = grown * HELD / objects
        return found

    def versions(self) -> str:
        """Which versions took part."""
        found: dict[str, str] = {}
        for home in dict.fromkeys(self._homes.values()):
            found |= home.environment.versions()
        return ", ".join(f"{name} {found[name]}" for name in ("msgspec", "orjson", "pydantic") if name in found)


def judged(kind: str, times: dict[str, list[float]], held: dict[str, float]) -> list[Target]:
    """The targets."""
    found: list[Target] = []
    if OURS in times and BARE in times:
        against = ratios.ratio(times[OURS], times[BARE])
        what = f"decode {KINDS[kind]} ÷ bare msgspec"
        found.append(
            Target(what, "≤ 1.05", f"{against} ({statistics.median(times[OURS]):.0f} µs)", against.median <= 1.05)
        )
    if OURS in held and kind == "meetings":
        megabytes = held[OURS]
        found.append(
            Target("100,000 meetings held", f"≤ {MOST_MB:.0f} MB", f"{megabytes:.1f} MB", megabytes <= MOST_MB)
        )
    return found


def measure(options: argparse.Namespace) -> Report:
    """Run the contest."""
    report, lines = Report(), list[list[str]]()
    with contextlib.ExitStack() as stack:
        contest = Contest(options, stack)
        for kind, title in KINDS.items():
            print(f"measuring {title} …", file=sys.stderr, flush=True)
            times, held, grown = contest.times(kind), contest.held(kind, traced=True), contest.held(kind, traced=False)
            for name, taken in times.items():
                against = str(ratios.ratio(taken, times[BARE])) if BARE in times else ""
                sizes = [f"{held[name]:.1f}", f"{grown[name]:.1f}"]
                lines.append([title, name, f"{statistics.median(taken):.1f}", against, *sizes])
            report.targets += judged(kind, times, held)
            middle = sorted(((name, statistics.median(taken)) for name, taken in times.items()), key=lambda it: it[1])
            report.bars.append(Bars(f"Decode {title}", "µs", middle, OURS))
        report.notes += [*contest.notes, contest.versions()]
    head = ("page", "decoder", "µs", "÷ msgspec [95 %]", "MB per 100,000 held", "RSS")
    report.tables.append(Table("Decoding", head, lines))
    return report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    names = [name for home in HOMES for name in home.names]
    parser.add_argument("--pairs", type=int, default=31, help="turns")
    parser.add_argument("--times", type=int, default=500, help="pages in a round")
    parser.add_argument("--objects", type=int, default=HELD, help="how many are held to see what 100,000 take")
    parser.add_argument("--contestants", nargs="+", choices=names, default=names)


def main() -> int:
    """Run it."""
    parser = arguments(__doc__)
    add_arguments(parser)
    return publish(parser, measure)


if __name__ == "__main__":
    raise SystemExit(main())
