"""Downloads to a path: whole or not at all, resumed after a break, over real sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from downloads.odd_storage import STALL, OddStorage, always, answer, serving
from msgspec import structs
from support import checkout

from whereby_async import (
    APIConnectionError,
    APITimeoutError,
    Download,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    Progress,
    ResponseDecodeError,
    RetryPolicy,
    WherebyClient,
    WherebyError,
)
from whereby_async.limiter import Unlimited
from whereby_async.testing import FakeWhereby, Fault, run_simulated
from whereby_async.testing.storage import PatternBlob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 40
SIZE = 3_000_000


@pytest.fixture
async def brave(fake: FakeWhereby) -> AsyncIterator[WherebyClient]:
    """A client that gives up after two tries."""
    async with fake.client(limiter=Unlimited(), retry=RetryPolicy(attempts=2, base=0.0)) as client:
        yield client


def beside(path: Path) -> list[str]:
    """What is in the file's directory."""
    return sorted(each.name for each in path.parent.iterdir())


def operations(fake: FakeWhereby) -> list[str]:
    return [request.operation for request in fake.requests]


async def test_a_recording_arrives_whole(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """One point for the link, none for the bytes; nothing but the file is left."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    path = tmp_path / "film.mp4"
    done = await whereby.recordings.download(recording, path)
    assert path.read_bytes() == CONTENT
    assert (done.path, done.size, done.resumed, done.breaks, done.links) == (path, len(CONTENT), 0, 0, 1)
    assert done.elapsed >= 0
    assert beside(path) == ["film.mp4"]
    assert operations(fake) == ["recordings.access_link", "storage"]
    assert fake.points_spent == 1


async def test_a_transcript_arrives_whole(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """Paths may be text; `valid_for` and `extra` go to the link."""
    transcription = fake.add_transcription(content=b"# Words")["transcriptionId"]
    done = await whereby.transcriptions.download(
        transcription, str(tmp_path / "words.md"), valid_for=60, extra={"x": 1}
    )
    assert (tmp_path / "words.md").read_bytes() == b"# Words"
    assert isinstance(done, Download)
    assert fake.requests[0].target.endswith("/access-link?validForSeconds=60&x=1")


async def test_a_directory_gets_the_name_that_the_api_tells(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """For a point more."""
    known = fake.add_recording(room_name="/demo", content=CONTENT)
    words = fake.add_transcription(room_name="/demo")
    film = await whereby.recordings.download(known["recordingId"], tmp_path)
    text = await whereby.transcriptions.download(words["transcriptionId"], tmp_path)
    assert film.path == tmp_path / known["filename"]
    assert text.path is not None
    assert text.path.name == fake.transcriptions[words["transcriptionId"]]["filename"]
    assert operations(fake)[0] == "recordings.get"
    assert fake.points_spent == 4


async def test_a_directory_that_is_not_there_is_told(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """A slash at the end says that it is to be one, so no file of that name is made; and nothing is asked for."""
    recording = fake.add_recording()["recordingId"]
    with pytest.raises(FileNotFoundError, match="make it first") as caught:
        await whereby.recordings.download(recording, f"{tmp_path}/missing/")
    assert caught.value.filename == f"{tmp_path}/missing/"
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - pathlib would block, too
    assert fake.requests == []


async def test_a_web_page_is_no_recording(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """As a login page on the way answers, with 200: no file is made of it."""
    recording = fake.add_recording()["recordingId"]
    fake.faults.add(Fault(operation="storage", body=b"<html>Log in</html>", content_type="text/html; charset=utf-8"))
    with pytest.raises(APIConnectionError, match="a web page in place of the file"):
        await whereby.recordings.download(recording, tmp_path / "recording.mp4")
    assert not (tmp_path / "recording.mp4").exists()


async def test_an_empty_file_is_a_file(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """No bytes, no part left over."""
    recording = fake.add_recording(content=b"")["recordingId"]
    done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert (done.size, beside(tmp_path / "x")) == (0, ["film.mp4"])


async def test_breaks_are_resumed_where_they_were(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """More breaks than attempts: each got further, so none counts; every byte is fetched once."""
    recording = fake.add_recording(size=SIZE)["recordingId"]
    cuts = [1, 500_000, 70_000, 2, 900_000, 64, 333_333, 5, 5, 5]
    fake.faults.add(*(Fault(operation="storage", truncate=cut) for cut in cuts))
    done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == PatternBlob(SIZE).read(0, SIZE)
    assert (done.breaks, done.links) == (10, 1)
    ranges = [request.headers.get("range") for request in fake.requests if request.operation == "storage"]
    begins = [sum(cuts[:count]) for count in range(11)]
    assert ranges == [None, *(f"bytes={begin}-" for begin in begins[1:])]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(drop="before"),
        Fault(drop="after"),
        Fault(raw=b"\x00nonsense\r\n\r\n"),
        Fault(status=500, body=b"<Error><Code>InternalError</Code></Error>"),
        Fault(status=503, headers={"Retry-After": "0"}, body=b"<Code>SlowDown</Code>"),
        Fault(status=429),
        Fault(truncate=0),
    ],
)
async def test_a_storage_that_fails_now_and_then(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path, fault: Fault
) -> None:
    """It is asked again, with the same link."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    fake.faults.add(_at_storage(fault, times=2))
    done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert ((tmp_path / "film.mp4").read_bytes(), done.links) == (CONTENT, 1)
    assert done.breaks == 2


def _at_storage(fault: Fault, times: int | None) -> Fault:
    return structs.replace(fault, operation="storage", times=times)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(drop="before"), APIConnectionError, "the storage failed"),
        (Fault(status=503, body=b"<Code>SlowDown</Code>"), InternalServerError, r"answered 503 \(SlowDown\)"),
        (Fault(status=429, body=b"<Code>x y</Code>"), APIConnectionError, "answered 429$"),
        (Fault(truncate=0), APIConnectionError, "broke off|ended after|failed"),
    ],
)
async def test_a_storage_that_is_down_is_given_up(  # noqa: PLR0917 - pytest gives them by name
    fake: FakeWhereby, brave: WherebyClient, tmp_path: Path, fault: Fault, kind: type[WherebyError], words: str
) -> None:
    """After as many attempts in a row as the policy allows; without a byte there is nothing to keep."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    fake.faults.add(_at_storage(fault, times=None))
    with pytest.raises(kind, match=words) as caught:
        await brave.recordings.download(recording, tmp_path / "film.mp4")
    assert operations(fake) == ["recordings.access_link", "storage", "storage"]
    assert beside(tmp_path / "x") == []
    assert not caught.value.may_have_happened


async def test_one_attempt_means_one(fake: FakeWhereby, tmp_path: Path) -> None:
    """A policy without retries resumes nothing within a call; the part stays, and the next call goes on."""
    recording = fake.add_recording(size=SIZE)["recordingId"]
    fake.faults.add(Fault(operation="storage", truncate=2_000_000))
    path = tmp_path / "film.mp4"
    async with fake.client(limiter=Unlimited(), retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(APIConnectionError):
            await client.recordings.download(recording, path)
        assert beside(path) == ["film.mp4.part", "film.mp4.part.json"]
        assert (tmp_path / "film.mp4.part").stat().st_size == 2_000_000
        assert "Signature" not in (tmp_path / "film.mp4.part.json").read_text()
        done = await client.recordings.download(recording, path)
    assert (done.resumed, done.size, beside(path)) == (2_000_000, SIZE, ["film.mp4"])
    assert path.read_bytes() == PatternBlob(SIZE).read(0, SIZE)
    assert fake.requests[-1].headers["range"] == "bytes=2000000-"


async def test_a_complete_part_is_only_renamed(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """A program that died between the last byte and the renaming: the storage says that there is no more."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    etag = fake.files[recording].etag
    (tmp_path / "film.mp4.part").write_bytes(CONTENT)
    note = f'{{"source": "recordings/{recording}", "tag": {_text(etag)}, "size": {len(CONTENT)}}}'
    (tmp_path / "film.mp4.part.json").write_text(note)
    done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert (done.resumed, done.size) == (len(CONTENT), len(CONTENT))
    assert (tmp_path / "film.mp4").read_bytes() == CONTENT
    assert fake.requests[-1].status == 416


