"""What deletes: a purge lists first, deletes only what is meant, and asks; a deletion of what is named asks too."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.command_lines import UNBELIEVED
from support.processes import OnTerminal, command, environment, on_terminal

from whereby_async.cli.operation_commands import COMMANDS
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from support.processes import Ended, Runner
    from support.serving import Served

    from whereby_async.cli.operation_commands import OperationCommand

DAY = 86_400.0
PURGE = ("meetings", "purge")
KINDS = ("recordings", "transcriptions")
DELETES = [row for row in COMMANDS if row.word.endswith("delete")]


def _add(served: Served, kind: str, name: str, days: float = 9.0) -> str:
    """Something that began and ended so many days ago; its id."""
    if kind == "recordings":
        return str(served.fake.add_recording(room_name=name, start_date=-days * DAY)["recordingId"])
    made = served.fake.add_transcription(room_name=name, start_date=-days * DAY)
    return str(made["transcriptionId"])


def _left(served: Served, kind: str) -> list[str]:
    """The names of the rooms of what there is."""
    return sorted(row["roomName"] for row in getattr(served.fake, kind).values())


def _operations(served: Served) -> list[str]:
    return [request.operation for request in served.fake.requests]


def _names(served: Served) -> set[str]:
    return {meeting["roomName"] for meeting in served.fake.meetings.values()}


def test_everything_is_listed_before_anything_is_deleted(served: Served, here: Runner) -> None:
    """More than two pages: no offset slips, none is skipped, and those that are not meant stay."""
    for number in range(230):
        served.fake.add_meeting(room_name=f"/test-{number}")
        served.fake.add_meeting(room_name=f"/real-{number}")
    ended = here(*PURGE, "--name-starts-with", "test-", "--yes")
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
    assert ("nothing was deleted" in ended.out) == bool(left)
    assert ("2 of 2 meetings deleted." in ended.out) == (not left)


@pytest.mark.parametrize("kind", KINDS)
def test_recordings_and_transcriptions_go_in_bulk(served: Served, here: Runner, kind: str) -> None:
    """All are listed first; then up to 100 go with one call, and a second run finds none."""
    for _ in range(230):
        _add(served, kind, "/weekly")
    _add(served, kind, "/weekly", days=1.0)
    _add(served, kind, "/weekly-2")
    words = (kind, "purge", "--room-name", "weekly", "--ended-before=-7d", "--yes")
    ended = here(*words)
    assert (ended.code, ended.err) == (0, "")
    assert _left(served, kind) == ["/weekly", "/weekly-2"]
    assert _operations(served) == [*[f"{kind}.list"] * 3, *[f"{kind}.bulk_delete"] * 3]
    *deleted, summary = ended.rows()
    assert {(row["event"], row["roomName"]) for row in deleted} == {("deleted", "/weekly")}
    assert len({row[f"{kind[:-1]}Id"] for row in deleted}) == 230
    counts = {"picked": 230, "deleted": 230, "failed": 0, "unreadable": 0, "unfinished": 0}
    assert summary == {"event": "summary", **counts}
    assert here(*words).rows() == [{"event": "summary", **dict.fromkeys(counts, 0)}]


@pytest.mark.parametrize("kind", KINDS)
def test_one_alone_goes_by_itself(served: Served, here: Runner, kind: str) -> None:
    """A plain deletion costs 2 points, one in bulk 3."""
    _add(served, kind, "/weekly")
    assert here(kind, "purge", "--everything", "--dry-run").rows()[-1]["points"] == 2
    assert here(kind, "purge", "--everything", "--yes").code == 0
    assert _operations(served)[-1] == f"{kind}.delete"
    for _ in range(2):
        _add(served, kind, "/weekly")
    *picked, estimate = here(kind, "purge", "--everything", "--dry-run").rows()
    assert [row["event"] for row in picked] == ["picked", "picked"]
    assert (estimate["points"], estimate["unfinished"], len(_left(served, kind))) == (3, 0, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_room_that_the_server_does_not_heed_is_heeded(served: Served, here: Runner, kind: str) -> None:
    """Also what does not say its room stays, if a room was asked for."""
    for name in ("/weekly", "/other", "/unsaid"):
        _add(served, kind, name)
    rows = [dict(row) for row in getattr(served.fake, kind).values()]
    del rows[2]["roomName"]
    body = json.dumps({"results": rows, "cursor": None}).encode()
    served.fake.faults.add(Fault(status=200, body=body, operation=f"{kind}.list"))
    assert here(kind, "purge", "--room-name", "/weekly", "--yes").code == 0
    assert _left(served, kind) == ["/other", "/unsaid"]


@pytest.mark.parametrize("filters", [("--everything",), ("--ended-before", "+0s"), ("--room-name", "/weekly")])
@pytest.mark.parametrize(
    ("kind", "field", "value", "reason"),
    [
        *(
            (kind, field, value, "unreadable")
            for kind in KINDS
            for field in ("startDate", "endDate")
            for value in UNBELIEVED
        ),
        *(("transcriptions", "createdAt", value, "unreadable") for value in UNBELIEVED),
        ("transcriptions", "state", "in_progress", "unfinished"),
        ("transcriptions", "state", "a new word", "unfinished"),
        ("recordings", "endDate", None, "unfinished"),
    ],
    ids=str,
)
def test_what_can_not_be_read_or_is_still_made_is_left_alone(  # noqa: PLR0917 - a table
    served: Served, here: Runner, kind: str, field: str, value: object, reason: str, filters: tuple[str, ...]
) -> None:
    odd, *_ = [_add(served, kind, "/weekly") for _ in range(3)]
    getattr(served.fake, kind)[odd][field] = value
    ended = here(kind, "purge", *filters, "--yes")
    assert ended.code == 0
    assert list(getattr(served.fake, kind)) == [odd]
    lacks_what_is_asked = value is None and "--ended-before" in filters
    assert ended.rows()[-1][reason] == (not lacks_what_is_asked)


def test_a_transcriptions_own_date_counts(served: Served, here: Runner) -> None:
    """It may be made long after what it is of."""
    _add(served, "transcriptions", "/weekly", days=90.0)
    ended = here("transcriptions", "purge", "--created-before=-30d", "--yes")
    assert ended.rows()[-1]["picked"] == 0
    assert here("transcriptions", "purge", "--created-before", "+1m", "--yes").rows()[-1]["deleted"] == 1
    _add(served, "recordings", "/weekly", days=90.0)
    assert here("recordings", "purge", "--created-before=-30d", "--yes").rows()[-1]["deleted"] == 1


def test_a_bulk_that_is_refused_is_told_and_done_by_the_next_run(served: Served, here: Runner) -> None:
    """Each of its ids, with exit code 1; the other calls go on."""
    for _ in range(230):
        _add(served, "recordings", "/weekly")
    served.fake.faults.add(Fault(status=403, operation="recordings.bulk_delete"))
    words = ("recordings", "purge", "--everything", "--yes", "--concurrency", "1")
    ended = here(*words)
    assert ended.code == 1
    assert {"picked": 230, "deleted": 130, "failed": 100}.items() <= ended.rows()[-1].items()
    assert sum(row["event"] == "failed" and "403" in row["error"] for row in ended.rows()) == 100
    assert here(*words).rows()[-1]["deleted"] == 100
    assert _left(served, "recordings") == []


@pytest.mark.parametrize(
    "words",
    [
        ("meetings", "purge", "--name-starts-with", "", "--ended-before", "+0s"),
        ("recordings", "purge", "--room-name", "", "--ended-before", "+0s"),
        ("recordings", "purge", "--room-name", " ", "--everything"),
        ("transcriptions", "purge", "--ended-before", "", "--everything"),
        ("recordings", "purge"),
    ],
    ids=" ".join,
)
def test_an_empty_filter_is_not_everything(served: Served, here: Runner, words: tuple[str, ...]) -> None:
    """As a script passes one whose variable is not set."""
    ended = here(*words, "--yes")
    assert (ended.code, ended.out) == (2, "")
    assert served.fake.requests == []


def test_a_purge_of_recordings_asks(served: Served) -> None:
    """With the files' names; on a terminal that fits."""
    for name in ("/one", "/two"):
        _add(served, "recordings", name)
    with OnTerminal("recordings", "purge", "--ended-before=-7d") as terminal:
        shown = terminal.until("Delete them? [y/N] ")
        assert len(served.fake.recordings) == 2
        terminal.type(b"y\n")
        ended = terminal.end()
    assert "2 recordings, such as one-20" in shown
    assert "2 of 2 recordings deleted." in ended.out
    assert (ended.code, served.fake.recordings) == (0, {})


