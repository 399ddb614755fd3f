"""What `client.meetings.create` takes as nested bodies: recording, live transcription, streaming, preferences.

Every field defaults to `UNSET`, which is not sent at all. `None` is sent as null where the API documents null as "take
it from the organisation's settings". Which fields go together is the server's business: it is looser than its own
documentation, so nothing is enforced here.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from .model import Model

RecordingType: TypeAlias = Literal["none", "local", "cloud"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""Where a recording is made: nowhere, in the browser, in the cloud."""

StorageProvider: TypeAlias = Literal["s3", "whereby"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""Who keeps the files: a bucket of yours, or Whereby."""

AuthenticationType: TypeAlias = Literal["accessKey", "roleBased"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""How Whereby gets into the bucket."""

FileFormat: TypeAlias = Literal["mkv", "mp4"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""The container of a recording."""

RecordingStartTrigger: TypeAlias = Literal["none", "prompt", "automatic", "automatic-2nd-participant"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""What starts a cloud recording."""

LiveTranscriptionStartTrigger: TypeAlias = Literal["none", "manual", "automatic", "automatic-2nd-participant"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""What starts a session transcription."""

StreamingStartTrigger: TypeAlias = Literal["none", "prompt", "automatic"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""What starts a stream."""

RECORDING_TYPES: Final = ("none", "local", "cloud")
"""The documented values of `RecordingOptions.type`."""

STORAGE_PROVIDERS: Final = ("s3", "whereby")
"""The documented values of a destination's `provider`."""

AUTHENTICATION_TYPES: Final = ("accessKey", "roleBased")
"""The documented values of a destination's `authentication_type`."""

FILE_FORMATS: Final = ("mkv", "mp4")
"""The documented values of `RecordingDestination.file_format`."""

RECORDING_START_TRIGGERS: Final = ("none", "prompt", "automatic", "automatic-2nd-participant")
"""The documented values of `RecordingOptions.start_trigger`."""

LIVE_TRANSCRIPTION_START_TRIGGERS: Final = ("none", "manual", "automatic", "automatic-2nd-participant")
"""The documented values of `LiveTranscriptionOptions.start_trigger`."""

STREAMING_START_TRIGGERS: Final = ("none", "prompt", "automatic")
"""The documented values of `StreamingOptions.start_trigger`."""

LANGUAGES: Final = (
    *("ca", "zh", "zh-TW", "cs", "da", "nl", "en", "fi", "fr", "de", "de-CH", "el", "hi", "id", "it", "ja"),
    *("ko", "lv", "ms", "no", "pl", "pt", "pt-BR", "ro", "ru", "sk", "es", "sv", "th", "uk", "vi"),
)
"""The languages of session transcriptions, as documented; any other text is passed on to the server as it is."""


class RecordingDestination(Model, frozen=True, kw_only=True, rename="camel"):
    """Where a recording is kept. Whereby REST API reference, `POST /meetings`, `recording.destination`.

    Attributes:
        provider: `whereby`, or `s3` for a bucket of yours.
        authentication_type: `accessKey` (with `bucket`, `access_key_id` and `access_key_secret`) or `roleBased` (with
            `bucket` and `oidc_role_arn`).
        bucket: The bucket's name, perhaps with a folder: `my-bucket/recordings`.
        access_key_id: The S3 access key id. Secret.
        access_key_secret: The S3 access key secret. Secret.
        file_format: `mkv` or `mp4`; the organisation's setting if left out.
        oidc_role_arn: The role that Whereby takes on.
        region: The bucket's region. The reference asks for it in words only.
    """

    _secrets: ClassVar[frozenset[str]] = frozenset({"access_key_id", "access_key_secret"})

    provider: StorageProvider | UnsetType = UNSET
    authentication_type: AuthenticationType | UnsetType = UNSET
    bucket: str | UnsetType = UNSET
    access_key_id: str | UnsetType = UNSET
    access_key_secret: str | UnsetType = UNSET
    file_format: FileFormat | UnsetType | None = UNSET
    oidc_role_arn: str | UnsetType = UNSET
    region: str | UnsetType = UNSET


class RecordingOptions(Model, frozen=True, kw_only=True, rename="camel"):
    """How a meeting is recorded. Whereby REST API reference, `POST /meetings`, `recording`.

    Attributes:
        type: `none`, `local` (in the browser) or `cloud`.
        destination: Where the file goes; `None` takes the organisation's setting.
        start_trigger: What starts a cloud recording: `none`, `prompt`, `automatic`, `automatic-2nd-participant`;
            `None` takes the organisation's setting.
    """

    _secrets: ClassVar[frozenset[str]] = frozenset({"destination"})

    type: RecordingType | UnsetType = UNSET
    destination: RecordingDestination | UnsetType | None = UNSET
    start_trigger: RecordingStartTrigger | UnsetType | None = UNSET


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