def _text(tag: str) -> str:
    return '"' + tag.replace('"', '\\"') + '"'


@pytest.mark.parametrize(
    "note",
    [
        None,
        "",
        "[]",
        '{"source": "recordings/another", "tag": "\\"v1\\"", "size": 9999}',
        '{"source": "SELF", "tag": "\\"v1\\"", "size": 3}',
        '{"source": "SELF", "tag": "\\"other\\"", "size": 9999}',
        '{"source": "SELF", "tag": null, "size": 9999}',
    ],
)
async def test_a_part_of_something_else_is_begun_anew(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path, note: str | None
) -> None:
    """No note, a torn one, of another file, of another version, with a part too long: no old byte gets in."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    (tmp_path / "film.mp4.part").write_bytes(b"old bytes")
    if note is not None:
        (tmp_path / "film.mp4.part.json").write_text(note.replace("SELF", f"recordings/{recording}"))
    done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert ((tmp_path / "film.mp4").read_bytes(), done.resumed) == (CONTENT, 0)
    assert beside(tmp_path / "x") == ["film.mp4"]


async def test_a_file_that_changes_in_between_is_never_mixed(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """The storage answers the whole new file, which replaces what had come of the old one."""
    recording = fake.add_recording(content=b"a" * 5000)["recordingId"]
    fake.faults.add(Fault(operation="storage", truncate=3000))
    changed = fake.add_recording(content=b"b" * 4000)["recordingId"]
    fake.subscribe(
        lambda request: fake.files.update({recording: fake.files[changed]}) if request.status == 200 else None
    )
    fake.faults.add(Fault(operation="storage", delay=0.01))
    seen: list[Progress] = []
    await whereby.recordings.download(recording, tmp_path / "film.mp4", on_progress=seen.append)
    content = (tmp_path / "film.mp4").read_bytes()
    assert content in {b"a" * 5000, b"b" * 4000}


@pytest.mark.parametrize(
    "second",
    [
        serving(b"b" * 80, etag='"v2"'),
        always(answer(206, "Content-Range: bytes 40-99/100", 'ETag: "v2"', body=b"b" * 60)),
    ],
)
async def test_another_version_begins_anew(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path, second: Any
) -> None:
    """Whether the storage heeds `If-Range` or not."""
    recording = fake.add_recording()["recordingId"]
    async with OddStorage(serving(b"a" * 100, cut=40), second, serving(b"b" * 80, etag='"v2"')) as storage:
        storage.linked_from(fake)
        done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"b" * 80
    assert storage.requests[1]["if-range"] == '"v1"'
    assert done.resumed == 0


async def test_a_storage_that_ignores_ranges(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """The whole file again, of the same version: what is there already is skipped."""
    recording = fake.add_recording()["recordingId"]
    whole = answer(200, 'ETag: "v1"', body=CONTENT)
    async with OddStorage(serving(CONTENT, cut=5000), always(whole[:-100]), always(whole)) as storage:
        storage.linked_from(fake)
        done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == CONTENT
    assert done.breaks == 2


async def test_a_storage_without_any_tag_begins_anew(fake: FakeWhereby, brave: WherebyClient, tmp_path: Path) -> None:
    """It cannot be told whether the file is the same, so no range is asked for; and bytes that come again are no progress."""
    recording = fake.add_recording()["recordingId"]
    cut, further = (serving(CONTENT, etag=None, cut=at) for at in (5000, 6000))
    async with OddStorage(cut, further, cut, serving(CONTENT, etag=None)) as storage:
        storage.linked_from(fake)
        with pytest.raises(APIConnectionError):  # 5000, 6000, and 5000 again twice: the last two brought nothing
            await brave.recordings.download(recording, tmp_path / "film.mp4")
        await brave.recordings.download(recording, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == CONTENT
    assert not any("range" in headers for headers in storage.requests)


async def test_a_part_with_more_than_it_should_is_refused(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """A 206 without a length, with more bytes than its range."""
    recording = fake.add_recording()["recordingId"]
    chunk = b"HTTP/1.1 206 X\r\nContent-Range: bytes 40-99/100\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n" + b"x" * 80
    async with OddStorage(
        serving(b"a" * 100, cut=40), always(chunk + b"\r\n0\r\n\r\n"), serving(b"a" * 100)
    ) as storage:
        storage.linked_from(fake)
        await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"a" * 100


async def test_a_part_without_an_end_is_not_read_for_ever(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """Once there is more than the file has, the rest is not waited for."""
    recording = fake.add_recording()["recordingId"]
    head = b"HTTP/1.1 206 X\r\nContent-Range: bytes 40-99/100\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = head + b"300000\r\n" + b"x" * 0x300000 + b"\r\n" + STALL
    async with OddStorage(serving(b"a" * 100, cut=40), always(endless), serving(b"a" * 100)) as storage:
        storage.linked_from(fake)
        await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"a" * 100


async def test_a_part_of_the_rest_is_gone_on_from(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """A storage may send less than was asked for."""
    recording = fake.add_recording()["recordingId"]
    some = answer(206, "Content-Range: bytes 40-59/100", body=b"a" * 20)
    async with OddStorage(serving(b"a" * 100, cut=40), always(some), serving(b"a" * 100)) as storage:
        storage.linked_from(fake)
        await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"a" * 100
    assert storage.requests[2]["range"] == "bytes=60-"


async def test_a_break_behind_the_last_byte_is_none(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """All that the file has is there, whatever else was announced."""
    recording = fake.add_recording()["recordingId"]
    rest = b"HTTP/1.1 206 X\r\nContent-Range: bytes 40-99/100\r\nTransfer-Encoding: chunked\r\n\r\n3c\r\n" + b"a" * 60
    async with OddStorage(serving(b"a" * 100, cut=40), always(rest)) as storage:
        storage.linked_from(fake)
        done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert (done.size, done.breaks, len(storage.requests)) == (100, 1, 2)


async def test_a_chunked_file_ends_with_its_last_chunk(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """No length is announced; one that is cut off is noticed all the same."""
    recording = fake.add_recording()["recordingId"]
    head = b'HTTP/1.1 200 X\r\nETag: "v1"\r\nTransfer-Encoding: chunked\r\n\r\n'
    async with OddStorage(always(head + b"5\r\nhello"), always(head + b"5\r\nhello\r\n0\r\n\r\n")) as storage:
        storage.linked_from(fake)
        done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert ((tmp_path / "film.mp4").read_bytes(), done.breaks) == (b"hello", 1)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (answer(200, body=b"film", length=-1), "how long"),
        (answer(200, "Content-Encoding: gzip", body=b"\x1f\x8b"), "gzip"),
        (answer(204), "status 204"),
        (answer(206, "Content-Range: bytes 0-3/4", body=b"film"), None),
    ],
)
async def test_answers_that_cannot_be_used(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path, raw: bytes, words: str | None
) -> None:
    """They are asked for once, and nothing is kept; `identity` is what was asked for."""
    recording = fake.add_recording()["recordingId"]
    async with OddStorage(always(raw)) as storage:
        storage.linked_from(fake)
        if words is None:
            await whereby.recordings.download(recording, tmp_path / "film.mp4")
        else:
            with pytest.raises(APIConnectionError, match=words):
                await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert len(storage.requests) == 1
    assert storage.requests[0]["accept-encoding"] == "identity"
    assert beside(tmp_path / "x") == ([] if words else ["film.mp4"])


async def test_a_stall_is_a_break(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """Seconds without a byte, before the head or in the body; what came before is kept."""
    recording = fake.add_recording()["recordingId"]
    stalled = answer(200, 'ETag: "v1"', body=CONTENT, cut=5000) + STALL
    async with OddStorage(always(STALL), always(stalled), serving(CONTENT)) as storage:
        storage.linked_from(fake)
        done = await whereby.recordings.download(recording, tmp_path / "film.mp4", stall_timeout=0.1)
    assert (tmp_path / "film.mp4").read_bytes() == CONTENT
    assert (done.breaks, storage.requests[2]["range"]) == (2, "bytes=5000-")


async def test_a_storage_that_only_stalls_is_given_up(fake: FakeWhereby, brave: WherebyClient, tmp_path: Path) -> None:
    """With the seconds in the error."""
    recording = fake.add_recording()["recordingId"]
    async with OddStorage(always(STALL)) as storage:
        storage.linked_from(fake)
        with pytest.raises(APITimeoutError, match=r"nothing for stall_timeout=0\.05 s"):
            await brave.recordings.download(recording, tmp_path / "film.mp4", stall_timeout=0.05)


def test_a_slow_download_has_all_the_time_it_needs(tmp_path: Path) -> None:
    """A byte every 20 s for more than an hour: far beyond every timeout, and no break."""

    async def main() -> Download:
        async with FakeWhereby() as fake, fake.client(timeout=5.0) as client:
            recording = fake.add_recording(content=b"x" * 200)["recordingId"]
            fake.faults.add(Fault(operation="storage", drip=20.0))
            return await client.recordings.download(recording, tmp_path / "film.mp4")

    done = run_simulated(main())
    assert (done.breaks, done.elapsed > 3600) == (0, True)


def test_an_expired_link_is_replaced(tmp_path: Path) -> None:
    """The storage refuses it after a break: one point more, and on from there."""

    async def main() -> tuple[Download, list[tuple[str, int]], int]:
        async with FakeWhereby() as fake, fake.client() as client:
            recording = fake.add_recording(content=CONTENT)["recordingId"]
            fake.faults.add(Fault(operation="storage", truncate=3000), Fault(operation="storage", delay=61.0))
            done = await client.recordings.download(recording, tmp_path / "film.mp4", valid_for=60, stall_timeout=90)
            return done, [(each.operation, int(each.status)) for each in fake.requests], fake.points_spent

    done, requests, points = run_simulated(main())
    assert (tmp_path / "film.mp4").read_bytes() == CONTENT
    assert (done.links, done.breaks, points) == (2, 1, 2)
    link = ("recordings.access_link", 200)
    assert requests == [link, ("storage", 200), ("storage", 403), link, ("storage", 206)]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, PermissionDeniedError), (400, PermissionDeniedError), (404, NotFoundError), (410, NotFoundError)],
)
async def test_a_new_link_that_is_refused_ends_it(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path, status: int, kind: type[WherebyError]
) -> None:
    """Two links are tried, then it is what it is; only the storage's code is told, not its words."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    body = b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>plantedlinksignature</StringToSign></Error>"
    fake.faults.add(Fault(operation="storage", status=status, body=body, times=None))
    with pytest.raises(
        kind, match=rf"recordings\.download: the storage answered {status} \(SignatureDoesNotMatch\)"
    ) as caught:
        await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert operations(fake) == ["recordings.access_link", "storage"] * 2
    assert "planted" not in repr(vars(caught.value))


