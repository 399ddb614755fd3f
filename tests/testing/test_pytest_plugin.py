"""The pytest plugin, in pytest runs of its own: under anyio, under pytest-asyncio in either mode, without either."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support import checkout
from support.processes import Forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLUGIN = "whereby_async.testing.pytest_plugin"
COVERAGE = {name: value for name, value in os.environ.items() if name.startswith("COV")}  # these runs count too

HEAD = """
import asyncio
import threading
import urllib.error
import urllib.request

import pytest

from whereby_async import Throttled, WherebyClient
from whereby_async.testing import FakeWhereby, Fault, simulated

def status_of(url):
    try:
        return urllib.request.urlopen(url + "/meetings").status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
"""

# The same tests for each way to run them; they are decorated by what stands in the place of MARK.
ASYNC = """
MARK
async def test_server_and_client_work(fake_whereby, whereby_client):
    assert isinstance(fake_whereby, FakeWhereby) and isinstance(whereby_client, WherebyClient)
    fake_whereby.add_meeting(room_name="/a")
    with fake_whereby.spends(exactly=1, throttled=0):
        (meeting,) = await whereby_client.meetings.list().collect()
    assert meeting.room_name == "/a"

MARK
async def test_server_answers_also_while_the_loop_of_the_test_stands_still(fake_whereby):
    assert "FakeWhereby" in repr(fake_whereby) and "not running" not in repr(fake_whereby)
    assert status_of(fake_whereby.url) == 401

MARK
@pytest.mark.whereby(limit=100, algorithm="sliding_log", client={"max_wait": 0.0})
async def test_marker_has_the_options(fake_whereby, whereby_client):
    assert (fake_whereby.limit, fake_whereby.algorithm) == (100, "sliding_log")
    fake_whereby.spend(100)
    with pytest.raises(Throttled):
        await whereby_client.meetings.list()

@pytest.mark.whereby(limit=5)
class TestMarkers:
    MARK
    @pytest.mark.whereby(period=2.0)
    async def test_markers_add_up(self, fake_whereby):
        assert (fake_whereby.limit, fake_whereby.period) == (5, 2.0)

    MARK
    @pytest.mark.whereby(limit=7)
    async def test_nearest_marker_wins(self, fake_whereby):
        assert (fake_whereby.limit, fake_whereby.period) == (7, 60.0)

MARK
@pytest.mark.parametrize("number", range(3))
async def test_each_test_has_its_own(number, whereby_client, fake_whereby):
    assert fake_whereby.requests == []
    await asyncio.gather(*(whereby_client.meetings.list() for _ in range(10)))
    assert len(fake_whereby.requests) == 10
"""

INI = """
[pytest]
filterwarnings =
    error
    ignore:.*asyncio_default_fixture_loop_scope
"""


class Run(NamedTuple):
    counts: dict[str, int]
    out: str


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """A Python that has imported pytest, and what the plugin imports when it is used."""
    with Forks(first="import pytest, aiohttp.web, anyio._backends._asyncio, msgspec, urllib.request") as running:
        yield running


@pytest.fixture
def run(tmp_path: Path, forks: Forks) -> Callable[..., Run]:
    """Run pytest in a directory of its own, with the plugin, on one file of tests; warnings are errors.

    It runs in a fork, with the plugins for tests that await and no others, or `alone`, as users start it.
    """

    def go(
        tests: str,
        *options: str,
        config: str = "",
        mark: str = "",
        conftest: str = "",
        head: str = HEAD,
        alone: bool = False,
    ) -> Run:
        (tmp_path / "pytest.ini").write_text(INI + config)
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "test_it.py").write_text(head + textwrap.dedent(tests).replace("MARK", mark))
        words = ["pytest", *options, "-p", PLUGIN, "--strict-markers", "-p", "no:cacheprovider"]
        variables = checkout.clean_environment(PYTHONPATH=str(checkout.ROOT), **COVERAGE)
        if alone:
            command = [sys.executable, "-m", *words]
            ended = subprocess.run(
                command, cwd=tmp_path, env=variables, capture_output=True, check=False, encoding="utf-8", timeout=120
            )
            out, err = ended.stdout, ended.stderr
        else:
            variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            words += ["-p", "anyio", "-p", "asyncio", "--assert=plain"]  # what is imported cannot be rewritten
            _, out, err = forks.run(*words, variables=variables, place=tmp_path)
        summary = out.strip().rpartition("\n")[2].partition(" in ")[0]
        return Run({word: int(number) for number, word in re.findall(r"(\d+) (\w+)", summary)}, out + err)

    return go


ANYIO = "@pytest.mark.anyio"
ASYNCIO = "@pytest.mark.asyncio"
ON_ASYNCIO = "import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
SCOPES = "asyncio_default_fixture_loop_scope = module\nasyncio_default_test_loop_scope = session\n"


@pytest.mark.parametrize(
    ("options", "rest"),
    [
        ((), {"mark": ANYIO, "conftest": ON_ASYNCIO}),
        (("-p", "no:asyncio"), {"mark": ANYIO, "conftest": ON_ASYNCIO}),
        (("--asyncio-mode=strict",), {"mark": ASYNCIO}),
        (("--asyncio-mode=strict",), {"mark": '@pytest.mark.asyncio(loop_scope="module")'}),
        (("--asyncio-mode=auto",), {}),
        (("--asyncio-mode=auto",), {"config": SCOPES}),
    ],
)
def test_under_anyio_and_pytest_asyncio(
    run: Callable[..., Run], options: tuple[str, ...], rest: dict[str, str]
) -> None:
    done = run(ASYNC, *options, **rest)
    assert done.counts == {"passed": 8}, done.out


STRANGE_LOOPS = """
import unittest

