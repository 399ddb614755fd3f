"""`whereby meetings import`: rows checked before anything is sent, rooms made once, whatever happens in between."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import OnTerminal, command, environment, on_terminal, run

from whereby_async.cli.errors import UsageError
from whereby_async.cli.import_ import ResultFile
from whereby_async.cli.output import Output, check_status
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from support.processes import Ended, Runner
    from support.serving import Served

IMPORT = ("meetings", "import")
BY_CUSTOMER = ("--key", "customer")
END = "2099-01-01T00:00:00Z"


def _complaint(ended: Ended, served: Served) -> str:
    """What a command says that was refused before anything was sent."""
    assert (ended.code, ended.out) == (2, "")
    assert served.fake.requests == []
    return ended.err


def _csv(place: Path, *lines: str) -> str:
    path = place / "rooms.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _rooms(place: Path, count: int) -> str:
    return _csv(place, "customer,endDate", *(f"c{number},{END}" for number in range(count)))


def _rows(text: str, event: str = "room") -> list[dict[str, Any]]:
    return [row for row in map(json.loads, text.splitlines()) if row["event"] == event]


def _lacking(place: Path, **calls: str) -> dict[str, str]:
    """Variables for a process whose file system does not have these calls, for folders at least; its errors by name."""
    lines = ["import errno, fcntl, os, stat"]
    for call, name in calls.items():
        module = "fcntl" if call == "flock" else "os"
        meant = "stat.S_ISDIR(os.fstat(a[0]).st_mode)" if call == "fsync" else "True"
        lines += [
            f"def refused(*a, real={module}.{call}):",
            f"    if {meant}: raise OSError(errno.{name}, os.strerror(errno.{name}))",
            "    return real(*a)",
            f"{module}.{call} = refused",
        ]
    (place / "sitecustomize.py").write_text("\n".join(lines))
    return {"PYTHONPATH": os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])}


def test_csv_becomes_rooms(served: Served, tmp_path: Path, here: Runner) -> None:
    """Columns in either spelling, empty cells left out, defaults for what a row does not say, the key and notes kept out."""
    file = _csv(
        tmp_path,
        "customer,endDate,is_locked,room-mode,note,recording,fields",
        f'acme,{END},yes,group,x,"{{""type"": ""local""}}","hostRoomUrl, viewerRoomUrl"',
        f"beta,{END},,,,,",
    )
    defaults = ("--ignore", "note", "--set", "room_mode=normal", "--set", "isLocked=false", "--field", "dialIn")
    ended = here(*IMPORT, file, *BY_CUSTOMER, *defaults)
    assert (ended.code, ended.err) == (0, "")
    rows = sorted(_rows(ended.out), key=lambda row: row["line"])
    assert [(row["line"], row["key"], row["state"], row["resumed"], row["adopted"]) for row in rows] == [
        (2, "acme", "ok", False, False),
        (3, "beta", "ok", False, False),
    ]
    assert "roomKey=" in rows[0]["hostRoomUrl"]
    bodies = sorted((request.json for request in served.fake.requests), key=lambda body: body["isLocked"], reverse=True)
    acme, beta = bodies
    assert (acme["isLocked"], acme["roomMode"], acme["recording"]) == (True, "group", {"type": "local"})
    assert acme["fields"] == ["hostRoomUrl", "viewerRoomUrl", "dialIn"]
    assert (beta["isLocked"], beta["roomMode"], beta["fields"]) == (False, "normal", ["dialIn"])
    assert not {"customer", "note", "recording"} & beta.keys()
    (summary,) = _rows(ended.out, "summary")
    assert (summary["rows"], summary["made"], summary["failed"]) == (2, 2, 0)


def test_json_lines_become_rooms(served: Served, tmp_path: Path, here: Runner) -> None:
    file = tmp_path / "rooms.jsonl"
    streaming = {"destination": {"url": "rtmp://live/key"}}
    rows: list[dict[str, Any]] = [
        {"end_date": END, "streaming": streaming, "fields": ["hostRoomUrl"], "extra": {"a": 1}},
        {"endDate": END, "isLocked": True},
    ]
    file.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    assert here(*IMPORT, file).code == 0
    first, second = sorted((request.json for request in served.fake.requests), key=lambda body: "isLocked" in body)
    assert (first["streaming"], first["fields"], first["a"]) == (streaming, ["hostRoomUrl"], 1)
    assert second["isLocked"] is True


def test_time_to_look_for_a_room_is_checked(served: Served, tmp_path: Path, here: Runner) -> None:
    complaint = _complaint(here(*IMPORT, _rooms(tmp_path, 1), *BY_CUSTOMER, "--absent-after=-1"), served)
    assert complaint == "whereby: --absent-after -1.0: pass seconds from 0 on\n"


def test_missing_file_is_named(served: Served, here: Runner) -> None:
    assert "nowhere.csv: No such file" in _complaint(here(*IMPORT, "nowhere.csv"), served)
    assert here(*IMPORT, "-", "--format", "jsonl", "--json", "--journal", "/no/where").code == 2


def test_dry_run_estimates_and_makes_nothing(served: Served, tmp_path: Path, here: Runner) -> None:
    """Points, windows and seconds by the real limit, for one to three points."""
    ended = here(*IMPORT, _rooms(tmp_path, 1500), *BY_CUSTOMER, "--dry-run")
    assert ended.code == 0
    (row,) = ended.rows()
    assert (row["event"], row["rows"], row["points"], row["price"], row["limit"]) == ("estimate", 1500, 4500, 3, 1000)
    assert row["windows"] in {5, 6}
    assert 230 <= row["seconds"] <= 310
    assert {request.operation for request in served.fake.requests} == {"meetings.list"}
    assert served.fake.points_spent <= 3
    assert [path.name for path in tmp_path.iterdir()] == ["rooms.csv"]


def test_dry_run_counts_what_is_left(
    served: Served, tmp_path: Path, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what is made, and what failed if it is tried again; a row that failed since the service was away is."""
    words = (*IMPORT, _rooms(tmp_path, 4), *BY_CUSTOMER, "--concurrency", "1")
    served.fake.faults.add(Fault(status=422))
    assert here(*words).code == 1
    with (tmp_path / "rooms.csv.journal").open("a") as journal:
        journal.write('{"item":"c1","state":"failed","at":"","away":true}\n{"item":"c2","state":"unknown","at":""}\n')
    for more, points in ((), 3), (("--retry-failed",), 6):
        (row,) = here(*words, "--dry-run", *more).rows()
        assert [row[name] for name in ("rows", "made", "failed", "unknown", "points")] == [4, 1, 1, 1, points]
    with monkeypatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: True)
        told = here(*words, "--dry-run").out
        assert "1 room at 3 points" in told
        assert (
            " Of earlier runs: 1 made, 1 failed (tried again by --retry-failed only), 1 unknown (looked for, not made"
            " again). Nothing was sent;"
        ) in told
        assert " Of earlier runs: 1 made, 1 unknown (" in here(*words, "--dry-run", "--retry-failed").out
    here(*words, "--retry-failed")
    (row,) = here(*words, "--dry-run").rows()
    assert [row[name] for name in ("rows", "made", "failed", "unknown", "points")] == [4, 3, 0, 1, 0]


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("journal", "told"), [("no/where", "there is no directory no"), ("-", "is a hyphen"), ("", "is empty")]
)
def test_journal_needs_a_place(  # noqa: PLR0917 - pytest passes them by name
    served: Served, tmp_path: Path, here: Runner, more: tuple[str, ...], journal: str, told: str
) -> None:
    complaint = _complaint(here(*IMPORT, _rooms(tmp_path, 1), *BY_CUSTOMER, "--journal", journal, *more), served)
    assert complaint.startswith("whereby: --journal")
    assert told in complaint


