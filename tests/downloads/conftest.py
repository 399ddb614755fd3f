"""A client that retries without pause, and a recording to download."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.downloads import Film

from whereby_async import RetryPolicy
from whereby_async.limiter import Unlimited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby


@pytest.fixture
async def whereby(fake: FakeWhereby) -> AsyncIterator[WherebyClient]:
    async with fake.client(limiter=Unlimited(), retry=RetryPolicy(base=0.0)) as client:
        yield client


@pytest.fixture
def film(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> Film:
    return Film(fake, whereby, tmp_path)
