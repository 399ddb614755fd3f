"""`whereby insights export`: every row once, in files or a pipe, also after it was stopped."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import stat
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import OnTerminal, command, environment, on_terminal, run

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


def _csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file, strict=True))


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
    """What a guest calls himself is nothing that a spreadsheet computes; `--raw` leaves it as it is."""
    session = served.fake.add_session("/x", participants=["=HYPERLINK(1)", 'Ada, the "first"\nof all'])
    served.fake.participants[session["roomSessionId"]][1]["tags"] = ["a", "b"]
    assert here(*EXPORT, tmp_path, "--format", "csv").code == 0
    mallory, ada = _csv_rows(tmp_path / "participants.csv")
    assert mallory["displayName"] == "'=HYPERLINK(1)"
    assert ada["displayName"] == 'Ada, the "first"\nof all'
    assert json.loads(ada["tags"]) == ["a", "b"]
    assert (ada["roomName"], ada["rating"]) == ("/x", "")
    assert here(*EXPORT, tmp_path / "raw", "--format", "csv", "--raw").code == 0
    assert _csv_rows(tmp_path / "raw" / "participants.csv")[0]["displayName"] == "=HYPERLINK(1)"


UNSEEN = [
    *("\n", "\t", "\r\n", " ", "\0", "\x1f", "\x85", "\u2028"),
    *("\u00a0", "\u202f", "\u3000"),  # no-break and ideographic blanks
    *("\u200b", "\u200e", "\u202e", "\u2060", "\ufeff", "\u00ad", "\ufe0f", "\u034f", "\U000e0020"),  # no width
    *("\u2800", "\u3164", "\u115f"),  # symbols and letters that are blank
]
SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻₌−"
COMPUTED = [
    *(f"{sign}1" for sign in SIGNS),
    *(f"{unseen}=1" for unseen in UNSEEN),
    *("".join(UNSEEN) + sign for sign in SIGNS),
    *("=\u0338", "\tAda", "\rAda", "\nAda", "\0Ada", "'=1", "''=1", "'", "'t Hooft"),
]
HARMLESS = ["Ada", " Ada", "Ada =1", "a\n=1", ";=1", "1-1", ":-)", "(-1)", "|x", "%x", "李雷", "–", "\u00a0", ""]


@pytest.mark.parametrize("column", ["displayName", "comment", "externalId"])
@pytest.mark.parametrize("raw", [False, True])
def test_texts_of_guests_compute_nothing(tmp_path: Path, column: str, raw: bool) -> None:
    """One ' less gives the text again, whatever it was; other columns stay as they are."""
    columns = {"participants": [column, "participantId", "rating"]}
    texts = [*COMPUTED, *HARMLESS]
    with ExportFiles(tmp_path, {}, columns, is_csv=True, raw=raw) as files:
        files.add("/x", {"participants": [{column: text, "participantId": "-1", "rating": -1} for text in texts]})
    rows = _csv_rows(tmp_path / "participants.csv")
    assert [row[column] for row in rows] == [text if raw else f"'{text}" for text in COMPUTED] + HARMLESS
    assert [row[column] if raw else row[column].removeprefix("'") for row in rows] == texts
    assert {(row["participantId"], row["rating"]) for row in rows} == {("-1", "-1")}


def test_each_kind_of_value_has_one_form_in_a_csv(tmp_path: Path) -> None:
    """Text is in quotes, so that no reader finds the end of a cell or a row in it, and "" is not what is missing."""
    values = [None, "", "a", 'say "a"', "a;b\tc|d", "a\r=1", "a\n=1", 0, -1.5, True, False, ["ä", 1], {"a": None}]
    names = [f"c{number}" for number in range(len(values))]
    with ExportFiles(tmp_path, {}, {"rooms": names}, is_csv=True) as files:
        files.add("/x", {"rooms": [dict(zip(names, values, strict=True))]})
    head, row = (tmp_path / "rooms.csv").read_bytes().decode().split("\n", 1)
    assert head == ",".join(names)
    assert row == (',"","a","say ""a""","a;b\tc|d","a\r=1","a\n=1",0,-1.5,true,false,"[""ä"", 1]","{""a"": null}"\n')
    assert [len(each) for each in csv.reader((head + "\n" + row).splitlines(keepends=True))] == [len(names)] * 2


DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_dates_have_one_form(served: Served, tmp_path: Path, here: Runner) -> None:
    """However the service writes them: with it pandas and duckdb take their columns for dates."""
    written = ["2026-11-01T10:00:00+02:00", "2026-11-01T08:00:00Z", "2026-11-01T08:00:00.1234567Z", "1793520000000"]
    for number, date in enumerate(written):
        session = served.fake.add_session(f"/{number}", participants=1)
        served.fake.sessions[session["roomSessionId"]] |= {"startedAt": date, "endedAt": date}
        served.fake.participants[session["roomSessionId"]][0] |= {"joinedAt": date, "leftAt": date}
        recording = served.fake.add_recording(room_name=f"/{number}")
        served.fake.recordings[recording["recordingId"]] |= {"startDate": date, "endDate": date}
    assert here(*EXPORT, tmp_path, "--depth", "participants").code == 0
    assert here(*EXPORT, tmp_path / "csv", "--format", "csv").code == 0
    rows: list[dict[str, Any]] = here("recordings", "list", "--json").rows()
    for kind in ("sessions", "participants"):
        rows += _lines(tmp_path / f"{kind}.jsonl") + _csv_rows(tmp_path / "csv" / f"{kind}.csv")
    dates = [value for row in rows for name, value in row.items() if name.endswith(("At", "Date"))]
    assert len(dates) == 2 * 5 * len(written)
    assert [date for date in dates if not DATE.fullmatch(date)] == []
    assert {date[:19] for date in dates} == {"2026-11-01T08:00:00"}


def test_bom_and_head_stand_once_in_an_export_that_is_resumed(served: Served, tmp_path: Path, here: Runner) -> None:
    _fill(served)
    served.fake.faults.add(Fault(status=403, operation="insights.participants"))
    words = (*EXPORT, tmp_path, "--format", "csv", "--bom")
    assert [here(*words).code, here(*words).code] == [1, 0]
    for kind, count in (("rooms", 3), ("sessions", 6), ("participants", 12)):
        content = (tmp_path / f"{kind}.csv").read_bytes()
        assert content.startswith(b"\xef\xbb\xbfroom")
        assert (content.count(b"\xef\xbb\xbf"), content.count(b"roomName")) == (1, 1)
        assert content.count(b"\n") == count + 1


@pytest.mark.parametrize(("depth", "kinds"), [("rooms", {"room"}), ("sessions", {"room", "session"})])
def test_pipe_gets_rows_down_to_the_depth(served: Served, depth: str, kinds: set[str], here: Runner) -> None:
    """Each with its kind, nothing else, and no more calls than that."""
    _fill(served)
    ended = here(*EXPORT, "--depth", depth, "--name-starts-with", "room-1", "--created-from=-1d")
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


NOVEMBER = ("--from", "2026-11-01T00:00:00+01:00", "--to", "2026-11-30T23:00:00Z")
STARTS = {
    "first": "2026-10-31T23:00:00.000Z",
    "within": "2026-11-15T12:00:00Z",
    "other offset": "2026-12-01T00:59:59+02:00",
    "too early": "2026-10-31T22:59:59.999Z",
    "too late": "2026-11-30T23:00:00Z",
    "none": "",
    "no date": "Invalid date",
    "not believed": "0001-01-01T00:00:00Z",
}
MEANT = {"first", "within", "other offset"}


def _fill_season(served: Served) -> None:
    """A session in each room `/NAME` that begins as `STARTS` says, all of them in `/all`, and `/empty` without any."""
    for name, start in STARTS.items():
        for room in (f"/{name}", "/all"):
            session = served.fake.add_session(room, participants=[name])
            served.fake.sessions[session["roomSessionId"]]["startedAt"] = start
    served.fake.see_room("/empty")


def test_sessions_of_a_season(served: Served, tmp_path: Path, here: Runner) -> None:
    """From the first moment on and before the last one; rooms without such a session, and its guests, are left out."""
    _fill_season(served)
    ended = here(*EXPORT, tmp_path, *NOVEMBER)
    assert ended.code == 0
    *told, summary = ended.rows()
    assert {row["roomName"]: row["sessions"] for row in told} == {
        "/all": 3,
        "/none": 1,
        "/no date": 1,
        "/not believed": 1,
    }
    assert {row["event"] for row in told} == {"unreadable"}
    assert (summary["rooms"], summary["sessions"], summary["participants"], summary["unreadable"]) == (4, 6, 6, 6)
    rooms, sessions, people = (_lines(tmp_path / f"{kind}.jsonl") for kind in ("rooms", "sessions", "participants"))
    assert {row["roomName"] for row in rooms} == {"/all", *(f"/{name}" for name in MEANT)}
    assert sorted(row["displayName"] for row in people) == sorted([*MEANT, *MEANT])
    assert {row["roomSessionId"] for row in people} == {row["roomSessionId"] for row in sessions}
    asked = [request.operation for request in served.fake.requests]
    assert (asked.count("insights.room_sessions"), asked.count("insights.participants")) == (10, 6)


