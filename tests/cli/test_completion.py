"""Shell completion: it is installed where the shell looks, and knows every command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.processes import run

from whereby_async.cli.operation_commands import COMMANDS


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """The installed script, asked by bash itself."""
    ended = run("--install-completion", "--shell", "bash", HOME=str(tmp_path))
    assert (ended.code, ended.err) == (0, "")
    (script,) = (tmp_path / ".local").rglob("whereby")
    assert str(script) in ended.out
    text = script.read_text()
    assert all(entry.word in text for entry in COMMANDS)
    assert "WHEREBY_API_KEY=" not in text
    asked = (
        f"source {script}; COMP_WORDS=(whereby meetings create --room-n); COMP_CWORD=3; COMP_LINE='whereby meetings create --room-n';"
        " COMP_POINT=${#COMP_LINE}; _whereby; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, check=False, encoding="utf-8")
    assert done.stdout.split() == ["--room-name-prefix", "--room-name-pattern"]


def test_shell_that_can_not_be_told_is_wrong_usage(tmp_path: Path) -> None:
    """It says what to pass; nothing is written."""
    program = "import sys; from whereby_async.cli import main; sys.exit(main(['--install-completion']))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"HOME": str(tmp_path), "PATH": str(tmp_path), "SHELL": "/bin/none"},
        capture_output=True,
        check=False,
        encoding="utf-8",
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 2, done.stdout
    assert "pass --shell bash" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_unknown_shell_is_wrong_usage(tmp_path: Path) -> None:
    """One that there is no script for."""
    ended = run("--install-completion", "--shell", "tcsh", HOME=str(tmp_path))
    assert ended.code == 2
    assert "tcsh" in ended.err
    assert list(tmp_path.iterdir()) == []
