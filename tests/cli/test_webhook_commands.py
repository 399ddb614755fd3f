"""`whereby webhooks verify`: the body from a file or a pipe, the secret from the environment or a terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support.processes import OnTerminal, command, environment, on_terminal

from whereby_async.cli import main
from whereby_async.webhooks import sign

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.fixture
def body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with a body, and the secret in the environment."""
    monkeypatch.setenv("WHEREBY_WEBHOOK_SECRET", SECRET)
    path = tmp_path / "body.json"
    path.write_bytes(BODY)
    return str(path)


def test_right_signature_prints_the_event(body: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As it was sent, on one line; no key of the API is needed."""
    assert main(["webhooks", "verify", body, "--signature", sign(BODY, SECRET)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads(BODY)
    assert (out.count("\n"), err) == (1, "")


def test_body_comes_by_the_pipe(body: str) -> None:
    """As a process, byte for byte."""
    done = subprocess.run(
        command("webhooks", "verify", "--signature", sign(BODY, SECRET)),
        input=BODY,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["type"] == "room.client.joined"


def test_wrong_signature_is_exit_code_1(body: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what to check, and no secret."""
    assert main(["webhooks", "verify", body, "--signature", sign(BODY + b" ", SECRET)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("whereby: ")
    assert SECRET not in err


def test_old_signature_needs_leave(body: str) -> None:
    """Ten minutes old: refused, unless it may be as old, or of any age."""
    signature = sign(BODY, SECRET, at=time.time() - 600)
    words = ["webhooks", "verify", body, "--signature", signature]
    assert main(words) == 1
    assert main([*words, "--tolerance", "900"]) == 0
    assert main([*words, "--any-age"]) == 0


def test_wrong_usage(body: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there, a tolerance that is none, no signature, no secret."""
    signature = ["--signature", sign(BODY, SECRET)]
    assert main(["webhooks", "verify", "nowhere.json", *signature]) == 2
    assert main(["webhooks", "verify", body, *signature, "--tolerance=-1"]) == 2
    assert main(["webhooks", "verify", body]) == 2
    monkeypatch.delenv("WHEREBY_WEBHOOK_SECRET")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["webhooks", "verify", body, *signature]) == 2
    nowhere, tolerance, no_signature, no_secret = capsys.readouterr().err.splitlines()
    assert "nowhere.json: No such file" in nowhere
    assert "--tolerance" in tolerance
    assert "--signature" in no_signature
    assert "set the variable WHEREBY_WEBHOOK_SECRET" in no_secret


def test_on_a_terminal_the_secret_is_asked_for(body: str) -> None:
    """And a record is shown, without what a guest's name would make the terminal do."""
    words = ("webhooks", "verify", body, "--signature", sign(BODY, SECRET))
    with OnTerminal(*words, variables={"WHEREBY_WEBHOOK_SECRET": ""}) as terminal:
        terminal.until("Webhook secret")
        terminal.type(SECRET.encode() + b"\n")
        ended = terminal.end()
    assert ended.code == 0
    assert SECRET not in ended.out
    assert "\x1b[2J" not in ended.out
    assert any(line.split() == ["data.roomName", "/weekly"] for line in ended.lines())


def test_without_a_body_on_a_terminal_it_does_not_hang() -> None:
    """It says how to give one."""
    ended = on_terminal("webhooks", "verify", "--signature", "t=1,v1=2")
    assert ended.code == 2
    assert "no body" in ended.out
