"""`whereby budget` and `whereby probe`: what they show, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from support.processes import OnTerminal, on_terminal

from whereby_async.cli.budget import format_of, is_about_the_budget, panel_rows
from whereby_async.cli.terminal import grid
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from support.processes import Runner
    from support.serving import Served


def test_one_look_costs_one_point(served: Served, here: Runner) -> None:
    """A JSON line in a pipe, with what the limiter goes by and what the server said."""
    ended = here("budget")
    assert (ended.code, ended.err) == (0, "")
    (row,) = ended.rows()
    assert row["event"] == "budget"
    assert (row["server"]["limit"], row["server"]["remaining"]) == (1000, 999)
    assert 0 < row["server"]["reset_in"] <= 61
    assert (row["limit"], row["remaining"], row["available"]) == (1000, 999, 999)
    assert row["waiting"] == {"interactive": 0, "normal": 0, "batch": 0}
    assert {"available", "in_flight", "waiting_points", "foreign_rate", "costs", "state", "at"} <= row.keys()
    assert served.fake.points_spent == 1


@pytest.mark.parametrize(
    ("served", "least", "most", "by_server"),
    [
        ({"period": 600.0}, 590, 602, True),
        ({"period": 600.0, "header_style": "draft_7"}, 590, 602, True),
        ({"algorithm": "token_bucket"}, 0, 1, True),
        ({"period": 600.0, "header_style": "none"}, 55, 61, False),
    ],
    indirect=["served"],
)
@pytest.mark.usefixtures("served")
def test_one_look_tells_what_the_server_said(least: float, most: float, by_server: bool, here: Runner) -> None:
    """When the window ends is the server's word if it has one, and our own count if not; no number is a raw float."""
    (row,) = here("budget").rows()
    assert least <= row["reset_in"] <= most
    assert row["reset_by_server"] is by_server
    assert row["server"]["reset_in"] == (None if not by_server else round(row["server"]["reset_in"], 3))


