"""Long work: a progress bar and messages about waits on stderr, and what Ctrl-C says about going on."""

from __future__ import annotations

import asyncio
import shlex
import sys
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from .errors import command_line
from .output import duration, size

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rich.progress import Progress as Bars

    from .. import WherebyClient
    from ..batch import Progress
    from ..hooks import AttemptDetails, CostChangeDetails, ResponseDetails, RetryDetails, ThrottleDetails, WaitDetails

REFRESH: Final = 0.2
"""Seconds between two states of a batch's bar."""

_LOOKS: Final = 3
_WORTH_SAYING: Final = 1.0
"""Seconds; a shorter wait explains itself."""

_REASONS: Final = {
    "consumer": ("results are being written", "writing"),
    "empty": ("the window's points are spent", "waiting for points"),
    "frozen": ("the server asked for it", "the server asked to wait"),
    "pilot": ("one call is out to learn the budget", "learning the budget"),
    "queue": ("others stand before it", "queue"),
    "reserve": ("the rest of the window is kept for others", "points kept for others"),
}
"""Why a call waits, and why a batch does, by the limiter's word for it."""

_has_bar: ContextVar[bool] = ContextVar("whereby_cli_has_bar", default=False)
"""Whether a progress bar shows the waits, so that no message has to."""


def run_long(work: Coroutine[Any, Any, int], kept: str, *, resumes: bool = True) -> int:
    """Run long work; Ctrl-C stops it in order, and says how to go on.

    Args:
        work: What to run.
        kept: What an interrupted run leaves, for people.
        resumes: Whether the same command line goes on where it was.

    Raises:
        KeyboardInterrupt: Ctrl-C; its message says what was kept.
    """
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        again = f" Go on with:\n  {shlex.join(['whereby', *command_line.get()])}" if resumes else ""
        raise KeyboardInterrupt(f"interrupted; {kept}{again}") from None


async def ask_for_limit(client: WherebyClient) -> int:
    """Ask the server for the limit, so that a forecast does not go by the smallest plan. Costs 1 to 3 points.

    Returns:
        Points in each window, as far as is known.
    """
    for _ in range(_LOOKS):
        await client.meetings.list(page_size=1)
        if client.limiter.snapshot().remaining is not None:
            break
    return client.limiter.snapshot().limit


class Bar:
    """A progress bar on stderr while the block runs; nothing where stderr is no terminal."""

    def __init__(self, what: str, *, in_bytes: bool = False) -> None:
        self._what = what
        self._in_bytes = in_bytes
        self._bars: Bars | None = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (
                TextColumn(self._what),
                BarColumn(18),
                TextColumn("{task.fields[count]}"),
                TextColumn("{task.description}", style="cyan"),
            )
            self._bars = Progress(*columns, console=Console(stderr=True, highlight=False), transient=True)
            self._bars.start()
            self._task = self._bars.add_task("", total=None, count="")
            self._token = _has_bar.set(True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars is not None:
            _has_bar.reset(self._token)
            self._bars.stop()

    def show(self, done: int, total: int | None, words: str = "") -> None:
        """Show how many are done, of how many, and words on the rest."""
        if self._bars is not None:
            shown = [size(count) if self._in_bytes else f"{count:,}" for count in (done, total) if count is not None]
            count = " of ".join(shown)
            self._bars.update(self._task, completed=done, total=total, count=count, description=words)

    def show_batch(self, progress: Progress) -> None:
        """Show how far a batch is."""
        parts = [f"{progress.points} points"]
        if failed := progress.failed + progress.unknown:
            parts.insert(0, f"{failed} failed")
        if progress.eta is not None and progress.finished:
            parts.append(f"{duration(progress.eta)} left")
        if progress.waiting:
            parts.append(_reason(progress.waiting, 1))
        self.show(progress.finished, progress.total, ", ".join(parts))


class StderrHook:
    """A hook that says on a terminal why calls wait and, if `verbose`, everything wherever stderr leads."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._said_until = 0.0

    def on_attempt(self, details: AttemptDetails) -> None:
        """A request is about to be sent."""
        self._say(f"{details.operation}: attempt {details.attempt}, {_points(details.cost)}")

    def on_response(self, details: ResponseDetails) -> None:
        """An answer came."""
        left = details.rate_limit.remaining
        budget = "" if left is None else f", {_points(left)} left of {details.rate_limit.limit}"
        self._say(f"{details.operation}: {details.status} after {details.elapsed * 1000:.0f} ms{budget}")

    def on_retry(self, details: RetryDetails) -> None:
        """A request will be sent again."""
        failed = f"attempt {details.attempt} failed ({details.reason})"
        self._say(f"{details.operation}: {failed}, again in {details.delay:.1f} s")

    def on_throttle(self, details: ThrottleDetails) -> None:
        """A 429 came."""
        self._say(f"the server answered 429: everybody waits {details.delay:.1f} s")

    def on_cost_change(self, details: CostChangeDetails) -> None:
        """A price was learned."""
        self._say(f"{details.operation} costs {_points(details.new)}, not {details.old}")

    def on_wait(self, details: WaitDetails) -> None:
        """A call has to wait: this is said once for all that wait for the same thing."""
        now = monotonic()
        if details.delay >= _WORTH_SAYING and now >= self._said_until and (self._verbose or _shows_waits()):
            self._said_until = now + details.delay
            waits = f"{details.operation} waits about {details.delay:.0f} s for {_points(details.cost)}"
            _print(f"{waits}: {_reason(details.reason, 0)}")

    def _say(self, text: str) -> None:
        if self._verbose:
            _print(text)


def _shows_waits() -> bool:
    return sys.stderr.isatty() and not _has_bar.get()


def _print(text: str) -> None:
    print(f"whereby: {text}", file=sys.stderr)


def _reason(reason: str, form: int) -> str:
    return _REASONS[reason][form] if reason in _REASONS else reason


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count} points"
