"""Webhooks as the service sends them: the documented events, signed and delivered. Any part can be made wrong.

The documented rules: a delivery waits 5 seconds for its answer; a 5xx or no answer is tried again, twice at most, after
short, growing pauses; a 4xx is not. Events may come more than once and in any order. The signature stands in
`Whereby-Signature` as `t=<unix seconds>,v1=<hex>`, the HMAC-SHA256 of `<t>.<body>`.
"""

from __future__ import annotations

import asyncio
import math
import operator
import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import yarl

from ..redaction import once_made, shown
from ..webhooks import SIGNATURE_HEADER, sign
from .checks import require_count, require_seconds
from .world import World
from .world.state import Wire, at_of, new_id, room_path

FAKE_WEBHOOK_SECRET = "fake-webhook-secret"  # noqa: S105 - it guards nothing
"""The secret that a webhook sender signs with unless told otherwise."""

_FIRST_ROOM: Final = 50_000_001
"""The first id of a room without a meeting: each keeps its own for good, and all are below those of meetings."""


class Events:
    """Makes webhook events that fit a fake's world; `FakeWhereby.events` is one.

    Each method returns the event as it goes out, a dictionary in the API's spelling: `id`, `apiVersion`, `createdAt`,
    `type` and `data`. What is not given is taken from the world: the room's meeting, the session that runs there.
    Keywords beyond those that a method names are keys of `data`, in the API's spelling and over all others:
    `client_joined("/x", displayName=None)`. The rest of an event is changed as in any dictionary:
    `event | {"createdAt": "2025-01-01T00:00:00.000Z"}`.

    Args:
        world: The world that the events are of.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._rooms: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._ended: dict[str, str] = {}

    def client_joined(  # noqa: PLR0913 - what the event says
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
        values = _person(display_name, participant_id, external_id, metadata)
        values |= _presence(role_name, num_clients, is_dial_in=is_dial_in)
        return self._in_room("room.client.joined", room_name, values, data)

    def client_left(  # noqa: PLR0913 - what the event says
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
        values = _person(display_name, participant_id, external_id, metadata)
        values |= _presence(role_name, num_clients, is_dial_in=is_dial_in)
        return self._in_room("room.client.left", room_name, values, data)

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
        values = _person(display_name, participant_id, external_id, metadata)
        return self._in_room("room.client.knocked", room_name, values, data)

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
        values = _person(display_name, participant_id, external_id, metadata)
        return self._in_room("room.client.knockCancelled", room_name, values, data)

    def session_started(self, room_name: str | None = None, **data: Any) -> Wire:
        """`room.session.started`: the second person has come in.

        In a room without a session in the fake's world one is made up, for the events of that room until it has ended.
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
        values = self._transcription(transcription, "in_progress")
        return self.event("transcription.started", **(values | data))

    def transcription_finished(self, transcription: Mapping[str, Any] | None = None, **data: Any) -> Wire:
        """`transcription.finished`: it is ready; the arguments are those of `transcription_started`."""
        values = self._transcription(transcription, "ready")
        given = _added(transcription, "transcription")
        values["filename"] = given.get("filename") or f"{values['roomName'].lstrip('/')}-{self._world.date(-60.0)}.md"
        values["storageType"] = given.get("storageType", "WHEREBY_HOSTED")
        values["durationInSeconds"] = given.get("durationInSeconds", 60)
        if values["type"] == "RECORDING_TRANSCRIPTION":
            values["recordingId"] = self._recording_of(given) or new_id()
        return self.event("transcription.finished", **(values | data))

    def transcription_failed(
        self,
        transcription: Mapping[str, Any] | None = None,
        *,
        error: str = "The transcription could not be made",
        **data: Any,
    ) -> Wire:
        """`transcription.failed`, and why; the other arguments are those of `transcription_started`."""
        values = self._transcription(transcription, "failed") | {"error": error}
        return self.event("transcription.failed", **(values | data))

    def recording_finished(self, recording: Mapping[str, Any] | None = None, **data: Any) -> Wire:
        """`recording.finished`: its file is there.

        Args:
            recording: What `add_recording` gave; by default one that the API does not know.
            data: More keys of `data`.
        """
        given = _added(recording, "recording")
        name = given.get("roomName") or _room(None)
        values = {
            "recordingId": given.get("recordingId") or new_id(),
            "roomName": name,
            "filename": given.get("filename") or f"{name.lstrip('/')}-{self._world.date(-60.0)[:-5]}Z.mp4",
            "status": "completed",
        }
        return self.event("recording.finished", **(values | data))

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

    def _in_room(self, event_type: str, room_name: str | None, values: Wire, data: Wire) -> Wire:
        name = _room(room_name)
        meetings = [key for key, meeting in list(self._world.meetings.items()) if meeting["roomName"] == name]
        where = {
            "meetingId": meetings[-1]
            if meetings
            else self._rooms.setdefault(name, str(_FIRST_ROOM + len(self._rooms))),
            "roomName": name,
            "subdomain": self._world.subdomain,
            "roomSessionId": self._session_in(name),
        }
        return self.event(event_type, **(where | values | data))

    def _session_in(self, room_name: str) -> str | None:
        """The room's newest session; in a room without any, the one that has been made up and runs."""
        sessions = [session for session in list(self._world.sessions.values()) if session["roomName"] == room_name]
        newest = max(sessions, key=lambda session: at_of(session, "startedAt"), default=None)
        return self._running.get(room_name) if newest is None else newest["roomSessionId"]

    def _recording_of(self, transcription: Mapping[str, Any]) -> str | None:
        """The recording that a transcription was made from."""
        shared = operator.itemgetter("roomSessionId", "startDate")
        recordings = list(self._world.recordings.items()) if transcription else []
        return next((key for key, each in recordings if shared(each) == shared(transcription)), None)

    def _transcription(self, transcription: Mapping[str, Any] | None, status: str) -> Wire:
        given = _added(transcription, "transcription")
        return {
            "transcriptionId": given.get("transcriptionId") or new_id(),
            "roomName": given.get("roomName") or _room(None),
            "roomSessionId": given.get("roomSessionId") or new_id(),
            "type": given.get("type", "LIVE_TRANSCRIPTION"),
            "status": status,
        }


