"""What is printed: JSON lines in a pipe, words, tables and records on a terminal, and numbers in words."""

from __future__ import annotations

import io
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import OnTerminal, command, environment, on_terminal

from whereby_async import APITimeoutError, NotFoundError
from whereby_async.cli import main
from whereby_async.cli.demo import CallRow
from whereby_async.cli.errors import UsageError, printable, report_error
from whereby_async.cli.output import Output, counted, duration, size
from whereby_async.cli.sandbox import show_request
from whereby_async.cli.terminal import Table, Terminal
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from pathlib import Path

    from support.processes import Runner
    from support.serving import Served

    from whereby_async.testing import RecordedRequest

ROW = {
    "recordingId": "b1f0c1a2-6f6c-4c55-9f0e-0a9d7c3f5e21",
    "roomName": "/a-room-with-a-rather-long-name-indeed",
    "startDate": "2026-11-20T10:57:25.767Z",
    "sizeInMegaBytes": 120.0,
    "endDate": None,
}
COLUMNS = "recordingId roomName startDate sizeInMegaBytes endDate"


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Output:
    """An output on a terminal without colours."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("LINES", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    return Output(as_json=False)


def _call(*, status: int = 200, remaining: int | None = 97, waited: float = 0.0, note: str = "") -> CallRow:
    return CallRow(
        operation="meetings.get", status=status, points=1, remaining=remaining, ms=12.34, waited=waited, note=note
    )


@pytest.mark.parametrize(
    ("call", "end"),
    [
        (_call(note="3 rows"), " 97  12.3  3 rows"),
        (_call(remaining=None), " -  12.3"),
        (_call(waited=1.25, note="3 rows"), "waited 1.2 s; 3 rows"),
        (_call(waited=1.25), "waited 1.2 s"),
        (_call(waited=0.01, note="x"), "12.3  x"),
        (_call(status=404, note="n" * 100), "nnn…"),
    ],
)
def test_calls_are_lines_of_a_table(
    call: CallRow, end: str, output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    """One head, then points left if the answer said, a wait that one noticed, and as much of the note as fits."""
    call.show(output)
    call.show(output)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["operation", "status", "points", "left", "ms", "result"]
    assert len(lines) == 2
    assert all(line.rstrip().endswith(end) and len(line) <= 80 for line in lines)


@pytest.mark.anyio
async def test_request_without_headers_has_no_points_left_to_show(
    output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a sandbox answered, as a line of a table and as JSON."""
    records: list[RecordedRequest] = []
    fake = FakeWhereby(costs={"meetings.list": 0})
    fake.subscribe(records.append)
    async with fake, fake.client() as client:
        await client.meetings.list()
    show_request(output, records[0])
    assert capsys.readouterr().out.splitlines()[1].split() == ["GET", "200", "0", "-", "/v1/meetings"]
    show_request(Output(as_json=True), records[0])
    assert json.loads(capsys.readouterr().out)["remaining"] is None


