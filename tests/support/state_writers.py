"""Programs for the tests of the state file, run in a Python of their own: writers that are forked and killed.

Each forks from a process with one thread. `python state_writers.py NAME PATH COUNT`.
"""

from __future__ import annotations

import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from whereby_async.limiter.shared.store import StoreAwayError
from whereby_async.limiter.state_file import LARGEST, StateFile

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = struct.Struct("<Q")
PATIENCE = 20.0
"""Seconds after which a lock counts as stuck. Long, since a machine can be busy."""


def counted(state: bytes | None) -> int:
    """The counter of a state, all of which must have been written by the same change."""
    if state is None:
        return 0
    count: int = COUNT.unpack_from(state)[0]
    assert state == state_of(count), "a torn state"
    return count


def state_of(count: int) -> bytes:
    """A state of another length and content for each count."""
    return COUNT.pack(count) + bytes((count % 251,)) * (count * 7919 % (LARGEST - 7))


def add(file: StateFile) -> int:
    seen = 0

    def change(state: bytes | None) -> bytes:
        nonlocal seen
        seen = counted(state) + 1
        return state_of(seen)

    until(file, change)
    return seen


def look(file: StateFile) -> int:
    seen = 0

    def change(state: bytes | None) -> bytes:
        nonlocal seen
        seen = counted(state)
        return state_of(seen) if state is None else state

    until(file, change)
    return seen


def until(file: StateFile, change: Callable[[bytes | None], bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while not file.try_change(change):
        assert time.monotonic() < end, "the lock is stuck"
        time.sleep(random.uniform(0, 0.001))


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - how it answers


def forked(run: Callable[[], None]) -> int:
    """The id of a child that runs it."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        run()
        code = 0
    finally:
        os._exit(code)


def adding(path: Path, count: int) -> None:
    file = StateFile(path)
    for _ in range(count):
        add(file)


def creating(path: Path, count: int) -> None:
    """So many times, four processes make the file at one moment, and one of them counts as the others do."""
    for number in range(count):
        file = StateFile(path.with_name(f"{path.name}{number}"))
        go = time.monotonic() + 0.02

        def run(file: StateFile = file, go: float = go) -> None:
            while time.monotonic() < go:
                pass
            add(file)

        for pid in [forked(run) for _ in range(4)]:
            assert os.waitpid(pid, 0)[1] == 0
        assert look(file) == 4


def killing(path: Path, count: int) -> None:
    """Kill one of three writers so many times, at random moments: no change is lost or there twice."""
    file = StateFile(path)
    done = mmap.mmap(-1, COUNT.size * (count + 3))

    def begun(number: int) -> int:
        def run() -> None:
            for own in range(1, 1 << 40):
                add(file)
                COUNT.pack_into(done, COUNT.size * number, own)

        return forked(run)

    writers = [begun(number) for number in range(3)]
    last = 0
    try:
        for killed in range(count):
            time.sleep(random.uniform(0, 0.02))
            victim = writers.pop(random.randrange(3))
            os.kill(victim, signal.SIGKILL)
            assert os.waitpid(victim, 0)[1] == signal.SIGKILL, "a writer failed"
            certain = sum(each[0] for each in COUNT.iter_unpack(done))
            now = look(file)
            assert now >= max(last, certain), (now, last, certain)
            last = now
            writers.append(begun(killed + 3))
    finally:
        for pid in writers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    certain = sum(each[0] for each in COUNT.iter_unpack(done))
    # A writer that was killed may have changed the state without having said so.
    assert certain <= look(file) <= certain + count + 3
    say(certain)


def leaving_a_child(path: Path, count: int) -> None:
    """Be killed while the state is changed, after forking a child that lives on."""

    def change(_: bytes | None) -> bytes:
        pid = os.fork()
        if not pid:
            time.sleep(60)
            os._exit(0)
        say(pid)
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    StateFile(path).try_change(change)


def forking(path: Path, count: int) -> None:
    """Fork in mid-change: the parent's change counts, the child's does not, and the child may go on with the file."""
    file = StateFile(path)
    pid = -1

    def change(_: bytes | None) -> bytes:
        nonlocal pid
        pid = os.fork()
        if not pid:
            os.closerange(3, 64)
        return state_of(count if pid else 1000)

    changed = file.try_change(change)
    if not pid:
        time.sleep(0.1)
        os._exit(0 if not changed and add(file) == count + 1 else 1)
    assert changed
    assert os.waitpid(pid, 0)[1] == 0
    assert look(file) == count + 1


def killed_in_mid_write(path: Path, count: int) -> None:
    """Be killed when so many bytes are written."""
    write = os.write

    def partly(fd: int, content: bytes) -> int:
        write(fd, content[:count])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    file = StateFile(path)
    look(file)
    setattr(os, "write", partly)  # noqa: B010 - the types of its own are too wide for this
    add(file)


def say_how_it_adds(path: Path) -> None:
    """The counter, or why the file cannot be used."""
    try:
        say(add(StateFile(path)))
    except StoreAwayError as error:
        say(error.final, error.reason)


def short_of_space(path: Path, count: int) -> None:
    """Files may not grow beyond so many bytes."""
    sys.dont_write_bytecode = True  # it would be cut short
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    say_how_it_adds(path)


def without_permission(path: Path, count: int) -> None:
    """The folder is read-only, and the user is not the superuser."""
    path.parent.chmod(0o555)
    if not os.geteuid():
        os.seteuid(65534)
    say_how_it_adds(path)


PROGRAMS: list[Callable[[Path, int], None]] = [
    adding, creating, killing, leaving_a_child, forking, killed_in_mid_write, short_of_space, without_permission,
]  # fmt: skip

if __name__ == "__main__":
    {each.__name__: each for each in PROGRAMS}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
