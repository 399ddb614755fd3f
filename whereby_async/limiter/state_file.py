"""`StateFile`: a small state that all processes of a machine share in one file, which is locked only while it is
changed.

The file has two slots, which are written in turn. Each holds a checksum, a version and the state; the valid slot with
the higher version counts. A process that is killed in the middle of a write leaves an invalid slot, and the state is
what it was before. Nothing is forced onto the disk: after a power cut the state may be an older one, or missing. Both
slots get their full size when the file is made, so a disk that fills up later does no harm.

The file is opened anew for each change, which takes 3 µs. So a file that was deleted is made again, a forked process
shares no lock with its parent, and the lock also keeps the threads of one process apart. The lock belongs to the open
file: the system removes it when the process is gone, however it ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zlib import crc32

from .shared.store import StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

if sys.platform == "win32":  # pragma: no cover - Windows
    import msvcrt
else:
    import fcntl

LARGEST: Final = 1 << 16  # bytes of a state, at most

_MARK: Final = b"whereby1"
_HEADER: Final = struct.Struct("<I8sQI")
"""The checksum of all that follows, the mark, the version, the length of the state."""

_SLOT: Final = _HEADER.size + LARGEST
_FAR: Final = 1 << 40  # where on Windows, which locks ranges of bytes against reading too, the one locked byte lies

_FLAGS: Final = os.O_RDWR | os.O_CREAT | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_FINAL: Final = {
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL), "its file system has no locks"
    ),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "there is no permission to read and write it"),
    **dict.fromkeys((errno.ELOOP, errno.EMLINK), "it is a symbolic link"),
    errno.EROFS: "its file system is read-only",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is no folder",
}
_PASSING: Final = {errno.ENOSPC: "the disk is full", errno.ENOENT: "its folder does not exist"}

_open: set[int] = set()


class StateFile:
    """A state of at most 64 KiB in a file. Keeps nothing open; may be used from all threads and forked processes.

    Attributes:
        path: Where the file is.
    """

    __slots__ = ("_private_folder", "path")

    def __init__(self, path: Path, *, private_folder: bool = False) -> None:
        """Does not touch the disk.

        Args:
            path: Where the file is, or will be made.
            private_folder: Its folder is made if it is missing, and refused if other users can write to it.
        """
        self.path: Path = path
        self._private_folder = private_folder

    def try_change(self, change: Callable[[bytes | None], bytes]) -> bool:
        """Lock the file without waiting, read the state, and write what `change` makes of it.

        `change` is given `None` if there is no usable state: the file is new, or has another content, which is
        overwritten. What it raises is raised again, and the state stays as it is.

        Returns:
            Whether it was done; `False` if somebody else has the lock.

        Raises:
            StoreAwayError: The file can not be used; the state is as it was.
            ValueError: The new state is too large.
        """
        pid = os.getpid()
        fd = -1
        try:
            with _in_plain_words(self.path):
                if self._private_folder:
                    _check_folder(self.path.parent)
                fd = os.open(self.path, _FLAGS, 0o600)
                _open.add(fd)
                _check_file(fd)
                if not _try_lock(fd) or not _is_at(self.path, fd):
                    return False
                version, state = _newest(_read(fd))
            state = change(state)
            if len(state) > LARGEST:
                raise ValueError(f"a state of {len(state)} bytes is larger than {LARGEST}")
            if os.getpid() != pid:  # pragma: no cover - `change` forked, and in the child: the lock is its parent's
                return False
            with _in_plain_words(self.path):
                _write(fd, version + 1, state)
            return True
        finally:
            if fd >= 0 and os.getpid() == pid:
                _open.discard(fd)
                _unlock(fd)
                os.close(fd)


def _newest(content: bytes) -> tuple[int, bytes | None]:
    """The version and the state that count."""
    newest: tuple[int, bytes | None] = 0, None
    for at in (0, _SLOT):
        checksum, mark, version, length = _HEADER.unpack_from(content, at)
        end = at + _HEADER.size + length
        if mark == _MARK and version > newest[0] and checksum == crc32(content[at + 4 : end]):
            newest = version, content[at + _HEADER.size : end]
    return newest


def _write(fd: int, version: int, state: bytes) -> None:
    """Write into the slot that does not count: even versions are in the first slot, odd ones in the second."""
    rest = _HEADER.pack(0, _MARK, version, len(state))[4:] + state
    os.lseek(fd, version % 2 * _SLOT, os.SEEK_SET)
    _write_all(fd, crc32(rest).to_bytes(4, "little") + rest)


def _read(fd: int) -> bytes:
    """The content of the file, which is made as large as it must be first."""
    content = b""
    while piece := os.read(fd, 2 * _SLOT - len(content)):
        content += piece
    if missing := bytes(2 * _SLOT - len(content)):
        _write_all(fd, missing)
    return content + missing


def _write_all(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _try_lock(fd: int) -> bool:
    try:
        if sys.platform == "win32":  # pragma: no cover - Windows
            os.lseek(fd, _FAR, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
            os.lseek(fd, 0, os.SEEK_SET)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == (errno.EACCES if sys.platform == "win32" else errno.EWOULDBLOCK):
            return False
        raise
    return True


def _unlock(fd: int) -> None:
    with contextlib.suppress(OSError):  # it may not be locked
        if sys.platform == "win32":  # pragma: no cover - Windows
            os.lseek(fd, _FAR, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_UN)  # to close it would not do while a child that is being forked has it too


def _is_at(path: Path, fd: int) -> bool:
    """Whether the locked file is still the one at its path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))  # noqa: PTH116 - the path's own method is slower
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _in_plain_words(path: Path) -> Generator[None]:
    try:
        yield
    except StoreAwayError as error:
        raise StoreAwayError(f"{path} can not be used: {error.reason}", final=error.final) from None
    except OSError as error:
        why = {**_PASSING, **_FINAL}.get(error.errno or 0, error.strerror)
        raise StoreAwayError(f"{path} can not be used: {why}", final=error.errno in _FINAL) from error