def test_second_run_makes_nothing_again(served: Served, tmp_path: Path, here: Runner) -> None:
    """All rows come out as resumed, with their ids, or with --refetch whole."""
    words = (*IMPORT, _rooms(tmp_path, 3), *BY_CUSTOMER, "--field", "hostRoomUrl")
    first = {row["key"]: row["meetingId"] for row in _rows(here(*words).out)}
    ended = here(*words)
    assert ended.code == 0
    assert {row["key"]: row["meetingId"] for row in _rows(ended.out)} == first
    assert all(row["resumed"] and "hostRoomUrl" not in row for row in _rows(ended.out))
    assert _rows(ended.out, "summary")[0]["resumed"] == 3
    assert all("roomKey=" in row["hostRoomUrl"] for row in _rows(here(*words, "--refetch").out))
    assert len(served.fake.meetings) == 3


def test_rows_that_changed_under_their_keys_are_told(served: Served, tmp_path: Path, here: Runner) -> None:
    """Their rooms stay as they are. Fields to answer, the order of columns and rows, and journals without digests are
    no change; a row that failed is sent as it is now.
    """
    head = "customer,endDate,room_name_prefix"
    rows = [f"c{number},{END},a" for number in range(15)]
    words = (*IMPORT, _csv(tmp_path, head, *rows), *BY_CUSTOMER, "--concurrency", "1")
    served.fake.faults.add(Fault(status=422))
    assert here(*words).code == 1
    rows[0] = f"c0,{END},changed"
    _csv(tmp_path, "room_name_prefix,endDate,customer", *(",".join(row.split(",")[::-1]) for row in rows[::-1]))
    assert here(*words, "--field", "hostRoomUrl").err == ""
    rows[2], rows[6] = "c2,2098-01-01T00:00:00Z,a", f"c6,{END},b"
    _csv(tmp_path, head, *rows)
    told = "whereby: {} changed since an earlier import, whose rooms stay as they were: line {}\n"
    for more in ((), ("-q",), ("--dry-run",), ("--retry-failed",), ("--refetch",)):
        ended = here(*words, *more)
        assert (ended.code, ended.err) == (int(more in {(), ("-q",)}), told.format("2 rows", "4, 8"))
    assert [request.json["roomNamePrefix"][:1] for request in served.fake.requests if request.json][-1] == "c"
    ended = here(*words, "--set", "is_locked=yes")
    assert ended.err == told.format("15 rows", "2, 3, 4, 5, 6, 7, 8, 9, 10, 11 …")
    journal = tmp_path / "rooms.csv.journal"
    journal.write_text(re.sub(r'"request":"\w+",', "", journal.read_text()))
    assert (here(*words).err, len(served.fake.meetings)) == ("", 15)


