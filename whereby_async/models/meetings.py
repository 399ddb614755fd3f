"""Meetings: what `client.meetings` returns, and the words that its parameters take."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias

from .model import Model, Timestamp

RoomMode: TypeAlias = Literal["normal", "group"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""How large the room is: `normal` (up to 4, peer to peer) or `group` (up to 200)."""

RoomNamePattern: TypeAlias = Literal["uuid", "human-short"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""What the random part of a room's name looks like."""

TemplateType: TypeAlias = Literal["viewerMode"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""A set of room properties for one use."""

MeetingField: TypeAlias = Literal["hostRoomUrl", "viewerRoomUrl", "dialIn"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""A field that a meeting holds only when asked for, by its wire name."""

ROOM_MODES: Final = ("normal", "group")
"""The documented values of `room_mode`."""

ROOM_NAME_PATTERNS: Final = ("uuid", "human-short")
"""The documented values of `room_name_pattern`."""

TEMPLATE_TYPES: Final = ("viewerMode",)
"""The documented values of `template_type`."""

MEETING_FIELDS: Final = ("hostRoomUrl", "viewerRoomUrl", "dialIn")
"""The documented values of `fields`; `dialIn` comes from the dial-in page of the documentation."""


class DialInPhoneNumber(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A telephone number that leads into a room. Whereby docs: dial-in.

    Attributes:
        country_code: The country that the number belongs to, such as `NO`.
        phone_number: The number to call.
    """

    country_code: str | None = None
    phone_number: str | None = None


class DialIn(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """How to join a room by telephone; there if asked for with `fields=["dialIn"]`. Whereby docs: dial-in.

    Attributes:
        code: What a caller types in to get into the room. Secret.
        phone_numbers: The numbers to call.
    """

    _secrets: ClassVar[frozenset[str]] = frozenset({"code"})

    code: str | None = None
    phone_numbers: list[DialInPhoneNumber] | None = None


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


class Meeting(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A meeting and its room. Whereby REST API reference, Meetings.

    Attributes:
        meeting_id: The meeting's id: digits in practice, but text.
        room_url: Where participants go. It shows without its query in a `repr`.
        start_date: When the meeting was made, aware, in UTC.
        end_date: When the meeting ends, aware, in UTC. One hour later host rights and webhooks stop.
        room_name: The room's name with its leading slash. Rooms of before 2024 came without: in an answer it is then
            the path of `room_url`.
        host_room_url: As `room_url`, but makes whoever opens it a host: it carries a `roomKey`. Only there if asked
            for with `fields=["hostRoomUrl"]`, or in viewer mode. Secret: shows without its query.
        viewer_room_url: As `room_url`, but for viewers without camera and microphone: it carries a `roomKey`. Only
            there if asked for with `fields=["viewerRoomUrl"]`, or in viewer mode. Secret: shows without its query.
        dial_in: How to join by telephone. Only there if asked for with `fields=["dialIn"]`.
        room_preferences: How the room was set up, if the answer says it.
    """

    _links: ClassVar[frozenset[str]] = frozenset({"room_url", "host_room_url", "viewer_room_url"})

    meeting_id: str
    room_url: str | None = None
    start_date: Timestamp | None = None
    end_date: Timestamp | None = None
    room_name: str | None = None
    host_room_url: str | None = None
    viewer_room_url: str | None = None
    dial_in: DialIn | None = None
    room_preferences: MeetingRoomPreferences | None = None