import pytest_asyncio

@pytest.mark.anyio
async def test_that_two_plugins_claim(whereby_client):
    await whereby_client.meetings.list()

class TestCase(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def have(self, whereby_client):
        self.client = whereby_client

    async def test_in_a_loop_of_its_own(self):
        await self.client.meetings.list()

@pytest_asyncio.fixture(loop_scope="session")
async def in_session_loop(whereby_client):
    return await whereby_client.meetings.list().collect()

@pytest.mark.asyncio
async def test_with_fixture_of_the_session_loop(in_session_loop, whereby_client):
    assert in_session_loop == await whereby_client.meetings.list().collect()

@pytest_asyncio.fixture
async def in_function_loop(whereby_client):
    return await whereby_client.meetings.list().collect()

@pytest.mark.asyncio(loop_scope="module")
async def test_with_fixture_of_the_function_loop(in_function_loop, whereby_client):
    assert in_function_loop == await whereby_client.meetings.list().collect()
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_any_loop_reaches_the_server(run: Callable[..., Run], mode: str) -> None:
    """That of another plugin, of a test case, and of fixtures whose loop is not the test's."""
    done = run(STRANGE_LOOPS, f"--asyncio-mode={mode}", conftest=ON_ASYNCIO)
    assert done.counts == {"passed": 4}, done.out


SYNC = """
def test_server_answers_whoever_asks(fake_whereby):
    assert status_of(fake_whereby.url) == 401
    assert [request.status for request in fake_whereby.requests] == [401]

def test_client_runs_in_loops_of_the_test(fake_whereby, whereby_client):
    fake_whereby.add_meeting(room_name="/a")

    async def rooms():
        return [meeting.room_name async for meeting in whereby_client.meetings.list()]

    with fake_whereby.spends(exactly=2):
        assert asyncio.run(rooms()) == asyncio.run(rooms()) == ["/a"]

def test_threads_share_it(fake_whereby):
    threads = [threading.Thread(target=status_of, args=[fake_whereby.url]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fake_whereby.requests) == 5

@simulated
@pytest.mark.whereby(limit=100)
async def test_minutes_pass_at_once(fake_whereby, whereby_client):
    loop = asyncio.get_running_loop()
    for _ in range(301):
        await whereby_client.meetings.list()
    assert fake_whereby.throttled == 0
    assert 180 <= loop.time() < 185
"""


def test_without_any_async_plugin(run: Callable[..., Run]) -> None:
    """Tests that do not await have a server in a thread, simulated ones have it in their loop."""
    for options in (("-p", "no:asyncio", "-p", "no:anyio"), ("--asyncio-mode=auto",)):
        done = run(SYNC, *options)
        assert done.counts == {"passed": 4}, done.out


SIMULATED_ANYIO = """
import pytest
from whereby_async.testing import SimulatedLoop

@pytest.fixture
def anyio_backend(): return "asyncio", {"loop_factory": SimulatedLoop}
"""
SIMULATED_ASYNCIO = """
from whereby_async.testing import SimulatedLoop

def pytest_asyncio_loop_factories(config, item): return {"simulated": SimulatedLoop}
"""


@pytest.mark.parametrize(
    ("mark", "conftest"), [(ANYIO, SIMULATED_ANYIO), (ASYNCIO, SIMULATED_ASYNCIO)], ids=["anyio", "asyncio"]
)
def test_the_loop_of_a_plugin_can_be_simulated(run: Callable[..., Run], mark: str, conftest: str) -> None:
    tests = """
    MARK
    @pytest.mark.whereby(limit=10)
    async def test_minutes_pass_at_once(fake_whereby, whereby_client):
        for _ in range(100):
            await whereby_client.meetings.list()
        assert fake_whereby.throttled == 0
        assert 540 <= asyncio.get_running_loop().time() < 545
    """
    done = run(tests, mark=mark, conftest=conftest)
    assert done.counts == {"passed": 1}, done.out


def test_async_test_that_no_plugin_runs_is_reported_by_pytest(run: Callable[..., Run]) -> None:
    done = run("async def test_it(whereby_client): pass", "-p", "no:asyncio", "-p", "no:anyio")
    assert done.counts == {"failed": 1}
    assert "async def functions are not natively supported" in done.out


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("limits=5", "has no option 'limits': did you mean 'limit'?"),
        ("100", "@pytest.mark.whereby takes keywords, such as limit=100, not (100,)"),
        ("header_style='rfc'", "unknown header style 'rfc': one of iso, "),
    ],
)
def test_wrong_marker_is_reported(run: Callable[..., Run], marker: str, words: str) -> None:
    done = run(f"@pytest.mark.whereby({marker})\ndef test_it(fake_whereby): pass")
    assert done.counts in ({"error": 1}, {"errors": 1}), done.out
    assert words in done.out


