"""Insights: what `client.insights` returns. They lag 10 to 15 minutes behind what happens in the rooms."""

from __future__ import annotations

from typing import Any, Final

from .model import Model, Timestamp

PARTICIPANT_SORT_FIELDS: Final = ("joinedAt", "leftAt")
"""What `GET /insights/participants` can be sorted by, each followed by `:asc` or `:desc`."""


class RoomInsights(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """What happened in a room, over all its sessions. Whereby REST API reference, `GET /insights/rooms`.

    Attributes:
        room_name: The room's name with its leading slash.
        created_at: When the room was made, aware, in UTC.
        end_at: When the room was set to end, aware, in UTC.
        first_session_started_at: When its first session began, aware, in UTC; `None` if there was none.
        last_session_started_at: When its last session began, aware, in UTC; `None` if there was none.
        total_participant_minutes: Minutes that participants spent in it, rounded up per connection.
        total_recorder_minutes: Minutes that it was recorded.
        total_streamer_minutes: Minutes that it was streamed.
        total_unique_participants: How many different participants came.
        total_unique_recorders: How many different recorders came.
        total_unique_streamers: How many different streamers came.
        total_sessions: How many sessions it had.
        rating: The mean rating of its last session; `None` without session ratings.
        total_ratings: How many rated its last session; `None` without session ratings.
    """

    room_name: str
    created_at: Timestamp | None = None
    end_at: Timestamp | None = None
    first_session_started_at: Timestamp | None = None
    last_session_started_at: Timestamp | None = None
    total_participant_minutes: int | float | None = None
    total_recorder_minutes: int | float | None = None
    total_streamer_minutes: int | float | None = None
    total_unique_participants: int | None = None
    total_unique_recorders: int | None = None
    total_unique_streamers: int | None = None
    total_sessions: int | None = None
    rating: float | None = None
    total_ratings: int | None = None


class RoomSessionInsights(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """What happened in one session of a room. Whereby REST API reference, `GET /insights/room-sessions`.

    Attributes:
        room_session_id: The session's id.
        room_name: The room's name with its leading slash.
        started_at: When the session began, aware, in UTC.
        ended_at: When the session ended, aware, in UTC; `None` while it runs.
        total_participant_minutes: Minutes that participants spent in it, rounded up per connection.
        total_recorder_minutes: Minutes that it was recorded.
        total_streamer_minutes: Minutes that it was streamed.
        total_unique_participants: How many different participants came.
        total_unique_recorders: How many different recorders came.
        total_unique_streamers: How many different streamers came.
        rating: The session's mean rating; `None` without session ratings.
        total_ratings: How many rated the session; `None` without session ratings.
    """

    room_session_id: str
    room_name: str | None = None
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    total_participant_minutes: int | float | None = None
    total_recorder_minutes: int | float | None = None
    total_streamer_minutes: int | float | None = None
    total_unique_participants: int | None = None
    total_unique_recorders: int | None = None
    total_unique_streamers: int | None = None
    rating: float | None = None
    total_ratings: int | None = None

    @property
    def is_running(self) -> bool:
        """Had the session not ended when the insights were taken? True as well if its end could not be read, which
        `Page.unreadable` tells.
        """
        return self.ended_at is None


class ParticipantInsights(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """One participant's stay in one session. Whereby REST API reference, `GET /insights/participants`.

    Attributes:
        participant_id: The participant's id.
        room_session_id: The session's id.
        device_id: The device's id.
        user_id: The user's id, if known.
        role_name: What the participant was, such as `host` or `granted_visitor`.
        display_name: The name that the participant went by; `[[redacted]]` if the organisation hides names.
        joined_at: When the participant came, aware, in UTC.
        left_at: When the participant left, aware, in UTC; `None` while still there.
        external_id: The `externalId` of the room link, if it had one.
        rating: How the participant rated the session; `None` without session ratings.
        tags: What the participant ticked, such as `audio-quality`; `None` without session ratings.
        comment: What the participant wrote; `None` without session ratings.
    """

    participant_id: str
    room_session_id: str | None = None
    device_id: str | None = None
    user_id: str | None = None
    role_name: str | None = None
    display_name: str | None = None
    joined_at: Timestamp | None = None
    left_at: Timestamp | None = None
    external_id: str | None = None
    rating: float | None = None
    tags: list[str] | None = None
    comment: str | None = None


class ParticipantSamples(Model, frozen=True, kw_only=True, rename="camel"):
    """How a participant's connection did, sample by sample. Whereby REST API reference, `GET /insights/participant`.

    What one sample is, the reference does not say: each is passed on as it came.

    Attributes:
        packet_loss_send: Packets lost on the way out.
        packet_loss_recv: Packets lost on the way in.
        bitrate_send: Bit rate on the way out.
        bitrate_recv: Bit rate on the way in.
    """

    packet_loss_send: list[Any] | None = None
    packet_loss_recv: list[Any] | None = None
    bitrate_send: list[Any] | None = None
    bitrate_recv: list[Any] | None = None


class ParticipantDetails(Model, frozen=True, kw_only=True, rename="camel"):
    """One connection of a participant in detail. Whereby REST API reference, `GET /insights/participant`.

    Attributes:
        display_name: The name that the participant went by; `[[redacted]]` if the organisation hides names.
        user_role: What the participant was, such as `host`.
        user_agent: What the browser called itself.
        time_stamp: When the participant came, aware, in UTC.
        sample_rate_ms: Milliseconds from one sample to the next.
        samples: How the connection did.
        events: What happened on the way. The reference names it without saying what it holds.
    """

    display_name: str | None = None
    user_role: str | None = None
    user_agent: str | None = None
    time_stamp: Timestamp | None = None
    sample_rate_ms: float | None = None
    samples: ParticipantSamples | None = None
    events: list[Any] | None = None
