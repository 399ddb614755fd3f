"""`whereby meetings purge`: all are listed first, only those that are meant are deleted, and it asks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import OnTerminal, on_terminal, run

from whereby_async.cli import main
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from support.serving import Served

DAY = 86_400.0


def _rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _names(served: Served) -> set[str]:
    return {meeting["roomName"] for meeting in served.fake.meetings.values()}


def test_everything_is_listed_before_anything_is_deleted(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """More than two pages: no offset slips, none is skipped, and those that are not meant stay."""
    for number in range(230):
        served.fake.add_meeting(room_name=f"/test-{number}")
        served.fake.add_meeting(room_name=f"/real-{number}")
    assert main(["meetings", "purge", "--name-starts-with", "/test-", "--yes"]) == 0
    assert len(served.fake.meetings) == 230
    assert all(name.startswith("/real-") for name in _names(served))
    operations = [request.operation for request in served.fake.requests]
    assert operations.index("meetings.delete") == operations.count("meetings.list") == 3
    *deleted, summary = _rows(capsys.readouterr().out)
    assert {row["event"] for row in deleted} == {"deleted"}
    assert summary == {"event": "summary", "picked": 230, "deleted": 230, "failed": 0}


def test_filter_that_the_server_ignores_is_kept_here(served: Served) -> None:
    """The name filter is not in the API's reference: should it be ignored, nothing else is deleted."""
    listed = {"results": [served.fake.add_meeting(room_name=name) for name in ("/real", "/test-1")], "cursor": None}
    served.fake.faults.add(Fault(status=200, body=json.dumps(listed).encode(), operation="meetings.list"))
    assert main(["meetings", "purge", "--name-starts-with", "/test-", "--yes"]) == 0
    assert _names(served) == {"/real"}


def test_filters_by_time(served: Served) -> None:
    """Ended before, made before; all filters have to pick it."""
    served.fake.add_meeting(room_name="/old", start_date=-9 * DAY, end_date=-0.02 * DAY)
    served.fake.add_meeting(room_name="/long", start_date=-9 * DAY, end_date=DAY)
    served.fake.add_meeting(room_name="/new", start_date=-60.0, end_date=-30.0)
    assert main(["meetings", "purge", "--ended-before", "+0s", "--created-before=-7d", "--yes"]) == 0
    assert _names(served) == {"/long", "/new"}
    assert main(["meetings", "purge", "--ended-before", "+0s", "--yes"]) == 0
    assert _names(served) == {"/long"}
    assert main(["meetings", "purge", "--everything", "--yes"]) == 0
    assert _names(served) == set()


def test_dry_run_shows_and_deletes_nothing(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows, and what it would take."""
    served.fake.add_meeting(room_name="/test")
    assert main(["meetings", "purge", "--everything", "--dry-run"]) == 0
    picked, estimate = _rows(capsys.readouterr().out)
    assert (picked["event"], picked["roomName"]) == ("picked", "/test")
    assert (estimate["event"], estimate["picked"], estimate["points"]) == ("estimate", 1, 2)
    assert _names(served) == {"/test"}


def test_it_wants_a_filter_and_leave(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a filter nothing is asked of the server; without a terminal or --yes nothing is deleted."""
    served.fake.add_meeting(room_name="/test")
    assert main(["meetings", "purge", "--yes"]) == 2
    assert served.fake.requests == []
    assert main(["meetings", "purge", "--everything"]) == 2
    no_filter, no_leave = capsys.readouterr().err.splitlines()
    assert "--everything" in no_filter
    assert "pass --yes, or --dry-run" in no_leave
    assert _names(served) == {"/test"}


def test_nothing_picked_is_no_fault(served: Served) -> None:
    """Exit code 0."""
    ended = run("meetings", "purge", "--name-starts-with", "/x", "--yes", **served.variables)
    assert ended.code == 0
    assert ended.rows() == [{"event": "summary", "picked": 0, "deleted": 0, "failed": 0}]


def test_refusals_are_told_and_the_rest_is_deleted(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, with the meeting and the server's words."""
    for number in range(3):
        served.fake.add_meeting(room_name=f"/{number}")
    served.fake.faults.add(Fault(status=403, operation="meetings.delete"))
    assert main(["meetings", "purge", "--everything", "--yes", "--concurrency", "1"]) == 1
    rows = _rows(capsys.readouterr().out)
    assert sorted(row["event"] for row in rows) == ["deleted", "deleted", "failed", "summary"]
    assert "403" in next(row["error"] for row in rows if row["event"] == "failed")
    assert len(served.fake.meetings) == 1


@pytest.mark.parametrize(
    ("answer", "code", "left"), [(b"y\n", 0, 0), (b"\n", 2, 2), (b"no\n", 2, 2), (b"\x03", 130, 2)]
)
def test_on_a_terminal_it_asks(served: Served, answer: bytes, code: int, left: int) -> None:
    """How many, and some of their names; anything but yes deletes nothing, Ctrl-C too, at once."""
    for name in ("/one", "/two"):
        served.fake.add_meeting(room_name=name)
    with OnTerminal("meetings", "purge", "--everything", variables=served.variables) as terminal:
        shown = terminal.until("[y/N] ")
        terminal.type(answer)
        ended = terminal.end()
    assert "2 meetings, such as /one, /two." in shown
    assert ended.code == code
    assert len(served.fake.meetings) == left
    assert "Traceback" not in ended.out
    if not left:
        assert "2 of 2 meetings deleted." in ended.out


def test_dry_run_on_a_terminal_is_a_table(served: Served) -> None:
    """With the estimate in words."""
    served.fake.add_meeting(room_name="/one")
    lines = on_terminal("meetings", "purge", "--everything", "--dry-run", **served.variables).lines()
    assert any(line.split()[:2] == ["meetingId", "roomName"] for line in lines)
    assert any(line.startswith("1 meeting, 2 points, about") for line in lines)
