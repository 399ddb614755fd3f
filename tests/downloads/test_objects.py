"""Downloads to objects of the caller's."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.odd_storage import OddStorage, serving

from whereby_async import APIConnectionError, NotFoundError
from whereby_async.testing import Fault
from whereby_async.testing.storage import PatternBlob

if TYPE_CHECKING:
    from pathlib import Path

    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

SIZE = 3_000_000
WHOLE = PatternBlob(SIZE).read(0, SIZE)


class Slow(io.BytesIO):
    """Takes a few bytes at a time, as an unbuffered file may."""

    def write(self, data: Any, /) -> int:
        return super().write(data[:100_000])


class Silent:
    """Tells nothing of what it takes."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def write(self, data: bytes) -> None:
        self.taken += data


@pytest.mark.parametrize("kind", [io.BytesIO, Slow])
async def test_a_binary_object_gets_the_bytes(
    fake: FakeWhereby, whereby: WherebyClient, kind: type[io.BytesIO]
) -> None:
    """Breaks are resumed in the same call; the object stays open."""
    recording = fake.add_recording(size=SIZE)["recordingId"]
    fake.faults.add(Fault(operation="storage", truncate=1_300_000))
    target = kind()
    done = await whereby.recordings.download(recording, target)
    assert target.getvalue() == WHOLE
    assert (done.path, done.size, done.breaks) == (None, SIZE, 1)
    assert fake.requests[-1].headers["range"] == "bytes=1300000-"


async def test_files_of_both_worlds(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """One that is written to, one whose `write` is awaited, one that says nothing."""
    recording = fake.add_recording(size=SIZE)["recordingId"]
    with (tmp_path / "plain").open("wb") as plain:
        await whereby.recordings.download(recording, plain)
    async with await anyio.open_file(tmp_path / "awaited", "wb") as awaited:
        await whereby.recordings.download(recording, awaited)
    silent = Silent()
    await whereby.recordings.download(recording, silent)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "awaited").read_bytes() == silent.taken == WHOLE


async def test_an_object_that_takes_nothing_ends_it(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Rather than an endless loop, and its own errors come through as they are."""

    class Stuck:
        def write(self, data: bytes) -> int:
            return 0

    class Closed:
        def write(self, data: bytes) -> int:
            raise ZeroDivisionError

    recording = fake.add_recording()["recordingId"]
    with pytest.raises(OSError, match="takes no more"):
        await whereby.recordings.download(recording, Stuck())
    with pytest.raises(ZeroDivisionError):
        await whereby.recordings.download(recording, Closed())


@pytest.mark.parametrize(("first", "then"), [('"v1"', '"v2"'), (None, None)])
async def test_what_was_written_cannot_be_taken_back(
    fake: FakeWhereby, whereby: WherebyClient, first: str | None, then: str | None
) -> None:
    """If the file changed, or nobody can tell, it ends; no byte of the other is added."""
    recording = fake.add_recording()["recordingId"]
    target = io.BytesIO()
    async with OddStorage(serving(b"a" * 100, etag=first, cut=40), serving(b"b" * 100, etag=then)) as storage:
        storage.linked_from(fake)
        with pytest.raises(APIConnectionError, match="40 bytes and cannot be gone on with"):
            await whereby.recordings.download(recording, target)
    assert target.getvalue() == b"a" * 40
    assert len(storage.requests) == 2


async def test_an_object_skips_what_comes_again(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A storage that ignores ranges sends the same version from the start."""
    recording = fake.add_recording()["recordingId"]
    target = io.BytesIO()
    content = bytes(range(200))

    def whole(_: dict[str, str]) -> bytes:
        return serving(content)({})

    async with OddStorage(serving(content, cut=40), whole) as storage:
        storage.linked_from(fake)
        await whereby.recordings.download(recording, target)
    assert target.getvalue() == content


async def test_an_object_is_not_kept_for_a_file_that_is_gone(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Nothing to remove: the error is all."""
    with pytest.raises(NotFoundError, match="404"):
        await whereby.recordings.download("unknown", io.BytesIO())
