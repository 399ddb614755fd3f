"""Where a command's lines go: a table on a terminal, JSON lines in a pipe. The only module that prints rows, and knows rich."""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from ..testing import RecordedRequest
    from .calls import CallRow

_WORTH_TELLING: Final = 0.05
"""Seconds; a shorter wait for points is none that anybody sees."""

_STYLES: Final = {"step": "bold", "notice": "yellow", "wait": "cyan", "summary": "bold green"}
_OK: Final = range(200, 300)
_THROTTLED: Final = 429


class Display(Protocol):
    """Where a command's lines go."""

    def say(self, event: str, text: str, **facts: Any) -> None:
        """Say something.

        Args:
            event: What kind of thing: `step`, `notice`, `wait`, `ready`, `summary`.
            text: The words.
            facts: The same in numbers and names, for those who read JSON.
        """

    def copyable(self, text: str) -> None:
        """Lines to be copied from a terminal: as they are, never wrapped. Facts that were said are not said again."""

    def call(self, row: CallRow) -> None:
        """Show a call of ours."""

    def request(self, record: RecordedRequest) -> None:
        """Show a request that a server of ours has answered."""

    def progress(self, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
        """Show how many of `total` are done, and a word on the rest, while the block runs."""
        ...


def display_for(*, as_json: bool) -> Display:
    """The display for this process: JSON lines if asked for, and wherever stdout is no terminal."""
    return JsonLines() if as_json or not sys.stdout.isatty() else Terminal()


class JsonLines:
    """One JSON object a line, each written out at once."""

    def say(self, event: str, text: str, **facts: Any) -> None:
        """An object with the event, the words and the facts."""
        _write({"event": event, "text": text, **facts})

    def copyable(self, text: str) -> None:
        """Nothing: it is in the facts."""

    def call(self, row: CallRow) -> None:
        """An object with the row's fields."""
        _write({"event": "call", **msgspec.structs.asdict(row)})

    def request(self, record: RecordedRequest) -> None:
        """An object with method, path, operation, status and points."""
        _write(
            {
                "event": "request",
                "method": record.method,
                "path": record.path,
                "operation": record.operation,
                "status": record.status,
                "points": record.points,
                "remaining": record.remaining,
            }
        )

    @contextlib.contextmanager
    def progress(self, total: int) -> Generator[Callable[[int, str], None], None, None]:  # noqa: ARG002 - as the other one has it
        """Nothing: progress is for eyes."""
        yield lambda done, text: None  # noqa: ARG005 - likewise


class Terminal:
    """Columns and colours, as wide as the terminal is."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False)
        self._headed = False

    def say(self, event: str, text: str, **facts: Any) -> None:  # noqa: ARG002 - the words hold them
        """The words, wrapped."""
        if event == "step":
            self._console.print()
        indent = 0 if event in {"step", "notice", "ready"} else 2
        width = max(20, self._console.width - indent)
        for part in (part for line in text.splitlines() for part in textwrap.wrap(line, width)):
            self._console.print(Text(" " * indent + part, style=_STYLES.get(event, "")))

    def copyable(self, text: str) -> None:
        """The lines as they are."""
        self._console.print(text, soft_wrap=True)

    def call(self, row: CallRow) -> None:
        """`meetings.create  201  3 pt  97 left  4 ms  and what came of it`."""
        if not self._headed:
            self._headed = True
            head = f"  {'operation':<26} {'status':>6} {'points':>6} {'left':>5} {'ms':>5}  result"
            self._line(Text(head, style="dim"))
        note = f"waited {row.waited:.1f} s; {row.note}".rstrip("; ") if row.waited >= _WORTH_TELLING else row.note
        self._line(
            Text.assemble(
                f"  {row.operation:<26} ",
                (f"{row.status:>6}", _colour(row.status)),
                f" {row.points:>6} {_number(row.remaining):>5} {row.ms:>5.1f}  ",
                (note, "dim"),
            )
        )

    def request(self, record: RecordedRequest) -> None:
        """`GET  200  1 pt  999 left  /v1/meetings`."""
        if not self._headed:
            self._headed = True
            self._line(Text(f"{'method':<6} {'status':>6} {'points':>6} {'left':>6}  path", style="dim"))
        self._line(
            Text.assemble(
                f"{record.method:<6} ",
                (f"{record.status or 'none':>6}", _colour(record.status)),
                f" {record.points:>6} {_number(record.remaining):>6}  {record.path}",
            )
        )

    @contextlib.contextmanager
    def progress(self, total: int) -> Generator[Callable[[int, str], None], None, None]:
        """A bar, which is gone when it is done."""
        columns = (TextColumn("  answered"), BarColumn(24), TextColumn("{task.completed:.0f} of {task.total:.0f}"))
        words = TextColumn("{task.description}", style="cyan")
        with Progress(*columns, words, console=self._console, transient=True) as bars:
            bar = bars.add_task("", total=total)
            yield lambda done, text: bars.update(bar, completed=done, description=text)

    def _line(self, text: Text) -> None:
        self._console.print(text, no_wrap=True, overflow="ellipsis", crop=True)


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _colour(status: int) -> str:
    return "green" if status in _OK else "yellow" if status == _THROTTLED else "red"


def _write(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()
