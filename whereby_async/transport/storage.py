"""The files behind access links: one plain GET at a time, its body read in pieces.

The storage is not the API. Whoever holds the link may read the file. So the bearer never goes there, and the link shows
in no error, no repr and no frame of a traceback: aiohttp's objects show it in theirs, so their frames are cut off, also
from a cancellation. The time that a download takes is not limited, only the time without a byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from ..errors import APIConnectionError, APITimeoutError, ClientClosedError, ResponseDecodeError, WherebyError
from ..options import is_loopback
from ..redaction import Secret, SilentBytes
from .body import EncodingError, check_end, stages_of, undone
from .connections import Connections
from .exchange import CONNECTING, is_permanent, reason_of, why_unreachable
from .reachability import GATEWAY_FAILURES, Reachability

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CODE: Final = re.compile(rb"<Code>\s*([A-Za-z0-9_.]{1,60})\s*</Code>")
_READ_OF_A_REFUSAL: Final = 4096


class Storage:
    """A slot for one download, until `leave`.

    Attributes:
        refused_by: What is known of the origin to which no connection could be made, if that is why `get` has failed.
    """

    __slots__ = ("_operation", "_reachability", "_root", "connections", "refused_by")

    def __init__(
        self, connections: Connections, operation: str, reachability: Callable[[str], Reachability], root: str
    ) -> None:
        self.connections: Connections = connections
        self._operation = operation
        self._root = root
        self._reachability = reachability
        self.refused_by: Reachability | None = None

    def leave(self) -> None:
        """Give the slot back, once."""
        self.connections.download_slots.give_back()

    def checked(self, link: Secret, *, after: str = "") -> Secret:
        """The same link, if a request may go there; `checked_link` says which may."""
        return checked_link(link, operation=self._operation, root=self._root, after=after)

    async def get(self, link: Secret, headers: dict[str, str], *, stall: float) -> StorageAnswer:
        """The head of the storage's answer, whatever its status; redirects are followed.

        Args:
            link: The access link, encoded; it is not quoted again.
            headers: The request's headers.
            stall: Seconds until the head has to be there, and later each next piece of the body.
        """
        try:
            async with asyncio.timeout(stall):
                return await self._follow(link, headers, stall)
        except self.connections.failures as error:
            failure = self.failure(error, stall)
        except asyncio.CancelledError as cancelled:
            raise cancelled.with_traceback(None)  # noqa: B904 - the same error, without frames that show the link
        raise failure

    async def _follow(self, link: Secret, headers: dict[str, str], stall: float) -> StorageAnswer:
        url = self.checked(link)
        for _ in range(_MOST_REDIRECTS):
            answer = StorageAnswer(self, await self._fetch(url, headers), stall)
            if answer.status not in _REDIRECTS:
                return answer
            answer.close()
            url = self.checked(Secret(urljoin(url, answer.headers.get("Location", ""))), after=url)
        msg = f"{self._operation}: the storage redirects more than {_MOST_REDIRECTS} times"
        raise ResponseDecodeError(msg, body=b"", operation=self._operation)

    async def _fetch(self, url: Secret, headers: dict[str, str]) -> aiohttp.ClientResponse:
        reachability = self._reachability(url)
        epoch, self.refused_by = reachability.epoch, None
        try:
            response = await self.connections.fetch(url, headers)
        except CONNECTING as error:
            if (reason := why_unreachable(error)) is not None:
                reachability.refused(reason)
                self.refused_by = reachability
            raise
        if response.status in GATEWAY_FAILURES:
            reachability.failed(self._operation, epoch, f"it answers {response.status}")
        else:
            reachability.succeeded(self._operation, epoch)
        return response

    def failure(self, error: Exception, stall: float) -> WherebyError:
        """Our error for one that is not; nothing of it is kept, since aiohttp's texts repeat the link."""
        name = self._operation
        if isinstance(error, WherebyError):
            return error
        if self.connections.closed:
            return ClientClosedError(f"{name}: the client was closed while it downloaded")
        if isinstance(error, TimeoutError):
            msg = f"{name}: the storage sent nothing for stall_timeout={stall:g} s"
            return APITimeoutError(msg, operation=name)
        msg = f"{name}: the storage failed ({reason_of(error)})"
        return APIConnectionError(msg, operation=name, permanent=is_permanent(error))


