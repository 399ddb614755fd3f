"""What the fake service knows: its objects by id, and its clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from .headers import iso_date
from .wire import Wire, read_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .server_clock import ServerClock
    from .storage import Blob

Moment: TypeAlias = datetime | str | float
"""A time: a `datetime` (UTC if naive), an RFC 3339 string, or seconds from now, negative for the past."""


class Backdrop(msgspec.Struct, frozen=True, kw_only=True):
    """A room's background: an image of one's own, or one of the service's.

    Attributes:
        image: The uploaded image's bytes, or `None`.
        palette: The colour's name, or `None`.
        theme: The predefined image's name, or `None`.
    """

    image: bytes | None = None
    palette: str | None = None
    theme: str | None = None


class RoomTheme(msgspec.Struct, frozen=True, kw_only=True):
    """How a room looks.

    Attributes:
        primary: The primary colour, `#RRGGBB`, or `None` for the default.
        secondary: The secondary colour.
        focus: The focus colour.
        logo: The logo's bytes, or `None` for the default.
        background: The background inside the room.
        knock_background: The background of the page on which one knocks.
    """

    primary: str | None = None
    secondary: str | None = None
    focus: str | None = None
    logo: bytes | None = None
    background: Backdrop = Backdrop()
    knock_background: Backdrop = Backdrop()


class State:
    """The objects of the fake service. Look at them freely; to make some, use the `add_…` methods.

    Attributes:
        subdomain: The organisation's subdomain of whereby.com.
        processing_time: Seconds until a new transcription or summary is ready; `None`: not until it is told to finish.
        ignores_name_filter: `GET /meetings` pays no heed to `roomName[…]`, which is documented but not in the
            specification.
        meetings: Meetings by id, with all that is known of them, in the API's spelling.
        rooms: What insights know of rooms, by name; a room stays after its meeting is deleted.
        sessions: Room sessions by id.
        participants: The participants of a session, by its id.
        recordings: Recordings by id.
        transcriptions: Transcriptions by id.
        summaries: Summaries by id.
        themes: Themes by room name.
        files: The files behind access links, by the id of their recording or transcription.
    """

    def __init__(self, clock: ServerClock, *, subdomain: str = "example", processing_time: float | None = 1.0) -> None:
        self._clock = clock
        self._next_meeting = 107_585_562
        self._due: dict[str, float] = {}
        self.subdomain = subdomain
        self.processing_time = processing_time
        self.ignores_name_filter = False
        self.meetings: dict[str, Wire] = {}
        self.rooms: dict[str, Wire] = {}
        self.sessions: dict[str, Wire] = {}
        self.participants: dict[str, list[Wire]] = {}
        self.recordings: dict[str, Wire] = {}
        self.transcriptions: dict[str, Wire] = {}
        self.summaries: dict[str, Wire] = {}
        self.themes: dict[str, RoomTheme] = {}
        self.files: dict[str, Blob] = {}

    def now(self) -> float:
        """The server's wall time, in seconds since 1970."""
        return self._clock.wall()

    def date(self, moment: Moment) -> str:
        """A moment in the API's spelling.

        Raises:
            ValueError: A string that is no date.
        """
        if isinstance(moment, datetime):
            return iso_date((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        if isinstance(moment, str):
            at = read_date(moment)
            if at is None:
                message = f"not a date: {moment!r}; use the form 2025-01-01T00:00:00.000Z"
                raise ValueError(message)
            return iso_date(at)
        return iso_date(self.now() + moment)

    def see_room(self, room_name: str, *, created_at: str | None = None, end_at: str | None = None) -> None:
        """Make insights know of a room."""
        room = self.rooms.setdefault(room_name, {"createdAt": created_at or self.date(0.0), "endAt": end_at})
        if end_at is not None:
            room["endAt"] = end_at


def found(things: Mapping[str, Wire], key: str, noun: str) -> Wire:
    """The thing of that id.

    Raises:
        KeyError: There is none.
    """
    thing = things.get(key)
    if thing is None:
        raise KeyError(
            f"no {noun} with the id {key!r}: there are {len(things)}; add_{noun} makes one and returns its id"
        )
    return thing


def at_of(wire: Wire, name: str) -> float | None:
    """The date in a field, as seconds since 1970; `None` if there is none."""
    return read_date(wire.get(name))


def room_path(room_name: str) -> str:
    """A room's name with its leading slash, and only one.

    Raises:
        TypeError: It is no text.
    """
    if not isinstance(room_name, str):
        raise TypeError(f"a room's name is text such as '/standup', not {room_name!r}")
    return "/" + room_name.lstrip("/")
