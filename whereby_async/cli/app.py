"""The app: its commands, and the exit code of each.

Only what a command line names is imported: `whereby meetings list` does not import the fake server of `whereby demo`.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from cyclopts import App, Parameter, convert

from ..version import __version__
from .errors import ExitCode, UsageError, command_line, is_quiet, report_error, warnings_printed
from .keys import refuse_secrets
from .values import STDIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cyclopts import Token

_HELP: Final = """The Whereby API on the command line.

The key comes from WHEREBY_API_KEY, the file of WHEREBY_API_KEY_FILE or a
profile (see whereby profiles), or is asked for on a terminal.

For example:

    whereby demo                                       no account needed
    whereby sandbox                                    a Whereby of your own
    whereby meetings create --end-date +2h --field hostRoomUrl
    whereby recordings list --sort-by startDate:desc --max-items 10
    whereby meetings list --json | jq -r .roomUrl      JSON lines in any pipe
    whereby meetings import rooms.csv --journal rooms.journal
    whereby budget --watch

More on a command: whereby help COMMAND, or whereby COMMAND --help.
Exit codes: 0 ok, 1 the API said no, 2 wrong usage, 3 throttled, 4 no answer.
"""
_INSTALL_COMPLETION: Final = "--install-completion"
_BOXED: Final = 40
"""Columns below which help has no boxes, which would cut the names of options."""

_START_FILES: Final = (
    Path("~/.bashrc"),
    Path("~/.zshrc"),
    Path("~/.config/powershell/profile.ps1"),
    Path("~/Documents/PowerShell/profile.ps1"),
    Path("~/Documents/WindowsPowerShell/profile.ps1"),
)
"""What shells read when they start, into which a line for completion may be written."""
_VERSION: Final = ("--version", "-V")

_RESOURCES: Final = {
    "meetings": "Make, read, list and delete meetings and their rooms.",
    "recordings": "Read, list, download and delete recordings.",
    "transcriptions": "Start, read, list, download and delete transcriptions.",
    "summaries": "Start, read, list and delete summaries (closed beta).",
    "rooms": "The looks of rooms: colours, logo, backgrounds.",
    "insights": "Who met where, for how long, and how well.",
}
"""The groups that hold the operations of a resource."""

_EXAMPLES: Final = {
    "meetings": ("create --end-date +2h", "list --max-items 20", "import rooms.csv --dry-run"),
    "recordings": ("list --room-name /weekly", "sync recordings/ --since=-30d"),
    "transcriptions": ("create b1f0c1a2-6f6c-4c55-9f0e", "wait b1f0c1a2-6f6c-4c55-9f0e", "list"),
    "summaries": ("create b1f0c1a2-6f6c-4c55-9f0e", "wait b1f0c1a2-6f6c-4c55-9f0e", "list"),
    "rooms": ("set-logo /weekly logo.png", "set-theme-tokens /weekly --primary '#0A2540'"),
    "insights": ("rooms --sort-by totalSessions:desc", "export season/ --format csv"),
    "webhooks": ('verify body.json --signature "$HEADER"', "send room.client.joined http://127.0.0.1:8000/webhooks"),
}
"""How commands of a group are called."""

_TEXTS: Final = {
    "budget": "Points left, and who waits for them; --watch goes on looking.",
    "demo": "Watch the client work, call by call, with points spent and left.",
    "probe": "Look which rate-limit headers the service really sends (a few points).",
    "sandbox": "Keep a fake Whereby up, to develop against without an account.",
    **_RESOURCES,
    "webhooks": "Check and send signed webhooks, without the API.",
    "profiles": "Names for the keys of several organisations, for --profile.",
}
"""What can follow `whereby`."""

_FUNCTIONS: Final = {
    "budget": "budget.budget",
    "demo": "demo.demo",
    "probe": "budget.probe",
    "sandbox": "sandbox.sandbox",
    "meetings import": "import_.import_meetings",
    "meetings purge": "purge.purge",
    "recordings download": "sync.download_recording",
    "recordings purge": "purge.purge_recordings",
    "recordings sync": "sync.sync",
    "transcriptions download": "sync.download_transcription",
    "transcriptions purge": "purge.purge_transcriptions",
    "transcriptions wait": "operation_commands.wait_for_transcription",
    "summaries wait": "operation_commands.wait_for_summary",
    "insights export": "export.export",
    "webhooks send": "webhook_commands.send",
    "webhooks verify": "webhook_commands.verify",
    "profiles": "profiles.profiles",
    "profiles add": "profiles.add",
}
"""The functions of the commands that are not one operation each, by module."""


def app(words: Sequence[str] | None = None, columns: int = 80) -> App:
    """The app.

    Args:
        words: The command line; only what it names is imported. `None` imports all commands.
        columns: The width that help has.
    """
    words = None if words is not None and _INSTALL_COMPLETION in words else words
    whereby = App(
        name="whereby",
        version=__version__,
        version_flags=_VERSION,
        help=_HELP,
        help_format="plaintext",
        help_formatter="default" if columns >= _BOXED else "plain",
        default_parameter=Parameter(converter=_converted),
    )
    for name, text in _TEXTS.items():
        is_named = words is None or name in words
        if name in _FUNCTIONS and is_named:
            whereby.command(_function(name), name=name)
        else:
            examples = "".join(f"\n    whereby {name} {example}" for example in _EXAMPLES.get(name, ()))
            help_ = text + (f"\n\nFor example:\n{examples}\n" if examples else "")
            whereby.command(App(name=name, version_flags=_VERSION, help=help_))
        if is_named:
            _fill(whereby[name], name)
    whereby.command(_install_completion(whereby), name=_INSTALL_COMPLETION, help_flags=[], version_flags=[])
    return whereby


def _converted(kind: Any, words: Sequence[Token]) -> Any:
    """The value of an option's words; cyclopts would round a fraction where a whole number is needed."""
    if kind is int and "." in words[0].value:
        raise ValueError(f'unable to convert "{words[0].value}" into a whole number.')
    return convert(kind, words)  # pyright: ignore[reportUnknownVariableType] - of any type


