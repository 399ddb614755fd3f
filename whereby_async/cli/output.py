"""What a command prints, and which files it may write.

A command prints JSON lines in a pipe or with `--json`, words and tables on a terminal. Results are printed whole, with
the room keys and links that the user asked for. Everything on stdout goes through `Output`, which imports rich on
terminals only.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from ..models import encode
from ..redaction import redact
from .errors import ExitCode, UsageError, code_for, in_words, is_quiet
from .values import STDIN

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from typing import IO, TextIO, TypeAlias

    import msgspec

    from .terminal import Piece, Terminal

    Result: TypeAlias = msgspec.Struct | Mapping[str, Any]

_MINUTE: Final = 60
_HOUR: Final = 3600
_THOUSAND: Final = 1000
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_OK: Final = range(200, 300)
_STREAMS: Final = (STDIN, "/dev/stdin", "/dev/stdout", "/dev/stderr")
_DESCRIPTORS: Final = ("/dev/fd/", "/proc/")

THROTTLED: Final = 429
MOVED: Final = "was deleted, moved or replaced while this ran"


class Output:
    """The stdout of a command. Every line is written out at once.

    Args:
        as_json: JSON lines were asked for; a pipe gets them in any case.
        columns: What a table shows: wire names with spaces between them, the most important first; none for records.

    Attributes:
        is_json: Whether JSON lines are printed.
    """

    def __init__(self, *, as_json: bool, columns: str = "") -> None:
        self.is_json: bool = as_json or not sys.stdout.isatty()
        self._codes: set[ExitCode] = set()
        self._terminal: Terminal | None = None
        if not self.is_json:
            from .terminal import Table, Terminal

            self._terminal = Table(columns) if columns else Terminal()

    def line(self, row: Mapping[str, Any], *words: Piece) -> None:
        """Print a fact.

        Args:
            row: The fact in names and numbers, for those who read JSON.
            words: The same as text, with a style of rich in a pair; none for what a terminal need not show.
        """
        if self._terminal is None:
            _write(row)
        elif words:
            self._terminal.line(*words)

    def wrapped(self, *words: Piece) -> None:
        """Print words on a terminal only, wrapped at its width; JSON has them in the row of a line before."""
        if self._terminal is not None:
            self._terminal.line(*words, is_wrapped=True)

    def say(self, event: str, text: str, **facts: Any) -> None:
        """Print sentences, which a terminal shows wrapped and in the event's colour.

        Args:
            event: What kind of thing: `step`, `notice`, `wait`, `ready`, `summary`.
            text: The sentences.
            facts: The same in names and numbers, for those who read JSON.
        """
        if self._terminal is None:
            _write({"event": event, "text": text, **facts})
        else:
            self._terminal.say(event, text)

    def table_line(self, row: Mapping[str, Any], head: str, *cells: Piece) -> None:
        """Print a line of a table: cut at the terminal's width, with the head above the first one."""
        if self._terminal is None:
            _write(row)
        else:
            self._terminal.table_line(head, *cells)

    def rows(self, rows: Sequence[Result]) -> None:
        """Print the next rows of a list."""
        wires = [wire(row) for row in rows]
        if self._terminal is None:
            _write(*wires)
        else:
            self._terminal.rows(wires)

    def done(self, operation: str, subjects: Mapping[str, object], *, points: int | None = None) -> None:
        """Print that something was done which has no result, and what it was done to.

        Args:
            operation: What was done.
            subjects: What it was done to.
            points: What it would have cost, if it was a deletion that was not done.
        """
        shown = {name: str(value) if isinstance(value, Path) else value for name, value in subjects.items()}
        words = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in shown.values()]
        text = " ".join([operation, *words])
        if points is None:
            self.line({"event": "done", "operation": operation, **shown}, text, (": done", "green"))
        else:
            row = {"event": "picked", "operation": operation, **shown, "points": points}
            self.line(row, f"{text}: {points} points. Nothing was deleted.")

    def end(self, count: int) -> None:
        """Close a list of so many rows; JSON has as many lines as rows and needs no count."""
        if self._terminal is not None and not is_quiet.get():
            self._terminal.end(counted(count, "row"))

    def failed(self, error: Exception) -> str:
        """Count a failure, which decides the exit code; the error's text without secrets."""
        self._codes.add(code_for(error))
        return redact(in_words(error))

    @property
    def code(self) -> ExitCode:
        """The exit code: the one that all failures share, else that the API said no."""
        return self._codes.copy().pop() if len(self._codes) == 1 else ExitCode(min(1, len(self._codes)))


