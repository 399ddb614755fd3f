"""Recordings, transcriptions and summaries: the fourteen operations but for their files, over a real socket."""

from __future__ import annotations

from typing import Any

import pytest
from testing.bare import Bare, jump

from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "contradiction",
    [{"content": b"x", "size": 5}, {"size": -1}, {"duration": -1.0}, {"room_name": "/b", "room_session_id": "?"}],
    ids=str,
)
def test_recording_that_cannot_be_is_refused(contradiction: dict[str, Any]) -> None:
    """Rather than made from one half of what was said."""
    fake = FakeWhereby()
    if "room_session_id" in contradiction:
        contradiction = {**contradiction, "room_session_id": fake.add_session("/a")["roomSessionId"]}
    with pytest.raises(ValueError, match=r"content=|size=|duration=|is of '/a', not of '/b'"):
        fake.add_recording(**contradiction)
    assert fake.recordings == {}


async def test_recording_looks_like_the_real_one(call: Bare, fake: FakeWhereby) -> None:
    """The file is named after the room without its slash and the start without milliseconds."""
    made = fake.add_recording(room_name="standup", content=b"x" * 250_000, start_date="2025-11-11T19:04:23.000Z")
    got = (await call("GET", f"/recordings/{made['recordingId']}")).content
    assert got == made
    assert got["filename"] == "standup-2025-11-11T19:04:23Z.mp4"
    assert (got["roomName"], got["sizeInMegaBytes"], got["endDate"]) == ("/standup", 0.25, "2025-11-11T19:05:23.000Z")


async def test_recording_of_a_session_has_its_room(call: Bare, fake: FakeWhereby) -> None:
    """Session and room go together."""
    session = fake.add_session("/weekly")
    made = fake.add_recording(room_session_id=session["roomSessionId"], file_format="mkv")
    got = (await call("GET", "/recordings?roomName=/weekly")).content["results"]
    assert got == [made]
    assert (await call("GET", "/recordings?roomName=/weekl")).content["results"] == []
    assert made["filename"].endswith(".mkv")


@pytest.mark.parametrize(
    ("sort_by", "order"),
    [
        ("roomName:asc", "abc"),
        ("startDate:desc", "cba"),
        ("duration:asc", "bca"),
        ("sizeInMegaBytes:desc", "cab"),
    ],
)
async def test_recordings_are_sorted(call: Bare, fake: FakeWhereby, sort_by: str, order: str) -> None:
    """By each documented field, in either direction."""
    for name, start, duration, size in [
        ("/a", -300.0, 90.0, 200_000),
        ("/b", -200.0, 30.0, 100_000),
        ("/c", -100.0, 60.0, 300_000),
    ]:
        fake.add_recording(room_name=name, start_date=start, duration=duration, size=size)
    rows = (await call("GET", f"/recordings?sortBy={sort_by}")).content["results"]
    assert "".join(row["roomName"][1:] for row in rows) == order


@pytest.mark.parametrize(
    "path",
    [
        "/recordings?sortBy=filename:asc",
        "/recordings?sortBy=roomName",
        "/transcriptions?sortBy=roomName:up",
        "/summaries?sortBy=x:asc",
    ],
)
async def test_unknown_order_is_refused(call: Bare, path: str) -> None:
    """A field or a direction that is not documented is a 400."""
    answer = await call("GET", path)
    assert (answer.status, answer.content["error"].startswith("sortBy")) == (400, True)


@pytest.mark.parametrize("kind", ["recording", "transcription"])
async def test_bulk_delete_pays_no_heed_to_unknown_ids(call: Bare, fake: FakeWhereby, kind: str) -> None:
    """What is there goes, what is not is no error, and the answer has no body."""
    kept, gone = (getattr(fake, f"add_{kind}")()[f"{kind}Id"] for _ in range(2))
    answer = await call("POST", f"/{kind}s/bulk-delete", json={f"{kind}Ids": [gone, "unknown"]})
    assert (answer.status, answer.content) == (204, None)
    assert [row[f"{kind}Id"] for row in (await call("GET", f"/{kind}s")).content["results"]] == [kept]
    assert set(fake.files) == {kept}


