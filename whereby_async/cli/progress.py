"""Long work: a progress bar and messages about waits on stderr, how it is stopped, and how it is gone on with."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import shlex
import signal
import sys
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from ..errors import ServiceUnavailableError
from ..notify import log_line, logger
from .errors import (
    Interrupted,
    OutOfTimeError,
    UsageError,
    command_line,
    in_option_names,
    in_words,
    is_quiet,
    signals_handled,
    tell,
)
from .output import counted, duration, size

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import FrameType

    from rich.progress import Progress as Bars

    from .. import WherebyClient
    from ..batch import Batch, Outcome, Progress
    from ..hooks import UnavailableDetails, WaitDetails

T = TypeVar("T")

REFRESH: Final = 0.2
"""Seconds between two states of a batch's bar."""

_AT_ONCE: Final = 0.1
"""Seconds within which a second signal is no second wish."""

_LOOKS: Final = 3
_WORTH_SAYING: Final = 1.0
"""Seconds; a shorter wait explains itself."""

_REASONS: Final = {
    "consumer": "writing",
    "empty": "waiting for points",
    "frozen": "the server asked to wait",
    "pilot": "learning the budget",
    "queue": "queue",
    "reserve": "points kept for others",
}
"""Why a batch waits, by the limiter's word for it."""

NO_SPACE: Final = frozenset({errno.EDQUOT, errno.EFBIG, errno.ENOSPC})
"""What the system says of a full disk."""

_has_bar: ContextVar[bool] = ContextVar("whereby_cli_has_bar", default=False)
"""Whether a progress bar shows the waits, so that no message has to."""


def run_long(work: Coroutine[Any, Any, int], kept: str, *, resumes: bool = True) -> int:
    """Run long work. What stops it says how to go on: a signal, a service that is away for too long, a full disk.

    Args:
        work: What to run.
        kept: What a run that was stopped leaves, for people.
        resumes: Whether the same command line goes on where it was.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; its message says what was kept.
        OutOfTimeError: The service was away for too long.
        UsageError: There is no space on the disk.
    """
    same = f":\n  {shlex.join(['whereby', *command_line.get()])}"
    again = f" Go on with{same}" if resumes else ""
    signals = _Signals()
    token = _signals.set(signals)
    try:
        with signals_handled(signals.handle):
            return asyncio.run(signals.watch(work))
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        number = signals.first or getattr(error, "number", signal.SIGINT)
        raise Interrupted(f"interrupted; {kept}{again}", number) from None
    except ServiceUnavailableError as error:
        raise OutOfTimeError(f"{in_words(error)}; {kept}{again}") from None
    except OSError as error:
        if error.errno not in NO_SPACE or error.filename is None:
            raise
        later = f" When there is space, go on with{same}" if resumes else ""
        raise UsageError(f"{error.filename}: {error.strerror}; {kept}{later}") from None
    finally:
        _signals.reset(token)


async def run_batch(batch: Batch[T], take: Callable[[Outcome[T]], object]) -> None:
    """Run the batch of long work, so that a signal ends it in order.

    Args:
        batch: The batch.
        take: Called with each outcome, except those that failed because the service was away: the job ends with that
            error. What it raises ends the batch in order too, and is raised then.
    """
    signals, trouble = _signals.get(), None
    async with batch as outcomes:
        with signals.end_in_order(batch):
            async for outcome in outcomes:
                if trouble is not None or isinstance(outcome.error, ServiceUnavailableError):
                    continue
                try:
                    take(outcome)
                except OSError as error:
                    trouble = error
                    batch.stop()
            if trouble is not None:
                raise trouble


