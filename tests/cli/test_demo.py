"""`whereby demo` without an account: as a process, in a pipe and on a terminal."""

from __future__ import annotations

import itertools
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import PATIENCE, Ended, OnTerminal, command, environment

from whereby_async import operations
from whereby_async.operation import Operation
from whereby_async.testing import FAKE_API_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="module")
def runs() -> Mapping[str, Ended]:
    """The demo in a pipe and on a terminal of 80 columns, both at once."""
    with (
        subprocess.Popen(
            command("demo"),
            env=environment(WHEREBY_API_KEY=" "),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process,
        OnTerminal("demo", columns=80) as terminal,
    ):
        on_terminal = terminal.end()
        out, err = process.communicate(timeout=PATIENCE)
    return {"pipe": Ended(process.returncode, out, err), "terminal": on_terminal}


@pytest.fixture(scope="module")
def rows(runs: Mapping[str, Ended]) -> list[dict[str, Any]]:
    """The lines of the demo in a pipe."""
    return runs["pipe"].rows()


def _of(rows: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["event"] == event]


def test_both_end_well(runs: Mapping[str, Ended]) -> None:
    """Exit code 0, and nothing on stderr."""
    assert (runs["pipe"].code, runs["pipe"].err, runs["terminal"].code) == (0, "", 0)


def test_all_operations_are_shown(rows: list[dict[str, Any]]) -> None:
    """Every one of the 27 operations, with status, points, points left and time."""
    every = {value.name for value in vars(operations).values() if isinstance(value, Operation)}
    calls = _of(rows, "call")
    assert {row["operation"] for row in calls} == every
    assert len(every) == 27
    assert {row["status"] for row in calls} == {200, 201, 204}
    assert all(row["points"] in {1, 2, 3} and 0 <= row["remaining"] < 100 and row["ms"] > 0 for row in calls)


def test_points_left_are_the_servers_word(rows: list[dict[str, Any]]) -> None:
    """From call to call the points left fall by what the call cost, within a window."""
    calls = _of(rows, "call")
    pairs = [(a, b) for a, b in itertools.pairwise(calls) if b["waited"] < 0.05]
    assert len(pairs) > 20
    assert all(before["remaining"] - after["points"] == after["remaining"] for before, after in pairs)


def test_jobs_are_followed_until_they_are_ready(rows: list[dict[str, Any]]) -> None:
    """Transcription and summary are seen in progress first, then ready."""
    for operation in ("transcriptions.get", "summaries.get"):
        notes = [row["note"] for row in _of(rows, "call") if row["operation"] == operation]
        assert (notes[0], notes[-1]) == ("in_progress", "ready")


def test_burst_waits_for_the_window_and_is_not_refused(rows: list[dict[str, Any]]) -> None:
    """More calls at once than the window has points: some wait, for less than a period, none gets a 429."""
    (wait,) = _of(rows, "wait")
    assert wait["at_once"] + wait["waited"] == 120
    assert wait["waited"] >= 20
    assert 0.05 < wait["longest_wait"] < 5.0
    assert wait["throttled"] == 0
    assert "every 4 s" in wait["text"]


def test_client_and_server_count_the_same(rows: list[dict[str, Any]]) -> None:
    """The summary's calls and points are those that the server charged, without a 429, in less than 10 seconds."""
    (summary,) = _of(rows, "summary")
    own = {name: summary[name] for name in ("calls", "points", "throttled")}
    assert own == summary["server"]
    assert own["calls"] == len(_of(rows, "call")) + 120
    assert own["throttled"] == 0
    assert summary["operations"] == 27
    assert summary["seconds"] < 10.0
    assert summary["waited"] < summary["seconds"]


def test_it_says_first_where_it_goes(rows: list[dict[str, Any]]) -> None:
    """The first line names the server, and that it is on this machine."""
    assert rows[0]["event"] == "notice"
    assert rows[0]["base_url"].startswith("http://127.0.0.1:")
    assert "nothing leaves this machine" in rows[0]["text"]


@pytest.mark.parametrize("where", ["pipe", "terminal"])
def test_no_secret_is_printed(runs: Mapping[str, Ended], where: str) -> None:
    """No key, room key, signature or key id of the storage."""
    out = runs[where].out
    assert not [word for word in (FAKE_API_KEY, "roomKey", "Signature=", "AKIA", "AWSAccessKeyId") if word in out]


def test_pipe_has_no_colours_and_terminal_has(runs: Mapping[str, Ended]) -> None:
    """Colour codes are for eyes."""
    assert "\x1b" not in runs["pipe"].out
    assert "\x1b[32m" in runs["terminal"].out


def test_terminal_shows_a_table_that_fits(runs: Mapping[str, Ended]) -> None:
    """One head, a line for each call, nothing cut off or wrapped at 80 columns."""
    lines = runs["terminal"].lines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if line.split()[:2] == ["operation", "status"]]) == 1
    assert [line for line in lines if line.split()[:3] == ["meetings.create", "201", "3"]]
    assert not [line for line in lines if line.endswith("…")]


def test_terminal_shows_the_wait(runs: Mapping[str, Ended]) -> None:
    """While the window is empty, the screen says how many wait and when new points come."""
    assert "80 wait, new points in" in runs["terminal"].out


def test_terminal_ends_with_both_counts(runs: Mapping[str, Ended]) -> None:
    """The client's own count stands above the server's."""
    lines = [line.strip() for line in runs["terminal"].lines()]
    (own,) = [line for line in lines if line.startswith("the client says: ")]
    assert own.replace("client", "server") in lines
    assert own.endswith("0 times 429")
