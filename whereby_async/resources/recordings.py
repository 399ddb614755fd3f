"""`client.recordings`: read, list, delete and link to recordings."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import whereby_async

from .. import operations
from ..models import AccessLink, Recording
from ..operation import segment
from ..pagination import MAX_PAGE_SIZE, Paginator
from . import arguments


class Recordings:
    """Recordings, kept by Whereby or in storage of your own."""

    def __init__(self, sender: whereby_async.sender.ClientSender) -> None:
        self._sender = sender

    async def get(self, recording_id: str, *, extra: Mapping[str, Any] | None = None) -> Recording:
        """Read one recording. Costs 1 point.

        Source: `GET /recordings/{recordingId}` in the Whereby REST API reference.

        Args:
            recording_id: Its id.
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash.
            NotFoundError: No such recording, or it is deleted.
        """
        return await self._sender.send(operations.GET_RECORDING.bind(recording_id, query=arguments.query(extra)))

    async def delete(self, recording_id: str, *, extra: Mapping[str, Any] | None = None) -> None:
        """Delete a recording. Costs 2 points. Deleting it again does no harm.

        Source: `DELETE /recordings/{recordingId}` in the Whereby REST API reference.

        Args:
            recording_id: Its id.
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash.
        """
        await self._sender.send(operations.DELETE_RECORDING.bind(recording_id, query=arguments.query(extra)))

    def list(  # noqa: PLR0913 - keywords
        self,
        *,
        room_name: str | None = None,
        sort_by: str | None = None,
        page_size: int = MAX_PAGE_SIZE,
        cursor: str | None = None,
        prefetch: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> Paginator[Recording]:
        """List recordings. Costs 1 point a page.

        Source: `GET /recordings` in the Whereby REST API reference.

        Args:
            room_name: Only of this room, such as `/demo`; with or without its slash.
            sort_by: `field:asc` or `field:desc`; documented fields: `roomName`, `startDate`, `duration`,
                `sizeInMegaBytes`.
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
        return arguments.paginator(self._sender, operations.LIST_RECORDINGS, query, page_size, cursor, prefetch)

    async def bulk_delete(self, ids: Iterable[str], *, extra: Mapping[str, Any] | None = None) -> None:
        """Delete many recordings in one call. Costs 3 points, however many.

        The server deletes them in the background; unknown ids and a second call do no harm. Source:
        `POST /recordings/bulk-delete` in the Whereby REST API reference.

        Args:
            ids: Their ids; repeats are sent once. The API states no upper bound.
            extra: More keys for the body.

        Raises:
            TypeError: `ids` is one string, or holds something else than strings.
            ValueError: There are none, or one can not be an id.
        """
        body = arguments.body(extra, recordingIds=arguments.ids(ids))
        await self._sender.send(operations.BULK_DELETE_RECORDINGS.bind(json=body))

    async def access_link(
        self, recording_id: str, *, valid_for: int = 3600, extra: Mapping[str, Any] | None = None
    ) -> AccessLink:
        """A signed link to the recording's file, for files that Whereby hosts. Costs 1 point.

        The link is a secret of its own: fetch it without the API key. Source:
        `GET /recordings/{recordingId}/access-link` in the Whereby REST API reference.

        Args:
            recording_id: Its id.
            valid_for: Seconds that the link works, 1 to 43200 (12 hours).
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash, or `valid_for` is out of range.
            PermissionDeniedError: The file is in storage of your own.
            NotFoundError: No such recording.
        """
        query = arguments.query(extra, validForSeconds=arguments.link_life(valid_for))
        return await self._sender.send(operations.LINK_RECORDING.bind(recording_id, query=query))

    async def download(  # noqa: PLR0913 - keywords
        self,
        recording_id: str,
        destination: whereby_async.downloads.Destination,
        *,
        overwrite: bool = False,
        on_progress: whereby_async.downloads.OnProgress | None = None,
        valid_for: int = 3600,
        stall_timeout: float = 30.0,
        extra: Mapping[str, Any] | None = None,
    ) -> whereby_async.Download:
        """Download the recording's file, for files that Whereby hosts. Costs 1 point for the access link, 1 more for
        each that expires meanwhile, and 1 to ask for the file's name if the destination is a directory; the bytes cost
        nothing.

        A path gets the whole file or nothing: bytes are gathered in `NAME.part` beside it, which is renamed when it is
        complete and on the disk. A transfer that breaks off or stalls is resumed where it was; it is given up after
        `RetryPolicy.attempts` breaks in a row that brought nothing. An error, a cancel or a killed program leaves the
        part (with `NAME.part.json`, which says what version of the file it belongs to), and the next call resumes it. A
        file that changed on the server meanwhile is begun anew. Several downloads may run at once, but only one to a
        path: up to 16 files come in together (`SessionPool(downloads=…)`), over connections of their own. Memory does
        not grow with the file.

        An object that is written to is resumed within this call only, and neither flushed nor closed; a write that a
        cancel interrupts is finished first. There is no time limit: a deadline is the caller's, such as
        `asyncio.timeout(…)`. The API key is not sent to the storage.

        Source: `GET /recordings/{recordingId}/access-link` in the Whereby REST API reference.

        Args:
            recording_id: Its id.
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
            TypeError: The destination is nothing that can be written to.
            FileExistsError: There is a file already.
            BlockingIOError: Another download is writing to this path.
            OSError: The file cannot be written: no space, no permission, no such directory, a symbolic link, or a
                name that ends in `.part`, as those of downloads under way do.
            PermissionDeniedError: The file is in storage of your own, or the storage refuses a new link.
            NotFoundError: No such recording, or its file is gone.
            APIConnectionError: The storage does not answer, or breaks off again and again; or its answer is of no use,
                such as a content encoding other than gzip and deflate: this is said at once and not tried again.
            InternalServerError: The storage fails again and again.
            ClientClosedError: The client was closed meanwhile.
        """
        from ..downloads import download  # who downloads nothing does not load it

        arguments.link_life(valid_for)
        segment("recording_id", recording_id)
        patient = Recordings(self._sender.patient())

        async def fetch_name() -> str | None:
            return (await patient.get(recording_id)).filename

        return await download(
            patient._sender,
            "recordings.download",
            recording_id,
            destination,
            fetch_link=functools.partial(patient.access_link, recording_id, valid_for=valid_for, extra=extra),
            fetch_name=fetch_name,
            overwrite=overwrite,
            stall_timeout=stall_timeout,
            on_progress=on_progress,
        )
