"""Results of long work: JSON lines in a file that only its owner reads, or on stdout."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Self

from .places import check_plain, check_status

if TYPE_CHECKING:
    from typing import TextIO

    from .work import Report


class ResultFile:
    """Where the results of a job go; a second run adds what the file does not have.

    Args:
        path: The file, made with mode 0600 since results may hold room keys; `None` is stdout.
        report: Where failures are told, and results if there is no file.
    """

    def __init__(self, path: str | None, report: Report) -> None:
        self._path = path
        self._report = report
        self._file: TextIO | None = None
        self._there: set[str] = set()

    def __enter__(self) -> Self:
        if self._path is not None:
            self._file = _opened(self._path)
            self._file.seek(0)
            line = ""
            for line in self._file:
                self._note(line)
            if line and not line.endswith("\n"):
                self._file.write("\n")  # so that a torn last line stands alone
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def _note(self, line: str) -> None:
        """Remember a row that is there."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            row: dict[str, Any] = json.loads(line)
            if row["state"] == "ok":
                self._there.add(row["key"])

    def write(self, row: dict[str, Any], words: str) -> None:
        """Keep a row; what an earlier run has done and the file holds is not written again.

        Args:
            row: The row.
            words: What to say of it on a terminal, if anything.
        """
        if self._file is None:
            self._report.line(row, words or json.dumps(row))
            return
        if not (row["resumed"] and row["key"] in self._there):
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        if words:
            self._report.line(row, words)


def _opened(path: str) -> TextIO:
    """The file, for more. A device is not read: it may have no end."""
    check_plain("--output", path)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
    number = os.open(path, flags, 0o600)
    try:
        check_status("--output", path, os.fstat(number))
    except BaseException:
        os.close(number)
        raise
    return os.fdopen(number, "a+", encoding="utf-8", errors="replace")
