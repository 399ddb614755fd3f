"""Webhooks as the fake sends them: what they say, how they are signed, and by which rules they are delivered."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

import msgspec
import pytest
import yarl
from support.serving import Receiver
from support.webhook_samples import DATA, ROOM

from whereby_async import ConfigurationError, WebhookVerificationError, webhooks
from whereby_async.testing import FAKE_WEBHOOK_SECRET, FakeWhereby, WebhookSender, run_simulated

pytestmark = pytest.mark.anyio


def test_every_documented_type_can_be_made() -> None:
    """All 11, each with exactly the documented keys, and what the package itself takes for a known event."""
    make = FakeWhereby().events
    events = [
        make.client_joined(),
        make.client_left(),
        make.client_knocked(),
        make.client_knock_cancelled(),
        make.session_started(),
        make.session_ended(),
        make.transcription_started(),
        make.transcription_finished(),
        make.transcription_failed(),
        make.recording_finished(),
        make.assistant_requested(),
    ]
    assert len(events) == 11
    assert {event["type"] for event in events} == set(webhooks.EVENT_TYPES)
    for event in events:
        assert event.keys() == {"id", "apiVersion", "createdAt", "type", "data"}
        of_a_recording = "recordingId" if event["type"].startswith("transcription.") else ""
        assert event["data"].keys() == DATA[event["type"]].keys() - {of_a_recording}
        body = msgspec.json.encode(event)
        signature = webhooks.sign(body, "secret")
        known = webhooks.unwrap(body, signature, "secret")
        assert not isinstance(known, webhooks.UnknownEvent)
        assert (known.id, known.type) == (event["id"], event["type"])
        assert len(event["id"]) == 64


def test_event_fits_the_world() -> None:
    """It has the room's meeting and newest session; recordings and transcriptions are as the API lists them."""
    fake = FakeWhereby(subdomain="acme")
    meeting = fake.add_meeting(room_name="/standup")
    fake.add_session("/standup", started_at=-9000.0)
    session = fake.add_session("/standup", ended=False, started_at=-60.0)
    for event in (fake.events.client_left("standup"), fake.events.session_started("/standup")):
        told = {name: event["data"][name] for name in ROOM}
        assert told == {
            "meetingId": meeting["meetingId"],
            "roomName": "/standup",
            "subdomain": "acme",
            "roomSessionId": session["roomSessionId"],
        }
    recording = fake.add_recording(room_name="/standup")
    told = fake.events.recording_finished(recording)["data"]
    assert told == {name: recording[name] for name in ("recordingId", "roomName", "filename")} | {"status": "completed"}
    made = fake.add_transcription(recording_id=recording["recordingId"])
    current = fake.transcriptions[made["transcriptionId"]]
    told = fake.events.transcription_finished(current, recordingId=recording["recordingId"])["data"]
    assert told == {name: current[name] for name in told.keys() & current.keys()} | {
        "status": "ready",
        "recordingId": recording["recordingId"],
    }
    assert fake.events.transcription_finished(current)["data"]["recordingId"] == recording["recordingId"]
    del fake.recordings[recording["recordingId"]]
    assert len(fake.events.transcription_finished(current)["data"]["recordingId"]) == 36


def test_room_without_a_meeting_has_an_id_of_its_own() -> None:
    """The same one in all its events, no other room's, and none that a meeting gets later."""
    fake = FakeWhereby()
    ids = [fake.events.client_joined(room)["data"]["meetingId"] for room in ("/a", "/b", "/a")]
    assert ids[0] == ids[2] != ids[1]
    assert fake.add_meeting(room_name="/c")["meetingId"] not in ids


def test_events_of_a_room_without_a_session_tell_one_session() -> None:
    """From its start to its end; the next one is another."""
    make = FakeWhereby().events

    def session_of(event: dict[str, Any]) -> Any:
        return event["data"]["roomSessionId"]

    assert session_of(make.client_joined("/x")) is None
    first = session_of(make.session_started("/x"))
    assert session_of(make.client_joined("/x")) == session_of(make.session_started("x")) == first
    assert session_of(make.session_started("/y")) != first
    assert session_of(make.session_ended("/x")) == session_of(make.session_ended("/x")) == first
    assert session_of(make.session_started("/x")) != first


