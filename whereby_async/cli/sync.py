"""`whereby recordings sync`: downloads the recordings that a directory lacks, several at once."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path  # noqa: TC003 - cyclopts resolves annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter, validators

from ..redaction import redact
from . import values
from .connection import Connection
from .exits import UsageError
from .work import Bar, Report, run_long, size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cyclopts import App

    from .. import WherebyClient
    from ..batch import Outcome
    from ..downloads import Download, Progress
    from ..models import Recording

_FLAG = Parameter(negative="", show_default=False)
_UNSAFE: Final = re.compile(r"[^\w.+-]+")
_LONGEST: Final = 120
_LONGEST_ID: Final = 40
_LONGEST_ENDING: Final = 8
_MEGABYTE: Final = 1_000_000
_REFRESH: Final = 0.2


def register(group: App, name: str) -> None:  # noqa: ARG001 - as every group's
    """Add this command to its group's app."""
    group.command(sync)


def sync(  # noqa: PLR0913 - the options of a job
    directory: Path,
    /,
    *,
    room_name: str | None = None,
    since: str | None = None,
    until: str | None = None,
    concurrency: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=64))] = 4,
    dry_run: Annotated[bool, _FLAG] = False,
    connection: Connection = Connection(),  # noqa: B008 - frozen
) -> int:
    """Download the recordings that a directory lacks. Costs 1 point each.

    A file is named after its recording: ROOM-START.ID.mp4, so that it is
    known again. Files come under their names when they are whole; what breaks
    off stays as NAME.part and is taken up by the next run. Recordings that
    Whereby does not host are told and passed over.

    For example:

        whereby recordings sync recordings/
        whereby recordings sync weekly/ --room-name /weekly --since=-7d
        whereby recordings sync recordings/ --dry-run --json

    Args:
        directory: Where the files go; it is made if it is not there.
        room_name: Only of this room, leading slash included.
        since: Only recordings that began then or later: 2026-12-01T00:00:00Z, or from now, as in --since=-7d.
        until: Only recordings that began before.
        concurrency: Downloads at once.
        dry_run: Say what is missing, and download nothing.
        connection: How to reach the API.
    """
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file: name a directory")
    if not dry_run:
        directory.mkdir(parents=True, exist_ok=True)
    job = _Sync(directory, _moment("--since", since), _moment("--until", until), Report(as_json=connection.as_json))
    return run_long(job.run(connection, room_name, concurrency, dry_run=dry_run), "what has arrived is kept.")


def _moment(option: str, text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(values.moment(option, text))


class _Sync:
    def __init__(self, directory: Path, since: datetime | None, until: datetime | None, report: Report) -> None:
        self._directory = directory
        self._since = since
        self._until = until
        self._report = report
        self._received: dict[str, int] = {}
        self._finished = self._there = self._failed = self._elsewhere = 0

    async def run(self, connection: Connection, room_name: str | None, concurrency: int, *, dry_run: bool) -> int:
        async with connection.client() as client:
            missing = [recording async for recording in self._missing(client, room_name)]
            expected = int(sum((recording.size_in_mega_bytes or 0.0) * _MEGABYTE for recording in missing))
            if dry_run:
                for recording in missing:
                    self._tell("missing", recording, words=str(self._path(recording)))
            elif missing:
                await self._download(client, missing, concurrency, expected)
        lacking = f"{len(missing)} missing ({size(expected)})" if dry_run else f"{self._finished} downloaded"
        trouble = [
            f"{count} {what}"
            for count, what in ((self._failed, "failed"), (self._elsewhere, "kept elsewhere"))
            if count
        ]
        self._report.line(
            {
                "event": "summary",
                "there": self._there,
                "missing": len(missing),
                "downloaded": self._finished,
                "failed": self._failed,
                "elsewhere": self._elsewhere,
            },
            ", ".join([lacking, f"{self._there} there already", *trouble]) + ".",
        )
        return self._report.code

    async def _missing(self, client: WherebyClient, room_name: str | None) -> AsyncIterator[Recording]:
        async for recording in client.recordings.list(room_name=room_name, sort_by="startDate:asc"):
            if room_name is not None and recording.room_name not in {room_name, None}:
                continue
            if not self._is_meant(recording.start_date):
                continue
            if self._path(recording).exists():
                self._there += 1
            else:
                yield recording

    def _is_meant(self, start: datetime | None) -> bool:
        if start is None:
            return self._since is None and self._until is None
        return (self._since is None or start >= self._since) and (self._until is None or start < self._until)

    def _path(self, recording: Recording) -> Path:
        """Where a recording belongs: its own file name, its id between stem and ending."""
        stem, dot, ending = (recording.filename or "recording.mp4").rpartition(".")
        name = _UNSAFE.sub("-", stem if dot else ending).strip("-.")[:_LONGEST] or "recording"
        known = _UNSAFE.sub("-", recording.recording_id)[:_LONGEST_ID]
        return self._directory / f"{name}.{known}.{_UNSAFE.sub('-', ending)[:_LONGEST_ENDING] if dot else 'mp4'}"

    async def _download(self, client: WherebyClient, missing: list[Recording], concurrency: int, expected: int) -> None:
        with Bar("received") as bar:

            async def fetch(recording: Recording) -> Download:
                def tell(progress: Progress) -> None:
                    self._received[recording.recording_id] = progress.received
                    got = sum(self._received.values())
                    bar.show_bytes(got, max(expected, got), f"{self._finished} of {len(missing)} files")

                return await client.recordings.download(recording.recording_id, self._path(recording), on_progress=tell)

            requests = [{"recording": recording} for recording in missing]
            async with client.batch(fetch, requests, concurrency=concurrency, idempotent=True) as outcomes:
                async for outcome in outcomes:
                    self._take(missing[outcome.index], outcome)

    def _take(self, recording: Recording, outcome: Outcome[Any]) -> None:
        from .. import PermissionDeniedError

        error = outcome.error
        path = self._path(recording)
        if error is None:
            self._finished += 1
            done = outcome.result
            self._tell(
                "downloaded", recording, words=f"{path}: {size(done.size)}", size=done.size, resumed=done.resumed
            )
        elif isinstance(error, PermissionDeniedError):
            self._elsewhere += 1
            self._tell("elsewhere", recording, words=f"{path.name}: there is no link to it", error=redact(str(error)))
        else:
            self._failed += 1
            self._report.failed(error)
            words = redact(str(error))
            self._tell("failed", recording, words=f"{path.name}: {words}", error=words)

    def _tell(self, event: str, recording: Recording, *, words: str, **facts: Any) -> None:
        row = {
            "event": event,
            "recordingId": recording.recording_id,
            "roomName": recording.room_name,
            "path": str(self._path(recording)),
        }
        self._report.line({**row, **facts}, words)
