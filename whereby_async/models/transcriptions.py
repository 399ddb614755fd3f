"""Transcriptions: what `client.transcriptions` returns."""

from __future__ import annotations

from typing import Final

from .model import Model, Timestamp

TRANSCRIPTION_STATES: Final = ("in_progress", "ready", "failed")
"""The documented values of `Transcription.state`; others may come."""

TRANSCRIPTION_TYPES: Final = ("LIVE_TRANSCRIPTION", "RECORDING_TRANSCRIPTION")
"""The documented values of `Transcription.type`; others may come."""

STORAGE_TYPES: Final = ("WHEREBY_HOSTED", "SELF_HOSTED")
"""The documented values of `Transcription.storage_type`; others may come."""

TRANSCRIPTION_SORT_FIELDS: Final = ("roomName", "startDate", "durationInSeconds")
"""What `GET /transcriptions` can be sorted by, each followed by `:asc` or `:desc`."""

READY_STATES: Final = frozenset({"ready", "completed"})
"""The states that say: done, and well. The reference has spelled it both ways."""

FAILED_STATES: Final = frozenset({"failed"})
"""The states that say: done, and nothing came of it."""


class Transcription(Model, frozen=True, kw_only=True, rename="camel", gc=False):
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

    @property
    def is_ready(self) -> bool:
        """Is the transcript there to be downloaded?"""
        return self.state in READY_STATES

    @property
    def is_failed(self) -> bool:
        """Did the transcription fail for good?"""
        return self.state in FAILED_STATES

    @property
    def is_done(self) -> bool:
        """Is it ready or failed? A state that this version does not know counts as still under way."""
        return self.is_ready or self.is_failed


class TranscriptionJob(Model, frozen=True, kw_only=True, rename="camel"):
    """What `POST /transcriptions` answers: the transcription was begun. Whereby REST API reference, Transcriptions.

    Attributes:
        transcription_id: The id to ask after, and to wait for.
    """

    transcription_id: str
