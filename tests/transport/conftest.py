"""A pool that is closed after the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from whereby_async.transport import SessionPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def pool() -> AsyncIterator[SessionPool]:
    pool = SessionPool()
    yield pool
    await pool.aclose()
