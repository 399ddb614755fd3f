"""The command line, `whereby` (extra `[cli]`). It uses the public API of this package only.

Each operation is a command. The other commands are `meetings import` and `purge`, `recordings sync` and `download`,
`transcriptions download` and `wait`, `summaries wait`, `insights export`, `webhooks verify`, `budget`, `probe`, `demo`,
`profiles`, and `sandbox`, a fake server for your own app. Every `--help` has examples.

The API key comes from `WHEREBY_API_KEY`, from the file that `WHEREBY_API_KEY_FILE` names, or from a profile
(`--profile NAME`, `WHEREBY_PROFILE`; `profiles add NAME` writes one), or is typed in on a terminal. A variable wins
over a profile, which a line on stderr says. A key is never an argument, since everybody on the machine can see those.
The secret of `webhooks verify` comes from `WHEREBY_WEBHOOK_SECRET` for the same reason.

A terminal gets tables and records that fit its width. A pipe, or `--json`, gets JSON lines in the API's spelling,
without colours. What their encoding lacks is escaped. Exit codes: 0 ok, 1 the API said no, 2 wrong usage, 3 throttled,
4 no answer, 130 after Ctrl-C, 143 after SIGTERM.

Long work shows a progress bar on stderr. The first Ctrl-C or SIGTERM lets the calls of a batch that are under way end,
within 20 s or `--timeout`; the second stops at once. While the service can not be reached, long work waits for it, as
long as `--max-outage` says, and stderr says when it goes away and when it is back. A signal, an outage that is too long
and a full disk end the work with what is kept, and with the command line that goes on.

Every command takes `--json` and `--quiet`; one that talks to the API takes `--base-url`, `--max-wait`, `--max-outage`,
`--timeout`, `--verbose`, `--redis URL` for a budget that several processes share, and `--reserve SHARE`: how much of
each window long work leaves for others, 0 if there are none. `--verbose` prints the log on stderr; so does the variable
`WHEREBY_LOG` (`debug`, `info`, `warning`, `error` or `critical`) from that level on. `whereby help COMMAND` is `whereby
COMMAND --help`, and `whereby --install-completion` completes commands and options in bash, zsh, fish and PowerShell.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib.util
import io
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = ("cyclopts", "rich")
_WRONG_USAGE = 2
_INTERRUPTED = 130
_USUAL = 80
_COLUMNS = range(20, 1001)
"""How wide a layout may be; a terminal wraps by itself what is laid out for one that is wider."""

_DRAWN = {"█": "#", "░": "-", "…": "~"}
"""What bars and cut names are drawn with, and what they are drawn with where that can not be shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after `whereby`; by default those of this process.

    Returns:
        The exit code.
    """
    if not all(importlib.util.find_spec(name) for name in _EXTRA):  # a word of advice, no traceback
        print("whereby: the command line needs its extra: pip install 'whereby-async[cli]'", file=sys.stderr)
        return _WRONG_USAGE
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - a shell can close it: `whereby … >&-`
        advice = "send what is printed to a file, or to /dev/null if nobody needs it"
        print(f"whereby: stdout is closed, and nothing was done: {advice}", file=sys.stderr)
        return _WRONG_USAGE
    _prepare_streams()
    columns = _prepared_width()
    try:
        from .app import run

        return run(sys.argv[1:] if arguments is None else arguments, columns)
    except KeyboardInterrupt:  # while things are imported
        return _INTERRUPTED


def _prepare_streams() -> None:
    """Have stdout and stderr open and take any text: what their encoding lacks is escaped."""
    codecs.register_error("whereby", _escaped)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # a shell can close it: `whereby … 2>&-`
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(nowhere, "w", encoding="utf-8", closefd=False))  # it stays open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="whereby")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    escaped = (_DRAWN.get(each) or each.encode("ascii", "backslashreplace").decode("ascii") for each in lacking)
    return "".join(escaped), error.end


def _prepared_width() -> int:
    """Have everything laid out for this width: not for 1 column, nor for what the environment says in error."""
    columns = _number_in("COLUMNS") or _terminal_width()
    if columns not in _COLUMNS:
        columns = min(max(columns, _COLUMNS[0]), _COLUMNS[-1])
        os.environ["COLUMNS"] = str(columns)
    _number_in("LINES")
    return columns


def _number_in(variable: str) -> int:
    """The number above 0 in a variable, which is removed if it holds none; 0 then."""
    with contextlib.suppress(KeyError, ValueError):
        if (number := int(os.environ[variable])) > 0:
            return number
    os.environ.pop(variable, None)
    return 0


def _terminal_width() -> int:
    """Columns of the terminal that any of the streams is, as rich looks for it."""
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            return os.get_terminal_size(descriptor).columns or _USUAL
    return _USUAL