@pytest.mark.parametrize("row", DELETES, ids=lambda row: row.operation)
def test_a_deletion_can_be_tried(served: Served, here: Runner, row: OperationCommand) -> None:
    """--dry-run says what would be deleted, and sends nothing; in a pipe it is done at once, with --yes or without."""
    tried = here(row.group, row.word, "1", "--dry-run", "--yes")
    assert (tried.code, tried.err) == (0, "")
    points = 3 if row.word == "bulk-delete" else 2
    subject = {"ids": ["1"]} if row.word == "bulk-delete" else {f"{row.group.replace('ies', 'ys')[:-1]}Id": "1"}
    assert tried.rows() == [{"event": "picked", "operation": row.operation, **subject, "points": points}]
    assert served.fake.requests == []
    for leave in ((), ("--yes",), ("-y",)):
        assert here(row.group, row.word, "1", *leave).rows() == [
            {"event": "done", "operation": row.operation, **subject}
        ]
    assert _operations(served) == [row.operation] * 3


@pytest.mark.parametrize(
    ("words", "question", "answer", "code"),
    [
        ("meetings delete ID", ": {}. Whoever is in its room is thrown out.\r\nDelete it? [y/N] ", b"y\n", 0),
        ("recordings delete ID", "To be deleted of the recordings: {}.\r\nDelete it? [y/N] ", b"\x03", 130),
        ("recordings bulk-delete ID b c d e", "{}, b, c, and 2 more.\r\nDelete them? [y/N] ", b"yes\n", 0),
        ("summaries delete ID --json", "summaries: {}.\r\nDelete it? [y/N] ", b"\xe9\n", 2),
    ],
    ids=["yes", "Ctrl-C", "in bulk", "no UTF-8"],
)
def test_on_a_terminal_a_deletion_asks(served: Served, words: str, question: str, answer: bytes, code: int) -> None:
    """Before anything is sent; anything but yes deletes nothing."""
    with OnTerminal(*words.split()) as terminal:
        shown = terminal.until("[y/N] ")
        assert served.fake.requests == []
        terminal.type(answer)
        ended = terminal.end()
    assert question.format("ID") in shown
    assert (ended.code, len(served.fake.requests)) == (code, int(code == 0))
    assert ("nothing was deleted" in ended.out) == (code != 0)
    assert "Traceback" not in ended.out


