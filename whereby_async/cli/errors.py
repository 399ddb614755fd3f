"""How a command ends: its exit code, and lines on stderr that say what to do instead of a traceback."""

from __future__ import annotations

import builtins
import contextlib
import difflib
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

from cyclopts import CycloptsError, UnusedCliTokensError

from .. import errors
from ..errors import APIConnectionError, BudgetError, ConfigurationError, Throttled, WherebyError
from ..operation import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import FrameType

KEY_VARIABLE: Final = "WHEREBY_API_KEY"
_LOGGER: Final = "whereby_async"
_TRACEBACK: Final = "WHEREBY_TRACEBACK"
PERHAPS: Final = "It may have been done all the same: look before you do it again."
_SIGNALS: Final = 128
"""What shells add to a signal's number for the exit code of what it has ended."""
_PREFIX: Final = "whereby: "
_JOINING: Final = "\n\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""What a terminal may be given though it is not printable, besides blanks; emoji and scripts need joiners."""

_MISSING: Final = re.compile(r'(?:Command "[^"]*" p|P)arameter "?([^\s"]+)"? requires an argument\.')
_ALIKE: Final = re.compile(r"--(?P<given>[\w-]+)\S*\. Did you mean --(?P<meant>[\w-]+)\?")
_NUMBERS: Final = re.compile(r"\binto (float|int|bool)\b")
_KINDS: Final = {"float": "into a number", "int": "into a whole number", "bool": "into true or false"}
_LONG: Final = re.compile(r"[^\s'\"\\]{20,}")
_HIDDEN: Final = (
    "Long words are not repeated (here {count}), since they may be keys: "
    f"a key is never an argument; it comes from the variable {KEY_VARIABLE}, or is asked for on a terminal."
)
_IN_PYTHON: Final = (
    (r"it was passed as api_key=", "it was typed in"),
    (r", or pass api_key=", ""),
    (r"\bapi_key=", f"the variable {KEY_VARIABLE}"),
    (r" \(given: None and None\)", ""),
    (r"(?:; )?a deadline over (?:a whole call|all of it) is asyncio\.timeout\(…\)", ""),
    (r"(?<=\(do not wait\), or )None\b", "inf"),
    (r", or None\b(?= \()", ", or leave it out"),
    (r", or pass mark=False", ""),
    (r"\bdecode it as UTF-8 first", "type it in a locale of UTF-8, such as LC_ALL=C.UTF-8"),
    (r"\block=False\b", "--no-lock"),
    (r"pass another path\b", "name another by --journal"),
    (r"\bkey=(?= as in the first run| to tell items by)", "--key"),
    (r"; pin its price with costs= if that is wrong", ""),
    (r"; if your plan has more, say so with \w+\(limit=\.\.\.\)", ""),
    (r": SessionPool\(max_body=…\) sets the bound", ""),
    (r" and is None \(logged once; Page\.unreadable and capture_responses show each\)", ", and is empty here"),
    (r"\bstall_timeout=", ""),
    (r", or an open binary file", ""),
    (r": pass a redis\.asyncio\.RedisCluster instead of a URL", ", which --redis can not use"),
    (r"choose another name=", "choose another --redis-name"),
    (r"\bRedisPointBudget got\b", "--redis (or WHEREBY_REDIS_URL) got"),
    (r"\bRedisPointBudget needs\b", "--redis needs"),
    (r"\bperiod=", "a window of "),
    (r", such as request\.headers\.get\(.*?\)", " by --signature"),
    (r"\bor None to take signatures of any age", "or --any-age to take them all"),
    (r"\b((?:re)?set)_theme_tokens\b(?!:)", r"\1-theme-tokens"),
    (r"`(\w+)`", r"\1"),
    (r"\bwhereby_async(?= reads)", "whereby"),
)
"""What the library says to programs, as regular expressions, and what the command line says instead."""

_OPTIONS: Final = {
    "absent_after": "--absent-after",
    "base_url": "--base-url",
    "concurrency": "--concurrency",
    "insecure_http": "--insecure-http",
    "journal": "--journal",
    "max_outage": "--max-outage",
    "max_wait": "--max-wait",
    "overwrite": "--overwrite",
    "proxy": "--proxy",
    "refetch": "--refetch",
    "reserve": "--reserve",
    "retry_failed": "--retry-failed",
    "same_organisation": "--same-organisation",
    "timeout": "--timeout",
    "tolerance": "--tolerance",
}
"""Options by keyword, besides those of the command that runs."""

_KEYWORD: Final = re.compile(r"(?<![?&\w])([a-z]+(?:_[a-z]+)+)=(?=\S)")
_CLASS: Final = re.compile(r"\b[A-Z]\w*(?:Error|Exception)\b(: )?")
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+")

is_quiet: ContextVar[bool] = ContextVar("whereby_cli_is_quiet", default=False)
"""Whether only results and errors are printed: no progress, no hints."""

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


