"""Single attempts, as the transport's tests send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whereby_async.operation import FilePart, Operation
from whereby_async.redaction import Secret, SilentBytes
from whereby_async.transport import Exchange, Reachability

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def headers_of(key: str) -> Mapping[str, str]:
    """A new mapping, as each client has one."""
    return {"Authorization": Secret(f"Bearer {key}"), "Accept": "application/json", "Accept-Encoding": "gzip"}


def attempt(
    base_url: str,
    method: str = "GET",
    *,
    headers: Mapping[str, str] | None = None,
    json: bytes | None = None,
    files: Iterable[FilePart] = (),
    form: Iterable[tuple[str, str]] = (),
    timeout: float = 10.0,
) -> Exchange:
    """One attempt of a call of `/things`."""
    operation: Operation[Any] = Operation("things.call", method, "/things", lambda body: body)
    body = None if json is None else SilentBytes(json)
    request = operation.bind(json=body, files=files, form=form)
    return Exchange(request, base_url, headers or headers_of("planted-key"), timeout, 1, Reachability(base_url))


def fields(request: bytes) -> list[tuple[str, str]]:
    """Names, lower case, and values of the header fields of a request, in their order."""
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    pairs = (line.split(": ", 1) for line in lines)
    return [(name.lower(), value) for name, value in pairs]
