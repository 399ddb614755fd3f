"""What the imports cost: in fresh interpreters, in turns, with bytecode compiled before.

    python benchmarks/imports.py [--table FILE] [--svg FILE]

Needs nothing but a Python and the package index. Each figure is the wall time from the first line of a program to its last, so
that the start of Python itself is not in it; least and median of the turns.
"""

from __future__ import annotations

import compileall
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit import environments
from benchmarks.kit.children import clean_environment
from benchmarks.kit.environments import ROOT, BenchError, Environment, Skipped
from benchmarks.kit.reports import Bars, Report, Table, Target, arguments, publish

if TYPE_CHECKING:
    import argparse

PACKAGE, WEBHOOKS, CLIENT = (
    "import whereby_async",
    "import whereby_async.webhooks",
    "from whereby_async import WherebyClient",
)
MSGSPEC, FLOOR = "import msgspec", "import aiohttp, msgspec"


PEER = "from whereby_api import WherebyClient"
GENERATED = "from generated_whereby import AuthenticatedClient"


class Subject(NamedTuple):
    """A program and where it runs."""

    program: str
    environment: Environment


SUBJECTS = (
    Subject("pass", environments.OURS),
    Subject(PACKAGE, environments.OURS),
    Subject(MSGSPEC, environments.OURS),
    Subject(WEBHOOKS, environments.OURS),
    Subject("import aiohttp", environments.OURS),
    Subject(FLOOR, environments.OURS),
    Subject(CLIENT, environments.OURS),
    Subject(f"{CLIENT}; WherebyClient('key')", environments.OURS),
    Subject("import httpx", environments.HTTPX),
    Subject(PEER, environments.WHEREBY_API),
    Subject(GENERATED, environments.GENERATED),
)


class Contest:
    """The programs, timed."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._paths: list[str] = [str(ROOT)]
        self.times: dict[str, list[float]] = {}
        self._subjects: list[Subject] = []

    def prepare(self, chosen: list[str]) -> None:
        """Make the environments and the bytecode."""
        compileall.compile_dir(ROOT / "whereby_async", quiet=1)
        for subject in SUBJECTS:
            if subject.environment.name not in chosen:
                continue
            if subject.environment is environments.GENERATED and not self._generated():
                continue
            subject.environment.make()
            self._subjects.append(subject)
            self.times[subject.program] = []
            self._milliseconds(subject)  # its bytecode is there from now on

    def _generated(self) -> bool:
        try:
            self._paths.append(str(environments.generated_client()))
        except Skipped as why:
            self.notes.append(f"the generated client was skipped: {why}")
            return False
        return True

    def turn(self) -> None:
        """Each program once."""
        for subject in self._subjects:
            self.times[subject.program].append(self._milliseconds(subject))

    def _milliseconds(self, subject: Subject) -> float:
        program = f"import time; began = time.perf_counter(); {subject.program}; print(time.perf_counter() - began)"
        variables = clean_environment(PYTHONPATH=(";" if sys.platform == "win32" else ":").join(self._paths))
        done = subprocess.run(
            [str(subject.environment.python), "-c", program],
            capture_output=True,
            check=False,
            encoding="utf-8",
            env=variables,
            cwd=ROOT,
        )
        if done.returncode:
            raise BenchError(f"{subject.program} failed:\n{done.stderr}")
        return float(done.stdout) * 1000


def judged(times: dict[str, list[float]]) -> list[Target]:
    """The targets, by the least of all turns: what is above it is the machine's other work."""
    least = {program: min(taken) for program, taken in times.items()}
    if CLIENT not in least:
        return []
    package = least[PACKAGE] - least["pass"]
    webhooks = least[WEBHOOKS] - least[MSGSPEC]
    client = least[CLIENT] / least[FLOOR]
    return [
        Target("import whereby_async", "≤ 5 ms", f"{package:.1f} ms", package <= 5),
        Target("import whereby_async.webhooks", "≤ msgspec's + 15 ms", f"+ {webhooks:.1f} ms", webhooks <= 15),
        Target(CLIENT, "≤ aiohttp's and msgspec's + 15 %", f"{client - 1:+.1%}", client <= 1.15),
    ]


def measure(options: argparse.Namespace) -> Report:
    """Run the contest."""
    contest = Contest()
    contest.prepare(options.environments)
    print("measuring imports …", file=sys.stderr, flush=True)
    for _ in range(options.turns):
        contest.turn()
    middle = {program: statistics.median(taken) for program, taken in contest.times.items()}
    lines = [
        [f"`{program}`", f"{min(taken):.1f}", f"{middle[program]:.1f}"] for program, taken in contest.times.items()
    ]
    values = [(program.removeprefix("import "), value) for program, value in middle.items() if program != "pass"]
    names = {CLIENT: "WherebyClient", PEER: "whereby_api", GENERATED: "openapi-python-client"}
    shown = [(names.get(program, program), value) for program, value in values if ";" not in program]
    return Report(
        tables=[Table("Imports", ("program", "least ms", "median ms"), lines)],
        bars=[Bars("Import", "ms", sorted(shown, key=lambda it: it[1]), "WherebyClient")],
        targets=judged(contest.times),
        notes=contest.notes,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    names = list(dict.fromkeys(subject.environment.name for subject in SUBJECTS))
    parser.add_argument("--turns", type=int, default=25, help="how often each program is run")
    parser.add_argument("--environments", nargs="+", choices=names, default=names)


def main() -> int:
    """Run it."""
    parser = arguments(__doc__)
    add_arguments(parser)
    return publish(parser, measure)


if __name__ == "__main__":
    raise SystemExit(main())
