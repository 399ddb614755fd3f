"""An answer's body while it comes in: its size is bounded, as it arrives and decoded, and no traceback shows it.

aiohttp's own decompression is not used: how far it bounds a small body that decodes to gigabytes depends on its
version, and it takes a gzip stream that was cut short for a whole one.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp.hdrs import CONTENT_ENCODING

from ..redaction import SilentBytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from zlib import _Decompress  # pyright: ignore[reportPrivateUsage] - the type has no public name

_STEP: Final = 256 * 1024
"""Bytes that are decompressed in one go; other tasks run in between."""
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_BARE: Final = -zlib.MAX_WBITS
_GZIP_BEGINS: Final = b"\x1f\x8b"
_ZLIB_METHOD: Final = 8
_UNDONE: Final = frozenset({"gzip", "deflate"})
_COMPRESSIONS: Final = _UNDONE | {
    *("aes128gcm", "br", "brotli", "bzip2", "compress", "dcb", "dcz"),
    *("exi", "lz4", "lzma", "pack200-gzip", "snappy", "xz", "zstd"),
}
"""The content encodings that change a body's bytes. Servers name many others, such as charsets, which do not."""


class EncodingError(aiohttp.ClientPayloadError):
    """The body's content encoding can not be undone. The text says why, for a person, and repeats nothing secret.

    Attributes:
        permanent: It will not be better next time, as it may be where the body only ended too early.
    """

    permanent: bool = True


def can_undo(encodings: Sequence[str]) -> bool:
    """Whether all of these compressions can be undone."""
    return _UNDONE.issuperset(encodings)


def compressions(headers: Mapping[str, str]) -> list[str]:
    """The content encodings of an answer that change its bytes, in the order in which they were applied."""
    lines = (value for name, value in headers.items() if name.lower() == "content-encoding")
    named = (each.strip().lower().removeprefix("x-") for each in ",".join(lines).split(","))
    return [each for each in named if each in _COMPRESSIONS]


class Compression:
    """One compression, undone as it comes: any number of gzip's members, and zeros between them, with which some are
    padded. What else is behind a member is ignored, as gzip(1) does.
    """

    __slots__ = ("_behind", "_ended", "_member", "name")

    def __init__(self, name: str) -> None:
        self.name: str = name
        self._member: _Decompress | None = None
        self._behind = SilentBytes()
        self._ended = False

    @property
    def broke_off(self) -> bool:
        """A member was begun and has not come to its end."""
        return self._member is not None

    def undo(self, piece: SilentBytes) -> Iterator[SilentBytes]:
        """What a piece decodes to, at most `_STEP` bytes at a time."""
        more = True
        while piece or more:
            if self._member is None:
                if self._ended:
                    piece = SilentBytes((self._behind + piece).lstrip(b"\0"))
                    self._behind = SilentBytes(piece[: len(_GZIP_BEGINS)])
                if not piece or (self._ended and self._behind != _GZIP_BEGINS):
                    return
                self._member = self._begin(piece[0])
            member = self._member
            try:
                decoded = SilentBytes(member.decompress(piece, _STEP))
            except zlib.error:
                decoded = None
            if decoded is None:
                msg = f"the answer's content encoding is {self.name!r}, and its body is not"
                raise EncodingError(msg)
            piece = SilentBytes(member.unused_data if member.eof else member.unconsumed_tail)
            if member.eof:
                self._member, self._behind, self._ended = None, SilentBytes(), True
            more = len(decoded) == _STEP
            yield decoded

    def _begin(self, first: int) -> _Decompress:
        if self.name not in _UNDONE:
            msg = f"the answer's content encoding is {self.name!r}, which was not asked for"
            raise EncodingError(msg)
        # Some servers send deflate without the zlib header that belongs to it.
        bare = self.name == "deflate" and first != _GZIP_BEGINS[0] and first & 15 != _ZLIB_METHOD
        return zlib.decompressobj(_BARE if bare else _GZIP_OR_ZLIB)


def stages_of(headers: Mapping[str, str]) -> list[Compression]:
    """The compressions of an answer, in the order in which they are undone."""
    return [Compression(name) for name in reversed(compressions(headers))]


def undone(stages: Sequence[Compression], piece: SilentBytes) -> Iterator[SilentBytes]:
    """What a piece decodes to when all compressions are undone, at most `_STEP` bytes at a time if there are any."""
    if not stages:
        yield piece
        return
    for decoded in stages[0].undo(piece):
        yield from undone(stages[1:], decoded)


def check_end(stages: Sequence[Compression]) -> None:
    """Raise `EncodingError` if a body that has come to its end does not hold the end of each compression."""
    if cut := next((each for each in stages if each.broke_off), None):
        error = EncodingError(f"the answer's content encoding is {cut.name!r}, and its body broke off")
        error.permanent = False
        raise error


class Body:
    """The body of one answer.

    Attributes:
        whole: It came to its end.
        too_large: It is larger than the limit, as it came or decoded; the rest was not read.
    """

    __slots__ = ("_compressions", "_limit", "_pieces", "_sizes", "too_large", "whole")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[SilentBytes] = []
        self._compressions: list[Compression] = []
        self._sizes: list[int] = []
        self.whole: bool = False
        self.too_large: bool = False

    async def read(self, response: aiohttp.ClientResponse) -> None:
        """Read until the end, or until it is too large.

        Raises:
            EncodingError: Its content encoding is wrong.
            aiohttp.ClientPayloadError: It breaks off.
            TimeoutError: The attempt's time is over.
        """
        if CONTENT_ENCODING in response.headers:
            self._compressions = stages_of(response.headers)
        self._sizes = [0] * (len(self._compressions) + 1)
        content = response.content
        while not self.too_large and (piece := SilentBytes(await content.readany())):
            await self._take(piece, 0)
        if not self.too_large:
            check_end(self._compressions)
        self.whole = not self.too_large

    def joined(self) -> SilentBytes:
        """What has come, decoded."""
        return self._pieces[0] if len(self._pieces) == 1 else SilentBytes(b"".join(self._pieces))

    async def _take(self, piece: SilentBytes, undone: int) -> None:
        """Keep a piece of which so many compressions are undone, when the others are too."""
        self._sizes[undone] += len(piece)
        self.too_large = self.too_large or self._sizes[undone] > self._limit
        if undone == len(self._compressions):
            self._pieces.append(piece)
            return
        if self.too_large:
            return
        for steps, decoded in enumerate(self._compressions[undone].undo(piece)):
            await self._take(decoded, undone + 1)
            if self.too_large:
                return
            if steps or len(decoded) == _STEP:
                await asyncio.sleep(0)
