"""The four operations of meetings, over a real socket."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from support.bare import Bare, jump

if TYPE_CHECKING:
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def soon(**body: Any) -> dict[str, Any]:
    """The body of a meeting that ends in an hour."""
    return {"endDate": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), **body}


async def test_created_meeting_looks_like_the_real_one(call: Bare) -> None:
    status, _, meeting = await call("POST", "/meetings", json=soon())
    assert status == 201
    assert set(meeting) == {"meetingId", "roomName", "roomUrl", "startDate", "endDate"}
    assert re.fullmatch(r"\d{9}", meeting["meetingId"])
    assert re.fullmatch(rf"/{UUID}", meeting["roomName"])
    assert meeting["roomUrl"] == f"https://example.whereby.com{meeting['roomName']}"
    assert re.fullmatch(DATE, meeting["startDate"])
    assert re.fullmatch(DATE, meeting["endDate"])


async def test_end_date_is_answered_in_utc(call: Bare) -> None:
    """An offset is taken into account, and a date without one is UTC."""
    there = datetime.now(timezone(timedelta(hours=-5))).replace(microsecond=0) + timedelta(hours=1)
    utc = there.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert (await call("POST", "/meetings", json={"endDate": there.isoformat()})).content["endDate"] == utc
    assert (await call("POST", "/meetings", json={"endDate": utc.removesuffix(".000Z")})).content["endDate"] == utc


@pytest.mark.parametrize("date", ["9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:30:00Z"])
async def test_end_date_at_the_end_of_the_calendar_is_answered(call: Bare, date: str) -> None:
    """In UTC it is beyond it, or the room's end is, an hour later."""
    made = await call("POST", "/meetings", json={"endDate": date})
    assert made.status == 201
    assert made.content["endDate"].startswith("9999-12-31T23:")


async def test_end_date_before_the_calendar_is_refused(call: Bare) -> None:
    assert (await call("POST", "/meetings", json={"endDate": "0001-01-01T00:00:00+12:00"})).status == 400


async def test_room_name_begins_with_the_prefix(call: Bare) -> None:
    """The prefix is lower-cased, its white space removed; `human-short` adds six letters."""
    body = soon(roomNamePrefix="Customer 0348-", roomNamePattern="human-short")
    meeting = (await call("POST", "/meetings", json=body)).content
    assert re.fullmatch(r"/customer0348-[a-z]{6}", meeting["roomName"])


async def test_room_links_come_on_request(call: Bare, fake: FakeWhereby) -> None:
    """`fields` is a list in the body of POST and a comma list in the query of GET; the keys look like JWTs."""
    wanted = ["hostRoomUrl", "viewerRoomUrl"]
    meeting = (await call("POST", "/meetings", json=soon(fields=wanted))).content
    for name in wanted:
        assert re.fullmatch(r"https://example\.whereby\.com/\S+\?roomKey=eyJ[\w-]+\.[\w-]+\.[\w-]+", meeting[name])
    assert meeting["hostRoomUrl"] != meeting["viewerRoomUrl"]
    got = await call("GET", f"/meetings/{meeting['meetingId']}?fields=hostRoomUrl%2CviewerRoomUrl")
    assert got.content == meeting
    assert (await call("GET", "/meetings?fields=hostRoomUrl,viewerRoomUrl")).content["results"] == [meeting]
    assert fake.requests[0].json["fields"] == wanted


async def test_viewer_mode_gives_links_without_asking(call: Bare, fake: FakeWhereby) -> None:
    meeting = (await call("POST", "/meetings", json=soon(templateType="viewerMode"))).content
    assert {"hostRoomUrl", "viewerRoomUrl"} <= set(meeting)
    kept = fake.meetings[meeting["meetingId"]]
    assert (kept["isLocked"], kept["roomMode"]) == (True, "group")


