"""What a command asks for on a terminal: leave to delete, and secrets that no variable has, which are no arguments.

A profile is a key and a base URL of one organisation, by name. All are tables of one TOML file of the user's:

    [acme]
    api_key = "…"
    base_url = "https://api.whereby.dev/v1"

For each of the two an option comes before a variable, a variable before the profile, the profile before the default.
"""

from __future__ import annotations

import contextlib
import difflib
import getpass
import os
import re
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..errors import ConfigurationError
from ..options import KEY_FILE_VARIABLE, URL_VARIABLE, NamedKey, key_variable, read_secrets, root_and_host
from ..redaction import Secret, SilentBytes, SilentDict, redact, shown
from .errors import KEY_VARIABLE, Interrupted, UsageError, signals_handled, tell

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from types import FrameType

WEBHOOK_VARIABLE: Final = "WHEREBY_WEBHOOK_SECRET"
PROFILE_VARIABLE: Final = "WHEREBY_PROFILE"
_FIELDS: Final = ("api_key", "base_url")
_HOMES: Final = {"darwin": "Library/Application Support", "win32": "AppData/Roaming"}
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_NO_UTF_8: Final = re.compile("[\udc80-\udcff]")
_LONGEST_KEY: Final = 1 << 16
_SHOWN_NAME: Final = 20
"""Characters from which on an unknown name may be a key, and is not repeated."""
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
    """Meanwhile Ctrl-C and SIGTERM interrupt at once: where somebody is asked, a loop would act after the line only."""

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
    tell(facts, "")
    try:
        with interruptible():
            print(f"Delete {'it' if count == 1 else 'them'}? [y/N] ", end="", file=sys.stderr, flush=True)
            answer = sys.stdin.buffer.readline().strip().lower()
    except Interrupted:
        tell("nothing was deleted")
        raise
    if answer not in {b"y", b"yes"}:
        raise UsageError("nothing was deleted")


def typed_in(variable: str, name: str, advice: str = "") -> Secret:
    """A secret that is asked for, since its variable is not set.

    Args:
        variable: The variable.
        name: What the secret is called.
        advice: What to do where there is no terminal; by default to set the variable.

    Raises:
        UsageError: There is no terminal to ask on, or nothing was typed in.
    """
    if not _is_terminal():
        advice = advice or f"set the variable {variable}"
        raise UsageError(f"no {name}: {advice} (on a terminal you would be asked for it)")
    typed = _asked(f"{name[:1].upper()}{name[1:]} (not shown; or set {variable}): ")
    if not typed:
        raise UsageError(f"no {name}: nothing was typed in, and the variable {variable} is not set")
    return typed


def sent_in(name: str) -> NamedKey:
    """A key that is asked for on a terminal and read from stdin elsewhere, whatever the variables are.

    Raises:
        UsageError: There is none.
    """
    if _is_terminal():
        key = NamedKey(_asked(f"{name} (not shown): "), "it was typed in")
    else:
        sent = SilentBytes() if sys.stdin is None else SilentBytes(sys.stdin.buffer.read(_LONGEST_KEY))
        key = NamedKey(sent.decode("utf-8-sig", "surrogateescape").strip(), "it came from stdin")
    if not key:
        raise UsageError(f"no {name}: type it in on a terminal, or send it to stdin")
    return key


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _asked(prompt: str) -> Secret:
    try:
        with interruptible():
            return Secret(getpass.getpass(prompt, stream=sys.stderr).strip())
    except EOFError:
        return Secret()
    except UnicodeDecodeError:  # which holds what was typed in, so the next error is not chained to it
        pass
    raise UsageError("what was typed in is no text: copy it anew")


