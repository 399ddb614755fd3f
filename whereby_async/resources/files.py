"""Files and images for uploads: read once and whole, before any point is spent, so that a retry sends them whole."""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from ..operation import FilePart
from ..redaction import SilentBytes

FileSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""A file: its bytes, its path, or a binary file that is open for reading (read from where it stands)."""

ImageSource: TypeAlias = FileSource
"""An image: its bytes, the path of a file, or a binary file that is open for reading."""

BACKGROUND_BYTES = 600_000
"""The largest background. Source: "max 600 kb" in the Whereby REST API reference."""

_PIPE_BYTES = 64_000_000
"""The most that comes of a pipe or a device whose upload has no bound of its own: a device may have no end."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png", "image/png"),
    (b"\xff\xd8\xff", "jpg", "image/jpeg"),
    (b"GIF8", "gif", "image/gif"),
    (b"<svg", "svg", "image/svg+xml"),
    (b"<?xml", "svg", "image/svg+xml"),
)


async def read_file(name: str, source: FileSource, *, max_bytes: int | None = None) -> SilentBytes:
    """All of a file. `name` is the argument's, for errors; no more than `max_bytes` are read.

    Raises:
        TypeError: It is neither bytes, a path nor a binary file.
        ValueError: It is larger than `max_bytes`, or a pipe or a device that does not end.
        OSError: It can not be read.
    """
    most = -1 if max_bytes is None else max_bytes + 1
    if isinstance(source, str | os.PathLike):
        import anyio  # who uploads nothing does not load it

        status = await anyio.Path(source).stat()
        _check_size(name, status.st_size, max_bytes)
        if max_bytes is None and not stat.S_ISREG(status.st_mode):
            most = _PIPE_BYTES
    content = SilentBytes(await _read(name, source, most))
    _check_size(name, len(content), max_bytes)
    if max_bytes is None and len(content) == most:
        raise ValueError(f"{name} is no plain file and has {most} bytes or more: pass a plain file")
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
        raise TypeError(f"{name} must be bytes, a path or a binary file, not {type(source).__name__}")
    content: object = await anyio.to_thread.run_sync(source.read, most)
    if not isinstance(content, bytes):
        raise TypeError(f"{name} is a file that gives {type(content).__name__}, not bytes: open it with mode 'rb'")
    return content


def _check_size(name: str, size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        more = " or more" if size == max_bytes + 1 else ""  # reading stops there
        raise ValueError(f"{name} has {size} bytes{more} and the API takes at most {max_bytes}: pass a smaller one")


async def image_part(image: ImageSource, *, max_bytes: int | None = None) -> FilePart:
    """The file part of an upload.

    The file is named `image` whatever it was called here: local names stay local.

    Raises:
        TypeError, OSError: As `read_file`.
        ValueError: It is empty, too large, or no PNG, JPEG, GIF, WebP or SVG.
    """
    content = await read_file("image", image, max_bytes=max_bytes)
    if not content:
        raise ValueError("image is empty: pass the bytes of a PNG, its path, or a file that is open at its start")
    extension, content_type = _kind(content)
    return FilePart("image", f"image.{extension}", content_type, content)


def _kind(content: bytes) -> tuple[str, str]:
    start = bytes(content[:64]).lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, extension, content_type in _SIGNATURES:
        if start.startswith(signature):
            return extension, content_type
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp", "image/webp"
    found = start[:8].decode("latin-1")
    msg = f"image is no PNG, JPEG, GIF, WebP or SVG (it starts with {found!r}); PNG is what the API advises"
    raise ValueError(msg)


async def file_parts(files: Mapping[str, FileSource]) -> list[FilePart]:
    """The parts of a multipart body by field name.

    A path lends its last part as the file's name, everything else is named after its field.

    Raises:
        TypeError, OSError: As `read_file`.
        ValueError: A field's name can not be one.
    """
    if not isinstance(files, Mapping):
        raise TypeError(f"files must be a dictionary by field name, such as {{'image': …}}, not {type(files).__name__}")
    parts: list[FilePart] = []
    for field, source in files.items():
        if not is_field_name(field):
            raise ValueError(f"files has a field named {field!r}: pass a plain name, such as 'image'")
        name = _printable(Path(cast("str", source)).name) if isinstance(source, str | os.PathLike) else field
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        parts.append(FilePart(field, name, content_type, await read_file(field, source)))
    return parts


def is_field_name(name: str) -> bool:
    """Whether a form can carry it as a field's name, whatever library reads the form."""
    return bool(name) and name.isascii() and name.isprintable() and '"' not in name


def _printable(name: str) -> str:
    """A file's name as a form can carry it: line breaks, control characters and bytes that are no text become `_`."""
    return "".join(character if character.isprintable() else "_" for character in name)
