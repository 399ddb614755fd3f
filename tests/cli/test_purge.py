"""`whereby meetings purge`: all are listed first, only those that are meant are deleted, and it asks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.command_lines import UNBELIEVED
from support.processes import OnTerminal, on_terminal

from whereby_async.testing import Fault

if TYPE_CHECKING:
    from support.processes import Ended, Runner
    from support.serving import Served

DAY = 86_400.0
PURGE = ("meetings", "purge")


def _names(served: Served) -> set[str]:
    return {meeting["roomName"] for meeting in served.fake.meetings.values()}


def test_everything_is_listed_before_anything_is_deleted(served: Served, here: Runner) -> None:
    """More than two pages: no offset slips, none is skipped, and those that are not meant stay."""
    for number in range(230):
        served.fake.add_meeting(room_name=f"/test-{number}")
        served.fake.add_meeting(room_name=f"/real-{number}")
    ended = here(*PURGE, "--name-starts-with", "/test-", "--yes")
    assert ended.code == 0
    assert len(served.fake.meetings) == 230
    assert all(name.startswith("/real-") for name in _names(served))
    operations = [request.operation for request in served.fake.requests]
    assert operations.index("meetings.delete") == operations.count("meetings.list") == 3
    *deleted, summary = ended.rows()
    assert {row["event"] for row in deleted} == {"deleted"}
    assert summary == {"event": "summary", "picked": 230, "deleted": 230, "failed": 0, "unreadable": 0}


def test_filter_that_the_server_ignores_is_kept_here(served: Served, here: Runner) -> None:
    """The name filter is not in the API's reference: should it be ignored, nothing else is deleted."""
    listed = {"results": [served.fake.add_meeting(room_name=name) for name in ("/real", "/test-1")], "cursor": None}
    served.fake.faults.add(Fault(status=200, body=json.dumps(listed).encode(), operation="meetings.list"))
    assert here(*PURGE, "--name-starts-with", "/test-", "--yes").code == 0
    assert _names(served) == {"/real"}


def test_filters_by_time(served: Served, here: Runner) -> None:
    """All filters have to pick a meeting; nothing picked is no fault."""
    served.fake.add_meeting(room_name="/old", start_date=-9 * DAY, end_date=-0.02 * DAY)
    served.fake.add_meeting(room_name="/long", start_date=-9 * DAY, end_date=DAY)
    served.fake.add_meeting(room_name="/new", start_date=-60.0, end_date=-30.0)
    for filters, left in (
        (("--ended-before", "+0s", "--created-before=-7d"), {"/long", "/new"}),
        (("--ended-before", "+0s"), {"/long"}),
        (("--everything",), set[str]()),
    ):
        assert here(*PURGE, *filters, "--yes").code == 0
        assert _names(served) == left
    ended = here(*PURGE, "--name-starts-with", "/x", "--yes")
    assert ended.code == 0
    assert ended.rows() == [{"event": "summary", "picked": 0, "deleted": 0, "failed": 0, "unreadable": 0}]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in ("startDate", "endDate") for value in UNBELIEVED),
        ("roomName", {"not": "read"}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "filters",
    [("--ended-before", "+0s"), ("--created-before", "+0s"), ("--name-starts-with", "/old"), ("--everything",)],
    ids=lambda filters: filters[0],
)
def test_meeting_that_can_not_be_read_whole_is_left_alone(
    served: Served, here: Runner, filters: tuple[str, ...], field: str, value: object
) -> None:
    """Whatever the filters are: it is counted, and the meetings around it and on the pages behind are deleted."""
    rows = [
        served.fake.add_meeting(room_name=f"/old-{number}", start_date=-9 * DAY, end_date=-0.02 * DAY)
        for number in range(6)
    ]
    odd = rows[1]["meetingId"]
    rows[1] |= {field: value}

    def run(*words: str) -> Ended:
        for some, cursor in ((rows[:3], "next"), (rows[3:], None)):
            body = json.dumps({"results": some, "cursor": cursor}).encode()
            served.fake.faults.add(Fault(status=200, body=body, operation="meetings.list"))
        return here(*PURGE, *filters, *words)

    picked = run("--dry-run").rows()
    assert (len(picked), picked[-1]["picked"], picked[-1]["unreadable"]) == (6, 5, 1)
    ended = run("--yes")
    assert ended.code == 0
    assert {"picked": 5, "deleted": 5, "unreadable": 1}.items() <= ended.rows()[-1].items()
    assert list(served.fake.meetings) == [odd]


