"""Pieces as they come off the wire, gathered into chunks that are worth a turn in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..redaction import SilentBytes

if TYPE_CHECKING:
    from .sinks import Sink

_CHUNK: Final = 1024 * 1024
"""Bytes that are written in one go. A download holds about this much, and what the transport buffers."""


class Intake:
    """Hands the bytes of one answer to a sink.

    Args:
        sink: Where they go.
        skip: The first so many are there already.
    """

    __slots__ = ("_held", "_pieces", "_sink", "_skip")

    def __init__(self, sink: Sink, skip: int) -> None:
        self._sink = sink
        self._skip = skip
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
        return self._held >= _CHUNK and await self.flush()

    async def flush(self) -> bool:
        """Write what is held; whether there was anything."""
        if not self._held:
            return False
        chunk = SilentBytes(b"".join(self._pieces))
        self._pieces, self._held = [], 0
        await self._sink.write(chunk)
        return True
