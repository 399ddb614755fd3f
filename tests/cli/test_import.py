"""`whereby meetings import`: rows checked before anything is sent, rooms made once, whatever happens in between."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import OnTerminal, command, environment, run
from support.serving import Served

from whereby_async.cli import main
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

END = "2099-01-01T00:00:00Z"


def _csv(place: Path, *lines: str) -> str:
    path = place / "rooms.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _rooms(place: Path, count: int) -> str:
    return _csv(place, "customer,endDate", *(f"c{number},{END}" for number in range(count)))


def _rows(text: str, event: str = "room") -> list[dict[str, Any]]:
    return [row for row in map(json.loads, text.splitlines()) if row["event"] == event]


def test_csv_becomes_rooms(own: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    bodies = sorted((request.json for request in own.fake.requests), key=lambda body: body["isLocked"], reverse=True)
    acme, beta = bodies
    assert (acme["isLocked"], acme["roomMode"], acme["recording"]) == (True, "group", {"type": "local"})
    assert acme["fields"] == ["hostRoomUrl", "viewerRoomUrl"]
    assert (beta["isLocked"], beta["roomMode"], beta["fields"]) == (False, "normal", ["dialIn"])
    assert not {"customer", "note", "recording"} & beta.keys()
    (summary,) = _rows(out, "summary")
    assert (summary["rows"], summary["made"], summary["failed"]) == (2, 2, 0)


def test_json_lines_become_rooms(own: Served, tmp_path: Path) -> None:
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
    first, second = sorted((request.json for request in own.fake.requests), key=lambda body: "isLocked" in body)
    assert (first["streaming"], first["fields"], first["a"]) == (
        {"destination": {"url": "rtmp://live/key"}},
        ["hostRoomUrl"],
        1,
    )
    assert second["isLocked"] is True


@pytest.mark.parametrize(
    ("name", "text", "words", "complaints"),
    [
        ("r.csv", "end_date,nonsense\n1,2\n", (), ["column 'nonsense' is no parameter of a meeting: name it by --key"]),
        ("r.csv", f"end_date,\n{END},1\n", (), ["line 1: a column has no name"]),
        (
            "r.csv",
            "end_date\n2099-01-01T00:00:00\n+2h\n",
            (),
            ["line 2: end_date 2099", "line 3: end_date '+2h' is no date"],
        ),
        ("r.csv", f"end_date\n{END},x\n", (), ["line 2: it has more cells"]),
        ("r.csv", f'end_date\n"{END}\n', (), ["it is no CSV"]),
        ("r.csv", "is_locked\nyes\n", (), ["line 2: it has no end_date: add the column, or pass --set end_date="]),
        ("r.csv", f"end_date,is_locked\n{END},perhaps\n", (), ["line 2: is_locked is 'perhaps': write true or false"]),
        ("r.csv", f"end_date,recording\n{END},cloud\n", (), ["line 2: recording is no JSON"]),
        ("r.csv", f"end_date,recording\n{END},[]\n", (), ["line 2: recording must be a JSON object"]),
        ("r.csv", f"end_date,room_name_prefix\n{END},{'x' * 30}\n", (), ["has 30 characters; 29 is the most"]),
        (
            "r.csv",
            f"id,end_date\na,{END}\na,{END}\n,{END}\n",
            ("--key", "id"),
            ["line 3: its id 'a' is that of line 2", "line 4: it has no id"],
        ),
        ("r.csv", "end_date\n" + "x\n" * 30, (), ["30 rows can not be used", "line 21:", "and 10 more"]),
        ("r.jsonl", "[1]\n{\n", (), ["line 1: it is no JSON object", "line 2: it is no JSON object"]),
        ("r.jsonl", '{"end_date": 7}\n', (), ["line 1: end_date must be text, not 7"]),
        ("r.jsonl", f'{{"end_date": "{END}", "fields": [1]}}\n', (), ["fields must be a list of names"]),
        ("r.jsonl", f'{{"end_date": "{END}", "what": 1}}\n', (), ["line 1: column 'what' is no parameter"]),
    ],
)
def test_bad_rows_are_named_before_anything_is_sent(  # noqa: PLR0917 - pytest passes them by name
    own: Served,
    tmp_path: Path,
    name: str,
    text: str,
    words: Sequence[str],
    complaints: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, each by its line, and no request, journal or result file."""
    (tmp_path / name).write_text(text)
    assert main(["meetings", "import", str(tmp_path / name), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [complaint for complaint in complaints if complaint not in err] == []
    assert own.fake.requests == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_missing_file_is_told(own: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name."""
    assert main(["meetings", "import", "nowhere.csv"]) == 2
    assert "nowhere.csv: No such file" in capsys.readouterr().err
    assert main(["meetings", "import", "-", "--format", "jsonl", "--json", "--journal", "/no/where"]) == 2


def test_dry_run_estimates_and_makes_nothing(own: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Points, windows and seconds by the real limit, for one to three points."""
    assert main(["meetings", "import", _rooms(tmp_path, 1500), "--key", "customer", "--dry-run"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["event"], row["rows"], row["points"], row["price"], row["limit"]) == ("estimate", 1500, 4500, 3, 1000)
    assert row["windows"] in {5, 6}
    assert 230 <= row["seconds"] <= 310
    assert {request.operation for request in own.fake.requests} == {"meetings.list"}
    assert own.fake.points_spent <= 3
    assert [path.name for path in tmp_path.iterdir()] == ["rooms.csv"]


def test_second_run_makes_nothing_again(own: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert len(own.fake.meetings) == 3


def test_failed_rows_are_told_and_tried_again_when_asked(
    own: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 with the server's words; --retry-failed makes the rest."""
    words = ["meetings", "import", _rooms(tmp_path, 3), "--key", "customer", "--concurrency", "1"]
    own.fake.faults.add(Fault(status=400, body=b'{"error": "not today"}', skip=1))
    assert main(words) == 1
    rows = {row["key"]: row for row in _rows(capsys.readouterr().out)}
    assert [rows[key]["state"] for key in ("c0", "c1", "c2")] == ["ok", "failed", "ok"]
    assert "not today" in rows["c1"]["error"]
    assert main(words) == 1
    assert len(own.fake.meetings) == 2
    assert main([*words, "--retry-failed"]) == 0
    assert len(own.fake.meetings) == 3


def test_lost_answer_is_looked_up(own: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A room that was made although no answer came is adopted, not made again."""
    own.fake.faults.add(Fault(drop="after", operation="meetings.create"))
    words = ["meetings", "import", _rooms(tmp_path, 2), "--key", "customer", "--timeout", "0.3"]
    assert main(words) == 0
    rows = _rows(capsys.readouterr().out)
    assert sorted(row["adopted"] for row in rows) == [False, True]
    assert len(own.fake.meetings) == 2


def test_foreign_journal_is_wrong_usage(own: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of another file or job; nothing is sent."""
    file = _rooms(tmp_path, 1)
    (tmp_path / "rooms.csv.journal").write_text("my diary\n")
    assert main(["meetings", "import", file, "--key", "customer"]) == 2
    assert "journal" in capsys.readouterr().err
    assert own.fake.requests == []


def test_rows_from_stdin(own: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON lines by default; the journal has to be named."""
    text = f'{{"end_date": "{END}"}}\n'.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    journal = tmp_path / "run.journal"
    assert main(["meetings", "import", "-", "--journal", str(journal)]) == 0
    assert journal.exists()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"endDate\n{END}\n".encode())))
    assert main(["meetings", "import", "-", "--format", "csv"]) == 0
    assert len(own.fake.meetings) == 2


def test_on_a_terminal_results_go_to_a_file(own: Served, tmp_path: Path) -> None:
    """Which only its owner reads; a second run adds nothing twice, and says how to make it all again."""
    file = _rooms(tmp_path, 3)
    words = ("meetings", "import", file, "--key", "customer", "--field", "hostRoomUrl")
    with OnTerminal(*words, variables=own.variables) as terminal:
        ended = terminal.end()
    results = Path(f"{file}.results.jsonl")
    assert ended.code == 0
    assert any(line.startswith("3 rows: 3 made. Results: ") for line in ended.lines()), ended.out
    assert "roomKey" not in ended.out
    assert stat.S_IMODE(results.stat().st_mode) == 0o600
    assert len(_rows(results.read_text())) == 3
    results.write_text(results.read_text() + '{"torn')
    with OnTerminal(*words, columns=400, variables=own.variables) as terminal:
        ended = terminal.end()
    assert "3 rows: 0 made, 3 resumed." in ended.out
    assert "to make it again, take" in ended.out
    assert [
        line for line in results.read_text().splitlines() if "torn" not in line
    ] == results.read_text().splitlines()[:3]


def test_output_goes_where_it_is_asked_for(own: Served, tmp_path: Path) -> None:
    """In a pipe too; stdout has the summary, and what failed."""
    output = tmp_path / "out.jsonl"
    own.fake.faults.add(Fault(status=422))
    ended = run(
        "meetings", "import", _rooms(tmp_path, 2), "--key", "customer", "--output", str(output), **own.variables
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
            terminal.type(b"\x03")
            ended = terminal.end()
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