async def test_a_file_that_is_gone_leaves_no_part(fake: FakeWhereby, brave: WherebyClient, tmp_path: Path) -> None:
    """A part that nothing will complete is removed; one that may be completed is kept."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    fake.faults.add(Fault(operation="storage", truncate=5000), Fault(operation="storage", drop="before", times=2))
    with pytest.raises(APIConnectionError):
        await brave.recordings.download(recording, tmp_path / "film.mp4")
    assert beside(tmp_path / "x") == ["film.mp4.part", "film.mp4.part.json"]
    await brave.recordings.delete(recording)
    with pytest.raises(NotFoundError):
        await brave.recordings.download(recording, tmp_path / "film.mp4")
    assert beside(tmp_path / "x") == []


async def test_a_file_in_storage_of_ones_own_has_no_link(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """The API's own refusal."""
    recording = fake.add_recording(storage_type="SELF_HOSTED")["recordingId"]
    with pytest.raises(PermissionDeniedError, match="access_link"):
        await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert beside(tmp_path / "x") == []


async def test_an_existing_file_is_left_alone_unless_told(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """Refused before a point is spent; replaced only when the new one is whole."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    path = tmp_path / "film.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"overwrite=True.*film\.mp4"):
        await whereby.recordings.download(recording, path)
    assert (fake.requests, path.read_bytes()) == ([], b"mine")
    fake.faults.add(Fault(operation="storage", truncate=5000), Fault(operation="storage", drop="before", times=4))
    with pytest.raises(APIConnectionError):
        await whereby.recordings.download(recording, path, overwrite=True)
    assert path.read_bytes() == b"mine"
    await whereby.recordings.download(recording, path, overwrite=True)
    assert path.read_bytes() == CONTENT


async def test_a_file_that_comes_up_meanwhile_is_left_alone(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """Somebody else was faster: the part stays, whole."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    path = tmp_path / "film.mp4"
    with pytest.raises(FileExistsError):
        await whereby.recordings.download(recording, path, on_progress=lambda _: path.write_bytes(b"theirs"))
    assert path.read_bytes() == b"theirs"
    assert (tmp_path / "film.mp4.part").read_bytes() == CONTENT


async def test_a_link_is_replaced_at_its_target(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """A symbolic link goes on leading to the file; one in the part's place is not followed."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    (tmp_path / "there").mkdir()
    (tmp_path / "film.mp4").symlink_to(tmp_path / "there" / "real.mp4")
    done = await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert done.path == tmp_path / "there" / "real.mp4"
    assert (tmp_path / "film.mp4").is_symlink()
    (tmp_path / "trap.mp4.part").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"trap\.mp4\.part"):
        await whereby.recordings.download(recording, tmp_path / "trap.mp4")
    assert not (tmp_path / "victim").exists()


async def test_what_is_no_file_is_not_replaced(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """A device or a pipe, under the final name or under the part's."""
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "film.mp4.part")
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    for name in ("pipe", "film.mp4"):
        with pytest.raises(OSError, match="regular file"):
            await whereby.recordings.download(recording, tmp_path / name, overwrite=True)
    assert fake.requests == []


async def test_modes_are_those_of_any_new_file(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """The umask decides, for the part as for the file."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    modes: list[int] = []
    before = os.umask(0o027)
    try:
        await whereby.recordings.download(
            recording,
            tmp_path / "film.mp4",
            on_progress=lambda _: (
                modes.append(stat.S_IMODE((tmp_path / "film.mp4.part").stat().st_mode)) if not modes else None
            ),
        )
    finally:
        os.umask(before)
    assert modes == [0o640]
    assert stat.S_IMODE((tmp_path / "film.mp4").stat().st_mode) == 0o640


async def test_a_directory_that_is_missing_costs_nothing(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """The system's own error, before a point is spent."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    with pytest.raises(FileNotFoundError, match=r"film\.mp4"):
        await whereby.recordings.download(recording, tmp_path / "nowhere" / "film.mp4")
    assert fake.requests == []


BEGINNING = """
import asyncio, os, pathlib, resource, signal, sys
from whereby_async.testing import FakeWhereby
async def main():
    place = pathlib.Path(sys.argv[1])
    async with FakeWhereby() as fake, fake.client() as client:
        recording = fake.add_recording(size=3_000_000)["recordingId"]
        await client.recordings.download(recording, place / "first.mp4")  # all modules are loaded after this
        (place / "first.mp4").unlink()
        fake.clear()
"""
FULL = """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
        try:
            await client.recordings.download(recording, place / "film.mp4")
        except OSError as error:
            print(error.errno, pathlib.Path(error.filename).name, sorted(os.listdir(place)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        done = await client.recordings.download(recording, place / "film.mp4")
        print(done.resumed, done.size)
asyncio.run(main())
"""
REFUSED = """
        place.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            await client.recordings.download(recording, place / "film.mp4")
        except PermissionError as error:
            print(pathlib.Path(error.filename).name, len(fake.requests))
        place.chmod(0o755) if os.geteuid() != 65534 else None
asyncio.run(main())
"""


def run_in(place: Path, program: str) -> list[str]:
    """What a Python of its own prints that runs the program with a directory."""
    environment = checkout.clean_environment(PYTHONPATH=str(checkout.ROOT))
    command = [sys.executable, "-c", BEGINNING + program, str(place)]
    run = subprocess.run(command, capture_output=True, check=False, encoding="utf-8", env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX's limits")
def test_a_disk_that_is_full_is_told_as_it_is(tmp_path: Path) -> None:
    """In a process whose files may not grow: the error names the part, which stays and can be gone on with."""
    parts = ["film.mp4.part", "film.mp4.part.json"]
    assert run_in(tmp_path, FULL) == [f"{errno.EFBIG} film.mp4.part {parts}", "1500000 3000000"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX's users")
def test_no_permission_costs_nothing() -> None:
    """The system's own error, before a point is spent."""
    with tempfile.TemporaryDirectory() as place:
        assert run_in(Path(place), REFUSED) == ["film.mp4.part 0"]


async def test_several_at_once(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """Twenty files over sixteen connections, beside the calls' own."""
    recordings = [fake.add_recording(size=50_000 + number)["recordingId"] for number in range(20)]
    async with asyncio.TaskGroup() as tasks:
        for recording in recordings:
            tasks.create_task(whereby.recordings.download(recording, tmp_path / recording))
    sizes = [(tmp_path / recording).stat().st_size for recording in recordings]
    assert sizes == [50_000 + number for number in range(20)]


async def test_one_path_takes_one_download_at_a_time(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """The second is refused, whatever name it has for the path; later it may."""
    one, other = (fake.add_recording(content=CONTENT)["recordingId"] for _ in range(2))
    (tmp_path / "alias").symlink_to(tmp_path)
    fake.faults.add(Fault(operation="storage", answer_delay=0.2))
    first = asyncio.create_task(whereby.recordings.download(one, tmp_path / "film.mp4"))
    while "storage" not in operations(fake):
        await asyncio.sleep(0)
    with pytest.raises(BlockingIOError, match=r"downloaded to already.*film\.mp4"):
        await whereby.recordings.download(other, tmp_path / "alias" / "film.mp4")
    assert (await first).size == len(CONTENT)
    await whereby.recordings.download(other, tmp_path / "film.mp4", overwrite=True)


async def test_progress_is_told_now_and_then(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """It grows to the whole, and comes at most ten times a second; the end is always told."""
    recording = fake.add_recording(size=SIZE)["recordingId"]
    fake.faults.add(Fault(operation="storage", truncate=1_200_000))
    seen: list[Progress] = []
    done = await whereby.recordings.download(recording, tmp_path / "film.mp4", on_progress=seen.append)
    received = [each.received for each in seen]
    assert received == sorted(received)
    assert len(seen) <= 2 + done.elapsed / 0.1
    last = seen[-1]
    assert (last.received, last.total, last.resumed, last.breaks) == (SIZE, SIZE, 0, 1)


async def test_what_progress_raises_ends_the_download(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """It is the caller's own way to stop; the part stays."""

    def stop(_: Progress) -> None:
        raise ZeroDivisionError

    recording = fake.add_recording(size=SIZE)["recordingId"]
    with pytest.raises(ZeroDivisionError):
        await whereby.recordings.download(recording, tmp_path / "film.mp4", on_progress=stop)
    assert beside(tmp_path / "x") == ["film.mp4.part", "film.mp4.part.json"]


async def _told(_: Progress) -> None: ...


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stall_timeout": 0}, "stall_timeout=0"),
        ({"stall_timeout": float("inf")}, "stall_timeout=inf"),
        ({"stall_timeout": "1"}, "stall_timeout="),
        ({"stall_timeout": True}, "stall_timeout=True"),
        ({"valid_for": 0}, "valid_for=0"),
        ({"on_progress": 5}, "on_progress=5"),
        ({"on_progress": _told}, "plain function"),
        ({"destination": 5}, "destination must be"),
        ({"destination": sys.stdout}, "mode 'wb'"),
    ],
)
@pytest.mark.parametrize("resource_name", ["recordings", "transcriptions"])
async def test_arguments_that_cannot_be_used(  # noqa: PLR0917 - pytest gives them by name
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path, resource_name: str, options: dict[str, Any], words: str
) -> None:
    """Refused before anything is sent, with advice."""
    options = {"destination": tmp_path / "film.mp4"} | options
    with pytest.raises((ValueError, TypeError), match=words.replace(".", r"\.")):
        await getattr(whereby, resource_name).download("1", **options)
    with pytest.raises(ValueError, match="_id="):
        await getattr(whereby, resource_name).download("", tmp_path / "film.mp4")
    assert fake.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "https://u:p@h/x",
        "ftp://h/x",
        "file:///etc/passwd",
        "",
        "https://h/a b",
        "https://[/x",
        "http://localhost:0/x",
    ],
)
async def test_links_that_lead_nowhere_good(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path, url: str
) -> None:
    """Plain http beyond this machine, a user in the URL, another scheme: not gone to, and not tried again."""
    recording = fake.add_recording()["recordingId"]
    async with OddStorage(always(b"")) as storage:
        storage.linked_from(fake, url=url or " ")
        with pytest.raises(ResponseDecodeError, match="no https URL"):
            await whereby.recordings.download(recording, tmp_path / "film.mp4")
    assert operations(fake) == ["recordings.access_link"]