def test_trio_is_refused_in_words(run: Callable[..., Run]) -> None:
    conftest = ON_ASYNCIO.replace("'asyncio'", "('trio', {})")
    done = run("@pytest.mark.anyio\nasync def test_it(fake_whereby): pass", conftest=conftest)
    assert "fake_whereby runs on asyncio, not on trio: let a fixture anyio_backend return 'asyncio'" in done.out


@pytest.mark.parametrize("mark", [ANYIO, ASYNCIO, "@simulated", ""], ids=["anyio", "asyncio", "simulated", "sync"])
def test_all_is_closed_when_a_test_fails(run: Callable[..., Run], mark: str) -> None:
    """Port and client are let go, no thread, socket or warning is left, and the failure is the test's own."""
    tests = """
    kept = []

    MARK
    ASYNC def test_fails(fake_whereby, whereby_client):
        fake_whereby.faults.add(Fault(delay=1000.0))
        kept.extend([fake_whereby, whereby_client])
        assert kept == [], "on purpose"

    def test_nothing_is_left():
        fake, client = kept
        assert "not running" in repr(fake)
        assert threading.active_count() == 1
        with pytest.raises(Exception, match="closed"):
            asyncio.run(client.meetings.list().collect())
    """
    done = run(tests.replace("ASYNC ", "async " if mark else ""), mark=mark, conftest=ON_ASYNCIO)
    assert done.counts == {"failed": 1, "passed": 1}, done.out
    assert "on purpose" in done.out
    assert "UnusedFaultWarning" not in done.out


UNUSED = """
def test_it(fake_whereby):
    fake_whereby.faults.add(Fault(operation="meetings.get", status=503))
"""


def test_fault_that_never_happened_is_reported(run: Callable[..., Run]) -> None:
    """As a warning that names test and fault; an error where warnings are errors; silent for those who filter it."""
    words = "scripted and not happened in test_it: Fault(operation='meetings.get', status=503)"
    for options, shown_as in ((("-W", "default"), "warning"), ((), "error")):
        done = run(UNUSED, *options)
        assert done.counts == {"passed": 1, shown_as: 1}, done.out
        assert words in done.out
    done = run(UNUSED, config="    ignore::whereby_async.testing.UnusedFaultWarning\n")
    assert done.counts == {"passed": 1}, done.out


@pytest.mark.parametrize("mark", [ANYIO, ASYNCIO, "@simulated"], ids=["anyio", "asyncio", "simulated"])
def test_error_in_when_is_reported(run: Callable[..., Run], mark: str) -> None:
    """As an error beside the test, which saw no fault; its own words are the test's author's."""
    tests = """
    MARK
    async def test_it(fake_whereby, whereby_client):
        fake_whereby.faults.add(Fault(when=lambda request: request.json["isLocked"], status=503))
        await whereby_client.meetings.list()
    """
    done = run(tests, mark=mark, conftest=ON_ASYNCIO)
    assert done.counts == {"passed": 1, "error": 1}, done.out
    assert "raised by `when` of Fault(" in done.out


