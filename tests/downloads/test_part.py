"""Parts: one download at a time, in a process and between processes, and nothing of value lost."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from whereby_async.downloads.part import PartFile, _taken  # pyright: ignore[reportPrivateUsage] - to be another process
from whereby_async.downloads.verdict import Version

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

VERSION = Version(6, '"v1"')


def opened(path: Path) -> PartFile:
    """An open part."""
    part = PartFile(path, "recordings/1", overwrite=True)
    part.open()
    return part


def begun(path: Path) -> PartFile:
    """A part with three of six bytes."""
    part = opened(path)
    part.begin(VERSION)
    part.write(b"abc")
    return part


def test_a_part_is_gone_on_with(tmp_path: Path) -> None:
    """Bytes, place and version are there again."""
    begun(tmp_path / "film").close()
    again = opened(tmp_path / "film")
    assert (again.position, again.version) == (3, VERSION)
    again.note(VERSION)
    again.write(b"def")
    again.finish()
    again.close()
    assert (tmp_path / "film").read_bytes() == b"abcdef"
    assert [each.name for each in tmp_path.iterdir()] == ["film"]


def test_a_discarded_part_is_removed(tmp_path: Path) -> None:
    """With its note; closing twice does nothing more."""
    part = begun(tmp_path / "film")
    part.discard()
    part.close()
    part.close()
    assert list(tmp_path.iterdir()) == []


def test_threads_of_a_process_do_not_share_a_part(tmp_path: Path) -> None:
    """The second is refused while the first has it."""
    first = begun(tmp_path / "film")
    refused: list[BaseException] = []

    def second() -> None:
        with pytest.raises(BlockingIOError) as caught:
            opened(tmp_path / "film")
        refused.append(caught.value)

    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    first.close()
    assert len(refused) == 1
    opened(tmp_path / "film").close()


def _hold(path: Path, pipe: Connection) -> None:
    part = begun(path)
    pipe.send("open")
    if pipe.recv() == "finish":
        part.write(b"def")
        part.finish()
    part.close()
    pipe.send("closed")


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
@pytest.mark.parametrize("end", ["finish", "leave"])
def test_processes_do_not_share_a_part(tmp_path: Path, end: str) -> None:
    """A lock on the part itself; when it is gone the next one goes on, or begins another."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path / "film", theirs))
    process.start()
    assert ours.recv() == "open"
    with pytest.raises(BlockingIOError, match="downloaded to already"):
        opened(tmp_path / "film")
    assert (tmp_path / "film.part").read_bytes() == b"abc"
    ours.send(end)
    assert ours.recv() == "closed"
    process.join()
    after = opened(tmp_path / "film")
    assert after.position == (3 if end == "leave" else 0)
    after.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
def test_a_part_that_was_renamed_while_we_opened_it_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking, the one before put it in its place: what we hold is the file of another by then."""
    fcntl = pytest.importorskip("fcntl")
    real: Callable[[int, int], None] = fcntl.flock
    before = begun(tmp_path / "film")
    _taken.clear()

    def slowly(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        before.write(b"def")
        before.finish()
        before.close()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", slowly)
    after = opened(tmp_path / "film")
    after.begin(VERSION)
    after.write(b"x")
    assert (tmp_path / "film").read_bytes() == b"abcdef"
    after.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
def test_a_file_system_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the process the paths are still known; any other failure of the lock is told."""
    number = errno.ENOLCK

    def unlockable(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", unlockable)
    begun(tmp_path / "film").close()
    number = errno.EIO
    part = PartFile(tmp_path / "film", "recordings/1", overwrite=True)
    with pytest.raises(OSError, match="rror"):
        part.open()
    part.close()
    assert (tmp_path / "film.part").read_bytes() == b"abc"


def test_an_error_in_a_descriptor_names_the_file(tmp_path: Path) -> None:
    """The system's own does not."""
    part = begun(tmp_path / "film")
    (tmp_path / "film.part.json").unlink()
    (tmp_path / "film.part.json").mkdir()
    with pytest.raises(OSError, match=r"film\.part\.json"):
        part.note(Version(7, '"v2"'))
    part.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX's limits")
def test_a_short_write_counts_what_was_written(tmp_path: Path) -> None:
    """Two of three bytes fit: the error names the part, and the next one goes on behind those two."""
    part = opened(tmp_path / "film")
    part.begin(VERSION)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"film\.part'") as caught:
            part.write(b"abc")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (caught.value.errno, part.position) == (errno.EFBIG, 2)
    part.close()
    again = opened(tmp_path / "film")
    assert again.position == 2
    again.close()
