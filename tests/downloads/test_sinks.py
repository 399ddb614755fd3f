"""Where bytes go: objects of the caller's, and the name of a file in a directory."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, strategies as st
from support import checkout
from support.downloads import OddStorage, serving

from whereby_async import APIConnectionError, NotFoundError
from whereby_async.downloads.sinks import file_name
from whereby_async.testing.object_store import PatternBlob

if TYPE_CHECKING:
    from support.downloads import Film

pytestmark = pytest.mark.anyio

BENCHMARK = checkout.ROOT / "benchmarks" / "download.py"
BENCHMARK_SIZE = os.environ.get("WHEREBY_DOWNLOAD_SIZE", "64MiB")
SIZE = 3_000_000
WHOLE = PatternBlob(SIZE).read(0, SIZE)


class Slow(io.BytesIO):
    """Takes a few bytes at a time, as an unbuffered file may."""

    def write(self, data: Any, /) -> int:
        return super().write(data[:100_000])


class Silent:
    """Says nothing of what it takes."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def write(self, data: bytes) -> None:
        self.taken += data


class Stuck:
    def write(self, data: bytes) -> int:
        return 0


class Closed:
    def write(self, data: bytes) -> int:
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", [io.BytesIO, Slow])
async def test_a_binary_object_gets_the_bytes(film: Film, kind: type[io.BytesIO]) -> None:
    """Breaks are resumed in the same call; the object stays open."""
    film.hold(size=SIZE)
    film.fails(truncate=1_300_000)
    done = await film.download(target := kind())
    assert target.getvalue() == WHOLE
    assert (done.path, done.size, done.breaks) == (None, SIZE, 1)
    assert film.fake.requests[-1].headers["range"] == "bytes=1300000-"


async def test_files_of_both_worlds(film: Film, tmp_path: Path) -> None:
    """One that is written to, one whose `write` is awaited, one that says nothing."""
    film.hold(size=SIZE)
    with (tmp_path / "plain").open("wb") as plain:
        await film.download(plain)
    async with await anyio.open_file(tmp_path / "awaited", "wb") as awaited:
        await film.download(awaited)
    await film.download(silent := Silent())
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "awaited").read_bytes() == silent.taken == WHOLE


async def test_an_object_that_takes_nothing_ends_it(film: Film) -> None:
    """Rather than an endless loop, and its own errors come through as they are."""
    with pytest.raises(OSError, match="takes no more"):
        await film.download(Stuck())
    with pytest.raises(ZeroDivisionError):
        await film.download(Closed())


@pytest.mark.parametrize(("first", "then"), [('"v1"', '"v2"'), (None, None)])
async def test_what_was_written_cannot_be_taken_back(film: Film, first: str | None, then: str | None) -> None:
    """If the file changed, or nobody can tell, it ends; no byte of the other is added."""
    target = io.BytesIO()
    async with OddStorage(serving(b"a" * 100, etag=first, cut=40), serving(b"b" * 100, etag=then)) as storage:
        storage.linked_from(film.fake)
        with pytest.raises(APIConnectionError, match="40 bytes and cannot be gone on with"):
            await film.download(target)
    assert target.getvalue() == b"a" * 40
    assert len(storage.requests) == 2


async def test_an_object_skips_what_comes_again(film: Film) -> None:
    """A storage that ignores ranges sends the same version from the start."""
    content = bytes(range(200))
    async with OddStorage(serving(content, cut=40), lambda _: serving(content)({})) as storage:
        storage.linked_from(film.fake)
        await film.download(target := io.BytesIO())
    assert target.getvalue() == content


async def test_an_object_is_not_kept_for_a_file_that_is_gone(film: Film) -> None:
    with pytest.raises(NotFoundError, match="404"):
        await film.client.recordings.download("unknown", io.BytesIO())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_large_file_with_ten_breaks_needs_little_memory() -> None:
    """Bit-identical, ten breaks, growth below 32 MiB: the benchmark's own judgement, in processes of their own."""
    run = subprocess.run(
        [sys.executable, str(BENCHMARK), "--size", BENCHMARK_SIZE],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=checkout.clean_environment(PYTHONPATH=str(checkout.ROOT)),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"breaks +10 of 10", run.stdout)
    assert "as it should be" in run.stdout


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("demo-2025-11-11T19:04:23Z.mp4", "demo-2025-11-11T19:04:23Z.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\x.mp4", "x.mp4"),
        (".bashrc", "bashrc"),
        ("..", "the-id"),
        ("a/", "the-id"),
        (" . ", "the-id"),
        (None, "the-id"),
        ("a\x00b\n.mp4", "a_b_.mp4"),
        ("x" * 300 + ".mp4", "x" * 196 + ".mp4"),
        ("é" * 300, "é" * 100),
        ("x." + "y" * 300, ("x." + "y" * 300)[:200]),
        ("x" * 199 + " " + "y" * 60, "x" * 199),
        ("-rf.mp4", "rf.mp4"),
        (" .-\u00a0-x.mp4\u3000. ", "x.mp4"),
        ("-", "the-id"),
        ("a\u202egpj.mp4", "a_gpj.mp4"),
        ("\u2066a\u200f\u061c\ufeff\x9b.mp4", "_a____.mp4"),
        ("\u5f20 \u4e09.mp4", "\u5f20 \u4e09.mp4"),
        ("NUL", "_NUL"),
        ("com1.mp4", "_com1.mp4"),
        ("lpt\u00b9 .mp4", "_lpt\u00b9 .mp4"),
        ("console.mp4", "console.mp4"),
        ("film.mp4.part", "film.mp4_part"),
        ("film.PART.json", "film_part.json"),
        ("x" * 195 + ".part." + "y" * 60, "x" * 195 + "_part"),
    ],
)
def test_name(given: str | None, name: str) -> None:
    """What the API says, but no path, nothing hidden and nothing too long; else the id."""
    assert file_name(given, "the-id") == name


@given(st.text() | st.none(), st.text() | st.just(".."))
def test_any_name_stays_in_its_directory(given: str | None, fallback: str) -> None:
    """Whatever the server says, it is one plain name; without anything to go by it is `download`."""
    name = file_name(given, fallback)
    assert PurePosixPath(name).name == name
    assert name not in {"", ".", ".."}
    assert not name.startswith((".", "-"))
    assert not name.lower().endswith((".", " ", ".part", ".part.json"))
    assert len(name.encode()) <= 200
    assert file_name(None, "..") == "download"
