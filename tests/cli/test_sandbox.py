"""`whereby sandbox`: a process of its own that serves until a signal."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import socket
import subprocess
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import pytest
from support.processes import OnTerminal, command, environment, run
from support.serving import Receiver

from whereby_async import AuthenticationError, Throttled, WherebyClient
from whereby_async.cli.output import Output
from whereby_async.cli.sandbox import Life
from whereby_async.limiter import Unlimited
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, run_simulated
from whereby_async.webhooks import RoomClientJoined, TranscriptionFinished, unwrap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from support.processes import Runner

    from whereby_async.webhooks import Event

pytestmark = pytest.mark.anyio

SECRET = "whsec-that-must-not-be-seen"


class Sandbox:
    """A sandbox with a pipe; its lines are read as they come. A context manager that leaves no process behind."""

    def __init__(self, *words: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            command("sandbox", "--port", "0", *words),
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        self.ready = self.line()
        self.url: str = self.ready["base_url"]
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self) -> dict[str, Any]:
        """The next line."""
        assert self.process.stdout is not None
        row: dict[str, Any] = json.loads(self.process.stdout.readline())
        return row

    def client(self, **options: Any) -> WherebyClient:
        """A client by the two values that it printed."""
        return WherebyClient(self.ready["api_key"], base_url=self.url, **options)

    def stop(self, number: signal.Signals) -> tuple[int, list[dict[str, Any]], str]:
        """Send it a signal: its exit code, its last lines, its stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with a small limit."""
    with Sandbox("--limit", "20") as box:
        yield box


async def test_it_prints_what_leads_a_client_to_it(sandbox: Sandbox) -> None:
    """The first line holds the base URL and the fake key; a client that has them finds a world to work with."""
    assert sandbox.ready["event"] == "ready"
    assert sandbox.ready["api_key"] == FAKE_API_KEY
    async with sandbox.client() as client:
        assert len(await client.meetings.list().collect()) == 3
        assert len(await client.recordings.list().collect()) == 3
        assert len(await client.transcriptions.list().collect()) == 3
        assert len(await client.summaries.list().collect()) == 1
        assert await client.insights.room_sessions("/weekly").collect()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_each_request_is_a_line_and_a_signal_ends_it_with_a_summary(
    sandbox: Sandbox, number: signal.Signals
) -> None:
    """Method, path without its query, status, points and points left; at the end the totals, at once, with exit code 0."""
    async with sandbox.client() as client:
        await client.meetings.list(name_starts_with="/x")
        await client.rooms.set_theme_tokens("/weekly", primary="#112233")
        started_at = monotonic()
        code, rows, err = sandbox.stop(number)
    assert monotonic() - started_at < 3.0
    assert (code, err) == (0, "")
    assert rows[0] == {
        "event": "request",
        "method": "GET",
        "path": "/v1/meetings",
        "operation": "meetings.list",
        "status": 200,
        "points": 1,
        "remaining": 19,
    }
    assert [rows[1][name] for name in ("method", "status", "points", "remaining")] == ["PUT", 204, 3, 16]
    summary = rows[-1]
    assert (summary["event"], summary["calls"], summary["points"], summary["throttled"]) == ("summary", 2, 4, 0)


async def test_refused_requests_show(sandbox: Sandbox) -> None:
    """A wrong key costs nothing; a request too many is a 429, and the summary counts it."""
    async with sandbox.client(max_wait=0, limiter=Unlimited()) as client:
        with pytest.raises(AuthenticationError):
            await client.with_options(api_key="wrong").meetings.list()
        row = sandbox.line()
        assert (row["status"], row["points"], row["remaining"]) == (401, 0, None)
        for _ in range(20):
            await client.meetings.list()
        with pytest.raises(Throttled):
            await client.meetings.list()
    _, rows, _ = sandbox.stop(signal.SIGTERM)
    assert [row["status"] for row in rows if row["event"] == "request"] == [200] * 20 + [429]
    assert (rows[-1]["calls"], rows[-1]["throttled"], rows[-1]["points"]) == (22, 1, 20)


async def test_empty_world_and_other_budget() -> None:
    """`--empty` has no meetings; limit, period and algorithm are as asked for."""
    budget = ("--limit", "7", "--period", "1.5", "--algorithm", "token_bucket")
    with Sandbox("--empty", "--host", "localhost", *budget) as box:
        assert [box.ready[name] for name in ("limit", "period", "algorithm")] == [7, 1.5, "token_bucket"]
        async with box.client() as client:
            assert await client.meetings.list().collect() == []
        code, *_ = box.stop(signal.SIGTERM)
    assert code == 0


@pytest.mark.parametrize("by_variable", [True, False])
async def test_other_machines_may_be_let_in(by_variable: bool, tmp_path: Path) -> None:
    """By plain http, which both sides have to allow; links to files lead where the client found it."""
    with Sandbox("--host", "0.0.0.0", "--insecure-http") as box:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", box.url)
        async with box.client() as client:  # on the same machine nothing has to be allowed
            (transcription, *_) = await client.transcriptions.list().collect()
        there = box.url.replace("127.0.0.1", "0.0.0.0")
        variables = {"WHEREBY_BASE_URL": there, "WHEREBY_API_KEY": box.ready["api_key"]}
        words = ("transcriptions", "download", transcription.transcription_id, str(tmp_path / "text"))
        refused = run(*words, **variables)
        if by_variable:
            ended = run(*words, **variables, WHEREBY_INSECURE_HTTP="1")
        else:
            ended = run(*words, "--insecure-http", **variables)
    assert (refused.code, ended.code) == (2, 0)
    assert "--insecure-http or WHEREBY_INSECURE_HTTP=1" in refused.err
    assert ended.err.splitlines()[0] == f"whereby: the API key goes to {there} in the clear, as --insecure-http allows"
    assert (tmp_path / "text").stat().st_size > 0


async def test_what_others_have_to_set_is_said() -> None:
    with OnTerminal("sandbox", "--port", "0", "--host", "0.0.0.0", "--insecure-http") as terminal:
        shown = terminal.until("export WHEREBY_API_KEY=")
        terminal.interrupt()
    assert "WHEREBY_INSECURE_HTTP=1" in " ".join(shown.split())


@pytest.mark.parametrize("host", ["nobody.invalid", "a..b", "x" * 70, "192.0.2.1", "", "ä.example"])
def test_a_host_that_can_not_be_listened_on_is_told(here: Runner, host: str) -> None:
    ended = here("sandbox", "--host", host, "--insecure-http")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert re.match(r"whereby: --host \S* (--port 8700: [A-Z][\w ]+; --port 0 |is no address)", ended.err)
    assert "Unknown error" not in ended.err


def test_taken_port_is_told(here: Runner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = here("sandbox", "--port", port)
    assert (ended.code, ended.out) == (2, "")
    assert f"--port {port}: {os.strerror(errno.EADDRINUSE)}" in ended.err
    assert "--port 0" in ended.err


async def test_on_a_terminal_it_prints_lines_to_copy() -> None:
    """Two export lines, whole and without colour however narrow the terminal, a table, and a summary at Ctrl-C."""
    with OnTerminal("sandbox", "--port", "0", columns=60) as terminal:
        shown = terminal.until("export WHEREBY_API_KEY=" + FAKE_API_KEY)
        (url,) = re.findall(r"^export WHEREBY_BASE_URL=(http://127\.0\.0\.1:\d+/v1)\r$", shown, re.MULTILINE)
        async with WherebyClient(FAKE_API_KEY, base_url=url) as client:
            await client.meetings.list()
        terminal.until("/v1/meetings")
        ended = terminal.interrupt()
    assert ended.code == 0
    lines = [line.split() for line in ended.lines()]
    assert ["method", "status", "points", "left", "path"] in lines
    assert ["GET", "200", "1", "999", "/v1/meetings"] in lines
    assert any(line.startswith("  1 requests, 1 points, 0 times 429") for line in ended.lines())
    assert "\x1b[" in ended.out


async def test_json_on_a_terminal() -> None:
    with OnTerminal("sandbox", "--port", "0", "--json") as terminal:
        first = json.loads(terminal.until("\n").splitlines()[0])
        ended = terminal.interrupt()
    assert first["event"] == "ready"
    assert "\x1b" not in ended.out


class Told:
    """What a receiver was told of a sandbox whose clock is simulated, and what its world was at the end."""

    def __init__(self, act: Callable[[FakeWhereby, WherebyClient], Awaitable[object]], *statuses: int | None) -> None:
        self.events: list[Event] = []
        self.times: list[float] = []
        run_simulated(self._main(act, statuses))

    async def _main(
        self, act: Callable[[FakeWhereby, WherebyClient], Awaitable[object]], statuses: tuple[int | None, ...]
    ) -> None:
        async with FakeWhereby() as fake, Receiver(*statuses) as receiver, fake.client() as client:
            fake.add_meeting(room_name="/old")
            fake.add_recording(room_name="/old")
            sender = fake.webhook_sender(receiver.url, secret=SECRET)
            life = asyncio.create_task(Life(fake, sender, Output(as_json=True)).go_on())
            await asyncio.sleep(0.0)
            began = asyncio.get_running_loop().time()
            await act(fake, client)
            await asyncio.sleep(60.0)
            assert not life.done()
            life.cancel()
            await asyncio.wait([life])
        self.fake = fake
        self.events = [unwrap(body, signature, SECRET) for body, signature in receiver.received]
        self.times = [at - began for at in receiver.times]

    def types(self) -> list[str]:
        """The types of the events, in their order."""
        return [event.type for event in self.events]


BEGIN = ["room.client.joined", "room.client.joined", "room.session.started"]
END = ["room.client.left", "room.client.left", "room.session.ended"]
CLOUD = {"type": "cloud", "startTrigger": "automatic-2nd-participant", "destination": {"provider": "whereby"}}
LIVE = {"startTrigger": "automatic", "destination": {"provider": "whereby"}, "language": "en"}


@pytest.mark.parametrize(
    ("options", "types"),
    [
        ({}, BEGIN + END),
        ({"is_locked": True}, [*BEGIN[:1], "room.client.knocked", *BEGIN[1:], *END]),
        ({"recording": CLOUD}, [*BEGIN, *END, "recording.finished"]),
        ({"recording": CLOUD | {"startTrigger": "prompt"}}, BEGIN + END),
        ({"recording": CLOUD | {"type": "local"}}, BEGIN + END),
        ({"live_transcription": LIVE}, [*BEGIN, *END, "transcription.started", "transcription.finished"]),
        ({"live_transcription": LIVE | {"startTrigger": "manual"}}, BEGIN + END),
    ],
    ids=str,
)
def test_guests_come_into_each_new_room(options: dict[str, Any], types: list[str]) -> None:
    """A second after it was made, for three; events come in their order, and fit what the API then says."""
    told = Told(lambda _, client: client.meetings.create(end_date="2099-01-01T00:00:00Z", **options))
    assert told.types() == types
    assert told.times[0] == pytest.approx(1.0, abs=0.5)
    assert told.times[types.index("room.client.left")] == pytest.approx(4.0, abs=0.8)
    (session,) = told.fake.sessions.values()
    people = told.fake.participants[session["roomSessionId"]]
    joined = [event.data for event in told.events if isinstance(event, RoomClientJoined)]
    assert [data.participant_id for data in joined] == [person["participantId"] for person in people]
    assert [data.num_clients for data in joined] == [1, 2]
    assert [data.room_session_id for data in joined] == [None, session["roomSessionId"]]
    assert session["endedAt"] == people[0]["leftAt"] > session["startedAt"]
    (_, meeting) = told.fake.meetings.values()
    assert {event.data.room_name for event in told.events} == {meeting["roomName"]}
    ids = {event.data.meeting_id for event in told.events if event.type.startswith("room.")}
    assert ids == {meeting["meetingId"]}


def test_who_is_in_a_room_that_is_deleted_leaves_at_once() -> None:
    async def act(fake: FakeWhereby, client: WherebyClient) -> None:
        never, soon = [await client.meetings.create(end_date="2099-01-01T00:00:00Z") for _ in range(2)]
        await client.meetings.delete(never.meeting_id)
        await asyncio.sleep(2.0)
        await client.meetings.delete(soon.meeting_id)

    told = Told(act)
    assert told.types() == BEGIN + END
    assert told.times[3] < 3.0
    (known,) = {event.data.meeting_id for event in told.events}
    assert known is not None
    assert known.isdigit()


def test_transcriptions_start_and_finish_or_fail() -> None:
    """Those that the API is asked for, with the recording's id; those that were there are not told of."""

    async def act(fake: FakeWhereby, client: WherebyClient) -> None:
        (recording_id,) = fake.recordings
        await client.transcriptions.create(recording_id)
        await asyncio.sleep(5.0)  # nobody asks for it meanwhile
        fake.processing_time = None
        second = await client.transcriptions.create(recording_id)
        await asyncio.sleep(1.0)
        fake.finish_transcription(second.transcription_id, "failed")

    told = Told(act)
    words = ("started", "finished", "started", "failed")
    assert told.types() == [f"transcription.{word}" for word in words]
    finished = told.events[1]
    assert isinstance(finished, TranscriptionFinished)
    assert finished.data.recording_id in told.fake.recordings