@pytest.mark.parametrize("body", [{}, {"recordingIds": "one"}, {"recordingIds": [1]}])
async def test_bulk_delete_wants_a_list_of_strings(call: Bare, body: object) -> None:
    """Anything else is a 400."""
    assert (await call("POST", "/recordings/bulk-delete", json=body)).status == 400


@pytest.mark.parametrize("kind", ["recording", "transcription", "summary"])
async def test_delete_is_idempotent(call: Bare, fake: FakeWhereby, kind: str) -> None:
    """204 for the first, the second and an unknown one; the thing is a 404 after that."""
    plural = "summaries" if kind == "summary" else f"{kind}s"
    transcription = fake.add_transcription()
    made = {
        "recording": fake.add_recording(),
        "transcription": transcription,
        "summary": fake.add_summary(transcription["transcriptionId"]),
    }[kind]
    path = f"/{plural}/{made[kind + 'Id']}"
    assert (await call("GET", path)).content == made
    assert [(await call("DELETE", path)).status for _ in range(2)] == [204, 204]
    gone = await call("GET", path)
    assert (gone.status, gone.content) == (404, {"error": f"Could not find {kind}"})


async def test_transcription_runs_until_it_is_ready(call: Bare, fake: FakeWhereby) -> None:
    """It is in progress for the processing time, then has a file and a duration."""
    fake.processing_time = 30.0
    recording = fake.add_recording(room_name="/board", start_date="2025-01-01T00:00:00Z")
    status, _, made = await call("POST", "/transcriptions", json={"recordingId": recording["recordingId"]})
    assert (status, list(made)) == (201, ["transcriptionId"])
    path = f"/transcriptions/{made['transcriptionId']}"
    running = (await call("GET", path)).content
    assert (running["state"], running["type"]) == ("in_progress", "RECORDING_TRANSCRIPTION")
    assert running["roomSessionId"] == recording["roomSessionId"]
    assert "filename" not in running
    jump(30.0)
    ready = (await call("GET", path)).content
    assert (ready["state"], ready["durationInSeconds"]) == ("ready", 60.0)
    assert ready["filename"] == "board-2025-01-01T00:00:00.000Z.md"


async def test_transcription_can_be_told_to_fail(call: Bare, fake: FakeWhereby) -> None:
    """Without a processing time it runs until it is told how it ends."""
    fake.processing_time = None
    made = fake.add_transcription(state="in_progress")["transcriptionId"]
    jump(86_400.0)
    assert (await call("GET", f"/transcriptions/{made}")).content["state"] == "in_progress"
    fake.finish_transcription(made, "failed")
    assert (await call("GET", f"/transcriptions/{made}")).content["state"] == "failed"


async def test_deleted_job_does_not_come_back(call: Bare, fake: FakeWhereby) -> None:
    """A transcription that is deleted while it runs stays away."""
    made = fake.add_transcription(state="in_progress")["transcriptionId"]
    await call("DELETE", f"/transcriptions/{made}")
    jump(10.0)
    assert (await call("GET", f"/transcriptions/{made}")).status == 404
    assert (await call("GET", "/transcriptions")).content["results"] == []


@pytest.mark.parametrize("body", [{}, {"recordingId": 5}])
async def test_transcription_wants_a_recording(call: Bare, fake: FakeWhereby, body: object) -> None:
    """400 without an id, 404 for an unknown one, 403 for one that Whereby does not host."""
    assert (await call("POST", "/transcriptions", json=body)).status == 400
    assert (await call("POST", "/transcriptions", json={"recordingId": "unknown"})).status == 404
    own = fake.add_recording(storage_type="SELF_HOSTED")["recordingId"]
    assert (await call("POST", "/transcriptions", json={"recordingId": own})).status == 403


