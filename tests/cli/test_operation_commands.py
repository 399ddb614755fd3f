"""Every command, those of the operations first: as a process of its own, in a pipe and on a terminal."""

from __future__ import annotations

import fcntl
import os
import pickle
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.command_lines import SECRET, all_commands, command_lines
from support.processes import Ended, Forks, environment
from support.serving import Served

from whereby_async import operations
from whereby_async.cli.operation_commands import COMMANDS
from whereby_async.operation import Operation

if TYPE_CHECKING:
    from support.processes import Runner

OPERATIONS = sorted(value.name for value in vars(operations).values() if isinstance(value, Operation))
LISTS = [name for name in OPERATIONS if name.endswith(".list") or name in {"insights.rooms", "insights.participants"}]
ROWS = [*LISTS, "insights.room_sessions", "insights.participant"]
IMPORTS = """
import anyio._backends._asyncio, aiohttp, rich.progress, rich.table
from whereby_async.cli.app import app
from whereby_async.client import WherebyClient
app()  # imports all commands
"""
NOTHING = [name for name in OPERATIONS if "delete" in name or name.startswith("rooms.")]


class Outcome(NamedTuple):
    """What became of all the command lines at one place."""

    lines: dict[str, list[str]]
    ended: dict[str, Ended]
    answered: set[tuple[str, int]]