CALLS = """
from whereby_async import NotFoundError, PermissionDeniedError

MARK
ASYNC def test_passes(fake_whereby, whereby_client):
    AWAIT(whereby_client.insights.rooms().collect())

MARK
ASYNC def test_fails(fake_whereby, whereby_client, tmp_path):
    key = fake_whereby.add_meeting()["hostRoomUrl"].partition("roomKey=")[2]
    fake_whereby.faults.add(Fault(operation="meetings.create", status=403))
    with pytest.raises(PermissionDeniedError):
        AWAIT(whereby_client.meetings.create(end_date="2099-01-01T00:00:00Z"))
    with pytest.raises(NotFoundError):
        AWAIT(whereby_client.request("GET", "/nowhere/" + key))
    recording_id = fake_whereby.add_recording()["recordingId"]
    AWAIT(whereby_client.recordings.download(recording_id, tmp_path / "file"))
    assert not "on purpose"

MARK
ASYNC def test_passes_again(fake_whereby, whereby_client):
    AWAIT(whereby_client.summaries.list().collect())
"""
AWAITED = """
def awaited(thing):
    async def main():
        return await thing
    return asyncio.run(main())
"""


def shown_calls(done: Run) -> dict[str, list[list[str]]]:
    """The words of the lines in each section, by the test that failed."""
    _, *reports = re.split(r"^_{3,} (?:ERROR at setup of )?(\w+) _{3,}\n", done.out, flags=re.MULTILINE)
    found = re.compile(r"^-+ whereby calls -+\n((?:(?![-=_]{3}).*\n)*)", re.MULTILINE)
    sections = {name: found.search(report) for name, report in zip(reports[::2], reports[1::2], strict=True)}
    return {name: [line.split() for line in each[1].splitlines()] for name, each in sections.items() if each}


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        (ANYIO, ("-p", "no:asyncio")),
        (ASYNCIO, ()),
        ("@simulated", ()),
        ("", ("-p", "no:asyncio", "-p", "no:anyio")),
        (ANYIO, ("-n", "1")),
    ],
    ids=["anyio", "asyncio", "simulated", "sync", "xdist"],
)
def test_calls_of_a_failed_test_are_shown(run: Callable[..., Run], mark: str, options: tuple[str, ...]) -> None:
    """Those of no other test, without a query, and nothing that opens a room or a file."""
    words = ("async ", "await (") if mark else ("", "awaited(")
    tests = CALLS.replace("ASYNC ", words[0]).replace("AWAIT(", words[1])
    done = run(
        tests, *options, "--tb=short", mark=mark, conftest=ON_ASYNCIO, head=HEAD + AWAITED, alone="-n" in options
    )
    assert done.counts == {"failed": 1, "passed": 2}, done.out
    head, *rows = shown_calls(done).pop("test_fails")
    assert head == ["time", "method", "status", "points", "path"]
    assert [row[1:4] for row in rows] == [
        ["POST", "403", "3"],
        ["GET", "404", "0"],
        ["GET", "200", "1"],
        ["GET", "200", "0"],
    ]
    assert rows[0][4] == "/v1/meetings"
    assert rows[1][4] == "/v1/nowhere/***"
    assert rows[2][4].endswith("/access-link")
    assert re.fullmatch(r"/storage/[-\w]+", rows[3][4])
    assert float(rows[0][0]) == 0.0 <= float(rows[3][0])


OTHERS = """
@pytest.fixture(scope="session")
def shared():
    with FakeWhereby().in_thread() as fake:
        yield fake

def test_passes(shared):
    status_of(shared.url)

def test_many(shared):
    for _ in range(25):
        status_of(shared.url)
    assert not "on purpose"

def test_closed_and_hanging():
    async def main():
        async with FakeWhereby() as fake:
            fake.faults.add(Fault(delay=1000.0))
            async with asyncio.timeout(0.2):
                await fake.client(timeout=100.0).meetings.list()
    asyncio.run(main())

def test_none(fake_whereby):
    assert not "on purpose"

def test_without_a_server():
    assert not "on purpose"

@pytest.fixture
def in_setup(fake_whereby):
    status_of(fake_whereby.url)
    assert not "on purpose"

def test_setup(in_setup):
    pass

@pytest.mark.xfail
def test_expected(shared):
    status_of(shared.url)
    assert not "on purpose"
"""


