"""What the events carry as `data`: one Struct per shape. Whereby docs: webhooks."""

from __future__ import annotations

from typing import Any, Final

from ..models.model import Model
from ..redaction import MASK, redact

ROLE_NAMES: Final = (
    "owner",
    "member",
    "host",
    "visitor",
    "granted_visitor",
    "viewer",
    "granted_viewer",
    "recorder",
    "streamer",
    "captioner",
    "assistant",
)
"""The known values of `PresenceData.role_name`; others may come."""


class RoomData(Model, frozen=True, kw_only=True, rename="camel"):
    """What every event says: the room. All that `room.session.*` and `assistant.requested` carry.

    What looks like a key or a signed link in a text does not show in a `repr`.

    Attributes:
        room_name: The room's name with its leading slash.
        meeting_id: The meeting's id, as `client.meetings` takes it; transcriptions and recordings come without.
        subdomain: The organisation's part of the room's address. Older events come without.
        room_session_id: The session; `None` if there is none yet, as when one person waits alone.
    """

    room_name: str | None = None
    meeting_id: str | None = None
    subdomain: str | None = None
    room_session_id: str | None = None

    @property
    def room_url(self) -> str | None:
        """The room's address, `https://{subdomain}.whereby.com{room_name}`, without a key; `None` if a part is missing."""
        if not self.subdomain or not self.room_name:
            return None
        return f"https://{self.subdomain}.whereby.com/{self.room_name.removeprefix('/')}"

    def _masked(self, name: str, value: object) -> object:
        value = super()._masked(name, value)
        if isinstance(value, str):
            return redact(value)
        told = repr(value)
        return value if redact(told) == told else MASK


class ParticipantData(RoomData, frozen=True, kw_only=True, rename="camel"):
    """Who knocked, or stopped to: `room.client.knocked` and `room.client.knockCancelled`.

    Attributes:
        display_name: The name that the participant goes by; `[[redacted]]` if the organisation hides names.
        participant_id: The participant's id, as in the insights.
        metadata: The `metadata` of the room link, if it had one (see `room_link`).
        external_id: The `externalId` of the room link, if it had one.
    """

    display_name: str | None = None
    participant_id: str | None = None
    metadata: str | None = None
    external_id: str | None = None


class PresenceData(ParticipantData, frozen=True, kw_only=True, rename="camel"):
    """Who came or went, and who is there now: `room.client.joined` and `room.client.left`.

    Events come out of order: the counts are those of the moment when the event was made.

    Attributes:
        role_name: What the participant is: one of `ROLE_NAMES`, or a newer word. The room's owner is `owner` on a
            visitor's link too, if logged in; a visitor who was let in is `granted_visitor`.
        num_clients: How many are in the room.
        num_clients_by_role_name: How many of each role; roles that nobody has may be missing.
        is_dial_in: Did the participant come by telephone?
    """

    role_name: str | None = None
    num_clients: int | None = None
    num_clients_by_role_name: dict[str, int] | None = None
    is_dial_in: bool | None = None


class TranscriptionData(RoomData, frozen=True, kw_only=True, rename="camel"):
    """A transcription: `transcription.started`.

    Attributes:
        transcription_id: The transcription's id, as `client.transcriptions` takes it.
        type: `LIVE_TRANSCRIPTION` or `RECORDING_TRANSCRIPTION`, or a newer word.
        status: `in_progress`, `ready` or `failed`, or a newer word. The REST API calls it `state`.
    """

    transcription_id: str
    type: str | None = None
    status: str | None = None


class TranscriptionFinishedData(TranscriptionData, frozen=True, kw_only=True, rename="camel"):
    """A transcription that can be had: `transcription.finished`.

    Attributes:
        filename: The Markdown file's name.
        storage_type: `WHEREBY_HOSTED` or `SELF_HOSTED`, or a newer word. Only what Whereby hosts can be downloaded.
        duration_in_seconds: What is billed, in seconds.
        recording_id: The recording that was transcribed; `None` for a live transcription.
    """

    filename: str | None = None
    storage_type: str | None = None
    duration_in_seconds: float | None = None
    recording_id: str | None = None


class TranscriptionFailedData(TranscriptionData, frozen=True, kw_only=True, rename="camel"):
    """A transcription of which nothing came: `transcription.failed`.

    Attributes:
        error: Why, as Whereby says it: text, as far as is known.
    """

    error: Any = None


class RecordingData(RoomData, frozen=True, kw_only=True, rename="camel"):
    """A recording that can be had: `recording.finished`.

    Attributes:
        recording_id: The recording's id, as `client.recordings` takes it.
        filename: The file's name.
        status: `completed`, or a newer word.
    """

    recording_id: str
    filename: str | None = None
    status: str | None = None
