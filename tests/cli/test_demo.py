"""`whereby demo`: all operations on a fake server in a pipe and on a terminal, and harmless reads of an account."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import Ended, OnTerminal, on_terminal, run

from whereby_async import NotFoundError, operations
from whereby_async.cli.demo import CallLog, burst
from whereby_async.cli.output import Output
from whereby_async.operation import Operation
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.processes import Runner
    from support.serving import Served

KEY = "a-key-that-must-not-be-seen"


@pytest.fixture(scope="module")
def runs() -> Mapping[str, Ended]:
    """The demo in a pipe and on a terminal, both at once."""
    key = {"WHEREBY_API_KEY": " "}
    with ThreadPoolExecutor() as pool:
        shown = pool.submit(on_terminal, "demo", **key)
        return {"pipe": run("demo", **key), "terminal": shown.result()}


@pytest.fixture(scope="module")
def rows(runs: Mapping[str, Ended]) -> list[dict[str, Any]]:
    """The lines of the demo in a pipe."""
    return runs["pipe"].rows()


def _of(rows: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["event"] == event]


def test_both_end_well(runs: Mapping[str, Ended]) -> None:
    assert (runs["pipe"].code, runs["pipe"].err, runs["terminal"].code) == (0, "", 0)
    assert "\x1b" not in runs["pipe"].out
    assert "\x1b[32m" in runs["terminal"].out


def test_first_line_says_that_it_stays_on_this_machine(rows: list[dict[str, Any]]) -> None:
    assert rows[0]["event"] == "notice"
    assert rows[0]["base_url"].startswith("http://127.0.0.1:")
    assert "nothing leaves this machine" in rows[0]["text"]


def test_all_operations_are_shown(rows: list[dict[str, Any]]) -> None:
    """With status, points, points left and time; within a window the points left fall by what each call cost."""
    calls = _of(rows, "call")
    every = {value.name for value in vars(operations).values() if isinstance(value, Operation)}
    assert {row["operation"] for row in calls} == every
    assert {row["status"] for row in calls} == {200, 201, 204}
    assert all(row["points"] in {1, 2, 3} and 0 <= row["remaining"] < 100 and row["ms"] > 0 for row in calls)
    pairs = [(a, b) for a, b in itertools.pairwise(calls) if b["waited"] < 0.05]
    assert len(pairs) > 20
    assert all(before["remaining"] - after["points"] == after["remaining"] for before, after in pairs)


def test_jobs_are_followed_until_they_are_ready(rows: list[dict[str, Any]]) -> None:
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
    assert summary["operations"] == len({row["operation"] for row in _of(rows, "call")})
    assert summary["waited"] < summary["seconds"] < 10.0


@pytest.mark.parametrize("where", ["pipe", "terminal"])
def test_no_secret_is_printed(runs: Mapping[str, Ended], where: str) -> None:
    out = runs[where].out
    assert not [word for word in (FAKE_API_KEY, "roomKey", "Signature=", "AKIA", "AWSAccessKeyId") if word in out]


def test_terminal_shows_a_table_that_fits_the_wait_and_both_counts(runs: Mapping[str, Ended]) -> None:
    """One head, a line for each call, nothing cut off or wrapped at 80 columns; the client's count above the server's."""
    lines = runs["terminal"].lines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if line.split()[:2] == ["operation", "status"]]) == 1
    assert [line for line in lines if line.split()[:3] == ["meetings.create", "201", "3"]]
    assert not [line for line in lines if line.endswith("…")]
    assert "80 wait, new points in" in runs["terminal"].out
    (own,) = [line for line in lines if line.strip().startswith("the client says: ")]
    assert own.replace("client", "server") in lines
    assert own.endswith("0 times 429")


@pytest.mark.anyio
async def test_error_in_the_burst_comes_out_as_it_is() -> None:
    """Not wrapped in a group, so that the exit code is the error's."""
    log = CallLog(Output(as_json=True))
    async with FakeWhereby() as fake, fake.client(hooks=[log]) as client:
        with pytest.raises(NotFoundError):
            await burst(client, log, "1", calls=3, period=0.5)


@pytest.fixture
def account(served: Served, monkeypatch: pytest.MonkeyPatch) -> FakeWhereby:
    """A server that plays the live account, with a key of its own."""
    served.fake.api_key = KEY
    monkeypatch.setenv("WHEREBY_API_KEY", KEY)
    return served.fake


