"""The command line as such: help, version, wrong usage, missing libraries, exit codes."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.processes import OnTerminal, command, environment, run

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetError,
    BudgetTimeoutError,
    ConfigurationError,
    RateLimitError,
    ResponseDecodeError,
    WherebyError,
    __version__,
)
from whereby_async.cli import main
from whereby_async.cli.app import app
from whereby_async.cli.errors import code_for

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_the_commands_and_exit_codes(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, and with --help, it tells what there is."""
    assert main(words) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("demo", "sandbox", "For example", "3 throttled"))


def _commands() -> list[list[str]]:
    whereby = app()
    groups = {name: [word for word in whereby[name] if word[0] != "-"] for name in whereby if name[0] != "-"}
    return [[name, *rest] for name, words in groups.items() for rest in ([[word] for word in words] or [[]])]


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_every_command_has_help_with_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a command shows how it is called, and no line is wider than a terminal."""
    assert main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"\n    whereby {' '.join(words)}" in out
    assert "--json" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "`" not in out


def test_version_is_the_packages_own(capsys: pytest.CaptureFixture[str]) -> None:
    """`whereby --version` prints the version and nothing else."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nonsense"], "nonsense"),
        (["demo", "--nonsense"], "--nonsense"),
        (["demo", "--limit", "9"], "--limit"),
        (["demo", "--limit", "many"], "--limit"),
        (["demo", "--live"], "set WHEREBY_API_KEY"),
        (["sandbox", "--algorithm", "dice"], "dice"),
        (["sandbox", "--port", "70000"], "--port"),
        (["sandbox", "--period", "0"], "--period"),
        (["sandbox", "--host", "0.0.0.0"], "loopback"),
        (["sandbox", "--host", "example.com"], "loopback"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    words: Sequence[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line on stderr that names what was wrong, nothing on stdout."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert err.startswith("whereby: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("library", ["cyclopts", "rich"])
def test_missing_extra_is_told(library: str) -> None:
    """Without the extra's libraries it says in one line what to install."""
    ended = _without(library)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "whereby: the command line needs its extra: pip install 'whereby-async[cli]'\n"


def test_another_missing_module_is_no_missing_extra() -> None:
    """A broken installation is told as what it is."""
    ended = _without("aiohttp", "meetings", "list")
    assert ended.returncode == 70
    assert re.fullmatch(r"whereby: the installation is broken: .*\baiohttp\b.*\n", ended.stderr)


def test_python_dash_m_is_the_same() -> None:
    """`python -m whereby_async` runs the command line on the process's own words and passes its exit code on."""
    ended = run("nonsense")
    assert ended.code == 2
    assert "nonsense" in ended.err


def test_importing_main_module_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Tools that import every module do not start the command line."""
    importlib.import_module("whereby_async.__main__")
    assert capsys.readouterr() == ("", "")


def test_console_script_is_installed() -> None:
    """The project says that `whereby` is `whereby_async.cli:main`."""
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'whereby = "whereby_async.cli:main"' in project


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (APIStatusError("no", status=404), 1),
        (ResponseDecodeError("what", body=b"?"), 1),
        (WherebyError("?"), 1),
        (ConfigurationError("no key"), 2),
        (RateLimitError("wait", status=429), 3),
        (BudgetTimeoutError("too long"), 3),
        (BudgetError("too dear"), 3),
        (APIConnectionError("refused"), 4),
        (APITimeoutError("slow"), 4),
    ],
)
def test_exit_code_tells_what_went_wrong(error: WherebyError, code: int) -> None:
    """1 the API said no, 2 wrong usage, 3 throttled, 4 no answer."""
    assert code_for(error) == code


def test_closed_pipe_ends_it_quietly() -> None:
    """`whereby demo | head -1` prints its line and no traceback."""
    with subprocess.Popen(
        command("demo"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"event": "notice"')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_ctrl_c_ends_the_demo_with_a_word() -> None:
    """On a terminal Ctrl-C is exit code 130, and no traceback."""
    with OnTerminal("demo") as terminal:
        terminal.until("calls at once")
        terminal.type(b"\x03")
        ended = terminal.end()
    assert ended.code == 130
    assert "interrupted" in ended.out
    assert "Traceback" not in ended.out


def test_no_colour_codes_in_a_pipe() -> None:
    """Help is plain text when nobody looks."""
    ended = run("--help")
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert ended.err == ""


def _without(library: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`whereby --version`, or else, in a Python that does not find the library."""
    call = f"sys.exit(main({list(words) or ['--version']!r}))"
    program = f"import sys; sys.modules[{library!r}] = None; from whereby_async.cli import main; {call}"
    return subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, check=False, encoding="utf-8"
    )
