"""`whereby demo` with an account: harmless reads only, unless told `--live`."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import Ended, command, environment

from whereby_async import APIConnectionError, AuthenticationError
from whereby_async.cli import main
from whereby_async.cli.demo import show_account
from whereby_async.cli.output import Output
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

KEY = "a-key-that-must-not-be-seen"


@pytest.fixture
async def account(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeWhereby]:
    """A server that plays the live account, and the variables that lead to it."""
    async with FakeWhereby(api_key=KEY) as fake:
        monkeypatch.setenv("WHEREBY_API_KEY", KEY)
        monkeypatch.setenv("WHEREBY_BASE_URL", fake.url)
        yield fake


async def run(*words: str) -> Ended:
    """Run `whereby` while this loop goes on serving."""
    process = await asyncio.create_subprocess_exec(
        *command(*words), env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


def _events(ended: Ended, event: str) -> list[dict[str, Any]]:
    return [row for row in ended.rows() if row["event"] == event]


async def test_without_live_it_only_reads(account: FakeWhereby) -> None:
    """Four GETs, one page each, and nothing else reaches the account."""
    for _ in range(25):
        account.add_meeting()
    ended = await run("demo")
    assert (ended.code, ended.err) == (0, "")
    assert [(request.method, request.operation) for request in account.requests] == [
        ("GET", "meetings.list"),
        ("GET", "recordings.list"),
        ("GET", "transcriptions.list"),
        ("GET", "insights.rooms"),
    ]
    calls = _events(ended, "call")
    assert [(row["points"], row["remaining"]) for row in calls] == [(1, 999), (1, 998), (1, 997), (1, 996)]
    assert [row["note"] for row in calls[:2]] == ["10 rows, and there are more", "0 rows"]
    assert KEY not in ended.out


async def test_it_says_first_what_it_will_do(account: FakeWhereby) -> None:
    """Before the first call: which server, and that nothing is changed."""
    first = (await run("demo")).rows()[0]
    assert first["event"] == "notice"
    assert account.url in first["text"]
    assert "only read" in first["text"]
    assert first["live"] is False


async def test_live_makes_and_deletes_one_meeting(account: FakeWhereby) -> None:
    """With --live it also makes a meeting, reads and colours it, and leaves nothing."""
    ended = await run("demo", "--live")
    assert (ended.code, ended.err) == (0, "")
    assert [request.operation for request in account.requests][4:] == [
        "meetings.create",
        "meetings.get",
        "rooms.set_theme_tokens",
        "meetings.delete",
    ]
    assert account.meetings == {}
    assert "make one meeting" in ended.rows()[0]["text"]
    (summary,) = _events(ended, "summary")
    assert (summary["calls"], summary["points"], summary["refused"]) == (8, 13, 0)


async def test_live_meeting_is_deleted_when_a_later_call_fails(account: FakeWhereby) -> None:
    """A refusal in the middle leaves no meeting behind."""
    account.faults.add(Fault(status=422, operation="rooms.set_theme_tokens"))
    ended = await run("demo", "--live")
    assert ended.code == 1
    assert account.requests[-1].operation == "meetings.delete"
    assert account.meetings == {}


async def test_live_meeting_is_deleted_when_interrupted(account: FakeWhereby) -> None:
    """Ctrl-C in the middle leaves no meeting behind."""
    account.faults.add(Fault(delay=60.0, operation="meetings.get"))
    process = await asyncio.create_subprocess_exec(
        *command("demo", "--live"), env=environment(), stdout=asyncio.subprocess.DEVNULL
    )
    waiting = asyncio.ensure_future(process.wait())
    while not any(request.operation == "meetings.get" for request in account.requests) and not waiting.done():
        await asyncio.sleep(0.01)
    if not waiting.done():
        process.send_signal(signal.SIGINT)
    assert await waiting == 130
    assert account.requests[-1].operation == "meetings.delete"
    assert account.meetings == {}


async def test_what_the_plan_does_not_have_is_shown_and_passed_over(account: FakeWhereby) -> None:
    """A 403 is a row with the server's words; the other reads follow, and the exit code is 1."""
    account.faults.add(Fault(status=403, operation="recordings.list"))
    ended = await run("demo")
    assert (ended.code, len(account.requests)) == (1, 4)
    assert [row["status"] for row in _events(ended, "call")] == [200, 403, 200, 200]
    assert _events(ended, "summary")[0]["refused"] == 1


async def test_wrong_key_is_told(account: FakeWhereby, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, and a message that names the variable and shows no key."""
    monkeypatch.setenv("WHEREBY_API_KEY", "another-secret-key")
    ended = await run("demo")
    assert ended.code == 1
    assert ended.err.startswith("whereby: meetings.list: 401")
    assert "WHEREBY_API_KEY" in ended.err
    assert "another-secret-key" not in ended.err + ended.out
    assert len(account.requests) == 1


@pytest.mark.usefixtures("account")
async def test_throttled_account_is_exit_code_3() -> None:
    """A server that wants a longer wait than one would sit through ends it at once."""
    async with FakeWhereby(api_key=KEY, limit=1, period=600.0) as busy:
        busy.spend(1)
        process = await asyncio.create_subprocess_exec(
            *command("demo"),
            env=environment(WHEREBY_BASE_URL=busy.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert process.returncode == 3
    assert err.startswith(b"whereby: meetings.list: 429")


async def test_limit_is_for_the_fake_server_only(account: FakeWhereby) -> None:
    """With an account, --limit is wrong usage, and nothing is sent."""
    ended = await run("demo", "--limit", "50")
    assert (ended.code, ended.out) == (2, "")
    assert "WHEREBY_API_KEY is set" in ended.err
    assert account.requests == []


def test_no_answer_is_exit_code_4(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A port where nobody listens."""
    monkeypatch.setenv("WHEREBY_API_KEY", KEY)
    monkeypatch.setenv("WHEREBY_BASE_URL", "http://127.0.0.1:9/v1")
    assert main(["demo"]) == 4
    assert KEY not in "".join(capsys.readouterr())


def test_plain_http_to_a_stranger_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key would go in the clear: exit code 2, nothing sent."""
    monkeypatch.setenv("WHEREBY_API_KEY", KEY)
    monkeypatch.setenv("WHEREBY_BASE_URL", "http://whereby.example/v1")
    assert main(["demo"]) == 2
    assert "https" in capsys.readouterr().err


async def test_look_tells_errors_apart(account: FakeWhereby, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process too: the errors are the client's own."""
    monkeypatch.setenv("WHEREBY_API_KEY", FAKE_API_KEY)
    with pytest.raises(AuthenticationError):
        await show_account(Output(as_json=True), live=False)
    account.api_key = FAKE_API_KEY
    account.faults.add(Fault(drop="before"), Fault(drop="before"))
    with pytest.raises(APIConnectionError):
        await show_account(Output(as_json=True), live=True)
    assert await show_account(Output(as_json=True), live=True) == 0
