"""Rooms: the words and preferences that describe one. The operations of `client.rooms` return nothing."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from .model import Model

RoomMode: TypeAlias = Literal["normal", "group"] | str
"""How large the room is: `normal` (up to 4, peer to peer) or `group` (up to 200)."""

RoomNamePattern: TypeAlias = Literal["uuid", "human-short"] | str
"""What the random part of a room's name looks like."""

TemplateType: TypeAlias = Literal["viewerMode"] | str
"""A set of room properties for one use."""

BackgroundPalette: TypeAlias = Literal["default", "grey", "purple", "burgund"] | str
"""The colours of a built-in background."""

BackgroundTheme: TypeAlias = Literal["default", "mountains", "characters", "rocks"] | str
"""The picture of a built-in background."""

ROOM_MODES: Final = ("normal", "group")
"""The documented values of `room_mode`."""

ROOM_NAME_PATTERNS: Final = ("uuid", "human-short")
"""The documented values of `room_name_pattern`."""

TEMPLATE_TYPES: Final = ("viewerMode",)
"""The documented values of `template_type`."""

BACKGROUND_PALETTES: Final = ("default", "grey", "purple", "burgund")
"""The documented values of a background's `palette`."""

BACKGROUND_THEMES: Final = ("default", "mountains", "characters", "rocks")
"""The documented values of a background's `theme`."""


class MeetingRoomPreferences(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """How a room was set up. Whereby docs: dial-in, and the HIPAA-compliant setup for the last two.

    Attributes:
        dial_in: Can people join by telephone?
        streaming: Can the room be streamed?
        room_integrations: Are the integrations (YouTube, Miro) offered in the room?
    """

    dial_in: bool | None = None
    streaming: bool | None = None
    room_integrations: bool | None = None


class RoomPreferences(Model, frozen=True, kw_only=True, rename="camel"):
    """What a room offers. Not in the Whereby REST API reference; Whereby docs: HIPAA-compliant setup, and dial-in.

    Attributes:
        streaming: May the room be streamed?
        room_integrations: Are the integrations (YouTube, Miro) offered in the room?
        dial_in: May people join by telephone?
    """

    streaming: bool | UnsetType = UNSET
    room_integrations: bool | UnsetType = UNSET
    dial_in: bool | UnsetType = UNSET