def test_meetings_left_alone_are_told_on_a_terminal(served: Served) -> None:
    body = json.dumps({"results": [{"meetingId": "1", "endDate": "Invalid date"}]}).encode()
    served.fake.faults.add(Fault(status=200, body=body, operation="meetings.list"))
    shown = " ".join(on_terminal(*PURGE, "--everything", "--yes").lines())
    assert "No meeting is picked; 1 meeting left alone, of which something could not be read." in shown


def test_dry_run_shows_and_deletes_nothing(served: Served, here: Runner) -> None:
    """The rows, and what it would take; on a terminal as a table with the estimate in words."""
    served.fake.add_meeting(room_name="/test")
    words = (*PURGE, "--everything", "--dry-run")
    picked, estimate = here(*words).rows()
    assert (picked["event"], picked["roomName"]) == ("picked", "/test")
    assert (estimate["event"], estimate["picked"], estimate["points"]) == ("estimate", 1, 2)
    lines = on_terminal(*words).lines()
    assert any(line.split()[:2] == ["meetingId", "roomName"] for line in lines)
    assert any(line.startswith("1 meeting, 2 points, about") for line in lines)
    assert _names(served) == {"/test"}


def test_it_wants_a_filter_and_leave(served: Served, here: Runner) -> None:
    """Without a filter nothing is asked of the server; without a terminal or --yes nothing is deleted."""
    served.fake.add_meeting(room_name="/test")
    no_filter = here(*PURGE, "--yes")
    assert no_filter.code == 2
    assert "--everything" in no_filter.err
    assert served.fake.requests == []
    no_leave = here(*PURGE, "--everything")
    assert no_leave.code == 2
    assert "pass --yes, or --dry-run" in no_leave.err
    assert _names(served) == {"/test"}


def test_refusals_are_told_and_the_rest_is_deleted(served: Served, here: Runner) -> None:
    for number in range(3):
        served.fake.add_meeting(room_name=f"/{number}")
    served.fake.faults.add(Fault(status=403, operation="meetings.delete"))
    ended = here(*PURGE, "--everything", "--yes", "--concurrency", "1")
    assert ended.code == 1
    assert sorted(row["event"] for row in ended.rows()) == ["deleted", "deleted", "failed", "summary"]
    assert "403" in next(row["error"] for row in ended.rows() if row["event"] == "failed")
    assert len(served.fake.meetings) == 1


@pytest.mark.parametrize(
    ("answer", "code", "left"), [(b"y\n", 0, 0), (b"\n", 2, 2), (b"no\n", 2, 2), (b"\x03", 130, 2)]
)
def test_on_a_terminal_it_asks(served: Served, answer: bytes, code: int, left: int) -> None:
    """How many, and some of their names; anything but yes deletes nothing, Ctrl-C too, at once."""
    for name in ("/one", "/two"):
        served.fake.add_meeting(room_name=name)
    with OnTerminal(*PURGE, "--everything") as terminal:
        shown = terminal.until("[y/N] ")
        terminal.type(answer)
        ended = terminal.end()
    assert "2 meetings, such as /one, /two." in shown
    assert ended.code == code
    assert len(served.fake.meetings) == left
    assert "Traceback" not in ended.out
    assert ("2 of 2 meetings deleted." in ended.out) == (not left)
