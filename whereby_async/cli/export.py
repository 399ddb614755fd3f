"""`whereby insights export`: rooms, their sessions and the participants of those, into files or a pipe.

How an export is resumed: the rows of a room are written to all files; then a line of `export.state` names the room and
the length of each file. The next run cuts the files to the lengths of the last line. That removes the rows of a room
that was half written, so that no row is there twice. A last line of `export.state` without an end is not counted.
After a power cut the files may be shorter than `export.state` says; then the export is refused. So is one whose files
hold bytes of which `export.state` knows nothing, or were changed since it was finished: they are the user's.

Which texts a spreadsheet may take for formulas: OWASP's "CSV Injection" and WSTG-INPV-21 name those that begin with
`=`, `+`, `-`, `@`, a tab, CR or LF, or with a sign's full-width form; ASVS 1.2.10 adds NUL. Blanks and characters that
do not show may stand before a sign. `|` and `%` are on none of these lists and compute nothing by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self

from cyclopts import Parameter

from ..models import ParticipantInsights, RoomInsights, RoomSessionInsights
from ..notify import logger
from .errors import UsageError
from .global_options import AtLeastOne, Flag, GlobalOptions
from .output import MOVED, check_apart, check_plain, counted, is_at, keep_others_out, naming, wire
from .progress import REFRESH, Bar, run_batch, run_long
from .values import Written, is_believed, moment, path_of, room_of

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
_ELSEWHERE: Final = "export into another directory"
_FREE_TEXT: Final = frozenset({"displayName", "comment", "externalId"})
"""What guests write themselves. The tags too, but a list as JSON begins with a bracket."""

_SIGNS: Final = frozenset("=+-@\N{MINUS SIGN}")
_FIRST: Final = ("\t", "\r", "\n", "\0", "'")
"""What gets a ' whatever follows; the ' itself, so that one ' less gives the text again."""

_UNSEEN: Final = "CMZ"
"""Unicode's controls and formats, marks, and separators, by the first letter of their categories."""

_BLANK: Final = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols that do not show."""

_BOM: Final = b"\xef\xbb\xbf"

_CREATED_FROM: Final = (
    "Only rooms made then or later: 2026-12-01T00:00:00Z; or from now, as in --created-from=-7d, into a pipe."
)
_FROM: Final = "Only sessions that began then or later, written as in --created-from."


def export(  # noqa: PLR0913 - the options of a job
    directory: Written | None = None,
    /,
    *,
    format_: Annotated[Literal["jsonl", "csv"], Parameter(name="--format")] = "jsonl",
    depth: Literal["rooms", "sessions", "participants"] = "participants",
    name_starts_with: str | None = None,
    created_from: Annotated[str | None, Parameter(help=_CREATED_FROM)] = None,
    created_to: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from", help=_FROM)] = None,
    to: str | None = None,
    bom: Flag = False,
    raw: Flag = False,
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

    With --from or --to only the sessions that began in that time are written,
    with their rooms and participants. The service can not pick sessions by
    time: each room still costs 1 point, which --name-starts-with and
    --created-to save; participants of other sessions cost nothing. Sessions
    without a start that can be read are counted and passed over.

    Dates are in UTC, such as 2026-12-01T09:00:00.000Z, in all rows and formats
    (pandas: parse_dates=["startedAt"] for a CSV, to_datetime for JSON lines).
    In a CSV texts are in quotes. What is missing is an empty cell, an empty
    text is "". Lists and objects are JSON. A text by a guest that a spreadsheet
    may compute, or that begins with ', gets a ' before it: displayName,
    externalId and comment without one leading ' are what the service sent.

    For example:

        whereby insights export all/ --format csv
        whereby insights export season/ --from 2026-11-01T00:00:00Z
        whereby insights export excel/ --format csv --bom
        whereby insights export support/ --name-starts-with /support
        whereby insights export --depth sessions | jq -r .roomName

    Args:
        directory: Where the files go; it is made if it is not there.
        format_: CSV or JSON lines.
        depth: How far to go down.
        name_starts_with: Only rooms whose name starts so, with or without its slash.
        created_from: Only rooms made then or later.
        created_to: Only rooms made then or earlier.
        from_: Only sessions that began then or later.
        to: Only sessions that began before.
        bom: Begin each CSV with a byte-order mark, by which Excel knows it for UTF-8.
        raw: Texts by guests in a CSV just as the service sent them, also those that a spreadsheet may compute.
        concurrency: Rooms at once.
        options: How to reach the API.
    """
    output = options.output()
    place = None if directory is None else path_of("DIRECTORY", directory)
    if directory is None and not output.is_json:
        raise UsageError("name a directory for the files, or send the rows into a pipe or, by --json, to the terminal")
    if directory is None and format_ == "csv":
        raise UsageError("--format csv makes a file for each kind of row: name a directory for them")
    if format_ != "csv" and (bom or raw):
        raise UsageError(f"{'--bom' if bom else '--raw'} is for a CSV: pass --format csv, or leave it out")

    def date(option: str, text: str | None) -> str | None:
        # What counts from now is another export in each run, so it can not be resumed.
        return None if text is None else moment(option, text, from_now=directory is None)

    start, end = date("--from", from_), date("--to", to)
    began = _Interval(*(None if text is None else datetime.fromisoformat(text) for text in (start, end)))
    if began.start is not None and began.end is not None and began.start >= began.end:
        raise UsageError(f"--from {from_} is not before --to {to}: no session begins in that time")
    plan = {
        "format": format_,
        "depth": depth,
        "name_starts_with": name_starts_with and room_of("--name-starts-with", name_starts_with),
        "created_from": date("--created-from", created_from),
        "created_to": date("--created-to", created_to),
    }
    # Only what is asked for, so that an export from before these options is gone on with.
    more = {"from": start, "to": end, "bom": bom, "raw": raw}
    job = _Export(place, {**plan, **{name: value for name, value in more.items() if value}}, began, output)
    kept = "the rooms that were written are kept." if directory else "rows into a pipe can not be gone on with."
    return run_long(job.run(options, concurrency), kept, resumes=directory is not None)


