"""A file of rows (CSV, JSON lines or a JSON array) as keywords of `meetings.create`.

It is read exactly once, into a temporary file: the rows that are sent are those that were checked, whatever becomes of
the file meanwhile, and all are checked before anything is sent.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import functools
import inspect
import io
import json
import os
import re
import tempfile
from collections import Counter
from datetime import UTC, datetime
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, cast, get_args

from ..batch.item import key_text
from ..batch.journal import known_items, made_from
from ..models import MeetingField, RoomMode, RoomNamePattern, TemplateType
from ..redaction import SilentDict
from ..resources import Meetings
from ..testing.checks import meant
from .errors import UsageError
from .output import is_stream, naming
from .values import STDIN, moment, stdin

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO, TextIO

_Row: TypeAlias = "Mapping[str, Any] | str"
"""The cells of a row by their columns; a text says what is wrong with it instead."""

_IN_MEMORY: Final = 16 << 20
_SHOWN_FAULTS: Final = 20
_EMPTY: Final = (None, "")
_NULLS: Final = ("NULL", r"\N")
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PREFIX: Final = "room_name_prefix"
_LONGEST_PREFIX: Final = 29
"""Characters: the API takes 39, and a marker of ten goes behind it, by which a room is found whose answer was lost."""

_JSON: Final = (".jsonl", ".ndjson", ".json")
_NO_OBJECT: Final = "it is no JSON object: each row is one on a line of its own, or all are in one array"
_DELIMITERS: Final = ",;\t|"
_SEPARATOR_LINE: Final = re.compile(r'\ufeff?"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)
"""The line by which spreadsheets say what is between the cells."""

_BLANKS: Final = (
    "".join(
        map(
            chr,
            (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0xAD, 0x1680, *range(0x2000, 0x2010), *range(0x2028, 0x2030)),
        )
    )
    + "\u205f\u2060\u2066\u2067\u2068\u2069\u3000\ufeff"
)
"""What nobody sees around a cell: blanks of all widths, byte order marks, and marks of the direction of writing."""

_BETWEEN: Final = re.compile(rf"[,{re.escape(_BLANKS)}]*")
_QUOTES: Final = "close each quote that opens a cell, and write those within it twice"
_ADVICE: Final = 'save it as UTF-8 (in Excel: "CSV UTF-8"), and run this again'
_OTHER_TEXT: Final = f"is {{}}, which is not read: {_ADVICE}"
_UNPACK: Final = "is compressed: unpack it, and run this again"
_WORKBOOK: Final = "export it as CSV, and run this again"
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, _OTHER_TEXT.format("UTF-32")),
    (codecs.BOM_UTF32_BE, _OTHER_TEXT.format("UTF-32")),
    (codecs.BOM_UTF16_LE, _OTHER_TEXT.format("UTF-16")),
    (codecs.BOM_UTF16_BE, _OTHER_TEXT.format("UTF-16")),
    (b"PK\3\4", f"is an Excel workbook, or another ZIP archive: {_WORKBOOK}"),
    (b"\xd0\xcf\x11\xe0", f"is an Excel workbook: {_WORKBOOK}"),
    *((start, _UNPACK) for start in (b"\x1f\x8b", b"BZh91AY&SY", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")),
)
"""How files begin that are no UTF-8 text, and what is said of them."""
_ANNOTATIONS: Final[Mapping[str, str]] = {
    name: str(parameter.annotation).removesuffix(" | None")
    for name, parameter in inspect.signature(Meetings.create).parameters.items()
    if name != "self"
}
"""The keywords that a row may have, and their annotations."""
_BY_LETTERS: Final = {name.replace("_", ""): name for name in _ANNOTATIONS}
_CHOICES: Final[Mapping[str, Sequence[str]]] = {
    keyword: get_args(get_args(words)[0])
    for keyword, words in (
        ("fields", MeetingField),
        ("room_mode", RoomMode),
        ("room_name_pattern", RoomNamePattern),
        ("template_type", TemplateType),
    )
}
"""The words that the API knows. A newer one can be sent by way of `extra`."""


class RowFile:
    """Rows to make rooms from, once they are checked; a context manager, whose entering reads the file.

    Args:
        path: The file; `-` is stdin.
        format_: `csv` or `jsonl`; `None` is to be found out.
        defaults: Values for rows that do not say them, by column.
        fields: Fields that every row asks for, beside its own.
        key: The column that is the rows' key, if any.
        ignored: Columns that are nothing to the API.

    Attributes:
        name: What messages call the file.
        is_once: It can be read once only: stdin, a pipe, a FIFO. Nothing can be kept beside it.
        key: The name of the rows' key as keywords have it.
        lines: The line on which each row begins, once they are checked.
        unmatched: Names among `ignored` that no column has had so far.
        states: How many rows the journal knows, by their states.
        changed: The lines of rows whose rooms were made from something else, as far as the journal knows.
    """

    def __init__(  # noqa: PLR0913 - what is said of the rows
        self,
        path: str,
        *,
        format_: Literal["csv", "jsonl"] | None,
        defaults: Mapping[str, Any],
        fields: Sequence[str] = (),
        key: str | None,
        ignored: Sequence[str],
    ) -> None:
        self._path = Path(path)
        self.name: str = "stdin" if path == STDIN else path
        special = self._path.exists() and not (self._path.is_file() or self._path.is_dir())
        self.is_once: bool = special or is_stream(path)
        self._format = "jsonl" if format_ is None and path.lower().endswith(_JSON) else format_
        self._defaults = dict(defaults)
        self._fields = fields
        self._ignored = frozenset(map(_clean, ignored))
        self.unmatched: set[str] = set(self._ignored)
        self.key: str | None = key and _keyword(key)
        self.lines: list[int] = []
        self.states: Counter[str] = Counter()
        self.changed: list[int] = []
        self._state: tuple[int, ...] | None = None

    def __enter__(self) -> Self:
        self._copy = tempfile.SpooledTemporaryFile(_IN_MEMORY)
        try:
            with self._opened() as source, naming(f"{self.name}, copied to {tempfile.gettempdir()}"):
                self._state = None if self.is_once else _state(os.fstat(source.fileno()))
                for line in _utf8_lines(self.name, source):
                    self._copy.write(line)
        except BaseException:
            self._copy.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._copy.close()

    def _opened(self) -> contextlib.AbstractContextManager[BinaryIO]:
        is_stdin = str(self._path) in {STDIN, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}
        return contextlib.nullcontext(stdin()) if is_stdin else self._path.open("rb")

    @property
    def has_changed(self) -> bool:
        """Whether the file is no longer what was read."""
        try:
            return self._state is not None and _state(self._path.stat()) != self._state
        except OSError:
            return True

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, row in self._rows():
            yield self._request(row)

    def check(self, journal: str | None) -> None:
        """Check every row, and note on which line it begins, and what the journal knows of it.

        Args:
            journal: Rows that it knows may be of the past, so that a job can always be gone on with.

        Raises:
            UsageError: Some can not be used; the text names them by their lines. Or there are none.
        """
        try:
            self._defaults = self._keywords(self._defaults)
            self._fields = _names("fields", list(self._fields))
        except UsageError as fault:
            raise UsageError(f"--set or --field: {fault}") from None
        if self._format is None:
            with self._text() as text:
                start = next((line[0] for line in map(_clean, text) if line), "")
            self._format = "jsonl" if start in {"{", "["} else "csv"
        known = {} if journal is None else known_items(journal)
        keys: dict[str, int] = {}
        faults: list[str] = []
        for line, row in self._rows():
            try:
                request = self._request(row)
                self._note(line, request, known.get(self._check_row(line, request, keys, known)))
            except UsageError as fault:
                faults.append(f"line {line}: {fault}")
            self.lines.append(line)
        if not self.lines:
            raise UsageError(f"{self.name} has no rows: there is nothing to make")
        if faults:
            rest = len(faults) - _SHOWN_FAULTS
            count = "1 row" if len(faults) == 1 else f"{len(faults)} rows"
            head = f"{count} can not be used, and nothing was sent:"
            raise UsageError("\n".join([head, *faults[:_SHOWN_FAULTS], *([f"and {rest} more"] if rest > 0 else [])]))

    def _note(self, line: int, request: dict[str, Any], known: tuple[str, str | None] | None) -> None:
        """Note what the journal knows of a row."""
        if known is None:
            return
        state, was = known
        self.states[state] += 1
        if state == "ok" and was is not None and self.key is not None:
            sent = {name: value for name, value in request.items() if name in _ANNOTATIONS}
            if made_from(sent) != was:
                self.changed.append(line)

    def _check_row(self, line: int, row: dict[str, Any], keys: dict[str, int], known: Container[str]) -> str:
        """Check a row; its key."""
        if "end_date" not in row:
            raise UsageError("it has no end_date: add the column, or pass --set end_date=…")
        key = str(len(self.lines))
        if self.key is not None:
            if self.key not in row:
                raise UsageError(f"it has no {self.key}, which is to be its key")
            try:
                key = key_text(row[self.key], f"its {self.key}")
            except ValueError as error:
                raise UsageError(str(error)) from None
            if (first := keys.setdefault(key, line)) != line:
                raise UsageError(f"its {self.key} {key!r} is that of line {first} too")
        if datetime.fromisoformat(row["end_date"]) < datetime.now(UTC) and key not in known:
            raise UsageError(f"end_date {row['end_date']} is past: write a later one")
        return key

    def _columns(self, names: Iterable[str]) -> dict[str, str]:
        """The keywords of columns by their names, without those that are ignored.

        Raises:
            UsageError: One is unknown, or there twice, be it in another spelling.
        """
        first: dict[str, str] = {}
        columns = list(names)
        exact = self._ignored.intersection(map(_clean, columns))
        loose = {_keyword(name): name for name in self._ignored - exact}
        for name in columns:
            keyword = _keyword(name)
            if _clean(name) in exact or keyword in loose:
                self.unmatched -= {loose.get(keyword, _clean(name))}
                continue
            if keyword not in _ANNOTATIONS and keyword != self.key:
                near = meant(keyword.lower(), [*_ANNOTATIONS, *filter(None, [self.key]), *self._ignored])
                advice = "name it by --key or --ignore, or take it out"
                raise UsageError(f"column {name!r} is no parameter of a meeting: {advice} ({near})")
            if keyword in first:
                raise UsageError(f"columns {first[keyword]!r} and {name!r} are the same: take one out")
            first[keyword] = name
        return {name: keyword for keyword, name in first.items()}

    def _request(self, row: _Row) -> dict[str, Any]:
        """The keywords of a row with what is meant for all of them."""
        request = self._defaults | self._keywords(row)
        if self._fields:
            request["fields"] = list(dict.fromkeys([*request.get("fields", ()), *self._fields]))
        return request

    def _keywords(self, row: _Row) -> dict[str, Any]:
        """The filled cells of a row as keywords.

        Raises:
            UsageError: It can not be used.
        """
        if isinstance(row, str):
            raise UsageError(row)
        keywords: dict[str, Any] = {}
        for column, keyword in self._columns(row).items():
            value = _cell(row[column])
            if value in _EMPTY:
                continue
            value = _value(keyword, value) if keyword in _ANNOTATIONS else value
            if _has_half_character(value):
                raise UsageError(f"{column} holds half a character (a lone surrogate), which can not be sent")
            keywords[keyword] = value
        return keywords

    def _rows(self) -> Iterator[tuple[int, _Row]]:
        """The rows with their lines; a row without a filled cell is none."""
        with self._text() as text:
            for line, row in self._csv_rows(text) if self._format == "csv" else _json_rows(text):
                if isinstance(row, str) or any(_cell(value) not in _EMPTY for value in row.values()):
                    yield line, row

    def _csv_rows(self, text: TextIO) -> Iterator[tuple[int, _Row]]:
        delimiter = ""
        for before, first in enumerate(text):  # noqa: B007 - both are used below
            if match := _SEPARATOR_LINE.fullmatch(first):
                delimiter = match[1]
            elif first.strip(_BLANKS + _DELIMITERS + '"'):
                break
        else:
            return
        line, names, wanted = before + 1, list[str](), dict[str, str]()
        try:
            delimiter = delimiter or max(_DELIMITERS, key=lambda each: self._known(first, each))
            reader = csv.reader(chain([first], text), delimiter=delimiter, skipinitialspace=True, strict=True)
            for cells in reader:
                if names:
                    yield line, _csv_row(names, cells, delimiter, wanted)
                else:
                    names = cells
                    wanted = self._columns(filter(_clean, names))
                line = before + 1 + reader.line_num
        except (csv.Error, UsageError) as error:
            yield line, str(error) if isinstance(error, UsageError) else f"it is no CSV: {error}; {_QUOTES}"

    def _known(self, line: str, delimiter: str) -> tuple[int, int]:
        """How many columns a first line names that are known, and how many at all, if this is between them."""
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
        known = [_keyword(cell) in {*_ANNOTATIONS, self.key} or _clean(cell) in self._ignored for cell in cells]
        return sum(known), len(known)

    @contextlib.contextmanager
    def _text(self) -> Generator[TextIO]:
        self._copy.seek(0)
        text = io.TextIOWrapper(self._copy, "utf-8-sig", newline="")
        try:
            yield text
        finally:
            with contextlib.suppress(ValueError):  # a job that was stopped has left the rows open, and closed the file
                text.detach()


def _csv_row(names: Sequence[str], cells: Sequence[str], delimiter: str, wanted: Container[str]) -> _Row:
    pairs = list(zip_longest(names, cells, fillvalue=""))
    for name, cell in pairs:
        if _clean(cell) and not _clean(name):
            advice = f"name it in the first line, or put a cell that holds {delimiter!r} in quotes"
            return f"{cell!r} stands in a column without a name: {advice}"
        if name in wanted and _clean(cell) in _NULLS:
            return f"{_clean(name)} is {_clean(cell)}, as databases write what is missing: leave the cell empty"
    return {name: cell for name, cell in pairs if _clean(name)}


def _json_rows(text: TextIO) -> Iterator[tuple[int, _Row]]:
    is_first = True
    for number, whole in enumerate(text, 1):
        line = _clean(whole)
        if is_first and line.startswith("["):
            yield from _array_rows(number, f"{line}\n{text.read()}")
            return
        if line:
            is_first = False
            row, end = _decoded(line, 0)
            yield number, row if end in {None, len(line)} else _NO_OBJECT


def _array_rows(line: int, array: str) -> Iterator[tuple[int, _Row]]:
    """The objects in an array, each decoded when its turn comes: all at once would take many times the file's size."""
    start, end = 0, cast("int | None", 1)
    while end is not None:
        before, start = start, cast("re.Match[str]", _BETWEEN.match(array, end)).end()
        line += array.count("\n", before, start)
        if array.startswith("]", start):
            if _clean(array[start + 1 :]):
                yield line, "there is something behind the array's end"
            return
        row, end = _decoded(array, start)
        yield line, row


