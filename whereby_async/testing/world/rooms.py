"""The rooms of the fake service: how they look. A room need not be known: those made in the dashboard are not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from .api_call import DONE, ApiAnswer, RefusalError, one_of
from .state import Backdrop, RoomTheme, State, room_path

if TYPE_CHECKING:
    from .api_call import ApiCall

_COLOURS = ("primary", "secondary", "focus")
_PALETTES = ("default", "grey", "purple", "burgund")
_BACKDROPS = ("default", "mountains", "characters", "rocks")
_HEX = re.compile(r"#[a-fA-F0-9]{6}")
_MAX_BACKGROUND = 600 * 1024
"""Bytes that a background image may have at most."""


class RoomWorld(State):
    """The themes of rooms."""

    def theme(self, room_name: str) -> RoomTheme:
        """How a room looks; the default theme if nobody has changed it."""
        return self.themes.get(room_path(room_name)) or RoomTheme()


def set_tokens(world: RoomWorld, call: ApiCall) -> ApiAnswer:
    """`PUT /rooms/{roomName}/theme/tokens`."""
    body = call.body()
    if one_of(body, "tokensPreset", ("custom", "default")) == "default":
        return _change(world, call, primary=None, secondary=None, focus=None)
    colors = _object(_object(body.get("tokens")).get("colors"))
    given = {name: colors[name] for name in _COLOURS if name in colors}
    for name, colour in given.items():
        if not isinstance(colour, str) or not _HEX.fullmatch(colour):
            raise RefusalError(400, f"{name} must be a color such as #1A2B3C")
    return _change(world, call, **given)


def set_logo(world: RoomWorld, call: ApiCall) -> ApiAnswer:
    """`PUT /rooms/{roomName}/theme/logo`: an image, or back to the default."""
    image = _image(call)
    if image is None and call.body().get("theme") != "default":
        raise RefusalError(400, "theme must be default")
    return _change(world, call, logo=image)


def set_background(world: RoomWorld, call: ApiCall) -> ApiAnswer:
    """`PUT /rooms/{roomName}/theme/room-background`: an image, or a predefined one."""
    return _change(world, call, background=_backdrop(call))


def set_knock(world: RoomWorld, call: ApiCall) -> ApiAnswer:
    """`PUT /rooms/{roomName}/theme/room-knock-page-background`: an image, or a predefined one."""
    return _change(world, call, knock_background=_backdrop(call))


def _backdrop(call: ApiCall) -> Backdrop:
    image = _image(call)
    if image is not None:
        if len(image) > _MAX_BACKGROUND:
            raise RefusalError(413, "The image must not be larger than 600 kB")
        return Backdrop(image=image)
    body = call.body()
    palette, theme = one_of(body, "palette", _PALETTES), one_of(body, "theme", _BACKDROPS)
    if palette is None and theme is None:
        raise RefusalError(400, "palette or theme is required")
    return Backdrop(palette=palette, theme=theme)


def _image(call: ApiCall) -> bytes | None:
    if call.content_type == "application/json":
        return None
    if call.content_type != "multipart/form-data":
        raise RefusalError(400, "Content-Type must be multipart/form-data or application/json")
    for file in call.files:
        if file.field == "image" and file.content:
            return file.content
    raise RefusalError(400, "The form must have a file in its field image")


def _object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RefusalError(400, "tokens must be an object with an object colors")
    return value  # pyright: ignore[reportUnknownVariableType] - JSON keys are strings


def _change(world: RoomWorld, call: ApiCall, **changes: Any) -> ApiAnswer:
    name = room_path(call.path["roomName"])
    world.themes[name] = msgspec.structs.replace(world.theme(name), **changes)
    return DONE
