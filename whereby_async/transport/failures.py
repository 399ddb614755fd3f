"""What went wrong on the wire, as one of our errors. Nothing of aiohttp's is kept: its texts repeat URLs and headers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import aiohttp

from ..errors import APIConnectionError, APITimeoutError, ClientClosedError, WherebyError

if TYPE_CHECKING:
    from .exchange import Exchange

FAILURES: Final = (
    aiohttp.ClientError,
    aiohttp.http.HttpProcessingError,
    TimeoutError,
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
)
"""Everything that aiohttp, a socket or TLS raise when an exchange fails; uvloop tells a closed transport as RuntimeError."""

_WORDS: Final = {
    "ServerDisconnectedError": "the server closed the connection without an answer",
    "ClientPayloadError": "the answer broke off or its encoding is wrong",
    "ClientResponseError": "the answer is no valid HTTP",
    "ClientConnectionResetError": "the connection was reset",
    "ClientHttpProxyError": "the proxy refused",
    "ClientOSError": "the connection broke while the request was sent",
}


def failure_of(error: Exception, exchange: Exchange, *, closed: bool) -> WherebyError:
    """Our error for one of aiohttp's or the system's.

    Args:
        error: One of `FAILURES`.
        exchange: The attempt; `left` is corrected if the connection was surely never made.
        closed: The pool was closed meanwhile.
    """
    name = exchange.request.operation.name
    if isinstance(error, aiohttp.ClientConnectorError):
        exchange.left = False
    left = exchange.left
    if closed and not left:
        return ClientClosedError(f"{name}: the client was closed before the call was sent")
    known = "the server may have acted on it" if left else "nothing was sent"
    if isinstance(error, TimeoutError):
        msg = f"{name}: no answer within timeout={exchange.timeout:g} s ({known})"
        return APITimeoutError(msg, operation=name, may_have_happened=left)
    msg = f"{name}: connection failed ({told(error)}; {known})"
    return APIConnectionError(msg, operation=name, may_have_happened=left)


def told(error: Exception) -> str:
    """What kind of error it is, and its reason for a person: never its own text, which may repeat a URL or a header."""
    words = _words(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _words(error: Exception) -> str:
    """The reason for a person: the system's or TLS's own words, else ours for aiohttp's kinds of error."""
    cause = _cause(error)
    if isinstance(cause, aiohttp.ClientError):
        number = cause.errno if isinstance(cause, OSError) else None
        return os.strerror(number) if number else _WORDS.get(type(cause).__name__, "")
    return (cause.strerror or "") if isinstance(cause, OSError) else ""


def _cause(error: Exception) -> Exception:
    """The system's or TLS's own error, if aiohttp wraps one."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):  # whose `os_error` raises in some versions
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
