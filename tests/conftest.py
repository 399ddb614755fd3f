"""What all tests share: asyncio is the loop, and nothing of the caller's environment leaks in."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from support.recording_limiter import RecordingLimiter

    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby

_TESTS = Path(__file__).parent

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# What a script starts with `&` ignores Ctrl-C, and so would all processes of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Hundreds of processes import the package. Where no bytecode is kept, most of their time goes into compiling it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

_UNTRACED = (
    "batch/test_goodput.py",
    "batch/test_kill.py",
    "benchmarks",
    "faults",
    "fuzz",
    "limiter/test_machines.py",
    "models/test_decoding_anything.py",
    "recipes",
    "redis/processes",
    "servers",
    "simulation",
    "test_readme.py",
)
"""They keep the processor busy, and the tests beside each module measure the same code; traced they take longer."""

_IN_REAL_TIME = (
    "batch/test_estimate.py",
    "batch/test_goodput.py",
    "batch/test_kill.py",
    "cli",
    "limiter/test_host_budget.py",
    "recipes",
    "redis",
    "servers",
    "testing/test_pytest_plugin.py",
)
"""Other processes, stores, terminals and their windows do not wait for a busy machine: such tests may be late, not often."""

for _name in (  # nothing of the caller's leaks in
    "WHEREBY_API_KEY",
    "WHEREBY_API_KEY_FILE",
    "WHEREBY_BASE_URL",
    "WHEREBY_LOG",
    "WHEREBY_PROFILE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
):
    os.environ.pop(_name, None)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Callable[[], object]]]:
    """The tests that await run on asyncio, with a simulated clock where they are marked so."""
    from whereby_async.testing import SimulatedLoop

    simulated = request.node.get_closest_marker("simulated_clock")
    return "asyncio", {"loop_factory": SimulatedLoop} if simulated else {}


# The package is imported by the fixtures that need it, so that coverage has begun by then.


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server with points for everything."""
    from whereby_async.testing import FakeWhereby

    async with FakeWhereby(limit=1_000_000) as server:
        yield server


@pytest.fixture
def limiter() -> RecordingLimiter:
    """A limiter that grants at once and writes down what it granted."""
    from support.recording_limiter import RecordingLimiter

    return RecordingLimiter()


@pytest.fixture
async def whereby(fake: FakeWhereby, limiter: RecordingLimiter) -> AsyncIterator[WherebyClient]:
    """A client that does not wait between attempts."""
    from whereby_async import RetryPolicy

    async with fake.client(limiter=limiter, retry=RetryPolicy(base=0)) as client:
        yield client


@pytest.fixture(autouse=True)
def _levels_of_the_log() -> Iterator[None]:
    """No level of the log that a test has asked for leaks out."""
    log = logging.getLogger("whereby_async")
    level = log.level
    logging.root.setLevel(logging.WARNING)  # a program that a test imports may have changed it
    yield
    log.setLevel(level)


@pytest.fixture(autouse=True)
def _traced_unless_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not request.node.get_closest_marker("untraced"):
        yield
        return
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # by which processes are traced too
    # Not pytest-cov's `no_cover`: a worker of xdist is measured twice, and that ends only one of the two.
    here, elsewhere = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    yield
    threading.settrace(elsewhere)
    sys.settrace(here)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and mark what is not worth the tracer's time and what may be late."""
    items.sort(key=lambda item: item.get_closest_marker("install") is None)
    paths = {item.path for item in items}
    for marker, names in ((pytest.mark.untraced, _UNTRACED), (pytest.mark.flaky(reruns=2), _IN_REAL_TIME)):
        places = [_TESTS / name for name in names]
        marked = {path for path in paths if any(map(path.is_relative_to, places))}
        for item in items:
            if item.path in marked:
                item.add_marker(marker)


def pytest_collection_finish() -> None:
    """Nothing of what was collected is garbage before the end: the many tests that look for theirs need not look there."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """By default a worker that has nothing left takes tests of another: some wait for seconds, most for nothing."""
    from xdist.scheduler import (  # type: ignore[import-untyped]  # it has no types
        WorkStealingScheduling,  # pyright: ignore[reportMissingTypeStubs] - it has no types
    )

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None
