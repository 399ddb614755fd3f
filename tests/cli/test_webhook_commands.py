"""`whereby webhooks`: the body from a file or a pipe, the secret from the environment or a terminal; sending events."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal
from support.processes import OnTerminal, on_terminal
from support.serving import Receiver

from whereby_async.webhooks import EVENT_TYPES, UnknownEvent, sign, unwrap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.processes import Runner

VERIFY = ("webhooks", "verify")
SEND = ("webhooks", "send")
SECRET = "whsec-that-must-not-be-seen"
BODY = json.dumps(
    {
        "id": "e1",
        "apiVersion": "1.0",
        "createdAt": "2026-11-23T04:53:00.000Z",
        "type": "room.client.joined",
        "data": {"roomName": "/weekly", "displayName": "Ada\u001b[2J", "meetingId": "1"},
    },
    separators=(",", ":"),
).encode()
SIGNATURE = ("--signature", sign(BODY, SECRET, at=0))
"""A right one, but old."""


def _signature() -> tuple[str, str]:
    """A right one, made now."""
    return "--signature", sign(BODY, SECRET)


@pytest.fixture
def body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with a body, and the secret in the environment."""
    monkeypatch.setenv("WHEREBY_WEBHOOK_SECRET", SECRET)
    path = tmp_path / "body.json"
    path.write_bytes(BODY)
    return str(path)


def test_right_signature_prints_the_event(body: str, here: Runner) -> None:
    """As it was sent, from a file or a pipe, on one line; no key of the API is needed."""
    signature = _signature()
    for ended in (here(*VERIFY, body, *signature), here(*VERIFY, *signature, stdin=BODY)):
        assert (ended.code, ended.err) == (0, "")
        assert ended.rows() == [json.loads(BODY)]


def test_wrong_signature_is_exit_code_1(body: str, here: Runner) -> None:
    ended = here(*VERIFY, body, "--signature", sign(BODY + b" ", SECRET))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("whereby: ")
    assert SECRET not in ended.err


def test_old_signature_needs_leave(body: str, here: Runner) -> None:
    """Ten minutes old: refused, unless it may be as old, or of any age."""
    words = (*VERIFY, body, "--signature", sign(BODY, SECRET, at=time.time() - 600))
    assert [here(*words, *more).code for more in ((), ("--tolerance", "900"), ("--any-age",))] == [1, 0, 0]


