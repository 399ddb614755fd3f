"""The command line, `whereby` (extra `[cli]`): it talks to the public API only, one file for each group of commands.

Tables on a terminal, JSON lines with `--json` or in a pipe. Exit codes: 0 ok, 1 the API said no, 2 wrong usage, 3 throttled,
4 no answer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = ("cyclopts", "rich")
_WRONG_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after `whereby`; by default those of this process.

    Returns:
        The exit code.
    """
    try:
        from .app import run  # the command line's libraries are an extra: without them a word of advice, no traceback
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        print("whereby: the command line needs its extra: pip install 'whereby-async[cli]'", file=sys.stderr)
        return _WRONG_USAGE
    return run(sys.argv[1:] if arguments is None else arguments)
