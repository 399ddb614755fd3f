"""A recipe as a process of its own, started as its user starts it; what it says is kept, and read as it comes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Self

from support import checkout

if TYPE_CHECKING:
    from collections.abc import Mapping

TESTS = Path(__file__).parents[1]
PROGRAMS = TESTS / "recipes" / "programs"
SECRET = "from the dashboard"
PATIENCE = 30.0
"""Seconds until a program that says or does nothing fails its test."""

# The hint behind a ResourceWarning says nothing new, and Django logs each answer of 5xx as an error.
_COMPLAINTS = re.compile(
    r"Warning(?!: Enable tracemalloc)|Traceback|Exception ignored|never (awaited|retrieved)|was destroyed|Unclosed"
    r"|ERROR(?!:django\.request)|CRITICAL"
)


class Program:
    """A program that runs while the block does; a context manager that leaves no process behind.

    Attributes:
        url: Where it serves, once it has said so; `""` before.
    """

    def __init__(self, *command: str, place: Path, variables: Mapping[str, str]) -> None:
        """Start it, with resources that nobody closes told as warnings.

        Args:
            command: What Python is to run, such as `-m uvicorn app:app`.
            place: The folder that it runs in.
            variables: Its configuration.
        """
        self.url: str = ""
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-W", "always::ResourceWarning", "-W", "always::RuntimeWarning", *command],
            cwd=place,
            env=checkout.clean_environment(
                PYTHONPATH=os.pathsep.join(map(str, (PROGRAMS, TESTS, checkout.ROOT))),
                PYTHONUNBUFFERED="1",
                HOME=str(place),
                WHEREBY_WEBHOOK_SECRET=SECRET,
                **variables,
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # a server that lost its parent would keep stdout open
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def out(self) -> str:
        return "".join(self._lines)

    def until(self, pattern: str, *, times: int = 1, patience: float = PATIENCE) -> re.Match[str]:
        """Wait until it has said something so many times; the last of them."""
        deadline = monotonic() + patience
        with self._news:
            while True:
                found = list(re.finditer(pattern, self.out))
                if len(found) >= times:
                    return found[times - 1]
                left = deadline - monotonic()
                assert left > 0, f"not {times} × {pattern!r} in {patience} s:\n{self.out}"
                alive = self._process.poll() is None or self._reader.is_alive()
                assert alive, f"ended without {pattern!r}:\n{self.out}"
                self._news.wait(min(left, 0.2))

    def serving(self, *, workers: int = 1) -> Self:
        """Wait until it tells where it serves, and each of its workers that it is up."""
        self.url = self.until(r"http://127\.0\.0\.1:[1-9]\d*").group()
        if workers > 1:
            self.until(r"Application startup complete|ASGI server listening", times=workers)
        return self

    def end(self) -> int:
        """Send SIGTERM and wait for the end; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def complaints(self, *, but: str = "(?!)") -> list[str]:
        """Lines that a program which behaves does not say.

        Args:
            but: What the server itself leaves undone, whatever it serves.
        """
        return [line for line in self._lines if _COMPLAINTS.search(line) and not re.search(but, line)]
