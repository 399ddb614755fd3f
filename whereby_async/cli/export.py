"""`whereby insights export`: rooms, their sessions and the participants of those, into files or a pipe.

How an export is resumed: the rows of a room are written to all files; then a line of `export.state` names the room and
the length of each file. The next run cuts the files to the lengths of the last line. That removes the rows of a room
that was half written, so that no row is there twice. A last line of `export.state` without an end is not counted.
After a power cut the files may be shorter than `export.state` says; then the export is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

from cyclopts import Parameter

from ..models import ParticipantInsights, RoomInsights, RoomSessionInsights
from ..notify import logger
from .errors import UsageError
from .global_options import AtLeastOne, GlobalOptions
from .output import check_apart, check_plain, keep_others_out, naming, wire
from .progress import REFRESH, Bar, run_batch, run_long
from .values import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import BinaryIO

    from .. import WherebyClient
    from ..batch import Outcome
    from .output import Output

_SESSIONS_AT_ONCE: Final = 8
_ROWS: Final = {"rooms": RoomInsights, "sessions": RoomSessionInsights, "participants": ParticipantInsights}
_ROOM: Final = "roomName"
_STATE: Final = "export.state"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_FREE_TEXT: Final = frozenset({"displayName", "comment", "externalId", "tags"})
"""What guests write themselves."""

_CREATED_FROM: Final = (
    "Only rooms made then or later: 2026-12-01T00:00:00Z; or from now, as in --created-from=-7d, into a pipe."
)
_Found: TypeAlias = dict[str, list[dict[str, Any]]]


def export(  # noqa: PLR0913 - the options of a job
    directory: Path | None = None,
    /,
    *,
    format_: Annotated[Literal["jsonl", "csv"], Parameter(name="--format")] = "jsonl",
    depth: Literal["rooms", "sessions", "participants"] = "participants",
    name_starts_with: str | None = None,
    created_from: Annotated[str | None, Parameter(help=_CREATED_FROM)] = None,
    created_to: str | None = None,
    concurrency: AtLeastOne = 16,
    options: GlobalOptions = GlobalOptions(),  # noqa: B008 - frozen
) -> int:
    """Export insights: rooms, their sessions, and who took part.

    Into a directory: rooms, sessions and participants, a file each, and a
    note of how far it is. Killed at any moment and run again, it goes on with
    the rooms that are not written; it never looks again at those that are,
    so that news wants a new directory. Without a directory JSON lines go to
    the pipe, room by room, and nothing can be gone on with.

    It costs at least 1 point for each 100 rooms, and 1 for each room and each
    session. The service's numbers lag 10 to 15 minutes behind.

    For example:

        whereby insights export season/ --format csv
        whereby insights export support/ --name-starts-with /support
        whereby insights export --depth sessions | jq -r .roomName

    Args:
        directory: Where the files go; it is made if it is not there.
        format_: In a CSV, a text by a guest that a spreadsheet would compute gets a ' before it.
        depth: How far to go down.
        name_starts_with: Only rooms whose name starts so, leading slash included.
        created_from: Only rooms made then or later.
        created_to: Only rooms made then or earlier.
        concurrency: Rooms at once.
        options: How to reach the API.
    """
    output = options.output()
    if directory is None and not output.is_json:
        raise UsageError("name a directory for the files, or send the rows into a pipe or, by --json, to the terminal")
    if directory is None and format_ == "csv":
        raise UsageError("--format csv makes a file for each kind of row: name a directory for them")
    filters = {"name_starts_with": name_starts_with}
    for option, keyword, text in (
        ("--created-from", "created_from", created_from),
        ("--created-to", "created_to", created_to),
    ):
        # What counts from now is another export in each run, so it can not be resumed.
        filters[keyword] = None if text is None else moment(option, text, from_now=directory is None)
    job = _Export(directory, {"format": format_, "depth": depth, **filters}, output)
    kept = "the rooms that were written are kept." if directory else "rows into a pipe can not be gone on with."
    return run_long(job.run(options, concurrency), kept, resumes=directory is not None)


class _Export:
    """One export; `plan` holds format, depth and filters."""

    def __init__(self, directory: Path | None, plan: Mapping[str, Any], output: Output) -> None:
        self._directory = directory
        self._plan = plan
        self._output = output
        self._kinds = list(_ROWS)[: list(_ROWS).index(plan["depth"]) + 1]
        self._counts = dict.fromkeys(self._kinds, 0)
        self._failed = 0

    async def run(self, options: GlobalOptions, concurrency: int) -> int:
        if self._directory is None:
            async with options.client(is_long=True) as client:
                await self._fetch(client, await self._rooms(client, set()), None, concurrency)
            return self._output.code
        async with options.client(is_long=True) as client:
            with self._files(self._directory, client.base_url) as files:
                resumed = len(files.done)
                if not files.finished:
                    await self._fetch(client, await self._rooms(client, files.done), files, concurrency)
                    if not self._failed:
                        files.finish()
        self._sum_up(self._directory, resumed)
        return self._output.code

    def _files(self, directory: Path, base_url: str) -> ExportFiles:
        columns = {kind: list(_ROWS[kind].__struct_encode_fields__) for kind in self._kinds}
        if _ROOM not in columns[self._kinds[-1]]:
            columns[self._kinds[-1]].insert(0, _ROOM)
        is_csv = self._plan["format"] == "csv"
        return ExportFiles(directory, {"api": base_url, **self._plan}, columns, is_csv=is_csv)

    async def _rooms(self, client: WherebyClient, done: set[str]) -> list[RoomInsights]:
        filters = {name: self._plan[name] for name in ("name_starts_with", "created_from", "created_to")}
        rooms: dict[str, RoomInsights] = {}
        with Bar("listing") as bar:
            async for page in client.insights.rooms(**filters).pages():
                rooms |= {room.room_name: room for room in page.results if room.room_name not in done}
                bar.show(len(rooms), None)
        return list(rooms.values())

    async def _fetch(
        self, client: WherebyClient, rooms: list[RoomInsights], files: ExportFiles | None, concurrency: int
    ) -> None:
        async def fetch(room: RoomInsights) -> _Found:
            return await _rows_of(client, room, self._kinds)

        with Bar("rooms") as bar:
            batch = client.batch(
                fetch,
                [{"room": room} for room in rooms],
                concurrency=concurrency,
                idempotent=True,
                on_progress=bar.show_batch,
                progress_interval=REFRESH,
            )
            await run_batch(batch, lambda outcome: self._take(rooms[outcome.index].room_name, outcome, files))

    def _take(self, room: str, outcome: Outcome[_Found], files: ExportFiles | None) -> None:
        if outcome.error is not None:
            self._failed += 1
            words = self._output.failed(outcome.error)
            self._output.line({"event": "failed", _ROOM: room, "error": words}, f"{room}: {words}")
            return
        for kind, rows in outcome.result.items():
            self._counts[kind] += len(rows)
            if files is None:
                self._output.rows([{"kind": kind.removesuffix("s"), **row} for row in rows])
        if files is not None:
            files.add(room, outcome.result)

    def _sum_up(self, directory: Path, resumed: int) -> None:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self._counts.items())
        before = f"; {resumed:,} rooms by earlier runs" if resumed else ""
        failures = f"; {self._failed} rooms failed: run it again for those" if self._failed else ""
        facts = {"event": "summary", **self._counts, "resumed": resumed, "failed": self._failed}
        self._output.line({**facts, "directory": str(directory)}, f"{counts}{before}{failures}.")


async def _rows_of(client: WherebyClient, room: RoomInsights, kinds: list[str]) -> _Found:
    """A room with all that is below it."""
    rows: _Found = {kind: [] for kind in kinds}
    rows["rooms"].append(wire(room))
    if "sessions" not in kinds:
        return rows
    sessions = await client.insights.room_sessions(room.room_name).collect()
    rows["sessions"] = [{**wire(session), _ROOM: room.room_name} for session in sessions]
    if "participants" in kinds:
        some = asyncio.Semaphore(_SESSIONS_AT_ONCE)

        async def people(session_id: str) -> list[dict[str, Any]]:
            async with some:
                found = await client.insights.participants(room_session_id=session_id).collect()
            return [{_ROOM: room.room_name, **wire(person), "roomSessionId": session_id} for person in found]

        every = await asyncio.gather(*(people(session.room_session_id) for session in sessions))
        rows["participants"] = [row for each in every for row in each]
    return rows


class ExportFiles:
    """A directory with a file for each kind of row.

    Args:
        directory: Where they are; it is made if it is not there.
        identity: What the export is of; an earlier run that is resumed must be of the same.
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
        self._state = _opened(self._directory / _STATE)
        if not keep_others_out(self._state):  # before anything is read or cut
            raise UsageError(f"another export is writing into {self._directory}")
        ends, length = self._read(self._state)
        _cut(self._state, length)
        for kind in self._columns:
            self._files[kind] = _opened(self._path(kind))
            _cut(self._files[kind], ends.get(kind, 0))
        self._hide(paths)
        if not length:
            if self._is_csv:
                for kind, names in self._columns.items():
                    self._files[kind].write(_csv_line(names))
            self._write_state({"export": self._identity})

    def __exit__(self, *error: object) -> None:
        for file in (*self._files.values(), self._state):
            if file is not None:
                with contextlib.suppress(OSError):  # on a full disk; what the state does not name is not counted
                    file.close()

    def _path(self, kind: str) -> Path:
        return self._directory / f"{kind}.{'csv' if self._is_csv else 'jsonl'}"

    def _read(self, state: BinaryIO) -> tuple[dict[str, int], int]:
        """The lengths that the files had at the last whole line of `export.state`, and the length of that itself."""
        ends: dict[str, int] = {}
        length = 0
        for number, line in enumerate(state):
            if not line.endswith(b"\n"):
                break
            row = self._parsed(line)
            if number == 0 and row.get("export") != self._identity:
                msg = f"{self._directory} holds another export ({_STATE} tells of which): export into another directory"
                raise UsageError(msg)
            if "room" in row:
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

    def _hide(self, paths: Iterable[str]) -> None:
        """Let only their owner read the files, since they hold names and comments of guests."""
        try:
            for path in paths:
                Path(path).chmod(0o600)
        except OSError as error:  # exFAT and CIFS keep no modes
            logger.warning("%s: others may be able to read what is written there (%s)", self._directory, error.strerror)

    def add(self, room: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Write the rows of a room, by their kind."""
        for kind, each in rows.items():
            with naming(self._files[kind].name):
                self._files[kind].write(b"".join(self._line(kind, row) for row in each))
        self._write_state({"room": room})

    def finish(self) -> None:
        """Write down that all rows are there."""
        self._write_state({"finished": True})

    def _write_state(self, row: dict[str, Any]) -> None:
        for file in self._files.values():
            with naming(file.name):
                file.flush()
        row["ends"] = {kind: file.tell() for kind, file in self._files.items()}
        if self._state is not None:
            with naming(self._state.name):
                self._state.write(json.dumps(row).encode() + b"\n")
                self._state.flush()

    def _line(self, kind: str, row: Mapping[str, Any]) -> bytes:
        if not self._is_csv:
            return json.dumps(row).encode() + b"\n"
        return _csv_line([_cell(name, row.get(name)) for name in self._columns[kind]])


def _opened(path: Path) -> BinaryIO:
    """Open a file to append to it."""
    file = path.open("a+b")
    file.seek(0)
    return file


def _cut(file: BinaryIO, length: int) -> None:
    if file.seek(0, io.SEEK_END) < length:
        raise UsageError(f"{file.name} is shorter than {_STATE} says: export into another directory")
    file.truncate(length)
    file.seek(length)


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
