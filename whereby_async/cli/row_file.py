"""A file of rows, CSV or JSON lines, as keywords of `meetings.create`. All rows are checked before anything is sent."""

from __future__ import annotations

import codecs
import csv
import inspect
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from ..redaction import SilentDict
from ..resources import Meetings
from .errors import UsageError
from .values import STDIN, moment, raw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SHOWN_FAULTS: Final = 20
_EMPTY: Final = (None, "")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PREFIX: Final = "room_name_prefix"
_LONGEST_PREFIX: Final = 29
"""Characters: the API takes 39, and a marker of ten goes behind it, by which a room is found whose answer was lost."""

_ADVICE: Final = 'save it as UTF-8 (in Excel: "CSV UTF-8"), and run this again'
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_ANNOTATIONS: Final[Mapping[str, str]] = {
    name: str(parameter.annotation).removesuffix(" | None")
    for name, parameter in inspect.signature(Meetings.create).parameters.items()
    if name != "self"
}
"""The keywords that a row may have, and their annotations."""


class RowFile:
    """Rows to make rooms from; iterating reads the file again.

    Args:
        path: The file; `-` is stdin, which is then read into memory.
        is_csv: Whether it is CSV; JSON lines otherwise.
        defaults: Values for rows that do not say them, by column.
        key: The column that is the rows' key, if any.
        ignored: Columns that are nothing to the API.

    Attributes:
        key: The name of the rows' key as keywords have it.
        lines: The line of each row, once they are checked.
    """

    def __init__(
        self, path: str, *, is_csv: bool, defaults: Mapping[str, Any], key: str | None, ignored: Sequence[str]
    ) -> None:
        self._name = "stdin" if path == STDIN else path
        self._source: Path | bytes = raw("FILE", path) if path == STDIN else Path(path)
        self._is_csv = is_csv
        self._defaults = dict(defaults)
        self._ignored = frozenset(ignored)
        self.key: str | None = key and (_keyword(key) if _keyword(key) in _ANNOTATIONS else key)
        self.lines: list[int] = []

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, row in self._rows():
            yield self._keywords(row)

    def check(self) -> None:
        """Check every row, and note on which line it stands.

        Raises:
            UsageError: Some can not be used; the text names them by their lines.
        """
        with self._bytes() as lines:
            _check_utf8(self._name, lines)
        try:
            self._columns(self._defaults)
        except UsageError as fault:
            raise UsageError(f"--set: {fault}") from None
        if self._is_csv:
            self._check_head()
        faults: list[str] = []
        keys: dict[str, int] = {}
        self.lines = []
        for line, row in self._rows():
            self.lines.append(line)
            try:
                self._check_row(line, self._keywords(row), keys)
            except UsageError as fault:
                faults.append(f"line {line}: {fault}")
        if faults:
            rest = len(faults) - _SHOWN_FAULTS
            count = "1 row" if len(faults) == 1 else f"{len(faults)} rows"
            head = f"{count} can not be used, and nothing was sent:"
            raise UsageError("\n".join([head, *faults[:_SHOWN_FAULTS], *([f"and {rest} more"] if rest > 0 else [])]))

    def _check_head(self) -> None:
        """Check the names of a CSV's columns."""
        with self._text() as text:
            names = next(csv.reader(text), list[str]())
        try:
            if not all(name.strip() for name in names):
                raise UsageError("a column has no name; the first line names the columns")
            self._columns(name for name in names if name not in self._ignored)
        except UsageError as fault:
            raise UsageError(f"line 1: {fault}") from None

    def _check_row(self, line: int, row: dict[str, Any], keys: dict[str, int]) -> None:
        if "end_date" not in row:
            raise UsageError("it has no end_date: add the column, or pass --set end_date=…")
        if self.key is None:
            return
        if row.get(self.key) in _EMPTY:
            raise UsageError(f"it has no {self.key}, which is to be its key")
        key = str(row[self.key])
        if (first := keys.setdefault(key, line)) != line:
            raise UsageError(f"its {self.key} {key!r} is that of line {first} too")

    def _columns(self, names: Iterable[str]) -> dict[str, str]:
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
        keyword = _keyword(name)
        if keyword in _ANNOTATIONS or name in self._ignored:
            return keyword
        if name == self.key:
            return name
        advice = "name it by --key or --ignore, or take it out"
        raise UsageError(f"column {name!r} is no parameter of a meeting: {advice}")

    def _keywords(self, raw_row: Mapping[str, Any] | str) -> dict[str, Any]:
        """A row as keywords.

        Raises:
            UsageError: It can not be used.
        """
        if isinstance(raw_row, str):
            raise UsageError(raw_row)
        columns = self._columns(column for column in raw_row if column not in self._ignored)
        given = {column: raw_row[column] for column in columns if raw_row[column] not in _EMPTY}
        row: dict[str, Any] = {}
        for column, value in (self._defaults | given).items():
            keyword = columns.get(column) or self._column(column)
            if _has_half_character(value):
                raise UsageError(f"{column} holds half a character (a lone surrogate), which can not be sent")
            row[keyword] = _value(keyword, value) if keyword in _ANNOTATIONS else value
        return row

    def _rows(self) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
        """The rows with their lines; a text in place of a row says what is wrong with it."""
        with self._text() as text:
            yield from _csv_rows(text) if self._is_csv else _json_rows(text)

    def _text(self) -> io.TextIOBase:
        return io.TextIOWrapper(self._bytes(), "utf-8-sig", newline="")

    def _bytes(self) -> io.BytesIO | io.BufferedReader:
        return io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")


