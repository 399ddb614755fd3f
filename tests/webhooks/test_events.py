"""What events hold, what they tolerate, what they keep, and what importing them loads."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
from datetime import UTC, datetime
from io import StringIO
from typing import Any, assert_type, get_args

import msgspec
import pytest
from rich.console import Console
from support import checkout
from support.webhook_samples import DATA, PRESENCE, ROOM, TRANSCRIPTION, WHO, event

from whereby_async import ResponseDecodeError, webhooks
from whereby_async.webhooks import (
    EVENT_TYPES,
    Event,
    KnownEvent,
    ParticipantData,
    PresenceData,
    RecordingFinished,
    RoomClientJoined,
    RoomClientKnocked,
    RoomData,
    RoomSessionEnded,
    TranscriptionFailed,
    TranscriptionFinished,
    UnknownEvent,
    WebhookEvent,
    parse_event,
)

HEAVY = ("aiohttp", "yarl", "multidict", "anyio", "asyncio", "ssl", "redis", "rich", "opentelemetry", "logging")
NOON = datetime(2026, 6, 17, 12, tzinfo=UTC)
PLANTED = "planted-secret"


def parsed(type_: str, data: Any = None, **changes: Any) -> Any:
    return parse_event(event(type_, data, **changes))


def test_the_eleven_documented_types_are_known() -> None:
    """Each has a class of its own, whose `type` is the word on the wire."""
    assert len(EVENT_TYPES) == len(set(EVENT_TYPES)) == 11
    assert set(EVENT_TYPES) == DATA.keys()
    assert {kind.type for kind in get_args(KnownEvent)} == set(EVENT_TYPES)


@pytest.mark.parametrize("type_", DATA)
def test_every_documented_field_has_its_attribute(type_: str) -> None:
    """The envelope, and all that the docs list for this type; written again, it is the same JSON."""
    body = event(type_)
    found = parse_event(body)
    assert type(found) in get_args(KnownEvent)
    assert (found.type, found.id, found.api_version, found.created_at) == (type_, "6b1f", "1.0", NOON)
    wire = json.loads(msgspec.json.encode(found))
    assert wire["type"] == type_
    assert {name: wire["data"][name] for name in DATA[type_]} == DATA[type_]
    assert {name: value for name, value in wire["data"].items() if name not in DATA[type_] and value is not None} == {}


def test_fields_have_their_types() -> None:
    found = parse_event(event("room.client.joined"))
    assert isinstance(found, RoomClientJoined)
    assert_type(found.data, PresenceData)
    assert found.data == PresenceData(
        meeting_id="107585562",
        room_name="/r",
        subdomain="example",
        room_session_id="s-1",
        display_name="Zoë 🎥",
        participant_id="p-1",
        metadata="m",
        role_name="granted_visitor",
        num_clients=2,
        num_clients_by_role_name={"host": 1, "granted_visitor": 1},
        is_dial_in=False,
    )
    done = parse_event(event("transcription.finished"))
    assert isinstance(done, TranscriptionFinished)
    assert (done.data.duration_in_seconds, done.data.recording_id) == (61.5, "rec-1")


def test_events_are_told_apart_by_their_class() -> None:
    """`match` narrows the union; what is left is for the types to come."""

    def what(found: Event) -> str:
        match found:
            case RoomClientJoined(data=data):
                return f"{data.display_name} of {data.num_clients}"
            case RecordingFinished(data=data):
                return data.recording_id
            case UnknownEvent(type=type_):
                return type_
            case _:
                return "other"

    types = ("room.client.joined", "recording.finished", "summary.finished", "room.session.ended")
    assert [what(parsed(type_, DATA.get(type_, {}))) for type_ in types] == [
        "Zoë 🎥 of 2",
        "rec-1",
        "summary.finished",
        "other",
    ]


def test_an_unknown_type_keeps_its_data() -> None:
    data = {"summaryId": "1", "deep": [{"a": None}]}
    found = parsed("summary.finished", data)
    assert found == UnknownEvent(type="summary.finished", id="6b1f", api_version="1.0", created_at=NOON, data=data)
    assert isinstance(found, WebhookEvent)
    oddities: list[object] = [None, [], "text", 5]
    for odd in oddities:
        assert parse_event(json.dumps({"id": "1", "type": "x", "data": odd}).encode()).data == odd
    assert parse_event(b'{"id":"1","type":"x"}') == UnknownEvent(id="1", type="x")


def test_unknown_fields_are_no_error_and_stay_in_reach() -> None:
    """`body` is what was sent, byte for byte, and its repr does not show it."""
    body = event("room.client.joined", {**PRESENCE, "phoneNumber": "+47", "x": {}}, region="eu")
    found = parse_event(body)
    assert isinstance(found, RoomClientJoined)
    assert found.body == body
    assert json.loads(found.body)["data"]["phoneNumber"] == "+47"
    assert repr(found.body) == f"<{len(body)} bytes>"
    assert parse_event(bytearray(body)).body == parse_event(memoryview(body)).body == body


@pytest.mark.parametrize("type_", DATA)
def test_fields_may_be_missing_or_null(type_: str) -> None:
    needed = {"transcriptionId", "recordingId"} & DATA[type_].keys() - ({"recordingId"} if "trans" in type_ else set())
    least = {name: DATA[type_][name] for name in needed}
    for data in (least, dict.fromkeys(DATA[type_]) | least):
        body = json.dumps({"id": "1", "type": type_, "data": data, "createdAt": None}).encode()
        found = parse_event(body)
        assert found.type == type_
        assert found.created_at is None


@pytest.mark.parametrize(
    ("sent", "attribute", "read"),
    [
        ({"numClients": 2.0}, "num_clients", 2),
        ({"numClients": "2"}, "num_clients", 2),
        ({"isDialIn": "true"}, "is_dial_in", True),
        ({"meetingId": 107585562}, "meeting_id", "107585562"),
        ({"displayName": 5}, "display_name", "5"),
        ({"numClientsByRoleName": {"host": 1.0, "viewer": None}}, "num_clients_by_role_name", {"host": 1}),
        ({"roleName": "something new"}, "role_name", "something new"),
    ],
)
def test_known_deviations_are_read(sent: dict[str, Any], attribute: str, read: object) -> None:
    found = parsed("room.client.joined", PRESENCE | sent)
    assert isinstance(found, RoomClientJoined)
    assert getattr(found.data, attribute) == read
    assert found.body


@pytest.mark.parametrize(
    "sent",
    [
        *("2026-06-17T12:00:00Z", "2026-06-17T14:00:00+02:00", "2026-06-17T07:00:00-05:00", "2026-06-17T12:00:00"),
        *("2026-06-17T11:59:60Z", 1781697600, 1781697600000),
    ],
)
def test_dates_come_in_many_forms(sent: object) -> None:
    """Without an offset they are UTC; numbers are seconds or milliseconds."""
    created_at = parsed("room.session.ended", createdAt=sent).created_at
    assert (created_at, created_at.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + event("room.session.ended"),
        b"\r\n " + event("room.session.ended") + b"\r\n",
        event("room.session.ended", {**ROOM, "subdomain": "\ufffd"}).replace("\ufffd".encode(), b"\xff"),
        event("room.session.ended", id=64),
    ],
)
def test_bodies_that_are_a_little_off_are_read(body: bytes) -> None:
    """A byte-order mark, white space, bytes that are no UTF-8, a number for the id."""
    assert isinstance(parse_event(body), RoomSessionEnded)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"not JSON", "$"),
        (event("room.client.joined")[:-2], "$"),
        (b"[]", "$"),
        (b"null", "$"),
        (b"{}", "$"),
        (b'{"id":"1","type":null,"data":{}}', "$.type"),
        (b'{"id":"1","type":["room.client.joined"],"data":{}}', "$.type"),
        (b'{"type":"room.client.joined","data":{}}', "$"),
        (b'{"type":"never.heard.of","data":{}}', "$"),
        (event("room.client.joined", []), "$.data"),
        (b'{"id":"1","type":"room.session.ended","data":null}', "$.data"),
        (event("recording.finished", {"roomName": "/r"}), "$.data"),
        (event("recording.finished", {"recordingId": {}}), "$.data.recordingId"),
        (event("room.session.ended", id=None), "$.id"),
        (event("recording.finished", {"roomName": "/r"}, createdAt="yesterday"), "$.data"),
        (b'{"a":' * 2000, "$"),
    ],
)
def test_what_is_no_event_is_told_with_its_place(body: bytes, path: str) -> None:
    """The error keeps the body, out of its text and repr, and drags nothing along."""
    with pytest.raises(ResponseDecodeError, match=r"^the webhook's body can not be read: ") as caught:
        parse_event(body)
    error = caught.value
    assert (error.body, error.path, error.may_have_happened) == (body, path, False)
    assert error.__context__ is None
    assert pickle.loads(pickle.dumps(error)).body == body


@pytest.mark.parametrize(
    ("sent", "attribute"),
    [
        ({"numClients": "many"}, "num_clients"),
        ({"numClientsByRoleName": [1]}, "num_clients_by_role_name"),
        ({"numClientsByRoleName": {"host": "many"}}, "num_clients_by_role_name"),
        ({"isDialIn": "perhaps"}, "is_dial_in"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"roomName": ["/r"]}, "room_name"),
    ],
)
def test_odd_field_costs_no_event(sent: dict[str, Any], attribute: str) -> None:
    """It counts as untold, whatever else is odd; all other fields are read, and the body is whole."""
    whole = parsed("room.client.joined", PRESENCE)
    for odd in ({}, {"createdAt": "Invalid date", "apiVersion": [1]}):
        body = event("room.client.joined", PRESENCE | sent, **odd)
        found = parse_event(body)
        assert isinstance(found, RoomClientJoined)
        assert found.data == msgspec.structs.replace(whole.data, **{attribute: None})
        assert found.created_at == (None if odd else NOON)
        assert found.body == body


@pytest.mark.parametrize(
    ("type_", "data", "attribute"),
    [
        ("transcription.finished", {"transcriptionId": "t", "durationInSeconds": "long"}, "duration_in_seconds"),
        ("transcription.failed", {"transcriptionId": "t", "status": {}}, "status"),
        ("recording.finished", {"recordingId": "r", "filename": 5.5 * 10**3, "status": []}, "status"),
    ],
)
def test_odd_field_costs_no_event_of_other_types(type_: str, data: dict[str, Any], attribute: str) -> None:
    found = parsed(type_, data)
    assert found.type == type_
    assert getattr(found.data, attribute) is None


@pytest.mark.parametrize("moment", ["yesterday", "", {}, [1], "+275760-09-13T00:00:00.000Z"])
@pytest.mark.parametrize("type_", ["room.session.ended", "summary.finished"])
def test_unreadable_date_costs_no_event(type_: str, moment: object) -> None:
    """It counts as untold, and stays in the body."""
    body = event(type_, createdAt=moment)
    found = parse_event(body)
    assert (found.type, found.created_at, found.body) == (type_, None, body)


@pytest.mark.parametrize("body", [event("room.session.ended").decode(), json.loads(event("room.session.ended")), None])
def test_only_bytes_are_parsed(body: Any) -> None:
    """Text and parsed JSON are refused as they are for the signature, so that the mistake shows at once."""
    with pytest.raises(TypeError, match="body must be bytes"):
        parse_event(body)


@pytest.mark.parametrize("type_", [*DATA, "summary.finished"])
def test_events_pickle_copy_and_compare_by_value(type_: str) -> None:
    """With their body, which does not count when they are compared."""
    body = event(type_, DATA.get(type_, {"a": 1}))
    found = parse_event(body)
    for same in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)):
        assert same == found
        assert type(same) is type(found)
        assert same.body == body
        assert repr(same.body) == f"<{len(body)} bytes>"
    assert parse_event(body + b" ") == found
    assert parse_event(body.replace(b"6b1f", b"6b20")) != found
    with pytest.raises(AttributeError):
        found.id = "2"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue] - frozen


def test_events_can_be_made_by_hand() -> None:
    made = RoomClientKnocked(id="1", data=ParticipantData(display_name="Zoë"))
    assert (made.type, made.data.display_name, made.body) == ("room.client.knocked", "Zoë", b"")
    assert parse_event(msgspec.json.encode(made)) == made


def test_the_rooms_address_is_made_of_its_parts() -> None:
    """As Whereby's own SDK makes it; without a part there is none."""
    assert RoomData(subdomain="example", room_name="/r").room_url == "https://example.whereby.com/r"
    assert RoomData(subdomain="example", room_name="r").room_url == "https://example.whereby.com/r"
    assert RoomData(subdomain="example").room_url is None
    assert RoomData(room_name="/r").room_url is None


