"""The 11 events that Whereby documents, one frozen Struct each, and `UnknownEvent` for those to come.

Source: "Webhooks" in the Whereby docs. Narrow an event by its class (`match event: case RoomClientJoined(): …`), and let
the rest pass: Whereby adds types.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, TypeAlias

from ..models.model import Model, Timestamp
from ..redaction import MASK, SilentBytes, redact
from .payloads import (  # noqa: TC001 - msgspec resolves annotations at run time
    ParticipantData,
    PresenceData,
    RecordingData,
    RoomData,
    TranscriptionData,
    TranscriptionFailedData,
    TranscriptionFinishedData,
)


class WebhookEvent(Model, frozen=True, kw_only=True, rename="camel", dict=True):
    """What all events share. They are frozen, pickle and copy, and compare by value (without `body`).

    They have no hash, since their data may hold lists and dictionaries: put `event.id` into sets, not the event.

    Attributes:
        id: The event's own id: a repeated delivery has the same one (see `SeenEvents`).
        api_version: The version of the payload, such as `1.0`.
        created_at: When the event happened, aware, in UTC; `None` if it is untold, or unreadable. Deliveries come out of order: sort by it where order counts.
    """

    id: str
    api_version: str | None = None
    created_at: Timestamp | None = None

    @property
    def body(self) -> bytes:
        """The body as Whereby sent it, with the fields that this version does not know; empty if made by hand.

        Its `repr` tells only how long it is; `json.loads(event.body)` is all of it.
        """
        body: bytes = vars(self).get("body", _NOTHING)
        return body

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), {name: getattr(self, name) for name in self.__struct_fields__}, self.body)

    def __copy__(self) -> WebhookEvent:
        return _restored(*self.__reduce__()[1])

    def _masked(self, name: str, value: object) -> object:
        value = super()._masked(name, value)
        return redact(value) if isinstance(value, str) else value


_NOTHING: Final = SilentBytes()


def _restored(kind: type[WebhookEvent], fields: dict[str, Any], body: bytes) -> WebhookEvent:
    event = kind(**fields)
    vars(event)["body"] = body
    return event


class RoomClientJoined(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="room.client.joined"
):
    """`room.client.joined`: somebody came into the room.

    Attributes:
        data: Who, and who is there now.
    """

    type: ClassVar[Literal["room.client.joined"]] = "room.client.joined"
    data: PresenceData


class RoomClientLeft(WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="room.client.left"):
    """`room.client.left`: somebody left the room.

    Attributes:
        data: Who, and who is there now.
    """

    type: ClassVar[Literal["room.client.left"]] = "room.client.left"
    data: PresenceData


class RoomClientKnocked(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="room.client.knocked"
):
    """`room.client.knocked`: somebody asks to be let into a locked room.

    Attributes:
        data: Who.
    """

    type: ClassVar[Literal["room.client.knocked"]] = "room.client.knocked"
    data: ParticipantData


class RoomClientKnockCancelled(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="room.client.knockCancelled"
):
    """`room.client.knockCancelled`: somebody who knocked asks no more.

    Attributes:
        data: Who.
    """

    type: ClassVar[Literal["room.client.knockCancelled"]] = "room.client.knockCancelled"
    data: ParticipantData


class RoomSessionStarted(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="room.session.started"
):
    """`room.session.started`: a second person came, and a session began.

    Attributes:
        data: The room, and its session.
    """

    type: ClassVar[Literal["room.session.started"]] = "room.session.started"
    data: RoomData


class RoomSessionEnded(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="room.session.ended"
):
    """`room.session.ended`: fewer than two have been there for some time (a minute, as seen in September 2026).

    Attributes:
        data: The room, and its session.
    """

    type: ClassVar[Literal["room.session.ended"]] = "room.session.ended"
    data: RoomData


class TranscriptionStarted(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="transcription.started"
):
    """`transcription.started`: a session or a recording is being transcribed.

    Attributes:
        data: The transcription.
    """

    type: ClassVar[Literal["transcription.started"]] = "transcription.started"
    data: TranscriptionData


class TranscriptionFinished(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="transcription.finished"
):
    """`transcription.finished`: the transcript is there to be downloaded.

    Attributes:
        data: The transcription, and its file.
    """

    type: ClassVar[Literal["transcription.finished"]] = "transcription.finished"
    data: TranscriptionFinishedData


class TranscriptionFailed(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="transcription.failed"
):
    """`transcription.failed`: nothing came of a transcription.

    Attributes:
        data: The transcription, and why it failed.
    """

    type: ClassVar[Literal["transcription.failed"]] = "transcription.failed"
    data: TranscriptionFailedData


class RecordingFinished(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="recording.finished"
):
    """`recording.finished`: a recording is there to be downloaded.

    Attributes:
        data: The recording.
    """

    type: ClassVar[Literal["recording.finished"]] = "recording.finished"
    data: RecordingData


class AssistantRequested(
    WebhookEvent, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="assistant.requested"
):
    """`assistant.requested`: somebody in the room asks for an assistant.

    Attributes:
        data: The room.
    """

    type: ClassVar[Literal["assistant.requested"]] = "assistant.requested"
    data: RoomData


class UnknownEvent(WebhookEvent, frozen=True, kw_only=True, rename="camel"):
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
        return redact(f"<dict of {', '.join(value)}>") if isinstance(value, dict) else MASK  # pyright: ignore[reportUnknownArgumentType] - any JSON


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
