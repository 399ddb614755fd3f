"""`whereby recordings sync` and the `download` commands: files of the service onto the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter, validators

from ..downloads.sinks import file_name
from ..errors import PermissionDeniedError
from ..redaction import redact
from .errors import ExitCode, UsageError, in_words
from .global_options import Flag, GlobalOptions
from .output import Output, size
from .progress import Bar, run_batch, run_long
from .values import Written, date_of, is_believed, path_of, room_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from .. import WherebyClient
    from ..batch import Outcome
    from ..downloads import Download, Progress
    from ..models import Recording

_UNSAFE: Final = re.compile(r"[^\w.+-]+")
_UNSAFE_ENDING: Final = re.compile(r"[^a-zA-Z0-9]+")
_PLAIN_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,40}")
_LONGEST_STEM: Final = 120
_MOST_BYTES: Final = 140
_LONGEST_ID: Final = 40
_LONGEST_ENDING: Final = 8
_MEGABYTE: Final = 1_000_000
_OF_THE_FOLDER: Final = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EIO,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""Errors that every file of a folder would meet."""

_KEPT: Final = "what has arrived is kept."

_DOWNLOAD_HELP: Final = """Download a file of the {name}. Costs 1 point for its link, 1 for its name.

It goes into NAME.part first, and gets its name when it is whole. What breaks
off is taken up where it was, also by the next run.

For example:

    whereby {name} download b1f0c1a2-6f6c-4c55-9f0e
    whereby {name} download b1f0c1a2-6f6c-4c55-9f0e kept/ --overwrite
"""


def _download_command(name: str) -> Callable[..., int]:
    def download(
        file_id: Annotated[str, Parameter(help="Its id.")],
        destination: Annotated[
            Written, Parameter(help="The file, or a directory, made if it ends with /; the present one unless given.")
        ] = Path(),
        /,
        *,
        overwrite: Annotated[bool, Parameter(negative="", show_default=False, help="Replace a file.")] = False,
        options: GlobalOptions = GlobalOptions(),  # noqa: B008 - frozen
    ) -> int:
        path = path_of("DESTINATION", destination)
        if str(destination).endswith(("/", os.sep)):
            _make(path)
        return run_long(_download(name, file_id, path, options, overwrite=overwrite), _KEPT)

    download.__doc__ = _DOWNLOAD_HELP.format(name=name)
    return download


def _make(directory: Path, *, dry_run: bool = False) -> None:
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file: name a directory")
    if not dry_run:
        directory.mkdir(parents=True, exist_ok=True)


async def _download(name: str, file_id: str, destination: Path, options: GlobalOptions, *, overwrite: bool) -> int:
    async with options.client(is_long=True) as client:
        with Bar("received", in_bytes=True) as bar:

            def show(progress: Progress) -> None:
                rate = (progress.received - progress.resumed) / progress.elapsed if progress.elapsed else 0.0
                bar.show(progress.received, progress.total, f"{size(rate)}/s")

            download = getattr(client, name).download
            try:
                done: Download = await download(file_id, destination, overwrite=overwrite, on_progress=show)
            except FileExistsError as error:
                place = error.filename or destination
                raise UsageError(f"{place} is there already: pass --overwrite to replace it") from None
            except ValueError as error:
                raise UsageError(in_words(error)) from None
    row = {"event": "downloaded", "id": file_id, "path": str(done.path), "size": done.size, "resumed": done.resumed}
    options.output().line(row, f"{done.path}: {size(done.size)}")
    return ExitCode.OK


download_recording: Callable[..., int] = _download_command("recordings")
download_transcription: Callable[..., int] = _download_command("transcriptions")


def sync(  # noqa: PLR0913 - the options of a job
    directory: Written,
    /,
    *,
    room_name: str | None = None,
    since: str | None = None,
    until: str | None = None,
    concurrency: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=64))] = 4,
    dry_run: Flag = False,
    options: GlobalOptions = GlobalOptions(),  # noqa: B008 - frozen
) -> int:
    """Download the recordings that a directory lacks. Costs 1 point each.

    A file is named after its recording: ROOM-START.ID.mp4, so that it is
    known again. Files come under their names when they are whole; what breaks
    off stays as NAME.part and is taken up by the next run. Recordings that
    Whereby does not host are told and passed over; with --since or --until,
    those without a start that can be read are counted and passed over.

    For example:

        whereby recordings sync recordings/
        whereby recordings sync weekly/ --room-name /weekly --since=-7d
        whereby recordings sync recordings/ --dry-run --json

    Args:
        directory: Where the files go; it is made if it is not there.
        room_name: Only of this room, with or without its slash.
        since: Only recordings that began then or later: 2026-12-01T00:00:00Z, or from now, as in --since=-7d.
        until: Only recordings that began before.
        concurrency: Downloads at once.
        dry_run: Say what is missing, and download nothing.
        options: How to reach the API.
    """
    room = room_of("--room-name", room_name)
    path = path_of("DIRECTORY", directory)
    begin, end = date_of("--since", since), date_of("--until", until)
    if begin is not None and end is not None and begin >= end:
        raise UsageError(f"--since {since} is not before --until {until}: no recording begins in that time")
    _make(path, dry_run=dry_run)
    job = _Sync(path, begin, end, options.output())
    return run_long(job.run(options, room, concurrency, dry_run=dry_run), _KEPT)


