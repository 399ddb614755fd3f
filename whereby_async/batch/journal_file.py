"""The journal's file: opened with care, locked, and appended to durably.

Anybody who can write into the journal's folder could put something else in its place, so the file is opened without
following a link, and only a plain file will do. It is readable by its owner alone. The lock belongs to the open file,
not to the process: the kernel drops it when the process is gone, however it went, and never before. So the process that
holds the lock knows that no other appends to the file, and that the last one to run is dead. On a file system without
locks nobody would know, so the file is refused there unless the caller vouches for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from typing import TYPE_CHECKING, Final

from ..errors import WherebyError
from ..notify import logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform == "win32":  # pragma: no cover - Windows
    import msvcrt
else:
    import fcntl

_OWNER_ONLY: Final = 0o600
_FAR: Final = 1 << 40
"""Offset of the one byte that is locked on Windows, where a lock also keeps others from reading those bytes."""


class JournalError(WherebyError):
    """A journal can not be used, or no longer be written.

    Raised when the batch is entered, nothing was sent: the file is no journal, is damaged in its middle, belongs to
    another job (operation, API, key) or to a newer version, is in use by another process, can not be locked, or can not
    be opened. Raised by the iteration: the disk is full or gone, the file was deleted or moved meanwhile, or an item is
    not the one that the journal knows by its index. Then no further item is begun, those under way come out first, and
    what had happened by then is in the journal or will be looked up at the next run.
    """


class JournalFile:
    """The open file of a journal, locked unless asked otherwise.

    Attributes:
        path: Where it is.
        size: Bytes in it that count; the next line goes there.
    """

    def __init__(self, path: Path, *, lock: bool) -> None:
        """Open it, making it if it is not there, and lock it if asked.

        Raises:
            JournalError: It can not be opened, is no plain file, another process has it, or it can not be locked.
        """
        self.path: Path = path
        self._lock = threading.Lock()
        self._fd = _opened(path)
        try:
            if lock:
                _lock_descriptor(self._fd, path)
            self.size: int = os.fstat(self._fd).st_size
        except BaseException:
            os.close(self._fd)
            raise

    def lines(self) -> Iterator[bytes]:
        """All lines, each with its line feed; a last line without one was not written to its end."""
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(0)
            yield from file

    def line_at(self, offset: int) -> bytes:
        """The line that begins at `offset`, without its line feed."""
        line = b""
        while b"\n" not in line and (piece := self._read(offset + len(line), 1024)):
            line += piece
        return line.partition(b"\n")[0]

    def _read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):  # pragma: no branch - not on Windows
            return os.pread(self._fd, size, offset)
        with self._lock:  # pragma: no cover - Windows
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.read(self._fd, size)

    def cut(self, size: int) -> None:
        """Drop what lies beyond `size`: a last line that was not written to its end."""
        os.ftruncate(self._fd, size)
        self.size = size

    def append(self, data: bytes) -> None:
        """Append `data` and return when it is on the disk. Callable from any thread.

        Raises:
            OSError: It could not be written; a part that was is cut off again, if that is possible. Or it is no longer
                in its place, where the next run would not find what is written now.
        """
        with self._lock:
            if not self.path.exists():
                gone = "it was deleted or moved, and the next run does all again unless it is put back"
                raise FileNotFoundError(errno.ENOENT, gone, str(self.path))
            rest = memoryview(data)
            try:
                os.lseek(self._fd, self.size, os.SEEK_SET)
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
                os.fsync(self._fd)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self.size)
                raise
            self.size += len(data)

    def own(self) -> None:
        """Make the file readable by its owner alone, and its name in the folder durable.

        Not all file systems can do both (exFAT, CIFS, those of WSL); one warning says what is missing.
        """
        if sys.platform == "win32":  # pragma: no cover - Windows
            return
        missing: list[str] = []
        try:
            os.fchmod(self._fd, _OWNER_ONLY)
        except OSError as error:
            if os.fstat(self._fd).st_mode & ~_OWNER_ONLY & 0o777:
                missing.append(f"others may be able to read it ({error.strerror})")
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            missing.append(f"a power cut soon after it was made may take it away ({error.strerror})")
        if missing:
            logger.warning("journal=%r: %s", str(self.path), ", and ".join(missing))

    def close(self) -> None:
        """Close it; the lock goes with it."""
        with self._lock:
            os.close(self._fd)


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT"):
        flags |= getattr(os, name, 0)
    if path.is_symlink():
        raise JournalError(f"journal={str(path)!r} is a link: pass the path of the file itself")
    try:
        descriptor = os.open(path, flags, _OWNER_ONLY)
    except OSError as error:
        raise JournalError(f"journal={str(path)!r} can not be opened: {error.strerror}. Nothing was sent") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise JournalError(f"journal={str(path)!r} is no plain file: pass the path of one, or of one to be made")
    return descriptor


def _lock_descriptor(descriptor: int, path: Path) -> None:
    try:
        if sys.platform == "win32":  # pragma: no cover - Windows
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        why = (
            f"can not be locked ({error.strerror}), as on some network drives, so that a second batch on it would not "
            "be noticed, and two on one journal do items twice. Nothing was sent: put it on a local disk, or pass "
            "lock=False if no other batch runs on it"
        )
        if error.errno == (errno.EACCES if sys.platform == "win32" else errno.EWOULDBLOCK):
            why = "is in use: another batch is running on it. Wait for its end, or stop it"
        raise JournalError(f"journal={str(path)!r} {why}") from error