def test_failed_rows_are_told_and_tried_again_when_asked(served: Served, tmp_path: Path, here: Runner) -> None:
    words = (*IMPORT, _rooms(tmp_path, 3), *BY_CUSTOMER, "--concurrency", "1")
    served.fake.faults.add(Fault(status=400, body=b'{"error": "not today"}', skip=1))
    ended = here(*words)
    assert ended.code == 1
    rows = {row["key"]: row for row in _rows(ended.out)}
    assert [rows[key]["state"] for key in ("c0", "c1", "c2")] == ["ok", "failed", "ok"]
    assert "not today" in rows["c1"]["error"]
    assert here(*words).code == 1
    assert len(served.fake.meetings) == 2
    assert here(*words, "--retry-failed").code == 0
    assert len(served.fake.meetings) == 3


def test_lost_answer_is_looked_up(served: Served, tmp_path: Path, here: Runner) -> None:
    """A room that was made although no answer came is adopted, not made again."""
    served.fake.faults.add(Fault(drop="after", operation="meetings.create"))
    ended = here(*IMPORT, _rooms(tmp_path, 2), *BY_CUSTOMER, "--timeout", "0.3")
    assert ended.code == 0
    assert sorted(row["adopted"] for row in _rows(ended.out)) == [False, True]
    assert len(served.fake.meetings) == 2


def test_foreign_journal_is_wrong_usage(served: Served, tmp_path: Path, here: Runner) -> None:
    (tmp_path / "rooms.csv.journal").write_text("my diary\n")
    assert "journal" in _complaint(here(*IMPORT, _rooms(tmp_path, 1), *BY_CUSTOMER), served)