async def test_dial_in_comes_on_request(call: Bare) -> None:
    body = soon(isDialInEnabled=True, fields=["dialIn"])
    meeting = (await call("POST", "/meetings", json=body)).content
    assert re.fullmatch(r"\d{6}", meeting["dialIn"]["code"])
    assert set(meeting["dialIn"]["phoneNumbers"][0]) == {"countryCode", "phoneNumber"}
    assert meeting["roomPreferences"] == {"dialIn": True}
    assert "dialIn" not in (await call("GET", f"/meetings/{meeting['meetingId']}")).content
    plain = (await call("POST", "/meetings", json=soon(fields=["dialIn"]))).content
    assert "dialIn" not in plain


async def test_settings_are_kept_for_tests_to_see(call: Bare, fake: FakeWhereby) -> None:
    """What was asked of the room is in the world, not in the answer; null is as good as nothing."""
    recording = {"type": "cloud", "destination": None, "startTrigger": "automatic"}
    body = soon(recording=recording, roomMode="group", streaming=None)
    meeting = (await call("POST", "/meetings", json=body)).content
    kept = fake.meetings[meeting["meetingId"]]
    assert (kept["recording"], kept["roomMode"]) == (recording, "group")
    assert "streaming" not in kept
    assert "recording" not in meeting


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "must be a JSON object"),
        ({}, "endDate is required"),
        ({"endDate": "tomorrow"}, "endDate is required"),
        ({"endDate": "2999-13-01T00:00:00Z"}, "endDate is required"),
        ({"endDate": "2020-05-12T16:42:49Z"}, "must not be in the past"),
        (soon(roomMode="huge"), "roomMode must be one of group, normal"),
        (soon(roomNamePattern="random"), "roomNamePattern must be one of"),
        (soon(templateType="webinar"), "templateType must be one of"),
        (soon(roomNamePrefix="x" * 40), "at most 39 characters"),
        (soon(roomNamePrefix=7), "at most 39 characters"),
        (soon(roomNamePrefix="a/b"), "letters, digits and dashes"),
        (soon(recording="cloud"), "recording must be an object"),
        (soon(isLocked="yes"), "isLocked must be a boolean"),
        (soon(fields="hostRoomUrl"), "fields must be a list"),
        (soon(fields=["secretRoomUrl"]), "fields must be a list"),
    ],
)
async def test_wrong_body_is_refused_with_a_reason(call: Bare, fake: FakeWhereby, body: object, words: str) -> None:
    status, _, content = await call("POST", "/meetings", json=body)
    assert (status, words in content["error"]) == (400, True), content
    assert not fake.meetings
    assert not fake.requests[0].acted


async def test_body_that_is_no_json_is_refused(call: Bare) -> None:
    broken = await call("POST", "/meetings", data=b"{", headers={"Content-Type": "application/json"})
    other = await call("POST", "/meetings", data=json.dumps(soon()).encode(), headers={"Content-Type": "text/plain"})
    assert (broken.status, other.status) == (400, 400)


async def test_meeting_is_gone_an_hour_after_its_end(call: Bare, fake: FakeWhereby) -> None:
    path = f"/meetings/{fake.add_meeting(end_date=60.0)['meetingId']}"
    jump(3600.0)
    assert (await call("GET", path)).status == 200
    assert len((await call("GET", "/meetings")).content["results"]) == 1
    jump(100.0)
    assert (await call("GET", path)).status == 404
    fake.add_meeting(end_date=-4000.0)
    assert (await call("GET", "/meetings")).content["results"] == []
    assert len(fake.rooms) == 2


async def test_listing_walks_through_250_meetings(call: Bare, fake: FakeWhereby) -> None:
    ids = [fake.add_meeting()["meetingId"] for _ in range(250)]
    first = (await call("GET", "/meetings")).content
    assert len(first["results"]) == 50
    assert json.loads(base64.b64decode(first["cursor"])) == {"type": "offset", "value": "50"}
    seen, cursor, pages = list[str](), "", 0
    while cursor is not None:
        page = (await call("GET", f"/meetings?limit=100&cursor={cursor.replace('=', '%3D')}")).content
        seen += [meeting["meetingId"] for meeting in page["results"]]
        cursor, pages = page["cursor"], pages + 1
    assert (seen, pages) == (ids, 3)


