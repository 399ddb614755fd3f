"""A server with recordings to page through, and a client of it for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.recording_limiter import RecordingLimiter

from whereby_async import RetryPolicy
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from whereby_async import WherebyClient


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server with 25 recordings."""
    async with FakeWhereby(limit=1_000_000) as server:
        for _ in range(25):
            server.add_recording(room_name="/demo")
        yield server


@pytest.fixture
def limiter() -> RecordingLimiter:
    """A limiter that grants at once and writes down what it granted."""
    return RecordingLimiter()


@pytest.fixture
async def whereby(fake: FakeWhereby, limiter: RecordingLimiter) -> AsyncIterator[WherebyClient]:
    """A client that does not wait between attempts."""
    async with fake.client(limiter=limiter, retry=RetryPolicy(base=0)) as client:
        yield client
