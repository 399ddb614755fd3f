"""The app: its groups of commands, and what becomes of the errors that come out of them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError

from ..errors import WherebyError
from ..version import __version__
from . import demo, sandbox
from .exits import BROKEN_PIPE, INTERRUPTED, ExitCode, UsageError, code_for

if TYPE_CHECKING:
    from collections.abc import Sequence

_HELP = """The Whereby API on the command line.

For example:

    whereby demo                    watch the client at work, no account needed
    whereby sandbox                 a Whereby of your own to develop against
    whereby demo --json | jq .      one JSON object a line, also in any pipe

Exit codes: 0 ok, 1 the API said no, 2 wrong usage, 3 throttled, 4 no answer.
"""


def app() -> App:
    """The app with all its commands."""
    whereby = App(name="whereby", version=__version__, help=_HELP, help_format="plaintext")
    for group in (demo, sandbox):
        group.register(whereby)
    return whereby


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: The words after `whereby`.

    Returns:
        The exit code.
    """
    try:
        command, bound, _ = app().parse_args(list(arguments), print_error=False, exit_on_error=False)
        code: int | None = command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(ExitCode.WRONG_USAGE, f"{error} See whereby --help.")
    except UsageError as error:
        return _fail(ExitCode.WRONG_USAGE, str(error))
    except WherebyError as error:
        return _fail(code_for(error), str(error))
    except BrokenPipeError:
        # Nobody reads on: what is still buffered has to go somewhere, or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted")
    return code or ExitCode.OK


def _fail(code: int, message: str) -> int:
    print(f"whereby: {message}", file=sys.stderr)
    return code
