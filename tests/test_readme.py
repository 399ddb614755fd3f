"""The README's promises: every code block in it is run here."""

from __future__ import annotations

import asyncio
import inspect
import json
import pydoc
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from contract.reference import PNG, SPECIMENS
from support import checkout
from support.programs import Program

from whereby_async import operations
from whereby_async.operation import Operation
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
PYTHON: dict[str, str] = {}
"""The Python blocks by section; the second one of a section by `section (2)`."""
for _title, _language, _code in BLOCKS:
    if _language == "python":
        PYTHON[f"{_title} (2)" if _title in PYTHON else _title] = _code
BASH = [code.strip() for _, language, code in BLOCKS if language == "bash"]
SHELL = [code for _, language, code in BLOCKS if language == "sh"]
"""Run by `cli/test_app.py`, where a server is at hand."""

DEMO = "python3 -m venv .venv && .venv/bin/pip install '.[cli]' && .venv/bin/whereby demo"
TESTS = "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/python -m pytest -n 6"

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

# A block of tests is run as a file, with the plugin as if it was installed and no configuration.
PYTEST = """
import pathlib, sys
import pytest

pathlib.Path("test_readme.py").write_text(sys.stdin.read())
sys.exit(pytest.main([
    *("-q", "-p", "whereby_async.testing.pytest_plugin", "-p", "no:cacheprovider", "--strict-markers"),
    *("-c", "/dev/null", "--rootdir", ".", "-o", "asyncio_default_fixture_loop_scope=function"),
]))
"""

# What each snippet prints against the fake server below.
PRINTS = {
    "# whereby_async": r"https://example\.whereby\.com/[0-9a-f-]{36}\?displayName=Zo%C3%AB%20%26%20Bo&lang=nb\n",
    "Lists": r"/support-1 90\n1 recordings, /weekly False\n",
    "Results and JSON": r"1:00:00(\.\d+)?\n\d{4}-\S+Z \['dial_in', 'end_date'\]\n",
    "Errors, retries and outages": r"deleted, or never there\n",
    "Rate limits": r"1000 99\d [56]\d\.\d+\n",
    "Batches": r"Estimate\(operation='meetings.create', calls=30, price=3, learned=False, points=90, .*\)\n30 rooms\n",
    "Recordings, transcriptions and uploads": r"weekly-\S+\.mp4 11\nAda and Alan .*\n.*\n",
    "Web apps": r"",
    "Synchronous programs": r"True\n",
    "Webhooks": r"Zoë joined /weekly\n204 400\n",
    "Testing": r"\.\. +\[100%\]\n2 passed in .*\n",
    "Testing (2)": r"\. +\[100%\]\n1 passed in .*\n",
    "Logging, hooks and tracing": r"GET /meetings ok 1 points, waited 0\.0 s\n",
    "Timeouts, proxies and TLS": r"\[\]\n",
}

CALLS_NOTHING = {"Webhooks", "Web apps", "Testing", "Testing (2)", "Timeouts, proxies and TLS"}
"""Snippets that need no server, or have one of their own; the web app is served below."""

SHORT = 480
"""Lines, since people skim it. Docstrings say the rest."""


def test_only_known_kinds_of_blocks_are_there() -> None:
    """Each block is Python or a command, so that none is left unrun; `test_distribution.py` installs."""
    assert README.count("```") == 2 * len(BLOCKS) == 2 * (len(PYTHON) + len(BASH) + len(SHELL) + 1)
    assert PYTHON.keys() == PRINTS.keys()
    assert BASH == [DEMO, TESTS]
    assert [code.strip() for _, language, code in BLOCKS if language == "shell"] == [checkout.INSTALL]


