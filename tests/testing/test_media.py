"""Recordings, transcriptions and summaries, and the files behind access links, over a real socket."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yarl
from support.bare import Bare, jump

from whereby_async.testing import FakeWhereby
from whereby_async.testing.object_store import PatternBlob, byte_range

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "contradiction",
    [{"content": b"x", "size": 5}, {"size": -1}, {"duration": -1.0}, {"room_name": "/b", "room_session_id": "?"}],
    ids=str,
)
def test_recording_that_cannot_be_is_refused(contradiction: dict[str, Any]) -> None:
    fake = FakeWhereby()
    if "room_session_id" in contradiction:
        contradiction = {**contradiction, "room_session_id": fake.add_session("/a")["roomSessionId"]}
    with pytest.raises(ValueError, match=r"content=|size=|duration=|is of '/a', not of '/b'"):
        fake.add_recording(**contradiction)
    assert fake.recordings == {}


async def test_recording_looks_like_the_real_one(call: Bare, fake: FakeWhereby) -> None:
    made = fake.add_recording(room_name="standup", content=b"x" * 250_000, start_date="2025-11-11T19:04:23.000Z")
    got = (await call("GET", f"/recordings/{made['recordingId']}")).content
    assert got == made
    assert got["filename"] == "standup-2025-11-11T19:04:23Z.mp4"
    assert (got["roomName"], got["sizeInMegaBytes"], got["endDate"]) == ("/standup", 0.25, "2025-11-11T19:05:23.000Z")


async def test_recording_of_a_session_has_its_room(call: Bare, fake: FakeWhereby) -> None:
    session = fake.add_session("/weekly")
    made = fake.add_recording(room_session_id=session["roomSessionId"], file_format="mkv")
    got = (await call("GET", "/recordings?roomName=/weekly")).content["results"]
    assert got == [made]
    assert (await call("GET", "/recordings?roomName=/weekl")).content["results"] == []
    assert made["filename"].endswith(".mkv")


@pytest.mark.parametrize(
    ("sort_by", "order"),
    [("roomName:asc", "abc"), ("startDate:desc", "cba"), ("duration:asc", "bca"), ("sizeInMegaBytes:desc", "cab")],
)
async def test_recordings_are_sorted(call: Bare, fake: FakeWhereby, sort_by: str, order: str) -> None:
    fake.add_recording(room_name="/a", start_date=-300.0, duration=90.0, size=200_000)
    fake.add_recording(room_name="/b", start_date=-200.0, duration=30.0, size=100_000)
    fake.add_recording(room_name="/c", start_date=-100.0, duration=60.0, size=300_000)
    rows = (await call("GET", f"/recordings?sortBy={sort_by}")).content["results"]
    assert "".join(row["roomName"][1:] for row in rows) == order


@pytest.mark.parametrize(
    "sort_by",
    [
        *("filename:asc", "roomName", "roomName:up", "roomName:ASC", ":asc", ""),
        *("roomName:asc,startDate:desc", "roomName:asc&sortBy=startDate:desc"),
    ],
)
async def test_unknown_order_is_refused(call: Bare, sort_by: str) -> None:
    """By all lists, meetings among them, which have no order to ask for; two fields are none either."""
    lists = ("meetings", "recordings", "transcriptions", "summaries", "insights/rooms")
    of_one = ("insights/room-sessions?roomName=/a", "insights/participants?roomSessionId=s")
    for path in (*(f"{each}?" for each in lists), *(f"{each}&" for each in of_one)):
        answer = await call("GET", f"/{path}sortBy={sort_by}")
        assert (answer.status, answer.content["error"].startswith("sortBy")) == (400, True), path


async def test_meetings_are_not_sorted(call: Bare, fake: FakeWhereby) -> None:
    """The reference names no field for them."""
    fake.add_meeting()
    for field in ("roomName", "startDate", "endDate"):
        answer = await call("GET", f"/meetings?sortBy={field}:asc")
        assert (answer.status, answer.content) == (400, {"error": "sortBy is not allowed here"})


@pytest.mark.parametrize("kind", ["recording", "transcription"])
async def test_bulk_delete_pays_no_heed_to_unknown_ids(call: Bare, fake: FakeWhereby, kind: str) -> None:
    kept, gone = (getattr(fake, f"add_{kind}")()[f"{kind}Id"] for _ in range(2))
    answer = await call("POST", f"/{kind}s/bulk-delete", json={f"{kind}Ids": [gone, "unknown"]})
    assert (answer.status, answer.content) == (204, None)
    assert [row[f"{kind}Id"] for row in (await call("GET", f"/{kind}s")).content["results"]] == [kept]
    assert set(fake.files) == {kept}


@pytest.mark.parametrize("body", [{}, {"recordingIds": "one"}, {"recordingIds": [1]}])
async def test_bulk_delete_wants_a_list_of_strings(call: Bare, body: object) -> None:
    assert (await call("POST", "/recordings/bulk-delete", json=body)).status == 400


@pytest.mark.parametrize("kind", ["meeting", "recording", "transcription", "summary"])
async def test_delete_is_idempotent(call: Bare, fake: FakeWhereby, kind: str) -> None:
    plural = "summaries" if kind == "summary" else f"{kind}s"
    transcription = fake.add_transcription()
    made = {
        "meeting": fake.add_meeting(),
        "recording": fake.add_recording(),
        "transcription": transcription,
        "summary": fake.add_summary(transcription["transcriptionId"]),
    }[kind]
    path = f"/{plural}/{made[kind + 'Id']}"
    assert (await call("GET", path)).content.items() <= made.items()
    assert [(await call("DELETE", path))[::2] for _ in range(2)] == [(204, None)] * 2
    gone = await call("GET", path)
    assert (gone.status, gone.content) == (404, {"error": f"Could not find {kind}"})


async def test_transcription_runs_until_it_is_ready(call: Bare, fake: FakeWhereby) -> None:
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
    fake.processing_time = None
    made = fake.add_transcription(state="in_progress")["transcriptionId"]
    jump(86_400.0)
    assert (await call("GET", f"/transcriptions/{made}")).content["state"] == "in_progress"
    fake.finish_transcription(made, "failed")
    assert (await call("GET", f"/transcriptions/{made}")).content["state"] == "failed"


async def test_deleted_job_does_not_come_back(call: Bare, fake: FakeWhereby) -> None:
    made = fake.add_transcription(state="in_progress")["transcriptionId"]
    await call("DELETE", f"/transcriptions/{made}")
    jump(10.0)
    assert (await call("GET", "/transcriptions")).content["results"] == []


@pytest.mark.parametrize("body", [{}, {"recordingId": 5}])
async def test_transcription_wants_a_recording(call: Bare, fake: FakeWhereby, body: object) -> None:
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
    assert ready["modifiedAt"] >= ready["createdAt"]


async def test_there_is_one_summary_per_transcription(call: Bare, fake: FakeWhereby) -> None:
    body = {"transcriptionId": fake.add_transcription()["transcriptionId"]}
    first = (await call("POST", "/summaries", json=body)).content["summaryId"]
    assert (await call("POST", "/summaries", json=body)).status == 409
    await call("DELETE", f"/summaries/{first}")
    assert (await call("POST", "/summaries", json=body)).status == 201


async def test_summary_wants_a_finished_transcription(call: Bare, fake: FakeWhereby) -> None:
    fake.processing_time = None
    running = fake.add_transcription(state="in_progress")["transcriptionId"]
    own = fake.add_transcription(storage_type="SELF_HOSTED")["transcriptionId"]
    bodies = [{}, {"transcriptionId": running, "template": "Haiku"}, {"transcriptionId": running}]
    assert [(await call("POST", "/summaries", json=body)).status for body in bodies] == [400, 400, 400]
    assert (await call("POST", "/summaries", json={"transcriptionId": "unknown"})).status == 404
    assert (await call("POST", "/summaries", json={"transcriptionId": own})).status == 403


async def test_summaries_are_listed_in_order(call: Bare, fake: FakeWhereby) -> None:
    for name, duration in [("/b", 10.0), ("/a", 20.0)]:
        source = fake.add_transcription(room_name=name, duration=duration)["transcriptionId"]
        fake.add_summary(source, state="failed")
    rows = (await call("GET", "/summaries?sortBy=roomName:asc")).content["results"]
    assert [(row["roomName"], row["state"], row["summary"]) for row in rows] == [
        (n, "failed", {}) for n in ("/a", "/b")
    ]
    rows = (await call("GET", "/summaries?sortBy=durationInSeconds:asc")).content["results"]
    assert [row["roomName"] for row in rows] == ["/b", "/a"]


CONTENT = bytes(range(256)) * 4


async def link_to(call: Bare, fake: FakeWhereby, query: str = "") -> yarl.URL:
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    answer = await call("GET", f"/recordings/{recording}/access-link{query}")
    return yarl.URL(answer.content["accessLink"], encoded=True)


async def test_link_looks_like_a_presigned_one(call: Bare, fake: FakeWhereby) -> None:
    """Key id, signature and expiry in the query, percent-encoded; `expires` is in milliseconds, an hour from now."""
    recording = fake.add_recording()["recordingId"]
    answer = (await call("GET", f"/recordings/{recording}/access-link")).content
    pattern = rf"http://127\.0\.0\.1:\d+/storage/{recording}\?AWSAccessKeyId=AKIA\w+&Signature=(\S+)&Expires=(\d+)"
    found = re.fullmatch(pattern, answer["accessLink"])
    assert found
    assert found[1].startswith("v%2F1%2B")
    assert answer["expires"] == int(found[2]) * 1000
    assert answer["expires"] / 1000 - fake.now() == pytest.approx(3600, abs=2)


async def test_file_is_served_whole_and_head_says_its_size(call: Bare, fake: FakeWhereby) -> None:
    link = await link_to(call, fake)
    head = await call.fetch("HEAD", link)
    assert (head.status, head.content, head.headers["Content-Length"]) == (200, None, "1024")
    answer = await call.fetch("GET", link)
    assert (answer.status, answer.content, answer.headers["Content-Type"]) == (200, CONTENT, "video/mp4")
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "X-RateLimit-Limit" not in answer.headers
    assert (fake.requests[-1].operation, fake.requests[-1].points, fake.requests[-1].acted) == ("storage", 0, True)


@pytest.mark.parametrize(
    ("asked", "status", "part", "told"),
    [
        ("bytes=0-9", 206, CONTENT[:10], "bytes 0-9/1024"),
        ("bytes=1000-", 206, CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=-24", 206, CONTENT[-24:], "bytes 1000-1023/1024"),
        ("bytes=0-", 206, CONTENT, "bytes 0-1023/1024"),
        ("bytes=1000-9999", 206, CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=9-5", 200, CONTENT, None),
        ("bytes=-", 200, CONTENT, None),
        ("bytes=0-1,5-6", 200, CONTENT, None),
        ("lines=0-1", 200, CONTENT, None),
    ],
)
async def test_range_is_served(  # noqa: PLR0917 - pytest gives them by name
    call: Bare, fake: FakeWhereby, asked: str, status: int, part: bytes, told: str | None
) -> None:
    """A range that is understood is a 206 with its place; any other is as good as none."""
    answer = await call.fetch("GET", await link_to(call, fake), headers={"Range": asked})
    assert (answer.status, answer.content, answer.headers.get("Content-Range")) == (status, part, told)


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=-0"])
async def test_range_beyond_the_end_is_refused(call: Bare, fake: FakeWhereby, asked: str) -> None:
    answer = await call.fetch("GET", await link_to(call, fake), headers={"Range": asked})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */1024")


async def test_range_of_another_version_is_the_whole_file(call: Bare, fake: FakeWhereby) -> None:
    link = await link_to(call, fake)
    tag = (await call.fetch("HEAD", link)).headers["ETag"]
    statuses = [
        (await call.fetch("GET", link, headers={"Range": "bytes=5-", "If-Range": value})).status
        for value in (tag, '"x"')
    ]
    assert statuses == [206, 200]


async def test_link_expires(call: Bare, fake: FakeWhereby) -> None:
    link = await link_to(call, fake, "?validForSeconds=60")
    jump(57.0)
    assert (await call.fetch("GET", link)).status == 200
    jump(3.0)
    late = await call.fetch("GET", link)
    assert (late.status, late.headers["Content-Type"]) == (403, "application/xml")
    assert b"<Message>Request has expired</Message>" in late.content


@pytest.mark.parametrize("seconds", ["0", "43201", "soon"])
async def test_link_is_valid_for_twelve_hours_at_most(call: Bare, fake: FakeWhereby, seconds: str) -> None:
    recording, transcription = fake.add_recording()["recordingId"], fake.add_transcription()["transcriptionId"]
    for path in (f"/recordings/{recording}", f"/transcriptions/{transcription}"):
        assert (await call("GET", f"{path}/access-link?validForSeconds={seconds}")).status == 400
        assert (await call("GET", f"{path}/access-link?validForSeconds=43200")).status == 200


async def test_key_must_not_come_with_a_link(call: Bare, fake: FakeWhereby) -> None:
    """As with S3, two ways of authentication are a 400: a leaked bearer shows."""
    answer = await call.fetch("GET", await link_to(call, fake), headers={"Authorization": f"Bearer {fake.api_key}"})
    assert (answer.status, b"Only one auth mechanism" in answer.content) == (400, True)
    assert not fake.requests[-1].acted


async def test_changed_link_is_refused(call: Bare, fake: FakeWhereby) -> None:
    """A signature that was re-quoted or cut, another file or expiry, no signature: 403."""
    link = str(await link_to(call, fake))
    other = fake.add_recording()["recordingId"]
    path = yarl.URL(link, encoded=True).raw_path
    changed = [
        link.replace("%2B", "+"),
        link.replace("&Expires=1", "&Expires=2"),
        link.replace(path, f"/storage/{other}"),
        link.partition("&Signature")[0],
        link.replace("AKIA", "ASIA"),
    ]
    assert [(await call.fetch("GET", yarl.URL(url, encoded=True))).status for url in changed] == [403] * 5


async def test_deleted_file_is_gone(call: Bare, fake: FakeWhereby) -> None:
    link = await link_to(call, fake)
    assert (await call.fetch("PUT", link)).status == 405
    await call("DELETE", f"/recordings/{next(iter(fake.recordings))}")
    assert (await call.fetch("GET", link)).status == 404


async def test_transcript_is_markdown(call: Bare, fake: FakeWhereby) -> None:
    fake.processing_time = 10.0
    path = f"/transcriptions/{fake.add_transcription(state='in_progress')['transcriptionId']}/access-link"
    assert (await call("GET", path)).status == 404
    jump(10.0)
    answer = await call.fetch("GET", yarl.URL((await call("GET", path)).content["accessLink"], encoded=True))
    assert answer.headers["Content-Type"].startswith("text/markdown")
    assert answer.content.startswith(b"# Transcript")


async def test_there_is_no_link_to_what_is_hosted_elsewhere(call: Bare, fake: FakeWhereby) -> None:
    recording = fake.add_recording(storage_type="SELF_HOSTED")["recordingId"]
    transcription = fake.add_transcription(storage_type="SELF_HOSTED")["transcriptionId"]
    for path in (f"/recordings/{recording}", f"/transcriptions/{transcription}"):
        answer = await call("GET", f"{path}/access-link")
        assert (answer.status, "Whereby-hosted" in answer.content["error"]) == (403, True)
    for path in ("/recordings/unknown", "/transcriptions/unknown"):
        assert (await call("GET", f"{path}/access-link")).status == 404


async def test_large_file_is_made_up_as_it_is_read(call: Bare, fake: FakeWhereby) -> None:
    size = 1_000_003
    recording = fake.add_recording(size=size)
    assert recording["sizeInMegaBytes"] == 1.0
    path = f"/recordings/{recording['recordingId']}/access-link"
    link = yarl.URL((await call("GET", path)).content["accessLink"], encoded=True)
    whole = (await call.fetch("GET", link)).content
    assert len(whole) == size
    assert (await call.fetch("HEAD", link)).headers["Content-Length"] == str(size)
    part = await call.fetch("GET", link, headers={"Range": "bytes=500001-999999"})
    assert part.content == whole[500_001:1_000_000]


def test_pattern_ends_where_its_size_says() -> None:
    blob = PatternBlob(100)
    assert blob.read(90, 200) == blob.read(0, 100)[90:]
    assert (len(blob.read(0, 100)), blob.etag == PatternBlob(101).etag) == (100, False)
    assert byte_range("bytes=0-", 0) == range(0)
