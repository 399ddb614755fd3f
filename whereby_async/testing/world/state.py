"""What the fake service knows: its objects by id, its files, and the time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from ..clock import ServerClock
from ..object_store import Blob, signed_query

Wire: TypeAlias = dict[str, Any]
"""A JSON object as it goes over the wire."""

_MEDIA_TYPES = {"mp4": "video/mp4", "mkv": "video/x-matroska", "md": "text/markdown; charset=utf-8"}

_FIRST = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC).timestamp()

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
        ignores_name_filter: `GET /meetings` ignores `roomName[…]`, which is documented but not in the
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

    def __init__(self, clock: ServerClock, *, subdomain: str, processing_time: float | None) -> None:
        self._clock = clock
        self._next_meeting = 107_585_562
        self._due: dict[str, tuple[float, Callable[[str], None]]] = {}
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
        """A moment as the API writes dates.

        Raises:
            ValueError: A string that is no date.
        """
        if isinstance(moment, datetime):
            return iso_date((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        if isinstance(moment, str):
            at = read_date(moment)
            if at is None:
                raise ValueError(f"not a date: {moment!r}; use the form 2025-01-01T00:00:00.000Z")
            return iso_date(at)
        return iso_date(self.now() + moment)

    def see_room(self, room_name: str, *, created_at: str | None = None, end_at: str | None = None) -> None:
        """Make insights know of a room."""
        room = self.rooms.setdefault(room_name, {"createdAt": created_at or self.date(0.0), "endAt": end_at})
        if end_at is not None:
            room["endAt"] = end_at

    def move_on(self) -> None:
        """Finish the transcriptions and summaries whose time has come; every request does this first."""
        now = self._clock.elapsed()
        for key, (due, finish) in list(self._due.items()):
            if due > now:
                continue
            self._due.pop(key, None)
            if key in self.transcriptions or key in self.summaries:  # it may have been deleted meanwhile
                finish(key)

    def access_link(self, file_id: str, valid_for: int, origin: str) -> Wire:
        """A link to a file; `expires` is in milliseconds since 1970.

        Raises:
            KeyError: No such file with this service.
        """
        self.files[file_id]  # pyright: ignore[reportUnusedExpression] - KeyError is the answer
        path = f"/storage/{file_id}"
        expires = int(self.now()) + valid_for
        return {"accessLink": f"{origin}{path}?{signed_query(path, expires)}", "expires": expires * 1000}

    def content_type(self, file_id: str) -> str:
        """The media type of a file."""
        wire = self.recordings.get(file_id) or self.transcriptions.get(file_id) or {}
        ending = wire.get("filename", "").rpartition(".")[2]
        return _MEDIA_TYPES.get(ending, "application/octet-stream")

    def _begin(self, key: str, state: str, finish: Callable[..., None]) -> None:
        """Let a new transcription or summary reach its state: at once, or `in_progress` after `processing_time`."""
        if state != "in_progress":
            finish(key, state)
        elif self.processing_time is not None:
            self._due[key] = self._clock.elapsed() + self.processing_time, finish

    def _room_of(self, room_name: str | None, room_session_id: str | None) -> str:
        """The room that was named, else the session's, else a new one."""
        session = self.sessions.get(room_session_id or "") or {}
        if room_name and session and room_path(room_name) != session["roomName"]:
            raise ValueError(f"the session {room_session_id!r} is of {session['roomName']!r}, not of {room_name!r}")
        return room_path(room_name or session.get("roomName") or new_id())


def new_id() -> str:
    """An id such as the API gives to all but meetings."""
    return str(uuid.uuid4())


def iso_date(at: float) -> str:
    """A wall time as the API writes dates: `2026-11-23T04:53:00.250Z`; the calendar's first or last beyond it."""
    return (
        datetime.fromtimestamp(min(max(round(at, 3), _FIRST), _LAST), UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    )


def read_date(text: object) -> float | None:
    """Seconds since 1970 of an RFC 3339 date, UTC if it has no offset; `None` if it is no date."""
    if not isinstance(text, str) or "T" not in text.upper():
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def at_of(wire: Wire, name: str, default: float = 0.0) -> float:
    """The date in a field, as seconds since 1970; `default` if there is none."""
    at = read_date(wire.get(name))
    return default if at is None else at


def later(date: str, seconds: float) -> str:
    """The date so many seconds after another."""
    return iso_date((read_date(date) or 0.0) + seconds)


def length_of(wire: Wire) -> float:
    """Seconds between an object's start and its end."""
    return at_of(wire, "endDate") - at_of(wire, "startDate")


def found(things: Mapping[str, Wire], key: str, noun: str) -> Wire:
    """The thing of that id, or a `KeyError`."""
    thing = things.get(key)
    if thing is None:
        raise KeyError(
            f"no {noun} with the id {key!r}: there are {len(things)}; add_{noun} makes one and returns its id"
        )
    return thing


def room_path(room_name: str) -> str:
    """A room's name with its leading slash, and only one; a `TypeError` if it is no text."""
    if not isinstance(room_name, str):
        raise TypeError(f"a room's name is text such as '/standup', not {room_name!r}")
    return "/" + room_name.lstrip("/")
