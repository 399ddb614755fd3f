"""The state file: real files, real processes, and SIGKILL."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import checkout
from support.budgets import in_threads

from whereby_async.limiter import state_file
from whereby_async.limiter.shared.store import StoreAwayError
from whereby_async.limiter.state_file import LARGEST, StateFile, default_path

if sys.platform == "win32":
    pytest.skip("POSIX's files", allow_module_level=True)

from support import state_writers
from support.state_writers import add, counted, look, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLOT = state_file._SLOT  # pyright: ignore[reportPrivateUsage] - bytes are broken where they matter


def start(program: Callable[[Path, int], None], path: Path, count: int) -> subprocess.Popen[str]:
    """A program of `state_writers` in a Python of its own."""
    environment = checkout.clean_environment(PYTHONPATH=f"{checkout.ROOT}:{checkout.ROOT / 'tests'}")
    command = [sys.executable, state_writers.__file__, program.__name__, str(path), str(count)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


def said(process: subprocess.Popen[str], code: int = 0) -> str:
    out, err = process.communicate(timeout=170)
    assert process.returncode == code, err
    return out.strip()


def refused(path: Path, *, private_folder: bool = False) -> StoreAwayError:
    """The error that a change ends with, without its function being asked."""

    def change(_: bytes | None) -> bytes:
        raise AssertionError

    with pytest.raises(StoreAwayError) as caught:
        StateFile(path, private_folder=private_folder).try_change(change)
    assert str(path) in caught.value.reason
    assert str(caught.value) == caught.value.reason
    return caught.value


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "state")


def test_a_state_is_kept(file: StateFile) -> None:
    """There is none at first; it has any length up to the largest; making the object creates no file."""
    assert not file.path.exists()
    seen: list[bytes | None] = []
    states = [b"", b"x", bytes(LARGEST), b"short", os.urandom(LARGEST - 1)]
    for state in states:

        def change(old: bytes | None, state: bytes = state) -> bytes:
            seen.append(old)
            return state

        assert file.try_change(change)
    assert seen == [None, *states[:-1]]
    assert file.path.stat().st_size == 2 * SLOT


def test_an_error_in_the_change_leaves_the_state_as_it_was(file: StateFile) -> None:
    """It is raised as it is, an OSError too, and the lock is free again."""
    add(file)
    for error in (ZeroDivisionError(), OSError(errno.ENOSPC, "mine"), KeyboardInterrupt()):

        def change(_: bytes | None, error: BaseException = error) -> bytes:
            raise error

        with pytest.raises(type(error)) as caught:
            file.try_change(change)
        assert caught.value is error
    with pytest.raises(ValueError, match="65537"):
        file.try_change(lambda _: bytes(LARGEST + 1))
    assert look(file) == 1


def test_nothing_stays_open(file: StateFile, tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    add(file)
    refused(tmp_path)
    with pytest.raises(ZeroDivisionError):
        file.try_change(lambda _: bytes(1 // 0))
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_processes_sum_exactly(file: StateFile) -> None:
    """Four processes that begin without a file."""
    for process in [start(state_writers.adding, file.path, 250) for _ in range(4)]:
        said(process)
    assert look(file) == 1000


def test_processes_that_make_the_file_at_one_moment_make_one(file: StateFile) -> None:
    said(start(state_writers.creating, file.path, 30))


def test_killed_writers_harm_nothing(file: StateFile) -> None:
    """Sixty times SIGKILL at random moments."""
    assert int(said(start(state_writers.killing, file.path, 60))) > 60


@pytest.mark.long
def test_many_killed_writers_harm_nothing(file: StateFile) -> None:
    assert int(said(start(state_writers.killing, file.path, 4000))) > 4000


@pytest.mark.parametrize("cut", [0, 3, 4, 12, 20, 24, 25, 4096])
def test_killed_in_mid_write(file: StateFile, cut: int) -> None:
    """The state is what it was, in the first slot as in the second."""
    for count in (1, 2):
        assert add(file) == count
        said(start(state_writers.killed_in_mid_write, file.path, cut), -signal.SIGKILL)
        assert look(file) == count


@pytest.mark.parametrize("count", [1, 2])
def test_a_write_that_ends_anywhere_leaves_the_state_before(
    file: StateFile, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Every number of bytes of a small state's write, each over what earlier ones left there."""
    write = os.write
    assert file.try_change(lambda _: b"before")
    for _ in range(count):
        assert file.try_change(lambda _: b"the state")
    cuts = iter(range(24 + len(b"what is new")))

    def partly(fd: int, content: bytes) -> int:
        write(fd, content[: next(cuts)])
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("os.write", partly)
    for _ in range(24 + len(b"what is new")):
        with pytest.raises(StoreAwayError, match="broken") as caught:
            file.try_change(lambda _: b"what is new")
        assert not caught.value.final
    monkeypatch.undo()
    assert file.try_change(lambda state: b"" if state == b"the state" else bytes(1 // 0))


def test_a_short_write_is_gone_on_with(file: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take fewer bytes than it is given, and give fewer than it is asked for."""
    write, read = os.write, os.read

    def write_some(fd: int, content: memoryview) -> int:
        return write(fd, content[:9000])

    def read_some(fd: int, size: int) -> bytes:
        return read(fd, min(size, 7000))

    monkeypatch.setattr("os.write", write_some)
    monkeypatch.setattr("os.read", read_some)
    assert [add(file), add(file), add(file)] == [1, 2, 3]
    assert file.path.stat().st_size == 2 * SLOT


def broken(content: bytes, at: int) -> bytes:
    return content[:at] + bytes((content[at] ^ random.randrange(1, 256),)) + content[at + 1 :]


def test_a_broken_byte_anywhere_means_the_other_slot(file: StateFile) -> None:
    """The state before; with both slots broken there is none; then it goes on."""
    assert file.try_change(lambda _: b"first, in the second slot")
    assert file.try_change(lambda _: b"second, in the first slot")
    content = file.path.read_bytes()
    seen: list[bytes | None] = []

    def change(state: bytes | None) -> bytes:
        seen.append(state)
        return b"new"

    for at in range(24 + len(b"second, in the first slot")):
        for slots in ((0,), (SLOT,), (0, SLOT)):
            now = content
            for slot in slots:
                now = broken(now, slot + at)
            file.path.write_bytes(now)
            assert file.try_change(change)
            assert file.try_change(change)
        expected = [b"first, in the second slot", b"new", b"second, in the first slot", b"new", None, b"new"]
        assert seen == expected, at
        seen.clear()


@pytest.mark.parametrize("size", [0, 1, 24, 5000, SLOT, 2 * SLOT - 1, 2 * SLOT, 2 * SLOT + 5000])
@pytest.mark.parametrize("zeros", [True, False])
def test_foreign_content_is_no_state(file: StateFile, size: int, zeros: bool) -> None:
    """Also a file whose making was interrupted."""
    file.path.write_bytes(bytes(size) if zeros else os.urandom(size))
    assert [add(file), add(file)] == [1, 2]


def test_a_file_that_was_cut_is_made_whole(file: StateFile) -> None:
    for _ in range(3):
        add(file)
    os.truncate(file.path, SLOT)  # the third state is in the second slot
    assert look(file) == 2
    assert file.path.stat().st_size == 2 * SLOT


def test_a_deleted_file_is_made_anew(file: StateFile) -> None:
    add(file)
    file.path.unlink()
    assert add(file) == 1
    state_of_another = StateFile(file.path.with_name("other"))
    for _ in range(5):
        add(state_of_another)
    state_of_another.path.replace(file.path)
    assert add(file) == 6


@pytest.mark.parametrize("again", [True, False])
def test_a_file_that_is_deleted_before_it_is_locked_is_not_changed(
    file: StateFile, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """Nor one that is replaced: it counts as locked by another process, and the next try finds the new file."""
    add(file)

    def slowly(fd: int, operation: int) -> None:
        file.path.unlink()
        if again:
            file.path.write_bytes(b"")

    monkeypatch.setattr("fcntl.flock", slowly)
    assert not file.try_change(lambda _: bytes(1 // 0))
    monkeypatch.undo()
    assert add(file) == 1


def test_a_lock_is_not_waited_for(file: StateFile) -> None:
    """Not even by its owner: a signal handler or a finalizer that asks in mid-change gets False."""
    inside: list[bool] = []
    other = StateFile(file.path)

    def change(state: bytes | None) -> bytes:
        inside.extend((file.try_change(lambda _: b""), other.try_change(lambda _: b"")))
        return state_of(counted(state) + 1)

    assert file.try_change(change)
    assert inside == [False, False]
    assert look(file) == 1


def test_a_signal_handler_may_change_it(file: StateFile) -> None:
    """It may run at any moment of another change, and may be refused then; no change is lost."""
    handled: list[bool] = []

    def handle(*_: object) -> None:
        handled.append(file.try_change(lambda state: state_of(counted(state) + 1)))

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
        added = 0
        while not any(handled) or all(handled):
            add(file)
            added += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert look(file) == added + sum(handled)


def test_threads_share_one_object(file: StateFile) -> None:
    def run() -> None:
        for _ in range(100):
            add(file)

    in_threads(*[run] * 5)
    assert look(file) == 500


def test_a_child_keeps_no_lock_of_its_parent(file: StateFile) -> None:
    """The parent is killed in mid-change, the child lives: the lock is gone with the parent."""
    process = start(state_writers.leaving_a_child, file.path, 0)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        assert process.wait(20) == -signal.SIGKILL
        assert add(file) == 1
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


def test_a_copy_of_the_open_file_does_not_keep_the_lock(file: StateFile) -> None:
    """A process that another thread is starting has one until it runs its program."""
    copies: list[int] = []

    def change(_: bytes | None) -> bytes:
        about = file.path.stat()
        for fd in range(3, 200):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(fd), about):
                    copies.append(os.dup(fd))
                    break
        return state_of(1)

    assert file.try_change(change)
    assert len(copies) == 1
    assert file.try_change(lambda _: state_of(2))
    os.close(copies[0])


def test_a_fork_in_mid_change(file: StateFile) -> None:
    said(start(state_writers.forking, file.path, 7))
    assert look(file) == 8


@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
def test_only_its_owner_may_read_it(file: StateFile, mask: int) -> None:
    """Whatever the umask is, and whatever it was before."""
    before = os.umask(mask)
    try:
        add(file)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.path.chmod(0o644)
    assert add(file) == 2
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Each with its reason; a link is not followed, and a pipe is not waited for."""
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    for name, why in {
        "": "is a folder", "link": "is a symbolic link", "dangling": "is a symbolic link", "pipe": "no plain file",
        "file/x": "part of its path is no folder",
    }.items():  # fmt: skip
        error = refused(tmp_path / name)
        assert why in error.reason
        assert error.final
    error = refused(tmp_path / "missing" / "state")
    assert "folder does not exist" in error.reason
    assert not error.final
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["dangling", "file", "link", "pipe"]


def test_replaced_by_something_else_while_in_use(file: StateFile) -> None:
    """A folder or a link is refused; when the file is back, it is used again."""
    add(file)
    kept = file.path.rename(file.path.with_name("kept"))
    file.path.mkdir()
    assert "is a folder" in refused(file.path).reason
    file.path.rmdir()
    file.path.symlink_to(kept)
    assert "is a symbolic link" in refused(file.path).reason
    file.path.unlink()
    kept.rename(file.path)
    assert add(file) == 2


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP])
def test_a_file_system_without_locks_is_refused(file: StateFile, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def unlockable(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", unlockable)
    error = refused(file.path)
    assert "its file system has no locks" in error.reason
    assert error.final


def test_a_file_system_without_modes_will_do(file: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as exFAT or CIFS, where all files have the mode of their mount; the state holds no secret."""

    def refused(fd: int, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    file.path.touch(0o644)
    file.path.chmod(0o644)
    monkeypatch.setattr("os.fchmod", refused)
    assert [add(file), add(file)] == [1, 2]


def test_a_folder_without_permission_is_told() -> None:
    """In a process of a user who may not write there; pytest's own folders are hidden from him."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        words = said(start(state_writers.without_permission, Path(folder, "state"), 0))
    assert words.startswith("True ")
    assert "no permission" in words


def test_a_limit_for_files_is_told(file: StateFile) -> None:
    """The file can be made once the limit is gone; after that a limit does no harm unless it tears a write."""
    words = said(start(state_writers.short_of_space, file.path, SLOT + 5000))
    assert words.startswith("False ")
    assert "File too large" in words
    assert add(file) == 1
    assert said(start(state_writers.short_of_space, file.path, 2 * SLOT)) == "2"
    assert add(file) == 3
    assert said(start(state_writers.short_of_space, file.path, 1000)).startswith("False ")
    assert look(file) == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one state file, and not for two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    """A file that is there is not touched by it; one that is not is refused until there is room."""
    file, late = StateFile(small_disk / "state"), StateFile(small_disk / "late")
    add(file)
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filling").write_bytes(bytes(200_000))
    for count in range(2, 50):
        assert add(file) == count
    error = refused(late.path)
    assert "the disk is full" in error.reason
    assert not error.final
    (small_disk / "filling").unlink()
    file.path.unlink()
    assert add(late) == 1


def test_a_private_folder_is_made(tmp_path: Path) -> None:
    """And made again; its owner alone can enter it."""
    path = tmp_path / "cache" / "whereby-async" / "state"
    file = StateFile(path, private_folder=True)
    assert [add(file), add(file)] == [1, 2]
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    shutil.rmtree(tmp_path / "cache")
    assert add(file) == 1


def test_a_private_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for mode in (0o777, 0o770, 0o702):
        folder.chmod(mode)
        error = refused(folder / "state", private_folder=True)
        assert "other users can write to its folder" in error.reason
        assert error.final
    assert not list(folder.iterdir())
    for mode in (0o1777, 0o755, 0o700):
        folder.chmod(mode)
        add(StateFile(folder / "state", private_folder=True))
    (tmp_path / "link").symlink_to(folder)
    assert "its folder is a symbolic link" in refused(tmp_path / "link" / "state", private_folder=True).reason


def test_another_users_file_or_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user who can write to it could make us wait for ever, or spend too much."""
    file = StateFile(tmp_path / "state")
    add(file)
    if os.geteuid():
        user = os.geteuid()
        monkeypatch.setattr("os.geteuid", lambda: user + 1)
    else:
        os.chown(tmp_path, 65534, -1)
        os.chown(file.path, 65534, -1)
    assert "it belongs to another user" in refused(file.path).reason
    error = refused(file.path, private_folder=True)
    assert "its folder belongs to another user" in error.reason
    assert error.final


def test_where_the_file_is_unless_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime, the cache, the home's cache or the temporary folder: the first that can be used."""
    places = {name: tmp_path / name for name in ("runtime", "cache", "home", "temporary")}
    for each in places.values():
        each.mkdir()
    for variable, place in {
        "XDG_RUNTIME_DIR": "runtime", "XDG_CACHE_HOME": "cache", "HOME": "home", "TMPDIR": "temporary",
    }.items():  # fmt: skip
        monkeypatch.setenv(variable, str(places[place]))
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    below = Path("whereby-async", "digest.state")
    assert default_path("digest") == places["runtime"] / below
    places["runtime"].rmdir()
    assert default_path("digest") == places["cache"] / below
    places["cache"].rmdir()  # it can be made
    assert default_path("digest") == places["cache"] / below
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
    if sys.platform == "darwin":
        (places["home"] / "Library").mkdir()
    assert default_path("digest") == places["home"] / caches / below
    user = os.geteuid()
    places["runtime"].mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: user + 1)
        assert default_path("digest") == places["temporary"] / f"whereby-async-{user + 1}" / "digest.state"
    assert not list(places["home"].rglob("whereby*"))
    shutil.rmtree(places["home"])
    places["runtime"].rmdir()
    path = default_path("digest")
    assert path == places["temporary"] / f"whereby-async-{user}" / "digest.state"
    add(StateFile(path, private_folder=True))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: (_ for _ in ()).throw(FileNotFoundError()))
    with pytest.raises(StoreAwayError, match="no folder for temporary files"):
        default_path("digest")
