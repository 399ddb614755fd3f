"""What a call weighs that waits for points, with its task.

    python benchmarks/queued.py [--calls 10000] [--table FILE] [--svg FILE]

Needs nothing but a Python and the package index. So many tasks each make a call while the budget is spent; what Python's allocator
gave out for them is divided among them. Nothing is sent. Beside it: a task that waits for a bare future, and for the limiter alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit import environments
from benchmarks.kit.children import Child
from benchmarks.kit.reports import Bars, Report, Table, Target, arguments, publish

if TYPE_CHECKING:
    import argparse

MODULE = "benchmarks.contestants.waiting"
SUBJECTS = {
    "future": "a bare future",
    "acquire": "the limiter alone",
    "get": "meetings.get",
    "list": "meetings.list",
    "create": "meetings.create",
    "hooked": "meetings.get, with a hook",
}
MOST = 4096


def measure(options: argparse.Namespace) -> Report:
    """Each in a fresh process."""
    environments.OURS.make()
    sizes: dict[str, float] = {}
    for subject in SUBJECTS:
        with Child(subject, environments.OURS.python, MODULE) as child:
            sizes[subject] = child.ask(do="weigh", subject=subject, count=options.calls)["bytes"]
    rows = [[title, f"{sizes[subject]:.0f}"] for subject, title in SUBJECTS.items()]
    met = sizes["get"] <= MOST
    return Report(
        tables=[Table(f"Bytes for each of {options.calls:,} that wait, with its task", ("what waits", "bytes"), rows)],
        bars=[
            Bars(
                "Waiting, with its task",
                "bytes",
                [(SUBJECTS[one], size) for one, size in sizes.items()],
                SUBJECTS["get"],
            )
        ],
        targets=[Target("a queued call with its task", "≤ 4 KB", f"{sizes['get']:.0f} bytes", met)],
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    parser.add_argument("--calls", type=int, default=10_000, help="how many wait")


def main() -> int:
    """Run it."""
    parser = arguments(__doc__)
    add_arguments(parser)
    return publish(parser, measure)


if __name__ == "__main__":
    raise SystemExit(main())
