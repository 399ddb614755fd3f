"""What all tests share: asyncio is the loop, and nothing of the caller's environment leaks in."""

from __future__ import annotations

import pytest

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