async def test_transcriptions_are_filtered_and_sorted(call: Bare, fake: FakeWhereby) -> None:
    """By room, and by duration, those that have none first."""
    fake.processing_time = None
    fake.add_transcription(room_name="/a", duration=60.0)
    fake.add_transcription(room_name="/a", duration=30.0)
    fake.add_transcription(room_name="/a", state="in_progress")
    fake.add_transcription(room_name="/b")
    rows = (await call("GET", "/transcriptions?roomName=%2Fa&sortBy=durationInSeconds:asc")).content["results"]
    assert [row.get("durationInSeconds") for row in rows] == [None, 30.0, 60.0]


@pytest.mark.parametrize(
    ("template", "keys"),
    [
        (None, {"summary"}),
        ("Educational Lecture", {"summary"}),
        ("SOAP", {"summary", "SOAP"}),
        ("Extended SOAP", {"summary", "extended_SOAP"}),
    ],
)
async def test_summary_holds_what_its_template_says(
    call: Bare, fake: FakeWhereby, template: str | None, keys: set[str]
) -> None:
    """It is empty while in progress; its keys depend on the template, which is General Bulleted by default."""
    transcription = fake.add_transcription(room_name="/talk")
    body = {"transcriptionId": transcription["transcriptionId"]} | ({"template": template} if template else {})
    status, _, made = await call("POST", "/summaries", json=body)
    assert (status, list(made)) == (201, ["summaryId"])
    running = (await call("GET", f"/summaries/{made['summaryId']}")).content
    assert (running["state"], running["summary"]) == ("in_progress", {})
    jump(1.0)
    ready = (await call("GET", f"/summaries/{made['summaryId']}")).content
    assert (ready["state"], set(ready["summary"])) == ("ready", keys)
    assert ready["template"] == (template or "General Bulleted")
    assert ready["roomName"] == "/talk"
    assert ready["modifiedAt"] > ready["createdAt"]


async def test_there_is_one_summary_per_transcription(call: Bare, fake: FakeWhereby) -> None:
    """A second one is a 409 until the first is deleted."""
    body = {"transcriptionId": fake.add_transcription()["transcriptionId"]}
    first = (await call("POST", "/summaries", json=body)).content["summaryId"]
    assert (await call("POST", "/summaries", json=body)).status == 409
    await call("DELETE", f"/summaries/{first}")
    assert (await call("POST", "/summaries", json=body)).status == 201


async def test_summary_wants_a_finished_transcription(call: Bare, fake: FakeWhereby) -> None:
    """400 without an id, with an unknown template or before it is ready; 404 for an unknown one; 403 if hosted elsewhere."""
    fake.processing_time = None
    running = fake.add_transcription(state="in_progress")["transcriptionId"]
    own = fake.add_transcription(storage_type="SELF_HOSTED")["transcriptionId"]
    bodies = [{}, {"transcriptionId": running, "template": "Haiku"}, {"transcriptionId": running}]
    assert [(await call("POST", "/summaries", json=body)).status for body in bodies] == [400, 400, 400]
    assert (await call("POST", "/summaries", json={"transcriptionId": "unknown"})).status == 404
    assert (await call("POST", "/summaries", json={"transcriptionId": own})).status == 403


async def test_summaries_are_listed_in_order(call: Bare, fake: FakeWhereby) -> None:
    """By room name and by the length of what they sum up; a failed one has no text."""
    for name, duration in [("/b", 10.0), ("/a", 20.0)]:
        source = fake.add_transcription(room_name=name, duration=duration)["transcriptionId"]
        fake.add_summary(source, state="failed")
    rows = (await call("GET", "/summaries?sortBy=roomName:asc")).content["results"]
    assert [(row["roomName"], row["state"], row["summary"]) for row in rows] == [
        ("/a", "failed", {}),
        ("/b", "failed", {}),
    ]
    rows = (await call("GET", "/summaries?sortBy=durationInSeconds:asc")).content["results"]
    assert [row["roomName"] for row in rows] == ["/b", "/a"]
