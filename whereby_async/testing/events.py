"""Webhook events as the service words them: the 11 documented types, with payloads that fit the fake's world. Pure but for ids."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .state import at_of, room_path
from .wire import Wire, new_id

if TYPE_CHECKING:
    from .world import World

_FIRST_ROOM: Final = 50_000_001
"""Below all ids of meetings."""


class Events:
    """Makes webhook events; `FakeWhereby.events` is one.

    Each method returns the event as it goes out, a dictionary in the API's spelling: `id`, `apiVersion`, `createdAt`, `type`
    and `data`. What is not given fits the fake's world: the room's meeting, the session that runs there. Keywords beyond those
    that a method names are keys of `data`, in the API's spelling and over all others: `client_joined("/x", displayName=None)`.
    The rest of an event is changed as in any dictionary: `event | {"createdAt": "2025-01-01T00:00:00.000Z"}`.

    Args:
        world: The world that the events are of.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._rooms: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._ended: dict[str, str] = {}

    def client_joined(  # noqa: PLR0913 - what the event tells
        self,
        room_name: str | None = None,
        *,
        display_name: str | None = "Ada Lovelace",
        participant_id: str | None = None,
        role_name: str = "visitor",
        external_id: str | None = None,
        metadata: str | None = None,
        num_clients: int = 1,
        is_dial_in: bool = False,
        **data: Any,
    ) -> Wire:
        """`room.client.joined`: somebody has come in.

        Args:
            room_name: The room; by default a new one.
            display_name: The name that others see.
            participant_id: By default a new one.
            role_name: Such as `host`, `visitor`, `granted_visitor`, `viewer`.
            external_id: The id that came with the room link.
            metadata: What came with the room link.
            num_clients: How many are there now.
            is_dial_in: They came by telephone.
            data: More keys of `data`.
        """
        person = _person(display_name, participant_id, external_id, metadata)
        there = _there(role_name, num_clients, is_dial_in=is_dial_in)
        return self._in_room("room.client.joined", room_name, {**person, **there}, data)

    def client_left(  # noqa: PLR0913 - what the event tells
        self,
        room_name: str | None = None,
        *,
        display_name: str | None = "Ada Lovelace",
        participant_id: str | None = None,
        role_name: str = "visitor",
        external_id: str | None = None,
        metadata: str | None = None,
        num_clients: int = 0,
        is_dial_in: bool = False,
        **data: Any,
    ) -> Wire:
        """`room.client.left`: somebody has gone; the arguments are those of `client_joined`."""
        person = _person(display_name, participant_id, external_id, metadata)
        there = _there(role_name, num_clients, is_dial_in=is_dial_in)
        return self._in_room("room.client.left", room_name, {**person, **there}, data)

    def client_knocked(
        self,
        room_name: str | None = None,
        *,
        display_name: str | None = "Ada Lovelace",
        participant_id: str | None = None,
        external_id: str | None = None,
        metadata: str | None = None,
        **data: Any,
    ) -> Wire:
        """`room.client.knocked`: somebody asks to be let in; the arguments are those of `client_joined`."""
        person = _person(display_name, participant_id, external_id, metadata)
        return self._in_room("room.client.knocked", room_name, person, data)

    def client_knock_cancelled(
        self,
        room_name: str | None = None,
        *,
        display_name: str | None = "Ada Lovelace",
        participant_id: str | None = None,
        external_id: str | None = None,
        metadata: str | None = None,
        **data: Any,
    ) -> Wire:
        """`room.client.knockCancelled`: they no longer do; the arguments are those of `client_joined`."""
        person = _person(display_name, participant_id, external_id, metadata)
        return self._in_room("room.client.knockCancelled", room_name, person, data)

    def session_started(self, room_name: str | None = None, **data: Any) -> Wire:
        """`room.session.started`: the second person has come in.

        In a room without a session of the fake's world one is made up, for the events of that room until it has ended.
        """
        name = _room(room_name)
        session_id = self._session_in(name) or self._running.setdefault(name, new_id())
        return self._in_room("room.session.started", name, {"roomSessionId": session_id}, data)

    def session_ended(self, room_name: str | None = None, **data: Any) -> Wire:
        """`room.session.ended`: the last person left a minute ago."""
        name = _room(room_name)
        session_id = self._session_in(name)
        if session_id is None:
            session_id = self._ended.setdefault(name, new_id())
        elif name in self._running:
            self._ended[name] = self._running.pop(name)
        return self._in_room("room.session.ended", name, {"roomSessionId": session_id}, data)

    def transcription_started(self, transcription: Mapping[str, Any] | None = None, **data: Any) -> Wire:
        """`transcription.started`.

        Args:
            transcription: What `add_transcription` gave; by default one that the API does not know.
            data: More keys of `data`.
        """
        return self.event("transcription.started", **{**self._transcription(transcription, "in_progress"), **data})

    def transcription_finished(self, transcription: Mapping[str, Any] | None = None, **data: Any) -> Wire:
        """`transcription.finished`: it is ready.

        Args:
            transcription: What `add_transcription` gave; by default one that the API does not know.
            data: More keys of `data`.
        """
        told = self._transcription(transcription, "ready")
        given = _given(transcription, "transcription")
        told["filename"] = given.get("filename") or f"{told['roomName'].lstrip('/')}-{self._world.date(-60.0)}.md"
        told["storageType"] = given.get("storageType", "WHEREBY_HOSTED")
        told["durationInSeconds"] = given.get("durationInSeconds", 60)
        if told["type"] == "RECORDING_TRANSCRIPTION":
            told["recordingId"] = new_id()
        return self.event("transcription.finished", **{**told, **data})

    def transcription_failed(
        self,
        transcription: Mapping[str, Any] | None = None,
        *,
        error: str = "The transcription could not be made",
        **data: Any,
    ) -> Wire:
        """`transcription.failed`.

        Args:
            transcription: What `add_transcription` gave; by default one that the API does not know.
            error: Why.
            data: More keys of `data`.
        """
        told = {**self._transcription(transcription, "failed"), "error": error}
        return self.event("transcription.failed", **{**told, **data})

    def recording_finished(self, recording: Mapping[str, Any] | None = None, **data: Any) -> Wire:
        """`recording.finished`: its file is there.

        Args:
            recording: What `add_recording` gave; by default one that the API does not know.
            data: More keys of `data`.
        """
        given = _given(recording, "recording")
        name = given.get("roomName") or _new_room()
        told = {
            "recordingId": given.get("recordingId") or new_id(),
            "roomName": name,
            "filename": given.get("filename") or f"{name.lstrip('/')}-{self._world.date(-60.0)[:-5]}Z.mp4",
            "status": "completed",
        }
        return self.event("recording.finished", **{**told, **data})

    def assistant_requested(self, room_name: str | None = None, **data: Any) -> Wire:
        """`assistant.requested`: somebody asks for an assistant in the room."""
        return self._in_room("assistant.requested", room_name, {}, data)

    def event(self, event_type: str, **data: Any) -> Wire:
        """An event of any type, such as one that is not documented yet, with nothing in `data` but what is given.

        Args:
            event_type: Its `type`, such as `room.client.joined`.
            data: Its `data`.
        """
        return {
            "id": secrets.token_hex(32),
            "apiVersion": "1.0",
            "createdAt": self._world.date(0.0),
            "type": event_type,
            "data": data,
        }

    def _in_room(self, event_type: str, room_name: str | None, told: Wire, data: Wire) -> Wire:
        name = _room(room_name)
        meetings = [key for key, meeting in list(self._world.meetings.items()) if meeting["roomName"] == name]
        where = {
            "meetingId": meetings[-1] if meetings else self._without_meeting(name),
            "roomName": name,
            "subdomain": self._world.subdomain,
            "roomSessionId": self._session_in(name),
        }
        return self.event(event_type, **{**where, **told, **data})

    def _without_meeting(self, room_name: str) -> str:
        """A permanent room's id: its own for good, and none that a meeting gets."""
        return self._rooms.setdefault(room_name, str(_FIRST_ROOM + len(self._rooms)))

    def _session_in(self, room_name: str) -> str | None:
        """The room's newest session; in a room without any, the one that has been made up and runs."""
        sessions = [session for session in list(self._world.sessions.values()) if session["roomName"] == room_name]
        newest = max(sessions, key=lambda session: at_of(session, "startedAt") or 0.0, default=None)
        return self._running.get(room_name) if newest is None else newest["roomSessionId"]

    def _transcription(self, transcription: Mapping[str, Any] | None, status: str) -> Wire:
        given = _given(transcription, "transcription")
        return {
            "transcriptionId": given.get("transcriptionId") or new_id(),
            "roomName": given.get("roomName") or _new_room(),
            "roomSessionId": given.get("roomSessionId") or new_id(),
            "type": given.get("type", "LIVE_TRANSCRIPTION"),
            "status": status,
        }


def _room(room_name: str | None) -> str:
    """A room's path; a new room's if none was named."""
    return room_path(room_name) if room_name else _new_room()


def _given(thing: Mapping[str, Any] | None, noun: str) -> Mapping[str, Any]:
    if not isinstance(thing, Mapping | None):
        raise TypeError(f"{noun} is what add_{noun} gave, a dictionary, not {thing!r}; an id alone goes in {noun}Id=")
    return thing or {}


def _new_room() -> str:
    return room_path(new_id())


def _person(
    display_name: str | None, participant_id: str | None, external_id: str | None, metadata: str | None
) -> Wire:
    return {
        "displayName": display_name,
        "participantId": participant_id or new_id(),
        "metadata": metadata,
        "externalId": external_id,
    }


def _there(role_name: str, num_clients: int, *, is_dial_in: bool) -> Wire:
    return {
        "roleName": role_name,
        "numClients": num_clients,
        "numClientsByRoleName": {role_name: num_clients} if num_clients else {},
        "isDialIn": is_dial_in,
    }
