"""One attempt on the wire (`Exchange`), the server's answer (`Answer`), and what an attempt that failed is raised as.

Neither shows a body or a key in its repr. Nothing of aiohttp's is kept in an error: its texts repeat URLs and headers.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from multidict import CIMultiDict

from ..errors import APIConnectionError, APITimeoutError, ClientClosedError, WherebyError
from ..operation import Request
from ..redaction import SilentBytes
from .body import EncodingError
from .reachability import LONGEST_PROBE, Reachability

LONGEST_HEAD_LINE: Final = 64 * 1024
"""Bytes that a line of an answer's head may have."""
MOST_HEADERS: Final = 128
SUCCESS: Final = range(200, 300)
"""The statuses whose body is a result."""
_REFUSALS: Final = frozenset({*range(400, 500), 501, 505}) - {408, 425, 429}
"""The statuses by which a proxy refuses for good."""
_CERTIFICATE_ALERTS: Final = re.compile("ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")
"""What TLS calls the alerts by which a server refuses a client for its certificate."""

FAILURES: Final = (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError, RuntimeError, ValueError, EOFError)
"""All that aiohttp, a socket or TLS raise when an attempt fails. `TimeoutError` is an `OSError`, and uvloop reports a
closed transport as `RuntimeError`.
"""

CONNECTING: Final = (
    *(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError),
    *(aiohttp.ClientHttpProxyError, aiohttp.ServerFingerprintMismatch),
)
"""Those of `FAILURES` that always come before there is a connection."""
_UNREACHABLE: Final = (OSError, aiohttp.ClientConnectionError, aiohttp.ClientHttpProxyError)

_ASYNCIOS: Final = "Connect call failed"
"""What asyncio says, and Python's tuple of the address, in place of the system's words."""

_REASONS: Final = {
    "ServerDisconnectedError": "the server closed the connection without an answer",
    "ClientPayloadError": "the answer broke off, or its body is no valid HTTP",
    "ClientResponseError": "the answer is no valid HTTP",
    "ClientConnectionResetError": "the connection was reset",
    "ClientOSError": "the connection broke while the request was sent",
}


class Exchange:
    """One attempt: everything that goes out, and how far it got.

    Attributes:
        url: The whole URL, encoded; it is not quoted again.
        headers: Headers, the bearer among them as a `Secret`.
        timeout: Seconds from the connection slot to the last byte.
        priority: Who gets a connection slot first, 0 before all others.
        late: Its time was over before it was done.
        left: The request may have reached the server: set when it has a connection, before sending starts.
        fresh: That connection was made for it.
        heard: Status and headers of the answer, once they are there, even if its body never comes whole.
        reachability: What is known of the origin that it goes to.
        patience: Seconds that its call may still wait for the origin; 0: it is sent whether or not that can be reached.
        epoch: The epoch of `reachability` when it began.
        refused: Why no connection could be made, if that is why it failed, and trying again may be of use; empty if
            none was tried because the origin can not be reached.
        wire: The headers as they go on the wire.
    """

    __slots__ = (
        *("epoch", "fresh", "headers", "heard", "late", "left", "patience"),
        *("priority", "reachability", "refused", "request", "timeout", "url", "wire"),
    )

    def __init__(  # noqa: PLR0913, PLR0917 - what an attempt is made of; keywords would cost time
        self,
        request: Request[Any],
        base_url: str,
        headers: Mapping[str, str],
        timeout: float,
        priority: int,
        reachability: Reachability,
        patience: float = 0.0,
    ) -> None:
        self.request: Request[Any] = request
        self.url: str = base_url + request.target
        self.headers: Mapping[str, str] = headers
        self.timeout: float = timeout
        self.priority: int = priority
        self.late: bool = False
        self.left: bool = False
        self.fresh: bool = False
        self.heard: tuple[int, Mapping[str, str]] | None = None
        self.reachability: Reachability = reachability
        self.patience: float = patience
        self.epoch: int = 0
        self.refused: str | None = None
        self.wire: CIMultiDict[str] | None = None

    def __repr__(self) -> str:
        return f"<exchange {self.request.operation.name}>"

    def failure(self, error: Exception, *, closed: bool) -> WherebyError:
        """Our error for one that is not; `left` is corrected if the connection was surely never made."""
        name, way = self.request.operation.name, self.reachability.way
        if isinstance(error, WherebyError):
            return error
        if isinstance(error, CONNECTING):
            self.left = False
        if closed and not self.left:
            return ClientClosedError(f"{name}: the client was closed before the call was sent")
        acted = "the server may have acted on it" if self.request.operation.method != "GET" else "it was sent"
        known = acted if self.left else "nothing was sent"
        permanent = is_permanent(error)
        if not (self.left or permanent):
            late = isinstance(error, aiohttp.ConnectionTimeoutError)
            self.refused = why_unreachable(error, LONGEST_PROBE if late else self.timeout)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            msg = f"{name}: no connection{way} within {LONGEST_PROBE:g} s ({known})"
            return APITimeoutError(msg, operation=name, may_have_happened=self.left)
        if isinstance(error, TimeoutError):
            msg = f"{name}: no answer within timeout={self.timeout:g} s ({known})"
            return APITimeoutError(msg, operation=name, may_have_happened=self.left)
        msg = f"{name}: connection failed{way} ({reason_of(error)}; {known})"
        return APIConnectionError(msg, operation=name, may_have_happened=self.left, permanent=permanent)


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


