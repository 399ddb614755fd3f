"""Tables and records by themselves: what is shown where there is room, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from whereby_async.cli.tables import Records, Table

ROW = {
    "recordingId": "b1f0c1a2-6f6c-4c55-9f0e-0a9d7c3f5e21",
    "roomName": "/a-room-with-a-rather-long-name-indeed",
    "startDate": "2026-11-20T10:57:25.767Z",
    "sizeInMegaBytes": 120.0,
    "endDate": None,
}
COLUMNS = ("recordingId", "roomName", "startDate", "sizeInMegaBytes", "endDate")


def _shown(capsys: pytest.CaptureFixture[str], *rows: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> list[str]:
    table = Table(columns)
    table.rows(rows)
    table.end(len(rows))
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
def test_columns_that_find_no_room_are_left_out(
    width: int, heads: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names are cut, dates and ids never; a column that nothing stands in is not there; the end says where the rest is."""
    monkeypatch.setenv("COLUMNS", str(width))
    head, line, end = _shown(capsys, ROW)
    assert head.split() == heads
    assert max(len(head), len(line)) <= width
    assert ("…" in line) == (width in {20, 60})
    assert (end == "1 row; all fields with --json") == (width < 120)


def test_numbers_stand_on_the_right(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And without a fraction that says nothing."""
    monkeypatch.setenv("COLUMNS", "80")
    columns = ("sizeInMegaBytes", "roomName")
    lines = _shown(capsys, ROW | {"roomName": "x"}, {"sizeInMegaBytes": 7.25, "roomName": "y"}, columns=columns)
    assert lines[:3] == ["  MB  roomName", " 120  x", "7.25  y"]


def test_widths_are_settled_by_the_first_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A later page goes on below the same heads."""
    monkeypatch.setenv("COLUMNS", "80")
    table = Table(("roomName", "rating"))
    table.rows([{"roomName": "/a", "rating": 5}])
    table.rows([{"roomName": "/much-longer-than-before", "rating": None}])
    table.rows([])
    table.end(2)
    assert capsys.readouterr().out.splitlines() == ["roomName  rating", "/a             5", "/much-l…", "2 rows"]


def test_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """And shows no heads."""
    assert _shown(capsys) == ["0 rows"]


def test_state_has_a_colour_and_unknown_ones_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Green, red, and yellow for what is under way or new."""
    lines = _shown(capsys, {"state": "ready"}, {"state": "failed"}, {"state": "novel"}, columns=("state",))
    assert lines == ["state", "ready", "failed", "novel", "3 rows"]


def test_record_shows_what_is_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nested fields under dotted names, texts of several lines below each other, long words wrapped, links never."""
    monkeypatch.setenv("COLUMNS", "60")
    link = "https://example.whereby.com/x?roomKey=" + "k" * 80
    Records().one(
        {
            "none": None,
            "nothing": [],
            "summary": {"summary": "First.\nSecond " + "word " * 12, "SOAP": {}},
            "phones": [{"countryCode": "NO"}],
            "hostRoomUrl": link,
        }
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "summary.summary  First."
    assert lines[1].startswith(" " * 17 + "Second word")
    assert lines[-2] == 'phones           [{"countryCode": "NO"}]'
    assert lines[-1] == f"hostRoomUrl      {link}"
    assert max(map(len, lines[:-1])) <= 60


def test_what_a_terminal_would_obey_is_not_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Guests choose their names."""
    bad = "\x1b]0;title\x07\x1b[2JMallory\r\u202e"
    Records().one({"displayName": bad})
    lines = _shown(capsys, {"displayName": bad}, columns=("displayName",))
    assert all(character.isprintable() for line in lines for character in line)
    assert "Mallory" in lines[-2]


def test_records_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty line between two, and one above their number."""
    records = Records()
    records.rows([{"a": 1}, {"a": 2}])
    records.rows([{"a": 3}])
    records.end(3)
    assert capsys.readouterr().out.split("\n") == ["a  1", "", "a  2", "", "a  3", "", "3 rows", ""]
