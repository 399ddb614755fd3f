"""From the words of a command line to the values that a call takes: dates, JSON, KEY=VALUE, lists of ids, files.

Also which dates in answers are believed.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, cast

from cyclopts import Parameter

from ..operation import with_slash
from ..redaction import SilentDict
from .errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import BinaryIO

    from cyclopts import Token

STDIN: Final = "@-"
"""The file name that means stdin; `-` means it too."""

_UNITS: Final = ("weeks", "days", "hours", "minutes", "seconds")
_FROM_NOW: Final = re.compile(
    r"([+-])(?=\d)" + "".join(rf"(?:(?P<{unit}>\d{{1,7}}){unit[0]})?" for unit in _UNITS), re.ASCII
)
_OLDEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Whereby is younger. An earlier date stands for none, such as 0001-01-01 in Go and .NET, or was converted wrongly."""
_SECRETS: Final = frozenset({"accesskeyid", "accesskeysecret", "url", "streamkey"})
"""Keys in a nested body that hold what opens a bucket or a stream."""


def moment(option: str, text: str, *, from_now: bool = True) -> str:
    """A point in time: RFC 3339 with an offset or, if `from_now`, so long from now, such as `+1h30m` or `-7d`.

    Raises:
        UsageError: It is neither; a date without an offset could be meant in any time zone.
    """
    if (match := _FROM_NOW.fullmatch(text)) and not from_now:
        advice = "write it like 2026-12-01T10:00:00Z"
        raise UsageError(f"{option} {text!r} is no date that stays the same when this is run again: {advice}")
    if match:
        try:
            at = datetime.now(UTC) + timedelta(**{unit: int(match[1] + (match[unit] or "0")) for unit in _UNITS})
        except OverflowError:
            raise UsageError(f"{option} {text}: that is beyond the calendar") from None
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        advice = "write it like 2026-12-01T10:00:00Z" + (", or from now, like +90m, +1h30m or +7d" if from_now else "")
        raise UsageError(f"{option} {text!r} is no date: {advice}") from None
    if parsed.tzinfo is None:
        when = parsed.isoformat()
        raise UsageError(f"{option} {text} names no time zone: write {when}Z for UTC, or an offset like {when}+02:00")
    return parsed.isoformat()


def date_of(option: str, text: str | None) -> datetime | None:
    """A point in time as `moment` reads it, or `None` if the option was not given.

    Raises:
        UsageError: It is no point in time.
    """
    return None if text is None else datetime.fromisoformat(moment(option, text))


def is_believed(moment: datetime | None) -> bool:
    """Whether a job may go by a date in an answer: it is there, and none from before the service."""
    return moment is not None and moment >= _OLDEST


def room_of(option: str, text: str | None) -> str | None:
    """A room's name or its beginning with its slash, or `None` if the option was not given.

    Raises:
        UsageError: It is empty, a link or a path.
    """
    if text is not None and not text.strip():
        raise UsageError(f"{option} is empty: pass a room's name, or leave the option out")
    try:
        return None if text is None else with_slash(option, text)
    except ValueError as error:
        raise UsageError(str(error).replace("=", " ", 1)) from None


def _as_written(_: type, tokens: Sequence[Token]) -> str:
    return tokens[0].value


Written: TypeAlias = Annotated[Path, Parameter(converter=_as_written)]
"""For cyclopts: a path, which shells complete, as the text that was written. A `Path` of it would lose its last slash,
and be the present directory for an empty one."""


def path_of(option: str, written: Path | str) -> Path:
    """The path of a file or a directory that is written to.

    Raises:
        UsageError: It is empty, as a variable that is not set leaves it, or a hyphen.
    """
    text = str(written)
    if not text.strip():
        raise UsageError(f"{option} is empty: name it, or write . for the present directory")
    if text == STDIN:
        raise UsageError(f"{option} is a hyphen, and nothing is written to stdout here: name it, or write ./-")
    return Path(text)


def structure(option: str, text: str) -> dict[str, Any]:
    """A JSON object: as it stands, from `@FILE`, or from stdin with `@-`.

    Raises:
        UsageError: It is none, or holds a secret that everybody would see in the list of processes.
    """
    try:
        value = json.loads(_content(option, text.removeprefix("@")) if text.startswith("@") else text)
    except ValueError as error:
        place = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError(f"{option} is no JSON{place}: pass an object, or @FILE with one") from None
    if not isinstance(value, dict):
        raise UsageError(f'{option} must be a JSON object such as {{"type": "cloud"}}, or @FILE')
    found = cast("dict[str, Any]", value)
    if not text.startswith("@") and (secret := _secret_in(found)):
        raise UsageError(
            f"{option} holds {secret}, a secret, and everybody can see a command line: put it in a file, and pass"
            " @FILE or @-"
        )
    return SilentDict(found)


def pairs(option: str, words: Iterable[str]) -> dict[str, Any] | None:
    """What `KEY=VALUE` words say, and `@FILE`s with a JSON object; `None` if there are none.

    A value is read as JSON if it is JSON, else as text.

    Raises:
        UsageError: A word is neither, or a key is there twice.
    """
    found: dict[str, Any] = SilentDict()
    said: set[str] = set()
    for word in words:
        key, equals, value = word.partition("=")
        if equals and not word.startswith("@") and key in said:
            raise UsageError(f"{option} {key} is there twice: take one out")
        said.add(key)
        if word.startswith("@"):
            found.update(structure(option, word))
        elif key and equals:
            try:
                found[key] = json.loads(value)
            except ValueError:
                found[key] = value
        else:
            raise UsageError(f"{option} {word!r}: write KEY=VALUE, or @FILE for a JSON object")
    return found or None


def ids(option: str, words: Iterable[str]) -> list[str]:
    """The ids that are named, those in a file for `@FILE`, one a line, and those that come in by stdin for `@-`.

    Raises:
        UsageError: A file can not be read, is no text, or holds JSON lines.
    """
    return [each for word in words for each in (_lines(option, word[1:]) if word.startswith("@") else [word])]


def raw(option: str, source: str) -> bytes:
    """The bytes of a file, or of stdin if it is named `-`.

    Raises:
        UsageError: It can not be read.
    """
    if source in {STDIN, "-"}:
        return stdin().read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {source}: {error.strerror or error}") from None


def stdin() -> BinaryIO:
    """What comes in by stdin.

    Raises:
        UsageError: It is closed.
    """
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - as `<&-` leaves it
        raise UsageError("stdin is closed: nothing can be read from it")
    return sys.stdin.buffer


def _lines(option: str, source: str) -> list[str]:
    lines = [line for line in map(str.strip, _content(option, source).splitlines()) if line]
    if any(line.startswith("{") for line in lines):
        by = "as jq -r .recordingId or jq -r .transcriptionId writes them"
        raise UsageError(f"{option} @{source} holds JSON: pass one id a line, {by}")
    return lines


def _content(option: str, source: str) -> str:
    try:
        return raw(option, source).decode("utf-8-sig")
    except UnicodeDecodeError:  # which holds what may be a secret, so the next error is not chained to it
        pass
    raise UsageError(f"{option} @{source} is no text in UTF-8: save it anew as UTF-8")


def _secret_in(value: object) -> str:
    """The first key in it that holds a secret, or nothing."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            if key.replace("_", "").lower() in _SECRETS and isinstance(inner, str):
                return key
            if found := _secret_in(inner):
                return found
    return ""