def _check_file(fd: int) -> None:
    """Refuse what is no file of this user, and hide it from the others."""
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode):
        raise StoreAwayError("it is no plain file", final=True)
    if sys.platform != "win32":
        if about.st_uid != os.geteuid():
            raise StoreAwayError("it belongs to another user", final=True)
        if stat.S_IMODE(about.st_mode) != 0o600:  # noqa: PLR2004 - a mode
            with contextlib.suppress(OSError):  # exFAT and CIFS keep no modes; no secret is in it
                os.fchmod(fd, 0o600)


def _check_folder(folder: Path) -> None:
    """Make the folder if it is missing; refuse one in which other users could replace the file."""
    with contextlib.suppress(FileExistsError):
        if not os.path.lexists(folder):
            folder.mkdir(mode=0o700, parents=True)
    about = os.lstat(folder)
    if not stat.S_ISDIR(about.st_mode):
        raise StoreAwayError("its folder is a symbolic link or a file", final=True)
    if sys.platform != "win32":
        if about.st_uid != os.geteuid():
            raise StoreAwayError("its folder belongs to another user", final=True)
        if about.st_mode & 0o022 and not about.st_mode & stat.S_ISVTX:
            raise StoreAwayError("other users can write to its folder", final=True)


def default_path(digest: str) -> Path:
    """Where the state of that name is, for a `StateFile` with a private folder. Makes nothing.

    It is in the user's runtime folder, else in the cache folder, else in a folder of the user among the temporary
    files. A folder of another user is passed over: programs that run by `sudo` can find one in their environment.

    Raises:
        StoreAwayError: There is not even a folder for temporary files.
    """
    caches = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    places = [os.environ.get(name, "") for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA")]
    for place in (*places, os.path.expanduser(caches)):  # noqa: PTH111 - the path's own method can raise
        base = Path(place)
        if base.is_absolute() and (
            _is_own(base) or (place != places[0] and not base.exists() and _is_own(base.parent))
        ):
            return base / "whereby-async" / f"{digest}.state"
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        raise StoreAwayError("there is no folder for temporary files", final=True) from None
    return Path(
        folder, "whereby-async" if sys.platform == "win32" else f"whereby-async-{os.geteuid()}", f"{digest}.state"
    )


def _is_own(folder: Path) -> bool:
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return False
    return sys.platform == "win32" or folder.stat().st_uid == os.geteuid()


def _after_fork() -> None:
    """A child keeps no lock of its parent alive."""
    while _open:  # pragma: no cover - in a child of a process of the tests
        with contextlib.suppress(OSError):
            os.close(_open.pop())


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_after_fork)
