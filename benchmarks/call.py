"""What a call costs the process that makes it, beside what else one could call this API with, all in one run and in turns.

    python benchmarks/call.py [--table FILE] [--svg FILE]        all of it: about half an hour
    python benchmarks/call.py --operations get --concurrency 50 --transports plain --pairs 31
    python benchmarks/call.py --quick                            a minute: shows that it runs

Needs nothing but a Python and the package index. Each contestant lives in an environment and a process of its own, and has a port
of its own on one fast server, with its own budget; both are on loopback, on different cores. The contestants make their calls in
turns, round by round; a ratio is taken between rounds of the same turn, and shown as the median with its 95 % interval. CPU is the
processor time of the contestant's process. The floor is what somebody writes by hand: a default `aiohttp.ClientSession`,
`session.get`, `json.loads(await response.read())`. Calls of which 500 wait at once share 50 connections, for all contestants.

What helped, with 50 GETs at once, in times the floor (Python 3.11, aiohttp 3.14, two cores; it began at 1.34):

- Answers that could be foretold are booked without a second thought: 1.12 to .93 for connection, header parsing and limiter.
- A body that is there with the head is taken without another coroutine, and nothing is asked for that the session knows
  already: .95 to .82 for the connection alone. Headers put together once per client: another 20,000 of 299,000 instructions.
- asyncio reserves 256 KiB for each read, which the allocator gets from the system and gives back each time. With 64 KiB: 1.01
  to .86, eight page faults instead of twenty for a page of rooms; and none once glibc has seen a larger block come and go: 211
  to 190 µs.
- Lists make the request of their next page when it is wanted, and senders pinned to a lane are kept: 50 to 20 µs a list.

Tried, and did not help:

- Handing over the body without the copy that keeps it out of tracebacks: 207 and 206 µs for a page of 45 kB.
- Reads of 16 or 32 KiB: fewer page faults, but a page of rooms takes several reads, 220 to 230 µs instead of 212; of 96 or
  120 KiB: as with 64.
- A `CIMultiDict` of headers instead of a dictionary for `session.request`: .82 and .83. One header instead of four: .82 and .83.
- No garbage collector at all: within the noise, for the floor too.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit import environments, ratios
from benchmarks.kit.children import Child, cores
from benchmarks.kit.environments import Environment, Skipped
from benchmarks.kit.reports import Bars, Report, Table, Target, arguments, publish
from benchmarks.kit.server import LIMIT, STYLES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

OURS, FLOOR, MSGSPEC = "whereby_async", "aiohttp + json", "aiohttp + msgspec"
OPERATIONS = {"get": "GET one", "list": "100 meetings", "insights": "100 rooms", "create": "POST"}
CONCURRENCIES = (50, 1, 500)
TRANSPORTS = ("plain", "tls", *STYLES)
"""Connections to a server that does what the service does, and plain ones to servers with other habits."""
JUDGED = {"get": 1.00, "list": 0.78, "insights": 0.52}
"""Operations of which targets speak, and the processor time that ours may take at most, in times the floor's."""
LOOPS = {"asyncio": "asyncio", "uvloop": "uvloop"}
MOST_CONNECTIONS = 50
"""With more calls at once than this, so many connections for each contestant."""
_SLOW_IN_A_CROWD = 2
"""Turns of the slower contestants where calls wait for connections: some of them take seconds for one."""


class Contestant(NamedTuple):
    """Who takes part.

    Attributes:
        name: What tables call it.
        module: Its module below `contestants`.
        environment: Where it lives.
        lacks: Operations that it does not have.
        loops: Loops that it is run on.
        steady: It takes part in all turns, not only in the first few.
    """

    name: str
    module: str
    environment: Environment
    lacks: frozenset[str] = frozenset()
    loops: tuple[str, ...] = tuple(LOOPS)
    steady: bool = False


