"""Transcriptions: what `client.transcriptions` returns, and how `client.meetings.create` has a meeting transcribed."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from .model import Model, Timestamp
from .recordings import AuthenticationType, StorageProvider

LiveTranscriptionStartTrigger: TypeAlias = Literal["none", "manual", "automatic", "automatic-2nd-participant"] | str
"""What starts a session transcription."""

LIVE_TRANSCRIPTION_START_TRIGGERS: Final = ("none", "manual", "automatic", "automatic-2nd-participant")
"""The documented values of `LiveTranscriptionOptions.start_trigger`."""

LANGUAGES: Final = (
    *("ca", "zh", "zh-TW", "cs", "da", "nl", "en", "fi", "fr", "de", "de-CH", "el", "hi", "id", "it", "ja"),
    *("ko", "lv", "ms", "no", "pl", "pt", "pt-BR", "ro", "ru", "sk", "es", "sv", "th", "uk", "vi"),
)
"""The languages of session transcriptions, as documented; any other text is passed on to the server as it is."""

TRANSCRIPTION_STATES: Final = ("in_progress", "ready", "failed")
"""The documented values of `Transcription.state`; others may come."""

TRANSCRIPTION_TYPES: Final = ("LIVE_TRANSCRIPTION", "RECORDING_TRANSCRIPTION")
"""The documented values of `Transcription.type`; others may come."""

STORAGE_TYPES: Final = ("WHEREBY_HOSTED", "SELF_HOSTED")
"""The documented values of `Transcription.storage_type`; others may come."""

TRANSCRIPTION_SORT_FIELDS: Final = ("roomName", "startDate", "durationInSeconds")
"""What `GET /transcriptions` can be sorted by, each followed by `:asc` or `:desc`."""


class HasState:
    """What the `state` of a transcription or of a summary says."""

    __slots__ = ()

    state: str | None

    @property
    def is_ready(self) -> bool:
        """Is it written, and there to be read?"""
        return self.state in {"ready", "completed"}  # the reference has spelled it both ways

    @property
    def is_failed(self) -> bool:
        """Did it fail for good?"""
        return self.state == "failed"

    @property
    def is_done(self) -> bool:
        """Is it ready or failed? A state that this version does not know counts as still under way."""
        return self.is_ready or self.is_failed


class Transcription(HasState, Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A transcript of a session or of a recording. Whereby REST API reference, Transcriptions.

    Attributes:
        transcription_id: The transcription's id.
        room_session_id: The session that was transcribed.
        room_name: The room's name with its leading slash.
        start_date: When what was transcribed began, aware, in UTC.
        end_date: When what was transcribed ended, aware, in UTC.
        state: One of `TRANSCRIPTION_STATES`, or a newer word; `is_ready`, `is_failed` and `is_done` read it.
        created_at: When the transcription was made, aware, in UTC.
        type: One of `TRANSCRIPTION_TYPES`, or a newer word.
        filename: The Markdown file's name.
        duration_in_seconds: What is billed, in seconds.
        storage_type: One of `STORAGE_TYPES`, or a newer word. Only what Whereby hosts can be downloaded.
        error: Why it failed, if the server says so; the reference names it for the webhook `transcription.failed` only.
    """

    transcription_id: str
    room_session_id: str | None = None
    room_name: str | None = None
    start_date: Timestamp | None = None
    end_date: Timestamp | None = None
    state: str | None = None
    created_at: Timestamp | None = None
    type: str | None = None
    filename: str | None = None
    duration_in_seconds: float | None = None
    storage_type: str | None = None
    error: str | None = None


class TranscriptionJob(Model, frozen=True, kw_only=True, rename="camel"):
    """What `POST /transcriptions` answers: the transcription was begun. Whereby REST API reference, Transcriptions.

    Attributes:
        transcription_id: The id to ask after, and to wait for.
    """

    transcription_id: str


class LiveTranscriptionDestination(Model, frozen=True, kw_only=True, rename="camel"):
    """Where a transcript is kept. Whereby REST API reference, `POST /meetings`, `liveTranscription.destination`.

    Attributes:
        provider: `whereby`, or `s3` for a bucket of yours.
        authentication_type: `accessKey` (with `bucket`, `region`, `access_key_id` and `access_key_secret`) or
            `roleBased` (with `bucket` and `oidc_role_arn`).
        bucket: The bucket's name, perhaps with a folder: `my-bucket/transcriptions`.
        access_key_id: The S3 access key id. Secret.
        access_key_secret: The S3 access key secret. Secret.
        region: The bucket's region.
        oidc_role_arn: The role that Whereby takes on.
    """

    _secrets: ClassVar[frozenset[str]] = frozenset({"access_key_id", "access_key_secret"})

    provider: StorageProvider | UnsetType = UNSET
    authentication_type: AuthenticationType | UnsetType = UNSET
    bucket: str | UnsetType = UNSET
    access_key_id: str | UnsetType = UNSET
    access_key_secret: str | UnsetType = UNSET
    region: str | UnsetType = UNSET
    oidc_role_arn: str | UnsetType = UNSET


class LiveTranscriptionOptions(Model, frozen=True, kw_only=True, rename="camel"):
    """How a meeting is transcribed while it runs. Whereby REST API reference, `POST /meetings`, `liveTranscription`.

    Attributes:
        destination: Where the transcript goes; `None` takes the organisation's setting.
        start_trigger: `none`, `manual`, `automatic`, `automatic-2nd-participant`; `None` takes the organisation's
            setting.
        language: What is spoken, one of `LANGUAGES`; `None` takes the organisation's setting. It cannot be changed
            later.
        live_captions: Are captions offered to all participants?
    """

    _secrets: ClassVar[frozenset[str]] = frozenset({"destination"})

    destination: LiveTranscriptionDestination | UnsetType | None = UNSET
    start_trigger: LiveTranscriptionStartTrigger | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET
    live_captions: bool | UnsetType = UNSET
