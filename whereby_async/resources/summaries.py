"""`client.summaries`: start, read, list and delete summaries (closed beta)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import whereby_async

from .. import operations
from ..models import Summary, SummaryJob, SummaryTemplate
from ..operation import segment
from ..pagination import MAX_PAGE_SIZE, Paginator
from ..polling import Kind, Watches, wait_for
from . import arguments

_KIND: Final[Kind[Summary]] = Kind("summary", operations.GET_SUMMARY, operations.LIST_SUMMARIES)


class Summaries:
    """Summaries of transcriptions (closed beta)."""

    def __init__(self, sender: whereby_async.sender.ClientSender, watches: Watches) -> None:
        self._sender = sender
        self._watches = watches

    async def create(
        self, transcription_id: str, *, template: SummaryTemplate | None = None, extra: Mapping[str, Any] | None = None
    ) -> SummaryJob:
        """Start to summarise a transcription. Costs 3 points.

        It is never sent twice unless the first surely did nothing. A transcription has one summary at a time: delete
        it before asking for another template. It takes about a minute; there is no webhook for it. Source:
        `POST /summaries` in the Whereby REST API reference.

        Args:
            transcription_id: The transcription's id; only those that Whereby hosts can be summarised.
            template: Such as `SOAP`; see `models.SUMMARY_TEMPLATES`. The API's default is `General Bulleted`.
            extra: More keys for the body.

        Raises:
            ValueError: The id is empty or holds a slash.
            NotFoundError: No such transcription.
        """
        segment("transcription_id", transcription_id)
        body = arguments.body(extra, transcriptionId=transcription_id, template=template)
        return await self._sender.send(operations.CREATE_SUMMARY.bind(json=body))

    async def get(self, summary_id: str, *, extra: Mapping[str, Any] | None = None) -> Summary:
        """Read one summary. Costs 1 point.

        Source: `GET /summaries/{summaryId}` in the Whereby REST API reference.

        Args:
            summary_id: Its id.
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash.
            NotFoundError: No such summary, or it is deleted.
        """
        return await self._sender.send(operations.GET_SUMMARY.bind(summary_id, query=arguments.query(extra)))

    async def delete(self, summary_id: str, *, extra: Mapping[str, Any] | None = None) -> None:
        """Delete a summary. Costs 2 points. Deleting it again does no harm.

        Source: `DELETE /summaries/{summaryId}` in the Whereby REST API reference.

        Args:
            summary_id: Its id.
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash.
        """
        await self._sender.send(operations.DELETE_SUMMARY.bind(summary_id, query=arguments.query(extra)))

    def list(
        self,
        *,
        sort_by: str | None = None,
        page_size: int = MAX_PAGE_SIZE,
        cursor: str | None = None,
        prefetch: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> Paginator[Summary]:
        """List summaries. Costs 1 point a page.

        Source: `GET /summaries` in the Whereby REST API reference.

        Args:
            sort_by: `field:asc` or `field:desc`; documented fields: `roomName`, `startDate`, `durationInSeconds`.
            page_size: Rows a page, 1 to 100.
            cursor: Go on from a `Page.cursor` that was kept.
            prefetch: Pages to read ahead inside `async with`.
            extra: More query values.

        Raises:
            ValueError: `sort_by` has another form, or a number is out of range.
        """
        query = arguments.query(extra, sortBy=arguments.sort_by(sort_by))
        return arguments.paginator(self._sender, operations.LIST_SUMMARIES, query, page_size, cursor, prefetch)

    async def wait(self, summary_id: str) -> Summary:
        """Wait until a summary is written, which takes about a minute. Costs 1 point a look; many waits of one client
        share looks at the list, and then 1 point a page.

        All that is said of `transcriptions.wait` holds here too. There is no webhook for summaries. Source:
        `GET /summaries/{summaryId}` and `GET /summaries` in the Whereby REST API reference.

        Args:
            summary_id: Its id.

        Returns:
            The summary, as it was last seen.

        Raises:
            ValueError: The id is empty or holds a slash.
            JobFailedError: The summary failed; the server's reason is in `message`.
            NotFoundError: No such summary, or it was deleted meanwhile.
            WherebyError: It could not be looked at, after the retries of any call.
        """
        return await wait_for(self._watches, self._sender, _KIND, summary_id)
