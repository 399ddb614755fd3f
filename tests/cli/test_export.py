"""`whereby insights export`: every row once, in files or a pipe, also after it was stopped."""

from __future__ import annotations

import csv
import errno
import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import OnTerminal, command, environment, on_terminal

from whereby_async.cli.errors import UsageError
from whereby_async.cli.export import ExportFiles
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from support.processes import Runner
    from support.serving import Served

COLUMNS = {"rooms": ["roomName"]}
EXPORT = ("insights", "export")


def _fill(served: Served, rooms: int = 3, sessions: int = 2, people: int = 2) -> None:
    for number in range(rooms):
        for _ in range(sessions):
            served.fake.add_session(f"/room-{number}", participants=people)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_in_files(served: Served, tmp_path: Path, here: Runner) -> None:
    """A file for each kind, rows in the API's spelling with their room, readable by their owner only."""
    _fill(served)
    ended = here(*EXPORT, tmp_path / "out")
    assert ended.code == 0
    (summary,) = ended.rows()
    kinds = ("rooms", "sessions", "participants")
    assert [summary[kind] for kind in kinds] == [3, 6, 12]
    rooms, sessions, people = (_lines(tmp_path / "out" / f"{kind}.jsonl") for kind in kinds)
    assert (len(rooms), len(sessions), len(people)) == (3, 6, 12)
    assert {row["roomName"] for row in people} == {"/room-0", "/room-1", "/room-2"}
    assert {row["roomSessionId"] for row in people} == {row["roomSessionId"] for row in sessions}
    assert stat.S_IMODE((tmp_path / "out" / "participants.jsonl").stat().st_mode) == 0o600


def test_csv_has_heads_and_no_formulas(served: Served, tmp_path: Path, here: Runner) -> None:
    """What a guest calls himself is nothing that a spreadsheet computes."""
    session = served.fake.add_session("/x", participants=["=HYPERLINK(1)", 'Ada, the "first"\nof all'])
    served.fake.participants[session["roomSessionId"]][1]["tags"] = ["a", "b"]
    assert here(*EXPORT, tmp_path, "--format", "csv").code == 0
    with (tmp_path / "participants.csv").open(newline="") as file:
        mallory, ada = csv.DictReader(file)
    assert mallory["displayName"] == "'=HYPERLINK(1)"
    assert ada["displayName"] == 'Ada, the "first"\nof all'
    assert json.loads(ada["tags"]) == ["a", "b"]
    assert (ada["roomName"], ada["rating"]) == ("/x", "")


@pytest.mark.parametrize(("depth", "kinds"), [("rooms", {"room"}), ("sessions", {"room", "session"})])
def test_pipe_gets_rows_down_to_the_depth(served: Served, depth: str, kinds: set[str], here: Runner) -> None:
    """Each with its kind, nothing else, and no more calls than that."""
    _fill(served)
    ended = here(*EXPORT, "--depth", depth, "--name-starts-with", "/room-1", "--created-from=-1d")
    assert (ended.code, ended.err) == (0, "")
    assert {row["kind"] for row in ended.rows()} == kinds
    assert {row["roomName"] for row in ended.rows()} == {"/room-1"}
    assert "insights.participants" not in {request.operation for request in served.fake.requests}


@pytest.mark.usefixtures("served")
def test_wrong_usage(tmp_path: Path, here: Runner) -> None:
    """CSV without a directory, dates from now into files, another export's directory, rows on a terminal."""
    assert here(*EXPORT, "--format", "csv").code == 2
    assert here(*EXPORT, tmp_path, "--created-from=-7d").code == 2
    assert here(*EXPORT, tmp_path).code == 0
    ended = here(*EXPORT, tmp_path, "--depth", "rooms")
    assert ended.code == 2
    assert "holds another export" in ended.err
    ended = on_terminal(*EXPORT)
    assert ended.code == 2
    assert "name a directory" in ended.out


def test_room_that_failed_is_fetched_by_the_next_run(served: Served, tmp_path: Path, here: Runner) -> None:
    """Exit code 1, its name, and nothing of it in the files; the next run adds it, a third has nothing to do."""
    _fill(served)
    served.fake.faults.add(Fault(status=403, operation="insights.participants"))
    ended = here(*EXPORT, tmp_path)
    assert ended.code == 1
    failed, summary = ended.rows()
    assert (failed["event"], summary["rooms"], summary["failed"]) == ("failed", 2, 1)
    assert failed["roomName"] not in {row["roomName"] for row in _lines(tmp_path / "sessions.jsonl")}
    assert here(*EXPORT, tmp_path).code == 0
    assert len(_lines(tmp_path / "participants.jsonl")) == 12
    served.do(served.fake.clear)
    assert here(*EXPORT, tmp_path).code == 0
    assert served.fake.requests == []


