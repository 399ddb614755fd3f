"""A file that is being downloaded: `NAME.part` beside its final place, and a note of which version of which file it is.

**Theory.** Under the final name there is a whole file or none: the part is renamed when it is complete and on the disk.
Its version stands in `NAME.part.json`, written before the first byte of it. A part with a note that can not be read, or
of another file, is begun anew; one without a note is no download's, and is refused. So a program that was killed leaves
a part that the next download completes, and nothing that could be taken for the file.

Two downloads never write to one part: a set of paths prevents it within a process, a lock on the part itself between
processes (where the system has such locks). No file may be called as a part or its note are: it would be the part of
another. The lock belongs to the file and not to its name. Whoever gets it therefore
checks whether the name still leads to that file, since the one before may just have renamed it.

On cancel the part stays; one without a byte in it is removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from .sinks import OF_A_PART, Sink, in_thread, runs_in_thread
from .verdict import Version

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Generator

_PART: Final = ".part"
_NOTE: Final = ".part.json"
_FLAGS: Final = (
    os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_FOREIGN: Final = f"is there already, and no download has begun it, for want of a {_NOTE} beside it: take it away"
_UNSUPPORTED: Final = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS}

_lock = threading.Lock()
_taken: set[str] = set()


class _Note(msgspec.Struct, frozen=True):
    """What stands beside a part. No link is in it."""

    source: str
    tag: str | None
    size: int | None


class PartFile(Sink):
    """The part of one file. File work runs in threads.

    Args:
        destination: Where the file will be. Nothing is touched before `open`.
        source: What is downloaded, such as `recordings/1`; a part of something else is begun anew.
        overwrite: Whether a file that is there may be replaced.

    Attributes:
        path: Where the file will be, absolute, in a folder without symbolic links.
    """

    def __init__(self, destination: str | os.PathLike[str], source: str, *, overwrite: bool) -> None:
        folder, name = os.path.split(destination)
        self._final = Path(os.path.realpath(folder)) / name
        self.path: Path | None = self._final
        self._source = source
        self._overwrite = overwrite
        self._part = f"{self._final}{_PART}"
        self._note = f"{self._final}{_NOTE}"
        self._descriptor: int | None = None
        self._registered = False
        self._worthless = False

    @runs_in_thread
    def open(self) -> None:
        """Take the part, and see how far it is.

        Raises:
            FileExistsError: There is a file under the final name, and it may not be replaced.
            BlockingIOError: Another download is writing there.
            OSError: It cannot be opened, it is no regular file or a symbolic link, it is called as a part is, or there
                is a file in the part's place that no download has begun.
        """
        self._check_final()
        with _lock:
            if str(self._final) in _taken:
                raise self._busy()
            _taken.add(str(self._final))
            self._registered = True
        try:
            self._descriptor = self._open_and_lock()
        except BaseException:
            self.close()
            raise
        size = os.fstat(self._descriptor).st_size
        if size and not os.path.lexists(self._note):
            raise OSError(errno.EINVAL, _FOREIGN, self._part)
        if not size:
            self._write_note(Version())  # a full disk is noticed now, before a link is paid for
        note = self._read_note()
        if size and note is not None and (note.size is None or size <= note.size):
            self.position = size
            self.version = Version(note.size, note.tag)
        os.lseek(self._descriptor, self.position, os.SEEK_SET)

    @runs_in_thread
    def begin(self, version: Version) -> None:
        """Empty the part, and write down of what version it is going to be."""
        assert self._descriptor is not None  # noqa: S101 - it was opened
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.position = 0
        self._write_note(version)

    async def note(self, version: Version) -> None:
        """Write down of what version it is a part."""
        await in_thread(self._write_note, version)

    @runs_in_thread
    def write(self, content: bytes) -> None:
        """Add bytes. An error, such as that of a full disk, names the part."""
        assert self._descriptor is not None  # noqa: S101 - it was opened
        rest = memoryview(content)
        with _named(self._part):
            while rest:
                written = os.write(self._descriptor, rest)
                self.position += written
                rest = rest[written:]

    @runs_in_thread
    def finish(self) -> None:
        """Put the whole file in its place, unless there is one by now that may not be replaced.

        It goes onto the disk first, and under its name then.
        """
        assert self._descriptor is not None  # noqa: S101 - it was opened
        with _named(self._part):
            os.fsync(self._descriptor)
        self._check_final()
        if sys.platform == "win32":  # pragma: no cover - where an open file cannot be renamed
            os.close(self._descriptor)
            self._descriptor = None
        os.replace(self._part, self._final)  # noqa: PTH105 - the part's name is text
        self.position: int = 0  # there is no part any more
        _remove(self._note)
        with contextlib.suppress(OSError):  # have the new name survive a power cut, where directories can be synced
            descriptor = os.open(self._final.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def discard(self) -> None:
        """Have the part removed when it is closed."""
        self._worthless = True

    def close(self) -> None:
        """Let go of the part. It stays, unless nothing is in it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if (self._worthless or not os.fstat(descriptor).st_size) and self._is_part(descriptor):
                _remove(self._part)
                _remove(self._note)
            os.close(descriptor)
        if self._registered:
            self._registered = False
            with _lock:
                _taken.discard(str(self._final))

    def _write_note(self, version: Version) -> None:
        if version != self.version or not self.position:
            self.version: Version = version
            content = msgspec.json.encode(_Note(self._source, version.tag, version.size))
            with _named(self._note):
                descriptor = os.open(self._note, _FLAGS | os.O_TRUNC, 0o666)
                try:
                    os.write(descriptor, content)
                finally:
                    os.close(descriptor)

    def _check_final(self) -> None:
        if OF_A_PART.search(self._final.name):
            msg = "ends as the parts of downloads do: name another file"
            raise OSError(errno.EINVAL, msg, str(self._final))
        try:
            mode = os.lstat(self._final).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISLNK(mode):
            msg = "is a symbolic link, which is not followed: remove it, or name the file that it leads to"
            raise OSError(errno.ELOOP, msg, str(self._final))
        if not stat.S_ISREG(mode):
            msg = "is no regular file: pass the path of one, or an open binary file"
            raise OSError(errno.EINVAL, msg, str(self._final))
        if not self._overwrite:
            raise FileExistsError(errno.EEXIST, "exists already: pass overwrite=True to replace it", str(self._final))

    def _open_and_lock(self) -> int:
        while True:
            descriptor = os.open(self._part, _FLAGS, 0o666)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(errno.EINVAL, "is in the way and no regular file: remove it", self._part)
                self._lock(descriptor)
                if self._is_part(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # it was renamed between our opening and our locking it

    def _lock(self, descriptor: int) -> None:
        if sys.platform == "win32":  # pragma: no cover - where there are no such locks
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._busy() from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise

    def _is_part(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(self._part))
        except FileNotFoundError:
            return False

    def _busy(self) -> BlockingIOError:
        return BlockingIOError(errno.EAGAIN, "is being downloaded to already", str(self._final))

    def _read_note(self) -> _Note | None:
        try:
            with open(self._note, "rb") as file:  # noqa: PTH123 - the note's name is text
                note = msgspec.json.decode(file.read(), type=_Note)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return note if note.source == self._source else None


@contextlib.contextmanager
def _named(path: str) -> Generator[None]:
    """Have errors of writing name the file, which those of a descriptor do not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - the name is text
