"""The command line, `whereby` (extra `[cli]`). It uses the public API of this package only.

Each operation is a command. The other commands are `meetings import` and `purge`, `recordings sync` and `download`,
`transcriptions download` and `wait`, `summaries wait`, `insights export`, `webhooks verify`, `budget`, `probe`, `demo`,
and `sandbox`, a fake server for your own app. Every `--help` has examples.

The API key comes from `WHEREBY_API_KEY`, or is typed in on a terminal. It is never an argument, since everybody on the
machine can see those. The secret of `webhooks verify` comes from `WHEREBY_WEBHOOK_SECRET` for the same reason.

A terminal gets tables and records that fit its width. A pipe, or `--json`, gets JSON lines in the API's spelling,
without colours. Exit codes: 0 ok, 1 the API said no, 2 wrong usage, 3 throttled, 4 no answer, 130 after Ctrl-C, 143
after SIGTERM.

Long work shows a progress bar on stderr. The first Ctrl-C or SIGTERM lets the calls of a batch that are under way end,
within 20 s or `--timeout`; the second stops at once. While the service can not be reached, long work waits for it, as
long as `--max-outage` says, and stderr says when it goes away and when it is back. A signal, an outage that is too long
and a full disk end the work with what is kept, and with the command line that goes on.

Every command that talks to the API takes `--base-url`, `--max-wait`, `--max-outage`, `--timeout`, `--verbose`, and
`--redis URL` for a budget that several processes share. `whereby --install-completion` completes commands and options
in bash, zsh, fish and PowerShell.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = ("cyclopts", "rich")
_WRONG_USAGE = 2
_INTERRUPTED = 130


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
        nowhere = os.open(os.devnull, os.O_WRONLY)
        sys.stdout = os.fdopen(nowhere, "w", encoding="utf-8", closefd=False)  # it stays open to the end
    try:
        from .app import run

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # while things are imported
        return _INTERRUPTED
