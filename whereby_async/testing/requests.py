"""What reached the fake server, kept for tests to look at."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec resolves annotations at run time
from typing import Any

import msgspec


class UploadedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a multipart body.

    Attributes:
        field: The form field's name.
        filename: The file's name, or `""`.
        content_type: Its media type, or `""`.
        content: Its bytes.
    """

    field: str
    filename: str
    content_type: str
    content: bytes

    def __repr__(self) -> str:
        return f"<UploadedFile {self.field}: {len(self.content)} bytes>"


class RecordedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request that reached the server, and what became of it. Its repr shows neither query, headers nor body.

    Attributes:
        method: The HTTP method.
        target: The request target as it came, byte for byte: path and query.
        path: The target's path, still encoded.
        operation: The operation's name, such as `meetings.create`; `storage` for a download; `""` for an unknown route.
        template: The route's path with its parameters, such as `/meetings/{meetingId}`; `""` for an unknown one.
        query: The query's decoded names and values in their order.
        headers: The headers by lower-case name; `authorization` is masked.
        body: The body's bytes.
        json: The decoded body if it is JSON.
        form: The fields of a multipart body that are no files.
        files: The files of a multipart body.
        status: The status of the answer; 0 while there is none, or if the connection was dropped without one.
        acted: The server did what the request asks for.
        points: Points that it was charged.
        remaining: Points left after it, as its answer's headers say; `None` if it was not weighed against the budget.
        at: When it arrived, in seconds on the loop's clock.
    """

    method: str
    target: str
    path: str
    operation: str
    template: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    json: Any
    form: Mapping[str, str]
    files: tuple[UploadedFile, ...]
    status: int
    acted: bool
    points: int
    remaining: int | None = None
    at: float

    def __repr__(self) -> str:
        name = self.operation or "unknown route"
        did = "acted" if self.acted else "did not act"
        return f"<{self.method} {name}: status {self.status}, {did}, {self.points} points, at {self.at:.3f}>"
