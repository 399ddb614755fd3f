"""`client.insights`: who met where, for how long, and how well. The numbers lag 10 to 15 minutes behind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .. import operations
from ..models import ParticipantDetails, ParticipantInsights, RoomInsights, RoomSessionInsights
from ..operation import Sender
from ..pagination import MAX_PAGE_SIZE, Paginator
from . import arguments


class Insights:
    """Insights into rooms, their sessions and participants.

    Prices: 1 point a page is the seed; the newer documents say that a heavy read may cost up to 10, which is learned.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def rooms(  # noqa: PLR0913 - as many filters as the API has
        self,
        *,
        name: str | None = None,
        name_starts_with: str | None = None,
        name_contains: str | None = None,
        created_from: datetime | str | None = None,
        created_to: datetime | str | None = None,
        sort_by: str | None = None,
        page_size: int = MAX_PAGE_SIZE,
        cursor: str | None = None,
        prefetch: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> Paginator[RoomInsights]:
        """List rooms with their totals. Costs 1 point a page, or what is learned.

        Source: `GET /insights/rooms` in the Whereby REST API reference.

        Args:
            name: Only the room of this name, such as `/demo`; with or without its slash.
            name_starts_with: Only rooms whose name starts so; with or without its slash.
            name_contains: Only rooms whose name contains this.
            created_from: Only rooms made then or later: an aware datetime, or an RFC 3339 string with an offset.
            created_to: Only rooms made then or earlier.
            sort_by: `field:asc` or `field:desc`, such as `totalSessions:asc`.
            page_size: Rows a page, 1 to 100.
            cursor: Go on from a `Page.cursor` that was kept.
            prefetch: Pages to read ahead inside `async with`.
            extra: More query values.

        Raises:
            ValueError: A date has no offset, `name` is empty, a name is a link or a path, `sort_by` has another form,
                or a number is out of range.
        """
        filters: dict[str, object] = {
            "roomName[exact]": arguments.room_name("name", name),
            "roomName[startsWith]": name_starts_with and arguments.room_name("name_starts_with", name_starts_with),
            "roomName[contains]": name_contains and arguments.text("name_contains", name_contains),
            "createdAt[from]": arguments.date("created_from", created_from),
            "createdAt[to]": arguments.date("created_to", created_to),
        }
        query = arguments.query(extra, **filters, sortBy=arguments.sort_by(sort_by))
        return arguments.paginator(self._sender, operations.INSIGHTS_ROOMS, query, page_size, cursor, prefetch)

    def room_sessions(  # noqa: PLR0913 - as many filters as the API has
        self,
        room_name: str,
        *,
        room_session_id: str | None = None,
        sort_by: str | None = None,
        page_size: int = MAX_PAGE_SIZE,
        cursor: str | None = None,
        prefetch: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> Paginator[RoomSessionInsights]:
        """List the sessions of one room. Costs 1 point a page, or what is learned.

        Source: `GET /insights/room-sessions` in the Whereby REST API reference.

        Args:
            room_name: The room's name, such as `/demo`; with or without its slash.
            room_session_id: Only this session.
            sort_by: `field:asc` or `field:desc`, such as `totalUniqueParticipants:asc`.
            page_size: Rows a page, 1 to 100.
            cursor: Go on from a `Page.cursor` that was kept.
            prefetch: Pages to read ahead inside `async with`.
            extra: More query values.

        Raises:
            ValueError: The name is empty, a link or a path, `sort_by` has another form, or a number is out of range.
        """
        query = arguments.query(
            extra,
            roomName=arguments.room_name("room_name", arguments.required("room_name", room_name)),
            roomSessionId=arguments.optional("room_session_id", room_session_id),
            sortBy=arguments.sort_by(sort_by),
        )
        return arguments.paginator(self._sender, operations.INSIGHTS_ROOM_SESSIONS, query, page_size, cursor, prefetch)

    def participants(  # noqa: PLR0913 - as many filters as the API has
        self,
        *,
        room_session_id: str | None = None,
        external_id: str | None = None,
        sort_by: str | None = None,
        page_size: int = MAX_PAGE_SIZE,
        cursor: str | None = None,
        prefetch: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> Paginator[ParticipantInsights]:
        """List the participants of one session, or the sessions of one participant. Costs 1 point a page, or what is
        learned.

        Source: `GET /insights/participants` in the Whereby REST API reference.

        Args:
            room_session_id: The session's id; either this or `external_id`.
            external_id: The identifier that you gave the participant in the room's link.
            sort_by: `joinedAt:asc`, `joinedAt:desc`, `leftAt:asc` or `leftAt:desc`.
            page_size: Rows a page, 1 to 100.
            cursor: Go on from a `Page.cursor` that was kept.
            prefetch: Pages to read ahead inside `async with`.
            extra: More query values.

        Raises:
            ValueError: Neither or both ids are given, `sort_by` has another form, or a number is out of range.
        """
        if (room_session_id is None) == (external_id is None):
            msg = (
                "insights.participants takes exactly one of room_session_id= and external_id="
                f" (given: {room_session_id!r} and {external_id!r})"
            )
            raise ValueError(msg)
        query = arguments.query(
            extra,
            roomSessionId=arguments.optional("room_session_id", room_session_id),
            externalId=arguments.optional("external_id", external_id),
            sortBy=arguments.sort_by(sort_by),
        )
        return arguments.paginator(self._sender, operations.INSIGHTS_PARTICIPANTS, query, page_size, cursor, prefetch)

    async def participant(
        self, room_session_id: str, participant_id: str, *, extra: Mapping[str, Any] | None = None
    ) -> list[ParticipantDetails]:
        """How one participant's connections to one session went: one entry for each. Costs 1 point, or what is learned.

        Source: `GET /insights/participant` in the Whereby REST API reference.

        Args:
            room_session_id: The session's id.
            participant_id: The participant's id.
            extra: More query values.

        Raises:
            ValueError: An id is empty.
        """
        query = arguments.query(
            extra,
            roomSessionId=arguments.required("room_session_id", room_session_id),
            participantId=arguments.required("participant_id", participant_id),
        )
        return await self._sender.send(operations.INSIGHTS_PARTICIPANT.bind(query=query))
