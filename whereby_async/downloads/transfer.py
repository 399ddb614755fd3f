"""One download: a link, requests for the bytes that are missing, and again until none is.

**Theory.** The storage is asked for the file, or for the rest of it, as often as it takes. What ends a transfer too
early (a break, a stall, a 5xx) counts for nothing as long as each transfer got further than any before it.
`RetryPolicy.attempts` bounds those in a row that did not, so a storage that is down ends the download and a bad line
does not. Bytes that come again, from a storage that sends only whole files, are no progress.

A storage that can not be reached is waited for, up to the client's `max_outage`, 900 s unless set; what never began
counts for nothing either.

A link that is refused is replaced, for a point, if it ever worked. One that was refused from its first request on is
replaced once. There is no deadline but the caller's.

On cancel, anywhere: the answer is closed, the bytes that were written stay as a part, the slot is free.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import math
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ClientClosedError,
    InternalServerError,
    NotFoundError,
    ServiceUnavailableError,
    WherebyError,
    status_error_class,
)
from ..models import AccessLink
from ..notify import logger
from ..rate_limit import RateLimit
from ..redaction import Secret, SilentBytes, plain, shown
from ..sender import ClientSender
from ..transport import GATEWAY_FAILURES, Reachability, Storage, StorageAnswer
from ..version import __version__
from .part import PartFile
from .sinks import BinaryWritable, Destination, ObjectSink, Sink, file_name, in_thread, path_of
from .verdict import StorageVerdict, Version, judge

_CHUNK: Final = 1024 * 1024
"""Bytes that are written in one go. A download holds about this much, and what the transport buffers."""
_LONGEST_HOLD: Final = 0.25
"""Seconds that bytes are held, so that on a slow line too the part and the progress keep up."""
_LONGEST_PAUSE: Final = 60.0
"""Seconds. A storage that asks for a longer pause is asked again after this one."""
_REPORT_EVERY: Final = 0.1
"""Seconds from one `Progress` to the next, at least."""
_SERVER_ERROR: Final = 500
_NOT_FOUND: Final = frozenset({404, 410})


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a download is.

    Attributes:
        received: Bytes of the file that have arrived, those of earlier runs among them. It falls to 0 if the file
            changed on the server and the download began again.
        total: Bytes that the file has; `None` until the storage said so.
        resumed: Bytes of `received` that were there before this call.
        breaks: How often the transfer broke off or stalled in this call.
        elapsed: Seconds since this call began.
    """

    received: int
    total: int | None
    resumed: int
    breaks: int
    elapsed: float


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """A download that is complete.

    Attributes:
        path: The file, absolute; `None` if it was written to an object of the caller's.
        size: Bytes that the file has.
        resumed: Bytes of them that an earlier, broken call had left.
        breaks: How often the transfer broke off or stalled in this call.
        links: Access links that were asked for: 1, and 1 more for each that expired. Each cost a point.
        elapsed: Seconds that this call took.
    """

    path: Path | None
    size: int
    resumed: int
    breaks: int
    links: int
    elapsed: float


OnProgress: TypeAlias = Callable[[Progress], object]
"""A plain function, called about ten times a second at most. What it raises ends the download."""


