"""Images for uploads: read once, before any point is spent, so that a retry is whole; type and size are checked first."""

from __future__ import annotations

from typing import TypeAlias

from ..operation import FilePart
from .files import FileSource, read_file

ImageSource: TypeAlias = FileSource
"""An image: its bytes, the path of a file, or a binary file that is open for reading."""

BACKGROUND_BYTES = 600_000
"""The largest background. Source: "max 600 kb" in the Whereby REST API reference."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png", "image/png"),
    (b"\xff\xd8\xff", "jpg", "image/jpeg"),
    (b"GIF8", "gif", "image/gif"),
    (b"<svg", "svg", "image/svg+xml"),
    (b"<?xml", "svg", "image/svg+xml"),
)


async def image_part(image: ImageSource, *, max_bytes: int | None = None) -> FilePart:
    """The file part of an upload.

    The file is named `image` whatever it was called here: local names stay local.

    Args:
        image: Bytes, a path, or a binary file (read from where it stands).
        max_bytes: The largest that the API takes.

    Raises:
        TypeError: It is none of these, or a file opened as text.
        ValueError: It is empty, too large, or no PNG, JPEG, GIF, WebP or SVG.
        OSError: The file can not be read.
    """
    content = await read_file("image", image, max_bytes=max_bytes)
    if not content:
        msg = "image is empty: pass the bytes of a PNG, its path, or a file that is open at its start"
        raise ValueError(msg)
    extension, content_type = _kind(content)
    return FilePart("image", f"image.{extension}", content_type, content)


def _kind(content: bytes) -> tuple[str, str]:
    start = bytes(content[:64]).lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, extension, content_type in _SIGNATURES:
        if start.startswith(signature):
            return extension, content_type
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp", "image/webp"
    msg = f"image is no PNG, JPEG, GIF, WebP or SVG (it starts with {start[:8]!r}); PNG is what the API advises"
    raise ValueError(msg)
