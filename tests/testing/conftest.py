"""A fake server and a bare session for each test, in a loop whose clock can be moved on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.bare import Bare, JumpingLoop

from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Asyncio, on a loop whose clock can be moved on."""
    return "asyncio", {"loop_factory": JumpingLoop}


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A fake server that runs."""
    async with FakeWhereby() as server:
        yield server


@pytest.fixture
async def call(fake: FakeWhereby) -> AsyncIterator[Bare]:
    """A bare session against it."""
    async with Bare(fake) as session:
        yield session