CONTESTANTS = (
    Contestant(FLOOR, "aiohttp_json", environments.OURS, steady=True),
    Contestant(OURS, "whereby_async_caller", environments.OURS, steady=True),
    Contestant(MSGSPEC, "aiohttp_msgspec", environments.OURS, steady=True),
    Contestant("aiohttp, tuned", "aiohttp_tuned", environments.OURS, steady=True),
    Contestant("httpx", "httpx_json", environments.HTTPX),
    Contestant("openapi-python-client", "generated", environments.GENERATED),
    Contestant("whereby-api", "whereby_api_threads", environments.WHEREBY_API, frozenset({"list"}), loops=("asyncio",)),
)


class Cell(NamedTuple):
    """One combination that is measured."""

    operation: str
    concurrency: int
    transport: str

    def __str__(self) -> str:
        return f"{OPERATIONS[self.operation]}, {self.concurrency} at once, {STYLES.get(self.transport, self.transport)}"

    @property
    def asked(self) -> bool:
        """Servers with other habits are measured where targets speak of them."""
        return self.transport not in STYLES or (self.concurrency == 50 and self.operation in JUDGED)

    @property
    def judged(self) -> bool:
        """Targets speak of it: it is measured more often."""
        return self.transport != "tls" and (
            self.concurrency == 50 or (self.concurrency, self.operation) == (500, "get")
        )


class Runner(NamedTuple):
    """A contestant on one loop, alive."""

    contestant: Contestant
    loop: str
    child: Child
    port: int

    @property
    def key(self) -> tuple[str, str]:
        """Who it is, for the figures."""
        return self.contestant.name, self.loop


@dataclass
class Figures:
    """All rounds, by cell, contestant and loop."""

    rounds: dict[tuple[Cell, str, str], list[dict[str, float]]] = field(
        default_factory=dict[tuple[Cell, str, str], list[dict[str, float]]]
    )

    def of(self, cell: Cell, name: str, loop: str, what: str) -> list[float]:
        """One figure of all rounds."""
        return [one[what] for one in self.rounds.get((cell, name, loop), [])]

    def cpu_ratio(
        self, cell: Cell, name: str, loop: str, other: str = FLOOR, other_loop: str | None = None
    ) -> ratios.Estimate | None:
        """Processor time per call against another's, usually the floor's on the same loop."""
        ours, theirs = self.of(cell, name, loop, "cpu_us"), self.of(cell, other, other_loop or loop, "cpu_us")
        both = min(len(ours), len(theirs))
        return ratios.ratio(ours[:both], theirs[:both]) if both else None


def rows(figures: Figures, cells: list[Cell]) -> list[list[str]]:
    """The big table."""
    lines: list[list[str]] = []
    for (cell, name, loop), taken in figures.rounds.items():
        if cell not in cells:
            continue
        middle = {what: statistics.median(one[what] for one in taken) for what in taken[0]}
        against = figures.cpu_ratio(cell, name, loop)
        lines.append(
            [
                str(cell),
                f"{name}, {loop}",
                f"{middle['cpu_us']:.0f}",
                str(against) if against else "",
                f"{middle['per_second']:.0f}",
                f"{middle['p50_ms']:.2f}",
                f"{middle['p99_ms']:.2f}",
                f"{middle['rss_mb']:.0f}",
            ]
        )
    return lines


def glance(figures: Figures) -> Table:
    """The figures that most users would ask for: 50 calls at once, asyncio, plain."""
    cells = [Cell(operation, 50, "plain") for operation in OPERATIONS]
    lines: list[list[str]] = []
    for one in CONTESTANTS:
        line: list[str] = []
        for cell in cells:
            taken, against = (
                figures.of(cell, one.name, "asyncio", "cpu_us"),
                figures.cpu_ratio(cell, one.name, "asyncio"),
            )
            times = f" ({against.median:.2f})" if against else ""
            line.append(f"{statistics.median(taken):.0f}{times}" if taken else "—")
        memory = figures.of(cells[0], one.name, "asyncio", "rss_mb")
        if any(found != "—" for found in line):
            lines.append([one.name, *line, f"{statistics.median(memory):.0f}" if memory else "—"])
    title = "Processor time per call in µs (÷ floor), 50 at once, asyncio, plain"
    return Table(title, ("client", *OPERATIONS.values(), "RSS MB"), lines)


