"""Downloads to a path: whole or not at all, resumed after a break, over real sockets."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import re
import stat
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import checkout
from support.downloads import CONTENT, STALL, OddStorage, always, answer, serving

from whereby_async import (
    APIConnectionError,
    APITimeoutError,
    Download,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    Progress,
    ResponseDecodeError,
    WherebyError,
)
from whereby_async.testing import FakeWhereby, Fault, run_simulated
from whereby_async.testing.object_store import PatternBlob

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.downloads import Film

pytestmark = pytest.mark.anyio

SIZE = 3_000_000
PARTS = ["film.mp4.part", "film.mp4.part.json"]


async def test_a_recording_arrives_whole(film: Film) -> None:
    """One point for the link, none for the bytes; nothing but the file is left."""
    done = await film.download()
    assert film.path.read_bytes() == CONTENT
    assert (done.path, done.size, done.resumed, done.breaks, done.links) == (film.path, len(CONTENT), 0, 0, 1)
    assert done.elapsed >= 0
    assert film.names == ["film.mp4"]
    assert film.operations == ["recordings.access_link", "storage"]
    assert film.fake.points_spent == 1


async def test_a_transcript_arrives_whole(film: Film) -> None:
    """Paths may be text; `valid_for` and `extra` go to the link."""
    transcription = film.fake.add_transcription(content=b"# Words")["transcriptionId"]
    done = await film.client.transcriptions.download(transcription, str(film.path), valid_for=60, extra={"x": 1})
    assert film.path.read_bytes() == b"# Words"
    assert isinstance(done, Download)
    assert film.fake.requests[0].target.endswith("/access-link?validForSeconds=60&x=1")


async def test_a_directory_gets_the_name_that_the_api_gives(film: Film) -> None:
    known = film.fake.add_recording(room_name="/demo", content=CONTENT)
    words = film.fake.add_transcription(room_name="/demo")
    directory = film.path.parent
    one = await film.client.recordings.download(known["recordingId"], directory)
    text = await film.client.transcriptions.download(words["transcriptionId"], directory)
    assert one.path == directory / known["filename"]
    assert text.path is not None
    assert text.path.name == film.fake.transcriptions[words["transcriptionId"]]["filename"]
    assert film.operations[0] == "recordings.get"
    assert film.fake.points_spent == 4


@pytest.mark.parametrize(("place", "words"), [("missing/", "make it first"), ("missing/film.mp4", r"film\.mp4")])
async def test_a_directory_that_is_missing_costs_nothing(film: Film, place: str, words: str) -> None:
    """A slash at the end says that it is to be one, so no file of that name is made; and nothing is asked for."""
    destination = f"{film.path.parent}/{place}"
    with pytest.raises(FileNotFoundError, match=words) as caught:
        await film.download(destination)
    assert caught.value.filename.startswith(destination)
    assert film.names == []
    assert film.fake.requests == []


async def test_an_empty_file_is_a_file(film: Film) -> None:
    film.hold(content=b"")
    assert (await film.download()).size == 0
    assert film.names == ["film.mp4"]


async def test_breaks_are_resumed_where_they_were(film: Film) -> None:
    """More breaks than attempts: each got further, so none counts; every byte is fetched once."""
    film.hold(size=SIZE)
    cuts = [1, 500_000, 70_000, 2, 900_000, 64, 333_333, 5, 5, 5]
    for cut in cuts:
        film.fails(truncate=cut)
    done = await film.download()
    assert film.path.read_bytes() == PatternBlob(SIZE).read(0, SIZE)
    assert (done.breaks, done.links) == (10, 1)
    ranges = [request.headers.get("range") for request in film.fake.requests if request.operation == "storage"]
    begins = [sum(cuts[:count]) for count in range(11)]
    assert ranges == [None, *(f"bytes={begin}-" for begin in begins[1:])]


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "before"},
        {"drop": "after"},
        {"raw": b"\x00nonsense\r\n\r\n"},
        {"status": 500, "body": b"<Error><Code>InternalError</Code></Error>"},
        {"status": 503, "headers": {"Retry-After": "0"}, "body": b"<Code>SlowDown</Code>"},
        {"status": 429},
        {"truncate": 0},
    ],
)
async def test_a_storage_that_fails_now_and_then(film: Film, fault: dict[str, Any]) -> None:
    film.fails(**fault, times=2)
    done = await film.download()
    assert (film.path.read_bytes(), done.links, done.breaks) == (CONTENT, 1, 2)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"drop": "before"}, APIConnectionError, "the storage failed"),
        ({"status": 503, "body": b"<Code>SlowDown</Code>"}, InternalServerError, r"answered 503 \(SlowDown\)"),
        ({"status": 429, "body": b"<Code>x y</Code>"}, APIConnectionError, "answered 429$"),
        ({"truncate": 0}, APIConnectionError, "broke off|ended after|failed"),
    ],
)
async def test_a_storage_that_is_down_is_given_up(
    film: Film, fault: dict[str, Any], kind: type[WherebyError], words: str
) -> None:
    """After as many attempts in a row as the policy allows; without a byte there is nothing to keep."""
    film.fails(**fault, times=None)
    with pytest.raises(kind, match=words) as caught:
        await film.download(client=film.view(attempts=2))
    assert film.operations == ["recordings.access_link", "storage", "storage"]
    assert film.names == []
    assert not caught.value.may_have_happened


async def test_one_attempt_means_one(film: Film) -> None:
    """A policy without retries resumes nothing within a call; the part stays, and the next call goes on."""
    film.hold(size=SIZE)
    film.fails(truncate=2_000_000)
    with pytest.raises(APIConnectionError):
        await film.download(client=film.view(attempts=1))
    assert film.names == PARTS
    assert film.part.stat().st_size == 2_000_000
    assert "Signature" not in film.note.read_text()
    done = await film.download(client=film.view(attempts=1))
    assert (done.resumed, done.size, film.names) == (2_000_000, SIZE, ["film.mp4"])
    assert film.path.read_bytes() == PatternBlob(SIZE).read(0, SIZE)
    assert film.fake.requests[-1].headers["range"] == "bytes=2000000-"


async def test_a_complete_part_is_only_renamed(film: Film) -> None:
    """A program that died between the last byte and the renaming: the storage says that there is no more."""
    tag = film.fake.files[film.recording].etag.replace('"', '\\"')
    film.part.write_bytes(CONTENT)
    note = f'{{"source": "recordings/{film.recording}", "tag": "{tag}", "size": {len(CONTENT)}}}'
    film.note.write_text(note)
    done = await film.download()
    assert (done.resumed, done.size) == (len(CONTENT), len(CONTENT))
    assert film.path.read_bytes() == CONTENT
    assert film.fake.requests[-1].status == 416


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[]",
        '{"source": "\udce2"}',
        '{"source": "recordings/another", "tag": "\\"v1\\"", "size": 9999}',
        '{"source": "SELF", "tag": "\\"v1\\"", "size": 3}',
        '{"source": "SELF", "tag": "\\"other\\"", "size": 9999}',
        '{"source": "SELF", "tag": null, "size": 9999}',
    ],
)
async def test_a_part_of_something_else_is_begun_anew(film: Film, note: str) -> None:
    """A torn note, one of another file, of another version, with a part too long: no old byte gets in."""
    film.part.write_bytes(b"old bytes")
    ours = note.replace("SELF", f"recordings/{film.recording}")
    film.note.write_text(ours, encoding="utf-8", errors="surrogateescape")
    done = await film.download()
    assert (film.path.read_bytes(), done.resumed, film.names) == (CONTENT, 0, ["film.mp4"])


async def test_a_part_without_a_note_is_no_part_of_ours(film: Film) -> None:
    """It is left alone, also for `overwrite=True`, until it is taken away; an empty one is nobody's."""
    film.part.write_bytes(b"theirs")
    for overwrite in (False, True):
        with pytest.raises(OSError, match=r"no download has begun it.*film\.mp4\.part'"):
            await film.download(overwrite=overwrite)
    assert (film.part.read_bytes(), film.names, film.fake.requests) == (b"theirs", ["film.mp4.part"], [])
    film.part.write_bytes(b"")
    await film.download()
    assert film.names == ["film.mp4"]