def _csv_rows(text: io.TextIOBase) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    reader = csv.DictReader(text, strict=True)
    try:
        for row in reader:
            has_more = None in row
            yield reader.line_num, "it has more cells than the first line has columns" if has_more else row
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


def _keyword(column: str) -> str:
    """A column's name as a keyword: `endDate`, `end-date` and `end_date` are the same."""
    return _HUMP.sub("_", column.strip()).lower().replace("-", "_").replace(" ", "_")


def _value(keyword: str, value: Any) -> Any:
    """A cell's text, or a JSON value, as the keyword takes it.

    Raises:
        UsageError: It can not be used.
    """
    annotation = _ANNOTATIONS[keyword]
    if annotation == "bool":
        return _flag(keyword, value)
    if annotation.startswith("Iterable"):
        return _names(keyword, value)
    if "Mapping" in annotation:
        return _object(keyword, value)
    if not isinstance(value, str):
        raise UsageError(f"{keyword} must be text, not {json.dumps(value)}")
    if annotation.startswith("datetime"):
        return moment(keyword, value, from_now=False)
    if keyword == _PREFIX and len(value) > _LONGEST_PREFIX:
        raise UsageError(f"{keyword} {value!r} has {len(value)} characters; {_LONGEST_PREFIX} is the most in an import")
    return value


def _flag(keyword: str, value: Any) -> bool:
    found = _FLAGS.get(str(value).strip().lower())
    if found is None:
        raise UsageError(f"{keyword} is {value!r}: write true or false")
    return found


def _names(keyword: str, value: Any) -> list[str]:
    names: object = re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in cast("list[object]", names)):
        raise UsageError(f"{keyword} must be a list of names")
    return cast("list[str]", names)


def _object(keyword: str, value: Any) -> dict[str, Any]:
    found = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except ValueError:
            raise UsageError(f"{keyword} is no JSON") from None
    if not isinstance(found, dict):
        raise UsageError(f"{keyword} must be a JSON object")
    return SilentDict(cast("dict[str, Any]", found))


def _check_utf8(name: str, lines: Iterable[bytes]) -> None:
    """Check every byte before anything is read: spreadsheets write other encodings too.

    Raises:
        UsageError: It is not UTF-8; the text names the first such line and byte, and the way out.
    """
    before = 0
    for number, line in enumerate(lines, 1):
        encodings = [encoding for mark, encoding in _MARKS if number == 1 and line.startswith(mark)]
        if encodings:
            raise UsageError(f"{name} is {encodings[0]}, which is not read: {_ADVICE}")
        try:
            line.decode()
            wrong = line.find(b"\0")
        except UnicodeDecodeError as error:
            wrong = error.start
        if wrong >= 0:
            raise UsageError(f"{name}, line {number}, byte {before + wrong + 1}: it is no UTF-8 text: {_ADVICE}")
        before += len(line)


def _has_half_character(value: object) -> bool:
    """Whether a JSON value holds a lone surrogate, which no request and no journal can hold."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str) and any("\ud800" <= character <= "\udfff" for character in each):
            return True
        if isinstance(each, dict):
            found = cast("dict[str, object]", each)
            left += [*found, *found.values()]
        elif isinstance(each, list):
            left += cast("list[object]", each)
    return False
