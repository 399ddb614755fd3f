"""Server processes on loopback ports, which never outlive the run, and the npm packages that some of them need.

The packages are installed by name into a folder of the system's temporary directory. The folder is named after the
packages and their versions and is kept, so only the first run installs. A failed install is remembered for ten minutes,
so a machine without a registry skips these tests quickly.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]  # Windows

_PATIENCE = 30.0
"""Seconds that a server may take to listen."""
_TRIES = 3
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_PACKAGES = (
    "express@5.3.0",
    "rate-limiter-flexible@11.4.0",
    "ioredis@5.8.2",
    "fastify@5.12.8",
    "@fastify/rate-limit@10.3.0",
)
_INSTALL_PATIENCE = 60.0
"""Seconds that an install may take."""
_FAILURE_REMEMBERED = 600.0


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
    """A process that is killed at the end. Its standard output can be read; its standard error goes to `log`."""
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
        ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
        line = process.stdout.readline() if ready else b""
        if not line.strip().isdigit():
            raise ServerError(f"{command[0]} printed no port: {log.read_text(errors='replace').strip()}")
        yield int(line)


@contextlib.contextmanager
def configured(command: list[str], log: Path, port: int) -> Generator[None]:
    """A server that is told its port."""
    with running(command, log) as process:
        ends = time.monotonic() + _PATIENCE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise ServerError(f"{command[0]} does not listen: {log.read_text(errors='replace').strip()}")
            time.sleep(0.02)
        yield


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def path_of(program: str) -> str:
    """The path of a program of the machine; nginx and HAProxy are often where only root looks."""
    places = (os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin")
    found = shutil.which(program, path=os.pathsep.join(places))
    if not found:
        raise Unavailable(f"{program} is not on the PATH")
    return found


@functools.cache
def node_modules() -> Path:
    """The `node_modules` folder that holds the packages."""
    npm = path_of("npm")
    if fcntl is None:
        raise Unavailable("the npm packages are shared between processes by flock, which this system does not have")
    key = hashlib.sha256(" ".join(_PACKAGES).encode()).hexdigest()[:12]
    place = Path(tempfile.gettempdir()) / f"whereby-async-servers-{os.getuid()}-{key}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise Unavailable(f"{place} belongs to another user")
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "installed").exists():
            _install(npm, place)
    return place / "node_modules"


def _install(npm: str, place: Path) -> None:
    failed = place / "failed"
    if failed.exists() and time.time() - failed.stat().st_mtime < _FAILURE_REMEMBERED:
        raise Unavailable(f"npm install failed a moment ago: {failed.read_text()}")
    flags = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--loglevel=error")
    quick = ("--fetch-retries=2", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000")
    (place / "package.json").write_text('{"private": true}')
    try:
        subprocess.run(
            [npm, "install", *flags, *quick, *_PACKAGES],
            cwd=place,
            check=True,
            timeout=_INSTALL_PATIENCE,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip().partition("\n")[0][:300]
        failed.write_text(reason)
        raise Unavailable(f"npm install failed: {reason}") from error
    (place / "installed").touch()
