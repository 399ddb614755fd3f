"""A server in a thread of its own for each test, and the variables that lead to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.serving import Served

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server of the test's own."""
    with Served() as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running
