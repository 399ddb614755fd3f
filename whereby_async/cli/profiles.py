"""`whereby profiles`: lists the profiles, whose keys it never shows, and writes one."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from ..options import read_key, root_and_host
from ..redaction import Secret, SilentDict, SilentList
from .errors import ExitCode, UsageError
from .global_options import Flag, OutputOptions
from .keys import profile_names, profiles_file, profiles_of, profiles_text, sent_in
from .output import keep_others_out

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_FIELD: Final = re.compile(r"""\s*["']?(\w+)["']?\s*=""")


def profiles(
    *,
    options: OutputOptions = OutputOptions(),  # noqa: B008 - frozen
) -> int:
    """List the names of the profiles, for --profile and WHEREBY_PROFILE.

    A profile has a key and, if it likes, a base URL. They are in the file
    whereby/profiles.toml of your configuration folder: ~/.config, on macOS
    ~/Library/Application Support, on Windows %APPDATA%; or in the folder
    XDG_CONFIG_HOME. WHEREBY_API_KEY and WHEREBY_BASE_URL win over a profile.

    For example:

        whereby profiles
        whereby profiles add acme
        whereby meetings list --profile acme

    Args:
        options: How to show results.
    """
    path = profiles_file()
    names = profile_names(profiles_of(profiles_text(path), path))
    output = options.output("name")
    output.rows([{"name": name} for name in names])
    output.end(len(names))
    output.wrapped(f"The file is {path}.")
    return ExitCode.OK


def add(
    name: str,
    /,
    *,
    base_url: str | None = None,
    replace: Flag = False,
    options: OutputOptions = OutputOptions(),  # noqa: B008 - frozen
) -> int:
    """Write a profile. The key is asked for on a terminal, and read from stdin elsewhere.

    For example:

        whereby profiles add acme
        pass show whereby/acme | whereby profiles add acme
        whereby profiles add acme --replace
        whereby profiles add test --base-url http://127.0.0.1:8700/v1

    Args:
        name: What to call it: letters, digits, - and _.
        base_url: The API's root; https://api.whereby.dev/v1 unless given.
        replace: Give a profile that exists another key, and another root if --base-url is given too.
        options: How to show results.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("NAME must be letters, digits, - and _, at most 40, without a hyphen first")
    root = None if base_url is None else root_and_host(base_url)[0]
    path = profiles_file()
    _read(path, name, replace=replace)  # before the key is asked for
    key, _ = read_key(sent_in(f"API key of {name}"))
    fields = SilentDict({"api_key": key} | ({} if root is None else {"base_url": root}))
    target = path.resolve()  # where it is a link, the file that this leads to
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("ab") as lock:  # the file itself is replaced
        keep_others_out(lock, waits=True)
        _write(target, _changed(*_read(path, name, replace=replace), name, fields, path))
    row = {"event": "done", "operation": "profiles.add", "name": name, "file": str(path)}
    options.output().line(row, f"The profile {name} is in {path}. Use it with --profile {name}.")
    return ExitCode.OK


def _read(path: Path, name: str, *, replace: bool) -> tuple[Secret, SilentDict]:
    """The file's text and its profiles.

    Raises:
        UsageError: The profile is there already and must not be replaced, or the file can not be used.
    """
    text = profiles_text(path)
    before = profiles_of(text, path)
    if name in before and not replace:
        raise UsageError(f"the profile {name} exists in {path}: --replace gives it another key")
    return text, before


def _changed(text: Secret, before: SilentDict, name: str, fields: SilentDict, path: Path) -> Secret:
    """The file's text with these fields in the table of a profile, which is added if it is not there; all else stays.

    Raises:
        UsageError: The profile is written in another way, such as an inline table.
    """
    # Names and values are printable ASCII; of that, JSON's strings are TOML's too.
    written = SilentList(f"{field} = {json.dumps(fields[field])}" for field in fields)
    lines = SilentList(text.split("\n"))
    head = next((at for at, line in enumerate(lines) if _is_head(line, name)), None)
    if head is None:
        lines = SilentList([*text.rstrip().split("\n"), "", f"[{name}]", *written, ""])
    else:
        end = next((at for at in range(head + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
        replaced = (match and match[1] in fields for match in map(_FIELD.match, lines[head + 1 : end]))
        kept = SilentList(line for line, is_old in zip(lines[head + 1 : end], replaced, strict=True) if not is_old)
        lines[head + 1 : end] = [*written, *kept]
    changed = Secret("\n".join(lines).lstrip())
    profile = SilentDict(before[name] if name in profile_names(before) else {})
    try:
        is_right = profiles_of(changed, path) == {**before, name: {**profile, **fields}}
    except UsageError:
        is_right = False
    if not is_right:
        raise UsageError(f"{path}: {name} is not written as a table [{name}] of simple lines: change it by hand")
    return changed


def _is_head(line: str, name: str) -> bool:
    """Whether a line begins a profile's table, however its name is quoted and whatever comment follows."""
    try:
        return line.lstrip().startswith("[") and tomllib.loads(line.strip()) == {name: {}}
    except tomllib.TOMLDecodeError:
        return False


def _write(path: Path, text: Secret) -> None:
    """Write the file at once or not at all, for its owner only."""
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".profiles-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)
