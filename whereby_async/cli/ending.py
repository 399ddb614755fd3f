"""How a command ends that did not end well: a line or two on stderr, with the way out, and an exit code. Never a traceback."""

from __future__ import annotations

import os
import re
import sys
import traceback
from typing import TYPE_CHECKING, Final, cast

from cyclopts import CycloptsError

from ..errors import ResponseDecodeError, WherebyError
from .exits import BUG, INTERRUPTED, ExitCode, InterruptedWork, OutOfTimeError, UsageError, code_for
from .keys import KEY_VARIABLE
from .values import spoken
from .work import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRACEBACK: Final = "WHEREBY_TRACEBACK"
_LONG: Final = re.compile(r"[^\s'\"\\]{20,}")
_HIDDEN: Final = (
    "Long words are not repeated (here {count}), since they may be keys: "
    f"a key is never an argument; it comes from the variable {KEY_VARIABLE}, or is asked for on a terminal."
)
_PERHAPS: Final = "It may have been done all the same: look before you do it again."


def told(error: BaseException) -> int:
    """Say what has ended a command.

    Args:
        error: What came out of it.

    Returns:
        The exit code.
    """
    error = _single(error)
    code, *lines = next((ending(error) for kind, ending in _ENDINGS if isinstance(error, kind)), None) or _bug(error)
    for line in lines:
        print(line if line.startswith("  ") else f"whereby: {line}", file=sys.stderr)  # indented ones are to be copied
    return code


def _interrupted(error: BaseException) -> tuple[int, *tuple[str, ...]]:
    words = str(error) if isinstance(error, InterruptedWork) else "interrupted"
    return INTERRUPTED, *words.splitlines()


def _misread(error: BaseException) -> tuple[int, *tuple[str, ...]]:
    words = " ".join(str(error).split())
    hidden = [word for word in _long_words() if word in words]
    for word in hidden:
        words = words.replace(word, "…")
    text = f"{words} See whereby --help."
    return ExitCode.WRONG_USAGE, text, *((_HIDDEN.format(count=len(hidden)),) if hidden else ())


def _long_words() -> list[str]:
    """What in the command line may be a key: everything long but options and what they are called, longest first."""
    values = [word.partition("=")[2] if word.startswith("--") else word.lstrip("-") for word in command_line.get()]
    return sorted({found for value in values for found in _LONG.findall(value)}, key=len, reverse=True)


def _unusable(error: BaseException) -> tuple[int, *tuple[str, ...]]:
    return ExitCode.WRONG_USAGE, *str(error).splitlines()


def _late(error: BaseException) -> tuple[int, *tuple[str, ...]]:
    return ExitCode.NO_ANSWER, str(error)


def _refused(error: BaseException) -> tuple[int, *tuple[str, ...]]:
    failed = cast("WherebyError", error)
    perhaps = failed.may_have_happened and not isinstance(error, ResponseDecodeError)
    return code_for(failed), spoken(str(error)), *((_PERHAPS,) if perhaps else ())


def _broken(error: BaseException) -> tuple[int, *tuple[str, ...]]:
    return BUG, f"the installation is broken: {error}"


def _unreadable(error: BaseException) -> tuple[int, *tuple[str, ...]]:
    failed = cast("OSError", error)
    place = f"{failed.filename}: " if failed.filename else ""
    return ExitCode.WRONG_USAGE, f"{place}{failed.strerror or error}"


_ENDINGS: Final = (
    (KeyboardInterrupt, _interrupted),
    (CycloptsError, _misread),
    (UsageError, _unusable),
    (OutOfTimeError, _late),
    (WherebyError, _refused),
    (ModuleNotFoundError, _broken),
    (OSError, _unreadable),
)


def _single(error: BaseException) -> BaseException:
    """What a group of errors holds if it is but one."""
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    return _single(inner[0]) if len(inner) == 1 else error


def _bug(error: BaseException) -> tuple[int, *tuple[str, ...]]:
    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
    return BUG, f"a fault of this program: {type(error).__name__}. Please report it; {_TRACEBACK}=1 shows where."
