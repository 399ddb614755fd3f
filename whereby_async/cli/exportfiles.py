"""The files of an export, and the note of how far it is.

**Theory.** The rows of a room are written to all files, and only then a line of `export.state` says so, with the length that
each file has by then. Whoever goes on cuts the files to the lengths of the last line: rows of a room that was half written go,
and none is there twice. A torn last line of the note was not finished, so it does not count. What a kill leaves is thus whole.
After a power cut the files may be shorter than the note says: then the export is refused, not gone on with.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final, Self

from .exits import UsageError
from .places import check_apart, check_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

_STATE: Final = "export.state"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_FREE_TEXT: Final = frozenset({"displayName", "comment", "externalId", "tags"})
"""What guests write themselves."""


class ExportFiles:
    """A directory with a file for each kind of row.

    Args:
        directory: Where they are; it is made if it is not there.
        identity: What the export is of; one that is gone on with must be of the same.
        columns: The columns of each kind, by its name.
        is_csv: Whether the files are CSV; JSON lines otherwise.

    Attributes:
        done: Rooms that are written.
        finished: Whether an earlier run has finished it.
    """

    def __init__(
        self, directory: Path, identity: Mapping[str, Any], columns: Mapping[str, Sequence[str]], *, is_csv: bool
    ) -> None:
        self._directory = directory
        self._identity = dict(identity)
        self._columns = columns
        self._is_csv = is_csv
        self._files: dict[str, BinaryIO] = {}
        self._state: BinaryIO | None = None
        self.done: set[str] = set()
        self.finished: bool = False

    def __enter__(self) -> Self:
        try:
            self._enter()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _enter(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        paths = [str(self._directory / _STATE), *map(str, map(self._path, self._columns))]
        for path in paths:
            check_plain("the file", path)
        check_apart((path, path) for path in paths)
        ends, length = self._read()
        self._state = self._open(self._directory / _STATE, length)
        self._lock(self._state)
        for kind in self._columns:
            self._files[kind] = self._open(self._path(kind), ends.get(kind, 0))
        if not length:
            self._begin()

    def __exit__(self, *error: object) -> None:
        for file in (*self._files.values(), self._state):
            if file is not None:
                file.close()

    def _path(self, kind: str) -> Path:
        return self._directory / f"{kind}.{'csv' if self._is_csv else 'jsonl'}"

    def _read(self) -> tuple[dict[str, int], int]:
        """The lengths that the files had at the last line of the note, and the length of the note so far."""
        path = self._directory / _STATE
        if not path.exists():
            return {}, 0
        ends: dict[str, int] = {}
        length = 0
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True)):
            if not line.endswith(b"\n"):
                break
            row = self._parsed(line)
            if number == 0:
                self._compare(row.get("export"))
            elif "room" in row:
                self.done.add(row["room"])
            self.finished = bool(row.get("finished"))
            ends = row.get("ends", ends)
            length += len(line)
        return ends, length

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError):
            raise UsageError(f"{self._directory / _STATE} is damaged: export into another directory") from None

    def _compare(self, identity: object) -> None:
        if identity != self._identity:
            msg = f"{self._directory} holds another export ({_STATE} tells of which): export into another directory"
            raise UsageError(msg)

    def _open(self, path: Path, length: int) -> BinaryIO:
        """A file for more, cut to its length."""
        file = path.open("r+b" if path.exists() else "w+b")
        path.chmod(0o600)  # names and comments of guests
        if file.seek(0, io.SEEK_END) < length:
            file.close()
            raise UsageError(f"{path} is shorter than {_STATE} says: export into another directory")
        file.truncate(length)
        file.seek(length)
        return file

    def _lock(self, file: BinaryIO) -> None:
        """Keep others out, where the system can."""
        try:
            import fcntl
        except ModuleNotFoundError:  # pragma: no cover - Windows
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another export is writing into {self._directory}") from None

    def _begin(self) -> None:
        if self._is_csv:
            for kind, names in self._columns.items():
                self._files[kind].write(_csv_line(names))
        self._note({"export": self._identity})

    def add(self, room: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Write the rows of a room.

        Args:
            room: Its name.
            rows: The rows of each kind.
        """
        for kind, each in rows.items():
            self._files[kind].write(b"".join(self._line(kind, row) for row in each))
        self._note({"room": room})

    def finish(self) -> None:
        """Note that all is there."""
        self._note({"finished": True})

    def _note(self, row: dict[str, Any]) -> None:
        for file in self._files.values():
            file.flush()
        row["ends"] = {kind: file.tell() for kind, file in self._files.items()}
        if self._state is not None:
            self._state.write(json.dumps(row).encode() + b"\n")
            self._state.flush()

    def _line(self, kind: str, row: Mapping[str, Any]) -> bytes:
        if not self._is_csv:
            return json.dumps(row).encode() + b"\n"
        return _csv_line([_cell(name, row.get(name)) for name in self._columns[kind]])


def _csv_line(cells: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _cell(name: str, value: object) -> object:
    """A value in a CSV; what a guest wrote must be nothing that a spreadsheet would compute."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if name in _FREE_TEXT and text.startswith(_FORMULA) else text