@pytest.mark.parametrize("served", [{"latency": 0.02}], indirect=True)
def test_kill_leaves_whole_rows_and_none_twice(served: Served, tmp_path: Path, here: Runner) -> None:
    words = (*EXPORT, str(tmp_path), "--concurrency", "2")
    _fill(served, rooms=30, sessions=1, people=1)
    process = subprocess.Popen(command(*words), env=environment(), stdout=subprocess.DEVNULL)
    state = tmp_path / "export.state"
    while not (state.exists() and state.read_bytes().count(b"\n") > 5):
        assert process.poll() is None
    process.kill()
    process.wait()
    with (tmp_path / "rooms.jsonl").open("ab") as file:
        file.write(b'{"half' + b" and much more" * 10_000)
    with state.open("ab") as file:
        file.write(b'{"room": "/room-29", "en')
    done = state.read_text().count('"room":') - 1
    ended = here(*words)
    assert ended.code == 0
    assert ended.rows()[-1]["resumed"] == done
    for kind in ("rooms", "sessions", "participants"):
        rows = _lines(tmp_path / f"{kind}.jsonl")
        assert len(rows) == 30
        assert len({row["roomName"] for row in rows}) == 30


@pytest.mark.parametrize(
    ("to_files", "words"),
    [(True, "the rooms that were written are kept. Go on with:"), (False, "can not be gone on with")],
)
def test_ctrl_c_says_how_to_go_on(served: Served, tmp_path: Path, to_files: bool, words: str) -> None:
    """With the command line; into a pipe there is no going on, and it says so."""
    _fill(served, rooms=1)
    served.fake.faults.add(Fault(delay=60.0, operation="insights.room_sessions"))
    with OnTerminal(*EXPORT, str(tmp_path) if to_files else "--json", columns=200) as terminal:
        terminal.until("0 of 1")
        terminal.type(b"\x03")
        terminal.until("finishing 1 call; again to stop now")
        ended = terminal.insist()
    assert ended.code == 130
    assert words in ended.out
    assert ("Go on with" in ended.out) == to_files


def test_two_at_once_are_kept_apart(tmp_path: Path) -> None:
    second = ExportFiles(tmp_path, {}, COLUMNS, is_csv=False)
    state = tmp_path / "export.state"
    with ExportFiles(tmp_path, {}, COLUMNS, is_csv=False):
        with state.open("ab") as file:
            file.write(b'{"room": "/ha')
        before = state.read_bytes()
        with pytest.raises(UsageError, match="another export is writing"), second:
            pass
        assert second.done == set()
        assert state.read_bytes() == before


def test_file_system_without_locks_and_modes_will_do(
    served: Served, tmp_path: Path, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning says that others may read the files."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    _fill(served)
    monkeypatch.setattr("fcntl.flock", refused)
    monkeypatch.setattr("os.chmod", refused)
    ended = here(*EXPORT, tmp_path)
    assert (ended.code, len(_lines(tmp_path / "participants.jsonl"))) == (0, 12)
    assert ended.err == (
        f"whereby: {tmp_path}: others may be able to read what is written there (Operation not supported)\n"
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (b"no json\n", "is damaged"),
        (b"7\n", "is damaged"),
        (b'{"export": {}, "ends": {"rooms": 99}}\n', "is shorter than export.state says"),
        (b'{"export": {"other": 1}}\n', "holds another export"),
    ],
)
def test_damage_is_refused(tmp_path: Path, state: bytes, words: str) -> None:
    (tmp_path / "export.state").write_bytes(state)
    with pytest.raises(UsageError, match=words), ExportFiles(tmp_path, {}, COLUMNS, is_csv=False):
        pass


def test_export_keeps_its_files_apart(served: Served, tmp_path: Path, here: Runner) -> None:
    """Links between them, and devices in their place, are refused before a byte is written."""
    rooms, sessions = tmp_path / "rooms.jsonl", tmp_path / "sessions.jsonl"
    rooms.write_text("mine")
    sessions.hardlink_to(rooms)
    linked = here(*EXPORT, tmp_path)
    sessions.unlink()
    sessions.symlink_to("/dev/full")
    device = here(*EXPORT, tmp_path)
    assert (linked.code, device.code) == (2, 2)
    assert "are one file" in linked.err
    assert "is no plain file" in device.err
    assert served.fake.requests == []
    assert rooms.read_text() == "mine"
