"""The simulated figures of a limiter, each from several seeds, beside what it must reach and what is aimed at.

    python benchmarks/limiter_figures.py [--seeds N] [--first SEED] [--only TEXT] [--limiter MODULE:NAME] [--jobs N] [--json FILE]

Prints one line per figure: its values, worst first, what it must be, what it is aimed to be, and whether the worst is so. Any
limiter can be measured that is made as `PointBudget` is. Ends with 0 if every figure is what it must be, with 1 if not, and with 2 if the
options cannot be used. Nothing has to be installed for it but the package itself.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from simulation.figures import Bound, Maker, Row

MODULES: Final = ("simulation.table", "simulation.trouble")
LIMITER: Final = "whereby_async.limiter:PointBudget"
FRESH: Final = 3
"""The seeds before it were looked at while limiters were tuned."""
PATIENCE: Final = 300
"""Seconds of real time that one scenario may take with one seed."""
SHOWN: Final = 8


class UsageError(Exception):
    """The options cannot be used."""


def rows() -> dict[str, Row]:
    """All rows by name, in order."""
    found: dict[str, Row] = {}
    for name in MODULES:
        if importlib.util.find_spec(name) is None:
            continue
        for row in cast("list[Row]", importlib.import_module(name).ROWS):
            if row.name in found:
                raise UsageError(f"two rows are called {row.name!r}")
            found[row.name] = row
    return found


def maker(name: str) -> Maker:
    """The limiter called `module:name`."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UsageError(f"--limiter takes module:name, such as {LIMITER}, not {name!r}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise UsageError(_missing(name, error)) from error
    except ImportError as error:  # the package's own word on an extra that is missing
        raise UsageError(f"{name} cannot be imported: {error}") from error
    except AttributeError as error:
        raise UsageError(f"the module {module} has no {attribute}") from error
    if not callable(found):
        raise UsageError(f"{name} is not callable, so it makes no limiter")
    return cast("Maker", found)


def _missing(name: str, error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    if package == name.partition(":")[0].partition(".")[0]:
        return f"there is no module {error.name}"
    extra = f"pip install 'whereby-async[{package}]'" if package == "redis" else f"pip install {package}"
    return f"{name} needs {package}, which is not installed: {extra}"


def one(name: str, limiter: str, seed: int) -> Mapping[str, float] | str:
    """The figures of one row and seed, or what went wrong. Runs in a process of the pool."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"it has not ended after {PATIENCE} s")

    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(PATIENCE)
    try:
        return dict(rows()[name].run(maker(limiter), seed))
    except Exception as error:  # noqa: BLE001 - the other rows' figures are not lost with it
        return f"{type(error).__name__}: {error}"
    finally:
        if hasattr(signal, "SIGALRM"):
            signal.alarm(0)


@dataclass
class Figure:
    """One figure of a row: `values` are those of all seeds, worst first."""

    name: str
    values: list[float]
    must: str = ""
    aim: str = ""
    missed: bool = False
    short: bool = False

    def __str__(self) -> str:
        shown = [f"{value:.5g}" for value in self.values[:SHOWN]]
        values = " ".join([*shown, *(["…"] if len(self.values) > SHOWN else [])])
        must = f"must {self.must}: {'MISSED' if self.missed else 'ok'}" if self.must else ""
        aim = f"aim {self.aim}: {'not yet' if self.short else 'ok'}" if self.aim else ""
        return f"  {self.name:12} {values:58} {must:22} {aim}".rstrip()


@dataclass
class Result:
    """What came of a row."""

    name: str
    figures: list[Figure] = field(default_factory=list[Figure])
    errors: list[str] = field(default_factory=list[str])

    @property
    def missed(self) -> bool:
        """Is a figure not what it must be?"""
        return bool(self.errors) or any(figure.missed for figure in self.figures)


def judge(row: Row, outcomes: Mapping[int, Mapping[str, float] | str]) -> Result:
    """The figures of all seeds of a row."""
    result = Result(row.name)
    result.errors = [f"seed {seed}: {text}" for seed, text in outcomes.items() if isinstance(text, str)]
    good = [figures for figures in outcomes.values() if not isinstance(figures, str)]
    names = list(dict.fromkeys(name for figures in good for name in figures))
    for name in names:
        values = [figures[name] for figures in good if name in figures]
        result.figures.append(_figure(name, values, row.must.get(name), row.aim.get(name)))
    result.errors += [f"there is no figure {name!r}" for name in row.must if good and name not in names]
    return result


def _figure(name: str, values: list[float], must: Bound | None, aim: Bound | None) -> Figure:
    bound = must or aim
    worst_is_most = bound is None or bound.worst([0.0, 1.0]) == 1.0
    return Figure(
        name,
        sorted(values, reverse=worst_is_most),
        must=str(must or ""),
        aim=str(aim or ""),
        missed=must is not None and not all(map(must.holds, values)),
        short=aim is not None and not all(map(aim.holds, values)),
    )


def measure(chosen: Sequence[Row], options: argparse.Namespace) -> Iterator[Result]:
    """All rows, in order, each seed of each a task of its own."""
    with ProcessPoolExecutor(options.jobs) as pool:
        tasks: list[dict[int, Future[Mapping[str, float] | str]]] = [
            {
                seed: pool.submit(one, row.name, options.limiter, seed)
                for seed in range(options.first, options.first + max(row.seeds, options.seeds))
            }
            for row in chosen
        ]
        for row, seeds in zip(chosen, tasks, strict=True):
            yield judge(row, {seed: task.result() for seed, task in seeds.items()})


def show(result: Result) -> None:
    """A row's lines."""
    print(f"{result.name}: {'MISSED' if result.missed else 'ok'}")
    for figure in result.figures:
        print(figure)
    for error in result.errors:
        print(f"  {error}")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="seeds of each row, if it does not take more")
    parser.add_argument("--first", type=int, default=100, metavar="SEED", help="the first seed (default 100)")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name contains it")
    parser.add_argument("--limiter", default=LIMITER, metavar="MODULE:NAME", help=f"default {LIMITER}")
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="processes (default 2)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


def checked(options: argparse.Namespace) -> list[Row]:
    """The rows that were asked for, if all options can be used."""
    if options.first < FRESH:
        raise UsageError(f"--first must be {FRESH} or more: limiters were tuned with the seeds before")
    if options.seeds < 0 or options.jobs < 1:
        raise UsageError("--seeds must be 0 or more, and --jobs 1 or more")
    maker(options.limiter)
    chosen = [row for row in rows().values() if options.only.lower() in row.name.lower()]
    if not chosen:
        raise UsageError(f"no row's name contains {options.only!r}")
    return chosen


def main() -> int:
    """Run it."""
    parser = arguments()
    options = parser.parse_args()
    try:
        chosen = checked(options)
    except UsageError as error:
        parser.error(str(error))
    results: list[Result] = []
    for result in measure(chosen, options):
        show(result)
        results.append(result)
    missed = [result.name for result in results if result.missed]
    print(
        f"{len(results) - len(missed)} of {len(results)} rows are ok" + "".join(f"\n  MISSED {name}" for name in missed)
    )
    if options.json:
        report: dict[str, Any] = {
            "limiter": options.limiter,
            "first": options.first,
            "rows": [asdict(result) | {"missed": result.missed} for result in results],
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
