"""What all tests share: asyncio is the loop, and nothing of the caller's environment leaks in."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_TESTS = Path(__file__).parent

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

_UNTRACED = (
    "batch/test_goodput.py",
    "benchmarks",
    "faults",
    "fuzz",
    "limiter/test_machines.py",
    "models/test_decoding_anything.py",
    "simulation",
)
"""They would take three times as long if traced; the tests beside each module measure the same code."""

_VARIABLES = (
    "WHEREBY_API_KEY",
    "WHEREBY_BASE_URL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)


@pytest.fixture
def anyio_backend() -> str:
    """The tests that await run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _traced_unless_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.node.get_closest_marker("untraced"):
        yield
        return
    # Not pytest-cov's `no_cover`: a worker of xdist is measured twice, and that ends only one of the two.
    here, elsewhere = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    yield
    threading.settrace(elsewhere)
    sys.settrace(here)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is not worth the tracer's time."""
    untraced = [_TESTS / name for name in _UNTRACED]
    for item in items:
        if any(item.path.is_relative_to(place) for place in untraced):
            item.add_marker("untraced")