def test_on_a_terminal_a_deletion_can_be_tried(served: Served) -> None:
    """Without a question."""
    lines = on_terminal("meetings", "delete", "1", "--dry-run").lines()
    assert lines[0] == "meetings.delete 1: 2 points. Nothing was deleted."
    assert served.fake.requests == []


def test_ids_from_a_pipe_are_no_answer(served: Served) -> None:
    """On a terminal too: nobody is asked, and all of the pipe's lines are ids."""
    made = _add(served, "recordings", "/weekly")
    keyboard, screen = pty.openpty()
    with os.fdopen(keyboard, "rb"), os.fdopen(screen, "wb") as out:
        words = command("recordings", "bulk-delete", "@-")
        done = subprocess.run(words, env=environment(), input=made.encode(), stdout=out, stderr=out, check=False)
    assert (done.returncode, served.fake.recordings) == (0, {})


def test_ids_that_are_typed_in_are_asked_about(served: Served) -> None:
    """Ctrl-D ends the ids, and the answer is read behind it."""
    made = _add(served, "recordings", "/weekly")
    with OnTerminal("recordings", "bulk-delete", "@-") as terminal:
        terminal.type(f"{made}\n\x04".encode())
        terminal.until("Delete it? [y/N] ")
        terminal.type(b"y\n")
        assert terminal.end().code == 0
    assert served.fake.recordings == {}


@pytest.mark.parametrize("closed", ["<&-", "2>&-"])
def test_without_a_stream_there_is_nobody_to_ask(served: Served, closed: str) -> None:
    """As some services are started: what is named is deleted."""
    made = str(served.fake.add_meeting()["meetingId"])
    script = ["sh", "-c", f'"$@" {closed}', "sh", *command("meetings", "delete", made)]
    assert subprocess.run(script, env=environment(), stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert served.fake.meetings == {}