def _run_all(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """All command lines, in pipes and on terminals, each place against a server of its own."""
    found: dict[str, Outcome] = {}
    with Forks("-W", "error", first=IMPORTS) as forks:
        for place in ("pipe", "terminal"):
            home = tmp_path_factory.mktemp(place)
            with Served() as served:
                lines = command_lines(served.fake, home)
                variables = environment(
                    **served.variables, HOME=str(home), WHEREBY_WEBHOOK_SECRET=SECRET, TERM="xterm-256color"
                )
                ended = {
                    name: forks.run("whereby_async", *words, variables=variables, terminal=place == "terminal")
                    for name, words in lines.items()
                }
                answered = {(request.operation, request.status) for request in served.fake.requests}
            found[place] = Outcome(lines, ended, answered)
    return found


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What became of them; run once for all workers of a test run, since it takes a while."""
    own = tmp_path_factory.getbasetemp()
    place = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    kept = place / "outcomes.pickle"
    with (place / "outcomes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            plain = {name: (one.lines, one.ended, one.answered) for name, one in _run_all(tmp_path_factory).items()}
            kept.write_bytes(pickle.dumps(plain))
    return {name: Outcome(*one) for name, one in pickle.loads(kept.read_bytes()).items()}


def test_every_command_is_run_here(outcomes: dict[str, Outcome]) -> None:
    """Each operation is in the table, each row of it is run here, and so is each of the app's other commands."""
    assert set(OPERATIONS) <= {row.operation for row in COMMANDS}
    run_here = {tuple(words[:2]) for words in outcomes["pipe"].lines.values()} | {
        (words[0],) for words in outcomes["pipe"].lines.values()
    }
    assert {(row.group, row.word) for row in COMMANDS} <= run_here
    commands = {tuple(words) for words in all_commands()}
    assert commands - run_here == {("demo",), ("sandbox",), ("profiles", "add"), ("webhooks", "send")}
    assert len(commands) > 40


@pytest.mark.parametrize("place", ["pipe", "terminal"])
def test_every_command_ends_well(outcomes: dict[str, Outcome], place: str) -> None:
    """Exit code 0, nothing on stderr, and the server has acted on every operation."""
    for name, ended in outcomes[place].ended.items():
        assert (ended.code, ended.err) == (0, ""), f"{name}: {ended.out}"
    acted = {operation for operation, status in outcomes[place].answered if status in {200, 201, 204}}
    assert acted >= set(OPERATIONS)


def test_terminals_get_words(outcomes: dict[str, Outcome]) -> None:
    for name in ("meetings import", "meetings purge", "recordings sync", "insights export", "budget", "probe"):
        lines = outcomes["terminal"].ended[name].lines()
        assert not any(line.startswith("{") for line in lines), name
        assert max(len(line) for line in lines if "/" not in line) <= 80, name


def test_pipe_gets_json_lines_without_colours(outcomes: dict[str, Outcome]) -> None:
    for name, ended in outcomes["pipe"].ended.items():
        assert "\x1b" not in ended.out, name
        if name != "completion":
            assert all(isinstance(row, dict) for row in ended.rows()), name
            assert ended.rows(), name


def test_results_are_in_the_apis_spelling(outcomes: dict[str, Outcome]) -> None:
    (meeting,) = outcomes["pipe"].ended["meetings.create"].rows()
    assert meeting["roomUrl"].startswith("https://")
    assert meeting["hostRoomUrl"].startswith(meeting["roomUrl"] + "?roomKey=")
    assert meeting["viewerRoomUrl"] is None
    assert meeting["endDate"].endswith("Z")


@pytest.mark.parametrize("operation", NOTHING)
def test_what_has_no_result_says_that_it_is_done(outcomes: dict[str, Outcome], operation: str) -> None:
    (row,) = outcomes["pipe"].ended[operation].rows()
    assert (row["event"], row["operation"]) == ("done", operation)
    assert len(row) > 2
    assert outcomes["terminal"].ended[operation].lines()[0].endswith(": done")


@pytest.mark.parametrize("operation", ROWS)
def test_list_on_a_terminal_fits_and_counts(outcomes: dict[str, Outcome], operation: str) -> None:
    """Nothing is wider than 80 columns but what is to be copied, ids are whole, and the last line counts the rows."""
    lines = [line for line in outcomes["terminal"].ended[operation].lines() if line]
    assert lines[-1].split()[1].rstrip(";") in {"row", "rows"} or operation == "insights.participant"
    prose = [line for line in lines if "userAgent" not in line and "samples" not in line]
    assert max(map(len, prose)) <= 80
    assert not lines[0].startswith("{")


def test_ids_in_tables_are_whole(outcomes: dict[str, Outcome]) -> None:
    for operation, key in (("recordings.list", "recordingId"), ("insights.participants", "participantId")):
        columns = [line.split()[0] for line in outcomes["terminal"].ended[operation].lines() if line]
        assert columns[0] == key
        assert {len(column) for column in columns[1:-1]} == {36}
    assert len(outcomes["pipe"].ended["insights.participants"].rows()) == 2


def test_links_on_a_terminal_are_whole(outcomes: dict[str, Outcome]) -> None:
    """A room key and a signed link are printed as results, in one piece."""
    (host,) = [line for line in outcomes["terminal"].ended["meetings.create"].lines() if line.startswith("hostRoomUrl")]
    assert len(host) > 120
    (link,) = [
        line for line in outcomes["terminal"].ended["recordings.access_link"].lines() if line.startswith("accessLink")
    ]
    assert "Signature=" in link


def test_waits_end_when_the_job_is_done(served: Served, here: Runner) -> None:
    """The transcription is printed; a failed one is exit code 1, one that takes too long exit code 4."""
    served.fake.processing_time = None
    ready = served.fake.add_transcription(room_name="/x")["transcriptionId"]
    failed = served.fake.add_transcription(room_name="/x", state="failed")["transcriptionId"]
    slow = served.fake.add_transcription(room_name="/x", state="in_progress")["transcriptionId"]
    summary = served.fake.add_summary(ready)["summaryId"]
    (row,) = here("transcriptions", "wait", ready).rows()
    assert (row["transcriptionId"], row["state"]) == (ready, "ready")
    assert here("summaries", "wait", summary).rows()[0]["summaryId"] == summary
    ended = here("transcriptions", "wait", failed)
    assert ended.code == 1
    assert failed in ended.err
    ended = here("transcriptions", "wait", slow, "--within", "0.3")
    assert ended.code == 4
    assert "was not ready within 0.3 s; it goes on without us" in ended.err
