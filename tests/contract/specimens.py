"""Calls that between them use every keyword of every operation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from whereby_async.models import (
    LiveTranscriptionDestination,
    LiveTranscriptionOptions,
    RecordingDestination,
    RecordingOptions,
    RoomPreferences,
    StreamingDestination,
    StreamingOptions,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from whereby_async import WherebyClient


UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32


class Specimen(NamedTuple):
    """Calls of one method that between them use every keyword it has.

    Attributes:
        key: Method and path in the reference.
        operation: What the client calls it.
        calls: The calls.
    """

    key: str
    operation: str
    calls: tuple[Callable[[WherebyClient], Awaitable[object]], ...]


def specimen(key: str, operation: str, *calls: Callable[[WherebyClient], Awaitable[object]]) -> Specimen:
    """A row of the table below."""
    return Specimen(key, operation, calls)


async def _create_meeting(client: WherebyClient) -> object:
    return await client.meetings.create(
        end_date=UNTIL,
        start_date=UNTIL,
        is_locked=True,
        room_mode="group",
        room_name_prefix="example-prefix",
        room_name_pattern="human-short",
        template_type="viewerMode",
        recording=RecordingOptions(
            type="cloud",
            destination=RecordingDestination(
                provider="s3",
                authentication_type="accessKey",
                bucket="b",
                access_key_id="i",
                access_key_secret="s",
                file_format="mkv",
                oidc_role_arn="a",
                region="eu",
            ),
            start_trigger="prompt",
        ),
        live_transcription=LiveTranscriptionOptions(
            destination=LiveTranscriptionDestination(
                provider="s3",
                authentication_type="roleBased",
                bucket="b",
                access_key_id="i",
                access_key_secret="s",
                region="eu",
                oidc_role_arn="a",
            ),
            start_trigger="manual",
            language="en",
            live_captions=True,
        ),
        streaming=StreamingOptions(destination=StreamingDestination(url="rtmp://x/y"), start_trigger="prompt"),
        is_dial_in_enabled=True,
        room_preferences=RoomPreferences(streaming=False, room_integrations=False, dial_in=True),
        fields=["hostRoomUrl", "viewerRoomUrl", "dialIn"],
    )


SPECIMENS = (
    specimen("POST /meetings", "meetings.create", _create_meeting),
    specimen(
        "GET /meetings",
        "meetings.list",
        lambda c: c.meetings.list(fields=["hostRoomUrl"], name_starts_with="/x", page_size=7, cursor="abc"),
    ),
    specimen("GET /meetings/{meetingId}", "meetings.get", lambda c: c.meetings.get("1", fields=["viewerRoomUrl"])),
    specimen("DELETE /meetings/{meetingId}", "meetings.delete", lambda c: c.meetings.delete("1")),
    specimen(
        "GET /recordings",
        "recordings.list",
        lambda c: c.recordings.list(room_name="/x", sort_by="startDate:desc", page_size=7, cursor="abc"),
    ),
    specimen("GET /recordings/{recordingId}", "recordings.get", lambda c: c.recordings.get("1")),
    specimen("DELETE /recordings/{recordingId}", "recordings.delete", lambda c: c.recordings.delete("1")),
    specimen(
        "GET /recordings/{recordingId}/access-link",
        "recordings.access_link",
        lambda c: c.recordings.access_link("1", valid_for=60),
    ),
    specimen("POST /recordings/bulk-delete", "recordings.bulk_delete", lambda c: c.recordings.bulk_delete(["1", "2"])),
    specimen("POST /transcriptions", "transcriptions.create", lambda c: c.transcriptions.create("1")),
    specimen(
        "GET /transcriptions",
        "transcriptions.list",
        lambda c: c.transcriptions.list(room_name="/x", sort_by="startDate:desc", page_size=7, cursor="abc"),
    ),
    specimen("GET /transcriptions/{transcriptionId}", "transcriptions.get", lambda c: c.transcriptions.get("1")),
    specimen(
        "DELETE /transcriptions/{transcriptionId}", "transcriptions.delete", lambda c: c.transcriptions.delete("1")
    ),
    specimen(
        "GET /transcriptions/{transcriptionId}/access-link",
        "transcriptions.access_link",
        lambda c: c.transcriptions.access_link("1", valid_for=60),
    ),
    specimen(
        "POST /transcriptions/bulk-delete",
        "transcriptions.bulk_delete",
        lambda c: c.transcriptions.bulk_delete(["1", "2"]),
    ),
    specimen("POST /summaries", "summaries.create", lambda c: c.summaries.create("1", template="SOAP")),
    specimen(
        "GET /summaries",
        "summaries.list",
        lambda c: c.summaries.list(sort_by="startDate:desc", page_size=7, cursor="abc"),
    ),
    specimen("GET /summaries/{summaryId}", "summaries.get", lambda c: c.summaries.get("1")),
    specimen("DELETE /summaries/{summaryId}", "summaries.delete", lambda c: c.summaries.delete("1")),
    specimen(
        "PUT /rooms/{roomName}/theme/tokens",
        "rooms.set_theme_tokens",
        lambda c: c.rooms.set_theme_tokens("/x", primary="#000000", secondary="#000000", focus="#000000"),
        lambda c: c.rooms.reset_theme_tokens("/x"),
    ),
    specimen(
        "PUT /rooms/{roomName}/theme/logo",
        "rooms.set_logo",
        lambda c: c.rooms.set_logo("/x", PNG),
        lambda c: c.rooms.reset_logo("/x"),
    ),
    specimen(
        "PUT /rooms/{roomName}/theme/room-background",
        "rooms.set_background",
        lambda c: c.rooms.set_background("/x", PNG),
        lambda c: c.rooms.set_background("/x", palette="grey", theme="rocks"),
        lambda c: c.rooms.reset_background("/x"),
    ),
    specimen(
        "PUT /rooms/{roomName}/theme/room-knock-page-background",
        "rooms.set_knock_background",
        lambda c: c.rooms.set_knock_background("/x", PNG),
        lambda c: c.rooms.set_knock_background("/x", palette="grey", theme="rocks"),
        lambda c: c.rooms.reset_knock_background("/x"),
    ),
    specimen(
        "GET /insights/rooms",
        "insights.rooms",
        lambda c: c.insights.rooms(
            name="/x",
            name_starts_with="/x",
            name_contains="x",
            created_from=UNTIL,
            created_to=UNTIL,
            sort_by="totalSessions:asc",
            page_size=7,
            cursor="abc",
        ),
    ),
    specimen(
        "GET /insights/room-sessions",
        "insights.room_sessions",
        lambda c: c.insights.room_sessions(
            "/x", room_session_id="1", sort_by="totalUniqueParticipants:asc", page_size=7, cursor="abc"
        ),
    ),
    specimen(
        "GET /insights/participants",
        "insights.participants",
        lambda c: c.insights.participants(room_session_id="1", sort_by="joinedAt:asc", page_size=7, cursor="abc"),
        lambda c: c.insights.participants(external_id="1", sort_by="leftAt:desc", page_size=7, cursor="abc"),
    ),
    specimen("GET /insights/participant", "insights.participant", lambda c: c.insights.participant("1", "2")),
)


BY_OPERATION = {each.operation: each for each in SPECIMENS}
