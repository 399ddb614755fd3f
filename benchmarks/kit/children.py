"""Contestants as processes: each lives in its own environment and does one round when asked, while all others stand still."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from benchmarks.kit.environments import ROOT, BenchError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's variables without any that would change what is measured: proxies, keys, trust, Python's own."""
    dropped = ("COV", "PYTEST", "PYTHON", "SSL_CERT", "VIRTUAL_ENV", "WHEREBY")
    endings = ("_PROXY", "_CA_BUNDLE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {name: value for name, value in kept.items() if not name.upper().endswith(endings)} | variables


def cores() -> tuple[set[int], set[int]]:
    """The core for contestants and the one for the server: two of them, if there are as many."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, {usable[-1]}) if len(usable) > 1 else (set(), set())


class Child:
    """A process that answers lines of JSON with lines of JSON.

    Args:
        name: What errors call it.
        python: The interpreter of its environment.
        module: The module of this checkout that it runs.
        arguments: For the module.
        cores: Where it may run; anywhere if empty.
        paths: Directories to import from, beside the checkout.
    """

    def __init__(  # noqa: PLR0913 - what a process needs
        self,
        name: str,
        python: Path,
        module: str,
        arguments: Iterable[str] = (),
        *,
        cores: set[int] | None = None,
        paths: Iterable[Path] = (),
    ) -> None:
        self.name: str = name
        path = os.pathsep.join(map(str, [ROOT, *paths]))
        self._process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=clean_environment(PYTHONPATH=path),
            encoding="utf-8",
        )
        if cores:
            os.sched_setaffinity(self._process.pid, cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it: it stops when its input does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ask(self, *, patience: float | None = None, **message: object) -> dict[str, Any]:
        """One question, one answer.

        Args:
            patience: Seconds until it is ended for taking too long.
            message: The question.

        Raises:
            BenchError: It died, or took too long.
        """
        assert self._process.stdin is not None
        impatience = threading.Timer(patience, self._process.kill) if patience else None
        if impatience:
            impatience.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(message) + "\n")
                self._process.stdin.flush()
            return self.hear(str(message))
        finally:
            if impatience:
                impatience.cancel()

    def hear(self, what: str = "what it says by itself") -> dict[str, Any]:
        """The next line it says.

        Raises:
            BenchError: It died.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"{self.name} ended before it answered: {what}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def answer_questions(answers: dict[str, Any]) -> None:
    """The child's side: each question names in `do` which function answers it, with the rest as keywords.

    What libraries print goes to the error stream.
    """
    sys.path[:] = [place for place in sys.path if place]
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        question: dict[str, Any] = json.loads(line)
        out.write(json.dumps(answers[question.pop("do")](**question)) + "\n")
        out.flush()
