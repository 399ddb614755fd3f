"""`whereby meetings import`: rows checked before anything is sent, rooms made once, whatever happens in between."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import OnTerminal, command, environment, on_terminal, run
from support.serving import Served

from whereby_async.cli import main
from whereby_async.cli.errors import UsageError
from whereby_async.cli.import_ import ResultFile
from whereby_async.cli.output import Output, check_status
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

END = "2099-01-01T00:00:00Z"


def _refused(served: Served, words: Sequence[str | Path], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that is refused before anything is sent."""
    assert main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert served.fake.requests == []
    return err


def _csv(place: Path, *lines: str) -> str:
    path = place / "rooms.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _rooms(place: Path, count: int) -> str:
    return _csv(place, "customer,endDate", *(f"c{number},{END}" for number in range(count)))


def _rows(text: str, event: str = "room") -> list[dict[str, Any]]:
    return [row for row in map(json.loads, text.splitlines()) if row["event"] == event]


def test_csv_becomes_rooms(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns in either spelling, empty cells left out, defaults for what a row does not say, the key and notes kept out."""
    file = _csv(
        tmp_path,
        "customer,endDate,is_locked,room-mode,note,recording,fields",
        f'acme,{END},yes,group,x,"{{""type"": ""local""}}","hostRoomUrl, viewerRoomUrl"',
        f"beta,{END},,,,,",
    )
    words = [file, "--key", "customer", "--ignore", "note", "--set", "room_mode=normal", "--set", "isLocked=false"]
    assert main(["meetings", "import", *words, "--field", "dialIn"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = sorted(_rows(out), key=lambda row: row["line"])
    assert [(row["line"], row["key"], row["state"], row["resumed"], row["adopted"]) for row in rows] == [
        (2, "acme", "ok", False, False),
        (3, "beta", "ok", False, False),
    ]
    assert "roomKey=" in rows[0]["hostRoomUrl"]
    bodies = sorted((request.json for request in served.fake.requests), key=lambda body: body["isLocked"], reverse=True)
    acme, beta = bodies
    assert (acme["isLocked"], acme["roomMode"], acme["recording"]) == (True, "group", {"type": "local"})
    assert acme["fields"] == ["hostRoomUrl", "viewerRoomUrl"]
    assert (beta["isLocked"], beta["roomMode"], beta["fields"]) == (False, "normal", ["dialIn"])
    assert not {"customer", "note", "recording"} & beta.keys()
    (summary,) = _rows(out, "summary")
    assert (summary["rows"], summary["made"], summary["failed"]) == (2, 2, 0)


def test_json_lines_become_rooms(served: Served, tmp_path: Path) -> None:
    """With nested objects, lists and flags as JSON has them."""
    file = tmp_path / "rooms.jsonl"
    rows: list[dict[str, Any]] = [
        {
            "end_date": END,
            "streaming": {"destination": {"url": "rtmp://live/key"}},
            "fields": ["hostRoomUrl"],
            "extra": {"a": 1},
        },
        {"endDate": END, "isLocked": True},
    ]
    file.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    assert main(["meetings", "import", str(file)]) == 0
    first, second = sorted((request.json for request in served.fake.requests), key=lambda body: "isLocked" in body)
    assert (first["streaming"], first["fields"], first["a"]) == (
        {"destination": {"url": "rtmp://live/key"}},
        ["hostRoomUrl"],
        1,
    )
    assert second["isLocked"] is True


def test_missing_file_is_named(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Be it for rows or the journal."""
    assert "nowhere.csv: No such file" in _refused(served, ["meetings", "import", "nowhere.csv"], capsys)
    assert main(["meetings", "import", "-", "--format", "jsonl", "--json", "--journal", "/no/where"]) == 2


def test_dry_run_estimates_and_makes_nothing(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Points, windows and seconds by the real limit, for one to three points."""
    assert main(["meetings", "import", _rooms(tmp_path, 1500), "--key", "customer", "--dry-run"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["event"], row["rows"], row["points"], row["price"], row["limit"]) == ("estimate", 1500, 4500, 3, 1000)
    assert row["windows"] in {5, 6}
    assert 230 <= row["seconds"] <= 310
    assert {request.operation for request in served.fake.requests} == {"meetings.list"}
    assert served.fake.points_spent <= 3
    assert [path.name for path in tmp_path.iterdir()] == ["rooms.csv"]


def test_second_run_makes_nothing_again(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All rows come out as resumed, with their ids, or with --refetch whole."""
    words = ["meetings", "import", _rooms(tmp_path, 3), "--key", "customer", "--field", "hostRoomUrl"]
    assert main(words) == 0
    first = {row["key"]: row["meetingId"] for row in _rows(capsys.readouterr().out)}
    assert main(words) == 0
    out = capsys.readouterr().out
    assert {row["key"]: row["meetingId"] for row in _rows(out)} == first
    assert all(row["resumed"] and "hostRoomUrl" not in row for row in _rows(out))
    assert _rows(out, "summary")[0]["resumed"] == 3
    assert main([*words, "--refetch"]) == 0
    assert all("roomKey=" in row["hostRoomUrl"] for row in _rows(capsys.readouterr().out))
    assert len(served.fake.meetings) == 3


def test_failed_rows_are_told_and_tried_again_when_asked(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 with the server's words; --retry-failed makes the rest."""
    words = ["meetings", "import", _rooms(tmp_path, 3), "--key", "customer", "--concurrency", "1"]
    served.fake.faults.add(Fault(status=400, body=b'{"error": "not today"}', skip=1))
    assert main(words) == 1
    rows = {row["key"]: row for row in _rows(capsys.readouterr().out)}
    assert [rows[key]["state"] for key in ("c0", "c1", "c2")] == ["ok", "failed", "ok"]
    assert "not today" in rows["c1"]["error"]
    assert main(words) == 1
    assert len(served.fake.meetings) == 2
    assert main([*words, "--retry-failed"]) == 0
    assert len(served.fake.meetings) == 3


def test_lost_answer_is_looked_up(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A room that was made although no answer came is adopted, not made again."""
    served.fake.faults.add(Fault(drop="after", operation="meetings.create"))
    words = ["meetings", "import", _rooms(tmp_path, 2), "--key", "customer", "--timeout", "0.3"]
    assert main(words) == 0
    rows = _rows(capsys.readouterr().out)
    assert sorted(row["adopted"] for row in rows) == [False, True]
    assert len(served.fake.meetings) == 2


def test_foreign_journal_is_wrong_usage(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of another file or job; nothing is sent."""
    file = _rooms(tmp_path, 1)
    (tmp_path / "rooms.csv.journal").write_text("my diary\n")
    assert main(["meetings", "import", file, "--key", "customer"]) == 2
    assert "journal" in capsys.readouterr().err
    assert served.fake.requests == []


def test_rows_from_stdin(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON lines by default; the journal has to be named."""
    text = f'{{"end_date": "{END}"}}\n'.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    journal = tmp_path / "run.journal"
    assert main(["meetings", "import", "-", "--journal", str(journal)]) == 0
    assert journal.exists()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"endDate\n{END}\n".encode())))
    assert main(["meetings", "import", "-", "--format", "csv"]) == 0
    assert len(served.fake.meetings) == 2


def test_on_a_terminal_results_go_to_a_file(served: Served, tmp_path: Path) -> None:
    """Which only its owner reads; a second run adds nothing twice, and says how to make it all again."""
    file = _rooms(tmp_path, 3)
    words = ("meetings", "import", file, "--key", "customer", "--field", "hostRoomUrl")
    ended = on_terminal(*words, **served.variables)
    results = Path(f"{file}.results.jsonl")
    assert ended.code == 0
    assert any(line.startswith("3 rows: 3 made. Results: ") for line in ended.lines()), ended.out
    assert "roomKey" not in ended.out
    assert stat.S_IMODE(results.stat().st_mode) == 0o600
    assert len(_rows(results.read_text())) == 3
    results.write_text(results.read_text() + '{"torn')
    with OnTerminal(*words, columns=400, variables=served.variables) as terminal:
        ended = terminal.end()
    assert "3 rows: 0 made, 3 resumed." in ended.out
    assert "to make it again, take" in ended.out
    assert [
        line for line in results.read_text().splitlines() if "torn" not in line
    ] == results.read_text().splitlines()[:3]


def test_output_goes_where_it_is_asked_for(served: Served, tmp_path: Path) -> None:
    """In a pipe too; stdout has the summary, and what failed."""
    output = tmp_path / "out.jsonl"
    served.fake.faults.add(Fault(status=422))
    ended = run(
        "meetings", "import", _rooms(tmp_path, 2), "--key", "customer", "--output", str(output), **served.variables
    )
    assert ended.code == 1
    assert [row["event"] for row in ended.rows()] == ["room", "summary"]
    assert len(_rows(output.read_text())) == 2


def test_ctrl_c_leaves_a_journal_and_says_how_to_go_on(tmp_path: Path) -> None:
    """The very command line; run again it makes the rest, and none twice."""
    file = _rooms(tmp_path, 60)
    words = ("meetings", "import", file, "--key", "customer", "--concurrency", "4", "--timeout", "1")
    with Served(latency=0.05) as slow:
        with OnTerminal(*words, columns=200, variables=slow.variables) as terminal:
            terminal.until("of 60")
            slow.until(lambda: len(slow.fake.meetings) >= 8)
            ended = terminal.interrupt()
        made = len(slow.fake.meetings)
        assert ended.code == 130
        assert 8 <= made < 60
        assert f"interrupted; {file}.journal knows what was done. Go on with:" in ended.out
        assert f"whereby {' '.join(words)}" in ended.out
        assert "Traceback" not in ended.out
        again = run(*words, **slow.variables)
        assert (again.code, again.err) == (0, "")
        assert len(slow.fake.meetings) == 60
        assert _rows(again.out, "summary")[0]["resumed"] >= made - 4


def test_kill_is_survived_too(tmp_path: Path) -> None:
    """SIGKILL in the middle: no room is missing at the end, and none is there twice."""
    file = _rooms(tmp_path, 40)
    words = ("meetings", "import", file, "--key", "customer", "--concurrency", "4", "--timeout", "0.5")
    with Served(latency=0.03) as slow:
        process = subprocess.Popen(command(*words), env=environment(**slow.variables), stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.kill()
        process.stdout.close()
        process.wait()
        again = run(*words, **slow.variables)
        assert again.code == 0
        assert len(slow.fake.meetings) == 40
        assert len({row["meetingId"] for row in _rows(again.out)}) == 40


@pytest.mark.parametrize("link", ["none", "hard", "symbolic", "dangling"])
def test_results_and_journal_are_two_files(
    served: Served, tmp_path: Path, link: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By whatever path or link one leads to the other; neither is touched, and --dry-run tells it too."""
    file = _rooms(tmp_path, 1)
    journal, output = tmp_path / "rooms.csv.journal", tmp_path / "out.jsonl"
    if link in {"hard", "symbolic"}:
        journal.write_bytes(b"")
    if link == "hard":
        output.hardlink_to(journal)
    elif link != "none":
        output.symlink_to(journal)
    else:
        output = tmp_path / "." / "x" / ".." / journal.name
    for more in ((), ("--journal", journal), ("--dry-run",)):
        err = _refused(served, ["meetings", "import", file, "--output", output, *more], capsys)
        assert "the journal and the results" in err
        assert "are one file" in err
    assert not journal.exists() or journal.read_bytes() == b""


@pytest.mark.parametrize("option", ["--output", "--journal"])
def test_rows_are_never_written_over(
    served: Served, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither results nor a journal go into the file that is imported."""
    file = _rooms(tmp_path, 1)
    text = Path(file).read_text()
    (tmp_path / "link").hardlink_to(file)
    for target in (file, tmp_path / "link"):
        assert "the rows and the " in _refused(served, ["meetings", "import", file, option, target], capsys)
    assert Path(file).read_text() == text


def test_redirected_streams_are_files_too(served: Served, tmp_path: Path) -> None:
    """Stdout into the journal, and results into what comes in by stdin."""
    file = tmp_path / "rooms.jsonl"
    file.write_text(f'{{"end_date": "{END}"}}\n')
    journal = tmp_path / "j"
    variables = environment(**served.variables)
    with journal.open("wb") as out:
        words = command("meetings", "import", str(file), "--journal", str(journal))
        ended = subprocess.run(words, env=variables, stdout=out, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, journal.read_bytes()) == (2, b"")
    assert b"the journal and stdout are one file" in ended.stderr
    with file.open("rb") as rows:
        words = command("meetings", "import", "-", "--output", str(file))
        ended = subprocess.run(words, env=variables, stdin=rows, capture_output=True, check=False)
    assert ended.returncode == 2
    assert b"the rows and the results" in ended.stderr
    assert served.fake.requests == []


@pytest.mark.parametrize("output", ["/dev/full", "/dev/zero", "/dev/stdout", "/dev/fd/1", "/dev", "-", "fifo"])
def test_results_go_to_plain_files_only(
    served: Served, tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not to devices, pipes or directories."""
    if output == "fifo":
        output = str(tmp_path / output)
        os.mkfifo(output)
    err = _refused(served, ["meetings", "import", _rooms(tmp_path, 1), "--output", output], capsys)
    assert f"--output {output} is no plain file: " in err
    with pytest.raises(UsageError, match="no plain file"):
        check_status("--output", output, Path("/dev").stat())


def test_results_may_go_nowhere(served: Served, tmp_path: Path) -> None:
    """The null device takes them; a file of results that is no UTF-8 is no fault."""
    words = ["meetings", "import", _rooms(tmp_path, 1), "--key", "customer", "--output"]
    assert main([*words, "/dev/null"]) == 0
    output = tmp_path / "out"
    output.write_bytes(b"\xff\n")
    assert main([*words, str(output)]) == 0
    assert len(output.read_bytes().splitlines()) == 2
    assert len(served.fake.meetings) == 1


def test_result_file_keeps_what_is_there(tmp_path: Path) -> None:
    """Done rows are not repeated, failed ones may come again, foreign lines are left alone."""
    path = tmp_path / "results.jsonl"
    lines = ['{"key": "a", "state": "ok"}', '{"key": "b", "state": "failed"}', "noise", '{"torn']
    path.write_text("\n".join(lines))
    with ResultFile(str(path), Output(as_json=False)) as results:
        results.write({"key": "a", "state": "ok", "resumed": True}, "")
        results.write({"key": "b", "state": "failed", "resumed": True}, "")
        results.write({"key": "c", "state": "ok", "resumed": False}, "")
    written = path.read_text().splitlines()
    assert written[:4] == lines
    assert [json.loads(line)["key"] for line in written[4:]] == ["b", "c"]
