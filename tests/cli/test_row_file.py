"""The files of `whereby meetings import` and `insights export`: none written over another, and what is no good text refused."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.processes import command, environment

from whereby_async.cli import main
from whereby_async.cli.errors import UsageError
from whereby_async.cli.output import check_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.serving import Served

END = "2099-01-01T00:00:00Z"
TEXT = f"customer,endDate\nc0,{END}\n"


def _file(place: Path, content: str | bytes = TEXT, name: str = "rooms.csv") -> Path:
    path = place / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _refused(own: Served, words: Sequence[str | Path], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that is refused before anything is sent."""
    assert main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert own.fake.requests == []
    return err


@pytest.mark.parametrize("link", ["none", "hard", "symbolic", "dangling"])
def test_results_and_journal_are_two_files(
    own: Served, tmp_path: Path, link: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By whatever path or link one leads to the other; neither is touched, and --dry-run tells it too."""
    file = _file(tmp_path)
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
        err = _refused(own, ["meetings", "import", file, "--output", output, *more], capsys)
        assert "the journal and the results" in err
        assert "are one file" in err
    assert not journal.exists() or journal.read_bytes() == b""


@pytest.mark.parametrize("option", ["--output", "--journal"])
def test_rows_are_never_written_over(
    own: Served, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither results nor a journal go into the file that is imported."""
    file = _file(tmp_path)
    (tmp_path / "link").hardlink_to(file)
    for target in (file, tmp_path / "link"):
        assert "the rows and the " in _refused(own, ["meetings", "import", file, option, target], capsys)
    assert file.read_text() == TEXT


def test_redirected_streams_are_files_too(own: Served, tmp_path: Path) -> None:
    """Stdout into the journal, and results into what comes in by stdin."""
    file = _file(tmp_path, f'{{"end_date": "{END}"}}\n', "rooms.jsonl")
    journal = tmp_path / "j"
    variables = environment(**own.variables)
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
    assert own.fake.requests == []


@pytest.mark.parametrize("output", ["/dev/full", "/dev/zero", "/dev/stdout", "/dev/fd/1", "/dev", "-", "fifo"])
def test_results_go_to_plain_files_only(
    own: Served, tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not to devices, pipes or directories."""
    if output == "fifo":
        output = str(tmp_path / output)
        os.mkfifo(output)
    err = _refused(own, ["meetings", "import", _file(tmp_path), "--output", output], capsys)
    assert f"--output {output} is no plain file: " in err
    with pytest.raises(UsageError, match="no plain file"):
        check_status("--output", output, Path("/dev").stat())


def test_results_may_go_nowhere(own: Served, tmp_path: Path) -> None:
    """The null device takes them; a file of results that is no UTF-8 is no fault."""
    words = ["meetings", "import", str(_file(tmp_path)), "--key", "customer", "--output"]
    assert main([*words, "/dev/null"]) == 0
    output = _file(tmp_path, b"\xff\n", "out")
    assert main([*words, str(output)]) == 0
    assert len(output.read_bytes().splitlines()) == 2
    assert len(own.fake.meetings) == 1


def test_export_keeps_its_files_apart(own: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Links between them, and devices in their place, are refused before a byte is written."""
    _file(tmp_path, "mine", "rooms.jsonl")
    (tmp_path / "sessions.jsonl").hardlink_to(tmp_path / "rooms.jsonl")
    assert "are one file" in _refused(own, ["insights", "export", tmp_path], capsys)
    (tmp_path / "sessions.jsonl").unlink()
    (tmp_path / "sessions.jsonl").symlink_to("/dev/full")
    assert "is no plain file" in _refused(own, ["insights", "export", tmp_path], capsys)
    assert (tmp_path / "rooms.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("r.csv", f"customer,endDate\nJosé,{END}\n".encode("latin-1"), "r.csv, line 2, byte 21: it is no UTF-8 text"),
        ("r.csv", f"é,endDate\nx,{END}\n".encode("latin-1"), "line 1, byte 1: it is no UTF-8 text"),
        ("r.jsonl", f'{{"endDate": "{END}", "customer": "é"}}\n'.encode("latin-1"), "line 1, byte"),
        ("r.csv", TEXT.encode("utf-16"), "r.csv is UTF-16"),
        ("r.jsonl", TEXT.encode("utf-32"), "r.jsonl is UTF-32"),
        ("r.csv", TEXT.encode("utf-16-le"), "line 1, byte 2: it is no UTF-8 text"),
    ],
)
def test_other_encodings_are_told(  # noqa: PLR0917 - pytest passes them by name
    own: Served, tmp_path: Path, name: str, content: bytes, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By line and byte, with the way out."""
    err = _refused(own, ["meetings", "import", _file(tmp_path, content, name), "--key", "customer"], capsys)
    assert complaint in err
    assert "save it as UTF-8" in err


def test_mark_of_utf8_is_taken(own: Served, tmp_path: Path) -> None:
    """As Excel writes it."""
    file = _file(tmp_path, TEXT.encode("utf-8-sig"))
    assert main(["meetings", "import", str(file), "--key", "customer"]) == 0
    assert len(own.fake.meetings) == 1


def test_other_encodings_from_stdin(
    own: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is called by its name."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert "stdin, line 1, byte 1" in _refused(own, ["meetings", "import", "-"], capsys)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"customer": "\ud800"}, "customer"),
        ({"customer": "b", "streaming": {"destination": ["\udfff"]}}, "streaming"),
        ({"customer": "b", "extra": {"\ud800": 1}}, "extra"),
    ],
)
def test_half_characters_are_told_before_anything_is_sent(
    own: Served, tmp_path: Path, row: dict[str, object], column: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a key as in a value, by the line."""
    rows = [{"customer": "a", "end_date": END}, {"end_date": END, **row}]
    file = _file(tmp_path, "".join(json.dumps(each) + "\n" for each in rows), "r.jsonl")
    err = _refused(own, ["meetings", "import", file, "--key", "customer"], capsys)
    assert f"line 2: {column} holds half a character" in err


@pytest.mark.parametrize(
    ("name", "text", "words", "complaint"),
    [
        ("r.csv", f"end_date,endDate\n{END},{END}\n", (), "line 1: columns 'end_date' and 'endDate' are the same"),
        ("r.csv", f"end_date,end_date\n{END},\n", (), "line 1: columns 'end_date' and 'end_date' are the same"),
        ("r.csv", f"c,end_date,c\na,{END},b\n", ("--key", "c"), "line 1: columns 'c' and 'c' are the same"),
        ("r.jsonl", f'{{"end_date": "{END}", "endDate": null}}\n', (), "line 1: columns 'end_date' and 'endDate'"),
        ("r.jsonl", f'{{"end_date": "{END}", "end_date": "{END}"}}\n', (), "line 1: 'end_date' is there twice"),
        (
            "r.csv",
            TEXT,
            ("--ignore", "customer", "--set", "isLocked=1", "--set", "is_locked=0"),
            "--set: columns 'isLocked'",
        ),
        ("r.jsonl", "[" * 200_000 + "\n", (), "line 1: it is no JSON object"),
    ],
)
def test_columns_are_there_once(  # noqa: PLR0917 - pytest passes them by name
    own: Served,
    tmp_path: Path,
    name: str,
    text: str,
    words: Sequence[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In whatever spelling: which of the two is meant can not be known."""
    assert complaint in _refused(own, ["meetings", "import", _file(tmp_path, text, name), *words], capsys)


def test_column_that_is_ignored_is_not_there(own: Served, tmp_path: Path) -> None:
    """The way out for a file that has both."""
    file = _file(tmp_path, f"end_date,endDate,note,note\n{END},x,1,2\n")
    assert main(["meetings", "import", str(file), "--ignore", "endDate", "--ignore", "note"]) == 0
    assert len(own.fake.meetings) == 1
