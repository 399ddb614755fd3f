"""What a download tells: `Progress` while it runs, `Download` when it is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path  # noqa: TC003 - msgspec resolves annotations at run time
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    import asyncio

_EVERY: Final = 0.1
"""Seconds from one report to the next, at least."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a download is.

    Attributes:
        received: Bytes of the file that have arrived, those of earlier runs among them. It falls to 0 if the file changed on
            the server and the download began again.
        total: Bytes that the file has; `None` until the storage said so.
        resumed: Bytes of `received` that were there before this call.
        breaks: How often the transfer broke off or stalled in this call.
        elapsed: Seconds since this call began.
    """

    received: int
    total: int | None
    resumed: int
    breaks: int
    elapsed: float


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """A download that is complete.

    Attributes:
        path: The file, absolute; `None` if it was written to an object of the caller's.
        size: Bytes that the file has.
        resumed: Bytes of them that an earlier, broken call had left.
        breaks: How often the transfer broke off or stalled in this call.
        links: Access links that were asked for: 1, and 1 more for each that expired. Each cost a point.
        elapsed: Seconds that this call took.
    """

    path: Path | None
    size: int
    resumed: int
    breaks: int
    links: int
    elapsed: float


OnProgress: TypeAlias = Callable[[Progress], object]
"""A plain function that is told how far a download is, about ten times a second at most. What it raises ends the download."""


class Teller:
    """Tells the caller how far it is, and not too often."""

    def __init__(self, on_progress: OnProgress | None, loop: asyncio.AbstractEventLoop) -> None:
        self._on_progress = on_progress
        self._clock = loop.time
        self._began_at = loop.time()
        self._next_at = self._began_at
        self._told: tuple[int, int | None] | None = None
        self.resumed: int = 0
        self.breaks: int = 0
        self.links: int = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the download began."""
        return self._clock() - self._began_at

    def tell(self, received: int, total: int | None, *, now: bool = False) -> None:
        """Tell it if it is time, or anyway if it is to be `now`; the same is not told twice."""
        at = self._clock()
        if self._on_progress is None or (at < self._next_at and not now) or self._told == (received, total):
            return
        self._told = (received, total)
        self._next_at = at + _EVERY
        self._on_progress(
            Progress(
                received=received,
                total=total,
                resumed=self.resumed,
                breaks=self.breaks,
                elapsed=at - self._began_at,
            )
        )

    def done(self, path: Path | None, size: int) -> Download:
        """The result; told to the caller as well."""
        self.tell(size, size, now=True)
        return Download(
            path=path, size=size, resumed=self.resumed, breaks=self.breaks, links=self.links, elapsed=self.elapsed
        )