@pytest.mark.parametrize(
    ("words", "rooms"),
    [
        (NOVEMBER[:2], {"/all", "/too late", *(f"/{name}" for name in MEANT)}),
        (NOVEMBER[2:], {"/all", "/too early", *(f"/{name}" for name in MEANT)}),
        ((*NOVEMBER, "--name-starts-with", "/too"), set[str]()),
        (("--from=-7d", "--to=+0d", "--created-to=-1d"), set[str]()),
    ],
)
def test_interval_may_be_open_and_of_rooms_only(
    served: Served, words: tuple[str, ...], rooms: set[str], here: Runner
) -> None:
    """Into a pipe, where moments may be from now."""
    _fill_season(served)
    rows = here(*EXPORT, "--depth", "rooms", *words).rows()
    assert {row["roomName"] for row in rows if row.get("kind") == "room"} == rooms


def test_a_season_as_a_process_in_a_pipe_and_on_a_terminal(served: Served, tmp_path: Path) -> None:
    _fill_season(served)
    piped = run(*EXPORT, "--depth", "sessions", *NOVEMBER)
    assert piped.code == 0
    kinds = Counter(row.get("kind") or row["event"] for row in piped.rows())
    assert kinds == {"room": 4, "session": 6, "unreadable": 4}
    shown = on_terminal(*EXPORT, str(tmp_path), *NOVEMBER, "--format", "csv", "--bom")
    assert shown.code == 0
    text = " ".join(shown.lines())
    assert "/none: 1 session passed over without a readable start" in text
    assert "4 rooms, 6 sessions, 6 participants; 6 sessions passed over without a readable start." in text
    assert len(_csv_rows(tmp_path / "sessions.csv")) == 6


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    "other",
    [
        (),
        NOVEMBER[2:],
        ("--from", "2026-11-02T00:00:00Z", *NOVEMBER[2:]),
        (*NOVEMBER[:3], "2026-12-02T00:00:00Z"),
        (*NOVEMBER, "--bom"),
        (*NOVEMBER, "--raw"),
    ],
)
def test_another_interval_or_form_is_another_export(tmp_path: Path, other: tuple[str, ...], here: Runner) -> None:
    words = (*EXPORT, tmp_path, "--format", "csv")
    assert here(*words, *NOVEMBER).code == 0
    ended = here(*words, *other)
    assert (ended.code, "holds another export" in ended.err) == (2, True)
    assert here(*words, *NOVEMBER).code == 0


def test_export_from_before_there_were_intervals_is_resumed(served: Served, tmp_path: Path, here: Runner) -> None:
    plan = {"format": "jsonl", "depth": "rooms", "name_starts_with": None, "created_from": None, "created_to": None}
    state = {"export": {"api": served.fake.url, **plan}, "ends": {"rooms": 0}}
    (tmp_path / "export.state").write_text(json.dumps(state) + "\n")
    assert here(*EXPORT, tmp_path, "--depth", "rooms").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--bom",), "--bom is for a CSV: pass --format csv"),
        (("--raw", "--format", "jsonl"), "--raw is for a CSV: pass --format csv"),
        (("--from", "2026-11-01"), "--from 2026-11-01 names no time zone: write 2026-11-01T00:00:00Z"),
        (("--to", "2026-11-01T00:00:00"), "--to 2026-11-01T00:00:00 names no time zone"),
        (("--to", "tomorrow"), "--to 'tomorrow' is no date"),
        (("--from=-7d",), "--from '-7d' is no date that stays the same when this is run again"),
        (("--created-from=-7d",), "--created-from '-7d' is no date that stays the same when this is run again"),
        (("--from", NOVEMBER[3], "--to", NOVEMBER[1]), f"--from {NOVEMBER[3]} is not before --to {NOVEMBER[1]}"),
        (("--from", "2026-11-01T01:00:00+01:00", "--to", "2026-11-01T00:00:00Z"), "is not before --to"),
    ],
)
def test_wrong_intervals_and_forms(
    served: Served, tmp_path: Path, words: tuple[str, ...], told: str, here: Runner
) -> None:
    ended = here(*EXPORT, tmp_path / "out", *words)
    assert ended.code == 2
    assert told in ended.err
    assert not (tmp_path / "out").exists()
    assert served.fake.requests == []


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


