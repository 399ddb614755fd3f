"""A fake server and a client of it for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from whereby_async.limiter import Unlimited
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from whereby_async import WherebyClient


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server with points for everything."""
    async with FakeWhereby(limit=1_000_000) as server:
        yield server


@pytest.fixture
async def whereby(fake: FakeWhereby) -> AsyncIterator[WherebyClient]:
    """A client of it."""
    async with fake.client(limiter=Unlimited()) as client:
        yield client