async def download(  # noqa: PLR0913 - what a download is made of
    caller: ClientSender,
    operation: str,
    file_id: str,
    destination: Destination,
    *,
    fetch_link: Callable[[], Awaitable[AccessLink]],
    fetch_name: Callable[[], Awaitable[str | None]],
    overwrite: bool,
    stall_timeout: float,
    on_progress: OnProgress | None,
) -> Download:
    """Download one file. Errors are those of `client.recordings.download`.

    Args:
        caller: The client.
        operation: What errors call it, such as `recordings.download`.
        file_id: The file's id.
        destination: A path, a directory, or an object to write to.
        fetch_link: Asks for an access link; called again when one has expired.
        fetch_name: Asks for the file's name; called if the destination is a directory.
        overwrite: Whether a file that is there may be replaced.
        stall_timeout: Seconds without a byte after which the transfer is broken off and taken up again.
        on_progress: Called with how far it is.
    """
    stall_timeout = plain(stall_timeout)
    _check(stall_timeout, on_progress)
    path = path_of(destination)
    if path is not None:
        path = await _place(path, file_id, fetch_name)
    shared = caller.shared
    storage = await shared.pool.storage(operation, caller.options.call_priority(), shared.base_url)
    try:
        sink: Sink
        if path is not None:
            source = f"{operation.partition('.')[0]}/{file_id}"
            sink = await in_thread(PartFile, path, source, overwrite=overwrite)
        else:
            sink = ObjectSink(cast("BinaryWritable", destination), operation)
        return await _Transfer(caller, operation, fetch_link, sink, storage, stall_timeout, on_progress).run()
    finally:
        storage.leave()


def _check(stall_timeout: object, on_progress: object) -> None:
    is_number = isinstance(stall_timeout, int | float) and not isinstance(stall_timeout, bool)
    if not (is_number and 0 < stall_timeout < math.inf):  # type: ignore[operator]  # a number, as asked
        advice = "pass seconds above 0; a deadline over all of it is asyncio.timeout(…)"
        raise ValueError(f"stall_timeout={shown(stall_timeout)}: {advice}")
    if on_progress is not None and (not callable(on_progress) or inspect.iscoroutinefunction(on_progress)):
        raise TypeError(f"on_progress={shown(on_progress)} is none: pass a plain function that takes a Progress")


async def _place(
    path: str | os.PathLike[str], file_id: str, fetch_name: Callable[[], Awaitable[str | None]]
) -> str | os.PathLike[str]:
    """The file's path: in the destination, if that is a directory, under the name that the API gives."""
    if not await in_thread(os.path.isdir, path):
        if os.fsdecode(path).endswith(("/", os.sep)):
            raise FileNotFoundError(errno.ENOENT, "the directory does not exist: make it first", os.fsdecode(path))
        return path
    return Path(path) / file_name(await fetch_name(), file_id)


class _Break(NamedTuple):
    """A request that did not bring the file's last byte.

    Attributes:
        error: What the download ends with, unless it goes on.
        refused: The link was not valid.
        final: Another request is of no use.
        retry_after: Seconds for which the storage wants no request.
    """

    error: WherebyError
    refused: bool = False
    final: bool = False
    retry_after: float = 0.0


