"""How a command ends: its exit code, and lines on stderr that say what to do instead of a traceback."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import re
import signal
import sys
import threading
import traceback
import unicodedata
from contextvars import ContextVar
from typing import TYPE_CHECKING, ClassVar, Final

from cyclopts import CycloptsError

from ..errors import APIConnectionError, BudgetError, ConfigurationError, ResponseDecodeError, Throttled, WherebyError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import FrameType

KEY_VARIABLE: Final = "WHEREBY_API_KEY"
_TRACEBACK: Final = "WHEREBY_TRACEBACK"
_PERHAPS: Final = "It may have been done all the same: look before you do it again."
_SIGNALS: Final = 128
"""What shells add to a signal's number for the exit code of what it has ended."""
_PREFIX: Final = "whereby: "
_JOINING: Final = "\n\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""What a terminal may be given though it is not printable, besides blanks; emoji and scripts need joiners."""

_LONG: Final = re.compile(r"[^\s'\"\\]{20,}")
_HIDDEN: Final = (
    "Long words are not repeated (here {count}), since they may be keys: "
    f"a key is never an argument; it comes from the variable {KEY_VARIABLE}, or is asked for on a terminal."
)
_GLOBAL_OPTIONS: Final = {
    "absent_after": "--absent-after",
    "base_url": "--base-url",
    "insecure_http=True": "--insecure-http",
    "max_outage": "--max-outage",
    "max_wait": "--max-wait",
    "proxy": "--proxy",
    "timeout": "--timeout",
}

command_line: ContextVar[tuple[str, ...]] = ContextVar("whereby_cli_command_line", default=())
"""The words of the command that runs."""


class ExitCode(enum.IntEnum):
    """How a command ended. From 70 on these are the codes that other programs use for the same."""

    OK = 0
    API_SAID_NO = 1
    WRONG_USAGE = 2
    THROTTLED = 3
    NO_ANSWER = 4
    BUG = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


class Interrupted(KeyboardInterrupt):
    """A signal has ended the command.

    Attributes:
        number: The signal.
    """

    def __init__(self, message: str = "interrupted", number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number: int = number


class CommandError(Exception):
    """The command ends here, with this exit code; the message says what to do."""

    exit_code: ClassVar[ExitCode]


class UsageError(CommandError):
    """The command can not be carried out as it was given."""

    exit_code = ExitCode.WRONG_USAGE


class OutOfTimeError(CommandError):
    """What was waited for did not come in the time that was given."""

    exit_code = ExitCode.NO_ANSWER


@contextlib.contextmanager
def signals_handled(handler: Callable[[int, FrameType | None], object]) -> Generator[None]:
    """Have Ctrl-C and SIGTERM handled so while the block runs, except what this process was told to ignore.

    What a script starts with `&` ignores Ctrl-C.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if threading.current_thread() is not threading.main_thread():  # where signals can not be handled
        before = {}
    handled = {number: earlier for number, earlier in before.items() if earlier not in {signal.SIG_IGN, None}}
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in handled.items():
            signal.signal(number, earlier)


def printable(text: str) -> str:
    """The text without what a terminal would obey: guests choose their own names."""
    return "".join(each if _is_harmless(each) else "\N{REPLACEMENT CHARACTER}" for each in text)


def _is_harmless(each: str) -> bool:
    return each.isprintable() or each in _JOINING or unicodedata.category(each) == "Zs"


def tell(text: str, prefix: str = _PREFIX) -> None:
    """Print a line of the command to stderr."""
    print(prefix + printable(text), file=sys.stderr)


class _Warnings(logging.Handler):
    """Prints warnings as lines of the command, except those about outages, which hooks and errors tell of."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if record.module != "reachability":
            tell(self.format(record))


@contextlib.contextmanager
def warnings_printed() -> Generator[None]:
    """Print the library's warnings to stderr while the block runs."""
    logger, handler = logging.getLogger("whereby_async"), _Warnings(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def code_for(error: Exception) -> ExitCode:
    """The exit code of a command that a call's error has ended."""
    if isinstance(error, Throttled | BudgetError):
        return ExitCode.THROTTLED
    if isinstance(error, APIConnectionError):
        return ExitCode.NO_ANSWER
    if isinstance(error, ConfigurationError):
        return ExitCode.WRONG_USAGE
    return ExitCode.API_SAID_NO


def report_error(error: BaseException) -> int:
    """Say on stderr what ended a command; its exit code."""
    code, *lines = _explained(_single(error))
    for line in lines:
        tell(line, "" if line.startswith("  ") else _PREFIX)  # indented ones are to be copied
    return code


def _single(error: BaseException) -> BaseException:
    """The error in a group that holds one error only, else the error itself."""
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    return _single(inner[0]) if len(inner) == 1 else error


def _explained(error: BaseException) -> tuple[int, *tuple[str, ...]]:
    """The exit code and the lines for stderr."""
    match error:
        case KeyboardInterrupt():
            number = getattr(error, "number", signal.SIGINT)
            code, text = ExitCode(_SIGNALS + number), str(error) or "interrupted"
        case CycloptsError():
            code, text = ExitCode.WRONG_USAGE, _without_keys(" ".join(str(error).split()))
        case CommandError():
            code, text = error.exit_code, str(error)
        case WherebyError():
            perhaps = error.may_have_happened and not isinstance(error, ResponseDecodeError)
            code, text = code_for(error), in_option_names(str(error)) + (f"\n{_PERHAPS}" if perhaps else "")
        case ModuleNotFoundError():
            code, text = ExitCode.BUG, f"the installation is broken: {error}"
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            code, text = ExitCode.WRONG_USAGE, f"{place}{error.strerror or error}"
        case _:
            if os.environ.get(_TRACEBACK):
                traceback.print_exception(error)
            advice = f"Please report it; {_TRACEBACK}=1 shows where."
            code, text = ExitCode.BUG, f"a fault of this program: {type(error).__name__}. {advice}"
    return code, *text.splitlines()


def _without_keys(text: str) -> str:
    """What cyclopts says of wrong usage, without the words of the command line that may be keys."""
    hidden = [word for word in _long_words() if word in text]
    for word in hidden:
        text = text.replace(word, "…")
    return f"{text} See whereby --help." + (f"\n{_HIDDEN.format(count=len(hidden))}" if hidden else "")


def _long_words() -> list[str]:
    """Everything long in the command line except the names of options, longest first."""
    values = [word.partition("=")[2] if word.startswith("--") else word.lstrip("-") for word in command_line.get()]
    return sorted({found for value in values for found in _LONG.findall(value)}, key=len, reverse=True)


def in_option_names(message: str, options: Mapping[str, str] | None = None) -> str:
    """An error's text in the words of the command line: `page_size=0` becomes `--page-size 0`.

    Args:
        message: The text, which names Python's keywords.
        options: The command's own options by keyword.
    """
    message = message.replace("it was passed as api_key=", "it was typed in").replace(" (given: None and None)", "")
    for keyword, option in {**(options or {}), **_GLOBAL_OPTIONS}.items():
        message = re.sub(rf"\b{keyword}=(?=\W?$|\s|[:,.)])", option, message)
        message = re.sub(rf"\b{keyword}=", f"{option} ", message)
        message = re.sub(rf"^{keyword}\b", option, message)
        if "_" in keyword:
            message = re.sub(rf"\b{keyword}\b", option, message)
    return message
