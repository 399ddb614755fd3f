"""`client.transcriptions`: start, read, list, delete and link to transcriptions."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final

import whereby_async

from .. import operations
from ..models import AccessLink, Transcription, TranscriptionJob
from ..operation import segment
from ..pagination import MAX_PAGE_SIZE, Paginator
from ..polling import Kind, Watches, wait_for
from . import arguments

_KIND: Final[Kind[Transcription]] = Kind("transcription", operations.GET_TRANSCRIPTION, operations.LIST_TRANSCRIPTIONS)


class Transcriptions:
    """Transcriptions of sessions (made live) and of recordings (made afterwards)."""

    def __init__(self, sender: whereby_async.sender.ClientSender, watches: Watches) -> None:
        self._sender = sender
        self._watches = watches

    async def create(self, recording_id: str, *, extra: Mapping[str, Any] | None = None) -> TranscriptionJob:
        """Start to transcribe a recording. Costs 3 points.

        It is never sent twice unless the first surely did nothing. The transcription is `in_progress` until it is
        `ready` or `failed`. Only recordings that Whereby hosts can be transcribed; long ones (over 45 minutes) fail
        at times. Source: `POST /transcriptions` in the Whereby REST API reference.

        Args:
            recording_id: The recording's id.
            extra: More keys for the body.

        Raises:
            ValueError: The id is empty or holds a slash.
            NotFoundError: No such recording.
        """
        segment("recording_id", recording_id)
        body = arguments.body(extra, recordingId=recording_id)
        return await self._sender.send(operations.CREATE_TRANSCRIPTION.bind(json=body))

    async def get(self, transcription_id: str, *, extra: Mapping[str, Any] | None = None) -> Transcription:
        """Read one transcription. Costs 1 point.

        Source: `GET /transcriptions/{transcriptionId}` in the Whereby REST API reference.

        Args:
            transcription_id: Its id.
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash.
            NotFoundError: No such transcription, or it is deleted.
        """
        return await self._sender.send(
            operations.GET_TRANSCRIPTION.bind(transcription_id, query=arguments.query(extra))
        )

    async def delete(self, transcription_id: str, *, extra: Mapping[str, Any] | None = None) -> None:
        """Delete a transcription. Costs 2 points. Deleting it again does no harm.

        Source: `DELETE /transcriptions/{transcriptionId}` in the Whereby REST API reference.

        Args:
            transcription_id: Its id.
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash.
        """
        await self._sender.send(operations.DELETE_TRANSCRIPTION.bind(transcription_id, query=arguments.query(extra)))

    def list(  # noqa: PLR0913 - keywords
        self,
        *,
        room_name: str | None = None,
        sort_by: str | None = None,
        page_size: int = MAX_PAGE_SIZE,
        cursor: str | None = None,
        prefetch: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> Paginator[Transcription]:
        """List transcriptions. Costs 1 point a page.

        Source: `GET /transcriptions` in the Whereby REST API reference.

        Args:
            room_name: Only of this room, such as `/demo`; with or without its slash.
            sort_by: `field:asc` or `field:desc`; documented fields: `roomName`, `startDate`, `durationInSeconds`.
            page_size: Rows a page, 1 to 100.
            cursor: Go on from a `Page.cursor` that was kept.
            prefetch: Pages to read ahead inside `async with`.
            extra: More query values.

        Raises:
            ValueError: The name is empty, a link or a path, `sort_by` has another form, or a number is out of range.
        """
        query = arguments.query(
            extra, roomName=arguments.room_name("room_name", room_name), sortBy=arguments.sort_by(sort_by)
        )
        return arguments.paginator(self._sender, operations.LIST_TRANSCRIPTIONS, query, page_size, cursor, prefetch)

    async def bulk_delete(self, ids: Iterable[str], *, extra: Mapping[str, Any] | None = None) -> None:
        """Delete many transcriptions in one call. Costs 3 points, however many.

        The server deletes them in the background; unknown ids and a second call do no harm. Source:
        `POST /transcriptions/bulk-delete` in the Whereby REST API reference.

        Args:
            ids: Their ids; repeats are sent once. The API states no upper bound.
            extra: More keys for the body.

        Raises:
            TypeError: `ids` is one string, or holds something else than strings.
            ValueError: There are none, or one can not be an id.
        """
        body = arguments.body(extra, transcriptionIds=arguments.ids(ids))
        await self._sender.send(operations.BULK_DELETE_TRANSCRIPTIONS.bind(json=body))

    async def access_link(
        self, transcription_id: str, *, valid_for: int = 3600, extra: Mapping[str, Any] | None = None
    ) -> AccessLink:
        """A signed link to the transcription's file, for files that Whereby hosts. Costs 1 point.

        The link is a secret of its own: fetch it without the API key. Source:
        `GET /transcriptions/{transcriptionId}/access-link` in the Whereby REST API reference.

        Args:
            transcription_id: Its id.
            valid_for: Seconds that the link works, 1 to 43200 (12 hours).
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash, or `valid_for` is out of range.
            PermissionDeniedError: The file is in storage of your own.
            NotFoundError: No such transcription.
        """
        query = arguments.query(extra, validForSeconds=arguments.link_life(valid_for))
        return await self._sender.send(operations.LINK_TRANSCRIPTION.bind(transcription_id, query=query))

    async def download(  # noqa: PLR0913 - keywords
        self,
        transcription_id: str,
        destination: whereby_async.downloads.Destination,
        *,
        overwrite: bool = False,
        on_progress: whereby_async.downloads.OnProgress | None = None,
        valid_for: int = 3600,
        stall_timeout: float = 30.0,
        extra: Mapping[str, Any] | None = None,
    ) -> whereby_async.Download:
        """Download the transcript, a Markdown file, if Whereby hosts it and it is ready. Costs 1 point for the access
        link, 1 more for each that expires meanwhile, and 1 to ask for the file's name if the destination is a
        directory.

        All that is said of `recordings.download` holds here too: a path gets the whole file or nothing, breaks are
        resumed, and the next call resumes an interrupted download. It raises the same errors; those of the
        transcription itself are below. Source: `GET /transcriptions/{transcriptionId}/access-link` in the Whereby
        REST API reference.

        Args:
            transcription_id: Its id.
            destination: The file's path; a directory that exists, for the name that the API tells; or a binary file
                that is open for writing, its `write` plain or `async`.
            overwrite: Replace a file that is there.
            on_progress: A plain function that is told of `Progress`, ten times a second at most; what it raises ends
                the download.
            valid_for: Seconds that each access link works, 1 to 43200 (12 hours).
            stall_timeout: Seconds without a byte after which the transfer counts as broken off.
            extra: More query values for the access link.

        Raises:
            ValueError: The id is empty or holds a slash, or a number is out of range.
            PermissionDeniedError: The file is in storage of your own, or the storage refuses a new link.
            NotFoundError: No such transcription, it is not ready, or its file is gone.
            WherebyError, OSError, TypeError: As `recordings.download`.
        """
        from ..downloads import download  # who downloads nothing does not load it

        arguments.link_life(valid_for)
        segment("transcription_id", transcription_id)
        patient = Transcriptions(self._sender.patient(), self._watches)

        async def fetch_name() -> str | None:
            return (await patient.get(transcription_id)).filename

        return await download(
            patient._sender,
            "transcriptions.download",
            transcription_id,
            destination,
            fetch_link=functools.partial(patient.access_link, transcription_id, valid_for=valid_for, extra=extra),
            fetch_name=fetch_name,
            overwrite=overwrite,
            stall_timeout=stall_timeout,
            on_progress=on_progress,
        )

    async def wait(self, transcription_id: str) -> Transcription:
        """Wait until a transcription is ready. Costs 1 point a look; many waits of one client share looks at the
        list, and then 1 point a page.

        The first look is at once, the next ones after 2 to 30 seconds, the longer the wait the rarer; all waits
        together take about a tenth of the budget, with the caller's priority. A look that `max_wait` refuses is put
        off, not failed. A state that this version does not know counts as still under way. There is no time limit: a
        deadline is the caller's, such as `asyncio.timeout(…)`. Source: `GET /transcriptions/{transcriptionId}` and
        `GET /transcriptions` in the Whereby REST API reference.

        Args:
            transcription_id: Its id.

        Returns:
            The transcription, as it was last seen.

        Raises:
            ValueError: The id is empty or holds a slash.
            JobFailedError: The transcription failed; the server's reason is in `message`.
            NotFoundError: No such transcription, or it was deleted meanwhile.
            WherebyError: It could not be looked at, after the retries of any call.
        """
        return await wait_for(self._watches, self._sender, _KIND, transcription_id)