@pytest.mark.parametrize(
    ("served", "known_by", "window"),
    [
        ({"period": 600.0}, "the server's last answer", "s, as the server said"),
        ({"header_style": "none"}, "our own count: the server tells none", "new points in about"),
    ],
    indirect=["served"],
)
@pytest.mark.usefixtures("served")
def test_terminal_shows_where_the_numbers_come_from(known_by: str, window: str) -> None:
    lines = on_terminal("budget").lines()
    assert any(line.split("  ")[0] == "known by" and known_by in line for line in lines)
    assert any(line.startswith("window") and window in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_watch_goes_on_and_counts(served: Served, here: Runner) -> None:
    ended = here("budget", "--watch", "--every", "0.05", "--count", "3")
    assert ended.code == 0
    assert [row["server"]["remaining"] for row in ended.rows()] == [999, 998, 997]
    assert [(row["limit"], row["remaining"]) for row in ended.rows()] == [(1000, 999), (1000, 998), (1000, 997)]
    assert all(0 < row["available"] <= row["remaining"] for row in ended.rows())
    assert served.fake.points_spent == 3


def test_watch_on_a_terminal_is_a_live_view(served: Served) -> None:
    """A bar, the priorities and the window; it sees what others spend; Ctrl-C ends it with 130 and no traceback."""
    with OnTerminal("budget", "--watch", "--every", "0.2") as terminal:
        terminal.until("999 of 1000 left")
        served.do(lambda: served.fake.spend(50))
        terminal.until("spent 50 points since the first look")
        ended = terminal.interrupt()
    assert ended.code == 130
    assert "Traceback" not in ended.out
    lines = ended.lines()
    assert max(map(len, lines)) <= 80
    assert any("interactive 0, normal 0, batch 0" in line for line in lines)
    assert any("new points in" in line for line in lines)
    assert "█" in ended.out


@pytest.mark.parametrize("served", [{"limit": 1, "period": 600.0}], indirect=True)
def test_wait_shows_in_the_live_view(served: Served) -> None:
    served.do(lambda: served.fake.spend(1))
    with OnTerminal("budget") as terminal:
        shown = terminal.until("normal 1")
        assert terminal.interrupt().code == 130
    assert "frozen" in shown


@pytest.mark.parametrize("state", ["unknown", "open", "empty", "frozen", "degraded", "novel"])
def test_panel_knows_every_state(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And shows a new one by its name."""
    budget: dict[str, Any] = {
        "base_url": "https://api.example/v1",
        "state": state,
        "limit": 100,
        "available": 7,
        "reset_in": 12.0 if state == "open" else None,
        "in_flight": 3,
        "waiting": {},
        "waiting_points": 9,
        "foreign_rate": 2.5 if state == "open" else 0.1,
        "spent_by_others": 30 if state == "open" else 0,
        "costs": {"insights.rooms": 5},
        "server": {"limit": 100, "remaining": 10} if state == "open" else {},
        "reset_by_server": state == "open",
    }
    Console(width=100).print(grid("x", panel_rows(budget)))
    out = capsys.readouterr().out
    assert state in out or "no answer yet" in out
    assert ("10 of 100 left" in out) == ("new points in 12 s" in out) == (state == "open")
    assert ("spent 30 points since the first look, 2.5 points/s of late" in out) == (state == "open")
    assert ("none seen since the first look" in out) == (state != "open")
    assert "they ask for 9 points" in out
    assert "insights.rooms 5" in out


def test_probe_tells_names_formats_and_no_secrets(served: Served, here: Runner) -> None:
    """Three reads: of a meeting that is not there, of one meeting, of one room; what they say of the budget."""
    ended = here("probe")
    assert (ended.code, ended.err) == (0, "")
    rows = ended.rows()
    assert [(row["operation"], row["status"]) for row in rows] == [
        ("meetings.get", 404),
        ("meetings.list", 200),
        ("insights.rooms", 200),
    ]
    formats = {header["name"]: header["format"] for header in rows[0]["headers"]}
    assert formats == {
        "X-RateLimit-Limit": "whole number",
        "X-RateLimit-Remaining": "whole number",
        "X-RateLimit-Reset": "ISO 8601 date",
        "Date": "HTTP date",
    }
    assert rows[2]["read"]["remaining"] == 997
    assert "Content-Type" in rows[0]["other_headers"]
    assert served.fake.points_spent == 3
    assert all(request.method == "GET" for request in served.fake.requests)
    assert served.fake.api_key not in ended.out


def test_probe_tells_what_is_deprecated(served: Served, here: Runner) -> None:
    headers = {"Deprecation": "@1688169599", "Sunset": "Thu, 31 Dec 2026 23:59:59 GMT", "Link": "</end>; rel=sunset"}
    served.fake.faults.add(Fault(operation="meetings.list", headers=headers, times=None))
    ended = here("probe")
    assert [row["deprecated"] for row in ended.rows()] == [
        None,
        {
            "operation": "meetings.list",
            "deprecated": True,
            "since": "2023-06-30T23:59:59Z",
            "sunset": "2026-12-31T23:59:59Z",
            "link": "/end",
        },
        None,
    ]
    assert "  deprecated as of 2023-06-30 and to go away on 2026-12-31 23:59" in on_terminal("probe").out


@pytest.mark.parametrize("served", [{"header_style": "none"}], indirect=True)
def test_probe_of_a_service_without_headers(served: Served, here: Runner) -> None:
    """It says so, and a refusal by the plan is an answer too."""
    served.fake.faults.add(Fault(status=403, operation="insights.rooms", headers={"X-Throttle": "roomKey=abc"}))
    ended = here("probe")
    assert ended.code == 0
    assert "read as: nothing about the budget" in on_terminal("probe").out
    assert [row["status"] for row in ended.rows()] == [404, 200, 403]
    assert ended.rows()[1]["read"] == dict.fromkeys(("limit", "remaining", "reset_in", "retry_after", "period"))
    assert "abc" not in ended.out


@pytest.mark.parametrize(
    ("served", "formats"),
    [
        (
            {"header_style": "draft_6"},
            {
                "RateLimit-Limit": "whole number",
                "RateLimit-Remaining": "whole number",
                "RateLimit-Reset": "whole number",
                "RateLimit-Policy": "several numbers",
            },
        ),
        ({"header_style": "draft_7"}, {"RateLimit": "IETF draft 7", "RateLimit-Policy": "several numbers"}),
        (
            {"header_style": "draft_10"},
            {"RateLimit": "IETF drafts 8 to 11", "RateLimit-Policy": "IETF drafts 8 to 11"},
        ),
    ],
    indirect=["served"],
)
@pytest.mark.usefixtures("served")
def test_probe_shows_the_ietf_fields(formats: dict[str, str], here: Runner) -> None:
    """Their names, values and formats in columns that fit a terminal, and how they are read."""
    row = here("probe").rows()[-1]
    lines = on_terminal("probe").lines()
    assert {header["name"]: header["format"] for header in row["headers"]} == formats | {"Date": "HTTP date"}
    assert (row["read"]["limit"], row["read"]["remaining"], row["read"]["period"]) == (1000, 997, 60)
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.split()[:1] == [next(iter(formats))]]
    assert [line for line in lines if line.strip().startswith("read as: limit 1000") and line.endswith("period 60")]


@pytest.mark.usefixtures("served")
def test_probe_with_a_wrong_key_shows_the_answer_and_fails(here: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREBY_API_KEY", "wrong")
    ended = here("probe")
    assert ended.code == 1
    assert [row["status"] for row in ended.rows()] == [401]
    assert "WHEREBY_API_KEY" in ended.err


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("1000", "whole number"),
        ("38.689", "number with a fraction"),
        ("1795323600", "seconds since 1970"),
        ("1795323600.5", "seconds since 1970"),
        ("1795323600123", "milliseconds since 1970"),
        ("2026-11-23T04:53:00.000Z", "ISO 8601 date"),
        ("2026-11-23 04:53:00+0100", "ISO 8601 date"),
        ("Mon, 23 Nov 2026 04:53:00 GMT", "HTTP date"),
        ("Mon Nov 23 2026 04:53:00 GMT+0000 (Coordinated Universal Time)", "JavaScript date"),
        ("100, 100;w=60", "several numbers"),
        ("limit=100,remaining=50, reset=30", "IETF draft 7"),
        ('"default";r=50;t=30', "IETF drafts 8 to 11"),
        ('"a; b"; q=100; w=60; pk=:MDZj:, "c";q=5', "IETF drafts 8 to 11"),
        ("soon", "text"),
        ("", "text"),
    ],
)
def test_formats_have_names(value: str, name: str) -> None:
    assert format_of(value) == name


@pytest.mark.parametrize(
    ("header", "tells"), [("RateLimit-Policy", True), ("retry-after", True), ("Date", True), ("Server", False)]
)
def test_headers_about_the_budget(header: str, tells: bool) -> None:
    assert is_about_the_budget(header) is tells
