"""An answer's body while it comes in: its size is bounded, as it arrives and decoded, and no traceback shows it.

aiohttp's own decompression is not used: how far it bounds a small body that decodes to gigabytes depends on its
version, and it takes a gzip stream that was cut short for a whole one.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final

import aiohttp

from ..redaction import SilentBytes

if TYPE_CHECKING:
    from zlib import _Decompress  # pyright: ignore[reportPrivateUsage] - the type has no public name

_STEP: Final = 256 * 1024
"""Bytes that are decompressed in one go; other tasks run in between."""
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_CODINGS: Final = {"gzip", "x-gzip", "deflate"}


class Body:
    """The body of one answer.

    Attributes:
        whole: It came to its end.
        too_large: It is larger than the limit, as it came or decoded; the rest was not read.
    """

    __slots__ = ("_came", "_inflating", "_limit", "_pieces", "_size", "too_large", "whole")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[SilentBytes] = []
        self._came = 0
        self._size = 0
        self._inflating: _Decompress | None = None
        self.whole: bool = False
        self.too_large: bool = False

    async def read(self, response: aiohttp.ClientResponse) -> None:
        """Read until the end, or until it is too large.

        Raises:
            aiohttp.ClientPayloadError: It breaks off, or its content encoding is wrong.
            TimeoutError: The attempt's time is over.
        """
        if coding := response.headers.get("Content-Encoding"):
            self._inflating = _decompressor(coding.strip().lower())
        content = response.content
        while not self.too_large and (piece := SilentBytes(await content.readany())):
            self._came += len(piece)
            self.too_large = self._came > self._limit
            if self._inflating is None:
                self._keep(piece)
            else:
                await self._inflate(self._inflating, piece)
        self.whole = not self.too_large
        if self.whole and self._came and self._inflating and not self._inflating.eof:
            self.whole = False
            raise aiohttp.ClientPayloadError

    def joined(self) -> SilentBytes:
        """What has come, decoded."""
        return self._pieces[0] if len(self._pieces) == 1 else SilentBytes(b"".join(self._pieces))

    def _keep(self, piece: SilentBytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        self.too_large = self.too_large or self._size > self._limit

    async def _inflate(self, inflating: _Decompress, piece: SilentBytes) -> None:
        more = True
        while more and not self.too_large:
            try:
                decoded = SilentBytes(inflating.decompress(piece, _STEP))
            except zlib.error:
                decoded = None
            if decoded is None or inflating.unused_data:  # nothing may follow the end of a stream
                raise aiohttp.ClientPayloadError
            self._keep(decoded)
            piece = SilentBytes(inflating.unconsumed_tail)
            more = len(decoded) == _STEP
            if more:
                await asyncio.sleep(0)


def _decompressor(coding: str) -> _Decompress | None:
    if coding in _CODINGS:
        return zlib.decompressobj(_GZIP_OR_ZLIB)
    if coding not in {"identity", ""}:
        raise aiohttp.ClientPayloadError
    return None
