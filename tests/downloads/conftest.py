"""A fake server, a client of it that retries without pause, and a recording to download."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.downloads import Film

from whereby_async import RetryPolicy
from whereby_async.limiter import Unlimited
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from whereby_async import WherebyClient


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server with points for everything."""
    async with FakeWhereby(limit=1_000_000) as server:
        yield server


@pytest.fixture
async def whereby(fake: FakeWhereby) -> AsyncIterator[WherebyClient]:
    """A client of it."""
    async with fake.client(limiter=Unlimited(), retry=RetryPolicy(base=0.0)) as client:
        yield client


@pytest.fixture
def film(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> Film:
    """A recording of it."""
    return Film(fake, whereby, tmp_path)
