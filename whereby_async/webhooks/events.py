"""The 11 events that Whereby documents, one frozen Struct each, and `UnknownEvent` for those to come.

Source: "Webhooks" in the Whereby docs. Narrow an event by its class (`match event: case RoomClientJoined(): …`), and
let the rest pass: Whereby adds types.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, TypeAlias, cast

from ..models.model import Model, Timestamp
from ..redaction import MASK, SilentBytes, SilentDict, redact

ROLE_NAMES: Final = (
    *("owner", "member", "host", "visitor", "granted_visitor", "viewer", "granted_viewer"),
    *("recorder", "streamer", "captioner", "assistant"),
)
"""The known values of `PresenceData.role_name`; others may come."""


class RoomData(Model, frozen=True, kw_only=True):
    """The room of an event, which is all that `room.session.*` and `assistant.requested` carry.

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
        """`https://{subdomain}.whereby.com{room_name}`, without a key; `None` if a part is missing."""
        if not self.subdomain or not self.room_name:
            return None
        return f"https://{self.subdomain}.whereby.com/{self.room_name.removeprefix('/')}"

    def _masked(self, name: str, value: object) -> object:
        value = super()._masked(name, value)
        if isinstance(value, str):
            return redact(value)
        text = repr(value)
        return value if redact(text) == text else MASK


class ParticipantData(RoomData, frozen=True, kw_only=True):
    """Who knocked, or stopped asking: `room.client.knocked` and `room.client.knockCancelled`.

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


class PresenceData(ParticipantData, frozen=True, kw_only=True):
    """Who came or went, and who is there now: `room.client.joined` and `room.client.left`.

    Events come out of order: the counts are those of the moment when the event was made.

    Attributes:
        role_name: What the participant is: one of `ROLE_NAMES`, or a newer word. The room's owner is `owner` on a
            visitor's link too, if logged in; a visitor who was let in is `granted_visitor`.
        num_clients: How many are in the room.
        num_clients_by_role_name: How many of each role; roles that nobody has may be missing.
        is_dial_in: Whether the participant came by telephone.
    """

    role_name: str | None = None
    num_clients: int | None = None
    num_clients_by_role_name: dict[str, int] | None = None
    is_dial_in: bool | None = None


class TranscriptionData(RoomData, frozen=True, kw_only=True):
    """A transcription: `transcription.started`.

    Attributes:
        transcription_id: The transcription's id, as `client.transcriptions` takes it.
        type: `LIVE_TRANSCRIPTION` or `RECORDING_TRANSCRIPTION`, or a newer word.
        status: `in_progress`, `ready` or `failed`, or a newer word. The REST API calls it `state`.
    """

    transcription_id: str
    type: str | None = None
    status: str | None = None


class TranscriptionFinishedData(TranscriptionData, frozen=True, kw_only=True):
    """A transcription that can be downloaded: `transcription.finished`.

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


class TranscriptionFailedData(TranscriptionData, frozen=True, kw_only=True):
    """A transcription that failed: `transcription.failed`.

    Attributes:
        error: Why, as Whereby says it: text, as far as is known.
    """

    error: Any = None


class RecordingData(RoomData, frozen=True, kw_only=True):
    """A recording that can be downloaded: `recording.finished`.

    Attributes:
        recording_id: The recording's id, as `client.recordings` takes it.
        filename: The file's name.
        status: `completed`, or a newer word.
    """

    recording_id: str
    filename: str | None = None
    status: str | None = None


class WebhookEvent(Model, frozen=True, kw_only=True, dict=True):
    """What all events share. They are frozen, pickle and copy, and compare by value (without `body`).

    Each has its `type` as well, such as `room.client.joined`, and its `data`, a Struct that says what happened. Events
    have no hash, since their data may hold lists and dictionaries: put `event.id` into sets, not the event.

    Attributes:
        id: The event's own id: a repeated delivery has the same one (see `SeenEvents`).
        api_version: The version of the payload, such as `1.0`.
        created_at: When the event happened, aware, in UTC; `None` if it is missing or unreadable. Deliveries come out
            of order: sort by it where order counts.
    """

    id: str
    api_version: str | None = None
    created_at: Timestamp | None = None

    @property
    def body(self) -> bytes:
        """The body as Whereby sent it, with the fields that this version does not know; empty if made by hand.

        Its `repr` tells only how long it is; `json.loads(event.body)` is all of it.
        """
        body: bytes = vars(self).get("body", SilentBytes())
        return body

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), {name: getattr(self, name) for name in self.__struct_fields__}, self.body)

    def __copy__(self) -> WebhookEvent:
        return _restored(*self.__reduce__()[1])

    def _masked(self, name: str, value: object) -> object:
        value = super()._masked(name, value)
        return redact(value) if isinstance(value, str) else value


