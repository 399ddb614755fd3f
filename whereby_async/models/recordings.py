"""Recordings: what `client.recordings` returns, and how `client.meetings.create` has a meeting recorded."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from .model import Model, Timestamp

RecordingType: TypeAlias = Literal["none", "local", "cloud"] | str
"""Where a recording is made: nowhere, in the browser, in the cloud."""

StorageProvider: TypeAlias = Literal["s3", "whereby"] | str
"""Who keeps the files: a bucket of yours, or Whereby."""

AuthenticationType: TypeAlias = Literal["accessKey", "roleBased"] | str
"""How Whereby gets into the bucket."""

FileFormat: TypeAlias = Literal["mkv", "mp4"] | str
"""The container of a recording."""

RecordingStartTrigger: TypeAlias = Literal["none", "prompt", "automatic", "automatic-2nd-participant"] | str
"""What starts a cloud recording."""

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

RECORDING_SORT_FIELDS: Final = ("roomName", "startDate", "duration", "sizeInMegaBytes")
"""What `GET /recordings` can be sorted by, each followed by `:asc` or `:desc`."""


class Recording(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A recording that Whereby hosts. Whereby REST API reference, Recordings.

    Attributes:
        recording_id: The recording's id.
        room_session_id: The session that was recorded.
        room_name: The room's name with its leading slash. The reference does not list it; answers hold it.
        filename: The file's name; its ending tells the container (`mkv` or `mp4`).
        start_date: When the recording began, aware, in UTC.
        end_date: When the recording ended, aware, in UTC.
        size_in_mega_bytes: The file's size in megabytes.
    """

    recording_id: str
    room_session_id: str | None = None
    room_name: str | None = None
    filename: str | None = None
    start_date: Timestamp | None = None
    end_date: Timestamp | None = None
    size_in_mega_bytes: float | None = None


class AccessLink(Model, frozen=True, kw_only=True, rename="camel"):
    """A presigned link to a file that Whereby hosts. Whoever has it can fetch the file: it does not show in a `repr`.

    Fetch it with a plain GET and no `Authorization` header; `download` of the recordings and transcriptions does that.
    Documented under `GET /recordings/{recordingId}/access-link` and `GET /transcriptions/{transcriptionId}/access-link`
    in the Whereby REST API reference.

    Attributes:
        access_link: The link itself. Secret.
        expires: When the link stops to work, aware, in UTC (milliseconds since 1970 on the wire).
    """

    _secrets: ClassVar[frozenset[str]] = frozenset({"access_link"})

    access_link: str
    expires: Timestamp | None = None


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