class _Interval(NamedTuple):
    """When sessions began: from `start` on, and before `end`."""

    start: datetime | None
    end: datetime | None

    def holds(self, moment: datetime | None) -> bool:
        return (
            moment is not None
            and is_believed(moment)
            and (self.start is None or moment >= self.start)
            and (self.end is None or moment < self.end)
        )


class _Found(NamedTuple):
    """The rows of a room by their kind, and how many sessions were passed over because their start is unreadable."""

    rows: dict[str, list[dict[str, Any]]]
    unreadable: int = 0


class _Export:
    """One export; `plan` holds format, depth and filters, `began` when the sessions that are meant began."""

    def __init__(self, directory: Path | None, plan: Mapping[str, Any], began: _Interval, output: Output) -> None:
        self._directory = directory
        self._plan = plan
        self._began = began
        self._output = output
        self._kinds = list(_ROWS)[: list(_ROWS).index(plan["depth"]) + 1]
        self._counts = dict.fromkeys(self._kinds, 0)
        self._failed = self._unreadable = 0

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
        is_csv, bom, raw = self._plan["format"] == "csv", "bom" in self._plan, "raw" in self._plan
        return ExportFiles(directory, {"api": base_url, **self._plan}, columns, is_csv=is_csv, bom=bom, raw=raw)

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
            return await _rows_of(client, room, self._kinds, self._began)

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
        found = outcome.result
        if found.unreadable:
            self._unreadable += found.unreadable
            row = {"event": "unreadable", _ROOM: room, "sessions": found.unreadable}
            self._output.line(row, f"{room}: {_passed_over(found.unreadable)}")
        for kind, rows in found.rows.items():
            self._counts[kind] += len(rows)
            if files is None:
                self._output.rows([{"kind": kind.removesuffix("s"), **row} for row in rows])
        if files is not None:
            files.add(room, found.rows)

    def _sum_up(self, directory: Path, resumed: int) -> None:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self._counts.items())
        before = f"; {resumed:,} rooms by earlier runs" if resumed else ""
        failures = f"; {self._failed} rooms failed: run it again for those" if self._failed else ""
        odd = f"; {_passed_over(self._unreadable)}" if self._unreadable else ""
        facts = {"event": "summary", **self._counts, "resumed": resumed, "failed": self._failed}
        facts |= {"unreadable": self._unreadable, "directory": str(directory)}
        self._output.line(facts, f"{counts}{before}{odd}{failures}.")


def _passed_over(count: int) -> str:
    return f"{counted(count, 'session')} passed over without a readable start"


async def _rows_of(client: WherebyClient, room: RoomInsights, kinds: list[str], began: _Interval) -> _Found:
    """A room with all that is below it; nothing if no session of it began in the interval that is asked for."""
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    by_start, unreadable = any(began), 0
    sessions: list[RoomSessionInsights] = []
    if by_start or "sessions" in kinds:
        sessions = await client.insights.room_sessions(room.room_name).collect()
    if by_start:
        unreadable = sum(not is_believed(session.started_at) for session in sessions)
        sessions = [session for session in sessions if began.holds(session.started_at)]
        if not sessions:
            return _Found(rows, unreadable)
    rows["rooms"].append(wire(room))
    if "sessions" not in kinds:
        return _Found(rows, unreadable)
    rows["sessions"] = [{**wire(session), _ROOM: room.room_name} for session in sessions]
    if "participants" in kinds:
        some = asyncio.Semaphore(_SESSIONS_AT_ONCE)

        async def people(session_id: str) -> list[dict[str, Any]]:
            async with some:
                found = await client.insights.participants(room_session_id=session_id).collect()
            return [{_ROOM: room.room_name, **wire(person), "roomSessionId": session_id} for person in found]

        every = await asyncio.gather(*(people(session.room_session_id) for session in sessions))
        rows["participants"] = [row for each in every for row in each]
    return _Found(rows, unreadable)


