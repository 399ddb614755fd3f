"""All benches in one go: the figures, the table, the chart, and which targets are met.

    python benchmarks/all.py --table FILE --svg FILE         about an hour on an idle machine
    python benchmarks/all.py --quick                         a minute or two: shows that all of them run, its figures say little
    python benchmarks/all.py --only call decode              some of them

Needs nothing but a Python and the package index. The benches that need no peers are run in an environment with the package's
extras, and what they print is shown as it is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import call, decode, imports, limiter_peers, queued
from benchmarks.kit import environments
from benchmarks.kit.children import clean_environment
from benchmarks.kit.environments import ROOT, BenchError
from benchmarks.kit.reports import Report, arguments, publish

if TYPE_CHECKING:
    import argparse
    from types import ModuleType


class Bench(NamedTuple):
    """One that is measured here.

    Attributes:
        module: Where it is.
        quick: Its options when it only has to be seen to run.
    """

    module: ModuleType
    quick: tuple[str, ...]


BENCHES = {
    "call": Bench(call, ("--pairs", "2", "--others", "1", "--calls", "60", "--concurrency", "50")),
    "decode": Bench(decode, ("--pairs", "3", "--times", "20", "--objects", "2000")),
    "imports": Bench(imports, ("--turns", "2")),
    "queued": Bench(queued, ("--calls", "500")),
    "limiter_peers": Bench(limiter_peers, ("--pairs", "3", "--waiters", "500", "--points", "1500", "--patience", "20")),
}
COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "limiter.py": ((), ("crowd", "500")),
    "limiter_figures.py": ((), ("--only", "12 calls")),
    "limiter_servers.py": ((), ("--only", "fastify")),
    "limiter_sockets.py": ((), ()),
    "reachability.py": ((), ()),
    "webhooks.py": ((), ()),
    "shared_budgets.py": (("scale",), ("--help",)),
    "batch_memory.py": (("--calls",), ("--items", "2000", "--calls")),
}
"""Those that say what they have to say by themselves: their arguments, and those for a quick run."""


def measure(options: argparse.Namespace) -> Report:
    """All that were asked for, one after the other."""
    report = Report()
    for name in options.only:
        print(f"== {name}", file=sys.stderr, flush=True)
        try:
            report.add(own(name, quick=options.quick) if name in BENCHES else command(name, quick=options.quick))
        except BenchError as error:  # the others' figures are not lost with it
            report.failures.append(f"{name}: {error}")
    missing = [name for name in COMMANDS if not (ROOT / "benchmarks" / name).exists()]
    report.notes += [f"{name} is not in this checkout" for name in missing]
    return report


def own(name: str, *, quick: bool) -> Report:
    """One with peers."""
    bench = BENCHES[name]
    parser = arguments(bench.module.__doc__)
    bench.module.add_arguments(parser)
    found: Report = bench.module.measure(parser.parse_args(bench.quick if quick else ()))
    return found


def command(name: str, *, quick: bool) -> Report:
    """One without."""
    if not (ROOT / "benchmarks" / name).exists():
        return Report()
    environments.WITH_EXTRAS.make()
    given = COMMANDS[name][quick]
    done = subprocess.run(
        [str(environments.WITH_EXTRAS.python), str(ROOT / "benchmarks" / name), *given],
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
        env=clean_environment(PYTHONPATH=str(ROOT)),
    )
    failures = [f"{name} ended with {done.returncode}: {done.stderr.strip()}"] if done.returncode else []
    return Report(outputs={" ".join(("python", f"benchmarks/{name}", *given)): done.stdout}, failures=failures)


def main() -> int:
    """Run it."""
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=[*BENCHES, *COMMANDS], default=[*BENCHES, *COMMANDS])
    return publish(parser, measure)


if __name__ == "__main__":
    raise SystemExit(main())
