"""What long work and waits say of themselves on stderr: the bar, the lines of `--verbose`, and how to go on."""

from __future__ import annotations

import re
import sys

import pytest

from whereby_async.batch import Progress
from whereby_async.cli.errors import command_line
from whereby_async.cli.progress import Bar, StderrHook, run_long
from whereby_async.hooks import CostChangeDetails, RetryDetails, ThrottleDetails, WaitDetails
from whereby_async.rate_limit import RateLimit


def _wait(delay: float = 40.0, reason: str = "empty") -> WaitDetails:
    return WaitDetails(operation="meetings.list", cost=1, priority="NORMAL", reason=reason, delay=delay, ahead=0)


def _let_stderr_be_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


def test_interrupted_work_says_its_command_line() -> None:
    """Quoted, so that it can be pasted; not if the work can not be resumed."""

    async def work() -> int:
        raise KeyboardInterrupt

    command_line.set(("meetings", "import", "my rooms.csv"))
    with pytest.raises(KeyboardInterrupt, match=r"kept\. Go on with:\n  whereby meetings import 'my rooms.csv'$"):
        run_long(work(), "kept.")
    with pytest.raises(KeyboardInterrupt, match=r"kept\.$"):
        run_long(work(), "kept.", resumes=False)


def test_verbose_says_everything_wherever_stderr_leads(capsys: pytest.CaptureFixture[str]) -> None:
    hook = StderrHook(verbose=True)
    hook.on_wait(_wait(reason="novel"))
    hook.on_retry(RetryDetails(operation="meetings.list", attempt=1, delay=0.25, reason="status 503"))
    hook.on_throttle(ThrottleDetails(delay=30.0, rate_limit=RateLimit(throttled=True)))
    hook.on_cost_change(CostChangeDetails(operation="insights.rooms", old=1, new=5))
    assert capsys.readouterr().err.splitlines() == [
        "whereby: meetings.list waits about 40 s for 1 point: novel",
        "whereby: meetings.list: attempt 1 failed (status 503), again in 0.2 s",
        "whereby: the server answered 429: everybody waits 30.0 s",
        "whereby: insights.rooms costs 5 points, not 1",
    ]


def test_waits_are_said_once_and_not_beside_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal; short ones never, and nothing else without --verbose."""
    _let_stderr_be_a_terminal(monkeypatch)
    hook = StderrHook()
    hook.on_retry(RetryDetails(operation="x", attempt=1, delay=0.25, reason="timeout"))
    hook.on_throttle(ThrottleDetails(delay=30.0, rate_limit=RateLimit(throttled=True)))
    hook.on_cost_change(CostChangeDetails(operation="x", old=1, new=5))
    hook.on_wait(_wait(delay=0.2))
    with Bar("rooms"):
        hook.on_wait(_wait())
    assert "whereby:" not in capsys.readouterr().err
    hook.on_wait(_wait())
    hook.on_wait(_wait())
    said = "whereby: meetings.list waits about 40 s for 1 point: the window's points are spent\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("waiting", "words"), [("empty", "waiting for points"), ("novel", "novel")])
def test_bar_shows_how_far_it_is(
    waiting: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, points, time left, what it waits for; on stderr only."""
    _let_stderr_be_a_terminal(monkeypatch)
    counts = {"done": 90, "failed": 7, "unknown": 3, "resumed": 0, "under_way": 4, "total": 1200, "points": 300}
    progress = Progress(**counts, elapsed=10.0, points_per_second=30.0, eta=600.0, waiting=waiting)
    with Bar("rooms") as bar:
        bar.show_batch(progress)
    out, err = capsys.readouterr()
    assert out == ""
    shown = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err).split())
    assert f"100 of 1,200 10 failed, 300 points, 10 min left, {words}" in shown


def test_nothing_is_said_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("rooms") as bar:
        bar.show(1, None)
    StderrHook().on_wait(_wait())
    assert capsys.readouterr() == ("", "")
