"""One attempt on the wire (`Exchange`) and what came back (`Answer`). Both keep their bodies and keys out of every repr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..redaction import SilentBytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import CIMultiDict

    from ..operation import Request


SUCCESS: Final = range(200, 300)
"""The statuses whose body is a result."""


class Exchange:
    """One attempt: everything that goes out, and how far it got.

    Attributes:
        request: What is asked.
        url: The whole URL, encoded; it is not quoted again.
        headers: Headers, the bearer among them as a `Secret`.
        timeout: Seconds from the connection slot to the last byte.
        priority: The lane at the gate, 0 first.
        late: Its time was over before it was done.
        left: The request may have reached the server: set when a connection is at hand and sending starts.
        heard: Status and headers of the answer, once they are there; its body may be still to come, or never come whole.
        wire: The headers as they go on the wire.
    """

    __slots__ = ("headers", "heard", "late", "left", "priority", "request", "timeout", "url", "wire")

    def __init__(
        self, request: Request[Any], base_url: str, headers: Mapping[str, str], timeout: float, priority: int
    ) -> None:
        self.request: Request[Any] = request
        self.url: str = base_url + request.target
        self.headers: Mapping[str, str] = headers
        self.timeout: float = timeout
        self.priority: int = priority
        self.late: bool = False
        self.left: bool = False
        self.heard: tuple[int, Mapping[str, str]] | None = None
        self.wire: CIMultiDict[str] | None = None

    def __repr__(self) -> str:
        return f"<exchange {self.request.operation.name}>"


class Answer:
    """A raw answer, as the server sent it.

    Attributes:
        status: The HTTP status.
        headers: The headers; look-up ignores case.
        body: The body, content encoding undone.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status: int = status
        self.headers: Mapping[str, str] = headers
        self.body: SilentBytes = body if isinstance(body, SilentBytes) else SilentBytes(body)

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, body={self.body!r})"
