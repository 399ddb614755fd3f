"""The app: its groups of commands, and what becomes of the errors that come out of them.

Only what a command line names is imported: `whereby meetings list` never pays for the fake server that `whereby demo` needs.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cyclopts import App

from ..version import __version__
from .catalogue import GROUPS
from .ending import told
from .exits import BROKEN_PIPE, ExitCode
from .keys import refuse_secrets
from .values import STDIN
from .work import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_HELP: Final = """The Whereby API on the command line.

The key comes from WHEREBY_API_KEY, or is asked for on a terminal.

For example:

    whereby demo                                       no account needed
    whereby sandbox                                    a Whereby of your own
    whereby meetings create --end-date +2h --field hostRoomUrl
    whereby recordings list --sort-by startDate:desc --max-items 10
    whereby meetings list --json | jq -r .roomUrl      JSON lines in any pipe
    whereby meetings import rooms.csv --journal rooms.journal
    whereby budget --watch

Exit codes: 0 ok, 1 the API said no, 2 wrong usage, 3 throttled, 4 no answer.
"""
_INSTALL_COMPLETION: Final = "--install-completion"
_VALUED: Final = frozenset({"--base-url", "--max-wait", "--timeout", "--redis", "--redis-name"})
_FLAGS: Final = frozenset({"--json", "--verbose", "-v"})


class _Place(NamedTuple):
    """A word that can follow `whereby`.

    Attributes:
        text: What is behind it.
        modules: Where its commands are; each registers them.
    """

    text: str
    modules: tuple[str, ...]


_COMMANDS: Final = {
    "budget": _Place("Points left, and who waits for them; --watch goes on looking.", ("budget",)),
    "demo": _Place("Watch the client work, call by call, with points spent and left.", ("demo",)),
    "probe": _Place("Look which rate-limit headers the service really sends (a few points).", ("probe",)),
    "sandbox": _Place("Keep a fake Whereby up, to develop against without an account.", ("sandbox",)),
}
_GROUPS: Final = {
    **{name: _Place(text, ()) for name, text in GROUPS.items()},
    "meetings": _Place(GROUPS["meetings"], ("importing", "purge")),
    "recordings": _Place(GROUPS["recordings"], ("downloads", "sync")),
    "transcriptions": _Place(GROUPS["transcriptions"], ("downloads", "waits")),
    "summaries": _Place(GROUPS["summaries"], ("waits",)),
    "insights": _Place(GROUPS["insights"], ("export",)),
    "webhooks": _Place("Check signed webhooks, without the API.", ("webhooks",)),
}


def app(words: Sequence[str] | None = None) -> App:
    """The app.

    Args:
        words: The command line, of which only what it names is imported; `None` for all commands.
    """
    words = None if words is not None and _INSTALL_COMPLETION in words else words
    whereby = App(name="whereby", version=__version__, help=_HELP, help_format="plaintext")
    for name, place in _COMMANDS.items():
        if _is_named(name, words):
            for module in place.modules:
                _module(module).register(whereby)
        else:
            whereby.command(App(name=name, help=place.text))
    for name, place in _GROUPS.items():
        group = App(name=name, help=place.text)
        whereby.command(group)
        if _is_named(name, words):
            _fill(group, name, place)
    if words is None:
        _module("completion").register(whereby)
    else:
        whereby.command(App(name=_INSTALL_COMPLETION, help="Install completion for your shell."))
    return whereby


def _is_named(name: str, words: Sequence[str] | None) -> bool:
    return words is None or name in words


def _fill(group: App, name: str, place: _Place) -> None:
    if name in GROUPS:
        _module("resource").register(group, name)
    for module in place.modules:
        _module(module).register(group, name)


def _module(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: The words after `whereby`.

    Returns:
        The exit code.
    """
    try:
        refuse_secrets(arguments)
        words = moved_behind(arguments)
        command_line.set(tuple(arguments))
        command, bound, _ = app(words).parse_args(words, print_error=False, exit_on_error=False)
        code: int | None = command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads on: what is still buffered has to go somewhere, or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it ends in a line and a code
        return told(error)
    return code or ExitCode.OK


def moved_behind(arguments: Sequence[str]) -> list[str]:
    """The command line as the app reads it: options of every command behind the command, also those that stood before it."""
    rest = [STDIN if word == "-" else word for word in arguments]  # a lone hyphen would be taken for an option
    options: list[str] = []
    while rest and rest[0].partition("=")[0] in _VALUED | _FLAGS:
        option = rest.pop(0)
        options.append(option)
        if option in _VALUED and rest:
            options.append(rest.pop(0))
    return rest + options