def targets(figures: Figures) -> Iterator[Target]:
    """What issue and README promise, as far as it was measured."""
    get = Cell("get", 50, "plain")
    for transport in ("plain", *STYLES):
        for operation, most in JUDGED.items():
            if found := figures.cpu_ratio(Cell(operation, 50, transport), OURS, "asyncio"):
                title = f"CPU of {OPERATIONS[operation]}, 50 at once, {STYLES.get(transport, transport)} ÷ floor"
                reached = f"{found}, {found.pairs} pairs"
                met = found.median <= most and found.high <= most + 0.03 and found.pairs >= 15
                yield Target(title, f"≤ {most:.2f}, interval ≤ {most + 0.03:.2f}, ≥ 15 pairs", reached, met)
    if found := figures.cpu_ratio(get, OURS, "uvloop", FLOOR, "asyncio"):
        yield Target("ours on uvloop ÷ floor on asyncio", "≤ 0.92", str(found), found.median <= 0.92)
    ours, bare = figures.of(get, OURS, "asyncio", "cpu_us"), figures.of(get, MSGSPEC, "asyncio", "cpu_us")
    if ours and bare:
        found = ratios.difference(ours, bare)
        reached = f"{found.median:.1f} µs [{found.low:.1f}, {found.high:.1f}]"
        yield Target("added to aiohttp + msgspec per call", "≤ 25 µs", reached, found.median <= 25)
    crowd = Cell("get", 500, "plain")
    if figures.of(crowd, OURS, "asyncio", "p99_ms"):
        found = _spread(figures, crowd, OURS)
        theirs = _spread(figures, crowd, FLOOR)
        yield Target(
            "p99 ÷ p50, 500 at once over 50 connections",
            "≤ 1.3",
            f"{found} (floor {theirs.median:.2f})",
            found.median <= 1.3,
        )


def _spread(figures: Figures, cell: Cell, name: str) -> ratios.Estimate:
    return ratios.ratio(
        figures.of(cell, name, "asyncio", "p99_ms"), figures.of(cell, name, "asyncio", "p50_ms") or [1.0]
    )


def bars(figures: Figures) -> Iterator[Bars]:
    """The chart: processor time per call with 50 at once."""
    for operation, title in OPERATIONS.items():
        cell = Cell(operation, 50, "plain")
        values = [
            (name, statistics.median(one["cpu_us"] for one in taken))
            for (at, name, loop), taken in figures.rounds.items()
            if at == cell and loop == "asyncio"
        ]
        if values:
            yield Bars(
                f"{title}, 50 at once", "µs of processor time per call", sorted(values, key=lambda it: it[1]), OURS
            )


