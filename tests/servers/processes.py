"""Server processes on loopback ports: they are started, waited for, and killed; none outlives the run."""

from __future__ import annotations

import contextlib
import ctypes
import select
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

PATIENCE = 30.0
"""Seconds that a server may take to listen."""
_TRIES = 3
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Unavailable(Exception):  # noqa: N818 - not an error: the server is skipped
    """A server cannot be run on this machine. The message says what is missing."""


class ServerError(Exception):
    """A server did not start."""


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _die_with_parent() -> None:
    """Ask the kernel, in the new process, to kill it when its parent ends. Only Linux has a call for that."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def running(command: list[str], log: Path, env: Mapping[str, str] | None = None) -> Generator[subprocess.Popen[bytes]]:
    """A process; it is killed at the end. Its standard output can be read; what it says on standard error goes to `log`."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=None if env is None else dict(env),
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def announced(command: list[str], log: Path, env: Mapping[str, str] | None = None) -> Generator[int]:
    """The port of a server that chooses it and prints it as its first line."""
    with running(command, log, env) as process:
        assert process.stdout
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        line = process.stdout.readline() if ready else b""
        if not line.strip().isdigit():
            raise ServerError(f"{command[0]} printed no port: {log.read_text(errors='replace').strip()}")
        yield int(line)


@contextlib.contextmanager
def configured(command: list[str], log: Path, port: int) -> Generator[None]:
    """A server that is told its port."""
    with running(command, log) as process:
        ends = time.monotonic() + PATIENCE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise ServerError(f"{command[0]} does not listen: {log.read_text(errors='replace').strip()}")
            time.sleep(0.02)
        yield


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