async def test_page_that_ends_the_list_exactly_is_the_last(call: Bare, fake: FakeWhereby) -> None:
    """There is no empty page behind it; and one beyond the end is empty, not an error."""
    for _ in range(5):
        fake.add_meeting()
    assert (await call("GET", "/meetings?limit=5")).content["cursor"] is None
    beyond = base64.b64encode(b'{"type":"offset","value":"9"}').decode().replace("=", "%3D")
    assert (await call("GET", f"/meetings?cursor={beyond}")).content == {"results": [], "cursor": None}


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "1.5", "", "%C2%B2", "9" * 5000, "5&limit=6"])
async def test_limit_out_of_range_is_refused(call: Bare, limit: str) -> None:
    answer = await call("GET", f"/meetings?limit={limit}")
    assert (answer.status, answer.content) == (400, {"error": "limit must be a whole number from 1 to 100"})


@pytest.mark.parametrize(
    "query",
    [
        "cursor=8f4031bfc7640c5f267b11b6fe0c2507",
        "cursor=%21",
        "cursor=bm90IGpzb24%3D",
        "cursor=eyJ0eXBlIjoib2Zmc2V0In0%3D",
        "fields=hostRoomUrl,roomKey",
    ],
)
async def test_foreign_cursor_and_unknown_field_are_refused(call: Bare, query: str) -> None:
    assert (await call("GET", f"/meetings?{query}")).status == 400


async def test_meetings_can_be_filtered_by_name(call: Bare, fake: FakeWhereby) -> None:
    """`roomName[startsWith]` is documented for this list too; the server can be told to pay it no heed."""
    wanted = fake.add_meeting(room_name_prefix="customer-a-")["meetingId"]
    fake.add_meeting(room_name_prefix="customer-b-")
    path = "/meetings?roomName[startsWith]=/customer-a"
    assert [meeting["meetingId"] for meeting in (await call("GET", path)).content["results"]] == [wanted]
    fake.ignores_name_filter = True
    assert len((await call("GET", path)).content["results"]) == 2


async def test_names_of_fields_may_be_repeated(call: Bare, fake: FakeWhereby) -> None:
    fake.add_meeting()
    (row,) = (await call("GET", "/meetings?fields=hostRoomUrl&fields=viewerRoomUrl")).content["results"]
    assert {"hostRoomUrl", "viewerRoomUrl"} <= row.keys()


async def test_meeting_whose_end_is_no_date_stays(call: Bare, fake: FakeWhereby) -> None:
    """As tests put it there to see what comes of it."""
    fake.meetings[fake.add_meeting()["meetingId"]]["endDate"] = None
    (row,) = (await call("GET", "/meetings")).content["results"]
    assert row["endDate"] is None


async def test_cursor_skips_rows_when_rows_before_it_vanish(call: Bare, fake: FakeWhereby) -> None:
    """A cursor is an offset: a row that is deleted or expires while one pages shifts the rest, and one is not seen."""
    rooms = [fake.add_meeting(room_name=f"/{number}", end_date=1800.0 * number) for number in range(4)]
    first = (await call("GET", "/meetings?limit=2")).content
    await call("DELETE", f"/meetings/{rooms[1]['meetingId']}")
    second = (await call("GET", f"/meetings?limit=2&cursor={first['cursor']}")).content
    assert [row["roomName"] for row in first["results"] + second["results"]] == ["/0", "/1", "/3"]
    jump(3600.0 + 1.0)
    assert [row["roomName"] for row in (await call("GET", "/meetings")).content["results"]] == ["/2", "/3"]
