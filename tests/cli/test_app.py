"""The command line as such: help, version, completion, wrong usage, missing libraries, and the README's lines."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.command_lines import PNG, ROOM, all_commands
from support.processes import PATIENCE, environment, run

from whereby_async import __version__

if TYPE_CHECKING:
    from support.processes import Runner
    from support.serving import Served

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


COMMANDS = all_commands()


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_names_the_commands_and_exit_codes(words: tuple[str, ...], here: Runner) -> None:
    ended = here(*words)
    assert ended.code == 0
    assert all(word in ended.out for word in ("demo", "sandbox", "For example", "3 throttled"))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_examples(words: list[str], here: Runner) -> None:
    ended = here(*words, "--help")
    assert ended.code == 0
    assert f"\n    whereby {' '.join(words)}" in ended.out
    assert "--json" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "`" not in ended.out


@pytest.mark.parametrize("words", ["--version", "-V", "version", "meetings -V", "-q version"])
def test_version_is_the_packages_own(words: str, here: Runner) -> None:
    assert here(*words.split()) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("help", "--help"),
        ("help help", "--help"),
        ("help meetings", "meetings --help"),
        ("help meetings create", "meetings create --help"),
        ("meetings help", "meetings --help"),
        ("meetings help create", "meetings create --help"),
        ("help budget", "budget --help"),
        ("budget help", "budget --help"),
    ],
)
def test_help_is_a_word_too(words: str, same: str, here: Runner) -> None:
    assert here(*words.split()) == here(*same.split())


@pytest.mark.parametrize("group", sorted({words[0] for words in COMMANDS if len(words) > 1}))
def test_every_group_has_help_with_examples(group: str, here: Runner) -> None:
    """And each of them names a command that there is."""
    out = here(group, "--help").out
    examples = [line.split()[1:3] for line in out.splitlines() if line.startswith(f"    whereby {group} ")]
    assert examples
    assert all(words in COMMANDS for words in examples)
    assert out.count("For example:") == 1
    assert "For example" not in here().out.partition("Commands")[2]


@pytest.mark.parametrize(
    ("library", "words", "code", "complaint"),
    [
        ("cyclopts", ["--version"], 2, "pip install 'whereby-async[cli]'"),
        ("rich", ["--version"], 2, "pip install 'whereby-async[cli]'"),
        ("redis", ["meetings", "list", "--redis", "redis://localhost/0"], 2, "pip install 'whereby-async[redis]'"),
        ("aiohttp", ["meetings", "list"], 70, "the installation is broken: "),
    ],
)
def test_missing_library_is_said(library: str, words: list[str], code: int, complaint: str) -> None:
    """In one line: which extra to install or, if it belongs to none, that the installation is broken."""
    program = (
        f"import sys; sys.modules[{library!r}] = None; from whereby_async.cli import main; sys.exit(main({words!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(WHEREBY_API_KEY="k"),
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_python_dash_m_is_the_same() -> None:
    """`python -m whereby_async` runs the process's own words and passes its exit code on; a pipe gets no colours."""
    assert run("nonsense").code == 2
    ended = run("--help")
    assert (ended.code, ended.err) == (0, "")
    assert "\x1b" not in ended.out


def test_importing_main_module_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Tools that import every module do not start the command line."""
    importlib.import_module("whereby_async.__main__")
    assert capsys.readouterr() == ("", "")


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    ended = run("--install-completion", "--shell", "bash", HOME=str(tmp_path))
    assert (ended.code, ended.err) == (0, "")
    (script,) = (tmp_path / ".local").rglob("whereby")
    assert str(script) in ended.out
    assert f" and {tmp_path / '.bashrc'}. " in ended.out
    again = run("--install-completion", "--shell", "bash", HOME=str(tmp_path))
    assert ".bashrc" not in again.out
    text = script.read_text()
    assert all(words[-1] in text for words in COMMANDS)
    assert "WHEREBY_API_KEY=" not in text
    asked = (
        f"source {shlex.quote(str(script))}; COMP_WORDS=(whereby meetings create --room-n); COMP_CWORD=3;"
        " COMP_LINE='whereby meetings create --room-n'; COMP_POINT=${#COMP_LINE}; _whereby; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, check=False, encoding="utf-8")
    assert done.stdout.split() == ["--room-name-prefix", "--room-name-pattern"]


@pytest.mark.parametrize(("words", "complaint"), [((), "pass --shell bash"), (("--shell", "tcsh"), "tcsh")])
def test_shell_that_can_not_be_completed_for_is_wrong_usage(
    tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    """Be it named or found out; nothing is written."""
    done = subprocess.run(
        [sys.executable, "-m", "whereby_async", "--install-completion", *words],
        env={"HOME": str(tmp_path), "PATH": str(tmp_path), "SHELL": "/bin/none"},
        capture_output=True,
        check=False,
        encoding="utf-8",
        cwd=ROOT,
    )
    assert done.returncode == 2, done.stdout
    assert complaint in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not BLOCKS, reason="the README has no sh blocks")
def test_readme_blocks_run_as_they_stand(served: Served, tmp_path: Path) -> None:
    """One after another in one directory, against a server: each line ends well, and none says a word on stderr."""
    whereby = tmp_path / "bin" / "whereby"
    whereby.parent.mkdir()
    whereby.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m whereby_async "$@"\n')
    whereby.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    (place / "logo.png").write_bytes(PNG)
    (place / "rooms.csv").write_text("customer,endDate\nacme,2099-01-01T00:00:00Z\nbeta,2099-01-01T00:00:00Z\n")
    path = f"{whereby.parent}{os.pathsep}{os.environ['PATH']}"
    served.fake.add_meeting(room_name=ROOM)
    session = served.fake.add_session(ROOM)
    served.fake.add_recording(room_session_id=session["roomSessionId"])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(BLOCKS)],
        cwd=place,
        env=environment(PATH=path, PYTHONPATH=str(ROOT)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=4 * PATIENCE,
        check=False,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "roomKey=" in done.stdout
    assert (place / "films").is_dir()
