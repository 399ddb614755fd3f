"""A fake server, a limiter that writes down what it granted, and a client of both for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sender.calls import AT_ONCE
from support.recording_limiter import RecordingLimiter

from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from whereby_async import (
        WherebyClient,
    )


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server with points for everything."""
    async with FakeWhereby(limit=1_000_000) as server:
        yield server


@pytest.fixture
def limiter() -> RecordingLimiter:
    """A limiter that grants at once and writes down what it granted."""
    return RecordingLimiter()


@pytest.fixture
async def whereby(fake: FakeWhereby, limiter: RecordingLimiter) -> AsyncIterator[WherebyClient]:
    """A client that does not wait between attempts."""
    async with fake.client(limiter=limiter, retry=AT_ONCE) as client:
        yield client
