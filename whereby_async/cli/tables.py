"""Results on a terminal: tables as wide as it is, and records of a line for each field. Ids and links stay whole."""

from __future__ import annotations

import json
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from rich.console import Console
from rich.text import Text

from .results import wire
from .work import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .results import Result

_GAP: Final = 2
_NARROWEST: Final = 12
"""A name that has less room than that is left out."""

_HEADS: Final = {
    "durationInSeconds": "seconds",
    "lastSessionStartedAt": "lastSession",
    "sizeInMegaBytes": "MB",
    "totalParticipantMinutes": "minutes",
    "totalSessions": "sessions",
    "totalUniqueParticipants": "people",
}
"""Heads of columns that are wider than what stands below them."""

_STATES: Final = {"ready": "green", "completed": "green", "failed": "red"}
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})


def plain_console() -> Console:
    """The terminal; what it is given is printed as it is, without markup or guessed colours."""
    return Console(highlight=False, markup=False)


class Records:
    """A line for each field that an answer holds."""

    def __init__(self) -> None:
        self._console = plain_console()
        self._is_first = True

    def one(self, result: Result) -> None:
        """One record; words are wrapped, links never."""
        fields = list(_flat("", wire(result)))
        width = max((len(name) for name, _ in fields), default=0)
        for name, value in fields:
            style = _style(name, value)
            for head, line in zip([name, *[""] * value.count("\n")], value.split("\n"), strict=True):
                for index, piece in enumerate(_wrapped(line, self._console.width - width - _GAP)):
                    label = (f"{head if index == 0 else '':<{width}}", "dim")
                    self._console.print(Text.assemble(label, " " * _GAP, (piece, style)), soft_wrap=True)

    def rows(self, rows: Sequence[Result]) -> None:
        """Records with an empty line between them."""
        for row in rows:
            if not self._is_first:
                self._console.print()
            self._is_first = False
            self.one(row)

    def done(self, operation: str, **facts: object) -> None:
        """`meetings.delete 107585000: done`."""
        words = " ".join([operation, *(_plain(value) for value in facts.values())])
        self._console.print(Text.assemble(words, (": done", "green")), soft_wrap=True)

    def end(self, count: int) -> None:
        """`3 rows`."""
        self._console.print(end="" if self._is_first else "\n")
        self._console.print(Text(counted(count, "row"), style="dim"), soft_wrap=True)


class Table(Records):
    """A table: columns are left out at the end where there is no room for them.

    Args:
        columns: By wire name, the most important first.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__()
        self._columns = columns
        self._widths: dict[str, int] = {}
        self._numbers: set[str] = set()
        self._left_out = False

    def rows(self, rows: Sequence[Result]) -> None:
        """The next lines; the first rows settle how wide the columns are."""
        wires = [wire(row) for row in rows]
        if wires and not self._widths:
            self._begin(wires)
        for row in wires:
            self._line({name: (_brief(row.get(name)), _style(name, row.get(name))) for name in self._widths})

    def end(self, count: int) -> None:
        """`3 rows`, and where the rest of their fields is."""
        more = "; all fields with --json" if self._left_out else ""
        self._console.print(Text(counted(count, "row") + more, style="dim"), soft_wrap=True)

    def _begin(self, rows: Sequence[dict[str, Any]]) -> None:
        room = self._console.width
        for name in self._columns:
            values = [row[name] for row in rows if row.get(name) not in _EMPTY]
            needed = max([len(_HEADS.get(name, name)), *(len(_brief(value)) for value in values)])
            least = min(needed, _NARROWEST) if name.lower().endswith("name") else needed
            if not values or least > room:
                continue
            self._widths[name] = min(needed, room)
            room -= self._widths[name] + _GAP
            if all(isinstance(value, int | float) for value in values):
                self._numbers.add(name)
        held = {name for row in rows for name, value in row.items() if value not in _EMPTY}
        self._left_out = not held <= self._widths.keys()
        self._line({name: (_HEADS.get(name, name), "dim") for name in self._widths})

    def _line(self, cells: dict[str, tuple[str, str]]) -> None:
        line = Text(no_wrap=True)
        for name, (text, style) in cells.items():
            piece, width = Text(text, style=style), self._widths[name]
            piece.truncate(width, overflow="ellipsis")
            piece.align("right" if name in self._numbers else "left", width)
            line.append_text(piece).append(" " * _GAP)
        line.rstrip()
        self._console.print(line, soft_wrap=True)


def _flat(path: str, value: object) -> Iterator[tuple[str, str]]:
    """The fields that hold something, those of nested objects under dotted names."""
    if isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            yield from _flat(f"{path}.{name}" if path else name, inner)
    elif value not in _EMPTY:
        yield path, _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def printable(text: str) -> str:
    """The text without what a terminal would obey: guests choose their own names."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _wrapped(line: str, width: int) -> list[str]:
    pieces = textwrap.wrap(line, max(width, 20), break_long_words=False, break_on_hyphens=False)
    return pieces or [""]


def _brief(value: object) -> str:
    """A value in a table: dates to the minute, in UTC."""
    if value is None:
        return ""
    text = _plain(value)
    if isinstance(value, str) and text[10:11] == "T" and text.endswith("Z"):
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M}Z"
    return " ".join(text.split())


def _style(name: str, value: object) -> str:
    return _STATES.get(str(value), "yellow") if name == "state" else ""
