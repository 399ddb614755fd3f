"""Requests that reached the fake server: how they are read from the socket, and what tests see of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email import message_from_string
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from ..redaction import MASK, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp import web

_LONGEST_PATH = 160
"""Characters of a path that a list of calls shows."""


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


def as_table(records: Sequence[RecordedRequest], secrets: Iterable[str]) -> str:
    """Requests as lines for people: seconds since the first of them, method, path, status and points.

    Queries, headers and bodies are left out, and so are the secrets and what looks like one.
    """
    lines = ["   time  method  status  points  path"]
    for each in records:
        path = redact(each.path, *secrets)
        path = path if len(path) <= _LONGEST_PATH else path[: _LONGEST_PATH - 1] + "…"
        time, status = each.at - records[0].at, each.status or "none"
        lines.append(f"{time:7.3f}  {each.method:<6}  {status:>6}  {each.points:>6}  {path}")
    return "\n".join(lines)


def target_of(request: web.BaseRequest) -> str:
    """The request target in origin form: path and query, byte for byte."""
    target = request.raw_path
    return target if target.startswith("/") else "/" + target.partition("://")[2].partition("/")[2]


async def read_request(request: web.BaseRequest, operation: str, template: str) -> RecordedRequest:
    """Read a request to its end: what there is to say of it before it is answered."""
    body = await request.content.read()
    target = target_of(request)
    path, _, query = target.partition("?")
    is_form = _media_type(request) == "multipart/form-data"
    form, files = _read_form(request.headers["Content-Type"], body) if is_form else ({}, ())
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "authorization" in headers:
        headers["authorization"] = MASK
    return RecordedRequest(
        method=request.method,
        target=target,
        path=path,
        operation=operation,
        template=template,
        query=tuple(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        body=body,
        json=_json_of(request, body),
        form=form,
        files=files,
        status=0,
        acted=False,
        points=0,
        at=asyncio.get_running_loop().time(),
    )


def _media_type(request: web.BaseRequest) -> str:
    """Without its parameters: aiohttp parses those too, which takes long, as each boundary is a new one."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _json_of(request: web.BaseRequest, body: bytes) -> Any:
    if _media_type(request) != "application/json":
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read_form(content_type: str, body: bytes) -> tuple[dict[str, str], tuple[UploadedFile, ...]]:
    """The fields and the files of a multipart body: a part without a file name is a field, a broken one is left out."""
    whole = Message()
    whole["Content-Type"] = content_type
    boundary = whole.get_boundary()
    if not boundary:
        return {}, ()
    form: dict[str, str] = {}
    files: list[UploadedFile] = []
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:]:
        if part.startswith(b"--"):
            break
        head, found, content = part.partition(b"\r\n\r\n")
        if not found:
            continue
        headers = message_from_string(head.decode("utf-8", "replace").strip())
        field = collapse_rfc2231_value(headers.get_param("name", "", header="content-disposition"))
        filename = headers.get_param("filename", header="content-disposition")
        if filename is None:
            form[field] = content.decode("utf-8", "replace")
            continue
        name, kind = collapse_rfc2231_value(filename), headers.get("content-type", "")
        files.append(UploadedFile(field=field, filename=name, content_type=kind, content=content))
    return form, tuple(files)
