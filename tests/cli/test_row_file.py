"""The rows of `whereby meetings import`: all are checked before anything is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.processes import Runner
    from support.serving import Served

END = "2099-01-01T00:00:00Z"
TEXT = f"customer,endDate\nc0,{END}\n"
KEY = ("--key", "customer")
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
        ("r.csv", f"end_date,\n{END},1\n", (), ["line 1: a column has no name"]),
        ("r.csv", f"end_date,endDate\n{END},{END}\n", (), ["line 1: columns 'end_date' and 'endDate' are the same"]),
        ("r.csv", f"end_date,end_date\n{END},\n", (), ["line 1: columns 'end_date' and 'end_date' are the same"]),
        ("r.csv", f"c,end_date,c\na,{END},b\n", ("--key", "c"), ["line 1: columns 'c' and 'c' are the same"]),
        ("r.jsonl", f'{{"end_date": "{END}", "endDate": null}}\n', (), ["line 1: columns 'end_date' and 'endDate'"]),
        ("r.jsonl", f'{{"end_date": "{END}", "end_date": "{END}"}}\n', (), ["line 1: 'end_date' is there twice"]),
        ("r.jsonl", f'{{"end_date": "{END}", "what": 1}}\n', (), ["line 1: column 'what' is no parameter"]),
        ("r.csv", TEXT, TWICE, ["--set: columns 'isLocked'"]),
        # what stands in them
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
        ("r.jsonl", "[" * 200_000 + "\n", (), ["line 1: it is no JSON object"]),
        ("r.jsonl", '{"end_date": 7}\n', (), ["line 1: end_date must be text, not 7"]),
        ("r.jsonl", f'{{"end_date": "{END}", "fields": [1]}}\n', (), ["fields must be a list of names"]),
        # half characters
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
        ("r.csv", TEXT.encode("utf-16-le"), KEY, ["line 1, byte 2: it is no UTF-8 text"]),
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
    ended = here("meetings", "import", "-", stdin=b"\xff")
    assert ended.code == 2
    assert "stdin, line 1, byte 1" in ended.err
    assert served.fake.requests == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TEXT.encode("utf-8-sig"), KEY),
        (f"end_date,endDate,note,note\n{END},x,1,2\n".encode(), ("--ignore", "endDate", "--ignore", "note")),
    ],
)
def test_rows_that_can_be_used(
    served: Served, tmp_path: Path, content: bytes, words: Sequence[str], here: Runner
) -> None:
    file = tmp_path / "rooms.csv"
    file.write_bytes(content)
    assert here("meetings", "import", file, *words).code == 0
    assert len(served.fake.meetings) == 1
