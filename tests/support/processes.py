"""`whereby` as a process of its own: with pipes, or on a terminal of a given width."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE = 30.0
"""Seconds until a process that does not end fails its test."""

# Stdin becomes the controlling terminal of the new session, so that Ctrl-C is a signal there; then the real command runs.
_CLAIM = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
_SHOWN = 1500
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def command(*words: str) -> list[str]:
    """The command line that runs `whereby` with this interpreter."""
    return [sys.executable, "-W", "error", "-m", "whereby_async", *words]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment and more; what would change a terminal's look is left out."""
    left_out = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM"}
    return {name: value for name, value in os.environ.items() if name not in left_out} | variables


class Ended(NamedTuple):
    """The exit code and the output of a process that has ended; on a terminal everything is in `out`."""

    code: int
    out: str
    err: str = ""

    def rows(self) -> list[dict[str, Any]]:
        """Its stdout as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    def lines(self) -> list[str]:
        """What a terminal shows of it, without colours; of lines that were painted over, the last state."""
        text = _ESCAPES.sub("", self.out).replace("\r\n", "\n")
        return [line.rpartition("\r")[2] for line in text.split("\n")]


Runner: TypeAlias = "Callable[..., Ended]"


def run(*words: str, **variables: str) -> Ended:
    """Run `whereby` with pipes until it ends."""
    done = subprocess.run(
        command(*words),
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        encoding="utf-8",
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class OnTerminal:
    """`whereby` on a pseudo-terminal; a context manager that leaves no process behind."""

    def __init__(self, *words: str, columns: int = 80, variables: Mapping[str, str] | None = None) -> None:
        self._keyboard, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CLAIM, *command(*words)],
            env=environment(TERM="xterm-256color", **(variables or {})),
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        )
        os.close(screen)
        self._seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._keyboard)

    def type(self, keys: bytes) -> None:
        """Press keys; byte 3 is Ctrl-C."""
        os.write(self._keyboard, keys)

    def interrupt(self) -> Ended:
        """Press Ctrl-C, and wait for the end."""
        self.type(b"\x03")
        return self.end()

    def until(self, words: str) -> str:
        """Wait until the screen shows `words`; everything shown so far."""
        deadline = monotonic() + PATIENCE
        while words not in self._text():
            assert self._read(deadline), f"ended without {words!r}: {self._text()[-_SHOWN:]}"
        return self._text()

    def end(self) -> Ended:
        """Wait for the end."""
        deadline = monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return Ended(self._process.wait(PATIENCE), self._text())

    def _text(self) -> str:
        return self._seen.decode("utf-8", "replace")

    def _read(self, deadline: float) -> bool:
        readable, _, _ = select.select([self._keyboard], [], [], max(0.0, deadline - monotonic()))
        assert readable, f"no end in {PATIENCE} s: {self._text()[-_SHOWN:]}"
        piece = b""
        with contextlib.suppress(OSError):  # how Linux tells that the other side is closed
            piece = os.read(self._keyboard, 1 << 16)
        self._seen += piece
        return bool(piece)


def on_terminal(*words: str, **variables: str) -> Ended:
    """Run `whereby` on a pseudo-terminal of 80 columns until it ends."""
    with OnTerminal(*words, variables=variables) as terminal:
        return terminal.end()
