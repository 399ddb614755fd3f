"""The README's promises: every code block in it is run here."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import checkout
import pytest

from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from pathlib import Path

README = (checkout.ROOT / "README.md").read_text()
SECTIONS = [section.partition("\n") for section in README.split("\n## ")]
BLOCKS = [
    (title, language, code)
    for title, _, text in SECTIONS
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
]
PYTHON = {title: code for title, language, code in BLOCKS if language == "python"}
BASH = [code.strip() for _, language, code in BLOCKS if language == "bash"]
SHELL = [code for _, language, code in BLOCKS if language == "sh"]
"""Run by `cli/test_readme_commands.py`, where a server is at hand."""

DEMO = "python3 -m venv .venv && .venv/bin/pip install '.[cli]' && .venv/bin/whereby demo"
TESTS = "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/python -m pytest -n 4"

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
)

# A snippet awaits at its top level, as in `python -m asyncio`; `whereby` is a client, as the README says.
RUNNER = """
import ast, asyncio, inspect, sys
from whereby_async import WherebyClient

code = compile(sys.stdin.read(), "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

async def run():
    async with WherebyClient() as whereby:
        await eval(code, {"__name__": "__main__", "whereby": whereby})

if code.co_flags & inspect.CO_COROUTINE:
    asyncio.run(run())
else:
    exec(code, {"__name__": "__main__"})
"""

# A block of tests is a file for pytest, with the plugin as if installed.
PYTEST = """
import pathlib, sys
import pytest

pathlib.Path("test_readme.py").write_text(sys.stdin.read())
sys.exit(pytest.main([
    *("-q", "-p", "whereby_async.testing.pytest_plugin", "-p", "no:cacheprovider", "--strict-markers"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
]))
"""

# What a snippet prints against the little world below, where that is worth a look.
PRINTS = {
    "First call": r"https://example\.whereby\.com/[0-9a-f-]{36}\n",
    "Lists": r"/support-1 90\n1 None\n",
    "Errors": r"deleted, or never there\n",
    "Points: lanes and waiting": r"1000 99\d [56]\d\.\d+\n",
    "One budget for every process and machine": r"",
    "Uploads": r"",
    "Downloads": r"(\d+ of 11 bytes, 0 breaks\n)+weekly-\S+\.mp4 11\n",
    "Waiting for transcriptions and summaries": r"\{'summary': .*\}\n",
    "Thousands of calls": r"Estimate\(operation='meetings.create', calls=30, price=3, learned=False, points=90, .*\)\n30 rooms\n",
    "Whatever the server said": r"200 99\d\n\[\{.*'roomName': '/weekly'.*\}\]\n",
    "Hooks": r"meetings\.list 200 0\.\d{3} s 99\d\nmeetings\.list ok 1 points, waited 0\.0 s\n",
    "OpenTelemetry": r"meetings\.list 1\n",
    "Webhooks": r"Zoë joined /weekly\nseen before\n",
    "Links into rooms": r"https://example\.whereby\.com/weekly\?displayName=Zo%C3%AB%20%26%20Bo&lang=nb&audio=off&minimal\n",
    "In a web app": r"",
    "Testing your own code": r"",
    "Testing under pytest": r"\.\. +\[100%\]\n2 passed in .*\n",
    "Testing webhooks": r"(room\.client\.joined\n|room\.client\.left\n){5}",
}

CALLS_NOTHING = {"Webhooks", "Links into rooms", "In a web app", "One budget for every process and machine"}
"""Snippets that need no server; those on testing have servers of their own."""


def test_only_known_kinds_of_blocks_are_there() -> None:
    """Each block is Python or a command, so that none is left unrun."""
    assert README.count("```") == 2 * len(BLOCKS) == 2 * (len(PYTHON) + len(BASH) + len(SHELL))
    assert PYTHON.keys() == PRINTS.keys()


def test_web_app_is_a_part_of_the_program_that_is_tested() -> None:
    """Each line of the README's web app stands in the recipe, in its order."""
    lines = iter((checkout.ROOT / "tests/recipes/programs/fastapi_app.py").read_text().splitlines())
    missing = [line for line in PYTHON["In a web app"].splitlines() if line not in lines]
    assert missing == []


def test_commands_are_the_two_that_need_nothing_but_python() -> None:
    """One command shows the client at work, one runs the tests."""
    assert BASH == [DEMO, TESTS]


@pytest.mark.anyio
@pytest.mark.parametrize("title", list(PRINTS))
async def test_snippet_runs(title: str, tmp_path: Path) -> None:
    """Each Python block runs as it stands, over a real socket, in a Python that takes warnings for errors."""
    (tmp_path / "logo.png").write_bytes(PNG)
    async with FakeWhereby() as fake:
        fake.add_meeting(room_name="/weekly")
        fake.add_recording(room_name="/weekly")
        fake.add_session("/support-1", participants=3, duration=1800.0)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", PYTEST if "def test_" in PYTHON[title] else RUNNER),
            cwd=tmp_path,
            env=checkout.clean_environment(
                PYTHONPATH=str(checkout.ROOT), WHEREBY_API_KEY=fake.api_key, WHEREBY_BASE_URL=fake.url
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(PYTHON[title].encode())
        assert (process.returncode, err.decode()) == (0, "")
        assert re.fullmatch(PRINTS[title], out.decode())
        assert title in CALLS_NOTHING or title.startswith("Testing") or fake.requests


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A copy of the checkout with nothing installed or cached."""
    return checkout.copy_to(tmp_path / "checkout")


def _bash(command: str, place: Path, **variables: str) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=place,
        env=checkout.clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.install
def test_demo_command_works_in_a_fresh_checkout(fresh: Path) -> None:
    """With nothing but Python: all operations, no 429, and both sides count the same."""
    lines = _bash(DEMO, fresh).splitlines()
    (summary,) = [json.loads(line) for line in lines if line.startswith('{"event": "summary"')]
    assert (summary["operations"], summary["throttled"], summary["server"]["throttled"]) == (27, 0, 0)
    assert summary["points"] == summary["server"]["points"]


@pytest.mark.install
def test_test_command_works_in_a_fresh_checkout(fresh: Path) -> None:
    """With nothing but Python the tests are found and run; here one file of them, or this one would run itself again."""
    out = _bash(TESTS, fresh, PYTEST_ADDOPTS="tests/test_rate_limit.py --verbosity=0")
    assert re.search(r"^=+ \d+ passed", out, re.MULTILINE), out[-2000:]
