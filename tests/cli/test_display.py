"""The two displays by themselves: what a row looks like on a terminal and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from whereby_async.cli.calls import CallLog, CallRow
from whereby_async.cli.display import JsonLines, Terminal, display_for
from whereby_async.hooks import ResponseDetails
from whereby_async.rate_limit import RateLimit
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from whereby_async.testing import RecordedRequest


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def _row(*, status: int = 200, remaining: int | None = 97, waited: float = 0.0, note: str = "") -> CallRow:
    return CallRow(
        operation="meetings.get", status=status, points=1, remaining=remaining, ms=12.34, waited=waited, note=note
    )


def test_head_stands_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The columns are named above the first row only."""
    display = Terminal()
    display.call(_row())
    display.call(_row())
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["operation", "status", "points", "left", "ms", "result"]
    assert [row.split() for row in rows] == [["meetings.get", "200", "1", "97", "12.3"]] * 2


@pytest.mark.parametrize(
    ("row", "end"),
    [
        (_row(note="3 rows"), " 97  12.3  3 rows"),
        (_row(remaining=None), " -  12.3"),
        (_row(waited=1.25, note="3 rows"), "waited 1.2 s; 3 rows"),
        (_row(waited=1.25), "waited 1.2 s"),
        (_row(waited=0.01, note="x"), "12.3  x"),
        (_row(status=404, note="n" * 100), "nnn…"),
    ],
)
def test_row_tells_what_there_is(row: CallRow, end: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Points left if the answer said, a wait that one noticed, and as much of the note as there is room for."""
    Terminal().call(row)
    line = capsys.readouterr().out.splitlines()[1].rstrip()
    assert line.endswith(end)
    assert len(line) <= 80


def test_words_are_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    """Long words on a terminal are broken between words, also those that look like markup."""
    Terminal().say("notice", "[bold]word " * 30)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert all(len(line) <= 80 and line.endswith("word") for line in lines)


async def _answered(fake: FakeWhereby) -> list[RecordedRequest]:
    records: list[RecordedRequest] = []
    fake.subscribe(records.append)
    async with fake, fake.client() as client:
        await client.meetings.list()
    return records


@pytest.mark.anyio
async def test_request_without_headers_has_no_points_left_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    """What a server of ours answered, as a row and as JSON."""
    (record,) = await _answered(FakeWhereby(costs={"meetings.list": 0}))
    display = Terminal()
    display.request(record)
    display.request(record)
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows] == [["GET", "200", "0", "-", "/v1/meetings"]] * 2
    JsonLines().request(record)
    assert json.loads(capsys.readouterr().out)["remaining"] is None


def test_json_has_one_object_a_line_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """Any pipe can carry it, and line breaks inside are escaped."""
    display = JsonLines()
    display.say("notice", "Grüße\nzwei Zeilen", limit=3)
    display.copyable("not said twice")
    display.call(_row(note="…"))
    with display.progress(3) as show:
        show(1, "words")
    out = capsys.readouterr().out
    assert out.isascii()
    first, second = map(json.loads, out.splitlines())
    assert first == {"event": "notice", "text": "Grüße\nzwei Zeilen", "limit": 3}
    assert (second["event"], second["note"], second["ms"]) == ("call", "…", 12.34)


def test_progress_is_gone_when_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no screen to paint over, a bar leaves its last state at most."""
    with Terminal().progress(2) as show:
        show(1, "1 waits")
        show(2, "")
    assert "1 of 2" not in capsys.readouterr().out


def test_pipe_gets_json() -> None:
    """The test's stdout is no terminal."""
    assert isinstance(display_for(as_json=False), JsonLines)


def test_answer_without_an_attempt_counts_nothing() -> None:
    """A log that was hooked in too late to see the attempt still shows the answer."""
    log = CallLog()
    limits = RateLimit(throttled=True)
    log.on_response(ResponseDetails(operation="x", attempt=1, status=429, elapsed=0.002, size=0, rate_limit=limits))
    (row,) = log.take()
    assert (row.points, row.waited, row.ms, log.throttled, log.take()) == (0, 0.0, 2.0, 1, [])