class _LogLines(logging.Handler):
    """Prints the library's log as lines of the command, except what hooks and errors tell of: outages, and unless the
    log was asked for, what limiters tell their hooks. With `--quiet` it prints no less than warnings.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        told = {"reachability"} if log_is_asked_for() else {"notify", "reachability"}
        least = logging.WARNING if is_quiet.get() else logging.NOTSET
        if record.levelno >= least and (record.module not in told or record.levelno > logging.WARNING):
            tell(in_option_names(self.format(record)))


def log_is_asked_for() -> bool:
    """Whether `--verbose` or the variable `WHEREBY_LOG` asks for the log."""
    return logging.getLogger(_LOGGER).level != logging.NOTSET


def ask_for_log() -> None:
    """Have all of the log printed until the command ends."""
    logging.getLogger(_LOGGER).setLevel(logging.DEBUG)


@contextlib.contextmanager
def warnings_printed() -> Generator[None]:
    """Print the library's warnings to stderr while the block runs, and what else of its log is asked for."""
    logger, handler = logging.getLogger(_LOGGER), _LogLines()
    level = logger.level
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


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
            code, text = ExitCode.WRONG_USAGE, _without_keys(_usage(error))
        case CommandError():
            code, text = error.exit_code, str(error)
        case WherebyError():
            perhaps = error.may_have_happened and not only_reads(getattr(error, "operation", ""))
            code, text = code_for(error), in_words(error) + (f"\n{PERHAPS}" if perhaps else "")
        case ModuleNotFoundError():
            code, text = ExitCode.BUG, f"the installation is broken: {error}"
        case OSError():
            code, text = ExitCode.WRONG_USAGE, in_words(error)
        case _:
            if os.environ.get(_TRACEBACK):
                traceback.print_exception(error)
            advice = f"Please report it; {_TRACEBACK}=1 shows where."
            code, text = ExitCode.BUG, f"a fault of this program: {type(error).__name__}. {advice}"
    return code, *text.splitlines()


def only_reads(operation: str) -> bool:
    """Whether an operation changes nothing."""
    from .. import operations  # seldom needed, and large

    rows = vars(operations).values()
    return any(isinstance(row, Operation) and row.name == operation and row.method == "GET" for row in rows)


def _usage(error: CycloptsError) -> str:
    """What cyclopts says of wrong usage, in words that tell what is missing, and whose help says more."""
    text = " ".join(str(error).split())
    text = text.replace('Unknown command "-', 'Unknown option "-')
    if isinstance(error, UnusedCliTokensError):
        text = f"{' '.join(error.unused_tokens or ())!r} is more than this command takes."
    else:
        text = _ALIKE.sub(_if_alike, text)
        text = _NUMBERS.sub(lambda kind: _KINDS[kind[1]], _MISSING.sub(_missing, text))
    return f"{text} See {' '.join(['whereby', *(error.command_chain or ())])} --help."


def _if_alike(found: re.Match[str]) -> str:
    """The suggestion, unless the option is like it by nothing but its hyphens."""
    is_alike = difflib.get_close_matches(found["given"], [found["meant"]])
    return found[0] if is_alike else found[0].partition(" Did")[0]


def _missing(found: re.Match[str]) -> str:
    name, words = found[1], command_line.get()
    if name not in words:
        return f"{name if name.startswith('-') else name.replace('_', '-')} is missing."
    value = next(iter(words[words.index(name) + 1 :]), "")
    return f"{name} needs a value" + (f": write {name}={value} if that is it." if re.match("-[^-]", value) else ".")


def _without_keys(text: str) -> str:
    """A text on wrong usage without the words of the command line that may be keys."""
    hidden = [word for word in _long_words() if word in text]
    for word in hidden:
        text = text.replace(word, "…")
    return text + (f"\n{_HIDDEN.format(count=len(hidden))}" if hidden else "")


def _long_words() -> list[str]:
    """Everything long in the command line except the names of options, longest first."""
    values = [word.partition("=")[2] if word.startswith("--") else word.lstrip("-") for word in command_line.get()]
    return sorted({found for value in values for found in _LONG.findall(value)}, key=len, reverse=True)


def in_words(error: BaseException) -> str:
    """An error's text in the words of the command line; a file's name stands before what the system says of it."""
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[error.start : error.end]!r} is in no file name of this locale: set LC_ALL=C.UTF-8"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return in_option_names(f"{place}{error.strerror or error}")
    return in_option_names(str(error))


def in_option_names(message: str, options: Mapping[str, str] | None = None) -> str:
    """A text of the library in the words of the command line: `page_size=0` becomes `--page-size 0`.

    Args:
        message: The text, which names Python's keywords and classes, and gives advice for programs.
        options: The command's own options by keyword.
    """
    for said, words in _IN_PYTHON:
        message = re.sub(said, words, message)
    for keyword, option in {**_OPTIONS, **(options or {})}.items():
        message = re.sub(rf"\b{keyword}=(?:True\b|(?=\W?$|\s|[:,.)]))", option, message)
        message = re.sub(rf"\b{keyword}=", f"{option} ", message)
        message = re.sub(rf"^{keyword}\b", option, message)
        if "_" in keyword:
            message = re.sub(rf"\b{keyword}\b", option, message)
    return _CLASS.sub(_without_class, _KEYWORD.sub(r"\1 ", message))


def _without_class(found: re.Match[str]) -> str:
    """Nothing for `OSError: ` before a reason; `OS error` where the class is all that is known."""
    name = found[0].removesuffix(": ")
    is_ours = hasattr(errors, name) or hasattr(builtins, name) or name.startswith(("Client", "Server"))
    if not is_ours:  # the service's own words
        return found[0]
    words = (word if word.isupper() else word.lower() for word in _WORDS.findall(name))
    return "" if found[1] else " ".join(words)