class Contest:
    """The contestants that were asked for, alive, and the server.

    Args:
        options: What to measure.
        stack: Ends them.
    """

    def __init__(self, options: argparse.Namespace, stack: contextlib.ExitStack) -> None:
        self.notes: list[str] = []
        self._options = options
        self._here, server_core = cores()
        self._directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chosen = [
            (one, loop)
            for loop in options.loops
            for one in CONTESTANTS
            if one.name in options.contestants and loop in one.loops
        ]
        environments.SERVER.make()
        arguments = [str(len(chosen)), *(["--tls", str(self._directory)] if "tls" in options.transports else [])]
        server = Child("server", environments.SERVER.python, "benchmarks.kit.server", arguments, cores=server_core)
        self._ports = stack.enter_context(server).hear()
        self.runners: list[Runner] = []
        for port, (one, loop) in enumerate(chosen):
            with contextlib.suppress(Skipped):
                child = stack.enter_context(self._start(one, loop))
                self.runners.append(Runner(one, loop, child, port))

    def _start(self, one: Contestant, loop: str) -> Child:
        paths: list[Path] = []
        if one.module == "generated":
            try:
                paths = [environments.generated_client()]
            except Skipped as why:
                self.notes.append(f"{one.name} was skipped: {why}")
                raise
        one.environment.make()
        arguments = [one.module, LOOPS[loop]]
        return Child(
            one.name, one.environment.python, "benchmarks.contestants.caller", arguments, cores=self._here, paths=paths
        )

    def versions(self) -> str:
        """Which versions took part."""
        found: dict[str, str] = {}
        for runner in self.runners:
            found |= runner.contestant.environment.versions()
        named = ("aiohttp", "msgspec", "uvloop", "httpx", "whereby-api", "requests")
        return ", ".join(f"{name} {found[name]}" for name in named if name in found)

    def measure(self, cell: Cell, figures: Figures) -> None:
        """All turns of one cell."""
        runners = [one for one in self.runners if cell.operation not in one.contestant.lacks]
        calls = {runner.key: self._open(runner, cell) for runner in runners}
        options = self._options
        turns = options.pairs if cell.judged else options.others
        slow = min(options.others, _SLOW_IN_A_CROWD) if cell.concurrency > MOST_CONNECTIONS else options.others
        for turn in range(turns):
            for runner in runners:
                if turn >= slow and not runner.contestant.steady:
                    continue
                taken: dict[str, float] = self._round(runner, cell, calls[runner.key])
                figures.rounds.setdefault((cell, *runner.key), []).append(taken)
        for runner in runners:
            runner.child.ask(do="close")

    def _open(self, runner: Runner, cell: Cell) -> int:
        """Open the contestant's client; how many calls make a round."""
        port = self._ports[cell.transport][runner.port]
        scheme, authority = ("https", str(self._directory / "ca.pem")) if cell.transport == "tls" else ("http", None)
        connections = MOST_CONNECTIONS if cell.concurrency > MOST_CONNECTIONS else None
        base_url = f"{scheme}://127.0.0.1:{port}/v1"
        limit = LIMIT if cell.transport == "silent" else None
        runner.child.ask(do="open", base_url=base_url, authority=authority, connections=connections, limit=limit)
        runner.child.ask(do="check", operation=cell.operation)
        if self._options.calls:
            return max(int(self._options.calls), 3 * cell.concurrency)
        trial = self._round(runner, cell, cell.concurrency + 50)
        wanted = trial["per_second"] * self._options.seconds
        return int(max(wanted, (10 if runner.contestant.steady else 3) * cell.concurrency))

    def _round(self, runner: Runner, cell: Cell, calls: int) -> dict[str, Any]:
        warm_up = cell.concurrency + calls // 10
        return runner.child.ask(
            do="round", operation=cell.operation, calls=calls, concurrency=cell.concurrency, warm_up=warm_up
        )


def measure(options: argparse.Namespace) -> Report:
    """Run the contest."""
    figures, report = Figures(), Report()
    if options.quick:
        options.pairs, options.others, options.calls, options.concurrency = 2, 1, 60, [50]
    cells = [
        cell
        for transport in options.transports
        for concurrency in options.concurrency
        for operation in options.operations
        if (cell := Cell(operation, concurrency, transport)).asked
    ]
    with contextlib.ExitStack() as stack:
        contest = Contest(options, stack)
        for cell in cells:
            print(f"measuring {cell} …", file=sys.stderr, flush=True)
            contest.measure(cell, figures)
        report.notes += [*contest.notes, contest.versions()]
    head = ("call", "client", "CPU µs", "÷ floor [95 %]", "calls/s", "p50 ms", "p99 ms", "RSS MB")
    report.tables += [table for table in (glance(figures), Table("Calls", head, rows(figures, cells))) if table.rows]
    report.targets += targets(figures)
    report.bars += bars(figures)
    return report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    parser.add_argument("--pairs", type=int, default=21, help="turns where targets are judged")
    parser.add_argument("--others", type=int, default=5, help="turns elsewhere, and for the slower contestants")
    parser.add_argument("--seconds", type=float, default=0.3, help="how long a round is")
    parser.add_argument("--calls", type=int, help="calls in a round, instead")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS))
    parser.add_argument("--concurrency", nargs="+", type=int, default=list(CONCURRENCIES))
    parser.add_argument("--transports", nargs="+", choices=TRANSPORTS, default=list(TRANSPORTS))
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=list(LOOPS))
    names = [one.name for one in CONTESTANTS]
    parser.add_argument("--contestants", nargs="+", choices=names, default=names)


def main() -> int:
    """Run it."""
    parser = arguments(__doc__)
    add_arguments(parser)
    return publish(parser, measure)


if __name__ == "__main__":
    raise SystemExit(main())
