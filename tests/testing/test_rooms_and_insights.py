"""Themes and insights: eight operations, over a real socket."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.bare import Bare, jump

from whereby_async.testing import Backdrop, RoomTheme

if TYPE_CHECKING:
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n--\r\n\r\n\x00\xff" * 3
IMAGE_ROUTES = ["logo", "room-background", "room-knock-page-background"]


def form(content: bytes = PNG, *, field: str = "image") -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("note", "hello")
    data.add_field(field, io.BytesIO(content), filename="logo.png", content_type="image/png")
    return data


@pytest.mark.parametrize(
    "path", ["/rooms/abc-1/theme/tokens", "/rooms//abc-1/theme/tokens", "/rooms/%2Fabc-1/theme/tokens"]
)
async def test_room_name_stands_in_the_path_in_three_ways(call: Bare, fake: FakeWhereby, path: str) -> None:
    answer = await call("PUT", path, json={"tokens": {"colors": {"primary": "#1A2b3C"}}})
    assert (answer.status, answer.content) == (204, None)
    assert fake.theme("abc-1") == fake.theme("/abc-1") == RoomTheme(primary="#1A2b3C")


async def test_colours_are_changed_one_by_one_and_reset_together(call: Bare, fake: FakeWhereby) -> None:
    path = "/rooms/abc/theme/tokens"
    await call("PUT", path, json={"tokens": {"colors": {"primary": "#111111", "focus": "#222222"}}})
    await call("PUT", path, json={"tokens": {"colors": {"secondary": "#333333"}}, "tokensPreset": "custom"})
    await call("PUT", path, json={"tokensPreset": "custom"})
    assert fake.theme("/abc") == RoomTheme(primary="#111111", secondary="#333333", focus="#222222")
    await call("PUT", path, json={"tokensPreset": "default"})
    assert fake.theme("/abc") == RoomTheme()


@pytest.mark.parametrize(
    "body",
    [
        {"tokens": {"colors": {"primary": "red"}}},
        {"tokens": {"colors": {"primary": "#12345"}}},
        {"tokens": {"colors": {"focus": None}}},
        {"tokens": {"colors": "#123456"}},
        {"tokens": []},
        {"tokensPreset": "dark"},
    ],
)
async def test_colour_that_is_none_is_refused(call: Bare, fake: FakeWhereby, body: object) -> None:
    assert (await call("PUT", "/rooms/abc/theme/tokens", json=body)).status == 400
    assert fake.theme("/abc") == RoomTheme()


async def test_images_arrive_byte_for_byte(call: Bare, fake: FakeWhereby) -> None:
    for route in IMAGE_ROUTES:
        assert (await call("PUT", f"/rooms/abc/theme/{route}", data=form())).status == 204
    theme = fake.theme("abc")
    assert (theme.logo, theme.background, theme.knock_background) == (PNG, Backdrop(image=PNG), Backdrop(image=PNG))
    record, (file,) = fake.requests[0], fake.requests[0].files
    assert (record.form, file.filename, file.content_type) == ({"note": "hello"}, "logo.png", "image/png")


async def test_predefined_looks_are_set_by_json(call: Bare, fake: FakeWhereby) -> None:
    await call("PUT", "/rooms/abc/theme/logo", data=form())
    assert (await call("PUT", "/rooms/abc/theme/logo", json={"theme": "default"})).status == 204
    await call("PUT", "/rooms/abc/theme/room-background", json={"palette": "grey", "theme": "rocks"})
    await call("PUT", "/rooms/abc/theme/room-knock-page-background", json={"palette": "burgund"})
    assert fake.theme("abc") == RoomTheme(
        background=Backdrop(palette="grey", theme="rocks"), knock_background=Backdrop(palette="burgund")
    )


@pytest.mark.parametrize(
    ("route", "options"),
    [
        ("logo", {"json": {"theme": "rocks"}}),
        ("logo", {"data": b"", "headers": {"Content-Type": "image/png"}}),
        ("room-background", {"json": {}}),
        ("room-background", {"json": {"palette": "mauve"}}),
        ("room-knock-page-background", {"json": {"theme": "sea"}}),
        ("room-knock-page-background", {"data": form(field="file")}),
        ("logo", {"data": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data"}}),
        ("logo", {"data": b"--x\r\nno end of head", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}),
    ],
)
async def test_wrong_look_is_refused(call: Bare, fake: FakeWhereby, route: str, options: dict[str, Any]) -> None:
    assert (await call("PUT", f"/rooms/abc/theme/{route}", **options)).status == 400
    assert fake.theme("abc") == RoomTheme()


async def test_background_has_a_size_limit(call: Bare, fake: FakeWhereby) -> None:
    most = 600 * 1024
    assert (await call("PUT", "/rooms/abc/theme/room-background", data=form(b"x" * most))).status == 204
    assert (await call("PUT", "/rooms/abc/theme/room-background", data=form(b"x" * (most + 1)))).status == 413
    assert (await call("PUT", "/rooms/abc/theme/logo", data=form(b"x" * (2 * most)))).status == 204
    assert fake.theme("abc").background == Backdrop(image=b"x" * most)


async def test_insights_reckon_rooms_from_their_sessions(call: Bare, fake: FakeWhereby) -> None:
    """Minutes are rounded up per person; the rating is that of the last session."""
    meeting = fake.add_meeting(room_name="/team", start_date="2025-01-01T00:00:00Z")
    first = fake.add_session("team", participants=["Ada", "Bob"], started_at="2025-01-01T10:00:00Z", duration=90.0)
    last = fake.add_session("/team", participants=0, started_at="2025-01-02T10:00:00Z", duration=600.0)
    for rating in (4.0, 5.0):
        fake.add_participant(last["roomSessionId"], rating=rating, tags=["audio-quality"], comment="ok")
    fake.add_recording(room_session_id=first["roomSessionId"], duration=61.0)
    (row,) = (await call("GET", "/insights/rooms")).content["results"]
    assert row == {
        "roomName": "/team",
        "createdAt": "2025-01-01T00:00:00.000Z",
        "endAt": meeting["endDate"],
        "firstSessionStartedAt": first["startedAt"],
        "lastSessionStartedAt": last["startedAt"],
        "totalParticipantMinutes": 24,
        "totalRecorderMinutes": 2,
        "totalStreamerMinutes": 0,
        "totalUniqueParticipants": 4,
        "totalUniqueRecorders": 1,
        "totalUniqueStreamers": 0,
        "totalSessions": 2,
        "rating": 4.5,
        "totalRatings": 2,
    }


async def test_insights_know_rooms_without_sessions(call: Bare, fake: FakeWhereby) -> None:
    fake.add_meeting()
    (row,) = (await call("GET", "/insights/rooms")).content["results"]
    assert row["totalSessions"] == 0
    assert row["firstSessionStartedAt"] is row["lastSessionStartedAt"] is row["rating"] is None


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("roomName[exact]=/team-1", "1"),
        ("roomName%5BstartsWith%5D=%2Fteam", "12"),
        ("roomName[contains]=2", "2"),
        ("createdAt[from]=2025-02-01T00:00:00.000Z", "23"),
        ("createdAt[to]=2025-02-01T00:00:00.000Z", "12"),
        ("createdAt[from]=2025-02-01T00:00:00Z&createdAt[to]=2025-02-01T00:00:00Z", "2"),
        ("sortBy=createdAt:desc", "321"),
        ("sortBy=totalSessions:desc&limit=1", "3"),
    ],
)
async def test_rooms_are_filtered_and_sorted(call: Bare, fake: FakeWhereby, query: str, names: str) -> None:
    for month, name in enumerate(("/team-1", "/team-2", "/crew-3"), 1):
        fake.add_meeting(room_name=name, start_date=f"2025-0{month}-01T00:00:00Z")
    fake.add_session("/crew-3")
    rows = (await call("GET", f"/insights/rooms?{query}")).content["results"]
    assert "".join(row["roomName"][-1] for row in rows) == names


@pytest.mark.parametrize("start", [None, "Invalid date", -62135596800000])
async def test_insights_show_a_start_that_is_no_date(call: Bare, fake: FakeWhereby, start: object) -> None:
    """As tests put it there to see what comes of it; it stands before all dates."""
    sessions = [fake.add_session("/a")["roomSessionId"] for _ in range(3)]
    fake.sessions[sessions[1]]["startedAt"] = fake.sessions[sessions[2]]["startedAt"] = start
    (room,) = (await call("GET", "/insights/rooms?sortBy=firstSessionStartedAt:asc")).content["results"]
    assert (room["firstSessionStartedAt"], room["totalSessions"]) == (start, 3)
    assert room["lastSessionStartedAt"] == fake.sessions[sessions[0]]["startedAt"]
    path = "/insights/room-sessions?roomName=/a&sortBy=startedAt:asc"
    rows = (await call("GET", path)).content["results"]
    assert {row["roomSessionId"] for row in rows} == set(sessions)
    assert isinstance(start, str) or rows[2]["roomSessionId"] == sessions[0]


async def test_insights_come_in_pages_of_ten(call: Bare, fake: FakeWhereby) -> None:
    for _ in range(30):
        fake.add_meeting()
    assert len((await call("GET", "/insights/rooms")).content["results"]) == 10
    assert len((await call("GET", "/insights/rooms?limit=100")).content["results"]) == 30


async def test_running_session_has_no_end(call: Bare, fake: FakeWhereby) -> None:
    session = fake.add_session("/live", ended=False, duration=60.0, participants=1)
    (row,) = (await call("GET", "/insights/room-sessions?roomName=/live")).content["results"]
    assert (row["roomSessionId"], row["endedAt"]) == (session["roomSessionId"], None)
    jump(600.0)
    (later,) = (await call("GET", "/insights/room-sessions?roomName=/live")).content["results"]
    assert later["totalParticipantMinutes"] - row["totalParticipantMinutes"] in {9, 10, 11}
    (person,) = fake.participants[session["roomSessionId"]]
    assert person["leftAt"] is None


async def test_session_can_be_ended(call: Bare, fake: FakeWhereby) -> None:
    """Who is still there leaves with it; who has left, and a session that is over, stay as they are."""
    session = fake.add_session("/live", ended=False, duration=600.0, participants=1)["roomSessionId"]
    left = fake.add_participant(session, left_at=-60.0)["leftAt"]
    fake.end_session(session)
    (row,) = (await call("GET", "/insights/room-sessions?roomName=/live")).content["results"]
    assert [person["leftAt"] for person in fake.participants[session]] == [row["endedAt"], left]
    assert row["endedAt"] > left
    jump(60.0)
    fake.end_session(session)
    assert fake.sessions[session]["endedAt"] == row["endedAt"]
    with pytest.raises(KeyError, match="add_session makes one"):
        fake.end_session("unknown")


async def test_sessions_are_of_one_room(call: Bare, fake: FakeWhereby) -> None:
    wanted = fake.add_session("/a")["roomSessionId"]
    fake.add_session("/a", participants=5)
    fake.add_session("/b")
    assert (await call("GET", "/insights/room-sessions")).status == 400
    path = "/insights/room-sessions?roomName=/a"
    rows = (await call("GET", f"{path}&sortBy=totalUniqueParticipants:desc")).content["results"]
    assert [row["totalUniqueParticipants"] for row in rows] == [5, 2]
    rows = (await call("GET", f"{path}&roomSessionId={wanted}")).content["results"]
    assert [row["roomSessionId"] for row in rows] == [wanted]


async def test_participants_are_of_a_session_or_an_external_id(call: Bare, fake: FakeWhereby) -> None:
    """One of the two is required; an external id is looked for in all sessions."""
    first, second = (fake.add_session("/a", participants=0)["roomSessionId"] for _ in range(2))
    fake.add_participant(first, display_name="Ada", external_id="u-1")
    fake.add_participant(first, display_name="Bob", joined_at="2025-01-01T00:00:00Z", left_at="2025-01-01T00:01:00Z")
    fake.add_participant(second, display_name=None, external_id="u-1")
    assert (await call("GET", "/insights/participants")).status == 400
    path = "/insights/participants?sortBy=joinedAt:asc&roomSessionId="
    assert [row["displayName"] for row in (await call("GET", path + first)).content["results"]] == ["Bob", "Ada"]
    rows = (await call("GET", "/insights/participants?externalId=u-1")).content["results"]
    assert [(row["roomSessionId"], row["displayName"]) for row in rows] == [(first, "Ada"), (second, None)]
    assert (await call("GET", "/insights/participants?roomSessionId=unknown")).content["results"] == []


async def test_one_participant_is_an_array(call: Bare, fake: FakeWhereby) -> None:
    session = fake.add_session("/a", participants=0)["roomSessionId"]
    person = fake.add_participant(session, display_name="Ada", role_name="host", samples=4)
    path = f"/insights/participant?roomSessionId={session}&participantId="
    (details,) = (await call("GET", path + person["participantId"])).content
    assert (details["displayName"], details["userRole"], details["sampleRateMs"]) == ("Ada", "host", 2000)
    assert [len(values) for values in details["samples"].values()] == [4, 4, 4, 4]
    assert details["samples"].keys() == {"packetLossSend", "packetLossRecv", "bitrateSend", "bitrateRecv"}
    assert (await call("GET", path + "unknown")).content == []
    assert (await call("GET", path)).status == 400
    assert (await call("GET", "/insights/participant?participantId=x")).status == 400
