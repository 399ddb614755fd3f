"""What all tests share: asyncio is the loop, and nothing of the caller's environment leaks in."""

from __future__ import annotations

from pathlib import Path

import pytest

_TESTS = Path(__file__).parent

# They count on the processor, and what they run is measured by the tests beside each module: with the tracer they would take
# three times as long, and the figure be the same.
_UNMEASURED = (
    "batch/test_goodput.py",
    "benchmarks",
    "faults",
    "fuzz",
    "limiter/test_machines.py",
    "models/test_decoding_anything.py",
    "simulation",
)

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Coverage is not measured where it would only take time."""
    unmeasured = [_TESTS / name for name in _UNMEASURED]
    for item in items:
        if any(item.path.is_relative_to(place) for place in unmeasured):
            item.add_marker("no_cover")