def _fill(group: App, name: str) -> None:
    if name in _RESOURCES:
        from .operation_commands import register

        register(group, name)
    for words in _FUNCTIONS:
        if words.startswith(f"{name} "):
            group.command(_function(words), name=words.partition(" ")[2])


def _function(words: str) -> Any:
    module, name = _FUNCTIONS[words].split(".")
    return getattr(importlib.import_module(f".{module}", __package__), name)


def _install_completion(whereby: App) -> Callable[..., None]:
    def install(*, shell: Literal["bash", "zsh", "fish", "powershell"] | None = None) -> None:
        """Install completion for your shell.

        It writes a script where the shell looks for such, and a line that
        loads it into .bashrc, .zshrc or PowerShell's profile; fish needs none.
        It says which files it has written.

        For example:

            whereby --install-completion
            whereby --install-completion --shell zsh

        Args:
            shell: The shell; the one that this runs in unless given.
        """
        from cyclopts.completion.detect import ShellDetectionError

        before = {file: _content(file) for file in map(Path.expanduser, _START_FILES)}
        try:
            place = whereby.install_completion(shell=shell)
        except ShellDetectionError:
            raise UsageError("no shell is known to complete for: pass --shell bash, zsh, fish or powershell") from None
        written = [str(place), *(str(file) for file, text in before.items() if _content(file) != text)]
        print(f"Written: {' and '.join(written)}. Start a new shell to have completion.")

    return install


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def run(arguments: Sequence[str], columns: int) -> int:
    """Run one command, given the words after `whereby` and the width that help has; the exit code."""
    return copy_context().run(_run, arguments, columns)  # what a command sets does not outlive it


def _run(arguments: Sequence[str], columns: int) -> int:
    try:
        refuse_secrets(arguments)
        words = _behind_the_command(arguments)
        command_line.set(tuple(arguments))
        words = _in_plain_options(words)
        command, bound, _ = app(words, columns).parse_args(words, print_error=False, exit_on_error=False)
        is_quiet.set(getattr(bound.arguments.get("options"), "quiet", False))
        with warnings_printed():
            code: int | None = command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads on: what is still buffered has to go somewhere, or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it ends in a line and a code
        return report_error(error)
    return code or ExitCode.OK


def _behind_the_command(arguments: Sequence[str]) -> list[str]:
    """The words with the options of every command behind the command, also those that stood before it."""
    rest = [STDIN if word == "-" else word for word in arguments]  # cyclopts takes a lone hyphen for an option
    if not rest or not rest[0].startswith("-"):
        return rest
    from .global_options import option_names

    names, options = option_names(), list[str]()
    while rest and rest[0].partition("=")[0] in names:
        option = rest.pop(0)
        options.append(option)
        if names.get(option) and rest:
            options.append(rest.pop(0))
    return rest + options


def _in_plain_options(words: list[str]) -> list[str]:
    """`help meetings list` and `meetings help list` as `meetings list --help`, `version` as `--version`."""
    if words[:1] == ["version"]:
        return [*_VERSION[:1], *words[1:]]
    if words[:2] == ["help", "help"]:
        return _in_plain_options(words[1:])
    for place in range(min(2, len(words))):
        if words[place] == "help" and (place == 0 or words[0] in _TEXTS):
            return [*words[:place], *words[place + 1 :], "--help"]
    return words
