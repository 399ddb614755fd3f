"""The command line, `whereby` (extra `[cli]`): it talks to the public API only, one file for each group of commands.

Tables on a terminal, JSON lines with `--json` or in a pipe. Exit codes: 0 ok, 1 the API said no, 2 wrong usage, 3 throttled,
4 no answer; 130 after Ctrl-C.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
