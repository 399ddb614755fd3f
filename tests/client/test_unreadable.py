"""Answers with values that cannot be read: the calls return, each operation warns once, and nothing is lost."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import pytest

from whereby_async import ResponseDecodeError, capture_responses
from whereby_async.models import UnreadableValue
from whereby_async.testing import FakeWhereby, Fault

pytestmark = pytest.mark.anyio
UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


async def test_all_pages_come_and_each_operation_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """Three pages with a bad date each: all rows come, every page names its own, and the log has one line."""
    fake = FakeWhereby()
    for number in range(250):
        meeting = fake.add_meeting()
        if number % 100 == 7:
            fake.meetings[meeting["meetingId"]] |= {"startDate": f"Invalid date {number}"}
    recording = fake.add_recording()["recordingId"]
    fake.recordings[recording] |= {"endDate": "string"}
    async with fake, fake.client() as whereby:
        with caplog.at_level(logging.WARNING, "whereby_async"):
            pages = [page async for page in whereby.meetings.list().pages()]
            rows = await whereby.meetings.list().collect()
            await whereby.with_options(timeout=9.0).recordings.list()
            await whereby.recordings.list()
    assert [len(page) for page in pages] == [100, 100, 50]
    assert [page.unreadable for page in pages] == [
        (UnreadableValue(row=7, field="startDate", text=f"Invalid date {number}"),) for number in (7, 107, 207)
    ]
    assert len(rows) == 250
    assert sum(row.start_date is None for row in rows) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert caplog.messages[0].startswith("meetings.list: startDate of row 7 could not be read and is None")
    assert caplog.messages[1].startswith("recordings.list: endDate of row 0 could not be read")


async def test_single_object_comes_and_its_raw_text_is_in_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A create whose answer has an odd date keeps the id of the room that it made."""
    async with FakeWhereby() as fake, fake.client() as whereby:
        body = {"meetingId": "5", "roomName": "/a", "endDate": "Invalid date", "startDate": "2025-03-01T24:00:00-05:00"}
        fake.faults.add(Fault(operation="meetings.create", body=json.dumps(body).encode()))
        with capture_responses() as answers:
            meeting = await whereby.meetings.create(end_date=UNTIL)
        assert (meeting.meeting_id, meeting.end_date) == ("5", None)
        assert meeting.start_date == datetime(2025, 3, 2, 5, tzinfo=UTC)
        assert json.loads(answers[-1].body)["endDate"] == "Invalid date"
        assert caplog.messages[0].startswith("meetings.create: endDate could not be read and is None")
        details = json.dumps([{"displayName": "Zoe", "timeStamp": "string"}]).encode()
        fake.faults.add(Fault(operation="insights.participant", status=200, body=details))
        (person,) = await whereby.insights.participant("s", "p")
        assert (person.display_name, person.time_stamp) == ("Zoe", None)


async def test_the_log_shows_no_text_of_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"meetingId": "5", "hostRoomUrl": ["https://a.b/c?roomKey=planted"]}).encode()
    async with FakeWhereby() as fake, fake.client() as whereby:
        fake.faults.add(Fault(operation="meetings.get", status=200, body=body))
        await whereby.meetings.get("5")
        fake.faults.add(Fault(operation="meetings.get", status=200, body=b'{"meetingId": {}, "endDate": "planted"}'))
        with pytest.raises(ResponseDecodeError, match=r"^meetings.get: .* at \$\.meetingId"):
            await whereby.meetings.get("5")
    assert len(caplog.messages) == 1
    assert "planted" not in caplog.text
