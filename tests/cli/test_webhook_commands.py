"""`whereby webhooks verify`: the body from a file or a pipe, the secret from the environment or a terminal."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from support.processes import OnTerminal, on_terminal

from whereby_async.webhooks import sign

if TYPE_CHECKING:
    from pathlib import Path

    from support.processes import Runner

VERIFY = ("webhooks", "verify")
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
        terminal.until("Webhook secret")
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


def test_default_of_the_body_is_shown_as_what_can_be_typed(here: Runner) -> None:
    assert "[default: -]" in here(*VERIFY, "--help").out
