"""Meetings: what `client.meetings` returns, and how `create` streams one.

In the nested bodies of `client.meetings.create` (here, in `recordings`, `transcriptions` and `rooms`) every field
defaults to `UNSET`, which is not sent at all. `None` is sent as null where the API documents null as "take it from the
organisation's settings". The server decides which fields go together: it is looser than its own documentation, so
nothing is enforced here.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from .model import Model, Timestamp
from .rooms import MeetingRoomPreferences

MeetingField: TypeAlias = Literal["hostRoomUrl", "viewerRoomUrl", "dialIn"] | str
"""A field that a meeting holds only when asked for, by its wire name."""

StreamingStartTrigger: TypeAlias = Literal["none", "prompt", "automatic"] | str
"""What starts a stream."""

MEETING_FIELDS: Final = ("hostRoomUrl", "viewerRoomUrl", "dialIn")
"""The documented values of `fields`; `dialIn` comes from the dial-in page of the documentation."""

STREAMING_START_TRIGGERS: Final = ("none", "prompt", "automatic")
"""The documented values of `StreamingOptions.start_trigger`."""


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


class StreamingDestination(Model, frozen=True, kw_only=True, rename="camel"):
    """Where a stream goes. Whereby REST API reference, `POST /meetings`, `streaming.destination`.

    Attributes:
        url: The RTMP address, with its stream key. Secret.
    """

    _secrets: ClassVar[frozenset[str]] = frozenset({"url"})

    url: str | UnsetType = UNSET


class StreamingOptions(Model, frozen=True, kw_only=True, rename="camel"):
    """How a meeting is streamed live. Whereby REST API reference, `POST /meetings`, `streaming`.

    Attributes:
        destination: Where the stream goes; `None` is sent as null.
        start_trigger: `none`, `prompt` or `automatic`; `None` is sent as null.
    """

    _secrets: ClassVar[frozenset[str]] = frozenset({"destination"})

    destination: StreamingDestination | UnsetType | None = UNSET
    start_trigger: StreamingStartTrigger | UnsetType | None = UNSET
