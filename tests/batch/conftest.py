"""A fake server with points for everything, and a client of it that is quick to give up, for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from batch.jobs import TIMEOUT
from support.recording_limiter import RecordingLimiter

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
    """A client with a short timeout, which does not wait for points."""
    async with fake.client(timeout=TIMEOUT, limiter=Unlimited(), retry=RetryPolicy(base=0.001)) as client:
        yield client


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal may be made."""
    return tmp_path / "run.jsonl"


@pytest.fixture
def recorded() -> RecordingLimiter:
    """A limiter that grants at once and writes down what it granted."""
    return RecordingLimiter()
