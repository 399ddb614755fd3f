"""Where the bytes go: to a file in the making, or to an object of the caller's that can be written to."""

from __future__ import annotations

import errno
import functools
import inspect
import io
import os
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ..errors import APIConnectionError
from .threads import in_thread
from .verdict import Version

if TYPE_CHECKING:
    from pathlib import Path

    from .part import PartFile


class BinaryWritable(Protocol):
    """Something with a `write(bytes)`: a file opened in binary mode, or one whose `write` is awaited (anyio, aiofiles)."""

    def write(self, data: Any, /) -> Any:
        """Take bytes; may tell how many were taken."""
        ...


Destination: TypeAlias = str | os.PathLike[str] | BinaryWritable
"""Where a download goes: the path of the file, a directory for it, or a binary file that is open for writing."""


def path_of(destination: Destination) -> str | os.PathLike[str] | None:
    """The path that it is, or `None` for something to write to.

    Raises:
        TypeError: It is neither, or a file opened as text.
    """
    if isinstance(destination, str | os.PathLike):
        return destination
    if isinstance(destination, io.TextIOBase):
        msg = "destination is a file opened as text: open it with mode 'wb'"
        raise TypeError(msg)
    if not callable(getattr(destination, "write", None)):
        msg = f"destination must be a path or a binary file that is open for writing, not {type(destination).__name__}"
        raise TypeError(msg)
    return None


class Sink(Protocol):
    """Takes a file's bytes in order."""

    @property
    def path(self) -> Path | None:
        """The file's path, if it is one."""
        ...

    @property
    def position(self) -> int:
        """Bytes that are there."""
        ...

    @property
    def version(self) -> Version:
        """The version of the file that they are of."""
        ...

    async def open(self) -> None:
        """Make ready; `position` may be beyond 0 then."""
        ...

    async def begin(self, version: Version) -> None:
        """Be empty; `version` comes now."""
        ...

    async def note(self, version: Version) -> None:
        """More of `version` comes now."""
        ...

    async def write(self, content: bytes) -> None:
        """Take bytes."""
        ...

    async def finish(self) -> None:
        """All bytes are there."""
        ...

    def discard(self) -> None:
        """What is there is of no use any more."""
        ...

    def close(self) -> None:
        """Let go, complete or not."""
        ...


class FileSink:
    """A file in the making; see `PartFile`."""

    def __init__(self, part: PartFile) -> None:
        self._part = part

    @property
    def path(self) -> Path:
        """Where the file will be."""
        return self._part.path

    @property
    def position(self) -> int:
        """Bytes of the part."""
        return self._part.position

    @property
    def version(self) -> Version:
        """What it is a part of."""
        return self._part.version

    async def open(self) -> None:
        """Take the part, from an earlier run perhaps."""
        await in_thread(self._part.open)

    async def begin(self, version: Version) -> None:
        """Empty the part."""
        await in_thread(lambda: self._part.begin(version))

    async def note(self, version: Version) -> None:
        """Remember what it is a part of."""
        await in_thread(lambda: self._part.note(version))

    async def write(self, content: bytes) -> None:
        """Add to the part."""
        await in_thread(lambda: self._part.write(content))

    async def finish(self) -> None:
        """Put the file in its place."""
        await in_thread(self._part.finish)

    def discard(self) -> None:
        """Remove the part in the end."""
        self._part.discard()

    def close(self) -> None:
        """Close the part; it stays, to be gone on with."""
        self._part.close()


class ObjectSink:
    """An object of the caller's. What it was given cannot be taken back, and it is neither flushed nor closed."""

    path: None = None

    def __init__(self, target: BinaryWritable, operation: str) -> None:
        self._target = target
        self._operation = operation
        self.position: int = 0
        self.version: Version = Version()

    async def open(self) -> None:
        """Nothing to do: it is open."""

    async def begin(self, version: Version) -> None:
        """Nothing may be there yet.

        Raises:
            APIConnectionError: Something is: of another version, or of one that cannot be told from others.
        """
        if self.position:
            msg = (
                f"{self._operation}: the transfer broke off after {self.position} bytes and cannot be gone on with: the file "
                "changed, or the storage does not tell; download to a path, which can begin anew"
            )
            raise APIConnectionError(msg, operation=self._operation)
        self.version = version

    async def note(self, version: Version) -> None:
        """Remember the version."""
        self.version = version

    async def write(self, content: bytes) -> None:
        """Hand the bytes over: in a thread, or awaited if `write` asks for it."""
        while content:
            told: object = await in_thread(functools.partial(self._target.write, content))
            if inspect.isawaitable(told):
                told = await told
            taken = told if isinstance(told, int) else len(content)  # an unbuffered file may take less than it is given
            if taken <= 0:
                raise OSError(errno.EIO, "the destination takes no more bytes")
            self.position += taken
            content = content[taken:]

    async def finish(self) -> None:
        """Nothing to do: the caller closes it."""

    def discard(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do: the caller closes it."""
