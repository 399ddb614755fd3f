"""Where a command may write: plain files that are told apart, whatever links lead to them."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Final

from .exits import UsageError
from .values import STDIN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

_STREAMS: Final = (STDIN, "/dev/stdin", "/dev/stdout", "/dev/stderr")
_DESCRIPTORS: Final = ("/dev/fd/", "/proc/")


def check_plain(name: str, path: str) -> None:
    """Look whether a file can take results that a later run reads again.

    Args:
        name: What it is called, such as `--output`.
        path: The file, which need not be there.

    Raises:
        UsageError: It is a pipe, a device or a directory; only the null device may be named beside plain files.
    """
    if path in _STREAMS or os.path.abspath(path).startswith(_DESCRIPTORS):  # noqa: PTH100 - links stay as they are
        shown = "-" if path == STDIN else path
        raise UsageError(
            f"{name} {shown} is no plain file: leave it out, and results go to stdout in a pipe or by --json"
        )
    try:
        status = os.stat(path)  # noqa: PTH116 - as for descriptors
    except OSError:
        return  # it is to be made, or its opening tells what is wrong
    check_status(name, path, status)


def check_status(name: str, path: str, status: os.stat_result) -> None:
    """Look whether what was found is a plain file, or the null device.

    Args:
        name: What it is called.
        path: Where it is.
        status: What the system says of it.

    Raises:
        UsageError: It is neither.
    """
    if not (stat.S_ISREG(status.st_mode) or _is_null(status)):
        raise UsageError(f"{name} {path} is no plain file: name one, or one to be made, or {os.devnull}")


def check_apart(places: Iterable[tuple[str, str | TextIO | None]]) -> None:
    """Look whether two of the files that a command reads and writes are one, stdout among them.

    Args:
        places: What each is called, and its path or stream; `None` is passed over.

    Raises:
        UsageError: Two are the same file, by whatever path or link.
    """
    seen: dict[object, str] = {}
    for name, place in (*places, ("stdout", sys.stdout)):
        identity = None if place is None else _identity(place)
        if identity is None:
            continue
        if (other := seen.setdefault(identity, name)) != name:
            where = f" ({place})" if isinstance(place, str) else ""
            raise UsageError(
                f"{other} and {name}{where} are one file, which would be destroyed: name another for one of them"
            )


def _identity(place: str | TextIO) -> object:
    """What a file is known by; `None` for terminals, pipes and devices."""
    try:
        status = os.stat(place if isinstance(place, str) else place.fileno())  # noqa: PTH116 - descriptors too
    except (OSError, ValueError):
        return os.path.realpath(place) if isinstance(place, str) else None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _is_null(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116 - no path
