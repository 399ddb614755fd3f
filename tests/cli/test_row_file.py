"""The rows of `whereby meetings import`: all are checked before anything is sent."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from whereby_async.cli.errors import UsageError
from whereby_async.cli.row_file import RowFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.processes import Runner
    from support.serving import Served

END = "2099-01-01T00:00:00Z"
TEXT = f"customer,endDate\nc0,{END}\n"
KEY = ("--key", "customer")
MODE = ("--set", "room_mode=group")
TWICE = ("--ignore", "customer", "--set", "isLocked=1", "--set", "is_locked=0")
HALVES: list[tuple[str, dict[str, object]]] = [
    ("customer", {"customer": "\ud800"}),
    ("streaming", {"customer": "b", "streaming": {"destination": ["\udfff"]}}),
    ("extra", {"customer": "b", "extra": {"\ud800": 1}}),
]


@pytest.mark.parametrize(
    ("name", "content", "words", "complaints"),
    [
        # what columns are called
        ("r.csv", "end_date,nonsense\n1,2\n", (), ["column 'nonsense' is no parameter of a meeting: name it by --key"]),
        ("r.csv", f"end_date,\n{END},1\n", (), ["line 2: '1' stands in a column without a name: name it in the"]),
        ("r.csv", f"end_date,endDate\n{END},{END}\n", (), ["line 1: columns 'end_date' and 'endDate' are the same"]),
        ("r.csv", f"end_date,end_date\n{END},\n", (), ["line 1: columns 'end_date' and 'end_date' are the same"]),
        ("r.csv", f"c,end_date,c\na,{END},b\n", ("--key", "c"), ["line 1: columns 'c' and 'c' are the same"]),
        ("r.jsonl", f'{{"end_date": "{END}", "endDate": null}}\n', (), ["line 1: columns 'end_date' and 'endDate'"]),
        ("r.jsonl", f'{{"end_date": "{END}", "end_date": "{END}"}}\n', (), ["line 1: 'end_date' is there twice"]),
        ("r.jsonl", f'{{"end_date": "{END}", "what": 1}}\n', (), ["line 1: column 'what' is no parameter"]),
        ("r.csv", TEXT, TWICE, ["--set or --field: columns 'isLocked'"]),
        ("r.csv", TEXT, ("--set", "end_date=1", "--set", "end_date=2"), ["--set end_date is there twice: take one"]),
        ("r.csv", TEXT, ("--ignore", "customer", "--field", "x"), ["--set or --field: fields is 'x'"]),
        (
            "r.jsonl",
            f'{{"customer": 1.0, "endDate": "{END}"}}\n',
            KEY,
            ["line 1: its customer is 1.0", "a whole number"],
        ),
        # what stands in them
        (
            "r.csv",
            "end_date\n2099-01-01T00:00:00\n+2h\n",
            (),
            ["line 2: end_date 2099", "line 3: end_date '+2h' is no date that stays the same when this is run again"],
        ),
        ("r.csv", f"end_date\n{END},x\n", (), ["line 2: 'x' stands in a column without a name"]),
        ("r.csv", f'end_date\n"{END}\n', (), ["it is no CSV", "close each quote that opens a cell"]),
        ("r.csv", f'end_date\n{END}\n"{"x" * 140_000}', (), ["line 3: it is no CSV: field larger", "close each quote"]),
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
        ("r.jsonl", "1\n{\n[]", (), [f"line {number}: it is no JSON object" for number in (1, 2, 3)]),
        ("r.jsonl", "[" * 200_000 + "\n", (), ["line 1: it is no JSON object"]),
        ("r.jsonl", '{"end_date": 7}\n', (), ["line 1: end_date must be text, not 7"]),
        ("r.jsonl", f'{{"end_date": "{END}", "fields": [1]}}\n', (), ["fields must be a list of names"]),
        ("r.csv", f"end_date,roommod\n{END},\n", (), ["line 1: column 'roommod' is no", "did you mean 'room_mode'?"]),
        ("r.csv", f"Customer,end_date\na,{END}\n", KEY, ["line 1: column 'Customer'", "did you mean 'customer'?"]),
        ("r.csv", f"end_date,,is_locked\n{END},a b,1\n", (), ["line 2: 'a b' stands in a column without a name"]),
        ("r.csv", f"end_date,fields\n{END},dialIn,hostRoomUrl\n", (), ["a cell that holds ',' in quotes"]),
        ("r.csv", f"end_date,room_mode\n{END},grup\n", (), ["line 2: room_mode is 'grup': did you mean 'group'?"]),
        ("r.csv", f"end_date,room_mode\n{END},x\n", (), ["line 2: room_mode is 'x': one of normal, group"]),
        ("r.csv", f"end_date,room_name_pattern\n{END},humanshort\n", (), ["did you mean 'human-short'?"]),
        ("r.csv", f"end_date,template_type\n{END},viewermode\n", (), ["did you mean 'viewerMode'?"]),
        ("r.jsonl", f'{{"end_date": "{END}", "fields": ["hostRoomURL"]}}\n', (), ["did you mean 'hostRoomUrl'?"]),
        ("r.csv", f"end_date\n{END}\n", ("--field", "hostRoomURL"), ["--set or --field: fields is 'hostRoomURL'"]),
        ("r.csv", f"end_date\n{END}\n", ("--set", "room_mode=grup"), ["--set or --field: room_mode is 'grup': did"]),
        ("r.csv", f"id,end_date\n{'k' * 201},{END}\n", ("--key", "id"), ["line 2: its id is 'kkk", "of 1 to 200 char"]),
        *(
            (
                "r.jsonl",
                f'{{"id": {key}, "end_date": "{END}"}}\n',
                ("--key", "id"),
                [f"line 1: its id is {shown}: a key is"],
            )
            for key, shown in (("[1]", "[1]"), ("true", "True"), ("1.5", "1.5"), ('{"a": 1}', "{'a': 1}"))
        ),
        ("r.csv", "end_date\n2020-01-01T00:00:00Z\n", (), ["line 2: end_date 2020-01-01T00:00:00+00:00 is past"]),
        ("r.csv", f'end_date,recording\n{END},"{"[" * 100_000}"\n', (), ["line 2: recording is no JSON"]),
        ("r.csv", f'end_date,extra\n{END},"{{""a"": 1, ""a"": 2}}"\n', (), ["line 2: 'a' is there twice"]),
        *(
            (
                "r.csv",
                f"id,end_date, {column}\na,{END}, {null} \n",
                ("--key", "id"),
                [f"line 2: {column} is {null}, as"],
            )
            for column in ("room_name_prefix", "fields")
            for null in ("NULL", r"\N")
        ),
        (
            "r.csv",
            f"id,end_date\nNULL,{END}\n",
            ("--key", "id"),
            ["line 2: id is NULL, as databases write what is miss"],
        ),
        # no rows at all
        *(
            ("rows", content, ("--set", f"end_date={END}"), ["rows has no rows: there is nothing to make"])
            for content in (
                "",
                "\ufeff\n \n",
                "is_locked\n",
                "is_locked,room_mode\n,\n\xa0, \n",
                "sep=;\n",
                "[]",
                "{}\n",
            )
        ),
        # what is neither CSV nor JSON
        ("r.csv", f'end_date\n"{END}\n{END}\n{END}\n', (), ["line 2: it is no CSV"]),
        ("rows", f'[{{"end_date": "{END}"}},\n\n{{"end_date": "{END}"}}', (), ["line 3: it is no JSON object"]),
        ("rows", f'[\n{{"end_date": "{END}"}}\n]\n\n{{}}', (), ["line 3: there is something behind the array's end"]),
        (
            "rows",
            f'[\n{{"end_date": "{END}"}},\n7,\n{{"a": 1, "a": 2}}]',
            (),
            ["line 3: it is no JSON", "line 4: 'a' is"],
        ),
        ("rows", f'{{\n "end_date": "{END}"\n}}\n', (), ["line 1: it is no JSON object: each row is one on a line"]),
        # half characters
        ("r.csv", f'end_date,extra\n{END},"{{""a"": ""\\ud800""}}"\n', (), ["line 2: extra holds half a character"]),
        *(
            ("r.jsonl", json.dumps({"end_date": END, **row}), KEY, [f"line 1: {column} holds half a character"])
            for column, row in HALVES
        ),
        # encodings
        ("r.csv", TEXT.replace("c0", "José").encode("latin-1"), KEY, ["r.csv, line 2, byte 21: it is no UTF-8 text"]),
        ("r.csv", f"é,endDate\nx,{END}\n".encode("latin-1"), KEY, ["line 1, byte 1: it is no UTF-8 text: save it as"]),
        ("r.jsonl", f'{{"endDate": "{END}", "customer": "é"}}\n'.encode("latin-1"), KEY, ["line 1, byte"]),
        ("r.csv", TEXT.encode("utf-16"), KEY, ["r.csv is UTF-16, which is not read: save it as UTF-8"]),
        ("r.jsonl", TEXT.encode("utf-32"), KEY, ["r.jsonl is UTF-32"]),
        ("r.csv", TEXT.encode("utf-16-le"), KEY, ["line 1, byte 2: it holds a zero byte, as UTF-16 does: take it out"]),
        (
            "r.csv",
            TEXT.replace("c0", "c\0"),
            KEY,
            ["r.csv, line 2, byte 19: it holds a zero byte", "or save it as UTF-8"],
        ),
        # what is no text
        ("r.xlsx", b"PK\3\4\x14\0\n", KEY, ["r.xlsx is an Excel workbook, or another ZIP archive: export it as CSV"]),
        ("r.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", KEY, ["r.xls is an Excel workbook: export it as CSV"]),
        *(
            ("r.csv", compressed, KEY, ["r.csv is compressed: unpack it"])
            for compressed in (
                gzip.compress(TEXT.encode(), mtime=0),
                bz2.compress(TEXT.encode()),
                lzma.compress(TEXT.encode()),
                b"\x28\xb5\x2f\xfd\x24\x16",
            )
        ),
    ],
)
def test_bad_rows_are_named_before_anything_is_sent(  # noqa: PLR0917 - pytest passes them by name
    served: Served,
    tmp_path: Path,
    name: str,
    content: str | bytes,
    words: Sequence[str],
    complaints: list[str],
    here: Runner,
) -> None:
    """Exit code 2, each by its line, and no request, journal or result file."""
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    ended = here("meetings", "import", tmp_path / name, *words)
    assert (ended.code, ended.out) == (2, "")
    assert [complaint for complaint in complaints if complaint not in ended.err] == []
    assert served.fake.requests == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_stdin_that_is_no_text_has_a_name(served: Served, here: Runner) -> None:
    ended = here("meetings", "import", "-", "--dry-run", stdin=b"\xff")
    assert ended.code == 2
    assert "stdin, line 1, byte 1" in ended.err
    assert served.fake.requests == []


GROUP: list[tuple[str, str | bytes, tuple[str, ...]]] = [
    ("bom.csv", f"customer,endDate,roomMode\nc,{END},group\n".encode("utf-8-sig"), KEY),
    ("ignored.csv", f"end_date,endDate,note,note\n{END},x,1,2\n", ("--ignore", "endDate", "--ignore", "note", *MODE)),
    # what is between the cells
    ("semicolons.csv", f"endDate;roomMode;fields\n{END};group;dialIn,hostRoomUrl\n", ()),
    ("tabs.tsv", f"end_date\troom_mode\n{END}\tgroup\n", ()),
    ("bars.txt", f"end_date|room_mode\n{END}|group\n", ()),
    ("sep.csv", f"sep=;\nend_date;room_mode\n{END};group\n", ()),
    ("sep.csv", f'\ufeff"sep=\t"\r\nend_date\troom_mode\r\n{END}\tgroup\r\n', ()),
    (
        "key.csv",
        f"a, b;end_date;note, or not, or\nk;{END};n\n",
        ("--key", "a, b", "--ignore", "note, or not, or", *MODE),
    ),
    ("blanks.csv", f'end_date, "room_mode"\n"{END}", "group"\n', ()),
    ("old-mac.csv", f"end_date,room_mode\r{END},group\r", ()),
    # rows and columns that hold nothing
    ("commas.csv", f"end_date,is_locked\n,\n{END},1\n,,,\n\xa0, \n", MODE),
    ("commas.csv", "room_mode,is_locked\n,\ngroup,1\n,,,\n\n", ("--set", f"end_date={END}")),
    ("head.csv", f"end_date,room_mode,,\n{END},group,,\n{''.join([','] * 9)}\n", ()),
    ("gap.csv", f"end_date,,room_mode, \n{END},,group,\xa0,\n", ()),
    ("late.csv", f"\n,,\n \nend_date,room_mode\n{END},group\n", ()),
    ("nulls.jsonl", f'{{"end_date": null, "room_mode": " "}}\n{{"end_date": "{END}"}}\n', MODE),
    # what is missing in a database is nothing in columns that are ignored, and a word elsewhere
    ("null.csv", f"end_date,note,room_mode\n{END},NULL,group\n", ("--ignore", "note")),
    ("null.csv", f"end_date,room_name_prefix,room_mode\n{END},null,group\n", ()),
    ("null.jsonl", f'{{"end_date": "{END}", "room_name_prefix": "NULL", "room_mode": "group"}}\n', ()),
    ("null.csv", f"end_date,room_mode\n{END},group\n", ("--set", "room_name_prefix=NULL", "--format", "csv")),
    # what nobody sees
    ("unseen.csv", f"\ufeff\ufeff end_date\xa0,\u200broom_mode\u3000\n\xa0{END}\u202f, group\u2060\n", ()),
    ("unseen.jsonl", f'\ufeff\ufeff{{"\xa0end_date ": " {END}\u200b", "room_mode": "\ufeffgroup"}}\ufeff\n', ()),
    ("unseen.csv", f"\xa0Customer No\xa0,end_date\n1,{END}\n", ("--key", "Customer No ", *MODE)),
    # what columns are called
    *(
        ("r.csv", f"{date},{mode}\n{END},group\n", ())
        for date, mode in (("enddate", "roommode"), ("ENDDATE", "ROOM MODE"), ("End\xa0Date", "Room-Mode"))
    ),
    ("r.csv", f"end_date\n{END}\n", ("--set", "roommode=group", "--set", "ENDDATE=2098-01-01T00:00:00Z")),
    # JSON
    ("array.json", f'[{{"end_date": "{END}", "room_mode": "group"}}]', ()),
    ("array", f'\ufeff\n [\n  {{\n    "endDate": "{END}",\n    "roomMode": "group"\n  }},\n\n]\n\n', ()),
    ("LINES.JSONL", f'{{"end_date": "{END}", "room_mode": "group"}}\n', ()),
    ("lines.txt", f'\n{{"end_date": "{END}", "room_mode": "group"}}\n', ()),
    ("array.csv", f'[{{"end_date": "{END}", "room_mode": "group"}}]', ()),
    ("csv.json", f"end_date,room_mode\n{END},group\n", ("--format", "csv")),
]


@pytest.mark.parametrize(("name", "content", "words"), GROUP, ids=[f"{row[0]}-{at}" for at, row in enumerate(GROUP)])
def test_one_group_room_is_read(  # noqa: PLR0917 - pytest passes them by name
    served: Served, tmp_path: Path, name: str, content: str | bytes, words: Sequence[str], here: Runner
) -> None:
    """However the file is written: one room of that mode and end."""
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    ended = here("meetings", "import", file, *words)
    assert (ended.code, ended.err) == (0, "")
    (body,) = [request.json for request in served.fake.requests]
    assert (body["roomMode"], datetime.fromisoformat(body["endDate"])) == ("group", datetime.fromisoformat(END))


@pytest.mark.parametrize("content", ["end_date,is_locked\n{},1\n", '{{"end_date": "{}", "is_locked": true}}\n'])
@pytest.mark.parametrize("spelled", ["isLocked", "is_locked", "Is Locked"])
def test_ignored_columns_are_spelled_either_way(
    served: Served, tmp_path: Path, here: Runner, content: str, spelled: str
) -> None:
    """As those of --key are; a name that no column has is told of."""
    file = tmp_path / "rows"
    file.write_text(content.format(END))
    ended = here("meetings", "import", file, "--ignore", spelled, "--ignore", "nope")
    assert (ended.code, ended.err) == (0, "whereby: --ignore nope: no column is called so\n")
    (body,) = [request.json for request in served.fake.requests]
    assert "isLocked" not in body


def test_fields_are_asked_for_beside_those_of_a_row(served: Served, tmp_path: Path, here: Runner) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"customer,endDate,fields\na,{END},viewerRoomUrl hostRoomUrl\nb,{END},\n")
    words = ("--set", "fields=dialIn", "--field", "hostRoomUrl", "--concurrency", "1")
    assert here("meetings", "import", file, *KEY, *words).code == 0
    asked = [request.json["fields"] for request in served.fake.requests]
    assert asked == [["viewerRoomUrl", "hostRoomUrl"], ["dialIn", "hostRoomUrl"]]


def test_lines_are_those_where_rows_begin(tmp_path: Path) -> None:
    table, array = tmp_path / "rows.csv", tmp_path / "rows.json"
    table.write_text(f'sep=,\n\n"end_\ndate",note\n{END},"a\nb"\n,\n\n{END},c\n')
    array.write_text(f'[{{"end_date":\n"{END}"}},\n{{"end_date": "{END}"}},{{"end_date": "{END}"}}\n]')
    assert _read(table, ignored=["note"]).lines == [5, 9]
    assert _read(array).lines == [1, 3, 3]


@pytest.mark.parametrize(
    ("lines", "knows"),
    [
        ("", ()),
        ("my diary\n", ()),
        ('{"item":"0","state":"ok","at":""}\n{"item":"1","sta', ("0",)),
        (
            '{"run":1,"at":"","timeout":1}\n{"item":"1","state":"begun","at":""}\n\xff\n{"item":"0","state":"failed","at":""}\n',
            "01",
        ),
    ],
)
def test_the_past_is_for_rows_that_the_journal_knows(tmp_path: Path, lines: str, knows: Sequence[str]) -> None:
    """Whatever it knows of them; a journal that is none, or torn, or not there, is told of when it is opened."""
    file, journal = tmp_path / "rows.csv", tmp_path / "journal"
    file.write_text("end_date\n2020-01-01T00:00:00Z\n2020-01-01T00:00:00Z\n")
    journal.write_bytes(lines.encode("latin-1"))
    if len(knows) == 2:
        assert len(_read(file, journal)) == 2
        return
    for path in (journal, tmp_path / "none", tmp_path, None) if not knows else (journal,):
        with pytest.raises(UsageError) as caught:
            _read(file, path)
        assert [f"line {2 + row}: " in str(caught.value) for row in (0, 1)] == [str(row) not in knows for row in (0, 1)]


def test_large_input_is_kept_on_the_disk(tmp_path: Path) -> None:
    """It comes out as it went in, whatever becomes of the file."""
    file = tmp_path / "rows.jsonl"
    count, note = 18, "ü" * (1 << 19)
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(
            f'{{"end_date": "{END}", "room_name_prefix": "{n}", "note": "{note}"}}\n' for n in range(count)
        )
    with RowFile(str(file), format_=None, defaults={}, key=None, ignored=["note"]) as rows:
        rows.check(None)
        file.unlink()
        assert [row["room_name_prefix"] for row in rows] == [str(n) for n in range(count)]
        assert rows.has_changed


def _read(file: Path, journal: Path | None = None, ignored: Sequence[str] = ()) -> RowFile:
    with RowFile(str(file), format_=None, defaults={}, key=None, ignored=ignored) as rows:
        rows.check(None if journal is None else str(journal))
        return rows