def why_unreachable(error: Exception, seconds: float = LONGEST_PROBE) -> str | None:
    """Why no connection could be made; `None` if what was raised before there was one says something else.

    Args:
        error: The failure.
        seconds: How long it could take, if it took too long.
    """
    if not isinstance(error, _UNREACHABLE) or is_permanent(error):
        return None
    is_late = isinstance(error, TimeoutError) and not error.strerror
    return f"no connection within {seconds:g} s" if is_late else reason_of(error)


def is_permanent(error: Exception) -> bool:
    """Whether a connection was refused for good: by a certificate that does not verify, by TLS, or by a proxy; or an
    answer came in a content encoding that can not be undone.
    """
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return error.status in _REFUSALS
    if isinstance(error, EncodingError):
        return error.permanent
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ServerFingerprintMismatch):
        return True
    if isinstance(error, aiohttp.ClientConnectorError):
        # A server that goes away in the middle of the handshake is no refusal.
        return isinstance(error.os_error, ssl.SSLError) and not isinstance(error.os_error, ssl.SSLEOFError)
    # In TLS 1.3 the handshake is over for the client before the server looks at its certificate.
    cause = error.__cause__
    return isinstance(cause, ssl.SSLError) and bool(_CERTIFICATE_ALERTS.search(cause.reason or ""))


sending: Final[ContextVar[Exchange | None]] = ContextVar("whereby_async_sending", default=None)
"""The attempt of a call that the running task sends; `None` for a download."""


def reason_of(error: Exception) -> str:
    """The kind of error with its reason for a person: the system's or TLS's own words, else ours for aiohttp's kinds.

    The error's own text is never repeated, since it may hold a URL or a header; only one of ours is.
    """
    cause, kind = error, type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):  # its `os_error` raises in some versions
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    elif isinstance(error.__cause__, ssl.SSLError):
        cause = error.__cause__
    reason: str | None = None
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        return f"{kind}: the proxy answered {cause.status}"
    if isinstance(cause, EncodingError):
        reason = str(cause)
    elif not isinstance(cause, aiohttp.ClientError):
        reason = _systems_words(cause) if isinstance(cause, OSError) else None
    elif isinstance(cause, OSError) and cause.errno:
        reason = os.strerror(cause.errno)
    else:
        reason = _limit_passed(cause) or _REASONS.get(type(cause).__name__)
    return f"{kind}: {reason}" if reason else kind


def _systems_words(error: OSError) -> str | None:
    return os.strerror(error.errno) if error.errno and _ASYNCIOS in (error.strerror or "") else error.strerror


def _limit_passed(error: aiohttp.ClientError) -> str | None:
    """Which limit the head of an answer has passed, if that is why it is no valid HTTP to aiohttp."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LineTooLong):
            return f"a line of the answer's head is longer than {LONGEST_HEAD_LINE} bytes"
        cause = cause.__cause__
    if isinstance(error, aiohttp.ClientResponseError) and "Too many headers" in error.message:
        return f"the answer has more than {MOST_HEADERS} headers"
    return None