class _Signals:
    """What Ctrl-C and SIGTERM do to long work.

    The first one lets the calls of a batch end, and cancels everything if no batch runs. The next one cancels
    everything. One that comes while the loop has not acted on the one before ends whatever blocks the loop. Two at once
    count as one: `timeout` sends each twice.

    Attributes:
        first: The first signal; 0 if none came.
    """

    def __init__(self) -> None:
        self.first: int = 0
        self._on_terminal = sys.stderr.isatty()  # asked before a bar takes its place: rich's stand-in may deny it
        self._last_at = 0.0
        self._is_seen = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._batch: Batch[Any] | None = None

    async def watch(self, work: Coroutine[Any, Any, int]) -> int:
        """Await the work, which signals end."""
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        try:
            return await work
        finally:
            self._loop = None

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """A signal came, at any point of the program: have the loop act on it."""
        now, earlier = monotonic(), self._last_at
        self._last_at = now
        if self.first and now < earlier + _AT_ONCE:
            return
        self.first = self.first or number
        if self._loop is None or not self._is_seen:
            raise KeyboardInterrupt
        self._is_seen = False
        self._loop.call_soon_threadsafe(self._act)

    def _act(self) -> None:
        self._is_seen = True
        batch, self._batch = self._batch, None
        if batch is None:
            if self._task is not None:
                self._task.cancel()
            return
        calls = batch.calls_under_way
        batch.stop()
        if calls and self._on_terminal:
            _print(f"finishing {counted(calls, 'call')}; again to stop now")

    @contextlib.contextmanager
    def end_in_order(self, batch: Batch[Any]) -> Generator[None]:
        """The block iterates over the batch, which the first signal stops.

        Raises:
            Interrupted: It was stopped by a signal, and the block has come to its end.
        """
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None
        if self.first:
            raise Interrupted


_signals: ContextVar[_Signals] = ContextVar("whereby_cli_signals")
"""The signals of the long work that runs."""


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
        if sys.stderr.isatty() and not is_quiet.get():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn
            from rich.table import Column

            columns = (
                TextColumn(self._what),
                BarColumn(18),
                TextColumn("{task.fields[count]}"),
                TextColumn("{task.description}", style="cyan", table_column=Column()),  # wrapped, not cut
            )
            console = Console(stderr=True, highlight=False, soft_wrap=True)
            # What a pipe gets must not be printed above the bar instead.
            self._bars = Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty())
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
        if progress.eta and progress.finished:
            parts.append(f"{duration(progress.eta)} left")
        if progress.waiting == "service":
            parts.append(f"waiting for the service ({duration(progress.away)})")
        elif progress.waiting:
            parts.append(_REASONS.get(progress.waiting, progress.waiting))
        if progress.lookups_end is not None:
            rooms = f"{counted(progress.lookups, 'room')} whose answers were lost"
            parts.append(f"looking for {rooms}, up to {progress.lookups_end:.0f} s more")
        self.show(progress.finished, progress.total, ", ".join(parts))


class StderrHook:
    """A hook that says on a terminal why calls wait, where the log does not say it.

    Args:
        outages: Say wherever stderr leads that calls wait for a service that can not be reached.
    """

    def __init__(self, *, outages: bool = False) -> None:
        self._outages = outages
        self._away_since: dict[str, float] = {}
        self._said_until = 0.0

    def on_wait(self, details: WaitDetails) -> None:
        """A call has to wait: this is said once for all that wait for the same thing."""
        now = monotonic()
        if details.delay >= _WORTH_SAYING and now >= self._said_until and _shows_waits():
            self._said_until = now + details.delay
            text, *values = log_line(details)
            _print(text % tuple(values))

    def on_unavailable(self, details: UnavailableDetails) -> None:
        """A service can not be reached any more, or is back."""
        now = monotonic()
        since = self._away_since.pop(details.origin, now)
        if details.away:
            self._away_since[details.origin] = now
            text = f"{details.origin} cannot be reached ({details.reason}): waiting for it"
        else:
            text = f"{details.origin} is back after {duration(now - since)}"
        if self._outages:
            _print(text)


def _shows_waits() -> bool:
    return sys.stderr.isatty() and not (_has_bar.get() or logger.isEnabledFor(logging.INFO))


def _print(text: str) -> None:
    if not is_quiet.get():
        tell(in_option_names(text))