def test_renewed_key_goes_on_with_the_journal(
    served: Served, tmp_path: Path, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused in the words of the command line; the option that these name goes on, and makes nothing again."""
    file = _rooms(tmp_path, 2)
    here(*IMPORT, file, *BY_CUSTOMER)
    served.do(lambda: served.fake.also_accept("renewed"))
    monkeypatch.setenv("WHEREBY_API_KEY", "renewed")
    refused = here(*IMPORT, file, *BY_CUSTOMER)
    assert refused.code == 2
    assert f"--journal '{file}.journal' was made with another API key" in refused.err
    assert "pass --same-organisation; else name another by --journal" in refused.err
    resumed = here(*IMPORT, file, *BY_CUSTOMER, "--same-organisation")
    assert (resumed.code, [row["resumed"] for row in _rows(resumed.out)]) == (0, [True, True])
    assert len(served.fake.meetings) == 2


def test_row_that_failed_before_names_the_option_that_tries_it_again(
    served: Served, tmp_path: Path, here: Runner
) -> None:
    file = _rooms(tmp_path, 1)
    served.fake.faults.add(Fault(status=400))
    here(*IMPORT, file, *BY_CUSTOMER)
    (row,) = _rows(here(*IMPORT, file, *BY_CUSTOMER).out)
    assert row["error"].endswith("; pass --retry-failed to try it again")
    assert "BadRequestError" not in row["error"]


def test_file_system_without_locks_is_told(served: Served, tmp_path: Path) -> None:
    """It is no other import, and whoever knows that there is none can go on."""
    words = (*IMPORT, _rooms(tmp_path, 2), *BY_CUSTOMER)
    lacking = _lacking(tmp_path, flock="ENOLCK")
    err = _complaint(run(*words, **lacking), served)
    assert "can not be locked (No locks available)" in err
    assert "--no-lock" in err
    assert "another batch is running" not in err
    assert run(*words, "--no-lock", **lacking).code == 0
    assert len(served.fake.meetings) == 2


def test_file_system_without_modes_and_synced_folders_is_one_warning(served: Served, tmp_path: Path) -> None:
    """On a terminal it is a line of the command."""
    file, lacking = _rooms(tmp_path, 2), _lacking(tmp_path, fchmod="EPERM", fsync="EINVAL")
    Path(f"{file}.journal").touch(0o644)
    with OnTerminal(*IMPORT, file, *BY_CUSTOMER, columns=400, variables=lacking) as terminal:
        ended = terminal.end()
    assert ended.code == 0, ended.out
    assert [line for line in ended.lines() if "others may be able to read it (Operation not permitted), and" in line]
    assert len(served.fake.meetings) == 2


def test_rows_from_stdin(served: Served, tmp_path: Path, here: Runner) -> None:
    """JSON lines or CSV; a second run with the journal makes nothing again."""
    words = (*IMPORT, "-", "--journal", tmp_path / "run.journal")
    for _ in range(2):
        assert here(*words, stdin=f'{{"end_date": "{END}"}}\n'.encode()).code == 0
    assert here(*IMPORT, "-", "--journal", tmp_path / "2", stdin=f"\nendDate\n{END}\n".encode()).code == 0
    assert len(served.fake.meetings) == 2


@pytest.mark.parametrize("kind", ["substitution", "socket", "fifo"])
def test_what_is_no_plain_file_is_read_once(served: Served, tmp_path: Path, kind: str) -> None:
    """Rows from `<(…)`, from a socket as stdin and, on a terminal, from a FIFO, beside which nothing is left."""
    text = f"customer,endDate\na,{END}\nb,{END}\n"
    words = (*BY_CUSTOMER, "--journal", str(tmp_path / "j"))
    if kind == "fifo":
        fifo = tmp_path / "place" / "fifo"
        fifo.parent.mkdir()
        os.mkfifo(fifo)
        with ThreadPoolExecutor() as pool:
            pool.submit(fifo.write_text, text)
            assert "2 rows: 2 made." in on_terminal(*IMPORT, str(fifo), *words).out
        assert [path.name for path in fifo.parent.iterdir()] == ["fifo"]
    else:
        file = "<(cat)" if kind == "substitution" else "/dev/stdin"
        call = ["bash", "-c", f"{shlex.join(command(*IMPORT))} {file} {shlex.join(words)}"]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(text.encode())
            ours.shutdown(socket.SHUT_WR)
            done = subprocess.run(call, env=environment(), stdin=theirs.fileno(), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
    assert len(served.fake.meetings) == 2


def test_results_of_what_is_read_once_are_on_the_screen(
    served: Served, tmp_path: Path, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their links, as the help says."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.chdir(tmp_path)
    text = f"customer,endDate\na,{END}\n".encode()
    room, summary = here(*IMPORT, "-", *BY_CUSTOMER, "--journal", "j", "--field", "hostRoomUrl", stdin=text).out.split(
        "\n", 1
    )
    assert "roomKey=" in json.loads(room)["hostRoomUrl"]
    assert (summary, [path.name for path in tmp_path.iterdir()]) == ("1 row: 1 made.\n", ["j"])
    shown = " ".join(here(*IMPORT, "--help").out.split())
    assert "or on the screen, with their links, if FILE is read only once (-, a FIFO or <(...))." in shown
    assert len(served.fake.meetings) == 1


@pytest.mark.parametrize("file", ["-", "/dev/stdin", "/dev/fd/63", "fifo", "/dev/null"])
def test_what_is_read_once_needs_a_journal(served: Served, tmp_path: Path, file: str, here: Runner) -> None:
    """Which is told before anything is waited for; a dry run needs none."""
    if file == "fifo":
        os.mkfifo(file := str(tmp_path / file))
    name = "stdin" if file == "-" else file
    assert f"{name} can be read only once, and has no place for a journal" in _complaint(here(*IMPORT, file), served)


def test_dry_run_of_what_is_read_once(served: Served, tmp_path: Path, here: Runner) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    with ThreadPoolExecutor() as pool:
        pool.submit(fifo.write_text, f"endDate;\n{END};\n")
        assert here(*IMPORT, fifo, "--dry-run").rows()[0]["rows"] == 1
    assert "stdin has no rows" in here(*IMPORT, "-", "--dry-run").err
    assert "/dev/null has no rows" in here(*IMPORT, "/dev/null", "--dry-run").err
    assert served.fake.meetings == {}


@pytest.mark.parametrize(
    "words", [(*IMPORT, "-", "--journal", "run.journal"), ("webhooks", "verify", "--signature", "t=1,v1=0")]
)
def test_closed_stdin_is_told(served: Served, tmp_path: Path, words: tuple[str, ...]) -> None:
    """As `<&-` leaves it."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command(*words)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, b"whereby: stdin is closed: nothing can be read from it\n")
    assert served.fake.requests == []


@pytest.mark.parametrize(
    ("how", "content"),
    [
        ("grows", f"customer,endDate\nc0,{END}\nc1,{END}\nc2,{END}\nc3,{END}\n"),
        ("shrinks", "customer,endDate\n"),
        ("is edited", f"customer,endDate\nc0,{END}\nc2,{END}\nc1,{END}\n"),
        ("is destroyed", "\0"),
        ("is replaced", f"customer,endDate\nx,{END}\n"),
        ("vanishes", ""),
    ],
)
def test_checked_rows_are_sent_whatever_becomes_of_the_file(
    served: Served, tmp_path: Path, how: str, content: str, here: Runner
) -> None:
    """And the change is told of."""
    file, other = Path(_rooms(tmp_path, 3)), tmp_path / "other"

    def changed(_request: object) -> bool:
        changing = other if how == "is replaced" else file
        changing.write_text(content)
        if how == "is replaced":
            other.replace(file)
        elif how == "vanishes":
            file.unlink()
        return False

    served.fake.faults.add(Fault(status=500, when=changed))
    ended = here(*IMPORT, file, *BY_CUSTOMER, "--concurrency", "1")
    served.fake.faults.clear()
    told = f"whereby: {file} has changed or is gone since it was read: what was sent are the rows that were checked\n"
    assert (ended.code, ended.err) == (0, told)
    assert [(row["line"], row["key"]) for row in _rows(ended.out)] == [(2, "c0"), (3, "c1"), (4, "c2")]
    assert len(served.fake.meetings) == 3


@pytest.mark.parametrize("served", [{"latency": 0.02}], indirect=True)
def test_change_is_told_on_a_terminal(served: Served, tmp_path: Path) -> None:
    """Of a file that shrinks, and when the import is stopped too."""
    file = _rooms(tmp_path, 300)
    with OnTerminal(*IMPORT, file, *BY_CUSTOMER, "--concurrency", "2", columns=400) as terminal:
        served.until(lambda: len(served.fake.meetings) >= 4)
        Path(file).write_text("customer,endDate\n")
        ended = terminal.interrupt()
    assert ended.code == 130
    assert f"{file} has changed or is gone since it was read" in ended.out
    assert "knows what was done. Go on with:" in ended.out


def test_job_is_gone_on_with_whose_dates_are_past(served: Served, tmp_path: Path, here: Runner) -> None:
    """Rows that the journal does not know must end later."""
    words = (*IMPORT, _rooms(tmp_path, 2), *BY_CUSTOMER)
    assert here(*words).code == 0
    past = "2020-01-01T00:00:00Z"
    _csv(tmp_path, "customer,endDate", f"c0,{past}", f"c1,{past}", f"c2,{END}")
    ended = here(*words)
    assert (ended.code, _rows(ended.out, "summary")[0]["resumed"]) == (0, 2)
    _csv(tmp_path, "customer,endDate", f"c0,{past}", f"c3,{past}")
    for more in ((), ("--dry-run",)):
        ended = here(*words, *more)
        assert (ended.code, ended.out) == (2, "")
        assert "1 row can not be used, and nothing was sent:" in ended.err
        assert "line 3: end_date 2020-01-01T00:00:00+00:00 is past" in ended.err
    assert len(served.fake.meetings) == 3


@pytest.mark.usefixtures("served")
def test_on_a_terminal_results_go_to_a_file(tmp_path: Path) -> None:
    """Which only its owner reads; a second run adds nothing twice, and says how to make it all again."""
    file = _rooms(tmp_path, 3)
    words = (*IMPORT, file, *BY_CUSTOMER, "--field", "hostRoomUrl")
    ended = on_terminal(*words)
    results = Path(f"{file}.results.jsonl")
    assert ended.code == 0
    assert any(line.startswith("3 rows: 3 made. Results: ") for line in ended.lines()), ended.out
    assert "roomKey" not in ended.out
    assert stat.S_IMODE(results.stat().st_mode) == 0o600
    text = results.read_text()
    assert len(_rows(text)) == 3
    results.write_text(text + '{"torn')
    with OnTerminal(*words, columns=400) as terminal:
        ended = terminal.end()
    assert "3 rows: 0 made, 3 resumed." in ended.out
    assert "to make it again, take" in ended.out
    assert results.read_text() == text + '{"torn\n'


@pytest.mark.usefixtures("served")
def test_quiet_import_says_its_result_only(tmp_path: Path) -> None:
    """On a terminal: no bar, not even one that is painted over; and the end of a list is not told either."""
    ended = on_terminal(*IMPORT, _rooms(tmp_path, 2), *BY_CUSTOMER, "--quiet")
    assert (ended.code, ended.out.count("\n")) == (0, len(ended.lines()) - 1)
    assert ended.lines()[0].startswith("2 rows: 2 made.")
    assert "\x1b" not in ended.out
    listed = on_terminal("-q", "meetings", "list", "--max-items", "1")
    assert listed.code == 0
    assert "1 row" not in listed.out
    refused = on_terminal("-q", "meetings", "get", "nothing")
    assert (refused.code, refused.lines()[0].startswith("whereby: meetings.get: 404")) == (1, True)


def test_quiet_import_has_no_hints(
    served: Served, tmp_path: Path, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How to try failed rows again, to make all again, to read links or to make rooms that are gone."""
    file = _rooms(tmp_path, 2)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    served.fake.faults.add(Fault(status=422))
    for more, counts, hint in (
        (("--concurrency", "1"), "1 made, 1 failed", "again with --retry-failed"),
        (("--retry-failed", "--output", tmp_path / "new"), "1 made, 1 resumed", "--refetch reads"),
        ((), "0 made, 2 resumed", "to make it again, take"),
        (("--refetch",), "0 made, 2 failed", "no longer there; a new --journal"),
    ):
        if "--refetch" in more:
            served.fake.meetings.clear()
        quiet = here(*IMPORT, file, *BY_CUSTOMER, "-q", *more)
        last = quiet.out.splitlines()[-1]
        assert last.startswith(f"2 rows: {counts}. Results: {tmp_path}")
        assert last.endswith(("rooms.csv.results.jsonl.", "new."))
        assert hint not in quiet.out
    assert hint in here(*IMPORT, file, *BY_CUSTOMER, *more).out


def test_output_goes_where_it_is_asked_for(served: Served, tmp_path: Path, here: Runner) -> None:
    """In a pipe too; stdout has the summary, and what failed."""
    output = tmp_path / "out.jsonl"
    served.fake.faults.add(Fault(status=422))
    ended = here(*IMPORT, _rooms(tmp_path, 2), *BY_CUSTOMER, "--output", output)
    assert ended.code == 1
    assert [row["event"] for row in ended.rows()] == ["room", "summary"]
    assert len(_rows(output.read_text())) == 2


@pytest.mark.parametrize("served", [{"latency": 0.05}], indirect=True)
def test_ctrl_c_leaves_a_journal_and_says_how_to_go_on(served: Served, tmp_path: Path, here: Runner) -> None:
    """The very command line; run again it makes the rest, and none twice."""
    file = _rooms(tmp_path, 60)
    words = (*IMPORT, file, *BY_CUSTOMER, "--concurrency", "4", "--timeout", "1")
    with OnTerminal(*words, columns=200) as terminal:
        terminal.until("of 60")
        served.until(lambda: len(served.fake.meetings) >= 8)
        ended = terminal.interrupt()
    made = len(served.fake.meetings)
    assert ended.code == 130
    assert 8 <= made < 60
    assert f"interrupted; {file}.journal knows what was done. Go on with:" in ended.out
    assert f"whereby {shlex.join(words)}" in ended.out
    assert "Traceback" not in ended.out
    again = here(*words)
    assert (again.code, again.err) == (0, "")
    assert len(served.fake.meetings) == 60
    assert _rows(again.out, "summary")[0]["resumed"] >= made - 4


@pytest.mark.parametrize("served", [{"latency": 0.03}], indirect=True)
def test_kill_is_survived_too(served: Served, tmp_path: Path, here: Runner) -> None:
    words = (*IMPORT, _rooms(tmp_path, 40), *BY_CUSTOMER, "--concurrency", "4", "--timeout", "0.5")
    with subprocess.Popen(command(*words), env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.kill()
    again = here(*words)
    assert again.code == 0
    assert len(served.fake.meetings) == 40
    assert len({row["meetingId"] for row in _rows(again.out)}) == 40


@pytest.mark.parametrize("link", ["none", "hard", "symbolic", "dangling"])
def test_results_and_journal_are_two_files(served: Served, tmp_path: Path, link: str, here: Runner) -> None:
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
        err = _complaint(here(*IMPORT, file, "--output", output, *more), served)
        assert "the journal and the results" in err
        assert "are one file" in err
    assert not journal.exists() or journal.read_bytes() == b""


@pytest.mark.parametrize("option", ["--output", "--journal"])
def test_rows_are_never_written_over(served: Served, tmp_path: Path, option: str, here: Runner) -> None:
    file = _rooms(tmp_path, 1)
    text = Path(file).read_text()
    (tmp_path / "link").hardlink_to(file)
    for target in (file, tmp_path / "link"):
        assert "the rows and the " in _complaint(here(*IMPORT, file, option, target), served)
    assert Path(file).read_text() == text


def test_redirected_streams_are_files_too(served: Served, tmp_path: Path) -> None:
    """Stdout into the journal, and results into what comes in by stdin."""
    file, journal = tmp_path / "rooms.jsonl", tmp_path / "j"
    file.write_text(f'{{"end_date": "{END}"}}\n')
    with journal.open("wb") as out, file.open("rb") as rows:
        into_journal = subprocess.run(
            command(*IMPORT, str(file), "--journal", str(journal)),
            env=environment(),
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
        into_rows = subprocess.run(
            command(*IMPORT, "-", "--output", str(file)),
            env=environment(),
            stdin=rows,
            capture_output=True,
            check=False,
        )
    assert (into_journal.returncode, journal.read_bytes(), into_rows.returncode) == (2, b"", 2)
    assert b"the journal and stdout are one file" in into_journal.stderr
    assert b"the rows and the results" in into_rows.stderr
    assert served.fake.requests == []


@pytest.mark.parametrize("output", ["/dev/full", "/dev/zero", "/dev/stdout", "/dev/fd/1", "/dev", "-", "fifo"])
def test_results_go_to_plain_files_only(served: Served, tmp_path: Path, output: str, here: Runner) -> None:
    if output == "fifo":
        output = str(tmp_path / output)
        os.mkfifo(output)
    err = _complaint(here(*IMPORT, _rooms(tmp_path, 1), "--output", output), served)
    assert f"--output {output} is no plain file: " in err
    with pytest.raises(UsageError, match="no plain file"):
        check_status("--output", output, Path("/dev").stat())


def test_results_may_go_nowhere(served: Served, tmp_path: Path, here: Runner) -> None:
    """The null device takes them; a file of results that is no UTF-8 is no fault."""
    words = (*IMPORT, _rooms(tmp_path, 1), *BY_CUSTOMER, "--output")
    assert here(*words, "/dev/null").code == 0
    output = tmp_path / "out"
    output.write_bytes(b"\xff\n")
    assert here(*words, output).code == 0
    assert len(output.read_bytes().splitlines()) == 2
    assert len(served.fake.meetings) == 1


def _first(served: Served, place: Path, here: Runner, *more: object) -> tuple[tuple[object, ...], Path]:
    """Import three rows into a file; the command line and the file."""
    output = place / "out.jsonl"
    words = (*IMPORT, _rooms(place, 3), *BY_CUSTOMER, "--output", output)
    assert here(*words, *more).code == 0
    assert len(served.fake.meetings) == 3
    return words, output


def _held(output: Path) -> dict[str, dict[str, Any]]:
    """The rows of a file of results, of which there is one for each key."""
    rows = _rows(output.read_text())
    held = {row["key"]: row for row in rows}
    assert len(held) == len(rows)
    return held


def test_what_refetch_pays_for_is_in_the_results(served: Served, tmp_path: Path, here: Runner) -> None:
    words, output = _first(served, tmp_path, here)
    assert not any(row.get("hostRoomUrl") for row in _held(output).values())
    assert here(*words, "--field", "hostRoomUrl", "--refetch").code == 0
    assert [request.operation for request in served.fake.requests].count("meetings.get") == 3
    assert all("roomKey=" in row["hostRoomUrl"] for row in _held(output).values())
    for more in ((), ("--refetch",)):  # what is known stays known, and the same again is nothing new
        before = output.read_bytes(), output.stat().st_ino
        assert here(*words, *more).code == 0
        assert (output.read_bytes(), output.stat().st_ino) == before


def test_what_refetch_pays_for_is_in_the_results_of_a_terminal(served: Served, tmp_path: Path) -> None:
    words = (*IMPORT, _rooms(tmp_path, 2), *BY_CUSTOMER)
    results = tmp_path / "rooms.csv.results.jsonl"
    assert on_terminal(*words).code == 0
    for meeting in served.fake.meetings.values():
        meeting["endDate"] = "2098-01-01T00:00:00.000Z"
    assert on_terminal(*words, "--refetch").code == 0
    assert {row["endDate"][:4] for row in _held(results).values()} == {"2098"}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_results_speak_of_the_rooms_that_the_journal_knows(
    served: Served, tmp_path: Path, here: Runner, *, elsewhere: bool
) -> None:
    """Rooms that were deleted, and made again by a new journal, in a run into this file or into a pipe."""
    words, output = _first(served, tmp_path, here)
    gone = {row["meetingId"] for row in _held(output).values()}
    served.fake.meetings.clear()
    (tmp_path / "rooms.csv.journal").unlink()
    if elsewhere:
        assert here(*words[:-2]).code == 0
    ended = here(*words)
    assert ended.code == 0
    assert {row["meetingId"] for row in _held(output).values()} == served.fake.meetings.keys()
    assert {row["meetingId"] for row in _held(tmp_path / "out.jsonl.old").values()} == gone
    assert f"3 rows of rooms that their keys do not stand for any more went from {output} to {output}.old" in ended.err
    assert here(*words).err == ""


@pytest.mark.parametrize(("status", "state"), [(404, "failed"), (403, "ok")])
def test_room_that_can_not_be_read_again(served: Served, tmp_path: Path, here: Runner, status: int, state: str) -> None:
    """That it is gone is the last word of it; another failure says nothing of it, and its link stays."""
    words, output = _first(served, tmp_path, here, "--field", "hostRoomUrl")
    served.fake.faults.add(Fault(operation="meetings.get", status=status))
    ended = here(*words, "--refetch", "--concurrency", "1")
    assert ended.code == 1
    assert [row["state"] for row in _rows(ended.out)] == ["failed"]
    held = _held(output)
    assert [row["state"] for row in held.values()].count(state) in {1, 3}
    assert sum("hostRoomUrl" in row for row in held.values()) == (3 if state == "ok" else 2)


@pytest.mark.parametrize("keyed", [True, False])
def test_rooms_that_are_gone_are_told(
    served: Served, tmp_path: Path, here: Runner, monkeypatch: pytest.MonkeyPatch, *, keyed: bool
) -> None:
    """With what makes them again; and what tells rows apart is advised to those who do not do so yet."""
    output = tmp_path / "out.jsonl"
    by = BY_CUSTOMER if keyed else ("--ignore", "customer")
    words = (*IMPORT, _rooms(tmp_path, 3), *by, "--output", output)
    assert here(*words).code == 0
    served.fake.meetings.popitem()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ended = here(*words, "--refetch")
    again = "a new --journal makes all rooms again" + ", and another key for a row makes its own" * keyed
    moved = f"1 row of rooms that are no longer there went from {output} to {output}.old; {again}"
    assert (ended.code, ended.err) == (1, f"whereby: {moved}\n")
    assert f" 1 room of earlier runs no longer there; {again}." in ended.out
    assert "--retry-failed" not in ended.out
    assert here(*words, "--journal", tmp_path / "new").err == (
        f"whereby: 2 rows of rooms that their keys do not stand for any more went from {output} to {output}.old; if"
        f" those are wanted too, {'' if keyed else 'tell rows apart by --key, or '}name another --output\n"
    )


def test_results_without_links_are_told(served: Served, tmp_path: Path, here: Runner) -> None:
    """After a run whose results had no space, those of the journal have ids only: what reads the rest is said."""
    words, output = _first(served, tmp_path, here)
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(lines[0] + lines[1][:40])
    (summary,) = _rows(here(*words).out, "summary")
    assert (summary["resumed"], summary["bare"]) == (3, 2)
    shown = " ".join(on_terminal(*map(str, words)).lines())
    assert "2 results without links: --refetch reads them, for 1 point a row." in shown
    assert [_rows(here(*words, *more).out, "summary")[0]["bare"] for more in (("--refetch",), ())] == [0, 0]
    assert all(row["roomUrl"] for row in _held(output).values())


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_results_that_are_gone_at_the_end_are_told(served: Served, tmp_path: Path, here: Runner, how: str) -> None:
    """And what stands in their place now is not touched."""
    output = tmp_path / "out.jsonl"

    def lost(_request: object) -> bool:
        if not (tmp_path / "gone").exists():
            output.rename(tmp_path / "gone")
            if how == "replaced":
                output.write_text("mine")
        return False

    served.fake.faults.add(Fault(status=500, when=lost))
    words = (*IMPORT, _rooms(tmp_path, 3), *BY_CUSTOMER, "--output", output)
    ended = here(*words)
    served.fake.faults.clear()
    assert ended.code == 2
    assert ended.err == (
        f"whereby: {output} was deleted, moved or replaced while this ran: have its rows written again by --refetch\n"
    )
    assert output.exists() == (how == "replaced")
    if how == "replaced":
        assert output.read_text() == "mine"
    elif how == "moved":
        (tmp_path / "gone").replace(output)
    assert here(*words, "--refetch").code == 0
    assert {row["key"] for row in _rows(output.read_text().removeprefix("mine\n"))} == {"c0", "c1", "c2"}
    assert len(served.fake.meetings) == 3


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_journal_that_is_gone_ends_the_import(served: Served, tmp_path: Path, here: Runner, how: str) -> None:
    """Or the next run would make all rooms again; one that is put back is gone on with, after the time of a call."""
    journal, elsewhere = tmp_path / "rooms.csv.journal", tmp_path / "elsewhere"

    def lost(_request: object) -> bool:
        if not elsewhere.exists():
            journal.rename(elsewhere)
        return False

    served.fake.faults.add(Fault(status=500, when=lost))
    words = (*IMPORT, _rooms(tmp_path, 3), *BY_CUSTOMER, "--concurrency", "1", "--timeout", "0.5")
    ended = here(*words)
    served.fake.faults.clear()
    assert ended.code == 2
    assert f"--journal '{journal}' can not be written: it was deleted or moved" in ended.err
    assert len(served.fake.meetings) == 1
    if how == "moved":
        elsewhere.rename(journal)
        assert here(*words).code == 0
        assert len(served.fake.meetings) == 3


def test_last_word_of_a_row_is_its_only_one(served: Served, tmp_path: Path, here: Runner) -> None:
    """A row that failed, failed again and was then made."""
    output = tmp_path / "out.jsonl"
    words = (*IMPORT, _rooms(tmp_path, 2), *BY_CUSTOMER, "--output", output, "--concurrency", "1")
    served.fake.faults.add(Fault(status=422))
    assert [here(*words).code for _ in range(3)] == [1, 1, 1]
    assert _held(output)["c0"]["state"] == "failed"
    assert here(*words, "--retry-failed").code == 0
    assert {row["state"] for row in _held(output).values()} == {"ok"}
    assert not (tmp_path / "out.jsonl.old").exists()


def test_kill_in_the_middle_of_refetch_loses_nothing(served: Served, tmp_path: Path, here: Runner) -> None:
    words, output = _first(served, tmp_path, here, "--field", "hostRoomUrl")
    for meeting in served.fake.meetings.values():
        meeting["endDate"] = "2098-01-01T00:00:00.000Z"
    served.fake.faults.add(Fault(operation="meetings.get", delay=60.0, skip=2))
    again = [str(word) for word in (*words, "--refetch", "--concurrency", "1")]
    with subprocess.Popen(command(*again), env=environment(), stdout=subprocess.PIPE) as process:
        served.until(lambda: len(_rows(output.read_text())) == 5)
        process.kill()
    rows = {row["key"]: row for row in _rows(output.read_text())}
    assert sorted(row["endDate"][:4] for row in rows.values()) == ["2098", "2098", "2099"]
    assert all("roomKey=" in row["hostRoomUrl"] for row in _rows(output.read_text()))
    assert here(*words).code == 0
    assert {key: row["endDate"] for key, row in _held(output).items()} == {k: r["endDate"] for k, r in rows.items()}


def _row(key: str, room: str | None, **more: object) -> dict[str, Any]:
    return {"key": key, "state": "ok" if room else "failed", "resumed": False, "meetingId": room, **more}


def _write(path: Path, *rows: dict[str, Any], lock: bool = True) -> list[str]:
    """Write rows to a file of results; its lines."""
    with ResultFile(str(path), Output(as_json=False), lock=lock) as results:
        for row in rows:
            results.write(row, "")
    return path.read_text().splitlines()


def test_result_file_keeps_what_is_there(tmp_path: Path) -> None:
    """Done rows are not repeated, failed ones count anew, foreign lines are left alone, a torn one among them."""
    path = tmp_path / "results.jsonl"
    foreign = ["noise", "", "[" * 9999, '{"key": 1, "state": "ok"}', '{"key": "a"}', "[1]", '{"torn']
    path.write_text("\n".join([json.dumps(_row("a", "1")), json.dumps(_row("b", None)), *foreign]))
    written = _write(path, _row("a", "1"), _row("b", None, line=2), _row("c", "3"))
    assert written[1:8] == foreign
    assert [json.loads(line)["key"] for line in (written[0], *written[8:])] == ["a", "b", "c"]
    assert [json.loads(line).get("line") for line in written[8:]] == [2, None]


@pytest.mark.parametrize("length", [1, 5, 17, 18, 60, -2])
def test_row_that_had_no_space_is_cut(tmp_path: Path, length: int) -> None:
    """Its beginning is that of ours; the same row whole is kept."""
    path = tmp_path / "results.jsonl"
    rows = [json.dumps({"event": "room", "line": number, **_row("a" * number, "1")}) for number in (2, 3)]
    path.write_text(f"{rows[0]}\n{rows[1][:length]}")
    assert _write(path) == rows[:1]
    path.write_text("\n".join(rows))
    assert _write(path) == rows


def test_result_file_is_put_in_order(tmp_path: Path) -> None:
    """After a run that was killed; behind a link, with the mode that it has, and nothing else left in the folder."""
    path, link = tmp_path / "results.jsonl", tmp_path / "link"
    rows = [_row("a", "1", hostRoomUrl="x"), _row("b", "2"), _row("a", None), _row("a", "1", hostRoomUrl="y")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.chmod(0o640)
    link.symlink_to(path)
    assert [json.loads(line) for line in _write(link)] == [rows[1], rows[3]]
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(tmp_path.iterdir()) == [link, path]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_result_file_that_can_not_be_put_in_order_keeps_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, call, refused)
    path = tmp_path / "results.jsonl"
    _write(path, _row("a", "1"))
    assert len(_write(path, _row("a", "1", line=2))) == 2
    assert "(Invalid argument): of rows with the same key the last one counts" in caplog.text
    assert list(tmp_path.iterdir()) == [path]


def test_result_file_is_written_by_one_import_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with ResultFile(str(path), Output(as_json=False)):
        with pytest.raises(UsageError, match="another import is writing into it"):
            _write(path)
        assert _write(path, _row("a", "1"), lock=False)
    assert len(_write(path, _row("b", "2"))) == 2