@pytest.mark.parametrize(
    ("method", "odd", "words"),
    [
        ("recording_finished", "id", r"add_recording gave, a dictionary, not 'id'"),
        ("transcription_finished", "id", r"add_transcription gave, a dictionary, not 'id'"),
        ("transcription_failed", ["id"], r"add_transcription gave, a dictionary"),
        ("client_joined", 5, "a room's name is text such as '/standup', not 5"),
    ],
)
def test_event_of_nothing_is_refused(method: str, odd: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        getattr(FakeWhereby().events, method)(odd)


def test_fields_can_be_overridden() -> None:
    """By the documented names, by the API's own spelling, and types that are not known yet can be made."""
    make = FakeWhereby().events
    joined = make.client_joined("/x", display_name="Zoë", role_name="host", num_clients=2, metadata="m", brandNew=[1])
    data = joined["data"]
    assert (data["displayName"], data["numClientsByRoleName"], data["brandNew"]) == ("Zoë", {"host": 2}, [1])
    assert make.client_left(displayName="[[redacted]]")["data"]["displayName"] == "[[redacted]]"
    assert make.session_ended(roomSessionId=None)["data"]["roomSessionId"] is None
    assert make.transcription_failed(error="too long")["data"]["error"] == "too long"
    assert make.event("room.caught.fire", smoke=True)["data"] == {"smoke": True}
    assert (joined | {"createdAt": "x"})["createdAt"] == "x"


async def test_signed_event_is_delivered_and_verifies(fake: FakeWhereby) -> None:
    """The receiver gets the raw bytes with a signature that holds, dated by its own clock and the fake's skew."""
    fake.clock_skew = -1000.0
    event = fake.events.client_joined(display_name="Zoë 🎥")
    async with Receiver() as receiver:
        delivery = await fake.webhook_sender(receiver.url, secret="s3cret").send(event)
        ((body, signature),) = receiver.received
    assert (delivery.delivered, delivery.status, len(delivery.attempts)) == (True, 204, 1)
    assert (body, signature) == (delivery.body, delivery.signature)
    assert "Zoë 🎥".encode() in body
    webhooks.verify_signature(body, signature, "s3cret", now=fake.now())
    with pytest.raises(WebhookVerificationError, match="it was made"):
        webhooks.verify_signature(body, signature, "s3cret")


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "another"},
        {"skew": -301.0},
        {"skew": 302.0},
        {"tampered": True},
        {"tampered": b"{}"},
        {"signature": "t=1,v1=00"},
        {"signature": ""},
    ],
    ids=str,
)
async def test_what_is_wrong_does_not_verify(fake: FakeWhereby, wrong: dict[str, Any]) -> None:
    """A wrong secret, a date too far off, a changed body, a header that is none: each is delivered, and refused."""
    async with Receiver() as receiver:
        sender = fake.webhook_sender(receiver.url)
        delivery = await sender.send(fake.events.session_started(), **wrong)
        right = await sender.send(fake.events.session_started(), headers={"X-Mine": "1"})
        (body, signature), (good, holds) = receiver.received
    assert body == delivery.body
    assert signature == (delivery.signature or None)
    with pytest.raises(WebhookVerificationError):
        webhooks.verify_signature(body, signature, FAKE_WEBHOOK_SECRET)
    webhooks.verify_signature(good, holds, FAKE_WEBHOOK_SECRET)
    assert right.delivered


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize(("body", "sent"), [(b'{"a":1}', b'{"a":1,"tampered":true}'), (b"{}", b"{} tampered")])
async def test_bytes_go_out_as_they_are(fake: FakeWhereby, kind: type[Any], body: bytes, sent: bytes) -> None:
    """A body need not be an event; tampering keeps an object one. The URL may be text or a yarl.URL."""
    async with Receiver() as receiver:
        assert (await fake.webhook_sender(receiver.url).send(kind(body))).body == body
        await fake.webhook_sender(yarl.URL(receiver.url, encoded=True)).send(kind(body), tampered=True)
        assert [got for got, _ in receiver.received] == [body, sent]


@pytest.mark.parametrize("odd", [None, "{}", ["a"], 5])
async def test_what_is_no_event_is_not_sent(fake: FakeWhereby, odd: Any) -> None:
    """It would arrive as something else; nor is one event a list of them."""
    event = fake.events.session_started()
    async with Receiver() as receiver:
        sender = fake.webhook_sender(receiver.url)
        with pytest.raises(TypeError, match="an event is a dictionary"):
            await sender.send(odd)
        with pytest.raises(TypeError, match="an event is a dictionary"):
            await sender.send_all([event, odd])
        with pytest.raises(TypeError, match=r"pass \[event\]"):
            await sender.send_all(event)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - the subject
        with pytest.raises(ValueError, match="skew='x': pass seconds"):
            await sender.send(event, skew="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - the subject
        assert receiver.received == []


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"timeout": float("inf")}, {"retries": -1}, {"retries": 1.5}, {"backoff": -1}, {"backoff": True}],
    ids=str,
)
def test_rules_that_are_none_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        FakeWhereby().webhook_sender("http://127.0.0.1/", **options)
    with pytest.raises(TypeError, match="url must be text"):
        FakeWhereby().webhook_sender(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - the subject


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8000/", "ftp://example.com/", "http://", "http:///hooks", "http://127.0.0.1:99999/"),
        *("http://127.0.0.1:port/", "http://[::1/", "http://a..b/", f"http://{'x' * 70}/", "http://127.0.0.1:0/"),
    ],
)
def test_url_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url must be an http or https URL"):
        FakeWhereby().webhook_sender(url)