def unsized(*lines: str) -> bytes:
    """The head of a chunked answer."""
    return "\r\n".join(["HTTP/1.1 206 X", *lines, "Transfer-Encoding: chunked", "", ""]).encode()


A = b"a" * 100
OF_A = "Content-Range: bytes 40-99/100"
FIRST = serving(A, cut=40)
OTHER = serving(b"b" * 80, etag='"v2"')
ANEW = answer(200, 'ETag: "v1"', body=CONTENT)
CHUNKED = unsized('ETag: "v1"').replace(b"206", b"200", 1) + b"64\r\n" + A
MORE = unsized(OF_A) + b"50\r\n" + b"x" * 80 + b"\r\n0\r\n\r\n"
ENDLESS = unsized(OF_A) + b"300000\r\n" + b"x" * 0x300000 + b"\r\n" + STALL
LESS = answer(206, "Content-Range: bytes 40-59/100", body=b"a" * 20)
ODD: dict[str, tuple[list[Callable[[dict[str, str]], bytes]], bytes, int]] = {
    "another version": ([FIRST, OTHER], b"b" * 80, 1),
    "another version in a part": (
        [FIRST, always(answer(206, OF_A, 'ETag: "v2"', body=b"b" * 60)), OTHER],
        b"b" * 80,
        2,
    ),
    "the whole file again": ([serving(CONTENT, cut=5000), always(ANEW[:-100]), always(ANEW)], CONTENT, 2),
    "more than the range": ([FIRST, always(MORE), serving(A)], A, 2),
    "a part without an end": ([FIRST, always(ENDLESS), serving(A)], A, 2),
    "less than the range": ([FIRST, always(LESS), serving(A)], A, 2),
    "a break behind the last byte": ([FIRST, always(unsized(OF_A) + b"3c\r\n" + b"a" * 60)], A, 1),
    "chunks, cut off": ([always(CHUNKED), always(CHUNKED + b"\r\n0\r\n\r\n")], A, 1),
}


