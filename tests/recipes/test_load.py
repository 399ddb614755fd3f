"""The FastAPI recipe under load: people are served at once while a batch spends all the points that there are.

The window has 6 s. With the real minute, and with the figures printed:
`WHEREBY_RECIPE_PERIOD=60 python -m pytest -s tests/recipes/test_load.py`
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
import pytest
from support.programs import Program

from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from pathlib import Path

PERIOD = float(os.environ.get("WHEREBY_RECIPE_PERIOD", "6"))
LIMIT = 1000
ROOMS = 667
"""At 3 points each they are 2,000 points: what two windows have."""
HELD_UP = 230
"""Rooms after which the batch has had nearly all that it may have at once: 70 % of the window."""
AT_ONCE = 200
LATER = 100
"""People, over two windows; a window's people stay within what the recipe reserves for them: 300 points."""
SMALL = 1 / 3
"""The part of a window that people may wait on a busy machine; without priorities it would be several windows."""


def _waits(program: Program, operation: str) -> list[float]:
    """What the recipe's log says of the waits for points, in order of length."""
    return sorted(float(wait) for wait in re.findall(rf"{re.escape(operation)}: ok, waited ([\d.]+) s", program.out))


async def _look(session: aiohttp.ClientSession, url: str, *, later: float = 0.0) -> int:
    await asyncio.sleep(later)
    async with session.get(f"{url}/rooms") as response:
        return response.status


async def _put_event(program: Program, *, rooms: int) -> None:
    asked = {"rooms": str(rooms), "ends": "2099-01-01T00:00:00Z"}
    async with aiohttp.ClientSession() as session, session.put(f"{program.url}/events/fair", params=asked) as response:
        assert response.status == 202


@pytest.mark.anyio
@pytest.mark.timeout(90 + 5 * PERIOD)
async def test_people_hardly_wait_while_a_batch_spends_the_points(tmp_path: Path) -> None:
    """Beside a batch of 2,000 points, 200 people at once and 100 over two windows hardly wait for points."""
    with FakeWhereby(limit=LIMIT, period=PERIOD).in_thread() as fake:
        command = ("-m", "uvicorn", "--port", "0", "--no-access-log", "recipes.short_minute:batch")
        variables = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url, "PERIOD": str(PERIOD)}
        with Program(*command, place=tmp_path, variables=variables) as program:
            await asyncio.to_thread(program.serving)
            url = program.url
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
                await _put_event(program, rooms=ROOMS)
                await program.told("meetings.create: ok", times=HELD_UP)
                at_once = await asyncio.gather(*(_look(session, url) for _ in range(AT_ONCE)))
                between = 2 * PERIOD / LATER
                over_time = await asyncio.gather(*(_look(session, url, later=i * between) for i in range(LATER)))
            await asyncio.to_thread(program.until, f"fair: {ROOMS} of {ROOMS} rooms are there", patience=4 * PERIOD)
            code = await asyncio.to_thread(program.end)

        waits = _waits(program, "meetings.list")
        jobs = _waits(program, "meetings.create")
        p99 = waits[round(0.99 * len(waits)) - 1]
        print(  # noqa: T201 - the figure, for who runs it with -s
            f"{len(waits)} people: p99 {p99:.3f} s, longest {waits[-1]:.3f} s; "
            f"batch: longest {jobs[-1]:.3f} s; window {PERIOD:g} s"
        )
        assert (Counter(at_once), Counter(over_time)) == ({200: AT_ONCE}, {200: LATER})
        assert (fake.throttled, len(fake.meetings), len(waits)) == (0, ROOMS, AT_ONCE + LATER)
        assert p99 < SMALL * PERIOD
        assert jobs[-1] > SMALL * PERIOD, "the batch had all the points that it wanted: nothing was shown"
        assert (code, program.complaints()) == (-15, [])


@pytest.mark.anyio
async def test_job_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGTERM while a batch waits ends it without complaint; asked for again, it makes what is missing and no more."""
    with FakeWhereby(limit=LIMIT).in_thread() as fake:
        variables = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url}

        async def run(words: str, times: int, patience: float = 30.0) -> int:
            command = ("-m", "uvicorn", "--port", "0", "fastapi_batch:app")
            with Program(*command, place=tmp_path, variables=variables) as program:
                await asyncio.to_thread(program.serving)
                await _put_event(program, rooms=400)
                await asyncio.to_thread(program.until, words, times=times, patience=patience)
                code = await asyncio.to_thread(program.end)
            assert (code, program.complaints()) == (-15, [])
            return len(fake.meetings)

        # 210 rooms have their points at once: 70 % of the window.
        assert 210 <= await run("meetings.create: ok", 210) < 333
        fake.set_limit(10 * LIMIT)
        # A call that SIGTERM cut off is looked up in the list, once its timeout has passed.
        assert await run("fair: 400 of 400 rooms are there", 1, patience=100.0) == 400
        assert fake.throttled == 0
