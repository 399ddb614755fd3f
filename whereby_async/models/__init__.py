"""What the API returns and what it takes: frozen Structs, the words that they hold, and the way to and from JSON.

Results have snake_case attributes and aware `datetime`s. Everything but the id that names an object may be `None`,
words (states, types, templates) are plain text with the documented ones in constants beside them, and fields that this
version does not know are ignored. Secrets do not show in a `repr`.
"""

from .dates import rfc3339
from .decoding import Decoder, decoder, no_content
from .encoding import encode
from .insights import (
    PARTICIPANT_SORT_FIELDS,
    ParticipantDetails,
    ParticipantInsights,
    ParticipantSamples,
    RoomInsights,
    RoomSessionInsights,
)
from .meetings import (
    MEETING_FIELDS,
    STREAMING_START_TRIGGERS,
    DialIn,
    DialInPhoneNumber,
    Meeting,
    MeetingField,
    StreamingDestination,
    StreamingOptions,
    StreamingStartTrigger,
)
from .model import Model, Page, Timestamp, UnreadableValue
from .recordings import (
    AUTHENTICATION_TYPES,
    FILE_FORMATS,
    RECORDING_SORT_FIELDS,
    RECORDING_START_TRIGGERS,
    RECORDING_TYPES,
    STORAGE_PROVIDERS,
    AccessLink,
    AuthenticationType,
    FileFormat,
    Recording,
    RecordingDestination,
    RecordingOptions,
    RecordingStartTrigger,
    RecordingType,
    StorageProvider,
)
from .rooms import (
    BACKGROUND_PALETTES,
    BACKGROUND_THEMES,
    ROOM_MODES,
    ROOM_NAME_PATTERNS,
    TEMPLATE_TYPES,
    BackgroundPalette,
    BackgroundTheme,
    MeetingRoomPreferences,
    RoomMode,
    RoomNamePattern,
    RoomPreferences,
    TemplateType,
)
from .summaries import SUMMARY_SORT_FIELDS, SUMMARY_STATES, SUMMARY_TEMPLATES, Summary, SummaryJob, SummaryTemplate
from .transcriptions import (
    LANGUAGES,
    LIVE_TRANSCRIPTION_START_TRIGGERS,
    STORAGE_TYPES,
    TRANSCRIPTION_SORT_FIELDS,
    TRANSCRIPTION_STATES,
    TRANSCRIPTION_TYPES,
    LiveTranscriptionDestination,
    LiveTranscriptionOptions,
    LiveTranscriptionStartTrigger,
    Transcription,
    TranscriptionJob,
)

__all__: list[str] = ["AUTHENTICATION_TYPES", "BACKGROUND_PALETTES", "BACKGROUND_THEMES", "FILE_FORMATS", "LANGUAGES"]
__all__ += ["LIVE_TRANSCRIPTION_START_TRIGGERS", "MEETING_FIELDS", "PARTICIPANT_SORT_FIELDS", "RECORDING_SORT_FIELDS"]
__all__ += ["RECORDING_START_TRIGGERS", "RECORDING_TYPES", "ROOM_MODES", "ROOM_NAME_PATTERNS", "STORAGE_PROVIDERS"]
__all__ += ["STORAGE_TYPES", "STREAMING_START_TRIGGERS", "SUMMARY_SORT_FIELDS", "SUMMARY_STATES", "SUMMARY_TEMPLATES"]
__all__ += ["TEMPLATE_TYPES", "TRANSCRIPTION_SORT_FIELDS", "TRANSCRIPTION_STATES", "TRANSCRIPTION_TYPES", "AccessLink"]
__all__ += ["AuthenticationType", "BackgroundPalette", "BackgroundTheme", "Decoder", "DialIn", "DialInPhoneNumber"]
__all__ += ["FileFormat", "LiveTranscriptionDestination", "LiveTranscriptionOptions", "LiveTranscriptionStartTrigger"]
__all__ += ["Meeting", "MeetingField", "MeetingRoomPreferences", "Model", "Page", "ParticipantDetails"]
__all__ += ["ParticipantInsights", "ParticipantSamples", "Recording", "RecordingDestination", "RecordingOptions"]
__all__ += ["RecordingStartTrigger", "RecordingType", "RoomInsights", "RoomMode", "RoomNamePattern", "RoomPreferences"]
__all__ += ["RoomSessionInsights", "StorageProvider", "StreamingDestination", "StreamingOptions"]
__all__ += ["StreamingStartTrigger", "Summary", "SummaryJob", "SummaryTemplate", "TemplateType", "Timestamp"]
__all__ += ["Transcription", "TranscriptionJob", "UnreadableValue", "decoder", "encode", "no_content", "rfc3339"]