def test_receiver_that_is_down_keeps_nothing_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    """It is tried by Whereby's rules and told of in a line; the guests go on, and so does the sandbox."""
    silence = [None] * 18
    told = Told(lambda _, client: client.meetings.create(end_date="2099-01-01T00:00:00Z"), *silence)
    assert told.times[told.types().index("room.client.left")] < 5.0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(row["type"] for row in rows) == sorted(BEGIN + END)
    expected = ("delivery", None, 3, "no answer within 5 s")
    assert {(row["event"], row["status"], row["tries"], row["problem"]) for row in rows} == {expected}
    (session,) = told.fake.sessions.values()
    assert datetime.fromisoformat(session["endedAt"]) - datetime.fromisoformat(session["startedAt"]) < timedelta(
        seconds=5
    )


async def test_events_are_posted_with_a_secret_that_is_printed() -> None:
    """The secret is a new one, and on the first line; a room that is made is visited."""
    async with Receiver() as receiver:
        with Sandbox("--webhook", receiver.url) as box:
            secret = box.ready["webhook_secret"]
            async with box.client() as client:
                meeting = await client.meetings.create(end_date="2099-01-01T00:00:00Z")
            assert box.line()["operation"] == "meetings.create"
            row, *_ = [await asyncio.to_thread(box.line) for _ in BEGIN]
            code, _, err = box.stop(signal.SIGTERM)
    assert (code, err) == (0, "")
    assert (row["event"], row["type"], row["status"], row["tries"]) == ("delivery", BEGIN[0], 204, 1)
    event = unwrap(*receiver.received[0], secret)
    assert isinstance(event, RoomClientJoined)
    assert (event.id, event.data.room_name) == (row["id"], meeting.room_name)
    assert len(secret) > 30