def test_sentences_are_wrapped(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    output.say("notice", "[bold]word " * 30)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert all(len(line) <= 80 and line.endswith("word") for line in lines)


def test_json_has_one_object_a_line_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets it unasked: any pipe can carry it, and line breaks inside are escaped."""
    output = Output(as_json=False)
    output.say("notice", "Grüße\nzwei Zeilen", limit=3)
    output.wrapped("for terminals only")
    _call(note="…").show(output)
    out = capsys.readouterr().out
    assert out.isascii()
    first, second = map(json.loads, out.splitlines())
    assert first == {"event": "notice", "text": "Grüße\nzwei Zeilen", "limit": 3}
    assert (second["event"], second["note"], second["ms"]) == ("call", "…", 12.34)


def test_exit_code_is_what_all_failures_share() -> None:
    output = Output(as_json=True)
    assert output.code == 0
    output.failed(APITimeoutError("slow"))
    assert output.code == 4
    output.failed(ValueError("odd"))
    assert output.code == 1
    other = Output(as_json=True)
    other.failed(NotFoundError("no", status=404))
    assert other.code == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (duration(0.4), "0 s"),
        (duration(59.4), "59 s"),
        (duration(61), "1 min"),
        (duration(3599), "60 min"),
        (duration(3900), "1 h 05 min"),
        (size(0), "0 B"),
        (size(999), "999 B"),
        (size(25e6), "25.0 MB"),
        (size(2.5e15), "2500.0 TB"),
        (counted(1, "room"), "1 room"),
        (counted(0, "room"), "0 rooms"),
        (counted(1200, "room"), "1,200 rooms"),
    ],
)
def test_numbers_have_units_and_plurals(words: str, expected: str) -> None:
    assert words == expected


def _table(capsys: pytest.CaptureFixture[str], *rows: dict[str, Any], columns: str = COLUMNS) -> list[str]:
    table = Table(columns)
    table.rows(rows)
    table.end("the end")
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (120, ["recordingId", "roomName", "startDate", "MB"]),
        (81, ["recordingId", "roomName", "MB"]),
        (80, ["recordingId", "roomName"]),
        (60, ["recordingId", "roomName"]),
        (40, ["recordingId"]),
        (20, ["roomName"]),
    ],
)
def test_columns_that_do_not_fit_are_left_out(
    width: int, heads: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names are cut, dates and ids never; an empty column is left out; the end says where the other fields are."""
    monkeypatch.setenv("COLUMNS", str(width))
    head, line, end = _table(capsys, ROW)
    assert head.split() == heads
    assert max(len(head), len(line)) <= width
    assert ("…" in line) == (width in {20, 60})
    assert (end == "the end; all fields with --json") == (width < 120)


@pytest.mark.parametrize(
    ("columns", "rows", "lines"),
    [
        (COLUMNS, [], []),
        (
            "sizeInMegaBytes roomName",
            [ROW | {"roomName": "x"}, {"sizeInMegaBytes": 7.25, "roomName": "y"}],
            ["  MB  roomName", " 120  x", "7.25  y"],
        ),
        (
            "state",
            [{"state": "ready"}, {"state": "failed"}, {"state": "novel"}],
            ["state", "ready", "failed", "novel"],
        ),
    ],
)
def test_cells_are_aligned(
    columns: str, rows: list[dict[str, Any]], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """No head without rows, numbers on the right without a useless fraction, states as they are."""
    assert _table(capsys, *rows, columns=columns)[:-1] == lines


def test_widths_are_decided_by_the_first_page(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("roomName rating")
    table.rows([{"roomName": "/a", "rating": 5}])
    table.rows([{"roomName": "/much-longer-than-before", "rating": None}])
    table.rows([])
    table.end("2 rows")
    assert capsys.readouterr().out.splitlines() == ["roomName  rating", "/a             5", "/much-l…", "2 rows"]


def test_record_shows_what_it_holds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nested fields under dotted names, texts of several lines below each other, long words wrapped, links never."""
    monkeypatch.setenv("COLUMNS", "60")
    link = "https://example.whereby.com/x?roomKey=" + "k" * 80
    row: dict[str, Any] = {
        "none": None,
        "nothing": [],
        "summary": {"summary": "First.\nSecond " + "word " * 12, "SOAP": {}},
        "phones": [{"countryCode": "NO"}],
        "hostRoomUrl": link,
    }
    Terminal().rows([row])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "summary.summary  First."
    assert lines[1].startswith(" " * 17 + "Second word")
    assert lines[-2] == 'phones           [{"countryCode": "NO"}]'
    assert lines[-1] == f"hostRoomUrl      {link}"
    assert max(map(len, lines[:-1])) <= 60


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1 + 0.2, "0.3"),
        (13 / 3, "4.33"),
        (120.0, "120"),
        (1234567.891, "1234567.89"),
        (0.00123456, "0.0012"),
        (0.0, "0"),
        (-7.005e-7, "-7e-07"),
        ([0.1 + 0.2, {"a": 13 / 3}], '[0.3, {"a": 4.33}]'),
    ],
)
def test_numbers_are_rounded_for_people_only(value: object, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In records and in tables; JSON is what the service said."""
    Terminal().rows([{"x": value}])
    Table("x").rows([{"x": value}])
    record, _, cell = capsys.readouterr().out.splitlines()
    assert (record, cell) == (f"x  {shown}", shown)
    Output(as_json=True).rows([{"x": value}])
    assert json.loads(capsys.readouterr().out) == {"x": value}


def test_records_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.rows([{"a": 1}, {"a": 2}])
    terminal.rows([{"a": 3}])
    terminal.end("3 rows")
    assert capsys.readouterr().out.split("\n") == ["a  1", "", "a  2", "", "a  3", "", "3 rows", ""]


def test_what_a_terminal_would_obey_is_not_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Guests choose their names."""
    bad = "\x1b]0;title\x07\x1b[2JMallory\r\u202e"
    terminal = Terminal()
    terminal.rows([{"displayName": bad}])
    terminal.line(bad)
    lines = _table(capsys, {"displayName": bad}, columns="displayName")
    assert all(character.isprintable() for line in lines for character in line)
    assert len([line for line in lines if "Mallory" in line]) == 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("山田\u3000太郎", "山田\u3000太郎"),
        ("Jean\u00a0Dupont", "Jean\u00a0Dupont"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("\x1b]0;t\x07", "\ufffd]0;t\ufffd"),
        ("a\u202eb\u2066c\u200fd", "a\ufffdb\ufffdc\ufffdd"),
        ("\ud83d\x9b\u2028", "\ufffd\ufffd\ufffd"),
    ],
)
def test_names_keep_their_blanks_and_joiners(text: str, shown: str) -> None:
    """Wide blanks, those that do not break, and the joiners that scripts and emoji need obey nobody."""
    assert printable(text) == shown


def test_errors_and_sentences_hold_nothing_that_a_terminal_would_obey(
    output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    report_error(UsageError("room \x1b]0;t\x07\nnext"))
    output.say("notice", "room \x1b]0;t\x07")
    assert capsys.readouterr() == ("room \ufffd]0;t\ufffd\n", "whereby: room \ufffd]0;t\ufffd\nwhereby: next\n")


NAME = "张三 Zoë \U0001f600"


def _guests(served: Served) -> list[str]:
    """The command line that lists a guest with this name."""
    session = served.fake.add_session("/weekly", participants=(NAME,))["roomSessionId"]
    return ["insights", "participants", "--room-session-id", session]


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", r"\u5f20\u4e09 Zo\xeb \U0001f600"), ("latin-1", "\\u5f20\\u4e09 Zoë \\U0001f600"), ("utf-8", NAME)],
)
def test_what_an_encoding_lacks_is_escaped(
    encoding: str, shown: str, served: Served, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In tables, in help's boxes and in errors, whatever the streams were told before."""
    for words, expected in ((_guests(served), shown), (["budget"], "left"), ([NAME], shown)):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2))
        monkeypatch.setattr(out, "isatty", lambda: True)
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", out)
            patch.setattr("sys.stderr", err)
            assert main(words) == (2 if words == [NAME] else 0)
        out.flush()
        err.flush()
        written = out.buffer.getvalue() + err.buffer.getvalue()
        assert expected in written.decode(encoding)
        assert r"\u25" not in written.decode(encoding)


def test_a_terminal_that_knows_no_umlaut_shows_a_table(served: Served) -> None:
    ended = on_terminal(*_guests(served), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="")
    assert ended.code == 0, ended.out
    assert r"\u5f20\u4e09 Zo\xeb \U0001f600" in ended.out
    assert ended.lines()[-2].startswith("1 row")


@pytest.mark.parametrize(
    ("columns", "width"),
    [("0", 80), ("-5", 80), ("²", 80), ("x", 80), ("", 80), ("9" * 5000, 80), ("1", 20), ("99999999999", 1000)],
)
def test_a_size_that_is_none_is_not_gone_by(
    columns: str, width: int, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Help ends, whatever the environment says; no name of an option is cut."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    monkeypatch.setattr("os.get_terminal_size", _no_terminal)
    ended = here("meetings", "create", "--help")
    assert ended.code == 0
    assert "--room-mode" in ended.out
    assert max(map(len, ended.out.splitlines())) <= width


def _no_terminal(descriptor: int) -> object:
    raise OSError


@pytest.mark.parametrize(("columns", "words"), [(1, ["meetings", "create", "--help"]), (2, ["budget"])])
def test_a_terminal_without_a_width_is_printed_to(columns: int, words: list[str], served: Served) -> None:
    with OnTerminal(*words, columns=columns) as terminal:
        ended = terminal.end()
    assert ended.code == 0
    assert 10 < len(ended.lines()) < 300


def test_rows_go_into_the_pipe_beside_a_bar(served: Served, tmp_path: Path) -> None:
    """A bar on a terminal takes nothing of what goes elsewhere; on the terminal no line is broken by it."""
    for _ in range(2):
        served.fake.add_recording(room_name="/weekly", content=b"one")
    with (
        (tmp_path / "out").open("wb") as out,
        OnTerminal("recordings", "sync", str(tmp_path / "a"), out=out) as terminal,
    ):
        assert terminal.end().code == 0
    rows = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [row["event"] for row in rows] == ["downloaded", "downloaded", "summary"]
    lines = on_terminal("recordings", "sync", str(tmp_path / "b"), "--json").lines()
    assert [json.loads(line)["event"] for line in lines if line.startswith("{")] == [row["event"] for row in rows]


@pytest.mark.parametrize("streams", ["2>&-", ">&- 2>&-"])
def test_an_error_does_not_get_among_the_results(streams: str) -> None:
    """Whatever a shell has closed."""
    line = ["sh", "-c", f'"$@" {streams}', "sh", *command("meetings", "list")]
    variables = {name: value for name, value in environment().items() if name != "WHEREBY_API_KEY"}
    done = subprocess.run(line, env=variables, capture_output=True, check=False, encoding="utf-8")
    assert (done.returncode, done.stdout) == (2, "")
