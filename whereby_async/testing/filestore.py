"""The storage behind access links, as S3 answers: signed links only, ranges, errors in XML."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from .delivery import Reply
from .storage import byte_range, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .world import World


def serve_file(world: World, method: str, file_id: str, target: str, headers: Mapping[str, str]) -> Reply:
    """The file, a part of it, or why not.

    Args:
        world: The fake service's world.
        method: The HTTP method; only GET and HEAD are served.
        file_id: The file.
        target: Path and query of the request.
        headers: The request's headers.
    """
    problem = _problem(world, method, file_id, target, headers)
    if problem is not None:
        return problem
    blob = world.files[file_id]
    answered = {"ETag": blob.etag, "Accept-Ranges": "bytes", "Content-Type": world.content_type(file_id)}
    unchanged = headers.get("If-Range") in {None, blob.etag}
    part = byte_range(headers.get("Range") if unchanged else None, blob.size)
    if part is None:
        return Reply(status=HTTPStatus.OK, headers=answered, blob=blob, stop=blob.size)
    if not part:
        reply = _error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange", "The range is not satisfiable")
        reply.headers["Content-Range"] = f"bytes */{blob.size}"
        return reply
    answered["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{blob.size}"
    return Reply(status=HTTPStatus.PARTIAL_CONTENT, headers=answered, blob=blob, start=part.start, stop=part.stop)


def _problem(world: World, method: str, file_id: str, target: str, headers: Mapping[str, str]) -> Reply | None:
    if method not in {"GET", "HEAD"}:
        return _error(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", "The specified method is not allowed")
    if "Authorization" in headers:
        text = "Only one auth mechanism allowed; only the Signature query string parameter or the Authorization header"
        return _error(HTTPStatus.BAD_REQUEST, "InvalidArgument", text)
    path, _, query = target.partition("?")
    reason = refusal(path, query, world.now())
    if reason is not None:
        return _error(HTTPStatus.FORBIDDEN, "AccessDenied", reason)
    if file_id not in world.files:
        return _error(HTTPStatus.NOT_FOUND, "NoSuchKey", "The specified key does not exist")
    return None


def _error(status: int, code: str, message: str) -> Reply:
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return Reply.of(status, {"Content-Type": "application/xml"}, (declaration + body).encode())