def _write(*rows: Mapping[str, Any]) -> None:
    with naming("stdout"):
        sys.stdout.write("".join(json.dumps(row) + "\n" for row in rows))
        sys.stdout.flush()


def wire(result: Result) -> dict[str, Any]:
    """A result as the API spells it; what the answer did not hold is `None`."""
    if isinstance(result, Mapping):
        return dict(result)
    return cast("dict[str, Any]", json.loads(encode(result)))


def status_style(status: int) -> str:
    """The colour of an HTTP status."""
    return "green" if status in _OK else "yellow" if status == THROTTLED else "red"


def points_left(count: int | None) -> str:
    """What an answer says of the points that are left; a hyphen if it says nothing."""
    return "-" if count is None else str(count)


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


@contextlib.contextmanager
def naming(path: str) -> Generator[None]:
    """Have errors of writing to a file name it."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise


def is_stream(path: str) -> bool:
    """Whether a path stands for what this process was given open, beside which no file can be kept."""
    return path in _STREAMS or os.path.abspath(path).startswith(_DESCRIPTORS)  # noqa: PTH100 - links stay as they are


def check_plain(name: str, path: str) -> None:
    """Check that a file, which need not exist, can take results that a later run reads again.

    Args:
        name: What the user calls it, such as `--output`.
        path: Where it is.

    Raises:
        UsageError: It is a pipe, a device or a directory; the null device is the only exception.
    """
    if is_stream(path):
        shown = "-" if path == STDIN else path
        raise UsageError(
            f"{name} {shown} is no plain file: leave it out, and results go to stdout in a pipe or by --json"
        )
    try:
        status = os.stat(path)  # noqa: PTH116 - as for descriptors
    except OSError:
        return  # opening it makes it, or says what is wrong
    check_status(name, path, status)


def check_status(name: str, path: str, status: os.stat_result) -> None:
    """Check that what was found at a path is a plain file or the null device.

    Raises:
        UsageError: It is neither.
    """
    is_null = stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116 - no path
    if not (stat.S_ISREG(status.st_mode) or is_null):
        raise UsageError(f"{name} {path} is no plain file: name one, or one to be made, or {os.devnull}")


def keep_others_out(file: IO[Any], *, waits: bool = False) -> bool:
    """Lock a file until it is closed, where the system and the file system have locks; whether nobody else has it.

    Args:
        file: The file, open.
        waits: Wait until nobody else has it.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # pragma: no cover - Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    return True


def is_at(path: str, file: IO[Any]) -> bool:
    """Whether an open file is still the one at its path, or else was deleted, moved or replaced."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))  # noqa: PTH116 - as for descriptors
    except FileNotFoundError:
        return False


def check_apart(files: Iterable[tuple[str, str | TextIO | None]]) -> None:
    """Check that the files which a command reads and writes are different ones, stdout among them.

    Args:
        files: What each is called, and its path or stream; `None` is passed over.

    Raises:
        UsageError: Two are the same file, by whatever path or link.
    """
    seen: dict[object, str] = {}
    for name, file in (*files, ("stdout", sys.stdout)):
        identity = None if file is None else _identity(file)
        if identity is None:
            continue
        if (other := seen.setdefault(identity, name)) != name:
            where = f" ({file})" if isinstance(file, str) else ""
            raise UsageError(
                f"{other} and {name}{where} are one file, which would be destroyed: name another for one of them"
            )


def _identity(file: str | TextIO) -> object:
    """What tells one file from another; `None` for terminals, pipes and devices."""
    try:
        status = os.stat(file if isinstance(file, str) else file.fileno())  # noqa: PTH116 - descriptors too
    except (OSError, ValueError):
        return os.path.realpath(file) if isinstance(file, str) else None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
