"""The recipes of several processes that share one budget of points: web workers, and a forking worker's jobs."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
import pytest
import redis
import rq

from recipes.running import Program
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

LIMIT = 100
PRICE = 3
SERVED = LIMIT // PRICE
"""Rooms that a window has points for."""

COMMANDS = {
    "uvicorn": ("-m", "uvicorn", "--port", "0", "--workers", "2", "workers_app:app"),
    "gunicorn": ("-m", "gunicorn", "--bind", "127.0.0.1:0", "--worker-class", "asgi", "--workers", "2", "workers_app:app"),
}


async def _ask(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    """Ask for a room: the answer's status, and the worker that made it or the seconds to stay away."""
    async with session.post(f"{url}/rooms") as response:
        if response.status == 201:
            return 201, str((await response.json())["worker"])
        return response.status, response.headers["Retry-After"]


@pytest.mark.parametrize("server", COMMANDS)
async def test_workers_share_one_budget(server: str, store: str, tmp_path: Path) -> None:
    """Two workers serve what the window has points for, all of it; the rest hears 503 and when to come, and Whereby never says 429."""
    async with FakeWhereby(limit=LIMIT) as fake:
        variables = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url, "REDIS_URL": store}
        with Program(*COMMANDS[server], place=tmp_path, variables=variables) as program:
            await asyncio.to_thread(program.serving)
            # One connection for each request, since a kept one stays with its worker.
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
                answers = await asyncio.gather(*(_ask(session, program.url) for _ in range(2 * SERVED)))
            code = await asyncio.to_thread(program.end)

        statuses = Counter(status for status, _ in answers)
        workers = Counter(worker for status, worker in answers if status == 201)
        waits = [int(seconds) for status, seconds in answers if status == 503]
        assert (fake.throttled, len(fake.meetings), statuses) == (0, SERVED, {201: SERVED, 503: SERVED})
        assert len(workers) == 2
        assert all(30 < seconds <= 61 for seconds in waits), waits
        assert code in {0, -signal.SIGTERM}
        assert program.complaints() == []