def _decoded(text: str, start: int) -> tuple[_Row, int | None]:
    """The object that begins there, or what is wrong with it, and where it ends, if it does."""
    try:
        row, end = _DECODER.raw_decode(text, start)
    except UsageError as fault:
        return str(fault), None
    except (ValueError, RecursionError):
        return _NO_OBJECT, None
    return cast("dict[str, Any]", row) if isinstance(row, dict) else _NO_OBJECT, end


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UsageError(f"{name!r} is there twice: take one out")
        found[name] = value
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once)


def _clean(text: str) -> str:
    return text.strip(_BLANKS)


def _cell(value: Any) -> Any:
    return _clean(value) if isinstance(value, str) else value


@functools.lru_cache(maxsize=1024)
def _keyword(column: str) -> str:
    """A column's name as a keyword, `endDate`, `End Date` and `end_date` the same; any other name without blanks."""
    name = _clean(column)
    return _BY_LETTERS.get(re.sub(r"[\s_-]", "", name).lower(), name)


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
    return _word(keyword, value)


def _word(keyword: str, word: str) -> str:
    """A word, which has to be one that the API knows if those are known."""
    words = _CHOICES.get(keyword)
    if words and word not in words:
        raise UsageError(f"{keyword} is {word!r}: {meant(word, words)}")
    return word


