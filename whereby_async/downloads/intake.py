"""Pieces as they come off the wire, gathered into chunks that are worth a turn in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..redaction import SilentBytes

if TYPE_CHECKING:
    import asyncio

    from .sinks import Sink

_CHUNK: Final = 1024 * 1024
"""Bytes that are written in one go. A download holds about this much, and what the transport buffers."""
_LONGEST: Final = 0.25
"""Seconds that bytes are held, so that on a slow line too the part and the progress keep up."""


class Intake:
    """Hands the bytes of one answer to a sink.

    Args:
        sink: Where they go.
        skip: The first so many are there already.
        loop: The loop that it runs in.
    """

    __slots__ = ("_clock", "_flush_at", "_held", "_pieces", "_sink", "_skip")

    def __init__(self, sink: Sink, skip: int, loop: asyncio.AbstractEventLoop) -> None:
        self._sink = sink
        self._skip = skip
        self._clock = loop.time
        self._flush_at = loop.time() + _LONGEST
        self._pieces: list[bytes] = []
        self._held = 0

    async def add(self, piece: bytes) -> bool:
        """Take a piece; whether bytes were written."""
        skipped = min(self._skip, len(piece))
        self._skip -= skipped
        if skipped:
            piece = SilentBytes(piece[skipped:])
        self._pieces.append(piece)
        self._held += len(piece)
        return (self._held >= _CHUNK or self._clock() >= self._flush_at) and await self.flush()

    async def flush(self) -> bool:
        """Write what is held; whether there was anything."""
        if not self._held:
            return False
        chunk = SilentBytes(b"".join(self._pieces))
        self._pieces, self._held = [], 0
        await self._sink.write(chunk)
        self._flush_at = self._clock() + _LONGEST
        return True
