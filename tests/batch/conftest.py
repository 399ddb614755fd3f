"""A client that is quick to give up, and a place for a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.batches import TIMEOUT

from whereby_async import RetryPolicy
from whereby_async.limiter import Unlimited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby


@pytest.fixture
async def whereby(fake: FakeWhereby) -> AsyncIterator[WherebyClient]:
    async with fake.client(timeout=TIMEOUT, limiter=Unlimited(), retry=RetryPolicy(base=0.001)) as client:
        yield client


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"
