"""What a bench says at its end: tables, a chart, and which targets were met."""

from __future__ import annotations

import argparse
import html
import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.kit.environments import BenchError, forget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Table:
    """A table with a title."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [f"### {self.title}", "", _row(self.head), _row(["---", *["---:"] * (len(self.head) - 1)])]
        return "\n".join([*lines, *map(_row, self.rows)])


@dataclass(frozen=True)
class Bars:
    """One part of the chart: a bar for each contestant; ours is the one that stands out."""

    title: str
    unit: str
    values: Sequence[tuple[str, float]]
    ours: str


@dataclass(frozen=True)
class Target:
    """A line of what has to be reached."""

    what: str
    target: str
    reached: str
    met: bool

    def __str__(self) -> str:
        return f"{'met    ' if self.met else 'NOT MET'}  {self.what}: {self.reached} (target {self.target})"


@dataclass
class Report:
    """All that a bench found out.

    Attributes:
        tables: For the table's file.
        bars: For the chart's.
        targets: Which were judged.
        notes: What was skipped and why; versions.
        outputs: What other benches printed, by their commands.
        failures: What could not be run, or did not hold.
    """

    tables: list[Table] = field(default_factory=list[Table])
    bars: list[Bars] = field(default_factory=list[Bars])
    targets: list[Target] = field(default_factory=list[Target])
    notes: list[str] = field(default_factory=list[str])
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    failures: list[str] = field(default_factory=list[str])

    def add(self, other: Report) -> None:
        """Another bench's, behind this one's."""
        self.tables += other.tables
        self.bars += other.bars
        self.targets += other.targets
        self.notes += other.notes
        self.outputs |= other.outputs
        self.failures += other.failures

    def markdown(self) -> str:
        """All of it but the chart."""
        parts = [str(table) for table in self.tables]
        if self.targets:
            rows = [[one.what, one.target, one.reached, "yes" if one.met else "**no**"] for one in self.targets]
            parts.append(str(Table("Targets", ("what", "target", "reached", "met"), rows)))
        parts += [f"### `{command}`\n\n```\n{text.strip()}\n```" for command, text in self.outputs.items()]
        notes = list(dict.fromkeys([*self.notes, machine()]))
        return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def machine() -> str:
    """What it was measured on."""
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benches have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the tables there, as Markdown")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the chart there")
    parser.add_argument("--quick", action="store_true", help="tiny counts: shows that it runs, and misses no target")
    parser.add_argument("--fresh", action="store_true", help="install the contestants again, in their newest versions")
    return parser


def publish(parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace], Report]) -> int:
    """Measure, print, and write what was asked for. The exit code is 1 if something could not be run, or a target was missed."""
    options = parser.parse_args()
    if options.fresh:
        forget()
    try:
        report = measure(options)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report.markdown())
    for target in report.targets:
        print(target)
    if options.table:
        options.table.write_text(report.markdown(), "utf-8")
    if options.svg:
        options.svg.write_text(chart(report.bars), "utf-8")
    for failure in report.failures:
        print(f"error: {failure}", file=sys.stderr)
    missed = not options.quick and any(not target.met for target in report.targets)
    return 1 if report.failures or missed else 0


_WIDTH = 760
_LABEL = 190
_LINE = 22
_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .value { font-variant-numeric: tabular-nums; }
  .bar { fill: #8c959f; }
  .ours { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .bar { fill: #6e7681; }
    .ours { fill: #4493f8; }
  }
"""


def chart(parts: Sequence[Bars]) -> str:
    """The bars as SVG, readable on light and dark ground."""
    lines: list[str] = []
    y = 8
    for part in parts:
        y += 20
        lines.append(f'<text class="title" x="0" y="{y}">{html.escape(part.title)} ({html.escape(part.unit)})</text>')
        y += 8
        most = max((value for _, value in part.values), default=1.0) or 1.0
        for label, value in part.values:
            width = max(1.0, value / most * (_WIDTH - _LABEL - 80))
            kind = "ours" if label == part.ours else "bar"
            lines += [
                f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end">{html.escape(label)}</text>',
                f'<rect class="{kind}" x="{_LABEL}" y="{y + 3}" width="{width:.1f}" height="{_LINE - 6}" rx="2"/>',
                f'<text class="value" x="{_LABEL + width + 6:.1f}" y="{y + 15}">{_short(value)}</text>',
            ]
            y += _LINE
        y += 10
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" role="img">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *lines, "</svg>", ""])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