@pytest.mark.parametrize("name", ODD)
async def test_a_storage_with_habits_of_its_own(film: Film, name: str) -> None:
    """Whatever it sends of whatever version, the file is one of its versions, whole."""
    answers, content, breaks = ODD[name]
    async with OddStorage(*answers) as storage:
        storage.linked_from(film.fake)
        done = await film.download()
    assert (film.path.read_bytes(), done.resumed, done.breaks) == (content, 0, breaks)
    assert len(storage.requests) == breaks + 1
    assert storage.requests[1]["if-range"] == '"v1"'


async def test_a_storage_without_any_tag_begins_anew(film: Film) -> None:
    """Nobody can say whether the file is the same, so no range is asked for; and bytes that come again are no
    progress.
    """
    cut, further = (serving(CONTENT, etag=None, cut=at) for at in (5000, 6000))
    async with OddStorage(cut, further, cut, serving(CONTENT, etag=None)) as storage:
        storage.linked_from(film.fake)
        with pytest.raises(APIConnectionError):  # 5000, 6000, and 5000 again twice: the last two brought nothing
            await film.download(client=film.view(attempts=2))
        await film.download()
    assert film.path.read_bytes() == CONTENT
    assert not any("range" in headers for headers in storage.requests)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (answer(200, body=b"film", length=-1), "how long"),
        (answer(200, "Content-Encoding: gzip", body=b"film"), "encoding is 'gzip', and its body is not"),
        (answer(206, "Content-Range: bytes 0-3/4", "Content-Encoding: gzip", body=b"film"), "which was not asked for"),
        (answer(200, "Content-Encoding: utf-8, br", body=b"film"), "encoding 'br', which was not asked for"),
        (answer(200, "Content-Encoding: utf-8", body=b"film"), None),
        (answer(200, "Content-Encoding: aws-chunked", body=b"film"), None),
        (answer(200, "X-Long: " + "y" * 20_000, body=b"film"), None),
        (answer(200, "Content-Type: text/html; charset=utf-8", body=b"<html>Log in</html>"), "a web page in place"),
        (answer(204), "status 204"),
        (answer(206, "Content-Range: bytes 40-99/100", body=b"x" * 60), "not asked for"),
        (answer(206, "Content-Range: bytes 0-3/4", body=b"film"), None),
    ],
)
async def test_answers_that_cannot_be_used(film: Film, raw: bytes, words: str | None) -> None:
    """They are asked for once, and nothing is kept; `identity` is what was asked for."""
    async with OddStorage(always(raw)) as storage:
        storage.linked_from(film.fake)
        if words is None:
            await film.download()
        else:
            with pytest.raises(APIConnectionError, match=words) as caught:
                await film.download()
            assert caught.value.permanent is True
    assert len(storage.requests) == 1
    assert storage.requests[0]["accept-encoding"] == "identity"
    assert film.names == ([] if words else ["film.mp4"])


