"""What long work and waits say of themselves: numbers in words, the bar, the lines of `--verbose`."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

from whereby_async import APITimeoutError, NotFoundError
from whereby_async.batch import Progress
from whereby_async.cli.narration import Narrator, quiet
from whereby_async.cli.resultfile import ResultFile
from whereby_async.cli.work import Bar, Report, again, command_line, counted, duration, size
from whereby_async.hooks import CostChangeDetails, RetryDetails, ThrottleDetails, WaitDetails
from whereby_async.rate_limit import RateLimit

if TYPE_CHECKING:
    from pathlib import Path


def _wait(delay: float = 40.0, reason: str = "empty") -> WaitDetails:
    return WaitDetails(operation="meetings.list", cost=1, priority="NORMAL", reason=reason, delay=delay, ahead=0)


def _let_stderr_be_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min"), (3599, "60 min"), (3900, "1 h 05 min")]
)
def test_durations_have_words(seconds: float, words: str) -> None:
    """Seconds, minutes, hours."""
    assert duration(seconds) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (999, "999 B"), (25e6, "25.0 MB"), (2.5e15, "2500.0 TB")])
def test_sizes_have_units(count: float, words: str) -> None:
    """In thousands."""
    assert size(count) == words


def test_counts_have_a_plural() -> None:
    """And thousands are apart."""
    assert (counted(1, "room"), counted(0, "room"), counted(1200, "room")) == ("1 room", "0 rooms", "1,200 rooms")


def test_command_line_is_quoted() -> None:
    """So that it can be pasted."""
    token = command_line.set(("meetings", "import", "my rooms.csv"))
    assert again() == "whereby meetings import 'my rooms.csv'"
    command_line.reset(token)


def test_verbose_tells_everything_wherever_stderr_leads(capsys: pytest.CaptureFixture[str]) -> None:
    """Waits, retries, refusals and prices."""
    told = Narrator(verbose=True)
    told.on_wait(_wait(reason="novel"))
    told.on_retry(RetryDetails(operation="meetings.list", attempt=1, delay=0.25, reason="status 503"))
    told.on_throttle(ThrottleDetails(delay=30.0, rate_limit=RateLimit(throttled=True)))
    told.on_cost_change(CostChangeDetails(operation="insights.rooms", old=1, new=5))
    assert capsys.readouterr().err.splitlines() == [
        "whereby: meetings.list waits about 40 s for 1 point: novel",
        "whereby: meetings.list: attempt 1 failed (status 503), again in 0.2 s",
        "whereby: the server answered 429: everybody waits 30.0 s",
        "whereby: insights.rooms costs 5 points, not 1",
    ]


def test_waits_are_told_once_and_not_beside_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal; short ones never, and nothing else without --verbose."""
    _let_stderr_be_a_terminal(monkeypatch)
    told = Narrator()
    told.on_retry(RetryDetails(operation="x", attempt=1, delay=0.25, reason="timeout"))
    told.on_throttle(ThrottleDetails(delay=30.0, rate_limit=RateLimit(throttled=True)))
    told.on_cost_change(CostChangeDetails(operation="x", old=1, new=5))
    told.on_wait(_wait(delay=0.2))
    token = quiet.set(True)
    told.on_wait(_wait())
    quiet.reset(token)
    assert capsys.readouterr().err == ""
    told.on_wait(_wait())
    told.on_wait(_wait())
    assert (
        capsys.readouterr().err
        == "whereby: meetings.list waits about 40 s for 1 point: the window's points are spent\n"
    )


def test_wait_in_a_pipe_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody looks."""
    Narrator().on_wait(_wait())
    assert capsys.readouterr().err == ""


def test_bar_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, points, time left, what it waits for; on stderr only."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    _let_stderr_be_a_terminal(monkeypatch)
    progress = Progress(
        done=90,
        failed=7,
        unknown=3,
        resumed=0,
        under_way=4,
        total=1200,
        elapsed=10.0,
        points=300,
        points_per_second=30.0,
        eta=600.0,
        waiting="empty",
    )
    with Bar("rooms") as bar:
        bar.batch(progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100 of 1,200 10 failed, 300 points, 10 min left, waiting for points" in " ".join(
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err).split()
    )


def test_bar_in_a_pipe_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """Progress is for eyes."""
    with Bar("rooms") as bar:
        bar.show(1, None)
        bar.show_bytes(1, None)
    assert capsys.readouterr() == ("", "")


def test_exit_code_is_what_all_failures_share() -> None:
    """Else that the API said no; 0 without any."""
    report = Report(as_json=True)
    assert report.code == 0
    report.failed(APITimeoutError("slow"))
    assert report.code == 4
    report.failed(ValueError("odd"))
    assert report.code == 1
    other = Report(as_json=True)
    other.failed(NotFoundError("no", status=404))
    assert other.code == 1


def test_result_file_keeps_what_is_there(tmp_path: Path) -> None:
    """Done rows are not repeated, failed ones may come again, foreign lines are left alone."""
    path = tmp_path / "results.jsonl"
    path.write_text('{"key": "a", "state": "ok"}\n{"key": "b", "state": "failed"}\nnoise\n{"torn')
    report = Report(as_json=False)
    with ResultFile(str(path), report) as results:
        results.write({"key": "a", "state": "ok", "resumed": True}, "")
        results.write({"key": "b", "state": "failed", "resumed": True}, "")
        results.write({"key": "c", "state": "ok", "resumed": False}, "")
    lines = path.read_text().splitlines()
    assert lines[:4] == ['{"key": "a", "state": "ok"}', '{"key": "b", "state": "failed"}', "noise", '{"torn']
    assert [json.loads(line)["key"] for line in lines[4:]] == ["b", "c"]
