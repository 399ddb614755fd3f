"""Rooms: how they look. A room need not be known: those made in the dashboard are not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from ..calls import NOTHING, Answer, Call, RefusalError, one_of
from ..state import Backdrop, room_path

if TYPE_CHECKING:
    from ..world import World

_COLOURS = ("primary", "secondary", "focus")
_PALETTES = ("default", "grey", "purple", "burgund")
_BACKDROPS = ("default", "mountains", "characters", "rocks")
_HEX = re.compile(r"#[a-fA-F0-9]{6}")
_MULTIPART = "multipart/form-data"
MAX_BACKGROUND = 600 * 1024
"""Bytes that a background image may have at most."""


def set_tokens(world: World, call: Call) -> Answer:
    """`PUT /rooms/{roomName}/theme/tokens`."""
    body = call.body()
    if one_of(body, "tokensPreset", ("custom", "default")) == "default":
        _change(world, call, primary=None, secondary=None, focus=None)
        return NOTHING
    colors = _object(_object(body.get("tokens")).get("colors"))
    given = {name: colors[name] for name in _COLOURS if name in colors}
    for name, colour in given.items():
        if not isinstance(colour, str) or not _HEX.fullmatch(colour):
            raise RefusalError(400, f"{name} must be a color such as #1A2B3C")
    _change(world, call, **given)
    return NOTHING


def set_logo(world: World, call: Call) -> Answer:
    """`PUT /rooms/{roomName}/theme/logo`: an image, or back to the default."""
    image = _image(call)
    if image is None and call.body().get("theme") != "default":
        raise RefusalError(400, "theme must be default")
    _change(world, call, logo=image)
    return NOTHING


def set_background(world: World, call: Call) -> Answer:
    """`PUT /rooms/{roomName}/theme/room-background`: an image, or a predefined one."""
    _change(world, call, background=_backdrop(call))
    return NOTHING


def set_knock_background(world: World, call: Call) -> Answer:
    """`PUT /rooms/{roomName}/theme/room-knock-page-background`: an image, or a predefined one."""
    _change(world, call, knock_background=_backdrop(call))
    return NOTHING


def _backdrop(call: Call) -> Backdrop:
    image = _image(call)
    if image is not None:
        if len(image) > MAX_BACKGROUND:
            raise RefusalError(413, "The image must not be larger than 600 kB")
        return Backdrop(image=image)
    body = call.body()
    palette, theme = one_of(body, "palette", _PALETTES), one_of(body, "theme", _BACKDROPS)
    if palette is None and theme is None:
        raise RefusalError(400, "palette or theme is required")
    return Backdrop(palette=palette, theme=theme)


def _image(call: Call) -> bytes | None:
    if call.content_type == "application/json":
        return None
    if call.content_type != _MULTIPART:
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


def _change(world: World, call: Call, **changes: Any) -> None:
    name = room_path(call.path["roomName"])
    world.themes[name] = msgspec.structs.replace(world.theme(name), **changes)
