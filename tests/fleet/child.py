"""A process of our own that is talked to by lines of JSON, as `orders` says; it never outlives the one who talks to it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType
    from typing import Self

PATIENCE = 60.0
"""Seconds for an answer, if nothing else is said: a busy machine starts processes slowly."""

_TESTS = Path(__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """The environment of a process that runs this checkout; coverage is not measured in it, which would slow all of a fleet down."""
    paths = [str(_TESTS.parent), str(_TESTS), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WHEREBY", "COV"))}
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


class Pending:
    """An answer to come."""

    def __init__(self, child: Child, order: str) -> None:
        self._child = child
        self._order = order
        self._box: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def put(self, said: dict[str, Any]) -> None:
        """It has come."""
        self._box.put(said)

    def get(self, patience: float = PATIENCE) -> Any:
        """Wait for it.

        Raises:
            TimeoutError: It does not come.
            RuntimeError: The process says that it could not do it, or is gone.
        """
        try:
            said = self._box.get(timeout=patience)
        except queue.Empty:
            raise TimeoutError(f"{self._child} did not answer within {patience} s: {self._order}") from None
        if "error" in said:
            raise RuntimeError(f"{self._child} could not {self._order}: {said['error']}")
        return said["answer"]


class Child:
    """One process."""

    def __init__(self, program: str, *words: str) -> None:
        """Start it.

        Args:
            program: A module in this folder.
            words: Its arguments.
        """
        self._name = program
        self._numbers = itertools.count(1)
        self._pending: dict[int, Pending] = {}
        self._lock = threading.Lock()
        self._gone = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"fleet.{program}", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment(),
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __repr__(self) -> str:
        return f"<{self._name} {self.pid}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Is it there?"""
        return self._process.poll() is None

    def begin(self, do: str, **order: Any) -> Pending:
        """Give an order, without waiting for what comes of it."""
        number = next(self._numbers)
        pending = Pending(self, do)
        with self._lock:
            self._pending[number] = pending
            if self._gone:
                pending.put({"error": "it has ended"})
                return pending
        assert self._process.stdin
        print(json.dumps({"id": number, "do": do, **order}), file=self._process.stdin, flush=True)
        return pending

    def ask(self, do: str, *, patience: float = PATIENCE, **order: Any) -> Any:
        """Give an order, and wait for what comes of it."""
        return self.begin(do, **order).get(patience)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    @contextlib.contextmanager
    def stopped(self) -> Generator[None]:
        """Let it stand still meanwhile."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait()
        self.close()

    def hang_up(self) -> None:
        """Talk to it no more, so that it ends, without waiting until it has."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def close(self) -> None:
        """End it by talking to it no more, or, if that does not do, with SIGKILL."""
        assert self._process.stdout
        self.hang_up()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(timeout=5)
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            with self._lock:
                pending = self._pending.pop(said.pop("id"))
            pending.put(said)
        with self._lock:
            self._gone = True
            left, self._pending = list(self._pending.values()), {}
        for pending in left:
            pending.put({"error": "it has ended"})


def ask_all(children: list[Child], do: str, *, patience: float = PATIENCE, **order: Any) -> list[Any]:
    """Give all the same order at once, and wait for what comes of it."""
    return [pending.get(patience) for pending in [child.begin(do, **order) for child in children]]