def test_table_of_operations_is_that_of_the_api() -> None:
    """Each operation with its method, path and documented price, and no other."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `([A-Z]+) (\S+)` \| (\d)", README, re.MULTILINE)
    table = {(name, method, re.sub(r"\{\w+\}", "{}", path), int(points)) for name, method, path, points in rows}
    found: list[Operation[Any]] = [value for value in vars(operations).values() if isinstance(value, Operation)]
    assert table == {(one.name, one.method, re.sub(r"\{\w+\}", "{}", one.path), one.cost) for one in found}
    assert len(rows) == len(found)


def test_contents_lead_to_the_sections() -> None:
    anchors = re.findall(r"\]\(#([\w-]+)\)", README)
    titles = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title, _, _ in SECTIONS}
    assert set(anchors) <= titles


def test_it_is_short() -> None:
    assert README.count("\n") <= SHORT


def test_what_it_refers_to_is_there() -> None:
    """Each name that it says to look up has a docstring of its own, and each file that it leads to exists."""
    more = [
        names
        for text in README.split("More:")[1:]
        for names in re.findall(r"`(whereby_async[\w.]+)`", text.partition("\n\n")[0])
    ]
    assert len(more) >= 18
    assert [name for name in more if not inspect.getdoc(pydoc.locate(name))] == []
    texts = README + "".join(file.read_text() for file in (checkout.ROOT / ".github").glob("*.md"))
    files = re.findall(r"\]\((?!https://|#)([^)]+)\)", README) + re.findall(r"\b(?:tests|benchmarks)/[\w/]+\.py", texts)
    assert len(files) >= 20
    assert [name for name in files if not (checkout.ROOT / name).exists()] == []


@pytest.mark.anyio
async def test_web_app_serves(tmp_path: Path) -> None:
    """The README's web app makes a room, says when to come back once the points are spent, and leaves nothing open."""
    (tmp_path / "app.py").write_text(PYTHON["Web apps"])
    async with FakeWhereby(limit=3) as fake, aiohttp.ClientSession() as browser:
        variables = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url}
        with Program("-m", "uvicorn", "--port", "0", "app:app", place=tmp_path, variables=variables) as program:
            await asyncio.to_thread(program.serving)
            async with browser.post(f"{program.url}/rooms") as made:
                room = await made.json()
            async with browser.post(f"{program.url}/rooms") as refused:
                assert (made.status, refused.status, fake.throttled) == (201, 503, 0)
            assert 50 < int(refused.headers["Retry-After"]) < 65
            assert fake.meetings[room["meetingId"]]["roomUrl"] == room["roomUrl"]
            await asyncio.to_thread(program.end)
            assert program.complaints() == []


@pytest.mark.anyio
@pytest.mark.parametrize("title", list(PRINTS))
async def test_snippet_runs(title: str, tmp_path: Path) -> None:
    """Each Python block runs as it stands, over a real socket, in a Python that takes warnings for errors."""
    (tmp_path / "logo.png").write_bytes(PNG)
    (tmp_path / "app.py").write_text(PYTHON["Web apps"])
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
        assert title in CALLS_NOTHING or fake.requests


def _in_a_fresh_checkout(command: str, place: Path, **variables: str) -> str:
    """What a command prints in a copy of the checkout with nothing installed or cached."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=checkout.copy_to(place / "checkout"),
        env=checkout.clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_COMPILE="0", **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.install
def test_demo_command_works_in_a_fresh_checkout(tmp_path: Path) -> None:
    """With nothing but Python: all operations, no 429, and both sides count the same."""
    lines = _in_a_fresh_checkout(DEMO, tmp_path).splitlines()
    (summary,) = [json.loads(line) for line in lines if line.startswith('{"event": "summary"')]
    assert (summary["operations"], summary["throttled"], summary["server"]["throttled"]) == (len(SPECIMENS), 0, 0)
    assert summary["points"] == summary["server"]["points"]


@pytest.mark.long
@pytest.mark.install
def test_test_command_works_in_a_fresh_checkout(tmp_path: Path) -> None:
    """With nothing but Python the tests are found and run: one file of them, since this one would run itself again.

    Whoever runs the tests by this command has seen it; `.ci/run` installs the same extra for other Pythons.
    """
    out = _in_a_fresh_checkout(TESTS, tmp_path, PYTEST_ADDOPTS="tests/test_rate_limit.py --verbosity=0")
    assert re.search(r"^=+ \d+ passed", out, re.MULTILINE), out[-2000:]