SQUEEZED = gzip.compress(CONTENT[:9000]) + gzip.compress(CONTENT[9000:])
CODED = {
    "gzip": gzip.compress(CONTENT),
    "utf-8, x-gzip": SQUEEZED + b"\0" * 30,
    "deflate": zlib.compress(CONTENT),
    "gzip, gzip": gzip.compress(SQUEEZED),
}


@pytest.mark.parametrize("coding", CODED)
async def test_a_file_that_is_stored_compressed_comes_decompressed(film: Film, coding: str) -> None:
    """A storage sends the encoding that a file was stored with, whatever was asked for. After a break it is begun anew,
    since nobody knows which of its bytes are missing.
    """
    whole, told = CODED[coding], list[tuple[int, int | None]]()
    head = (200, f"Content-Encoding: {coding}", 'ETag: "v1"')
    cut, torn = answer(*head, body=whole, cut=len(whole) // 2), answer(*head, body=whole[: len(whole) // 2])
    async with OddStorage(always(cut), always(torn), always(answer(*head, body=whole))) as storage:
        storage.linked_from(film.fake)
        done = await film.download(on_progress=lambda progress: told.append((progress.received, progress.total)))
    assert (film.path.read_bytes(), done.size, done.resumed, done.breaks) == (CONTENT, len(CONTENT), 0, 2)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert not any("range" in headers for headers in storage.requests)


async def test_a_stall_is_a_break(film: Film) -> None:
    """Seconds without a byte, before the head or in the body; what came before is kept."""
    stalled = answer(200, 'ETag: "v1"', body=CONTENT, cut=5000) + STALL
    async with OddStorage(always(STALL), always(stalled), serving(CONTENT)) as storage:
        storage.linked_from(film.fake)
        done = await film.download(stall_timeout=0.1)
    assert film.path.read_bytes() == CONTENT
    assert (done.breaks, storage.requests[2]["range"]) == (2, "bytes=5000-")


async def test_a_storage_that_only_stalls_is_given_up(film: Film) -> None:
    async with OddStorage(always(STALL)) as storage:
        storage.linked_from(film.fake)
        with pytest.raises(APITimeoutError, match=r"nothing for stall_timeout=0\.05 s"):
            await film.download(client=film.view(attempts=2), stall_timeout=0.05)


def simulated(
    path: Path, content: bytes, *faults: Fault, **options: Any
) -> tuple[Download, list[tuple[str, int]], int]:
    """A download in simulated time; with it the requests and their statuses, and the points that were spent."""

    async def main() -> tuple[Download, list[tuple[str, int]], int]:
        async with FakeWhereby() as fake, fake.client(timeout=5.0) as client:
            recording = fake.add_recording(content=content)["recordingId"]
            fake.faults.add(*faults)
            done = await client.recordings.download(recording, path, **options)
            return done, [(each.operation, int(each.status)) for each in fake.requests], fake.points_spent

    return run_simulated(main())


def test_a_slow_download_has_all_the_time_it_needs(tmp_path: Path) -> None:
    """A byte every 20 s for more than an hour: far beyond every timeout, and no break."""
    done, *_ = simulated(tmp_path / "film.mp4", b"x" * 200, Fault(operation="storage", drip=20.0))
    assert (done.breaks, done.elapsed > 3600) == (0, True)


def test_an_expired_link_is_replaced(tmp_path: Path) -> None:
    """The storage refuses it after a break: one point more, and on from there."""
    path = tmp_path / "film.mp4"
    faults = Fault(operation="storage", truncate=3000), Fault(operation="storage", delay=61.0)
    done, requests, points = simulated(path, CONTENT, *faults, valid_for=60, stall_timeout=90)
    assert path.read_bytes() == CONTENT
    assert (done.links, done.breaks, points) == (2, 1, 2)
    link = ("recordings.access_link", 200)
    assert requests == [link, ("storage", 200), ("storage", 403), link, ("storage", 206)]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, PermissionDeniedError), (400, PermissionDeniedError), (404, NotFoundError), (410, NotFoundError)],
)
async def test_a_new_link_that_is_refused_ends_it(film: Film, status: int, kind: type[WherebyError]) -> None:
    """Two links are tried, then it is what it is; only the storage's code is repeated, not its words."""
    body = b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>plantedlinksignature</StringToSign></Error>"
    film.fails(status=status, body=body, times=None)
    words = rf"recordings\.download: the storage answered {status} \(SignatureDoesNotMatch\)"
    with pytest.raises(kind, match=words) as caught:
        await film.download()
    assert film.operations == ["recordings.access_link", "storage"] * 2
    assert "planted" not in repr(vars(caught.value))


