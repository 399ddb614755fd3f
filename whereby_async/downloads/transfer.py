"""The loop of one download: a link, a request for what is still missing, bytes until they end or break off, and again.

**Theory.** The storage is asked for the file, or for the rest of it, as often as it takes. What ends a transfer too early
(a break, a stall, a 5xx) costs nothing as long as each one got further than any before it; `RetryPolicy.attempts` bounds those
in a row that did not, so a storage that is down ends the download and a bad line does not. Further than any before: bytes that
come again, from a storage that sends only whole files, are no progress.

A link that is refused is replaced, for a point, if it ever worked; one that was refused from its first request on is given
up when the next one is, too. There is no deadline but the caller's.

On cancel, anywhere: the answer is closed, what was written stays as a part, the slot is free.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ClientClosedError,
    InternalServerError,
    NotFoundError,
    WherebyError,
    status_error_class,
)
from ..notify import logger
from ..redaction import Secret
from ..version import __version__
from .intake import Intake
from .progress import Teller
from .verdict import Version, judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..models import AccessLink
    from ..sender import ClientSender
    from ..transport import Storage, StorageAnswer
    from .progress import Download, OnProgress
    from .sinks import Sink
    from .verdict import Verdict

_LONGEST_PAUSE: Final = 60.0
"""Seconds. A storage that asks for a longer one is asked again after this one."""
_SERVER_ERROR = 500
_NOT_FOUND = frozenset({404, 410})


class _Break(NamedTuple):
    """A request that did not bring the file's last byte.

    Attributes:
        error: What the download ends with, unless it goes on.
        refused: It was the link that was not good.
        final: Going on is of no use.
        retry_after: Seconds that the storage wants to be left alone.
    """

    error: WherebyError
    refused: bool = False
    final: bool = False
    retry_after: float = 0.0


class Transfer:
    """One download.

    Args:
        caller: The client.
        operation: What errors call it, such as `recordings.download`.
        fetch_link: Asks for an access link.
        sink: Takes the bytes.
        stall: Seconds without a byte that count as a break.
        on_progress: Told how far it is.
    """

    def __init__(  # noqa: PLR0913 - what a download is made of
        self,
        caller: ClientSender,
        operation: str,
        *,
        fetch_link: Callable[[], Awaitable[AccessLink]],
        sink: Sink,
        stall: float,
        on_progress: OnProgress | None,
    ) -> None:
        self._caller = caller
        self._operation = operation
        self._fetch_link = fetch_link
        self._sink = sink
        self._stall = stall
        self._teller = Teller(on_progress, asyncio.get_running_loop())
        self._furthest = 0

    def __repr__(self) -> str:
        return f"<{self._operation}: {self._sink.position} bytes>"

    async def run(self, storage: Storage) -> Download:
        """Download the file, unless it ends with an error, into the sink; which is closed in any case.

        Args:
            storage: The slot that the download has; it is not given back here.

        Raises:
            WherebyError: The link or the file cannot be had.
            OSError: The file cannot be written.
        """
        try:
            await self._sink.open()
            self._teller.resumed = self._furthest = self._sink.position
            await self._fetch(storage)
            size = self._sink.position
            await self._sink.finish()
        except NotFoundError:
            self._sink.discard()
            raise
        finally:
            self._sink.close()
        return self._teller.done(self._sink.path, size)

    async def _fetch(self, storage: Storage) -> None:
        """Ask for what is missing until nothing is."""
        link: Secret | None = None
        failures = refusals = 0
        while True:
            if link is None:
                link = Secret((await self._fetch_link()).access_link)
                self._teller.links += 1
            reached = self._furthest
            broken = await self._attempt(storage, link)
            if broken is None:
                return
            if self._furthest > reached:
                failures = refusals = 0
            if broken.refused:
                link = None
                refusals += 1
            if broken.final or refusals > 1 or self._caller.shared.closed:
                raise broken.error
            if not broken.refused:
                failures += 1
                self._teller.breaks += 1
                await self._before_next(broken, failures)

    async def _before_next(self, broken: _Break, failures: int) -> None:
        """Wait until the storage may be asked again, or raise if it is not to be."""
        drawn = random.random()  # noqa: S311 - spreads retries, guards nothing
        delay = self._caller.options.retry.delay(failures, broken.error, idempotent=True, jitter=drawn)
        if delay is None:
            raise broken.error
        delay = max(delay, min(broken.retry_after, _LONGEST_PAUSE))
        reason = _reason(broken.error)
        logger.debug("%s: %s at byte %d; on in %.3f s", self._operation, reason, self._sink.position, delay)
        await self._caller.shared.waiting.pause(delay)
        if self._caller.shared.closed:
            raise broken.error

    async def _attempt(self, storage: Storage, link: Secret) -> _Break | None:
        """One request; `None` if the file is complete after it."""
        try:
            answer = await storage.get(link, self._headers(), stall=self._stall)
        except APIConnectionError as error:
            return _Break(error)
        try:
            verdict = judge(answer.status, answer.headers, self._sink.position, self._sink.version)
            match verdict.meaning:
                case "body":
                    return await self._take(answer, verdict)
                case "complete":
                    return None
                case "anew":
                    return await self._anew()
                case _:
                    return await self._refused(answer, verdict)
        finally:
            answer.close()

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"whereby-async/{__version__}"}
        if self._sink.position and self._sink.version.tag is not None:
            headers |= {"Range": f"bytes={self._sink.position}-", "If-Range": self._sink.version.tag}
        return headers

    async def _take(self, answer: StorageAnswer, verdict: Verdict) -> _Break | None:
        """The bytes of an answer; those that came before a break are kept."""
        size = verdict.version.size
        intake = Intake(self._sink, await self._align(verdict), asyncio.get_running_loop())
        broken = None
        while size is None or self._sink.position <= size:
            try:
                piece = await answer.read()
            except (APIConnectionError, ClientClosedError) as error:
                broken = _Break(error, final=isinstance(error, ClientClosedError))
                break
            if not piece:
                break
            if await intake.add(piece):
                self._note_progress(size)
        if await intake.flush():
            self._note_progress(size)
        return await self._ended(size, broken)

    async def _align(self, verdict: Verdict) -> int:
        """Make the sink ready for an answer's bytes; how many of them it has already."""
        if verdict.start:
            await self._sink.note(verdict.version)
            return 0
        if self._sink.position and verdict.version.same_as(self._sink.version):
            await self._sink.note(verdict.version)
            return self._sink.position
        self._teller.resumed = 0
        await self._sink.begin(verdict.version)
        return 0

    def _note_progress(self, size: int | None) -> None:
        self._furthest = max(self._furthest, self._sink.position)
        self._teller.tell(self._sink.position, size)

    async def _ended(self, size: int | None, broken: _Break | None) -> _Break | None:
        """What an answer that came to its end, or broke off, leaves to be done."""
        position = self._sink.position
        if position == size:
            return None
        if size is not None and position > size:
            return await self._anew()
        if broken is not None or size is None:
            return broken
        msg = f"{self._operation}: the storage's answer ended after {position} of {size} bytes"
        return _Break(APIConnectionError(msg, operation=self._operation))

    async def _anew(self) -> _Break:
        """What is here cannot be gone on with: the next request is for the whole file."""
        self._teller.resumed = 0
        await self._sink.begin(Version())
        msg = (
            f"{self._operation}: the file changed on the server, or the storage does not keep to what it was asked for"
        )
        return _Break(APIConnectionError(msg, operation=self._operation))

    async def _refused(self, answer: StorageAnswer, verdict: Verdict) -> _Break:
        if verdict.meaning == "unusable":
            return _Break(
                APIConnectionError(f"{self._operation}: {verdict.reason}", operation=self._operation), final=True
            )
        status, code = answer.status, await answer.error_code()
        text = f"{self._operation}: the storage answered {status}" + (f" ({code})" if code else "")
        if verdict.meaning == "refused":
            kind = status_error_class(404 if status in _NOT_FOUND else 403)
            text += " to a new access link"
            return _Break(kind(text, status=status, message=code, operation=self._operation), refused=True)
        if status < _SERVER_ERROR:
            return _Break(APIConnectionError(text, operation=self._operation), retry_after=verdict.retry_after or 0.0)
        error = InternalServerError(text, status=status, message=code, operation=self._operation)
        return _Break(error, retry_after=verdict.retry_after or 0.0)


def _reason(error: WherebyError) -> str:
    if isinstance(error, APIStatusError):
        return f"status {error.status}"
    return "timeout" if isinstance(error, APITimeoutError) else "connection"
