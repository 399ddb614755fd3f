"""Whether a file is UTF-8, told before anything is made of it: spreadsheets write other encodings too."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final, cast

from .exits import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ADVICE: Final = 'save it as UTF-8 (in Excel: "CSV UTF-8"), and run this again'
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def check_utf8(name: str, lines: Iterable[bytes]) -> None:
    """Look at every byte.

    Args:
        name: What the file is called.
        lines: Its lines.

    Raises:
        UsageError: It is not UTF-8; the text names the first such line and byte, and the way out.
    """
    before = 0
    for number, line in enumerate(lines, 1):
        if number == 1:
            _check_mark(name, line)
        try:
            line.decode()
            wrong = line.find(b"\0")
        except UnicodeDecodeError as error:
            wrong = error.start
        if wrong >= 0:
            raise UsageError(f"{name}, line {number}, byte {before + wrong + 1}: it is no UTF-8 text: {_ADVICE}")
        before += len(line)


def _check_mark(name: str, start: bytes) -> None:
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            raise UsageError(f"{name} is {encoding}, which is not read: {_ADVICE}")


def is_torn(value: object) -> bool:
    """Whether a JSON value holds half a character (a lone surrogate), which no request and no journal can hold."""
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
