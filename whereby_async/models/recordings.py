"""Recordings: what `client.recordings` returns."""

from __future__ import annotations

from typing import Final

from .model import Model, Timestamp

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
