"""What a command asks for on a terminal: leave to delete, and secrets that no variable has, which are no arguments."""

from __future__ import annotations

import contextlib
import getpass
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from ..redaction import Secret
from .errors import KEY_VARIABLE, Interrupted, UsageError, signals_handled

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from types import FrameType

WEBHOOK_VARIABLE: Final = "WHEREBY_WEBHOOK_SECRET"
_NO_ARGUMENTS: Final = {
    "--api-key": KEY_VARIABLE,
    "--token": KEY_VARIABLE,
    "--secret": WEBHOOK_VARIABLE,
    "--webhook-secret": WEBHOOK_VARIABLE,
}


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Stop at an option that would hold a secret, before any message repeats its value.

    Raises:
        UsageError: There is one.
    """
    for word in arguments:
        option = word.partition("=")[0]
        if variable := _NO_ARGUMENTS.get(option):
            raise UsageError(
                f"{option}: everybody can see a command line, so a secret is never an argument: set the variable"
                f" {variable}, or leave it out and be asked"
            )


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """While somebody is asked, Ctrl-C and SIGTERM interrupt at once: a loop would act when the line has been typed."""

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        raise Interrupted(number=number)

    with signals_handled(interrupt):
        yield


def can_ask() -> bool:
    """Whether there is a terminal to ask on and to answer from; a process may also have no stdin at all."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask(facts: str, count: int) -> None:
    """Ask whether to delete something; all answers but yes are no.

    Args:
        facts: What would be deleted; what no terminal should be sent is replaced.
        count: How many would be.

    Raises:
        UsageError: The answer is no.
        Interrupted: Ctrl-C or SIGTERM.
    """
    print("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in facts), file=sys.stderr)
    with interruptible():
        print(f"Delete {'it' if count == 1 else 'them'}? [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.buffer.readline().strip().lower()
    if answer not in {b"y", b"yes"}:
        raise UsageError("nothing was deleted")


def typed_in(variable: str, name: str) -> Secret:
    """A secret that is asked for, since its variable is not set.

    Raises:
        UsageError: There is no terminal to ask on, or nothing was typed in.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"no {name}: set the variable {variable} (on a terminal you would be asked for it)")
    try:
        with interruptible():
            typed = getpass.getpass(f"{name} (not shown; or set {variable}): ", stream=sys.stderr).strip()
    except EOFError:
        typed = ""
    if not typed:
        raise UsageError(f"no {name}: nothing was typed in, and the variable {variable} is not set")
    return Secret(typed)
