"""The Structs that somebody writes by hand for these answers: the fields that there are, and nothing else."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Meeting(msgspec.Struct, rename="camel"):
    """A meeting."""

    meeting_id: str
    room_url: str
    start_date: datetime
    end_date: datetime
    room_name: str | None = None
    host_room_url: str | None = None
    viewer_room_url: str | None = None


class Room(msgspec.Struct, rename="camel"):
    """A room's insights."""

    room_name: str
    created_at: datetime
    end_at: datetime
    first_session_started_at: datetime | None = None
    last_session_started_at: datetime | None = None
    total_participant_minutes: int | float | None = None
    total_recorder_minutes: int | float | None = None
    total_streamer_minutes: int | float | None = None
    total_unique_participants: int | None = None
    total_unique_recorders: int | None = None
    total_unique_streamers: int | None = None
    total_sessions: int | None = None
    rating: float | None = None
    total_ratings: int | None = None


class Meetings(msgspec.Struct):
    """A page of meetings."""

    results: list[Meeting]
    cursor: str | None = None


class Rooms(msgspec.Struct):
    """A page of rooms."""

    results: list[Room]
    cursor: str | None = None


one_meeting = msgspec.json.Decoder(Meeting).decode
page_of_meetings = msgspec.json.Decoder(Meetings).decode
page_of_rooms = msgspec.json.Decoder(Rooms).decode
