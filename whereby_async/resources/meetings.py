"""`client.meetings`: make, read, list and delete meetings and their rooms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from .. import operations
from ..models import (
    LiveTranscriptionOptions,
    Meeting,
    MeetingField,
    RecordingOptions,
    RoomMode,
    RoomNamePattern,
    RoomPreferences,
    StreamingOptions,
    TemplateType,
    rfc3339,
)
from ..operation import Sender
from ..pagination import MAX_PAGE_SIZE, Paginator
from ..redaction import silent
from . import arguments

_PREFIX_LENGTH = 39


class Meetings:
    """Meetings: transient rooms. There is no way to change one; a new one has to be made instead."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def create(  # noqa: PLR0913 - as many as the API has
        self,
        *,
        end_date: datetime | str,
        start_date: datetime | str | None = None,
        is_locked: bool | None = None,
        room_mode: RoomMode | None = None,
        room_name_prefix: str | None = None,
        room_name_pattern: RoomNamePattern | None = None,
        template_type: TemplateType | None = None,
        recording: RecordingOptions | Mapping[str, Any] | None = None,
        live_transcription: LiveTranscriptionOptions | Mapping[str, Any] | None = None,
        streaming: StreamingOptions | Mapping[str, Any] | None = None,
        is_dial_in_enabled: bool | None = None,
        room_preferences: RoomPreferences | Mapping[str, Any] | None = None,
        fields: Iterable[MeetingField] | None = (),
        extra: Mapping[str, Any] | None = None,
    ) -> Meeting:
        """Create a meeting and its room, usable at once. Costs 3 points.

        It is never sent twice unless the first surely did nothing: the API has no idempotency key, so after a
        timeout, a dropped connection or a 5xx the error has `may_have_happened=True` and a room may exist. Source:
        `POST /meetings` in the Whereby REST API reference.

        Args:
            end_date: When the meeting ends: an aware datetime, or an RFC 3339 string with an offset; now or later. An
                hour after it the room's host rights, recordings and webhooks end, and the room is deleted.
            start_date: Deprecated by the API, which ignores it: a meeting starts when it is made.
            is_locked: Only hosts let people in.
            room_mode: `normal` (up to 4 people, the API's default) or `group` (up to 200).
            room_name_prefix: Start of the room's name, at most 39 characters; the server lower-cases it and drops
                spaces.
            room_name_pattern: `uuid` (the API's default) or `human-short` for the rest of the name.
            template_type: `viewerMode`: a locked group room, answered with host and viewer link.
            recording: `models.RecordingOptions`, or a dictionary in wire spelling.
            live_transcription: `models.LiveTranscriptionOptions`, or a dictionary in wire spelling.
            streaming: `models.StreamingOptions`, or a dictionary in wire spelling.
            is_dial_in_enabled: People may join by telephone (closed beta; source: the dial-in page of the docs).
            room_preferences: `models.RoomPreferences`, or a dictionary (source: the HIPAA page of the docs).
            fields: More to answer: `hostRoomUrl`, `viewerRoomUrl`, `dialIn`. The links carry a secret `roomKey`.
            extra: More keys for the body.

        Raises:
            ValueError: `end_date` has no offset, the prefix is too long, or a field's name is empty.
            PermissionDeniedError: The plan has no recording, streaming or transcription.
        """
        recording, live_transcription = silent(recording), silent(live_transcription)
        streaming, extra = silent(streaming), silent(extra)
        if room_name_prefix is not None and len(arguments.text("room_name_prefix", room_name_prefix)) > _PREFIX_LENGTH:
            length = len(room_name_prefix)
            msg = f"room_name_prefix={room_name_prefix!r} has {length} characters; the API takes {_PREFIX_LENGTH}"
            raise ValueError(msg)
        body = arguments.body(
            extra,
            endDate=rfc3339("end_date", end_date),
            startDate=arguments.date("start_date", start_date),
            isLocked=is_locked,
            roomMode=room_mode,
            roomNamePrefix=room_name_prefix,
            roomNamePattern=room_name_pattern,
            templateType=template_type,
            recording=recording,
            liveTranscription=live_transcription,
            streaming=streaming,
            isDialInEnabled=is_dial_in_enabled,
            roomPreferences=room_preferences,
            fields=arguments.strings("fields", () if fields is None else fields, separator=",") or None,
        )
        return await self._sender.send(operations.CREATE_MEETING.bind(json=body))

    async def get(
        self, meeting_id: str, *, fields: Iterable[MeetingField] | None = (), extra: Mapping[str, Any] | None = None
    ) -> Meeting:
        """Read one meeting. Costs 1 point.

        Source: `GET /meetings/{meetingId}` in the Whereby REST API reference.

        Args:
            meeting_id: Its id.
            fields: More to answer: `hostRoomUrl`, `viewerRoomUrl`, `dialIn`.
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash.
            NotFoundError: No such meeting, or it is deleted.
        """
        query = arguments.query(extra, fields=arguments.comma_list("fields", fields))
        return await self._sender.send(operations.GET_MEETING.bind(meeting_id, query=query))

    def list(  # noqa: PLR0913 - keywords
        self,
        *,
        fields: Iterable[MeetingField] | None = (),
        name_starts_with: str | None = None,
        page_size: int = MAX_PAGE_SIZE,
        cursor: str | None = None,
        prefetch: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> Paginator[Meeting]:
        """List the meetings of the organisation. Costs 1 point a page.

        Source: `GET /meetings` in the Whereby REST API reference.

        Args:
            fields: More to answer: `hostRoomUrl`, `viewerRoomUrl`, `dialIn`.
            name_starts_with: Only rooms whose name starts so, such as `/support`; with or without its slash. Documented
                on the name-prefixes page of the docs, not in the API's reference.
            page_size: Rows a page, 1 to 100.
            cursor: Go on from a `Page.cursor` that was kept.
            prefetch: Pages to read ahead inside `async with`.
            extra: More query values.

        Raises:
            ValueError: The name is empty, a link or a path, or `page_size` or `prefetch` is out of range.
        """
        query = arguments.query(
            extra,
            fields=arguments.comma_list("fields", fields),
            **{"roomName[startsWith]": arguments.room_name("name_starts_with", name_starts_with)},
        )
        return arguments.paginator(self._sender, operations.LIST_MEETINGS, query, page_size, cursor, prefetch)

    async def delete(self, meeting_id: str, *, extra: Mapping[str, Any] | None = None) -> None:
        """Delete a meeting; everybody in its room is thrown out at once. Costs 2 points. Deleting it again does no
        harm.

        Source: `DELETE /meetings/{meetingId}` in the Whereby REST API reference.

        Args:
            meeting_id: Its id.
            extra: More query values.

        Raises:
            ValueError: The id is empty or holds a slash.
        """
        await self._sender.send(operations.DELETE_MEETING.bind(meeting_id, query=arguments.query(extra)))