class _Sync:
    """One sync: lists the recordings, and downloads those that are missing."""

    def __init__(self, directory: Path, since: datetime | None, until: datetime | None, output: Output) -> None:
        self._directory = directory
        self._since = since
        self._until = until
        self._output = output
        self._received: dict[str, int] = {}
        self._counts = dict.fromkeys(("there", "missing", "downloaded", "failed", "elsewhere", "unreadable"), 0)

    async def run(self, options: GlobalOptions, room_name: str | None, concurrency: int, *, dry_run: bool) -> int:
        counts = self._counts
        async with options.client(is_long=True) as client:
            missing = [recording async for recording in self._missing(client, room_name)]
            counts["missing"] = len(missing)
            expected = int(sum((recording.size_in_mega_bytes or 0.0) * _MEGABYTE for recording in missing))
            if dry_run:
                for recording in missing:
                    self._show("missing", recording, str(self._path(recording)))
            elif missing:
                await self._download(client, missing, concurrency, expected)
        first = f"{counts['missing']} missing ({size(expected)})" if dry_run else f"{counts['downloaded']} downloaded"
        failed = [f"{counts['failed']} failed"] if counts["failed"] else []
        elsewhere = [f"{counts['elsewhere']} kept elsewhere"] if counts["elsewhere"] else []
        unreadable = [f"{counts['unreadable']} passed over without a readable start"] if counts["unreadable"] else []
        words = ", ".join([first, f"{counts['there']} there already", *failed, *elsewhere, *unreadable])
        self._output.line({"event": "summary", **counts}, f"{words}.")
        return self._output.code

    async def _missing(self, client: WherebyClient, room_name: str | None) -> AsyncIterator[Recording]:
        by_date = self._since is not None or self._until is not None
        async for recording in client.recordings.list(room_name=room_name, sort_by="startDate:asc"):
            if room_name is not None and recording.room_name not in {room_name, None}:
                continue
            if by_date and not is_believed(recording.start_date):
                self._counts["unreadable"] += 1
            elif not self._is_meant(recording.start_date):
                continue
            elif self._path(recording).exists():
                self._counts["there"] += 1
            else:
                yield recording

    def _is_meant(self, start: datetime | None) -> bool:
        if start is None:
            return self._since is None and self._until is None
        return (self._since is None or start >= self._since) and (self._until is None or start < self._until)

    def _path(self, recording: Recording) -> Path:
        """Where a recording belongs: its own file name, its id between stem and ending."""
        stem, dot, ending = (recording.filename or "recording.mp4").rpartition(".")
        stem = _UNSAFE.sub("-", stem if dot else ending)[:_LONGEST_STEM].encode()[:_MOST_BYTES].decode(errors="ignore")
        recording_id = recording.recording_id
        if not _PLAIN_ID.fullmatch(recording_id):  # two that are made alike would be one file
            recording_id = hashlib.sha256(recording_id.encode(errors="surrogatepass")).hexdigest()[:_LONGEST_ID]
        safe_ending = _UNSAFE_ENDING.sub("-", ending)[:_LONGEST_ENDING].strip("-.") if dot else ""
        name = f"{stem.strip('-.') or 'recording'}.{recording_id}.{safe_ending or 'mp4'}"
        return self._directory / file_name(name, recording_id)

    async def _download(self, client: WherebyClient, missing: list[Recording], concurrency: int, expected: int) -> None:
        with Bar("received", in_bytes=True) as bar:

            async def fetch(recording: Recording) -> Download:
                def show(progress: Progress) -> None:
                    self._received[recording.recording_id] = progress.received
                    received = sum(self._received.values())
                    files = f"{self._counts['downloaded']} of {len(missing)} files"
                    bar.show(received, max(expected, received), files)

                return await client.recordings.download(recording.recording_id, self._path(recording), on_progress=show)

            requests = [{"recording": recording} for recording in missing]
            batch = client.batch(fetch, requests, concurrency=concurrency, idempotent=True)
            await run_batch(batch, lambda outcome: self._take(missing[outcome.index], outcome))

    def _take(self, recording: Recording, outcome: Outcome[Download]) -> None:
        error, path = outcome.error, self._path(recording)
        facts: dict[str, Any]
        if error is None:
            done = outcome.result
            event, words = "downloaded", f"{path}: {size(done.size)}"
            facts = {"size": done.size, "resumed": done.resumed}
        elif isinstance(error, PermissionDeniedError):
            event, words = "elsewhere", f"{path.name}: there is no link to it"
            facts = {"error": redact(in_words(error))}
        elif isinstance(error, OSError) and error.errno in _OF_THE_FOLDER:
            raise error  # it ends the sync
        else:
            facts = {"error": self._output.failed(error)}
            event, words = "failed", f"{path.name}: {facts['error']}"
        self._counts[event] += 1
        self._show(event, recording, words, **facts)

    def _show(self, event: str, recording: Recording, words: str, **facts: Any) -> None:
        row = {
            "event": event,
            "recordingId": recording.recording_id,
            "roomName": recording.room_name,
            "path": str(self._path(recording)),
        }
        self._output.line({**row, **facts}, words)
