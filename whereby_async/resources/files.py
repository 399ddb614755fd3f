"""Files for uploads: read once and whole, before any point is spent, so that a retry sends them whole."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from ..operation import FilePart
from ..redaction import SilentBytes

FileSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""A file: its bytes, its path, or a binary file that is open for reading (read from where it stands)."""


async def read_file(name: str, source: FileSource, *, max_bytes: int | None = None) -> SilentBytes:
    """All of a file.

    Args:
        name: The argument's name, for errors.
        source: Bytes, a path, or a binary file.
        max_bytes: The largest that will do; no more than that is read.

    Raises:
        TypeError: It is none of these, or a file opened as text.
        ValueError: It is larger than `max_bytes`.
        OSError: It can not be read.
    """
    if max_bytes is not None and isinstance(source, str | os.PathLike):
        import anyio  # who uploads nothing does not load it

        _check_size(name, (await anyio.Path(source).stat()).st_size, max_bytes)
    content = SilentBytes(await _read(name, source, -1 if max_bytes is None else max_bytes + 1))
    _check_size(name, len(content), max_bytes)
    return content


async def _read(name: str, source: FileSource, most: int) -> bytes:
    """Up to `most` bytes, -1 for all: a device or a file much too large is not read to its end."""
    if isinstance(source, bytes | bytearray | memoryview):
        return SilentBytes(source)
    import anyio
    import anyio.to_thread

    if isinstance(source, str | os.PathLike):
        async with await anyio.open_file(source, "rb") as file:
            return await file.read(most)
    if not callable(getattr(source, "read", None)):
        msg = f"{name} must be bytes, a path or a binary file, not {type(source).__name__}"
        raise TypeError(msg)
    content: object = await anyio.to_thread.run_sync(source.read, most)
    if not isinstance(content, bytes):
        msg = f"{name} is a file that gives {type(content).__name__}, not bytes: open it with mode 'rb'"
        raise TypeError(msg)
    return content


def _check_size(name: str, size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        more = " or more" if size == max_bytes + 1 else ""  # reading stops there
        msg = f"{name} has {size} bytes{more} and the API takes at most {max_bytes}: pass a smaller one"
        raise ValueError(msg)


async def file_parts(files: Mapping[str, FileSource]) -> list[FilePart]:
    """The parts of a multipart body by field name.

    A path lends its last part as the file's name, everything else is named after its field.

    Raises:
        TypeError: A file is none of what `FileSource` lists.
        ValueError: A field's name can not be one.
        OSError: A file can not be read.
    """
    if not isinstance(files, Mapping):
        msg = f"files must be a dictionary by field name, such as {{'image': …}}, not {type(files).__name__}"
        raise TypeError(msg)
    parts: list[FilePart] = []
    for field, source in files.items():
        if not is_field_name(field):
            msg = f"files has a field named {field!r}: pass a plain name, such as 'image'"
            raise ValueError(msg)
        name = _told(Path(cast("str", source)).name) if isinstance(source, str | os.PathLike) else field
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        parts.append(FilePart(field, name, content_type, await read_file(field, source)))
    return parts


def is_field_name(name: str) -> bool:
    """Whether a form can carry it as a field's name, whatever library reads the form."""
    return bool(name) and name.isascii() and name.isprintable() and '"' not in name


def _told(name: str) -> str:
    """A file's name as a form can carry it: line breaks, control characters and bytes that are no text become `_`."""
    return "".join(character if character.isprintable() else "_" for character in name)
