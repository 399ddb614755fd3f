"""`whereby sandbox`: a process of its own that serves until a signal."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import pytest
from support.processes import OnTerminal, command, environment, run

from whereby_async import AuthenticationError, Throttled, WherebyClient
from whereby_async.limiter import Unlimited
from whereby_async.testing import FAKE_API_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.processes import Runner

pytestmark = pytest.mark.anyio


class Sandbox:
    """A sandbox with a pipe; its lines are read as they come. A context manager that leaves no process behind."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            command("sandbox", "--port", "0", *words),
            env=environment(),
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