async def test_a_file_that_is_gone_leaves_no_part(film: Film) -> None:
    """A part that nothing will complete is removed; one that may be completed is kept."""
    film.fails(truncate=5000)
    film.fails(drop="before", times=2)
    with pytest.raises(APIConnectionError):
        await film.download(client=film.view(attempts=2))
    assert film.names == PARTS
    await film.client.recordings.delete(film.recording)
    with pytest.raises(NotFoundError):
        await film.download()
    assert film.names == []


async def test_a_file_in_storage_of_ones_own_has_no_link(film: Film) -> None:
    film.hold(storage_type="SELF_HOSTED")
    with pytest.raises(PermissionDeniedError, match="access_link"):
        await film.download()
    assert film.names == []


async def test_an_existing_file_is_left_alone_unless_told(film: Film) -> None:
    """Refused before a point is spent; replaced only when the new one is whole."""
    film.path.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"overwrite=True.*film\.mp4"):
        await film.download()
    assert (film.fake.requests, film.path.read_bytes()) == ([], b"mine")
    film.fails(truncate=5000)
    film.fails(drop="before", times=4)
    with pytest.raises(APIConnectionError):
        await film.download(overwrite=True)
    assert film.path.read_bytes() == b"mine"
    await film.download(overwrite=True)
    assert film.path.read_bytes() == CONTENT


async def test_a_file_that_comes_up_meanwhile_is_left_alone(film: Film) -> None:
    """Somebody else was faster: the part stays, whole."""
    with pytest.raises(FileExistsError):
        await film.download(on_progress=lambda _: film.path.write_bytes(b"theirs"))
    assert film.path.read_bytes() == b"theirs"
    assert film.part.read_bytes() == CONTENT


@pytest.mark.parametrize("victim", ["nothing", "a file"])
@pytest.mark.parametrize("suffix", ["", ".part", ".part.json"])
async def test_a_link_is_not_followed(film: Film, suffix: str, victim: str) -> None:
    """One under the name of the file, of its part or of the note; what it leads to stays as it was."""
    place = film.path.parent / "victim"
    if victim == "a file":
        place.write_bytes(b"theirs")
    link = film.path.with_name(film.path.name + suffix)
    link.symlink_to(place)
    with pytest.raises(OSError, match=re.escape(link.name)) as caught:
        await film.download(overwrite=True)
    assert caught.value.errno == errno.ELOOP
    assert film.fake.requests == []
    assert link.is_symlink() or suffix == ".part.json"  # as an unused note it is removed
    assert place.exists() == (victim == "a file")
    assert not place.exists() or place.read_bytes() == b"theirs"


async def test_a_folder_may_be_a_link(film: Film) -> None:
    (film.path.parent / "there").mkdir()
    (film.path.parent / "alias").symlink_to("there")
    done = await film.download(film.path.parent / "alias" / "film.mp4")
    assert done.path == film.path.parent / "there" / "film.mp4"


@pytest.mark.parametrize("name", ["film.mp4.part", "film.mp4.part.json", "FILM.MP4.PART"])
async def test_a_file_is_not_called_as_a_part_is(film: Film, name: str) -> None:
    """It would be written to by two, or be taken for a part later: neither beside the other download nor alone."""
    film.fails(answer_delay=0.2)
    first = asyncio.create_task(film.download())
    while "storage" not in film.operations:
        await asyncio.sleep(0)
    with pytest.raises(OSError, match="as the parts of downloads do"):
        await film.download(film.path.with_name(name), overwrite=True)
    assert (await first).size == len(CONTENT)
    assert film.path.read_bytes() == CONTENT
    with pytest.raises(OSError, match="as the parts of downloads do"):
        await film.download(film.path.with_name(name))
    assert [each.name for each in film.path.parent.iterdir()] == ["film.mp4"]


