"""How a command ends that did not end well: a line or two on stderr, with the way out, and an exit code. Never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Final, cast

from cyclopts import CycloptsError

from ..errors import ResponseDecodeError, WherebyError
from .exits import BUG, INTERRUPTED, ExitCode, InterruptedWork, UsageError, code_for
from .values import spoken

_TRACEBACK: Final = "WHEREBY_TRACEBACK"
_PERHAPS: Final = "It may have been done all the same: look before you do it again."


def told(error: BaseException) -> int:
    """Say what has ended a command.

    Args:
        error: What came out of it.

    Returns:
        The exit code.
    """
    error = _single(error)
    if isinstance(error, KeyboardInterrupt):
        return _fail(INTERRUPTED, str(error) if isinstance(error, InterruptedWork) else "interrupted")
    if isinstance(error, CycloptsError):
        return _fail(ExitCode.WRONG_USAGE, f"{' '.join(str(error).split())} See whereby --help.")
    if isinstance(error, UsageError):
        return _fail(ExitCode.WRONG_USAGE, str(error))
    if isinstance(error, WherebyError):
        perhaps = error.may_have_happened and not isinstance(error, ResponseDecodeError)
        return _fail(code_for(error), spoken(str(error)), *((_PERHAPS,) if perhaps else ()))
    if isinstance(error, ModuleNotFoundError):
        return _fail(BUG, f"the installation is broken: {error}")
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return _fail(ExitCode.WRONG_USAGE, f"{place}{error.strerror or error}")
    return _bug(error)


def _single(error: BaseException) -> BaseException:
    """What a group of errors holds if it is but one."""
    if isinstance(error, BaseExceptionGroup):
        inner = list(cast("BaseExceptionGroup[BaseException]", error).exceptions)
        return _single(inner[0]) if len(inner) == 1 else error
    return error


def _bug(error: BaseException) -> int:
    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
    return _fail(BUG, f"a fault of this program: {type(error).__name__}. Please report it; {_TRACEBACK}=1 shows where.")


def _fail(code: int, *lines: str) -> int:
    for line in lines:
        print(f"whereby: {line}", file=sys.stderr)
    return code
