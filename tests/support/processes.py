"""`whereby` as a process of its own: with pipes, or on a terminal of a given width; and forks, which start sooner."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import pty
import re
import runpy
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE = 30.0
"""Seconds until a process that does not end fails its test."""

# Stdin becomes the controlling terminal of the new session, so that Ctrl-C is a signal there; then the real command runs.
_CLAIM = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
_HEED = "import os, signal, sys; signal.signal(signal.SIGINT, signal.{}); os.execv(sys.argv[1], sys.argv[1:])"
_SHOWN = 1500
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def command(*words: str) -> list[str]:
    """The command line that runs `whereby` with this interpreter."""
    return [sys.executable, "-W", "error", "-m", "whereby_async", *words]


def told(*words: str, ignores_ctrl_c: bool = False, first: str = "pass") -> list[str]:
    """As `command`, heeding Ctrl-C or ignoring it, whatever this process does; scripts with `&` have it ignored."""
    program = f"{first}; {_HEED.format('SIG_IGN' if ignores_ctrl_c else 'SIG_DFL')}"
    return [sys.executable, "-I", "-S", "-c", program, *command(*words)]


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


def short_of_space(variables: Mapping[str, str]) -> dict[str, str]:
    """An environment for a Python whose files may not be large: coverage would complain, bytecode would be cut short."""
    return {name: value for name, value in variables.items() if not name.startswith("COV")} | {
        "PYTHONDONTWRITEBYTECODE": "1"
    }


def start(
    *words: str, ignores_ctrl_c: bool = False, largest_file: int = -1, stdout: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start `whereby` with pipes, and with a limit for its files; a context manager that waits for its end."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file},) * 2)"
    variables = environment()
    if largest_file >= 0:
        variables = short_of_space(variables)
    return subprocess.Popen(
        told(*words, ignores_ctrl_c=ignores_ctrl_c, first=limited),
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def ended(process: subprocess.Popen[str], *numbers: int) -> Ended:
    """Send a process signals, and wait for its end."""
    for number in numbers:
        process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return Ended(process.returncode, out, err)


_SMALL_DISK = """
mount -t tmpfs -o size="$1k" none "$2" || exit 99
disk="$2"; cd "$3"; shift 3
head -c 4096 /dev/zero >"$disk/.other"
"$@" >1.out 2>1.err; echo $? >1.code
mount -o remount,size=64m "$disk"
"$@" >2.out 2>2.err; echo $? >2.code
"""


def on_small_disk(disk: Path, kilobytes: int, *words: str) -> list[Ended]:
    """Run `whereby` with a disk of so many kilobytes, on which 4 are in use, and again when that has grown.

    The test is skipped where this user may mount nothing.
    """
    outputs = disk.with_name("outputs")
    disk.mkdir()
    outputs.mkdir()
    script = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _SMALL_DISK, "sh"]
    numbers = [str(kilobytes), str(disk), str(outputs)]
    done = subprocess.run([*script, *numbers, *command(*words)], env=environment(), timeout=2 * PATIENCE, check=False)
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    texts = [[(outputs / f"{run}.{name}").read_text() for name in ("code", "out", "err")] for run in (1, 2)]
    return [Ended(int(code), out, err) for code, out, err in texts]


class OnTerminal:
    """`whereby` on a pseudo-terminal, perhaps but for its stdout; a context manager that leaves no process behind."""

    def __init__(
        self, *words: str, columns: int = 80, variables: Mapping[str, str] | None = None, out: IO[bytes] | None = None
    ) -> None:
        self._keyboard, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self._process = subprocess.Popen(
            told(*words, first=_CLAIM),
            env=environment(TERM="xterm-256color", **(variables or {})),
            stdin=screen,
            stdout=screen if out is None else out,
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

    def send(self, number: int) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

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

    def insist(self) -> Ended:
        """Press Ctrl-C until it ends, since two at once count as one; not so soon that one meets the interpreter's end."""
        deadline = monotonic() + PATIENCE
        while self._process.poll() is None:
            assert monotonic() < deadline
            self.type(b"\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(3.0)
        return self.end()

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


class Forks:
    """A Python that has imported what many processes need, and forks for each of them: that is what most of them cost.

    A context manager. What runs in a fork is as in a process that `python -m` starts, but for those imports.
    """

    def __init__(self, *options: str, first: str) -> None:
        """Start it.

        Args:
            options: Options of Python.
            first: A program that imports it.
        """
        program = f"from support.processes import serve_forks\n{first}\nserve_forks()"
        tests = Path(__file__).parents[1]
        self._process = subprocess.Popen(
            [sys.executable, *options, "-c", program],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (tests, tests.parent)))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=PATIENCE)

    def run(
        self, *words: str, variables: Mapping[str, str], place: Path | None = None, terminal: bool = False
    ) -> Ended:
        """Run a module until it ends, with pipes or on a pseudo-terminal of 80 columns.

        Args:
            words: What stands behind `python -m`.
            variables: The whole environment.
            place: The directory that it runs in; this process's unless given.
            terminal: Whether there is a terminal.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([words, variables, str(place or Path.cwd()), terminal]), file=self._process.stdin, flush=True)
        return Ended(*json.loads(self._process.stdout.readline()))


def serve_forks() -> None:
    """Fork for each line of stdin, and print what became of the fork; within one, be the process that was asked for."""
    gc.freeze()  # no fork has to look through what was imported at its end
    while line := sys.stdin.readline():
        words, variables, place, terminal = json.loads(line)
        pid, outputs = _fork(terminal=terminal)
        if not pid:
            os.environ.clear()
            os.environ.update(variables)
            os.chdir(place)
            time.tzset()
            sys.argv = list(words)
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
            return
        texts = _read_all(pid, outputs)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(json.dumps([code, *texts]) + "\n")
        sys.stdout.flush()


def _fork(*, terminal: bool) -> tuple[int, list[int]]:
    """The fork's number and what can be read of it; no number within the fork, which has its own stdin and outputs."""
    if terminal:
        pid, keyboard = pty.fork()
        outputs = [keyboard]
        if not pid:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    else:
        (out, to_out), (err, to_err) = os.pipe(), os.pipe()
        outputs = [out, err]
        pid = os.fork()
        if not pid:
            for number, source in enumerate((os.open(os.devnull, os.O_RDONLY), to_out, to_err)):
                os.dup2(source, number)
            os.closerange(3, to_err + 2)
        else:
            os.close(to_out)
            os.close(to_err)
    if not pid:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it is the process's own
        for name, number in (("stdout", 1), ("stderr", 2)):
            lines = terminal or number == 2
            stream = open(number, "w", encoding="utf-8", buffering=1 if lines else -1, closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    return pid, outputs


def _read_all(pid: int, outputs: list[int]) -> list[str]:
    """What a process writes until it ends; one that does not end in time is killed."""
    deadline = monotonic() + PATIENCE
    seen = dict.fromkeys(outputs, b"")
    while outputs:
        readable, _, _ = select.select(outputs, [], [], max(0.0, deadline - monotonic()))
        if not readable:
            os.kill(pid, signal.SIGKILL)
            break
        for output in readable:
            piece = b""
            with contextlib.suppress(OSError):  # how Linux tells that the other side of a terminal is closed
                piece = os.read(output, 1 << 16)
            seen[output] += piece
            if not piece:
                outputs = [other for other in outputs if other != output]
    for output in seen:
        os.close(output)
    return [text.decode("utf-8", "replace") for text in seen.values()]