async def test_on_a_terminal_a_receiver_that_is_down_is_told() -> None:
    """The secret of the environment is not printed; the sandbox goes on until Ctrl-C."""
    words = ("sandbox", "--port", "0", "--webhook", "http://127.0.0.1:9/hooks")
    with OnTerminal(*words, columns=160, variables={"WHEREBY_WEBHOOK_SECRET": SECRET}) as terminal:
        shown = terminal.until("export WHEREBY_API_KEY=" + FAKE_API_KEY)
        (url,) = re.findall(r"^export WHEREBY_BASE_URL=(http://127\.0\.0\.1:\d+/v1)\r$", shown, re.MULTILINE)
        assert "Events go to http://127.0.0.1:9/hooks." in " ".join(shown.split())
        async with WherebyClient(FAKE_API_KEY, base_url=url) as client:
            (recording, *_) = await client.recordings.list().collect()
            await client.transcriptions.create(recording.recording_id)
            await asyncio.to_thread(terminal.until, "transcription.started: no answer: Connect")
            await client.recordings.list()
        ended = terminal.interrupt()
    assert ended.code == 0
    assert SECRET not in ended.out
    assert "WHEREBY_WEBHOOK_SECRET" not in ended.out
    assert ["event", "none", "-", "-", "transcription.started:"] in [line.split()[:5] for line in ended.lines()]


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://example.com/", "http://", "", "http://[::1"])
def test_events_go_to_a_url_only(url: str, here: Runner) -> None:
    ended = here("sandbox", "--webhook", url)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("whereby: --webhook must be an http or https URL, such as http://127.0.0.1:8000/")


def test_a_password_in_the_url_is_refused(here: Runner) -> None:
    ended = here("sandbox", "--webhook", "http://user:word@127.0.0.1:8000/")
    assert ended.code == 2
    assert ended.err.startswith("whereby: --webhook holds a user or a password")
    assert "word@" not in ended.err
