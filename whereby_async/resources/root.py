"""`ApiRoot`: all of the API as a client offers it: six resources, and `request` for what they do not have."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_type_hints, overload

from ..models.decoding import decoder
from ..models.encoding import encode
from ..operation import Operation, Request, relative_path
from ..redaction import silent
from . import arguments
from .files import file_parts
from .insights import Insights
from .meetings import Meetings
from .recordings import Recordings
from .rooms import Rooms
from .summaries import Summaries
from .transcriptions import Transcriptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..polling import Watches
    from ..sender import ClientSender
    from .files import FileSource

T = TypeVar("T")

_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_ANY_PATH: Final = "{path}"
"""The template of paths that the caller writes."""

if TYPE_CHECKING:
    resource = functools.cached_property
else:

    class resource(functools.cached_property):  # noqa: N801 - a decorator
        """A resource of a client, made when it is first used.

        Of the client's class it is the resource's class, so that `unittest.mock.create_autospec` finds its methods.
        """

        def __get__(self, client: object, owner: object = None) -> Any:
            return get_type_hints(self.func)["return"] if client is None else super().__get__(client, owner)


class ApiRoot:
    """The six resources over one sender, and `request`: the base of `WherebyClient`, which adds options and
    lifecycle.
    """

    _sender: ClientSender
    _watches: Watches

    @resource
    def meetings(self) -> Meetings:
        """Make, read, list and delete meetings."""
        return Meetings(self._sender)

    @resource
    def recordings(self) -> Recordings:
        """Read, list, delete and link to recordings."""
        return Recordings(self._sender)

    @resource
    def transcriptions(self) -> Transcriptions:
        """Start, read, list, delete and link to transcriptions."""
        return Transcriptions(self._sender, self._watches)

    @resource
    def summaries(self) -> Summaries:
        """Start, read, list and delete summaries."""
        return Summaries(self._sender, self._watches)

    @resource
    def rooms(self) -> Rooms:
        """Set and reset the themes of rooms."""
        return Rooms(self._sender)

    @resource
    def insights(self) -> Insights:
        """Read insights into rooms, sessions and participants."""
        return Insights(self._sender)

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