def _restored(kind: type[WebhookEvent], fields: dict[str, Any], body: bytes) -> WebhookEvent:
    event = kind(**fields)
    vars(event)["body"] = body
    return event


class RoomClientJoined(WebhookEvent, frozen=True, kw_only=True, tag="room.client.joined"):
    """`room.client.joined`: somebody came into the room."""

    type: ClassVar[Literal["room.client.joined"]] = "room.client.joined"
    data: PresenceData


class RoomClientLeft(WebhookEvent, frozen=True, kw_only=True, tag="room.client.left"):
    """`room.client.left`: somebody left the room."""

    type: ClassVar[Literal["room.client.left"]] = "room.client.left"
    data: PresenceData


class RoomClientKnocked(WebhookEvent, frozen=True, kw_only=True, tag="room.client.knocked"):
    """`room.client.knocked`: somebody asks to be let into a locked room."""

    type: ClassVar[Literal["room.client.knocked"]] = "room.client.knocked"
    data: ParticipantData


class RoomClientKnockCancelled(WebhookEvent, frozen=True, kw_only=True, tag="room.client.knockCancelled"):
    """`room.client.knockCancelled`: somebody who knocked stopped asking."""

    type: ClassVar[Literal["room.client.knockCancelled"]] = "room.client.knockCancelled"
    data: ParticipantData


class RoomSessionStarted(WebhookEvent, frozen=True, kw_only=True, tag="room.session.started"):
    """`room.session.started`: a second person came, and a session began."""

    type: ClassVar[Literal["room.session.started"]] = "room.session.started"
    data: RoomData


class RoomSessionEnded(WebhookEvent, frozen=True, kw_only=True, tag="room.session.ended"):
    """`room.session.ended`: fewer than two have been there for some time (a minute, as seen in September 2026)."""

    type: ClassVar[Literal["room.session.ended"]] = "room.session.ended"
    data: RoomData


class TranscriptionStarted(WebhookEvent, frozen=True, kw_only=True, tag="transcription.started"):
    """`transcription.started`: a session or a recording is being transcribed."""

    type: ClassVar[Literal["transcription.started"]] = "transcription.started"
    data: TranscriptionData


class TranscriptionFinished(WebhookEvent, frozen=True, kw_only=True, tag="transcription.finished"):
    """`transcription.finished`: the transcript is there to be downloaded."""

    type: ClassVar[Literal["transcription.finished"]] = "transcription.finished"
    data: TranscriptionFinishedData


class TranscriptionFailed(WebhookEvent, frozen=True, kw_only=True, tag="transcription.failed"):
    """`transcription.failed`: a transcription failed."""

    type: ClassVar[Literal["transcription.failed"]] = "transcription.failed"
    data: TranscriptionFailedData


class RecordingFinished(WebhookEvent, frozen=True, kw_only=True, tag="recording.finished"):
    """`recording.finished`: a recording is there to be downloaded."""

    type: ClassVar[Literal["recording.finished"]] = "recording.finished"
    data: RecordingData


class AssistantRequested(WebhookEvent, frozen=True, kw_only=True, tag="assistant.requested"):
    """`assistant.requested`: somebody in the room asks for an assistant."""

    type: ClassVar[Literal["assistant.requested"]] = "assistant.requested"
    data: RoomData


class UnknownEvent(WebhookEvent, frozen=True, kw_only=True):
    """An event of a type that this version does not know. Its data shows in a `repr` by its keys only.

    Attributes:
        type: The type, as Whereby sent it.
        data: Whatever came as `data`, as plain JSON in wire spelling.
    """

    type: str
    data: Any = None

    def _masked(self, name: str, value: object) -> object:
        if name != "data" or value is None:
            return super()._masked(name, value)
        return redact(repr(SilentDict(cast("dict[str, Any]", value)))) if isinstance(value, dict) else MASK


KnownEvent: TypeAlias = (
    RoomClientJoined
    | RoomClientLeft
    | RoomClientKnocked
    | RoomClientKnockCancelled
    | RoomSessionStarted
    | RoomSessionEnded
    | TranscriptionStarted
    | TranscriptionFinished
    | TranscriptionFailed
    | RecordingFinished
    | AssistantRequested
)
"""The 11 documented events, a union tagged by `type`."""

Event: TypeAlias = KnownEvent | UnknownEvent
"""What a webhook can bring."""
