"""Long work: a progress bar on stderr, JSON lines or words on stdout, and what Ctrl-C says about going on."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Self

from .exits import ExitCode, InterruptedWork, code_for
from .narration import quiet

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from rich.progress import Progress as Bars

    from .. import WherebyClient
    from ..batch import Progress

_LOOKS: Final = 3
_MINUTE: Final = 60
_HOUR: Final = 3600
_THOUSAND: Final = 1000
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")

command_line: ContextVar[tuple[str, ...]] = ContextVar("whereby_cli_command_line", default=())
"""The words of the command that runs."""


def run_long(work: Coroutine[Any, Any, int], kept: str, *, resumes: bool = True) -> int:
    """Run long work; Ctrl-C stops it in order, and says how to go on.

    Args:
        work: The work.
        kept: What an interrupted run leaves, for people.
        resumes: Whether the same command line goes on where it was.

    Raises:
        InterruptedWork: Ctrl-C.
    """
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        way_out = f" Go on with:\n  {again()}" if resumes else ""
        raise InterruptedWork(f"interrupted; {kept}{way_out}") from None


def again() -> str:
    """The command line that runs now, to be typed again."""
    return shlex.join(["whereby", *command_line.get()])


async def look_at_budget(client: WherebyClient) -> int:
    """Ask for the limit, so that a forecast goes by it and not by the smallest plan. Costs 1 to 3 points.

    Args:
        client: Whose budget.

    Returns:
        Points in each window, as far as is known.
    """
    for _ in range(_LOOKS):
        await client.meetings.list(page_size=1)
        budget = client.limiter.snapshot()
        if budget.remaining is not None:
            break
    return client.limiter.snapshot().limit


class Report:
    """Tells of long work: a JSON line for everything in a pipe, words for what matters on a terminal.

    Args:
        as_json: JSON lines, also on a terminal.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.is_json: bool = as_json or not sys.stdout.isatty()
        self._codes: set[ExitCode] = set()

    @property
    def code(self) -> ExitCode:
        """The exit code: the one that all failures share, else that the API said no."""
        return self._codes.copy().pop() if len(self._codes) == 1 else ExitCode(min(1, len(self._codes)))

    def line(self, row: Mapping[str, Any], words: str = "") -> None:
        """Tell something.

        Args:
            row: In names and numbers.
            words: In words; none for what a terminal need not show.
        """
        if self.is_json:
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
        elif words:
            from .tables import printable

            print(printable(words), flush=True)

    def failed(self, error: Exception) -> None:
        """Count a failure, which settles the exit code."""
        from ..errors import WherebyError

        self._codes.add(code_for(error) if isinstance(error, WherebyError) else ExitCode.API_SAID_NO)


class Bar:
    """A progress bar on stderr while the block runs; nothing where stderr is no terminal.

    Args:
        what: What is counted, such as `rooms`.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._bars: Bars | None = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (
                TextColumn(f"{self._what}"),
                BarColumn(18),
                TextColumn("{task.fields[count]}"),
                TextColumn("{task.description}", style="cyan"),
            )
            self._bars = Progress(*columns, console=Console(stderr=True, highlight=False), transient=True)
            self._bars.start()
            self._task = self._bars.add_task("", total=None, count="")
            self._token = quiet.set(True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars is not None:
            quiet.reset(self._token)
            self._bars.stop()

    def show(self, done: int, total: int | None, words: str = "") -> None:
        """How many are done, of how many, and a word on the rest."""
        if self._bars is not None:
            count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
            self._bars.update(self._task, completed=done, total=total, count=count, description=words)

    def show_bytes(self, done: int, total: int | None, words: str = "") -> None:
        """How many bytes have come, of how many, and a word on the rest."""
        if self._bars is not None:
            count = size(done) if total is None else f"{size(done)} of {size(total)}"
            self._bars.update(self._task, completed=done, total=total, count=count, description=words)

    def batch(self, progress: Progress) -> None:
        """How far a batch is."""
        parts = [f"{progress.points} points"]
        if trouble := progress.failed + progress.unknown:
            parts.insert(0, f"{trouble} failed")
        if progress.eta is not None and progress.finished:
            parts.append(f"{duration(progress.eta)} left")
        if progress.waiting:
            parts.append(_WAITS.get(progress.waiting, progress.waiting))
        self.show(progress.finished, progress.total, ", ".join(parts))


_WAITS: Final = {
    "frozen": "the server asked to wait",
    "pilot": "learning the budget",
    "reserve": "points kept for others",
    "empty": "waiting for points",
    "consumer": "writing",
}


def counted(count: int, what: str) -> str:
    """`1 meeting`, `1,200 meetings`."""
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def size(count: float) -> str:
    """`1.2 MB`."""
    unit = 0
    while count >= _THOUSAND and unit < len(_UNITS) - 1:
        count, unit = count / _THOUSAND, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """`3 s`, `2 min`, `1 h 05 min`."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:02.0f} min"