@dataclass(repr=False, eq=False)
class _Transfer:
    """The loop of one download, and how far it is."""

    caller: ClientSender
    operation: str
    fetch_link: Callable[[], Awaitable[AccessLink]]
    sink: Sink
    storage: Storage
    stall: float
    on_progress: OnProgress | None

    def __post_init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._began_at = self._report_at = self._clock()
        self._reported: tuple[int, int | None] | None = None
        self._furthest = self._resumed = self._breaks = self._links = self._failures = 0
        self._outage_left = self.caller.outage_limit(self.caller.options.call_priority())

    def __repr__(self) -> str:
        return f"<{self.operation}: {self.sink.position} bytes>"

    async def run(self) -> Download:
        """Download the file into the sink, which is closed in any case."""
        try:
            await self.sink.open()
            self._resumed = self._furthest = self.sink.position
            await self._fetch()
            size = self.sink.position
            await self.sink.finish()
        except NotFoundError:
            self.sink.discard()
            raise
        finally:
            self.sink.close()
        self._report(size, size, now=True)
        return Download(
            path=self.sink.path,
            size=size,
            resumed=self._resumed,
            breaks=self._breaks,
            links=self._links,
            elapsed=self._clock() - self._began_at,
        )

    async def _fetch(self) -> None:
        """Ask for the bytes that are missing until none is."""
        link: Secret | None = None
        refusals = 0
        while True:
            if link is None:
                link = Secret((await self.fetch_link()).access_link)
                self._links += 1
            reached = self._furthest
            broken = await self._attempt(link)
            if broken is None:
                return
            if self._furthest > reached:
                self._failures = refusals = 0
            if broken.refused:
                link = None
                refusals += 1
            if broken.final or refusals > 1 or self.caller.shared.closed:
                raise broken.error
            if not broken.refused:
                self._failures += 1
                self._breaks += 1
                await self._before_next(broken)

    async def _before_next(self, broken: _Break) -> None:
        """Wait until the storage may be asked again, or raise if it may not."""
        drawn = random.random()  # noqa: S311 - spreads retries, guards nothing
        delay = self.caller.options.retry.delay(self._failures, broken.error, idempotent=True, jitter=drawn)
        if delay is None:
            raise broken.error
        delay = max(delay, min(broken.retry_after, _LONGEST_PAUSE))
        reason = _reason(broken.error)
        logger.debug("%s: %s at byte %d; on in %.3f s", self.operation, reason, self.sink.position, delay)
        await self.caller.shared.waiting.pause(delay)
        if self.caller.shared.closed:
            raise broken.error

    async def _attempt(self, link: Secret) -> _Break | None:
        """One request; `None` if the file is complete after it."""
        try:
            answer = await self._answer(link)
        except APIConnectionError as error:
            return _Break(error, final=isinstance(error, ServiceUnavailableError))
        try:
            verdict = judge(answer.status, answer.headers, self.sink.position, self.sink.version)
            match verdict.meaning:
                case "body":
                    return await self._take(answer, verdict)
                case "complete":
                    return None
                case "restart":
                    return await self._restart()
                case _:
                    return await self._refused(answer, verdict)
        finally:
            answer.close()

    async def _answer(self, link: Secret) -> StorageAnswer:
        """The head of the storage's answer; one that can not be reached is waited for."""
        reachability = self.caller.shared.reachability_of(self.storage.checked(link))
        while True:
            if self._outage_left > 0 and reachability.blocks(self.operation):
                answer = await self._until_reachable(link, reachability)
                if answer is not None:
                    return answer
            try:
                return await self._ask(link)
            except APIConnectionError:
                if self.storage.refused_by is None or self._outage_left <= 0:
                    raise
                reachability = self.storage.refused_by

    def _ask(self, link: Secret) -> Coroutine[Any, Any, StorageAnswer]:
        return self.storage.get(link, self._headers(), stall=self.stall)

    async def _until_reachable(self, link: Secret, reachability: Reachability) -> StorageAnswer | None:
        """Wait for a storage; the answer, if it was this download's own request that tried whether it is back."""
        answers: list[StorageAnswer] = []

        async def probe() -> None:
            try:
                answer = await self._ask(link)
            except APIConnectionError:
                reachability.probe_failed(reachability.snapshot(self.operation).reason)
                return
            if answer.status in GATEWAY_FAILURES:
                answer.close()
                asked = RateLimit.from_response(answer.status, answer.headers).retry_after
                reachability.probe_failed(f"it answers {answer.status}", asked)
            else:
                answers.append(answer)
                reachability.reached()

        left = self._outage_left
        self._outage_left -= await self.caller.until_reachable(reachability, self.operation, left, probe)
        self._failures = 0  # while a storage is away only time counts
        return answers[0] if answers else None

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"whereby-async/{__version__}"}
        if self.sink.position and self.sink.version.tag is not None:
            headers |= {"Range": f"bytes={self.sink.position}-", "If-Range": self.sink.version.tag}
        return headers

    async def _take(self, answer: StorageAnswer, verdict: StorageVerdict) -> _Break | None:
        """Write the bytes of an answer, in chunks that are worth a turn in a thread; those before a break are kept."""
        size = verdict.version.size
        skip = await self._align(verdict)
        pieces, held = list[bytes](), 0
        flush_at = self._clock() + _LONGEST_HOLD
        broken = None
        while size is None or self.sink.position <= size:
            try:
                piece = await answer.read()
            except (APIConnectionError, ClientClosedError) as error:
                broken = _Break(error, final=isinstance(error, ClientClosedError))
                break
            if not piece:
                break
            if skip:
                skip, piece = max(skip - len(piece), 0), SilentBytes(piece[skip:])
            pieces.append(piece)
            held += len(piece)
            if held >= _CHUNK or self._clock() >= flush_at:
                await self._write(pieces, size)
                pieces, held = [], 0
                flush_at = self._clock() + _LONGEST_HOLD
        await self._write(pieces, size)
        return await self._ended(size, broken)

    async def _align(self, verdict: StorageVerdict) -> int:
        """Make the sink ready for an answer's bytes, and return how many of them it has already."""
        if verdict.start:
            await self.sink.note(verdict.version)
            return 0
        if self.sink.position and verdict.version.same_as(self.sink.version):
            await self.sink.note(verdict.version)
            return self.sink.position
        self._resumed = 0
        await self.sink.begin(verdict.version)
        return 0

    async def _write(self, pieces: list[bytes], size: int | None) -> None:
        if chunk := SilentBytes(b"".join(pieces)):
            await self.sink.write(chunk)
            self._furthest = max(self._furthest, self.sink.position)
            self._report(self.sink.position, size)

    def _report(self, received: int, total: int | None, *, now: bool = False) -> None:
        """Call `on_progress` if it is time, or anyway if it is to be `now`, but never twice with the same."""
        at = self._clock()
        if self.on_progress is None or (at < self._report_at and not now) or self._reported == (received, total):
            return
        self._reported = (received, total)
        self._report_at = at + _REPORT_EVERY
        progress = Progress(
            received=received, total=total, resumed=self._resumed, breaks=self._breaks, elapsed=at - self._began_at
        )
        self.on_progress(progress)

    async def _ended(self, size: int | None, broken: _Break | None) -> _Break | None:
        """What is left to be done after an answer that ended or broke off; `None` if the file is complete."""
        position = self.sink.position
        if position == size:
            return None
        if size is not None and position > size:
            return await self._restart()
        if broken is not None or size is None:
            return broken
        return self._broken(f"the storage's answer ended after {position} of {size} bytes")

    async def _restart(self) -> _Break:
        """Drop the bytes that are here, so that the next request is for the whole file."""
        self._resumed = 0
        await self.sink.begin(Version())
        return self._broken("the file changed on the server, or the storage does not keep to what it was asked for")

    def _broken(self, what: str, *, final: bool = False, retry_after: float = 0.0) -> _Break:
        error = APIConnectionError(f"{self.operation}: {what}", operation=self.operation, permanent=final)
        return _Break(error, final=final, retry_after=retry_after)

    async def _refused(self, answer: StorageAnswer, verdict: StorageVerdict) -> _Break:
        if verdict.meaning == "unusable":
            return self._broken(verdict.reason, final=True)
        status, code, name = answer.status, await answer.error_code(), self.operation
        what = f"the storage answered {status}" + (f" ({code})" if code else "")
        if verdict.meaning == "refused":
            kind = status_error_class(404 if status in _NOT_FOUND else 403)
            text = f"{name}: {what} to a new access link"
            return _Break(kind(text, status=status, message=code, operation=name), refused=True)
        retry_after = verdict.retry_after or 0.0
        if status < _SERVER_ERROR:
            return self._broken(what, retry_after=retry_after)
        error = InternalServerError(f"{name}: {what}", status=status, message=code, operation=name)
        return _Break(error, retry_after=retry_after)


def _reason(error: WherebyError) -> str:
    if isinstance(error, APIStatusError):
        return f"status {error.status}"
    return "timeout" if isinstance(error, APITimeoutError) else "connection"
