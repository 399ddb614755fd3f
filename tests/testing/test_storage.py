"""The files behind access links, fetched over a real socket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yarl
from testing.bare import Bare, jump

from whereby_async.testing.object_store import PatternBlob, byte_range

if TYPE_CHECKING:
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 4


async def link_to(call: Bare, fake: FakeWhereby, query: str = "") -> yarl.URL:
    """An access link to a new recording."""
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


async def test_file_is_served_whole(call: Bare, fake: FakeWhereby) -> None:
    """Bytes, type, tag; it costs no points and is not metered."""
    answer = await call.fetch("GET", await link_to(call, fake))
    assert (answer.status, answer.content, answer.headers["Content-Type"]) == (200, CONTENT, "video/mp4")
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "X-RateLimit-Limit" not in answer.headers
    assert (fake.requests[-1].operation, fake.requests[-1].points, fake.requests[-1].acted) == ("storage", 0, True)


async def test_head_tells_the_size(call: Bare, fake: FakeWhereby) -> None:
    """The headers of GET without the body."""
    answer = await call.fetch("HEAD", await link_to(call, fake))
    assert (answer.status, answer.content, answer.headers["Content-Length"]) == (200, None, "1024")


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
    """416, with the size."""
    answer = await call.fetch("GET", await link_to(call, fake), headers={"Range": asked})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */1024")


async def test_range_of_another_version_is_the_whole_file(call: Bare, fake: FakeWhereby) -> None:
    """`If-Range` with the right tag gives the part, with another one everything."""
    link = await link_to(call, fake)
    tag = (await call.fetch("HEAD", link)).headers["ETag"]
    statuses = [
        (await call.fetch("GET", link, headers={"Range": "bytes=5-", "If-Range": value})).status
        for value in (tag, '"x"')
    ]
    assert statuses == [206, 200]


async def test_link_expires(call: Bare, fake: FakeWhereby) -> None:
    """Good until its time, and a 403 in XML after that."""
    link = await link_to(call, fake, "?validForSeconds=60")
    jump(57.0)
    assert (await call.fetch("GET", link)).status == 200
    jump(3.0)
    late = await call.fetch("GET", link)
    assert (late.status, late.headers["Content-Type"]) == (403, "application/xml")
    assert b"<Message>Request has expired</Message>" in late.content


@pytest.mark.parametrize("seconds", ["0", "43201", "soon"])
async def test_link_is_valid_for_twelve_hours_at_most(call: Bare, fake: FakeWhereby, seconds: str) -> None:
    """Anything else is a 400, for both kinds of files."""
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
    """A good link to a file that is not there any more is a 404, and storage takes no other methods."""
    link = await link_to(call, fake)
    assert (await call.fetch("PUT", link)).status == 405
    await call("DELETE", f"/recordings/{next(iter(fake.recordings))}")
    assert (await call.fetch("GET", link)).status == 404


async def test_transcript_is_markdown(call: Bare, fake: FakeWhereby) -> None:
    """It can be had when it is ready, and not before."""
    fake.processing_time = 10.0
    path = f"/transcriptions/{fake.add_transcription(state='in_progress')['transcriptionId']}/access-link"
    assert (await call("GET", path)).status == 404
    jump(10.0)
    answer = await call.fetch("GET", yarl.URL((await call("GET", path)).content["accessLink"], encoded=True))
    assert answer.headers["Content-Type"].startswith("text/markdown")
    assert answer.content.startswith(b"# Transcript")


async def test_there_is_no_link_to_what_is_hosted_elsewhere(call: Bare, fake: FakeWhereby) -> None:
    """403 for a self-hosted file, 404 for an unknown one."""
    recording = fake.add_recording(storage_type="SELF_HOSTED")["recordingId"]
    transcription = fake.add_transcription(storage_type="SELF_HOSTED")["transcriptionId"]
    for path in (f"/recordings/{recording}", f"/transcriptions/{transcription}"):
        answer = await call("GET", f"{path}/access-link")
        assert (answer.status, "Whereby-hosted" in answer.content["error"]) == (403, True)
    for path in ("/recordings/unknown", "/transcriptions/unknown"):
        assert (await call("GET", f"{path}/access-link")).status == 404


async def test_large_file_is_made_up_as_it_is_read(call: Bare, fake: FakeWhereby) -> None:
    """A size in place of bytes; every part is the same as that part of the whole."""
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


def test_pattern_has_no_end_but_its_size() -> None:
    """Reading beyond the end gives what there is."""
    blob = PatternBlob(100)
    assert blob.read(90, 200) == blob.read(0, 100)[90:]
    assert (len(blob.read(0, 100)), blob.etag == PatternBlob(101).etag) == (100, False)


def test_range_of_an_empty_file() -> None:
    """It has no bytes to give."""
    assert byte_range("bytes=0-", 0) == range(0)
