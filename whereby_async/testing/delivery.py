"""How an answer goes out: whole, or as a fault has it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping  # noqa: TC003 - msgspec resolves annotations at run time

import msgspec
from aiohttp import web

from .faults import Fault
from .storage import Blob, BytesBlob

_CHUNK = 1 << 18
ABRUPTLY = struct.pack("ii", 1, 0)
"""The value of `SO_LINGER` with which closing a socket is a reset."""
_REDIRECT = 302
NO_FAULT = Fault()
"""The fault that changes nothing."""


class Reply(msgspec.Struct, kw_only=True):
    """What goes out.

    Attributes:
        status: The status.
        headers: All headers but `Content-Length`.
        blob: The body, or the file that it is a part of.
        start: Where in `blob` the body starts.
        stop: Where it ends.
    """

    status: int
    headers: dict[str, str]
    blob: Blob
    start: int = 0
    stop: int

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        """A reply with the whole of `body`."""
        return cls(status=status, headers=dict(headers), blob=BytesBlob(body), stop=len(body))

    @classmethod
    def of_json(cls, status: int, headers: Mapping[str, str], content: object) -> Reply:
        """A reply with `content` as JSON; `None` is no body."""
        if content is None:
            return cls.of(status, headers, b"")
        return cls.of(
            status, {**headers, "Content-Type": "application/json; charset=utf-8"}, msgspec.json.encode(content)
        )


def altered(reply: Reply, fault: Fault) -> Reply:
    """The reply as the fault replaces it and its headers."""
    if fault.redirect is not None:
        status = fault.status or _REDIRECT
        reply = Reply.of(status, {**_without_type(reply.headers), "Location": fault.redirect}, fault.body or b"")
    elif fault.body is not None:
        reply = Reply.of(fault.status or 200, {**reply.headers, "Content-Type": "application/json"}, fault.body)
    elif fault.status is not None:
        reply = Reply.of_json(fault.status, reply.headers, {"error": f"Scripted fault: status {fault.status}"})
    if fault.garbage_headers is not None:
        kept = {
            k: v for k, v in reply.headers.items() if not k.startswith(("X-RateLimit-", "RateLimit", "Retry-After"))
        }
        reply.headers = {**kept, **fault.garbage_headers}
    if fault.content_type is not None:
        reply.headers["Content-Type"] = fault.content_type
    reply.headers.update(fault.headers)
    return reply


async def deliver(request: web.BaseRequest, reply: Reply, fault: Fault) -> web.StreamResponse:
    """Send the reply, or as much of it as the fault lets through."""
    if fault.drop is not None:
        reset(request)
        return web.Response()
    if fault.raw is not None:
        hang_up(request, fault.raw)
        return web.Response()
    whole = fault.truncate is None and not fault.drip and not fault.endless
    if whole and reply.stop - reply.start <= _CHUNK:
        return web.Response(status=reply.status, headers=reply.headers, body=reply.blob.read(reply.start, reply.stop))
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    if not fault.endless:
        response.content_length = reply.stop - reply.start
    await response.prepare(request)
    while request.method != "HEAD":
        await _write(response, reply, fault)
        if not fault.endless:
            break
    if fault.truncate is not None:
        hang_up(request)
    return response


async def _write(response: web.StreamResponse, reply: Reply, fault: Fault) -> None:
    stop = reply.stop if fault.truncate is None else min(reply.stop, reply.start + fault.truncate)
    step = 1 if fault.drip else _CHUNK
    for start in range(reply.start, stop, step):
        await response.write(reply.blob.read(start, min(start + step, stop)))
        if fault.drip:
            await asyncio.sleep(fault.drip)


def hang_up(request: web.BaseRequest, last: bytes = b"") -> None:
    """Close the request's connection in order, after some last bytes."""
    transport = request.transport
    if transport is None:
        return
    transport.write(last)
    transport.close()


def reset(request: web.BaseRequest) -> None:
    """Close the request's connection so that the peer sees a reset."""
    transport = request.transport
    if transport is None:
        return
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
    transport.abort()


def _without_type(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "Content-Type"}
