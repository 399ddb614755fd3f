"""What long work and waits say of themselves on stderr: the bar, the lines of `--verbose`, and how to go on."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from whereby_async import ServiceUnavailableError
from whereby_async.batch import Progress
from whereby_async.cli.errors import Interrupted, OutOfTimeError, command_line, is_quiet, warnings_printed
from whereby_async.cli.progress import Bar, StderrHook, run_long
from whereby_async.hooks import UnavailableDetails, WaitDetails
from whereby_async.notify import logger


def _wait(delay: float = 40.0, reason: str = "empty") -> WaitDetails:
    return WaitDetails(operation="meetings.list", cost=1, priority="NORMAL", reason=reason, delay=delay, ahead=0)


def _let_stderr_be_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


def test_quiet_shows_no_progress_and_no_hints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _let_stderr_be_a_terminal(monkeypatch)
    away = UnavailableDetails(origin="https://x", away=True, since=datetime.now(UTC), reason="OSError: it is away")
    for is_seen in (True, False):
        token = is_quiet.set(not is_seen)
        try:
            with Bar("rooms") as bar:
                bar.show(1, 3)
            hook = StderrHook(outages=True)
            hook.on_wait(_wait())
            hook.on_unavailable(away)
        finally:
            is_quiet.reset(token)
        err = capsys.readouterr().err
        assert all((words in err) == is_seen for words in ("rooms", "1 of 3", "waits about", "(it is away)"))
        assert bool(err) == is_seen


def test_interrupted_work_says_its_command_line() -> None:
    """Quoted, so that it can be pasted; not if the work can not be resumed."""

    async def work() -> int:
        raise KeyboardInterrupt

    command_line.set(("meetings", "import", "my rooms.csv"))
    with pytest.raises(KeyboardInterrupt, match=r"kept\. Go on with:\n  whereby meetings import 'my rooms.csv'$"):
        run_long(work(), "kept.")
    with pytest.raises(KeyboardInterrupt, match=r"kept\.$"):
        run_long(work(), "kept.", resumes=False)


def test_signal_that_is_sent_twice_at_once_counts_once() -> None:
    """As `timeout` from coreutils does it: to its child, and to its group, in which the child is too."""
    reached = False

    async def work() -> int:
        nonlocal reached
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        reached = True
        return await asyncio.sleep(60.0, 0)

    with pytest.raises(Interrupted) as caught:
        run_long(work(), "kept.")
    assert (reached, caught.value.number) == (True, signal.SIGTERM)


def test_waits_are_said_once_and_not_beside_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """On a terminal; short ones never, and nothing where the log says it."""
    _let_stderr_be_a_terminal(monkeypatch)
    hook = StderrHook()
    hook.on_wait(_wait(delay=0.2))
    with Bar("rooms"):
        hook.on_wait(_wait())
    with caplog.at_level("INFO", "whereby_async"):
        hook.on_wait(_wait())
    assert "whereby:" not in capsys.readouterr().err
    hook.on_wait(_wait())
    hook.on_wait(_wait())
    said = "whereby: meetings.list waits about 40 s for 1 point: the window's points are spent\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"waiting": "empty"}, "10 failed, 300 points, 10 min left, waiting for points"),
        ({"waiting": "novel"}, "10 min left, novel"),
        ({"waiting": "service", "away": 12.3, "eta": None}, "300 points, waiting for the service (12 s)"),
        (
            {"lookups": 3, "lookups_end": 95.2, "eta": 95.2},
            "2 min left, looking for 3 rooms whose answers were lost, up to 95 s more",
        ),
        ({"lookups": 1, "lookups_end": 4.0}, "looking for 1 room whose answers were lost, up to 4 s more"),
        ({"done": 1190, "eta": 0.0}, "1,200 of 1,200 10 failed, 300 points"),
    ],
)
def test_bar_shows_how_far_it_is(
    more: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, points, time left, what it waits for; on stderr only, over two lines if it is much."""
    _let_stderr_be_a_terminal(monkeypatch)
    counts: dict[str, Any] = {
        "done": 90,
        "failed": 7,
        "unknown": 3,
        "resumed": 0,
        "under_way": 4,
        "total": 1200,
        "points": 300,
    }
    facts: dict[str, Any] = {
        "elapsed": 10.0,
        "points_per_second": 30.0,
        "eta": 600.0,
        "waiting": None,
        "away": 0.0,
        "lookups": 0,
    }
    facts |= {"lookups_end": None, **more}
    progress = Progress(**(counts | facts))
    with Bar("rooms") as bar:
        bar.show_batch(progress)
    out, err = capsys.readouterr()
    assert out == ""
    shown = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err).split())
    assert words in shown
    assert "0 s left" not in shown


def _unavailable(*, away: bool) -> UnavailableDetails:
    return UnavailableDetails(origin="http://x", away=away, since=datetime.now(UTC), reason="why")


def test_outage_is_said_in_two_lines_if_it_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever stderr leads; a command that hardly waits is content with its error."""
    for hook in (StderrHook(), StderrHook(outages=True)):
        hook.on_unavailable(_unavailable(away=True))
        hook.on_unavailable(_unavailable(away=False))
    assert capsys.readouterr().err.splitlines() == [
        "whereby: http://x cannot be reached (why): waiting for it",
        "whereby: http://x is back after 0 s",
    ]


def test_warnings_are_lines_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the library's loggers, while a command runs."""
    with warnings_printed():
        logger.warning("the store of %s", "the budget")
        logger.info("nothing")
    assert logger.handlers == []
    assert capsys.readouterr().err == "whereby: the store of the budget\n"


def test_outage_that_ends_work_says_its_command_line() -> None:
    async def work() -> int:
        raise ServiceUnavailableError("x can not be reached; max_outage=5.0")

    command_line.set(("meetings", "purge"))
    words = r"^x can not be reached; --max-outage 5\.0; kept\. Go on with:\n  whereby meetings purge$"
    with pytest.raises(OutOfTimeError, match=words):
        run_long(work(), "kept.")


def test_nothing_is_said_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("rooms") as bar:
        bar.show(1, None)
    StderrHook().on_wait(_wait())
    assert capsys.readouterr() == ("", "")
