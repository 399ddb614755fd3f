"""`whereby insights export`: rooms, their sessions and the participants of those, into files or a pipe."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path  # noqa: TC003 - cyclopts resolves annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter, validators

from ..models import ParticipantInsights, RoomInsights, RoomSessionInsights
from ..redaction import redact
from . import values
from .connection import Connection
from .exits import UsageError
from .exportfiles import ExportFiles
from .results import wire
from .work import Bar, Report, run_long

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cyclopts import App

    from .. import WherebyClient
    from ..batch import Outcome

_REFRESH: Final = 0.2
_SESSIONS_AT_ONCE: Final = 8
_DEPTHS: Final = {"rooms": RoomInsights, "sessions": RoomSessionInsights, "participants": ParticipantInsights}
_ROOM: Final = "roomName"

Rows = dict[str, list[dict[str, Any]]]


def register(group: App, name: str) -> None:  # noqa: ARG001 - as every group's
    """Add this command to its group's app."""
    group.command(export)


def export(  # noqa: PLR0913 - the options of a job
    directory: Path | None = None,
    /,
    *,
    format_: Annotated[Literal["jsonl", "csv"], Parameter(name="--format")] = "jsonl",
    depth: Literal["rooms", "sessions", "participants"] = "participants",
    name_starts_with: str | None = None,
    created_from: str | None = None,
    created_to: str | None = None,
    concurrency: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 16,
    connection: Connection = Connection(),  # noqa: B008 - frozen
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
        created_from: Only rooms made then or later: 2026-12-01T00:00:00Z; or from now, as in --created-from=-7d, into a pipe.
        created_to: Only rooms made then or earlier.
        concurrency: Rooms at once.
        connection: How to reach the API.
    """
    report = Report(as_json=connection.as_json)
    if directory is None and not report.is_json:
        raise UsageError("name a directory for the files, or send the rows into a pipe or, by --json, to the terminal")
    if directory is None and format_ == "csv":
        raise UsageError("--format csv makes a file for each kind of row: name a directory for them")
    given = {"name_starts_with": name_starts_with}
    for option, keyword, text in (
        ("--created-from", "created_from", created_from),
        ("--created-to", "created_to", created_to),
    ):
        # What counts from now is another export in each run, so that none could be gone on with.
        given[keyword] = None if text is None else values.moment(option, text, from_now=directory is None)
    job = _Export(directory, {"format": format_, "depth": depth, **given}, report)
    kept = "the rooms that were written are kept." if directory else "rows into a pipe can not be gone on with."
    return run_long(job.run(connection, concurrency), kept, resumes=directory is not None)


class _Export:
    """The job.

    Args:
        directory: Where files go; `None` is stdout.
        plan: Format, depth and filters.
        report: Where it tells of itself.
    """

    def __init__(self, directory: Path | None, plan: Mapping[str, Any], report: Report) -> None:
        self._directory = directory
        self._plan = plan
        self._report = report
        self._kinds = list(_DEPTHS)[: list(_DEPTHS).index(plan["depth"]) + 1]
        self._counts = dict.fromkeys(self._kinds, 0)
        self._failed = 0

    async def run(self, connection: Connection, concurrency: int) -> int:
        with contextlib.ExitStack() as stack:
            async with connection.client() as client:
                files = None
                if self._directory is not None:
                    files = stack.enter_context(self._files(self._directory, client.base_url))
                resumed = len(files.done) if files else 0
                if files is None or not files.finished:
                    rooms = await self._rooms(client, files)
                    await self._fetch(client, rooms, files, concurrency)
                    if files is not None and not self._failed:
                        files.finish()
        self._sum_up(resumed)
        return self._report.code

    def _files(self, directory: Path, base_url: str) -> ExportFiles:
        columns = {kind: list(_DEPTHS[kind].__struct_encode_fields__) for kind in self._kinds}
        if _ROOM not in columns[self._kinds[-1]]:
            columns[self._kinds[-1]].insert(0, _ROOM)
        is_csv = self._plan["format"] == "csv"
        return ExportFiles(directory, {"api": base_url, **self._plan}, columns, is_csv=is_csv)

    async def _rooms(self, client: WherebyClient, files: ExportFiles | None) -> list[RoomInsights]:
        done: set[str] = files.done if files else set()
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
        async def fetch(room: RoomInsights) -> Rows:
            return await _rows_of(client, room, self._kinds)

        requests = [{"room": room} for room in rooms]
        with Bar("rooms") as bar:
            batch = client.batch(
                fetch,
                requests,
                concurrency=concurrency,
                idempotent=True,
                on_progress=bar.batch,
                progress_interval=_REFRESH,
            )
            async with batch as outcomes:
                async for outcome in outcomes:
                    self._take(rooms[outcome.index].room_name, outcome, files)

    def _take(self, room: str, outcome: Outcome[Rows], files: ExportFiles | None) -> None:
        if outcome.error is not None:
            self._failed += 1
            self._report.failed(outcome.error)
            words = redact(str(outcome.error))
            self._report.line({"event": "failed", _ROOM: room, "error": words}, f"{room}: {words}")
            return
        rows = outcome.result
        for kind, each in rows.items():
            self._counts[kind] += len(each)
        if files is not None:
            files.add(room, rows)
            return
        for kind, each in rows.items():
            for row in each:
                self._report.line({"kind": kind.removesuffix("s"), **row})

    def _sum_up(self, resumed: int) -> None:
        told = ", ".join(f"{count:,} {kind}" for kind, count in self._counts.items())
        before = f"; {resumed:,} rooms by earlier runs" if resumed else ""
        trouble = f"; {self._failed} rooms failed: run it again for those" if self._failed else ""
        facts = {"event": "summary", **self._counts, "resumed": resumed, "failed": self._failed}
        if self._directory is not None:
            self._report.line({**facts, "directory": str(self._directory)}, f"{told}{before}{trouble}.")


async def _rows_of(client: WherebyClient, room: RoomInsights, kinds: list[str]) -> Rows:
    """A room with all that is below it."""
    rows: Rows = {kind: [] for kind in kinds}
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