async def test_what_is_no_file_is_not_replaced(film: Film) -> None:
    """A device or a pipe, under the final name or under the part's."""
    os.mkfifo(film.path.parent / "pipe")
    os.mkfifo(film.part)
    for name in ("pipe", "film.mp4"):
        with pytest.raises(OSError, match="regular file"):
            await film.download(film.path.parent / name, overwrite=True)
    assert film.fake.requests == []


async def test_modes_are_those_of_any_new_file(film: Film) -> None:
    """The umask decides, for the part as for the file."""
    modes: list[int] = []
    before = os.umask(0o027)
    try:
        await film.download(on_progress=lambda _: modes.append(stat.S_IMODE(film.part.stat().st_mode)))
    finally:
        os.umask(before)
    assert modes == [0o640]
    assert stat.S_IMODE(film.path.stat().st_mode) == 0o640


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
    assert run_in(tmp_path, FULL) == [f"{errno.EFBIG} film.mp4.part {PARTS}", "1500000 3000000"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX's users")
def test_no_permission_costs_nothing() -> None:
    """The system's own error, before a point is spent."""
    with tempfile.TemporaryDirectory() as place:
        assert run_in(Path(place), REFUSED) == ["film.mp4.part 0"]


async def test_several_at_once(film: Film) -> None:
    """Twenty files over sixteen connections, beside the calls' own."""
    sizes = [50_000 + number for number in range(20)]
    recordings = [film.fake.add_recording(size=size)["recordingId"] for size in sizes]
    paths = [film.path.parent / recording for recording in recordings]
    async with asyncio.TaskGroup() as tasks:
        for recording, path in zip(recordings, paths, strict=True):
            tasks.create_task(film.client.recordings.download(recording, path))
    assert [path.stat().st_size for path in paths] == sizes


async def test_one_path_takes_one_download_at_a_time(film: Film) -> None:
    """The second is refused, whatever name it has for the path; later it may."""
    (film.path.parent / "alias").symlink_to(film.path.parent)
    film.fails(answer_delay=0.2)
    first = asyncio.create_task(film.download())
    while "storage" not in film.operations:
        await asyncio.sleep(0)
    with pytest.raises(BlockingIOError, match=r"downloaded to already.*film\.mp4"):
        await film.download(film.path.parent / "alias" / "film.mp4")
    assert (await first).size == len(CONTENT)
    await film.download(overwrite=True)


async def test_progress_is_told_now_and_then(film: Film) -> None:
    """It grows to the whole, and comes at most ten times a second; the end is always told."""
    film.hold(size=SIZE)
    film.fails(truncate=1_200_000)
    seen: list[Progress] = []
    done = await film.download(on_progress=seen.append)
    received = [each.received for each in seen]
    assert received == sorted(received)
    assert len(seen) <= 2 + done.elapsed / 0.1
    last = seen[-1]
    assert (last.received, last.total, last.resumed, last.breaks) == (SIZE, SIZE, 0, 1)


async def test_what_progress_raises_ends_the_download(film: Film) -> None:
    """It is the caller's own way to stop; the part stays."""

    def stop(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await film.download(on_progress=stop)
    assert film.names == PARTS


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
async def test_arguments_that_cannot_be_used(
    film: Film, resource_name: str, options: dict[str, Any], words: str
) -> None:
    resource = getattr(film.client, resource_name)
    with pytest.raises((ValueError, TypeError), match=words.replace(".", r"\.")):
        await resource.download("1", **{"destination": film.path, **options})
    with pytest.raises(ValueError, match="_id="):
        await resource.download("", film.path)
    assert film.fake.requests == []


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/x", "https://u:p@h/x", "ftp://h/x", "file:///etc/passwd"),
        *(" ", "https://h/a b", "https://[/x", "http://localhost:0/x"),
    ],
)
async def test_links_that_lead_nowhere_good(film: Film, url: str) -> None:
    """Plain http beyond this machine, a user in the URL, another scheme: not gone to, and not tried again."""
    async with OddStorage(always(b"")) as storage:
        storage.linked_from(film.fake, url=url)
        with pytest.raises(ResponseDecodeError, match="no https URL"):
            await film.download()
    assert film.operations == ["recordings.access_link"]
