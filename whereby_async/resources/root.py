"""`ApiRoot`: all of the API as a client offers it: six resources, and `request` for what they do not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast, overload

import whereby_async

from ..models.decoding import decoder
from ..models.encoding import encode
from ..operation import Operation, Request, relative_path
from ..polling import Watches
from ..redaction import silent
from . import arguments
from .files import FileSource, file_parts
from .insights import Insights
from .meetings import Meetings
from .recordings import Recordings
from .rooms import Rooms
from .summaries import Summaries
from .transcriptions import Transcriptions

T = TypeVar("T")

_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_ANY_PATH: Final = "{path}"
"""The template of paths that the caller writes."""


class ApiRoot:
    """The six resources over one sender, and `request`: the base of `WherebyClient`, which adds options and
    lifecycle.
    """

    # The class has the resources' classes, so that help(), mocks with a spec and other tools find their methods.
    meetings: Meetings = cast("Meetings", Meetings)
    """Make, read, list and delete meetings."""
    recordings: Recordings = cast("Recordings", Recordings)
    """Read, list, delete and link to recordings."""
    transcriptions: Transcriptions = cast("Transcriptions", Transcriptions)
    """Start, read, list, delete and link to transcriptions."""
    summaries: Summaries = cast("Summaries", Summaries)
    """Start, read, list and delete summaries."""
    rooms: Rooms = cast("Rooms", Rooms)
    """Set and reset the themes of rooms."""
    insights: Insights = cast("Insights", Insights)
    """Read insights into rooms, sessions and participants."""

    def _send_by(self, sender: whereby_async.sender.ClientSender, watches: Watches) -> None:
        self._sender = sender
        self.meetings = Meetings(sender)
        self.recordings = Recordings(sender)
        self.transcriptions = Transcriptions(sender, watches)
        self.summaries = Summaries(sender, watches)
        self.rooms = Rooms(sender)
        self.insights = Insights(sender)

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        files: Mapping[str, FileSource] | None = None,
        cost: int | None = None,
        idempotent: bool | None = None,
        type: type[T],
    ) -> T: ...

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        files: Mapping[str, FileSource] | None = None,
        cost: int | None = None,
        idempotent: bool | None = None,
        type: Any = ...,
    ) -> Any: ...

    async def request(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        files: Mapping[str, FileSource] | None = None,
        cost: int | None = None,
        idempotent: bool | None = None,
        type: Any = Any,  # noqa: A002 - the name in the contract
    ) -> Any:
        """Reach an endpoint that this version does not know, under the same limiter, retries and errors.

        Args:
            method: The HTTP method.
            path: The path below the API's root, such as `/meetings`; no host, no `..`, no query.
            operation: The name for hooks, errors and learned prices; default: method and path.
            params: Query values: strings, numbers, booleans, datetimes, lists of strings (one comma list); `None` is
                left out.
            json: The JSON body: a dictionary in wire spelling, or a Struct.
            files: Files of a multipart body by field name: bytes, a path or a binary file.
            cost: Points it costs until its price is known; default 1 for a GET, 2 for a DELETE, else 3.
            idempotent: Whether it may be sent again although the first may have been acted on; default: not for POST
                and PATCH.
            type: What the answer is decoded to; by default as JSON has it, an empty body as `None`.

        Raises:
            ValueError: The method, the path or a value can not be used.
            TypeError: A value has a type that can not be sent.
        """
        json, params = silent(json), silent(params)
        verb = method.upper()
        if verb not in _METHODS:
            raise ValueError(f"method={method!r}: pass one of {', '.join(sorted(_METHODS))}")
        if json is not None and files:
            raise ValueError("pass either json= or files=, not both")
        checked = relative_path(path)
        points = None if cost is None else arguments.whole("cost", cost, 1, 1_000_000)
        name = operation or f"{verb} {checked}"
        called: Operation[Any] = Operation(name, verb, _ANY_PATH, decoder(type), cost=points, idempotent=idempotent)
        body = None if json is None else encode(json)
        query = arguments.query(params)
        parts = await file_parts(files or {})
        return await self._sender.send(Request(called, checked, tuple(query), body, tuple(parts)))
