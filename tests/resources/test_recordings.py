"""Recordings, transcriptions and summaries: what their calls send, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from whereby_async import NotFoundError
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio


async def test_list_filters_by_room_and_sorts(fake: FakeWhereby, whereby: WherebyClient) -> None:
    fake.add_recording(room_name="/demo")
    fake.add_recording(room_name="/other")
    found = await whereby.recordings.list(room_name="/demo", sort_by="startDate:desc", page_size=3).collect()
    assert [recording.room_name for recording in found] == ["/demo"]
    assert fake.requests[0].target == "/v1/recordings?roomName=%2Fdemo&sortBy=startDate%3Adesc&limit=3"


async def test_list_takes_extra(fake: FakeWhereby, whereby: WherebyClient) -> None:
    await whereby.recordings.list(room_name="/demo", extra={"roomName": "/other", "new": 1})
    assert dict(fake.requests[0].query) == {"roomName": "/other", "new": "1", "limit": "100"}


async def test_delete_takes_the_id_in_the_path(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """An id with characters that mean something in a URL stays one segment."""
    await whereby.recordings.delete("a b?c#d%2F&é", extra={"x": True})
    assert fake.requests[0].target == "/v1/recordings/a%20b%3Fc%23d%252F%26%C3%A9?x=true"


async def test_bulk_delete_sends_each_id_once_in_order(fake: FakeWhereby, whereby: WherebyClient) -> None:
    ids = [fake.add_recording(room_name="/demo")["recordingId"] for _ in range(3)]
    await whereby.recordings.bulk_delete(iter([*ids, ids[0]]), extra={"why": "old"})
    (request,) = fake.requests
    assert (request.method, request.target) == ("POST", "/v1/recordings/bulk-delete")
    assert request.json == {"recordingIds": ids, "why": "old"}
    assert not fake.recordings


async def test_access_link_says_how_long_it_is_valid(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """`valid_for` is always sent, an hour by default; the expiry comes back as a date."""
    known = fake.add_recording(room_name="/demo", content=b"film")
    link = await whereby.recordings.access_link(known["recordingId"])
    await whereby.recordings.access_link(known["recordingId"], valid_for=43_200, extra={"x": 1})
    path = f"/v1/recordings/{known['recordingId']}/access-link"
    assert [request.target for request in fake.requests] == [
        f"{path}?validForSeconds=3600",
        f"{path}?validForSeconds=43200&x=1",
    ]
    assert link.access_link.startswith(fake.url.removesuffix("/v1"))
    assert link.expires is not None
    assert link.expires.utcoffset() is not None


async def test_create_transcription_sends_the_recording(fake: FakeWhereby, whereby: WherebyClient) -> None:
    recording = fake.add_recording(room_name="/demo", content=b"film")["recordingId"]
    job = await whereby.transcriptions.create(recording, extra={"language": "en"})
    (request,) = fake.requests
    assert (request.method, request.target) == ("POST", "/v1/transcriptions")
    assert request.json == {"recordingId": recording, "language": "en"}
    assert job.transcription_id in fake.transcriptions


async def test_create_transcription_accepts_a_bare_string(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The API once answered with the id alone."""
    fake.faults.add(Fault(status=201, body=b'"abc"'))
    assert (await whereby.transcriptions.create("1")).transcription_id == "abc"


async def test_transcription_is_read_listed_linked_and_deleted(fake: FakeWhereby, whereby: WherebyClient) -> None:
    known = fake.add_transcription(room_name="/demo", content=b"words")["transcriptionId"]
    transcription = await whereby.transcriptions.get(known, extra={"x": 1})
    listed = await whereby.transcriptions.list(room_name="/demo", sort_by="durationInSeconds:asc").collect()
    link = await whereby.transcriptions.access_link(known, valid_for=1)
    await whereby.transcriptions.delete(known)
    assert transcription.transcription_id == known
    assert [each.transcription_id for each in listed] == [known]
    assert link.access_link
    assert [(request.method, request.target) for request in fake.requests] == [
        ("GET", f"/v1/transcriptions/{known}?x=1"),
        ("GET", "/v1/transcriptions?roomName=%2Fdemo&sortBy=durationInSeconds%3Aasc&limit=100"),
        ("GET", f"/v1/transcriptions/{known}/access-link?validForSeconds=1"),
        ("DELETE", f"/v1/transcriptions/{known}"),
    ]
    with pytest.raises(NotFoundError, match=r"transcriptions\.get: 404"):
        await whereby.transcriptions.get(known)


async def test_create_summary_sends_transcription_and_template(fake: FakeWhereby, whereby: WherebyClient) -> None:
    known = fake.add_transcription(room_name="/demo")["transcriptionId"]
    job = await whereby.summaries.create(known, template="SOAP")
    await whereby.summaries.delete(job.summary_id)
    await whereby.summaries.create(known, extra={"x": None})
    assert fake.requests[0].json == {"transcriptionId": known, "template": "SOAP"}
    assert fake.requests[2].json == {"transcriptionId": known, "x": None}
    assert {request.target for request in fake.requests} == {"/v1/summaries", f"/v1/summaries/{job.summary_id}"}


async def test_summary_is_read_and_listed(fake: FakeWhereby, whereby: WherebyClient) -> None:
    transcription = fake.add_transcription(room_name="/demo")["transcriptionId"]
    known = fake.add_summary(transcription, state="ready")["summaryId"]
    summary = await whereby.summaries.get(known)
    (listed,) = await whereby.summaries.list(sort_by="startDate:asc", page_size=1, extra={"x": "y"}).collect()
    assert summary.summary_id == listed.summary_id == known
    assert summary.transcription_id == transcription
    assert [request.target for request in fake.requests] == [
        f"/v1/summaries/{known}",
        "/v1/summaries?sortBy=startDate%3Aasc&x=y&limit=1",
    ]
