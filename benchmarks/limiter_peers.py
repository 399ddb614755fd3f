"""The point budget beside aiolimiter, pyrate-limiter, limits and throttled-py.

    python benchmarks/limiter_peers.py [--table FILE] [--svg FILE] [--waiters 10000 100000]

Needs nothing but a Python and the package index. One uncontended acquire (ours with its settle), in turns; crowds of waiters that
are all served in the next minute of a simulated clock: processor time and events of the loop for each, the longest turn of the
loop, bytes; and a backlog against simulated servers: how long it takes, and how often the server refused. A limiter that takes
longer than `--patience` is given up.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit import environments, ratios
from benchmarks.kit.children import Child, cores
from benchmarks.kit.environments import BenchError
from benchmarks.kit.reports import Bars, Report, Table, arguments, publish

if TYPE_CHECKING:
    import argparse

OURS, FLOOR = "whereby_async", "aiolimiter"
NAMES = (FLOOR, OURS, "pyrate-limiter", "limits", "throttled-py")
SERVERS = ("fixed", "aligned", "sliding_log", "token_bucket", "sliding_counter", "fixed, spent")
MODULE = "benchmarks.contestants.limiting"


def start(name: str, *how: str) -> Child:
    """A process of the limiters' environment."""
    return Child(name, environments.LIMITERS.python, MODULE, how, cores=cores()[0])


def uncontended(options: argparse.Namespace) -> tuple[Table, Bars]:
    """One acquire that need not wait, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in options.contestants}
    with start("uncontended") as child:
        for turn in range(options.pairs + 1):
            for name, values in taken.items():
                ns: float = child.ask(do="uncontended", name=name, calls=1000)["ns"]
                if turn:  # the first is for warming up
                    values.append(ns)
    floor = taken.get(FLOOR)
    middle = [(name, statistics.median(values)) for name, values in taken.items()]
    rows = [[name, f"{value:.0f}", str(ratios.ratio(taken[name], floor)) if floor else ""] for name, value in middle]
    title = "Uncontended acquire (ours: with settle)"
    ordered = sorted(middle, key=lambda it: it[1])
    return Table(title, ("limiter", "ns", "÷ aiolimiter [95 %]"), rows), Bars(title, "ns", ordered, OURS)


def asked(name: str, patience: float, /, **question: object) -> dict[str, Any] | None:
    """One answer of a fresh process, or `None` if it took too long."""
    with start(name, *([] if name == OURS else ["simulated"])) as child:
        try:
            return child.ask(patience=patience, name=name, **question)
        except BenchError:
            return None


def crowds(options: argparse.Namespace) -> Table:
    """Crowds of waiters."""
    rows: list[list[str]] = []
    for count in options.waiters:
        for name in options.contestants:
            print(f"{count} waiters, {name} …", file=sys.stderr, flush=True)
            served = asked(name, options.patience, do="crowd", count=count)
            held = asked(name, options.patience, do="waiting", count=count)
            gave_up = f"gave up after {options.patience:.0f} s"
            figures = [gave_up, "", "", ""]
            if served:
                figures = [f"{served[what]:.{digits}f}" for what, digits in FIGURES]
            rows.append([f"{count:,}", name, *figures, f"{held['bytes']:.0f}" if held else ""])
    head = (
        "waiters",
        "limiter",
        "CPU µs each",
        "loop events per grant",
        "longest stall ms",
        "out of order",
        "bytes each",
    )
    return Table("Crowds of waiters", head, rows)


FIGURES = (("cpu_us", 1), ("events", 2), ("stall_ms", 1), ("inversions", 0))


def goodput(options: argparse.Namespace) -> Table:
    """Backlogs against simulated servers."""
    rows: list[list[str]] = []
    for name in options.contestants:
        print(f"simulated servers, {name} …", file=sys.stderr, flush=True)
        row = [name]
        for server in options.servers:
            got = asked(name, options.patience, do="goodput", server=server, points=options.points, seed=1)
            row.append(f"{got['seconds']:.0f} s, {got['throttled']}" if got else "gave up")
        rows.append(row)
    title = f"{options.points:,} points from 1,000 a minute, simulated: seconds, and how many 429s"
    return Table(title, ("limiter", *(server.replace("_", " ") for server in options.servers)), rows)


def measure(options: argparse.Namespace) -> Report:
    """Run the contest."""
    environments.LIMITERS.make()
    table, bars = uncontended(options)
    found = environments.LIMITERS.versions()
    versions = ", ".join(f"{name} {found[name]}" for name in NAMES if name in found)
    return Report(tables=[table, crowds(options), goodput(options)], bars=[bars], notes=[versions])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    parser.add_argument("--pairs", type=int, default=51, help="turns of the uncontended acquire")
    parser.add_argument("--waiters", type=int, nargs="+", default=[10_000, 100_000], help="sizes of the crowds")
    parser.add_argument("--points", type=int, default=4000, help="how many the backlog is worth")
    parser.add_argument("--patience", type=float, default=120, help="seconds until a limiter is given up")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--contestants", nargs="+", choices=NAMES, default=list(NAMES))


def main() -> int:
    """Run it."""
    parser = arguments(__doc__)
    add_arguments(parser)
    return publish(parser, measure)


if __name__ == "__main__":
    raise SystemExit(main())