@pytest.mark.parametrize(
    "found",
    [
        parse_event(
            event("room.client.joined", {**PRESENCE, "metadata": f"https://a.whereby.com/r?roomKey={PLANTED}"})
        ),
        parse_event(event("room.client.knocked", {**WHO, "displayName": f"Bearer {PLANTED}"})),
        parse_event(event("transcription.failed", {**TRANSCRIPTION, "error": {"url": f"?Signature={PLANTED}"}})),
        parse_event(event("summary.finished", {"text": PLANTED})),
        parse_event(event("summary.finished", [PLANTED])),
        parse_event(event(f"x?roomKey={PLANTED}", {})),
        parse_event(event("room.session.ended", id=f"?token={PLANTED}")),
    ],
)
def test_keys_and_links_do_not_show(found: WebhookEvent) -> None:
    """Wherever somebody put one: neither repr nor rich shows it, and the attributes are whole."""
    out = StringIO()
    Console(file=out, width=300).print(found)
    assert PLANTED in found.body.decode()
    for shown in (repr(found), str(found), f"{[found]}", str(vars(found)), out.getvalue()):
        assert PLANTED not in shown
    assert "***" in repr(found) or "<dict of text>" in repr(found)


def test_what_is_not_secret_shows() -> None:
    shown = repr(parse_event(event("room.client.joined")))
    for part in ("RoomClientJoined(id='6b1f'", "room_name='/r'", "display_name='Zoë 🎥'", "{'host': 1, 'granted"):
        assert part in shown
    failed = parse_event(event("transcription.failed"))
    assert isinstance(failed, TranscriptionFailed)
    assert "error='no speech'" in repr(failed)
    assert "data='<dict of a, b>'" in repr(parsed("new", {"a": 1, "b": 2}))
    assert "data=None" in repr(UnknownEvent(id="1", type="x"))


def test_all_structs_are_frozen_and_explain_themselves() -> None:
    """Each field is in the docstring of its class or of one above it; `data` is a Struct that explains itself."""
    structs = [kind for kind in vars(webhooks).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    assert len(structs) == 20
    for struct in structs:
        assert struct.__struct_config__.frozen
        told = "".join(kind.__doc__ or "" for kind in struct.__mro__)
        fields = set(struct.__struct_fields__) - {"data"}
        assert [name for name in fields if not re.search(rf"^ +{name}: ", told, re.MULTILINE)] == []


def test_nothing_heavy_is_loaded() -> None:
    """Whoever only receives webhooks does not pay for a client: no aiohttp, anyio or asyncio; the room link neither."""
    program = (
        "import sys; from whereby_async.webhooks import *; import whereby_async; whereby_async.room_link;"
        " whereby_async.webhooks.verify_signature; seen = SeenEvents();"
        ' body = b\'{"id":1,"type":"room.session.ended","data":{}}\';'
        " event = unwrap(body, sign(body, 's'), 's'); assert isinstance(event, RoomSessionEnded);"
        f" print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    environment = checkout.clean_environment(PYTHONPATH=str(checkout.ROOT))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, encoding="utf-8")
    assert done.stdout == "[]\n"