class ExportFiles:
    """A directory with a file for each kind of row.

    Args:
        directory: Where they are; it is made if it is not there.
        identity: What the export is of; an earlier run that is resumed must be of the same.
        columns: The columns of each kind, by its name.
        is_csv: Whether the files are CSV; JSON lines otherwise.
        bom: Whether a CSV begins with a byte-order mark.
        raw: Whether texts by guests stand in a CSV as they came, formulas too.

    Attributes:
        done: Rooms that are written.
        finished: Whether an earlier run has finished it.
    """

    def __init__(  # noqa: PLR0913 - how the files look
        self,
        directory: Path,
        identity: Mapping[str, Any],
        columns: Mapping[str, Sequence[str]],
        *,
        is_csv: bool,
        bom: bool = False,
        raw: bool = False,
    ) -> None:
        self._directory = directory
        self._identity = dict(identity)
        self._columns = columns
        self._is_csv = is_csv
        self._bom = _BOM if bom else b""
        self._guarded: frozenset[str] = frozenset() if raw else _FREE_TEXT
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
            if Path(path).is_symlink():
                raise UsageError(f"{path} is a symbolic link, which is not followed: {_ELSEWHERE}")
        check_apart((path, path) for path in paths)
        self._state = _opened(self._directory / _STATE)
        if not keep_others_out(self._state):  # before anything is read or cut
            raise UsageError(f"another export is writing into {self._directory}")
        ends, length = self._read(self._state)
        self._check_sizes(ends, is_known=bool(length))
        _cut(self._state, length)
        for kind in self._columns:
            self._files[kind] = _opened(self._path(kind))
            _cut(self._files[kind], ends.get(kind, 0))
        self._hide(paths)
        if not length:
            self._write_state({"export": self._identity})  # before the heads, which the next run then knows for ours
        for kind, names in self._columns.items():
            if self._is_csv and not self._files[kind].tell():
                self._files[kind].write(self._bom + _csv_line(names))

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
                msg = f"{self._directory} holds another export ({_STATE} tells of which): {_ELSEWHERE}"
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
            raise UsageError(f"{self._directory / _STATE} is damaged: {_ELSEWHERE}") from None

    def _check_sizes(self, ends: Mapping[str, int], *, is_known: bool) -> None:
        """Refuse to cut what is not of this export, if it has a state, or what was changed since it was finished."""
        for kind in self._columns:
            path, end = self._path(kind), ends.get(kind, 0)
            size = path.stat().st_size if path.exists() else 0
            if size < end:
                raise UsageError(f"{path} is shorter than {_STATE} says: {_ELSEWHERE}")
            if size and not is_known:
                raise UsageError(f"{path} is there already, and is of no export: {_ELSEWHERE}")
            if size > end and self.finished:
                raise UsageError(f"{path} was changed since the export was finished: {_ELSEWHERE}")

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
        for file in filter(None, (self._state, *self._files.values())):
            if not is_at(file.name, file):
                raise FileNotFoundError(errno.ENOENT, MOVED, file.name)
        row["ends"] = {kind: file.tell() for kind, file in self._files.items()}
        if self._state is not None:
            with naming(self._state.name):
                self._state.write(json.dumps(row).encode() + b"\n")
                self._state.flush()

    def _line(self, kind: str, row: Mapping[str, Any]) -> bytes:
        if not self._is_csv:
            return json.dumps(row).encode() + b"\n"
        return _csv_line(_cell(row.get(name), guarded=name in self._guarded) for name in self._columns[kind])


def _opened(path: Path) -> BinaryIO:
    """Open a file to append to it."""
    file = path.open("a+b")
    file.seek(0)
    return file


def _cut(file: BinaryIO, length: int) -> None:
    file.truncate(length)
    file.seek(length)


def _csv_line(cells: Iterable[str]) -> bytes:
    return (",".join(cells) + "\n").encode()


def _cell(value: object, *, guarded: bool) -> str:
    """A value in a CSV. Texts are always in quotes: those of guests may hold any separator, and line ends."""
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    guard = "'" if guarded and _may_compute(text) else ""
    return '"{}{}"'.format(guard, text.replace('"', '""'))


def _may_compute(text: str) -> bool:
    """Whether a spreadsheet may take a text for a formula, or the text begins like one that was kept from that."""
    shown = (char for char in text if unicodedata.category(char)[0] not in _UNSEEN and char not in _BLANK)
    return text.startswith(_FIRST) or unicodedata.normalize("NFKC", next(shown, ""))[:1] in _SIGNS