def _room(room_name: str | None) -> str:
    """A room's path; a new room's if none was named."""
    return room_path(room_name or new_id())


def _added(thing: Mapping[str, Any] | None, noun: str) -> Mapping[str, Any]:
    if not isinstance(thing, Mapping | None):
        raise TypeError(f"{noun} is what add_{noun} gave, a dictionary, not {thing!r}; an id alone goes in {noun}Id=")
    return thing or {}


def _person(
    display_name: str | None, participant_id: str | None, external_id: str | None, metadata: str | None
) -> Wire:
    return {
        "displayName": display_name,
        "participantId": participant_id or new_id(),
        "metadata": metadata,
        "externalId": external_id,
    }


def _presence(role_name: str, num_clients: int, *, is_dial_in: bool) -> Wire:
    return {
        "roleName": role_name,
        "numClients": num_clients,
        "numClientsByRoleName": {role_name: num_clients} if num_clients else {},
        "isDialIn": is_dial_in,
    }


class DeliveryAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to deliver an event.

    Attributes:
        status: The status of the answer; `None`: there was none.
        problem: Why there was none, or `""`.
        elapsed: Seconds that it took.
        answer: The body of the answer.
    """

    status: int | None
    problem: str
    elapsed: float
    answer: bytes = b""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event.

    Attributes:
        body: The bytes that were sent.
        signature: The value of the header `Whereby-Signature`; `""` if it was left out.
        attempts: Each try, the last one last.
    """

    body: bytes
    signature: str
    attempts: tuple[DeliveryAttempt, ...]

    @property
    def status(self) -> int | None:
        """The status of the last answer; `None`: there was none."""
        return self.attempts[-1].status

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it: the last answer was a 2xx."""
        return self.status is not None and self.status // 100 == 2


class WebhookSender:
    """Signs events and posts them to a URL, as the service would; `FakeWhereby.webhook_sender` makes one.

    ```python
    sender = fake.webhook_sender("http://127.0.0.1:8000/webhooks", secret="s3cret")
    delivery = await sender.send(fake.events.client_joined("/standup", display_name="Zoë"))
    assert delivery.status == 200
    ```

    Args:
        url: Where events go.
        secret: What they are signed with.
        timeout: Seconds until an answer counts as missing.
        retries: How often a delivery is tried again after a 5xx or without an answer.
        backoff: Seconds before the first of these; doubled before each other.
        signs_again: Sign each try anew, with the time at which it is made; by default all carry the first one's
            signature.
        now: The clock that signatures are dated by, in seconds since 1970; by default this machine's.

    Raises:
        TypeError: The URL is none.
        ValueError: The URL is no http or https URL, or `timeout`, `retries` or `backoff` is no such number.
        ConfigurationError: The secret is blank.
    """

    def __init__(  # noqa: PLR0913 - the rules of delivery
        self,
        url: str | yarl.URL,
        *,
        secret: str = FAKE_WEBHOOK_SECRET,
        timeout: float = 5.0,
        retries: int = 2,
        backoff: float = 0.5,
        signs_again: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(url, str | yarl.URL):
            raise TypeError(f"url must be text or a yarl.URL, not {url!r}")
        url = str(url)
        if not _leads_somewhere(url):
            raise ValueError(
                f"url must be an http or https URL, such as http://127.0.0.1:8000/webhooks, not {shown(url)}"
            )
        timeout = require_seconds("timeout", timeout, above=True)
        backoff = require_seconds("backoff", backoff)
        retries = require_count("retries", retries)
        sign(b"", secret)  # refuses a secret that signs nothing now, not at the first event
        self.url: str = url
        self.timeout: float = timeout
        self.retries: int = retries
        self.backoff: float = backoff
        self.signs_again: bool = signs_again
        self._secret = secret
        self._now = now

    @once_made
    def __repr__(self) -> str:
        return f"<WebhookSender to {urlsplit(self.url).hostname}>"

    def sign(self, body: bytes, *, secret: str | None = None, skew: float = 0.0) -> str:
        """The value of the header `Whereby-Signature` for a body.

        Args:
            body: The bytes to sign.
            secret: In place of the sender's own.
            skew: Seconds by which its date is off; negative for the past.
        """
        return sign(body, self._secret if secret is None else secret, at=self._now() + skew)

    async def send(  # noqa: PLR0913 - what can be wrong with one
        self,
        event: Mapping[str, Any] | bytes | bytearray | memoryview,
        *,
        secret: str | None = None,
        skew: float = 0.0,
        tampered: bytes | bool = False,
        signature: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Delivery:
        """Deliver one event by the documented rules. The options make something wrong with it.

        Args:
            event: The event, such as `fake.events.client_joined()`; or a body, byte for byte.
            secret: Sign with this in place of the sender's own.
            skew: Seconds by which the signature's date is off: `-600` was signed ten minutes ago, or is a replay.
            tampered: Change the body after it was signed: `True` adds a key, bytes are sent in its place.
            signature: The value of the header in place of the right one; `""` leaves it out.
            headers: More headers, over the sender's own.

        Returns:
            What became of it. A receiver that refuses, fails or does not answer raises nothing.

        Raises:
            TypeError: The event is neither a dictionary nor bytes.
            ValueError: `skew` is no number of seconds.
        """
        skew = require_seconds("skew", skew, least=-math.inf)
        body = signed = _body(event)
        if tampered:
            body = tampered if isinstance(tampered, bytes) else _tampered(signed)
        attempts: list[DeliveryAttempt] = []
        value = ""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.timeout)) as session:
            while not attempts or self._again(attempts):
                if attempts:
                    await asyncio.sleep(self.backoff * 2 ** (len(attempts) - 1))
                if not attempts or self.signs_again:
                    value = self.sign(signed, secret=secret, skew=skew) if signature is None else signature
                own = {"Content-Type": "application/json"} | ({SIGNATURE_HEADER: value} if value else {})
                attempts.append(await self._attempt(session, body, {**own, **(headers or {})}))
        return Delivery(body=body, signature=value, attempts=tuple(attempts))

    async def send_all(
        self, events: Iterable[Mapping[str, Any]], *, copies: int = 1, shuffled: bool = False, seed: int = 0
    ) -> list[Delivery]:
        """Deliver events, one after the other.

        Args:
            events: The events.
            copies: How often each is delivered; the copies have the same id.
            shuffled: Deliver in random order, copies too.
            seed: The seed of the random order: the same order for the same seed.

        Returns:
            What became of each, in the order in which they were sent.

        Raises:
            TypeError: `events` is one event and no list, or one of them is no event; then none is sent.
        """
        if isinstance(events, Mapping | str | bytes | bytearray | memoryview):
            raise TypeError("send_all takes a list of events: pass [event], or use send(event)")
        events = list(events)
        for event in events:
            _body(event)
        queue = [event for event in events for _ in range(copies)]
        if shuffled:
            random.Random(seed).shuffle(queue)  # noqa: S311 - chance is to repeat itself here
        return [await self.send(event) for event in queue]

    def _again(self, attempts: list[DeliveryAttempt]) -> bool:
        status = attempts[-1].status
        return len(attempts) <= self.retries and (status is None or status >= 500)

    async def _attempt(
        self, session: aiohttp.ClientSession, body: bytes, headers: Mapping[str, str]
    ) -> DeliveryAttempt:
        clock = asyncio.get_running_loop().time
        began = clock()
        status, problem, answer = None, "", b""
        try:
            url = yarl.URL(self.url, encoded=True)
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                answer = await response.read()
                status = response.status
        except TimeoutError:
            problem = f"no answer within {self.timeout:g} s"
        except aiohttp.ClientError as error:
            from ..transport.exchange import reason_of

            problem = f"no answer: {reason_of(error)}"
        return DeliveryAttempt(status=status, problem=problem, elapsed=clock() - began, answer=answer)


def _leads_somewhere(url: str) -> bool:
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")  # raises for a host that no name server can be asked for
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _body(event: object) -> bytes:
    if isinstance(event, bytes | bytearray | memoryview):
        return bytes(event)  # pyright: ignore[reportUnknownArgumentType] - a view of anything is bytes
    if not isinstance(event, Mapping):
        raise TypeError(f"an event is a dictionary as fake.events makes it, or a body in bytes, not {event!r}")
    return msgspec.json.encode(event)


def _tampered(body: bytes) -> bytes:
    """The same JSON object with one key more; another byte where it is none."""
    return body[:-1] + b',"tampered":true}' if body.endswith(b"}") and body != b"{}" else body + b" tampered"
