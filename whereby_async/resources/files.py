"""Files for uploads: read once and whole, before any point is spent, so that a retry sends them whole."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

import anyio
import anyio.to_thread

from ..operation import FilePart
from ..redaction import SilentBytes

if TYPE_CHECKING:
    from collections.abc import Mapping

FileSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""A file: its bytes, its path, or a binary file that is open for reading (read from where it stands)."""


async def read_file(name: str, source: FileSource, *, max_bytes: int | None = None) -> SilentBytes:
    """All of a file.

    Args:
        name: The argument's name, for errors.
        source: Bytes, a path, or a binary file.
        max_bytes: The largest that will do; a file on disk that is larger is not read.

    Raises:
        TypeError: It is none of these, or a file opened as text.
        ValueError: It is larger than `max_bytes`.
        OSError: It can not be read.
    """
    if max_bytes is not None and isinstance(source, str | os.PathLike):
        _check_size(name, (await anyio.Path(source).stat()).st_size, max_bytes)
    content = SilentBytes(await _read(name, source))
    _check_size(name, len(content), max_bytes)
    return content


async def _read(name: str, source: FileSource) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return SilentBytes(source)
    if isinstance(source, str | os.PathLike):
        return await anyio.Path(source).read_bytes()
    if not callable(getattr(source, "read", None)):
        msg = f"{name} must be bytes, a path or a binary file, not {type(source).__name__}"
        raise TypeError(msg)
    content: object = await anyio.to_thread.run_sync(source.read)
    if not isinstance(content, bytes):
        msg = f"{name} is a file that gives {type(content).__name__}, not bytes: open it with mode 'rb'"
        raise TypeError(msg)
    return content


def _check_size(name: str, size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        msg = f"{name} has {size} bytes and the API takes at most {max_bytes}: pass a smaller one"
        raise ValueError(msg)


async def file_parts(files: Mapping[str, FileSource]) -> list[FilePart]:
    """The parts of a multipart body by field name.

    A path lends its last part as the file's name, everything else is named after its field.

    Raises:
        TypeError: A file is none of what `FileSource` lists.
        ValueError: A field's name can not be one.
        OSError: A file can not be read.
    """
    parts: list[FilePart] = []
    for field, source in files.items():
        if not field.isascii() or not field.isprintable() or not field or '"' in field:
            msg = f"files has a field named {field!r}: pass a plain name, such as 'image'"
            raise ValueError(msg)
        name = Path(cast("str", source)).name if isinstance(source, str | os.PathLike) else field
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        parts.append(FilePart(field, name, content_type, await read_file(field, source)))
    return parts
