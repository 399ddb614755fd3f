"""Calls that wait: once the client is closed nobody begins to wait, whatever thread closed it."""

from __future__ import annotations

import asyncio

import pytest

from whereby_async.sender import WaitingCalls

pytestmark = pytest.mark.anyio


async def test_nobody_begins_to_wait_after_the_close() -> None:
    """A call that saw the client open just before another thread closed it asks for no points, and pauses no second."""
    waiting = WaitingCalls()
    waiting.close()
    with waiting.until_closed() as is_open:
        assert not is_open
    async with asyncio.timeout(5):
        await waiting.pause(60)