@pytest.mark.parametrize(
    ("words", "secret", "complaint"),
    [
        (("nowhere.json", *SIGNATURE), SECRET, "nowhere.json: No such file"),
        (("BODY", *SIGNATURE, "--tolerance=-1"), SECRET, "--tolerance"),
        (("BODY",), SECRET, "--signature"),
        (("BODY", *SIGNATURE), "", "set the variable WHEREBY_WEBHOOK_SECRET"),
    ],
)
def test_wrong_usage(  # noqa: PLR0917 - pytest passes them by name
    body: str, words: tuple[str, ...], secret: str, complaint: str, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEREBY_WEBHOOK_SECRET", secret)
    ended = here(*VERIFY, *(body if word == "BODY" else word for word in words))
    assert ended.code == 2
    assert complaint in ended.err


def test_on_a_terminal_the_secret_is_asked_for(body: str) -> None:
    """And a record is shown, without what a guest's name would make the terminal do."""
    with OnTerminal(*VERIFY, body, *_signature(), variables={"WHEREBY_WEBHOOK_SECRET": ""}) as terminal:
        terminal.until("Webhook secret (not shown")
        terminal.type(SECRET.encode() + b"\n")
        ended = terminal.end()
    assert ended.code == 0
    assert SECRET not in ended.out
    assert "\x1b[2J" not in ended.out
    assert any(line.split() == ["data.roomName", "/weekly"] for line in ended.lines())


def test_without_a_body_on_a_terminal_it_does_not_hang() -> None:
    ended = on_terminal(*VERIFY, "--signature", "t=1,v1=2")
    assert ended.code == 2
    assert "no body" in ended.out


@pytest.fixture
def receiver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that answers with the statuses that the test is parametrised with, and the secret it goes by."""
    monkeypatch.setenv("WHEREBY_WEBHOOK_SECRET", SECRET)
    receiver = Receiver(*getattr(request, "param", ()))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(receiver):
        yield receiver


@pytest.mark.parametrize("event", EVENT_TYPES)
def test_each_event_can_be_sent(event: str, receiver: Receiver, here: Runner) -> None:
    """A receiver that verifies knows it by its type; what became of it is on one line."""
    ended = here(*SEND, event, receiver.url)
    assert (ended.code, ended.err) == (0, "")
    ((body, signature),) = receiver.received
    known = unwrap(body, signature, SECRET)
    assert not isinstance(known, UnknownEvent)
    assert (known.type, known.data.room_name) == (event, "/weekly")
    (row,) = ended.rows()
    assert 0 <= row.pop("seconds") < 5
    expected = {"event": "delivery", "type": event, "id": known.id, "status": 204, "tries": 1}
    assert row == expected | {"problem": "", "answer": ""}


def test_fields_of_its_data_can_be_set(receiver: Receiver, here: Runner, tmp_path: Path) -> None:
    """By words and by a file; ids stay text, and what Whereby may add is sent along."""
    file = tmp_path / "data.json"
    file.write_text('{"externalId": "u-1", "metadata": null, "self": "x", "room_name": "y"}')
    words = ("displayName=Zoë", "meetingId=107585562", "numClients=3", "isDialIn=true", f"@{file}")
    ended = here(*SEND, "room.client.joined", receiver.url, *(each for word in words for each in ("--data", word)))
    assert ended.code == 0, ended.err
    data = json.loads(receiver.received[0][0])["data"]
    assert (data["displayName"], data["meetingId"], data["numClients"], data["isDialIn"]) == (
        "Zoë",
        "107585562",
        3,
        True,
    )
    assert (data["externalId"], data["metadata"], data["self"], data["room_name"]) == ("u-1", None, "x", "y")
    assert data["roomName"] == "/weekly"


@pytest.mark.parametrize(
    ("receiver", "code", "tries", "status"),
    [((500, 502, 503), 1, 3, 503), ((400, 200), 1, 1, 400), ((307, 200), 1, 1, 307)],
    indirect=["receiver"],
)
def test_what_the_receiver_answers_is_told(
    receiver: Receiver, code: int, tries: int, status: int, here: Runner
) -> None:
    """By Whereby's rules: a 5xx is tried twice more, all else is an answer."""
    ended = here(*SEND, "recording.finished", receiver.url)
    (row,) = ended.rows()
    assert (ended.code, row["tries"], row["status"], row["answer"]) == (code, tries, status, f"answer {status}")
    assert ended.err == (f"whereby: the receiver answered {status}\n" if code else "")
    assert len(receiver.received) == tries


def test_receiver_that_is_not_there_is_exit_code_4(receiver: Receiver, here: Runner) -> None:
    ended = here(*SEND, "room.client.left", "http://127.0.0.1:9/hooks")
    (row,) = ended.rows()
    assert (ended.code, row["status"], row["tries"]) == (4, None, 3)
    assert ended.err == f"whereby: {row['problem']}\n"
    assert row["problem"].startswith("no answer: ")
    assert "Error" not in row["problem"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("room.client.join", "URL"), "did you mean room.client.joined? The events are room.client.joined, "),
        (("ROOM.CLIENT.KNOCKCANCELED", "URL"), "did you mean room.client.knockCancelled? "),
        (("", "URL"), "EVENT '' is none of Whereby's: the events are "),
        (("URL", "room.client.left"), "is none of Whereby's: the events are "),
        (("room.client.left", "127.0.0.1:8000"), "URL must be an http or https URL, such as http://"),
        (("room.client.left", "http://127.0.0.1:99999/"), "URL must be an http or https URL, such as http://"),
        (("room.client.left", "https://user:word@example.com/"), "URL holds a user or a password"),
        (("room.client.left", "user:word@127.0.0.1:8000/"), "URL holds a user or a password"),
        (("room.client.left", "http://[::1"), "URL must be an http or https URL"),
        (("room.client.left",), "URL"),
        (("room.client.left", "URL", "--data", "x"), "--data 'x': write KEY=VALUE"),
        (("room.client.left", "URL", "--secret", SECRET), "set the variable WHEREBY_WEBHOOK_SECRET"),
    ],
)
def test_wrong_usage_sends_nothing(words: tuple[str, ...], complaint: str, receiver: Receiver, here: Runner) -> None:
    ended = here(*SEND, *(receiver.url if word == "URL" else word for word in words))
    assert (ended.code, ended.out, receiver.received) == (2, "", [])
    assert complaint in ended.err
    assert SECRET not in ended.err
    assert "user:word" not in ended.err


def test_nothing_is_sent_without_a_secret(receiver: Receiver, here: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREBY_WEBHOOK_SECRET", " ")
    ended = here(*SEND, "room.client.left", receiver.url)
    assert (ended.code, receiver.received) == (2, [])
    assert "set the variable WHEREBY_WEBHOOK_SECRET" in ended.err


@pytest.mark.parametrize("receiver", [(401,)], indirect=True)
def test_on_a_terminal_a_record_says_what_was_answered(receiver: Receiver) -> None:
    words = (*SEND, "room.client.joined", receiver.url)
    with OnTerminal(*words, variables={"WHEREBY_WEBHOOK_SECRET": ""}) as terminal:
        terminal.until("Webhook secret (not shown")
        terminal.type(SECRET.encode() + b"\n")
        ended = terminal.end()
    assert ended.code == 1
    assert SECRET not in ended.out
    lines = [line.split() for line in ended.lines()]
    assert ["Sending", "room.client.joined", "to", receiver.url] in lines
    assert {("status", "401"), ("answer", "answer", "401"), ("tries", "1")} <= set(map(tuple, lines))
    unwrap(*receiver.received[0], SECRET)


def test_default_of_the_body_is_shown_as_what_can_be_typed(here: Runner) -> None:
    assert "[default: -]" in here(*VERIFY, "--help").out
