"""The API on one screen: its 27 operations.

Columns: the name that hooks, prices and errors go by; method and path; what a 2xx body becomes. The seed cost follows
from the method (GET 1, DELETE 2, POST and PUT 3 points), and so does `idempotent`, but for the bulk deletes, which are
documented to be. Source: Whereby REST API reference.

An operation has a row here and a method in `resources/`. For the command line it has a row in
`cli/operation_commands.py` too, and for the fake server a row and a function in `testing/world/`.
"""

from __future__ import annotations

from .models import (
    AccessLink,
    Meeting,
    Page,
    ParticipantDetails,
    ParticipantInsights,
    Recording,
    RoomInsights,
    RoomSessionInsights,
    Summary,
    SummaryJob,
    Transcription,
    TranscriptionJob,
)
from .models.decoding import decoder, no_content
from .operation import Operation

CREATE_MEETING = Operation("meetings.create", "POST", "/meetings", decoder(Meeting))
LIST_MEETINGS = Operation("meetings.list", "GET", "/meetings", decoder(Page[Meeting]))
GET_MEETING = Operation("meetings.get", "GET", "/meetings/{meeting_id}", decoder(Meeting))
DELETE_MEETING = Operation("meetings.delete", "DELETE", "/meetings/{meeting_id}", no_content)

LIST_RECORDINGS = Operation("recordings.list", "GET", "/recordings", decoder(Page[Recording]))
GET_RECORDING = Operation("recordings.get", "GET", "/recordings/{recording_id}", decoder(Recording))
DELETE_RECORDING = Operation("recordings.delete", "DELETE", "/recordings/{recording_id}", no_content)
LINK_RECORDING = Operation(
    "recordings.access_link", "GET", "/recordings/{recording_id}/access-link", decoder(AccessLink)
)
BULK_DELETE_RECORDINGS = Operation(
    "recordings.bulk_delete", "POST", "/recordings/bulk-delete", no_content, idempotent=True
)

CREATE_TRANSCRIPTION = Operation("transcriptions.create", "POST", "/transcriptions", decoder(TranscriptionJob))
LIST_TRANSCRIPTIONS = Operation("transcriptions.list", "GET", "/transcriptions", decoder(Page[Transcription]))
GET_TRANSCRIPTION = Operation("transcriptions.get", "GET", "/transcriptions/{transcription_id}", decoder(Transcription))
DELETE_TRANSCRIPTION = Operation("transcriptions.delete", "DELETE", "/transcriptions/{transcription_id}", no_content)
LINK_TRANSCRIPTION = Operation(
    "transcriptions.access_link", "GET", "/transcriptions/{transcription_id}/access-link", decoder(AccessLink)
)
BULK_DELETE_TRANSCRIPTIONS = Operation(
    "transcriptions.bulk_delete", "POST", "/transcriptions/bulk-delete", no_content, idempotent=True
)

CREATE_SUMMARY = Operation("summaries.create", "POST", "/summaries", decoder(SummaryJob))
LIST_SUMMARIES = Operation("summaries.list", "GET", "/summaries", decoder(Page[Summary]))
GET_SUMMARY = Operation("summaries.get", "GET", "/summaries/{summary_id}", decoder(Summary))
DELETE_SUMMARY = Operation("summaries.delete", "DELETE", "/summaries/{summary_id}", no_content)

SET_THEME_TOKENS = Operation("rooms.set_theme_tokens", "PUT", "/rooms/{room_name}/theme/tokens", no_content)
SET_LOGO = Operation("rooms.set_logo", "PUT", "/rooms/{room_name}/theme/logo", no_content)
SET_BACKGROUND = Operation("rooms.set_background", "PUT", "/rooms/{room_name}/theme/room-background", no_content)
SET_KNOCK_BACKGROUND = Operation(
    "rooms.set_knock_background", "PUT", "/rooms/{room_name}/theme/room-knock-page-background", no_content
)

INSIGHTS_ROOMS = Operation("insights.rooms", "GET", "/insights/rooms", decoder(Page[RoomInsights]))
INSIGHTS_ROOM_SESSIONS = Operation(
    "insights.room_sessions", "GET", "/insights/room-sessions", decoder(Page[RoomSessionInsights])
)
INSIGHTS_PARTICIPANTS = Operation(
    "insights.participants", "GET", "/insights/participants", decoder(Page[ParticipantInsights])
)
INSIGHTS_PARTICIPANT = Operation(
    "insights.participant", "GET", "/insights/participant", decoder(list[ParticipantDetails])
)