@pytest.mark.parametrize("state", [None, b"", b'{"export": {}, "ends": {"ro'])
@pytest.mark.parametrize("kind", ["rooms", "participants"])
def test_files_of_no_export_are_not_touched(
    served: Served, tmp_path: Path, here: Runner, kind: str, state: bytes | None
) -> None:
    """Those of the user, and those of an export whose `export.state` was lost, is empty or without a line's end."""
    mine = tmp_path / f"{kind}.csv"
    mine.write_bytes(b"name,phone\n")
    if state is not None:
        (tmp_path / "export.state").write_bytes(state)
    ended = here(*EXPORT, tmp_path, "--format", "csv")
    assert ended.code == 2
    assert ended.err == f"whereby: {mine} is there already, and is of no export: export into another directory\n"
    assert mine.read_bytes() == b"name,phone\n"
    assert {file.name for file in tmp_path.iterdir()} == {mine.name, "export.state"}
    assert served.fake.requests == []


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_finished_export_that_was_edited_is_not_cut(served: Served, tmp_path: Path, here: Runner, format_: str) -> None:
    _fill(served)
    words = (*EXPORT, tmp_path, "--format", format_)
    assert [here(*words).code, here(*words).code] == [0, 0]
    edited = tmp_path / f"sessions.{format_}"
    edited.write_bytes(edited.read_bytes().replace(b"\n", b" mine\n"))
    before = edited.read_bytes()
    ended = here(*words)
    assert ended.code == 2
    assert f"{edited} was changed since the export was finished: export into another directory" in ended.err
    assert edited.read_bytes() == before


@pytest.mark.parametrize("name", ["rooms.jsonl", "export.state"])
@pytest.mark.parametrize("is_there", [False, True])
def test_export_follows_no_link(served: Served, tmp_path: Path, here: Runner, name: str, is_there: bool) -> None:
    out, theirs = tmp_path / "out", tmp_path / "theirs"
    out.mkdir()
    if is_there:
        theirs.write_bytes(b"")
    (out / name).symlink_to(theirs)
    ended = here(*EXPORT, out)
    assert (ended.code, f"{out / name} is a symbolic link, which is not followed" in ended.err) == (2, True)
    assert (theirs.exists(), served.fake.requests) == (is_there, [])


def test_export_that_was_killed_before_its_first_line_is_gone_on_with(
    served: Served, tmp_path: Path, here: Runner
) -> None:
    """Its files are made by then, and empty; heads are written behind that line, and known for its own."""
    _fill(served)
    words = (*EXPORT, tmp_path, "--format", "csv")
    for kind in ("rooms", "sessions", "participants"):
        (tmp_path / f"{kind}.csv").write_bytes(b"")
    (tmp_path / "export.state").write_bytes(b'{"export": {"api"')
    served.fake.faults.add(Fault(status=403, operation="insights.rooms"))
    assert here(*words).code == 1
    assert (tmp_path / "rooms.csv").read_bytes().startswith(b"room")
    assert here(*words).code == 0
    assert [len(_csv_rows(tmp_path / f"{kind}.csv")) for kind in ("rooms", "sessions", "participants")] == [3, 6, 12]


@pytest.mark.parametrize("name", ["rooms.jsonl", "participants.jsonl", "export.state"])
@pytest.mark.parametrize("how", ["moved", "replaced"])
def test_file_that_is_gone_ends_the_export(served: Served, tmp_path: Path, here: Runner, name: str, how: str) -> None:
    """Or rows would go where nobody looks for them."""
    gone, elsewhere = tmp_path / name, tmp_path / "elsewhere"

    def lost(_request: object) -> bool:
        if not elsewhere.exists():
            gone.rename(elsewhere)
            if how == "replaced":
                gone.write_text("mine")
        return False

    _fill(served, rooms=1)
    served.fake.faults.add(Fault(status=500, operation="insights.participants", when=lost))
    ended = here(*EXPORT, tmp_path)
    served.fake.faults.clear()
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"whereby: {gone}: was deleted, moved or replaced while this ran\n"
    assert gone.exists() == (how == "replaced")
    if how == "moved":
        elsewhere.replace(gone)
        assert here(*EXPORT, tmp_path).code == 0
        assert [len(_lines(tmp_path / f"{kind}.jsonl")) for kind in ("rooms", "sessions", "participants")] == [1, 2, 4]


@pytest.mark.parametrize(("directory", "told"), [("", "DIRECTORY is empty"), ("-", "DIRECTORY is a hyphen")])
def test_export_goes_into_a_directory_with_a_name(  # noqa: PLR0917 - pytest passes them by name
    served: Served, tmp_path: Path, here: Runner, monkeypatch: pytest.MonkeyPatch, directory: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = here(*EXPORT, directory)
    assert (ended.code, told in ended.err) == (2, True)
    assert (list(tmp_path.iterdir()), served.fake.requests) == ([], [])


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