def deliver(*statuses: int | None, **options: Any) -> tuple[Any, list[float], list[str | None]]:
    """Deliver one event on a simulated clock to a receiver that answers so: delivery, times of the tries, signatures."""

    async def main() -> tuple[Any, list[float], list[str | None]]:
        async with FakeWhereby() as fake, Receiver(*statuses) as receiver:
            delivery = await fake.webhook_sender(receiver.url, **options).send(fake.events.session_ended())
            return delivery, receiver.times, [signature for _, signature in receiver.received]

    return run_simulated(main())


@pytest.mark.parametrize(
    ("statuses", "seen", "delivered"),
    [
        ([200], [200], True),
        ([500, 502, 204], [500, 502, 204], True),
        ([500, 503, 599, 200], [500, 503, 599], False),
        ([400, 200], [400], False),
        ([302, 200], [302], False),
        ([None, 200], [None, 200], True),
        ([None, None, None, 200], [None, None, None], False),
    ],
)
def test_delivery_is_tried_again_by_the_rules(
    statuses: list[int | None], seen: list[int | None], delivered: bool
) -> None:
    """After a 5xx and after silence, twice at most or as often as is said; a 4xx and a redirect are an answer."""
    delivery, *_ = deliver(*statuses)
    assert len(deliver(*statuses, retries=0)[0].attempts) == 1
    assert [attempt.status for attempt in delivery.attempts] == seen
    assert delivery.delivered is delivered
    assert [bool(attempt.problem) for attempt in delivery.attempts] == [status is None for status in seen]
    answers = [b"" if status in {None, 204} else f"answer {status}".encode() for status in seen]
    assert [attempt.answer for attempt in delivery.attempts] == answers


def test_answer_is_awaited_for_five_seconds_and_pauses_grow_under_one_signature() -> None:
    delivery, times, signatures = deliver(None, 500, 500)
    assert len(signatures) == 3
    assert len(set(signatures)) == 1
    assert [round(later - times[0], 2) for later in times] == [0.0, 5.5, 6.5]
    assert delivery.attempts[0].elapsed == pytest.approx(5.0, abs=0.01)
    assert delivery.attempts[0].problem == "no answer within 5 s"


async def test_each_try_is_signed_anew_on_request() -> None:
    times = itertools.count(1_000.0)
    async with Receiver(500, 500) as receiver:
        sender = WebhookSender(receiver.url, backoff=0.0, signs_again=True, now=lambda: next(times))
        await sender.send(b"{}")
    assert len({signature for _, signature in receiver.received}) == 3


@pytest.mark.parametrize("skew", [0.0, 60.0])
def test_simulated_minutes_do_not_make_signatures_old(skew: float) -> None:
    """A receiver in a simulated loop compares with the machine's clock, and so they are dated by that."""

    async def main() -> None:
        async with FakeWhereby(clock_skew=skew) as fake, Receiver() as receiver:
            await asyncio.sleep(3600.0)
            delivery = await fake.webhook_sender(receiver.url).send(fake.events.session_ended())
            webhooks.unwrap(delivery.body, delivery.signature, FAKE_WEBHOOK_SECRET)

    run_simulated(main())


async def test_receiver_that_is_not_there_is_reported(fake: FakeWhereby) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    delivery = await fake.webhook_sender(f"http://127.0.0.1:{port}/", backoff=0.0).send(b"{}")
    assert (delivery.delivered, delivery.status, len(delivery.attempts)) == (False, None, 3)
    assert delivery.attempts[0].problem.startswith("no answer: ClientConnectorError: Connect")


async def test_events_come_twice_and_in_disorder_on_request(fake: FakeWhereby) -> None:
    """Copies have one id; the order is chance's, and the same for the same seed."""
    events = [fake.events.client_joined(), fake.events.session_started(), fake.events.client_left()] * 2
    ids = [event["id"] for event in events[:3]]

    async def order(**options: Any) -> list[str]:
        async with Receiver() as receiver:
            deliveries = await fake.webhook_sender(receiver.url).send_all(events[:3], **options)
            received = [msgspec.json.decode(body)["id"] for body, _ in receiver.received]
            assert [delivery.body for delivery in deliveries] == [body for body, _ in receiver.received]
        return received

    assert await order() == ids
    assert await order(copies=2) == [each for each in ids for _ in range(2)]
    shuffled = await order(copies=2, shuffled=True, seed=3)
    assert sorted(shuffled) == sorted(ids * 2)
    assert shuffled == await order(copies=2, shuffled=True, seed=3)
    assert shuffled != await order(copies=2, shuffled=True, seed=4)


def test_sender_that_could_not_send_is_refused() -> None:
    with pytest.raises(ValueError, match=r"url must be an http or https URL, such as .*, not 'local"):
        WebhookSender("localhost:8000")
    with pytest.raises(ConfigurationError, match="secret is blank"):
        WebhookSender("http://localhost", secret=" ")


def test_sender_keeps_its_secret() -> None:
    sender = WebhookSender("https://example.com/hidden-path", secret="s3cret")
    assert repr(sender) == "<WebhookSender to example.com>"