def test_without_live_it_only_reads(account: FakeWhereby, here: Runner) -> None:
    """It says so first, and where it goes; then four GETs, one page each, and nothing else reaches the account."""
    for _ in range(25):
        account.add_meeting()
    ended = here("demo")
    assert (ended.code, ended.err) == (0, "")
    first = ended.rows()[0]
    assert (first["event"], first["live"]) == ("notice", False)
    assert account.url in first["text"]
    assert "only read" in first["text"]
    assert [(request.method, request.operation) for request in account.requests] == [
        ("GET", "meetings.list"),
        ("GET", "recordings.list"),
        ("GET", "transcriptions.list"),
        ("GET", "insights.rooms"),
    ]
    calls = _of(ended.rows(), "call")
    assert [(row["points"], row["remaining"]) for row in calls] == [(1, 999), (1, 998), (1, 997), (1, 996)]
    assert [row["note"] for row in calls[:2]] == ["10 rows, and there are more", "0 rows"]
    assert KEY not in ended.out


def test_live_makes_and_deletes_one_meeting(account: FakeWhereby, here: Runner) -> None:
    ended = here("demo", "--live")
    assert (ended.code, ended.err) == (0, "")
    assert [request.operation for request in account.requests][4:] == [
        "meetings.create",
        "meetings.get",
        "rooms.set_theme_tokens",
        "meetings.delete",
    ]
    assert account.meetings == {}
    assert "make one meeting" in ended.rows()[0]["text"]
    (summary,) = _of(ended.rows(), "summary")
    assert (summary["calls"], summary["points"], summary["refused"]) == (8, 13, 0)


def test_live_meeting_is_deleted_when_a_later_call_fails(account: FakeWhereby, here: Runner) -> None:
    account.faults.add(Fault(status=422, operation="rooms.set_theme_tokens"))
    assert here("demo", "--live").code == 1
    assert account.requests[-1].operation == "meetings.delete"
    assert account.meetings == {}


def test_live_meeting_is_deleted_when_interrupted(account: FakeWhereby, served: Served) -> None:
    account.faults.add(Fault(delay=60.0, operation="meetings.get"))
    with OnTerminal("demo", "--live") as terminal:
        served.until(lambda: any(request.operation == "meetings.get" for request in account.requests))
        ended = terminal.interrupt()
    assert ended.code == 130
    assert "interrupted" in ended.out
    assert "Traceback" not in ended.out
    assert account.requests[-1].operation == "meetings.delete"
    assert account.meetings == {}


def test_what_the_plan_does_not_have_is_shown_and_passed_over(account: FakeWhereby, here: Runner) -> None:
    """A 403 is a row with the server's words; the other reads follow, and the exit code is 1."""
    account.faults.add(Fault(status=403, operation="recordings.list"))
    ended = here("demo")
    assert (ended.code, len(account.requests)) == (1, 4)
    assert [row["status"] for row in _of(ended.rows(), "call")] == [200, 403, 200, 200]
    assert _of(ended.rows(), "summary")[0]["refused"] == 1


def test_wrong_key_is_said(account: FakeWhereby, here: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREBY_API_KEY", "another-secret-key")
    ended = here("demo")
    assert ended.code == 1
    assert ended.err.startswith("whereby: meetings.list: 401")
    assert "WHEREBY_API_KEY" in ended.err
    assert "another-secret-key" not in ended.err + ended.out
    assert len(account.requests) == 1


@pytest.mark.parametrize("served", [{"limit": 1, "period": 600.0}], indirect=True)
def test_throttled_account_is_exit_code_3(served: Served, here: Runner) -> None:
    """A server that wants a longer wait than one would sit through ends it at once."""
    served.do(lambda: served.fake.spend(1))
    ended = here("demo")
    assert ended.code == 3
    assert ended.err.startswith("whereby: meetings.list: 429")


@pytest.mark.parametrize(
    ("url", "words", "code", "complaint"),
    [
        ("http://127.0.0.1:9/v1", (), 4, "can not be reached"),
        ("http://whereby.example/v1", (), 2, "https"),
        ("https://whereby.example/v1", ("--limit", "50"), 2, "WHEREBY_API_KEY is set"),
    ],
)
def test_account_that_can_not_be_asked(  # noqa: PLR0917 - pytest passes them by name
    url: str, words: tuple[str, ...], code: int, complaint: str, monkeypatch: pytest.MonkeyPatch, here: Runner
) -> None:
    """Nobody listens, plain http to a stranger, an option for the fake server: a word on stderr and no key."""
    monkeypatch.setenv("WHEREBY_API_KEY", KEY)
    monkeypatch.setenv("WHEREBY_BASE_URL", url)
    ended = here("demo", *words)
    assert ended.code == code
    assert complaint in ended.err
    assert KEY not in ended.out + ended.err


def test_live_needs_an_account(here: Runner) -> None:
    ended = here("demo", "--live")
    assert (ended.code, ended.out) == (2, "")
    assert "set WHEREBY_API_KEY" in ended.err
