"""Where the bytes of a download go, and under what name.

A `Sink` takes a file's bytes in order: `PartFile` in a file, `ObjectSink` in an object of the caller's.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import inspect
import io
import os
import re
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeAlias, TypeVar

import anyio

from ..errors import APIConnectionError
from .verdict import Version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import CoroutineType

T = TypeVar("T")
P = ParamSpec("P")

_CONTROL: Final = (
    "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ud800-\\udfff\\ufeff"
)
"""What a terminal or a file manager would obey: control characters, and what turns the direction of text about."""

_REFUSED: Final = re.compile(f"[{_CONTROL}]" if os.name == "posix" else f'[{_CONTROL}<>:"|?*]')
_EDGES: Final = re.compile(r"^[\s.-]+|[\s.]+$")
"""What hides a file, makes an option of its name, or is dropped by Windows."""

_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[\d¹²³])\s*(?:\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever their ending is."""

OF_A_PART: Final = re.compile(r"\.part(\.json)?$", re.IGNORECASE)
"""How the part of a download and the note beside it end, which no downloaded file may be taken for."""

_LONGEST: Final = 200
"""Bytes of a file's name; most file systems take 255, and `.part.json` has to fit as well."""


class BinaryWritable(Protocol):
    """Something with a `write(bytes)`: a binary file, or one whose `write` is awaited (anyio, aiofiles)."""

    def write(self, data: Any, /) -> Any:
        """Take bytes, and perhaps return how many were taken."""
        ...


Destination: TypeAlias = str | os.PathLike[str] | BinaryWritable
"""Where a download goes: the path of the file, a directory for it, or a binary file that is open for writing."""


def path_of(destination: Destination) -> str | os.PathLike[str] | None:
    """The path that a destination is, or `None` for an object to write to.

    Raises:
        TypeError: It is neither, or a file opened as text.
    """
    if isinstance(destination, str | os.PathLike):
        return destination
    if isinstance(destination, io.TextIOBase):
        raise TypeError("destination is a file opened as text: open it with mode 'wb'")
    if not callable(getattr(destination, "write", None)):
        msg = f"destination must be a path or a binary file that is open for writing, not {type(destination).__name__}"
        raise TypeError(msg)
    return None


def file_name(given: str | None, fallback: str) -> str:
    """A name for a file in the caller's directory: no path, not hidden, nothing that a system refuses or obeys.

    Args:
        given: The name in the API's answer, such as `demo-2025-11-11T19:04:23Z.mp4`; nothing in it is trusted.
        fallback: The name if nothing is left of that; the id.
    """
    for name in (given or "", fallback):
        last = re.split(r"[/\\]", name)[-1]
        if safe := _EDGES.sub("", _REFUSED.sub("_", last)):
            safe = _EDGES.sub("", _shortened(f"_{safe}" if _DEVICE.match(safe) else safe))
            return OF_A_PART.sub(r"_part\1", safe)
    return "download"


def _shortened(name: str) -> str:
    """A name that is not too long, with its ending."""
    if len(name.encode()) <= _LONGEST:
        return name
    stem, dot, ending = name.rpartition(".")
    tail = f"{dot}{ending}" if dot and len(ending.encode()) < _LONGEST // 4 else ""
    kept = (stem if tail else name).encode()[: _LONGEST - len(tail.encode())]
    return kept.decode(errors="ignore") + tail


async def in_thread(work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """`work(…)` in a thread. A cancel takes effect when the work is done.

    `anyio.to_thread` holds that for its own cancel scopes only: after a plain `task.cancel()` the thread would write to
    a descriptor that is closed by then, or that is another file's already.
    """
    future = asyncio.get_running_loop().run_in_executor(None, lambda: work(*args, **options))
    cancelled = None
    with anyio.CancelScope(shield=True):  # or anyio would cancel again and again
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            _ = future.cancelled() or future.exception()  # retrieved, so that asyncio does not complain of it
            raise cancelled
    return future.result()


def runs_in_thread(work: Callable[P, T]) -> Callable[P, CoroutineType[Any, Any, T]]:
    """Have a blocking method run in a thread, as `in_thread` does it."""

    @functools.wraps(work)
    async def run(*args: P.args, **options: P.kwargs) -> T:
        return await in_thread(work, *args, **options)

    return run  # type: ignore[return-value]  # an async function gives one, which mypy does not know


class Sink:
    """Takes a file's bytes in order. `position` says how many are there, and `version` of which version of the file."""

    path: Path | None = None
    position: int = 0
    version: Version = Version()

    async def open(self) -> None:
        """Make ready; `position` may be above 0 then."""

    async def begin(self, version: Version) -> None:
        """Drop what is there; bytes of `version` follow."""

    async def note(self, version: Version) -> None:
        """More bytes of `version` follow."""
        self.version = version

    async def write(self, content: bytes) -> None:
        """Take bytes."""

    async def finish(self) -> None:
        """All bytes are there."""

    def discard(self) -> None:
        """Nothing will ever complete what is there: remove it when closed."""

    def close(self) -> None:
        """Let go, complete or not."""


class ObjectSink(Sink):
    """An object of the caller's. What it was given cannot be taken back, and it is neither flushed nor closed."""

    def __init__(self, target: BinaryWritable, operation: str) -> None:
        self._target = target
        self._operation = operation

    async def begin(self, version: Version) -> None:
        """Accept the version. It raises if bytes of another version, or of one that may be another, are there."""
        if self.position:
            msg = (
                f"{self._operation}: the transfer broke off after {self.position} bytes and cannot be gone on with: "
                "the file changed, or the storage does not tell; download to a path, which can begin anew"
            )
            raise APIConnectionError(msg, operation=self._operation)
        self.version = version

    async def write(self, content: bytes) -> None:
        """Hand the bytes over: in a thread, or awaited if `write` returns an awaitable."""
        while content:
            taken: object = await in_thread(self._target.write, content)
            if inspect.isawaitable(taken):
                taken = await taken
            count = taken if isinstance(taken, int) else len(content)  # an unbuffered file may take less than all
            if count <= 0:
                raise OSError(errno.EIO, "the destination takes no more bytes")
            self.position: int = self.position + count
            content = content[count:]