def _flag(keyword: str, value: Any) -> bool:
    found = _FLAGS.get(str(value).strip().lower())
    if found is None:
        raise UsageError(f"{keyword} is {value!r}: write true or false")
    return found


def _names(keyword: str, value: Any) -> list[str]:
    names: object = re.findall(r"[^\s,;]+", value) if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in cast("list[object]", names)):
        raise UsageError(f"{keyword} must be a list of names")
    return [_word(keyword, name) for name in cast("list[str]", names)]


def _object(keyword: str, value: Any) -> dict[str, Any]:
    found = value
    if isinstance(value, str):
        try:
            found = _DECODER.decode(value)
        except (ValueError, RecursionError):
            raise UsageError(f"{keyword} is no JSON") from None
    if not isinstance(found, dict):
        raise UsageError(f"{keyword} must be a JSON object")
    return SilentDict(cast("dict[str, Any]", found))


def _utf8_lines(name: str, lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, each checked before anything is made of it: spreadsheets write other encodings too.

    Raises:
        UsageError: One is not UTF-8; the text names the line and the byte, and the way out.
    """
    before = 0
    for number, line in enumerate(lines, 1):
        for mark, words in _MARKS if number == 1 else ():
            if line.startswith(mark):
                raise UsageError(f"{name} {words}")
        try:
            line.decode()
            wrong, what = line.find(b"\0"), "it holds a zero byte, as UTF-16 does: take it out, or"
        except UnicodeDecodeError as error:
            wrong, what = error.start, "it is no UTF-8 text:"
        if wrong >= 0:
            raise UsageError(f"{name}, line {number}, byte {before + wrong + 1}: {what} {_ADVICE}")
        before += len(line)
        yield line


def _state(status: os.stat_result) -> tuple[int, ...]:
    """What tells a file, and its content, from another."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


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
