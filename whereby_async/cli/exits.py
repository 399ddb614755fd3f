"""Exit codes, and which error ends in which."""

from __future__ import annotations

import enum
from typing import Final

from ..errors import APIConnectionError, BudgetError, ConfigurationError, Throttled, WherebyError

BROKEN_PIPE: Final = 141
"""What a shell reports of a program that SIGPIPE has ended."""

INTERRUPTED: Final = 130
"""What a shell reports of a program that SIGINT has ended."""

BUG: Final = 70
"""A fault of this program itself (`EX_SOFTWARE`)."""


class ExitCode(enum.IntEnum):
    """How a command ended."""

    OK = 0
    API_SAID_NO = 1
    WRONG_USAGE = 2
    THROTTLED = 3
    NO_ANSWER = 4


class UsageError(Exception):
    """The command can not be carried out as it was given; the message says what to do."""


class OutOfTimeError(Exception):
    """What was waited for did not come in the time that was given; the message says what goes on."""


class InterruptedWork(KeyboardInterrupt):
    """Ctrl-C in the middle of long work; the message says how to go on."""


def code_for(error: WherebyError) -> ExitCode:
    """The exit code of a command that `error` has ended."""
    if isinstance(error, Throttled | BudgetError):
        return ExitCode.THROTTLED
    if isinstance(error, APIConnectionError):
        return ExitCode.NO_ANSWER
    if isinstance(error, ConfigurationError):
        return ExitCode.WRONG_USAGE
    return ExitCode.API_SAID_NO
