"""What a terminal shows: words, tables that fit its width, and records with a line for each field. No id is cut."""

from __future__ import annotations

import json
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from .errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeAlias

    Piece: TypeAlias = str | tuple[str, str]

_GAP: Final = 2
_NARROWEST: Final = 12
"""A column of names that would be narrower than this is left out."""

_HEADS: Final = {
    "durationInSeconds": "seconds",
    "lastSessionStartedAt": "lastSession",
    "sizeInMegaBytes": "MB",
    "totalParticipantMinutes": "minutes",
    "totalSessions": "sessions",
    "totalUniqueParticipants": "people",
}
"""Heads of the columns whose wire names are wider than their values."""

_SMALL: Final = 0.1
"""Smaller numbers have two digits for people, others two decimals."""

_STATES: Final = {"ready": "green", "completed": "green", "failed": "red"}
_EVENTS: Final = {"step": "bold", "notice": "yellow", "wait": "cyan", "summary": "bold green"}
_NOT_INDENTED: Final = frozenset({"step", "notice", "ready"})
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})


class Terminal:
    """Words, and rows as records. Text is printed as it is, without markup or guessed colours."""

    def __init__(self) -> None:
        self._console = plain_console()
        self._has_head = False
        self._is_first = True

    def line(self, *words: Piece, is_wrapped: bool = False) -> None:
        """Print words, however wide they are, or wrapped at the terminal's width."""
        text = _assembled(words)
        if text.spans:
            self._console.print(text, soft_wrap=not is_wrapped)
        else:
            print(text.plain, flush=True)  # a progress bar moves down for this, and not for what another console prints

    def say(self, event: str, text: str) -> None:
        """Print sentences, wrapped."""
        if event == "step":
            self._console.print()
        indent = 0 if event in _NOT_INDENTED else 2
        width = max(20, self._console.width - indent)
        for part in (part for line in printable(text).splitlines() for part in textwrap.wrap(line, width)):
            self._console.print(Text(" " * indent + part, style=_EVENTS.get(event, "")))

    def table_line(self, head: str, *cells: Piece) -> None:
        """Print a line that is cut at the terminal's width, and its head above the first one."""
        lines = [_assembled(cells)]
        if not self._has_head:
            self._has_head = True
            lines.insert(0, Text(head, style="dim"))
        for line in lines:
            self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)

    def rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Print records with an empty line between them."""
        for row in rows:
            if not self._is_first:
                self._console.print()
            self._is_first = False
            self._record(row)

    def end(self, count: str) -> None:
        """Print `3 rows`."""
        self._console.print(end="" if self._is_first else "\n")
        self.line((count, "dim"))

    def _record(self, row: dict[str, Any]) -> None:
        """A line for each field that the row holds; words are wrapped, links never."""
        fields = list(_flat("", row))
        width = max((len(name) for name, _ in fields), default=0)
        for name, value in fields:
            style = _style(name, value)
            for head, line in zip([name, *[""] * value.count("\n")], value.split("\n"), strict=True):
                for index, piece in enumerate(_wrapped(line, self._console.width - width - _GAP)):
                    label = (f"{head if index == 0 else '':<{width}}", "dim")
                    self.line(label, " " * _GAP, (piece, style))


class Table(Terminal):
    """Rows as a table. The last columns are left out if the terminal is too narrow for them.

    Args:
        columns: Wire names with spaces between them, the most important first.
    """

    def __init__(self, columns: str) -> None:
        super().__init__()
        self._columns = columns.split()
        self._widths: dict[str, int] = {}
        self._numbers: set[str] = set()
        self._left_out = False

    def rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Print the next lines; the first rows decide how wide the columns are."""
        if rows and not self._widths:
            self._begin(rows)
        for row in rows:
            self._cells({name: (_brief(row.get(name)), _style(name, row.get(name))) for name in self._widths})

    def end(self, count: str) -> None:
        """Print `3 rows`, and where the rest of their fields is."""
        self.line((count + ("; all fields with --json" if self._left_out else ""), "dim"))

    def _begin(self, rows: Sequence[dict[str, Any]]) -> None:
        left = self._console.width
        for name in self._columns:
            values = [row[name] for row in rows if row.get(name) not in _EMPTY]
            needed = max([len(_HEADS.get(name, name)), *(len(_brief(value)) for value in values)])
            least = min(needed, _NARROWEST) if name.lower().endswith("name") else needed
            if not values or least > left:
                continue
            self._widths[name] = min(needed, left)
            left -= self._widths[name] + _GAP
            if all(isinstance(value, int | float) for value in values):
                self._numbers.add(name)
        held = {name for row in rows for name, value in row.items() if value not in _EMPTY}
        self._left_out = not held <= self._widths.keys()
        self._cells({name: (_HEADS.get(name, name), "dim") for name in self._widths})

    def _cells(self, cells: dict[str, tuple[str, str]]) -> None:
        line = Text(no_wrap=True)
        for name, (text, style) in cells.items():
            piece, width = Text(text, style=style), self._widths[name]
            piece.truncate(width, overflow="ellipsis")
            piece.align("right" if name in self._numbers else "left", width)
            line.append_text(piece).append(" " * _GAP)
        line.rstrip()
        self._console.print(line, soft_wrap=True)


def plain_console() -> Console:
    """The terminal as rich sees it."""
    return Console(highlight=False, markup=False)


def grid(title: str, rows: Iterable[tuple[str, Sequence[Piece]]]) -> Grid:
    """A title above lines with a name and words each."""
    made = Grid.grid(padding=(0, 2))
    made.title = Text(title, style="bold")
    made.title_justify = "left"
    for name, words in rows:
        made.add_row(Text(name, style="dim"), _assembled(words))
    return made


def _assembled(words: Iterable[Piece]) -> Text:
    pairs = ((word, "") if isinstance(word, str) else word for word in words)
    return Text.assemble(*((printable(text), style) for text, style in pairs))


def _flat(path: str, value: object) -> Iterator[tuple[str, str]]:
    """The fields that hold something, those of nested objects under dotted names."""
    if isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            yield from _flat(f"{path}.{name}" if path else name, inner)
    elif value not in _EMPTY:
        yield path, _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return printable(value if isinstance(value, str) else json.dumps(_rounded(value), ensure_ascii=False))


def number(value: float) -> str:
    """A number for people: two decimals, or two digits if it is smaller; `4.33`, `12`, `0.0012`."""
    return f"{value:.2g}" if 0 < abs(value) < _SMALL else f"{round(value, 2):.15g}"


def _rounded(value: object) -> object:
    """The same with the numbers in it rounded as `number` does."""
    if isinstance(value, float):
        return float(number(value))
    if isinstance(value, list):
        return [_rounded(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in cast("dict[str, object]", value).items()}
    return value


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
