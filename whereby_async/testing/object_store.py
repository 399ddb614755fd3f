"""The files behind access links: their bytes, the signed links, and byte ranges. Pure.

A link is signed as S3 signs them: key id, signature and expiry in the query, and no other authentication beside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Protocol
from urllib.parse import parse_qsl, quote

_KEY_ID = "AKIAFAKEFAKEFAKE0001"
_SECRET = b"fake-storage-secret"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_BLOCK = 64


class Blob(Protocol):
    """A file's bytes."""

    @property
    def size(self) -> int:
        """How many bytes there are."""
        ...

    @property
    def etag(self) -> str:
        """The entity tag, quoted."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`."""
        ...


class BytesBlob:
    """A file that is kept in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size: int = len(content)

    @property
    def etag(self) -> str:
        """The entity tag, quoted."""
        return f'"{hashlib.md5(self._content, usedforsecurity=False).hexdigest()}"'

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`."""
        return self._content[start:stop]


class PatternBlob:
    """A file of any size that is made up as it is read: blocks of 64 bytes, each with its own number."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.etag: str = f'"{hashlib.md5(str(size).encode(), usedforsecurity=False).hexdigest()}"'

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`."""
        stop = min(stop, self.size)
        first = start // _BLOCK
        blocks = b"".join(b"%063d\n" % number for number in range(first, -(-stop // _BLOCK)))
        return blocks[start - first * _BLOCK : stop - first * _BLOCK]


def _sign(path: str, expires: int) -> str:
    """The signature of a link; some of its characters must be percent-encoded in a query."""
    digest = hmac.new(_SECRET, f"GET\n{expires}\n{path}".encode(), hashlib.sha256).digest()
    return "v/1+" + base64.b64encode(digest).decode()


def signed_query(path: str, expires: int) -> str:
    """The query of a link to `path` that is good until `expires` (seconds since 1970)."""
    return f"AWSAccessKeyId={_KEY_ID}&Signature={quote(_sign(path, expires), safe='')}&Expires={expires}"


def link_problem(path: str, query: str, now: float) -> str | None:
    """Why a link is not good: S3's message, or `None` if it is."""
    given = dict(parse_qsl(query))
    expires = given.get("Expires", "")
    if given.get("AWSAccessKeyId") != _KEY_ID or not expires.isdigit():
        return "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
    if not hmac.compare_digest(given.get("Signature", "").encode(), _sign(path, int(expires)).encode()):
        return "The request signature we calculated does not match the signature you provided"
    return "Request has expired" if now >= int(expires) else None


def byte_range(header: str | None, size: int) -> range | None:
    """The bytes that a `Range` header asks for, none if they lie beyond the end; `None`: the whole file.

    The whole file is served without a header, and with one that is malformed or asks for several ranges.
    """
    asked = _RANGE.fullmatch(header.strip()) if header else None
    if asked is None or asked.groups() == ("", ""):
        return None
    first, last = asked.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)
