"""`client.rooms`: a room's colours, logo and backgrounds. The API has no way to read them back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .. import operations
from ..models import BackgroundPalette, BackgroundTheme
from ..operation import Operation, Sender, room_segment
from . import arguments
from .files import BACKGROUND_BYTES, ImageSource, image_part

_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


class Rooms:
    """Themes of rooms. `room_name` is the name as the API gives it, with or without its leading slash."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def set_theme_tokens(
        self,
        room_name: str,
        *,
        primary: str | None = None,
        secondary: str | None = None,
        focus: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Set a room's colours. Costs 3 points.

        Source: `PUT /rooms/{roomName}/theme/tokens` in the Whereby REST API reference.

        Args:
            room_name: The room's name.
            primary: Colour as `#RRGGBB`.
            secondary: Likewise.
            focus: Likewise.
            extra: More keys for the body.

        Raises:
            ValueError: No colour is given, one has another form, or the name is empty or holds a slash.
        """
        given = {"primary": primary, "secondary": secondary, "focus": focus}
        colours = {name: _colour(name, value) for name, value in given.items() if value is not None}
        if not colours and not extra:
            msg = (
                "set_theme_tokens needs at least one of primary=, secondary= and focus=; reset_theme_tokens undoes them"
            )
            raise ValueError(msg)
        body = arguments.body(extra, tokensPreset="custom", tokens={"colors": colours} if colours else None)
        await self._sender.send(operations.SET_THEME_TOKENS.bind(room_name, json=body))

    async def reset_theme_tokens(self, room_name: str, *, extra: Mapping[str, Any] | None = None) -> None:
        """Give a room the organisation's colours again. Costs 3 points.

        Source: `PUT /rooms/{roomName}/theme/tokens` in the Whereby REST API reference.

        Args:
            room_name: The room's name.
            extra: More keys for the body.

        Raises:
            ValueError: The name is empty or holds a slash.
        """
        body = arguments.body(extra, tokensPreset="default")
        await self._sender.send(operations.SET_THEME_TOKENS.bind(room_name, json=body))

    async def set_logo(self, room_name: str, image: ImageSource, *, extra: Mapping[str, str] | None = None) -> None:
        """Upload a room's logo. Costs 3 points.

        Source: `PUT /rooms/{roomName}/theme/logo` in the Whereby REST API reference.

        Args:
            room_name: The room's name.
            image: Bytes, a path, or a binary file; a PNG of at least 400 px width is advised.
            extra: More form fields.

        Raises:
            TypeError: `image` is none of these.
            ValueError: `image` is empty or no image, or the name is empty or holds a slash.
            OSError: The file can not be read.
        """
        await self._upload(operations.SET_LOGO, room_name, image, None, extra)

    async def reset_logo(self, room_name: str, *, extra: Mapping[str, Any] | None = None) -> None:
        """Give a room the organisation's logo again. Costs 3 points.

        Source: `PUT /rooms/{roomName}/theme/logo` in the Whereby REST API reference.

        Args:
            room_name: The room's name.
            extra: More keys for the body.

        Raises:
            ValueError: The name is empty or holds a slash.
        """
        body = arguments.body(extra, theme="default")
        await self._sender.send(operations.SET_LOGO.bind(room_name, json=body))

    async def set_background(
        self,
        room_name: str,
        image: ImageSource | None = None,
        *,
        palette: BackgroundPalette | None = None,
        theme: BackgroundTheme | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Set a room's background: an image of your own, or a built-in palette and theme. Costs 3 points.

        Source: `PUT /rooms/{roomName}/theme/room-background` in the Whereby REST API reference.

        Args:
            room_name: The room's name.
            image: Bytes, a path, or a binary file, at most 600 kB; a PNG of at least 1400 px width is advised.
            palette: A built-in palette, see `models.BACKGROUND_PALETTES`.
            theme: A built-in theme, see `models.BACKGROUND_THEMES`.
            extra: More form fields with an image, else more keys for the body.

        Raises:
            TypeError: `image` is none of these.
            ValueError: Neither or both kinds are given, the image is too large or no image, or the name is bad.
            OSError: The file can not be read.
        """
        await self._background(operations.SET_BACKGROUND, room_name, image, palette, theme, extra)

    async def reset_background(self, room_name: str, *, extra: Mapping[str, Any] | None = None) -> None:
        """Give a room the default background again. Costs 3 points.

        Source: `PUT /rooms/{roomName}/theme/room-background` in the Whereby REST API reference.

        Args:
            room_name: The room's name.
            extra: More keys for the body.

        Raises:
            ValueError: The name is empty or holds a slash.
        """
        await self._background(operations.SET_BACKGROUND, room_name, None, "default", "default", extra)

    async def set_knock_background(
        self,
        room_name: str,
        image: ImageSource | None = None,
        *,
        palette: BackgroundPalette | None = None,
        theme: BackgroundTheme | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the background of the page where people knock. Costs 3 points.

        Source: `PUT /rooms/{roomName}/theme/room-knock-page-background` in the Whereby REST API reference.

        Args:
            room_name: The room's name.
            image: Bytes, a path, or a binary file, at most 600 kB.
            palette: A built-in palette.
            theme: A built-in theme.
            extra: More form fields with an image, else more keys for the body.

        Raises:
            TypeError: `image` is none of these.
            ValueError: Neither or both kinds are given, the image is too large or no image, or the name is bad.
            OSError: The file can not be read.
        """
        await self._background(operations.SET_KNOCK_BACKGROUND, room_name, image, palette, theme, extra)

    async def reset_knock_background(self, room_name: str, *, extra: Mapping[str, Any] | None = None) -> None:
        """Give the page where people knock its default background again. Costs 3 points.

        Source: `PUT /rooms/{roomName}/theme/room-knock-page-background` in the Whereby REST API reference.

        Args:
            room_name: The room's name.
            extra: More keys for the body.

        Raises:
            ValueError: The name is empty or holds a slash.
        """
        await self._background(operations.SET_KNOCK_BACKGROUND, room_name, None, "default", "default", extra)

    async def _background(  # noqa: PLR0913, PLR0917 - private; what the two public ones take
        self,
        operation: Operation[None],
        room_name: str,
        image: ImageSource | None,
        palette: str | None,
        theme: str | None,
        extra: Mapping[str, Any] | None,
    ) -> None:
        built_in = palette is not None or theme is not None
        if (image is not None) == built_in:
            raise ValueError("pass either image=, or palette= and/or theme= for a built-in background")
        if image is not None:
            await self._upload(operation, room_name, image, BACKGROUND_BYTES, extra)
            return
        body = arguments.body(extra, palette=palette, theme=theme)
        await self._sender.send(operation.bind(room_name, json=body))

    async def _upload(
        self,
        operation: Operation[None],
        room_name: str,
        image: ImageSource,
        max_bytes: int | None,
        extra: Mapping[str, Any] | None,
    ) -> None:
        room_segment("room_name", room_name)  # refused before a file is read
        form = arguments.form(extra)
        part = await image_part(image, max_bytes=max_bytes)
        await self._sender.send(operation.bind(room_name, files=[part], form=form))


def _colour(name: str, value: str) -> str:
    if not isinstance(value, str) or not _COLOUR.fullmatch(value):
        raise ValueError(f"{name}={value!r}: pass a colour as '#RRGGBB', such as '#0A2540'")
    return value