class StorageAnswer:
    """The storage's answer: its head, and its body as it comes, decompressed. Close it.

    Attributes:
        status: The HTTP status.
        headers: The headers; look-up ignores case.
    """

    __slots__ = ("_decoded", "_failure", "_response", "_stages", "_stall", "_storage", "headers", "status")

    def __init__(self, storage: Storage, response: aiohttp.ClientResponse, stall: float) -> None:
        self._storage = storage
        self._response = response
        self._stall = stall
        self._failure: WherebyError | None = None
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self._stages = stages_of(self.headers)
        self._decoded: Iterator[SilentBytes] = iter(())

    def __repr__(self) -> str:
        return f"<storage answer {self.status}>"

    async def read(self) -> SilentBytes:
        """What has come of the body, as soon as something has; empty at its end."""
        if not self._stages:
            return await self._came()
        try:
            while not (piece := next(self._decoded, None)):
                if piece is None:
                    came = await self._came()
                    if not came:
                        check_end(self._stages)
                        return came
                    self._decoded = undone(self._stages, came)
        except EncodingError as error:
            failure = self._failure = self._storage.failure(error, self._stall)
        else:
            return piece
        raise failure

    async def _came(self) -> SilentBytes:
        """The same, as it comes."""
        if self._failure is not None:
            raise self._failure
        try:
            async with asyncio.timeout(self._stall):
                return SilentBytes(await self._response.content.readany())
        except self._storage.connections.failures as error:
            failure = self._failure = self._storage.failure(error, self._stall)
        except asyncio.CancelledError as cancelled:
            raise cancelled.with_traceback(None)  # noqa: B904 - as above
        # aiohttp keeps the bytes that came before a break and were not read yet, but raises in their place.
        take = getattr(self._response.content, "_read_nowait", None)
        if take is not None and (unread := SilentBytes(take(-1))):
            return unread
        raise failure

    async def error_code(self) -> str:
        """The storage's code of a refusal, such as `AccessDenied`, or nothing. The rest may hold secrets."""
        body = SilentBytes()
        with contextlib.suppress(APIConnectionError):  # as much of it as came will do
            while len(body) < _READ_OF_A_REFUSAL and (piece := await self.read()):
                body = SilentBytes(body + piece[:_READ_OF_A_REFUSAL])
        found = _CODE.search(body)
        return found[1].decode() if found else ""

    def close(self) -> None:
        """Close it, and its connection unless the body was read to the end."""
        self._storage.connections.drop(self._response)


def checked_link(url: Secret, *, operation: str, root: str = "", after: str = "") -> Secret:
    """The same URL, if it is https and has no user, which would be sent.

    It may be http on this machine, and on the API's host if the API itself is reached by http, unless it comes after
    https.

    Args:
        url: An access link, or where one redirects to.
        operation: What errors call the download.
        root: The API's root.
        after: The URL that redirects there.
    """
    if _may_go_to(url, root, after):
        return url
    msg = f"{operation}: the access link, or where it leads, is no https URL without a user; nothing was sent there"
    raise ResponseDecodeError(msg, body=b"", path="$.accessLink", operation=operation)


def _may_go_to(url: Secret, root: str, after: str) -> bool:
    """Never raises, since its frame holds the link in pieces."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.username is None and parts.port != 0 else None
    except ValueError:
        return False
    if not host or parts.scheme not in {"http", "https"}:
        return False
    api = urlsplit(root)
    is_known = is_loopback(host) or (api.scheme == "http" and api.hostname == host)
    return parts.scheme == "https" or (is_known and not after.startswith("https:"))
