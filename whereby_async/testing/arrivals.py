"""A request as it arrived: read from the socket, taken apart, and written into the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from ..redaction import MASK
from .requests import RecordedRequest, UploadedFile
from .uploads import read_form

if TYPE_CHECKING:
    from aiohttp import web


class Exchange:
    """One request and what becomes of it, as the log shows it from its arrival on.

    Args:
        log: The log.
        number: The request's number in it.
        record: What has come.
        latency: Seconds that it takes, both ways together.
    """

    def __init__(self, log: dict[int, RecordedRequest], number: int, record: RecordedRequest, latency: float) -> None:
        self._log = log
        self._number = number
        self.latency: float = latency
        self.record: RecordedRequest = record
        log[number] = record

    def note(self, **changes: Any) -> None:
        """Write down what has become of it."""
        self.record = msgspec.structs.replace(self.record, **changes)
        if self._number in self._log:
            self._log[self._number] = self.record


def target_of(request: web.BaseRequest) -> str:
    """The request target in origin form: path and query, byte for byte."""
    target = request.raw_path
    return target if target.startswith("/") else "/" + target.partition("://")[2].partition("/")[2]


async def record_of(request: web.BaseRequest, operation: str, template: str) -> RecordedRequest:
    """Read the request to its end."""
    body = await request.content.read()
    target = target_of(request)
    path, _, query = target.partition("?")
    form, files = _form_of(request, body)
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


def _form_of(request: web.BaseRequest, body: bytes) -> tuple[dict[str, str], tuple[UploadedFile, ...]]:
    if request.content_type != "multipart/form-data":
        return {}, ()
    return read_form(request.headers["Content-Type"], body)


def _json_of(request: web.BaseRequest, body: bytes) -> Any:
    if request.content_type != "application/json":
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
