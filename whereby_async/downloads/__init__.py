"""Downloads: a file behind an access link, onto the disk or into an object of the caller's.

`client.recordings.download(…)` and `client.transcriptions.download(…)` come here. What they return is a `Download`; while they run,
`on_progress=` is told of `Progress`.
"""

from __future__ import annotations

import errno
import functools
import inspect
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..redaction import shown
from .names import file_name
from .part import PartFile
from .progress import Download, OnProgress, Progress
from .sinks import BinaryWritable, Destination, FileSink, ObjectSink, path_of
from .threads import in_thread
from .transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..models import AccessLink
    from ..sender import ClientSender
    from .sinks import Sink

__all__ = ["BinaryWritable", "Destination", "Download", "OnProgress", "Progress", "download"]


async def download(  # noqa: PLR0913 - what a download is made of
    caller: ClientSender,
    operation: str,
    file_id: str,
    destination: Destination,
    *,
    fetch_link: Callable[[], Awaitable[AccessLink]],
    fetch_name: Callable[[], Awaitable[str | None]],
    overwrite: bool,
    stall_timeout: float,
    on_progress: OnProgress | None,
) -> Download:
    """Download one file.

    Args:
        caller: The client.
        operation: What errors call it, such as `recordings.download`.
        file_id: The file's id.
        destination: A path, a directory, or an object to write to.
        fetch_link: Asks for an access link; called again when one has expired.
        fetch_name: Asks for the file's name; called if the destination is a directory.
        overwrite: Whether a file that is there may be replaced.
        stall_timeout: Seconds without a byte after which the transfer is broken off and taken up again.
        on_progress: Told how far it is.

    Raises:
        TypeError: The destination is nothing that can be written to, or `on_progress` cannot be called.
        ValueError: `stall_timeout` is not above 0 and finite.
        FileNotFoundError: The destination ends with a slash and is no directory.
    """
    _check(stall_timeout, on_progress)
    path = path_of(destination)
    if path is not None:
        path = await _place(path, file_id, fetch_name)
    storage = await caller.shared.pool.storage(operation, caller.options.call_priority())
    try:
        sink: Sink
        if path is not None:
            source = f"{operation.partition('.')[0]}/{file_id}"
            sink = FileSink(await in_thread(functools.partial(PartFile, path, source, overwrite=overwrite)))
        else:
            sink = ObjectSink(cast("BinaryWritable", destination), operation)
        transfer = Transfer(
            caller, operation, fetch_link=fetch_link, sink=sink, stall=stall_timeout, on_progress=on_progress
        )
        return await transfer.run(storage)
    finally:
        storage.leave()


def _check(stall_timeout: object, on_progress: object) -> None:
    is_number = isinstance(stall_timeout, int | float) and not isinstance(stall_timeout, bool)
    if not (is_number and 0 < stall_timeout < math.inf):  # type: ignore[operator]  # a number, as asked
        msg = f"stall_timeout={shown(stall_timeout)}: pass seconds above 0; a deadline over all of it is asyncio.timeout(…)"
        raise ValueError(msg)
    if on_progress is not None and (not callable(on_progress) or inspect.iscoroutinefunction(on_progress)):
        msg = f"on_progress={shown(on_progress)} is none: pass a plain function that takes a Progress"
        raise TypeError(msg)


async def _place(
    path: str | os.PathLike[str], file_id: str, fetch_name: Callable[[], Awaitable[str | None]]
) -> str | os.PathLike[str]:
    """The file's path: in the destination, if that is a directory, under the name that the API tells."""
    if not await in_thread(functools.partial(os.path.isdir, path)):
        if os.fsdecode(path).endswith(("/", os.sep)):
            raise FileNotFoundError(errno.ENOENT, "the directory does not exist: make it first", os.fsdecode(path))
        return path
    return Path(path) / file_name(await fetch_name(), file_id)
