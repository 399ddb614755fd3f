"""`whereby insights export`: every row once, in files or a pipe, also after it was stopped."""

from __future__ import annotations

import csv
import json
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import OnTerminal, command, environment, on_terminal, run
from support.serving import Served

from whereby_async.cli import main
from whereby_async.cli.errors import UsageError
from whereby_async.cli.export import ExportFiles
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {"rooms": ["roomName"]}


def _fill(served: Served, rooms: int = 3, sessions: int = 2, people: int = 2) -> None:
    for number in range(rooms):
        for _ in range(sessions):
            served.fake.add_session(f"/room-{number}", participants=people)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_in_files(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file for each kind, rows in the API's spelling with their room, readable by their owner only."""
    _fill(served)
    assert main(["insights", "export", str(tmp_path / "out")]) == 0
    (summary,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert {kind: summary[kind] for kind in ("rooms", "sessions", "participants")} == {
        "rooms": 3,
        "sessions": 6,
        "participants": 12,
    }
    rooms, sessions, people = (
        _lines(tmp_path / "out" / f"{kind}.jsonl") for kind in ("rooms", "sessions", "participants")
    )
    assert (len(rooms), len(sessions), len(people)) == (3, 6, 12)
    assert {row["roomName"] for row in people} == {"/room-0", "/room-1", "/room-2"}
    assert {row["roomSessionId"] for row in people} == {row["roomSessionId"] for row in sessions}
    assert stat.S_IMODE((tmp_path / "out" / "participants.jsonl").stat().st_mode) == 0o600


def test_csv_has_heads_and_no_formulas(served: Served, tmp_path: Path) -> None:
    """What a guest calls himself is nothing that a spreadsheet computes."""
    session = served.fake.add_session("/x", participants=["=HYPERLINK(1)", 'Ada, the "first"\nof all'])
    served.fake.participants[session["roomSessionId"]][1]["tags"] = ["a", "b"]
    assert main(["insights", "export", str(tmp_path), "--format", "csv"]) == 0
    with (tmp_path / "participants.csv").open(newline="") as file:
        mallory, ada = csv.DictReader(file)
    assert mallory["displayName"] == "'=HYPERLINK(1)"
    assert ada["displayName"] == 'Ada, the "first"\nof all'
    assert json.loads(ada["tags"]) == ["a", "b"]
    assert (ada["roomName"], ada["rating"]) == ("/x", "")


@pytest.mark.parametrize(("depth", "kinds"), [("rooms", {"room"}), ("sessions", {"room", "session"})])
def test_pipe_gets_rows_down_to_the_depth(served: Served, depth: str, kinds: set[str]) -> None:
    """Each with its kind, nothing else, and no more calls than that."""
    _fill(served)
    ended = run(
        "insights",
        "export",
        "--depth",
        depth,
        "--name-starts-with",
        "/room-1",
        "--created-from=-1d",
        **served.variables,
    )
    assert (ended.code, ended.err) == (0, "")
    assert {row["kind"] for row in ended.rows()} == kinds
    assert {row["roomName"] for row in ended.rows()} == {"/room-1"}
    assert "insights.participants" not in {request.operation for request in served.fake.requests}


def test_wrong_usage(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV without a directory, dates from now into files, another export's directory."""
    assert main(["insights", "export", "--format", "csv"]) == 2
    assert main(["insights", "export", str(tmp_path), "--created-from=-7d"]) == 2
    assert main(["insights", "export", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["insights", "export", str(tmp_path), "--depth", "rooms"]) == 2
    assert "holds another export" in capsys.readouterr().err
    ended = on_terminal("insights", "export", **served.variables)
    assert ended.code == 2
    assert "name a directory" in ended.out


def test_room_that_failed_is_fetched_by_the_next_run(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, its name, and nothing of it in the files; the next run adds it, a third has nothing to do."""
    _fill(served)
    served.fake.faults.add(Fault(status=403, operation="insights.participants"))
    words = ["insights", "export", str(tmp_path)]
    assert main(words) == 1
    failed, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert (failed["event"], summary["rooms"], summary["failed"]) == ("failed", 2, 1)
    assert failed["roomName"] not in {row["roomName"] for row in _lines(tmp_path / "sessions.jsonl")}
    assert main(words) == 0
    assert len(_lines(tmp_path / "participants.jsonl")) == 12
    served.do(served.fake.clear)
    assert main(words) == 0
    assert served.fake.requests == []


def test_kill_leaves_whole_rows_and_none_twice(tmp_path: Path) -> None:
    """Killed in the middle and run again, it has every row once."""
    words = ("insights", "export", str(tmp_path), "--concurrency", "2")
    with Served(latency=0.02) as slow:
        _fill(slow, rooms=30, sessions=1, people=1)
        process = subprocess.Popen(command(*words), env=environment(**slow.variables), stdout=subprocess.DEVNULL)
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
        ended = run(*words, **slow.variables)
    assert ended.code == 0
    assert ended.rows()[-1]["resumed"] == done
    for kind in ("rooms", "sessions", "participants"):
        rows = _lines(tmp_path / f"{kind}.jsonl")
        assert len(rows) == 30
        assert len({row["roomName"] for row in rows}) == 30


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """With the command line; into a pipe there is no going on, and it says so."""
    with Served() as served:
        _fill(served, rooms=1)
        served.fake.faults.add(Fault(delay=60.0, operation="insights.room_sessions", times=2))
        with OnTerminal("insights", "export", str(tmp_path), columns=200, variables=served.variables) as terminal:
            terminal.until("0 of 1")
            ended = terminal.interrupt()
        assert ended.code == 130
        assert "the rooms that were written are kept. Go on with:" in ended.out
        with OnTerminal("insights", "export", "--json", columns=200, variables=served.variables) as terminal:
            terminal.until("0 of 1")
            ended = terminal.interrupt()
    assert ended.code == 130
    assert "can not be gone on with" in ended.out
    assert "Go on with" not in ended.out


def test_two_at_once_are_kept_apart(tmp_path: Path) -> None:
    """The second is refused while the first writes, and does not touch a line that is half written."""
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
    """Rather than gone on with."""
    (tmp_path / "export.state").write_bytes(state)
    with pytest.raises(UsageError, match=words), ExportFiles(tmp_path, {}, COLUMNS, is_csv=False):
        pass


def test_export_keeps_its_files_apart(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Links between them, and devices in their place, are refused before a byte is written."""
    (tmp_path / "rooms.jsonl").write_text("mine")
    words = ["insights", "export", str(tmp_path)]
    (tmp_path / "sessions.jsonl").hardlink_to(tmp_path / "rooms.jsonl")
    assert main(words) == 2
    (tmp_path / "sessions.jsonl").unlink()
    (tmp_path / "sessions.jsonl").symlink_to("/dev/full")
    assert main(words) == 2
    linked, device = capsys.readouterr().err.splitlines()
    assert "are one file" in linked
    assert "is no plain file" in device
    assert served.fake.requests == []
    assert (tmp_path / "rooms.jsonl").read_text() == "mine"