def key_and_root(profile: str | None, base_url: str | None) -> tuple[Secret | None, str | None]:
    """What a command passes to its client: a key and a root, or `None` for those of the environment.

    Args:
        profile: The profile that was asked for; else the variable says which, if any.
        base_url: The root that was asked for.

    Raises:
        UsageError: There is no key, or the profile can not be used.
        ConfigurationError: The file of the profiles can not be read, or two variables hold a key.
    """
    key, root, place = None, None, ""
    name = os.environ.get(PROFILE_VARIABLE, "").strip() or None if profile is None else profile
    if name is not None:
        key, root, place = _profile(name)
    variable = key_variable()
    if os.environ.get(variable, "").strip():
        if key is not None:
            tell(f"the key is that of {variable}, not that of the {place}")
        key = None
    else:
        advice = f"set the variable {KEY_VARIABLE} or {KEY_FILE_VARIABLE}, or pass --profile (see whereby profiles)"
        if name is not None:
            advice = f"the {place} has none: whereby profiles add {name} --replace gives it one"
        key = key or typed_in(variable, "API key", advice)
    if base_url is None and root is not None and os.environ.get(URL_VARIABLE):
        tell(f"the base URL is that of {URL_VARIABLE}, not that of the {place}")
        root = None
    return key, root if base_url is None else base_url


def _profile(name: str) -> tuple[Secret | None, str | None, str]:
    """The key and the root of a profile, and how errors call it."""
    path = profiles_file()
    profiles = profiles_of(profiles_text(path), path)
    names = profile_names(profiles)
    if name not in names:
        told = f"{name!r} " if len(name) < _SHOWN_NAME else "of that name (not repeated, since it may be a key) "
        close = difflib.get_close_matches(name, names, n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        known = f"the profiles are {', '.join(names)}" if names else "whereby profiles add NAME writes one"
        raise UsageError(f"there is no profile {told}in {path}: {meant}{known}")
    place = f"profile {name} of {path}"
    fields = SilentDict(profiles[name])
    for field in fields:
        if field not in _FIELDS:
            raise UsageError(f"the {place} has {shown(field)}, but can have {' and '.join(_FIELDS)} only")
        if not isinstance(fields[field], str):
            raise UsageError(f"{field} of the {place} is no text in quotes")
    key, root = (Secret(fields[field]) if field in fields else None for field in _FIELDS)
    if root is not None:
        try:
            root_and_host(root)
        except ConfigurationError as error:
            raise UsageError(f"the {place}: {error}") from None
    return (None if key is None else NamedKey(key, f"it comes from the {place}")), root, place


def profiles_file() -> Path:
    """Where the profiles are: in the user's configuration folder, which is elsewhere on macOS and on Windows.

    Raises:
        UsageError: This user has no home.
    """
    for variable in ("XDG_CONFIG_HOME", "APPDATA"):
        if os.path.isabs(folder := os.environ.get(variable, "")):  # noqa: PTH117 - an empty one is none
            return Path(folder) / "whereby" / "profiles.toml"
    try:
        return Path.home() / _HOMES.get(sys.platform, ".config") / "whereby" / "profiles.toml"
    except RuntimeError:
        raise UsageError("profiles are in the home folder, and this user has none: set XDG_CONFIG_HOME") from None


def profiles_text(path: Path) -> Secret:
    """The text of the file that holds all profiles; empty if there is no file.

    Raises:
        UsageError: Others can read it, or it is no text.
        ConfigurationError: It can not be read.
    """
    if not path.exists():
        return Secret()
    text, status = read_secrets(str(path), str(path))
    if os.name == "posix" and status.st_mode & _OTHERS:
        raise UsageError(f"{path} holds keys, and others may read or change it: chmod 600 {shlex.quote(str(path))}")
    if _NO_UTF_8.search(text):
        raise UsageError(f"{path} is no text in UTF-8, which TOML is")
    return text


def profiles_of(text: str, path: Path) -> SilentDict:
    """What the file's text says, by name.

    Raises:
        UsageError: It is no TOML. No other error is chained to it, which could show what the file holds.
    """
    import tomllib

    try:
        return SilentDict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        flaw = redact(str(error))
    raise UsageError(f"{path} can not be read: {flaw}")


def profile_names(profiles: Mapping[str, Any]) -> list[str]:
    """The names of the profiles; what stands outside of any table is none."""
    return sorted(name for name in profiles if isinstance(profiles[name], dict))
