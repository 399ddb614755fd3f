"""A file of rows, CSV or JSON lines, as keywords of `meetings.create`: checked whole before anything is sent."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from . import values
from .cells import KINDS, keyword_of, value_of
from .encoding import check_utf8, is_torn
from .exits import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SHOWN_FAULTS: Final = 20
_EMPTY: Final = (None, "")


class RowFile:
    """Rows to make rooms from; iterating reads the file again.

    Args:
        path: The file; `-` is stdin, which is then read into memory.
        is_csv: Whether it is CSV; JSON lines otherwise.
        defaults: Values for rows that do not say them, by column.
        key: The column that is the rows' key, if any.
        ignored: Columns that are nothing to the API.

    Attributes:
        lines: The line of each row, once they are checked.
    """

    def __init__(
        self, path: str, *, is_csv: bool, defaults: Mapping[str, Any], key: str | None, ignored: Sequence[str]
    ) -> None:
        self._name = "stdin" if path == values.STDIN else path
        self._source: Path | bytes = values.raw("FILE", path) if path == values.STDIN else Path(path)
        self._is_csv = is_csv
        self._defaults = dict(defaults)
        self._key = key and (keyword_of(key) if keyword_of(key) in KINDS else key)
        self._ignored = frozenset(ignored)
        self.lines: list[int] = []

    @property
    def key(self) -> str | None:
        """The name of the rows' key as keywords have it."""
        return self._key

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, raw in self._raw():
            yield self._keywords(raw)

    def check(self) -> None:
        """Look at every row, and note on which line it stands.

        Raises:
            UsageError: Some can not be used; the text names them by their lines.
        """
        faults: list[str] = []
        keys: dict[str, int] = {}
        self.lines = []
        with self._bytes() as content:
            check_utf8(self._name, content)
        try:
            self._columns_of(self._defaults)
        except UsageError as fault:
            raise UsageError(f"--set: {fault}") from None
        self._check_columns()
        for line, raw in self._raw():
            self.lines.append(line)
            try:
                self._check(line, self._keywords(raw), keys)
            except UsageError as fault:
                faults.append(f"line {line}: {fault}")
        if faults:
            rest = len(faults) - _SHOWN_FAULTS
            count = "1 row" if len(faults) == 1 else f"{len(faults)} rows"
            head = f"{count} can not be used, and nothing was sent:"
            raise UsageError("\n".join([head, *faults[:_SHOWN_FAULTS], *([f"and {rest} more"] if rest > 0 else [])]))

    def _check_columns(self) -> None:
        if self._is_csv:
            with self._open() as text:
                names = next(csv.reader(text), list[str]())
            for name in names:
                if not name.strip():
                    raise UsageError("line 1: a column has no name; the first line names the columns")
            try:
                self._columns_of([name for name in names if name not in self._ignored])
            except UsageError as fault:
                raise UsageError(f"line 1: {fault}") from None

    def _columns_of(self, names: Iterable[str]) -> dict[str, str]:
        """The columns' keywords by their names.

        Raises:
            UsageError: One is unknown, or there twice, be it in another spelling.
        """
        first: dict[str, str] = {}
        for name in names:
            keyword = self._column(name)
            if keyword in first:
                raise UsageError(f"columns {first[keyword]!r} and {name!r} are the same: take one out")
            first[keyword] = name
        return {name: keyword for keyword, name in first.items()}

    def _column(self, name: str) -> str:
        """A column's name as a keyword, or as the key."""
        keyword = keyword_of(name)
        if keyword in KINDS or name in self._ignored:
            return keyword
        if name == self._key:
            return name
        advice = "name it by --key or --ignore, or take it out"
        raise UsageError(f"column {name!r} is no parameter of a meeting: {advice}")

    def _check(self, line: int, row: dict[str, Any], keys: dict[str, int]) -> None:
        if "end_date" not in row:
            raise UsageError("it has no end_date: add the column, or pass --set end_date=…")
        if self._key is None:
            return
        if row.get(self._key) in _EMPTY:
            raise UsageError(f"it has no {self._key}, which is to be its key")
        key = str(row[self._key])
        if (first := keys.setdefault(key, line)) != line:
            raise UsageError(f"its {self._key} {key!r} is that of line {first} too")

    def _keywords(self, raw: Mapping[str, Any] | str) -> dict[str, Any]:
        """A row as keywords.

        Raises:
            UsageError: It can not be used.
        """
        if isinstance(raw, str):
            raise UsageError(raw)
        columns = self._columns_of(column for column in raw if column not in self._ignored)
        given = {column: raw[column] for column in columns if raw[column] not in _EMPTY}
        row: dict[str, Any] = {}
        for column, value in (self._defaults | given).items():
            keyword = columns.get(column) or self._column(column)
            if is_torn(value):
                raise UsageError(f"{column} holds half a character (a lone surrogate), which can not be sent")
            row[keyword] = value_of(keyword, value) if keyword in KINDS else value
        return row

    def _raw(self) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
        """The rows with their lines; text is what is wrong with one."""
        with self._open() as text:
            yield from _csv_rows(text) if self._is_csv else _json_rows(text)

    def _open(self) -> io.TextIOBase:
        return io.TextIOWrapper(self._bytes(), "utf-8-sig", newline="")

    def _bytes(self) -> io.BytesIO | io.BufferedReader:
        return io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")


def _csv_rows(text: io.TextIOBase) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    reader = csv.DictReader(text, strict=True)
    try:
        for row in reader:
            extra = None in row
            yield reader.line_num, "it has more cells than the first line has columns" if extra else row
    except csv.Error as error:
        yield reader.line_num + 1, f"it is no CSV: {error}"


def _json_rows(text: io.TextIOBase) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for number, line in enumerate(text, 1):
        if line.strip():
            try:
                row: object = json.loads(line, object_pairs_hook=_once)
            except UsageError as fault:
                yield number, str(fault)
                continue
            except (ValueError, RecursionError):
                row = None
            yield number, cast("dict[str, Any]", row) if isinstance(row, dict) else "it is no JSON object"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UsageError(f"{name!r} is there twice: take one out")
        found[name] = value
    return found