def test_calls_of_any_server_are_shown(run: Callable[..., Run]) -> None:
    """The last 20 of a shared one, of this test; one without an answer; that none came where the fixture is used."""
    done = run(OTHERS, "--tb=short", "-rA", "-p", "no:asyncio")
    shown = shown_calls(done)
    assert shown.keys() == {"test_many", "test_closed_and_hanging", "test_none", "test_setup"}, done.out
    assert shown["test_many"][0] == ["5", "earlier", "ones", "are", "left", "out"]
    assert len(shown["test_many"]) == 2 + 20
    assert shown["test_closed_and_hanging"][-1][1:] == ["GET", "none", "1", "/v1/meetings"]
    assert shown["test_none"] == [["none", "reached", "the", "server"]]
    assert shown["test_setup"][-1][1:] == ["GET", "401", "0", "/v1/meetings"]


APP = """
import asyncio

import fastapi_app
import pytest
from fastapi.testclient import TestClient

from whereby_async.testing import Fault
from whereby_async.webhooks import sign

@pytest.fixture
def browser(fake_whereby, monkeypatch):
    monkeypatch.setenv("WHEREBY_BASE_URL", fake_whereby.url)
    monkeypatch.setenv("WHEREBY_API_KEY", fake_whereby.api_key)
    monkeypatch.setenv("WHEREBY_WEBHOOK_SECRET", "s3cret")
    with TestClient(fastapi_app.app) as browser:
        yield browser

@pytest.fixture
def overridden(whereby_client, monkeypatch):
    monkeypatch.setitem(fastapi_app.app.dependency_overrides, fastapi_app.people, lambda: whereby_client)
    return TestClient(fastapi_app.app)

@pytest.mark.parametrize("number", range(2))
def test_room_is_made(browser, fake_whereby, number):
    with fake_whereby.spends(exactly=3):
        answer = browser.post("/rooms")
    assert answer.status_code == 201
    assert [answer.json()["id"]] == list(fake_whereby.meetings)

def test_lost_create(browser, fake_whereby):
    fake_whereby.faults.add(Fault(operation="meetings.create", drop="after"))
    assert browser.post("/rooms").json() == {"may_have_happened": True}

@pytest.mark.whereby(limit=10)
def test_no_points_left(browser, fake_whereby):
    fake_whereby.spend(10)
    assert browser.post("/rooms").status_code == 503

def test_webhook(browser, fake_whereby):
    body = b'{"id": "e1", "type": "room.client.waved", "data": {}}'
    assert browser.post("/webhooks", content=body, headers={"Whereby-Signature": sign(body, "s3cret")}).is_success
    assert browser.post("/webhooks", content=body).status_code == 400

def test_client_of_the_test(overridden, fake_whereby):
    assert [overridden.post("/rooms").status_code for _ in range(2)] == [201, 201]
    assert len(overridden.get("/rooms").json()) == 2

@pytest.mark.anyio
@pytest.mark.whereby(client={"max_outage": 0.0})
async def test_whereby_is_away(overridden, fake_whereby):
    async with fake_whereby.away():
        assert (await asyncio.to_thread(overridden.get, "/rooms")).status_code == 502
"""


def test_app_is_tested_by_its_users_means(run: Callable[..., Run]) -> None:
    """Environment variables, `dependency_overrides` and `TestClient`, with a recipe as the app; warnings are errors."""
    programs = str(checkout.ROOT / "tests" / "recipes" / "programs")
    conftest = f"import sys\nsys.path.insert(0, {programs!r})\n{ON_ASYNCIO}"
    done = run(APP, "-p", "no:asyncio", conftest=conftest, head="")
    assert done.counts == {"passed": 7}, done.out


def test_marker_is_described(run: Callable[..., Run]) -> None:
    out = run("", "--markers").out
    assert "@pytest.mark.whereby(**options): options of the server behind `fake_whereby`" in out
    out = run("", "--fixtures").out
    assert "fake_whereby" in out
    assert "whereby_client" in out
    assert "_whereby_pair" not in out


def test_plugin_that_is_not_used_imports_nothing(run: Callable[..., Run]) -> None:
    """A run without its fixtures loads neither aiohttp nor msgspec, and of this package only what names its parts."""
    tests = """
    def test_it():
        import sys

        loaded = {name for name in sys.modules if name.startswith(("whereby_async", "aiohttp", "msgspec", "yarl"))}
        plugin = {"whereby_async.testing.pytest_plugin"}
        assert loaded - plugin == {"whereby_async", "whereby_async.version", "whereby_async.testing"}
    """
    for options in ((), ("-p", "no:asyncio")):
        done = run(tests, *options, head="", alone=True)
        assert done.counts == {"passed": 1}, done.out
