"""The point budget before rate limiting servers that others wrote: mixed calls at once, 100 points per 2 s.

How long they take is measured by `benchmarks/limiter_servers.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from servers import catalogue, load
from servers.processes import Unavailable

from whereby_async.limiter import PointBudget

if TYPE_CHECKING:
    from pathlib import Path

    from servers.catalogue import Server

pytestmark = [pytest.mark.anyio, pytest.mark.servers]

RATE = load.Rate(100, 2)
PATIENCE = 90.0
MOST_REFUSED = 200
"""429s of 100 calls to a server that does not tell what is left. The budget met 41 to 145, by chance of timing."""


async def outcome_of(server: Server, count: int, home: Path) -> load.Outcome:
    """The calls through a new budget to a new server."""
    budget = PointBudget(RATE.points, period=RATE.seconds)
    try:
        with server.start(RATE, home) as urls:
            return await load.run(load.through(budget), urls, load.mixed(count, seed=1), PATIENCE)
    except Unavailable as missing:
        pytest.skip(str(missing))
    finally:
        await budget.aclose()


@pytest.mark.parametrize("server", [it for it in catalogue.SERVERS if it.tells], ids=lambda it: it.name)
async def test_server_that_tells_what_is_left_never_refuses(server: Server, tmp_path: Path) -> None:
    """Fixed and moving windows, prices of 1 to 3 or always 1, one node or two."""
    outcome = await outcome_of(server, 200, tmp_path)
    assert (outcome.throttled, outcome.failed) == (0, 0), outcome.errors


@pytest.mark.parametrize("server", [it for it in catalogue.SERVERS if not it.tells], ids=lambda it: it.name)
async def test_server_that_tells_nothing_refuses_within_bounds(server: Server, tmp_path: Path) -> None:
    """A gateway's 429 names no time and no limit; all calls end well all the same."""
    outcome = await outcome_of(server, 100, tmp_path)
    assert outcome.failed == 0, outcome.errors
    assert outcome.throttled <= MOST_REFUSED


async def test_one_bare_refusal_while_points_are_left_delays_one_call_little(tmp_path: Path) -> None:
    """The 11th call is refused without a header, though 990 of 1,000 points are left."""
    budget = PointBudget(1000)
    try:
        with catalogue.flexible(load.Rate(1000, 60), tmp_path, bare=11) as (url,):
            async with asyncio.timeout(4):
                waits = await load.in_turns(load.through(budget), url, ["GET"] * 12)
    except Unavailable as missing:
        pytest.skip(str(missing))
    finally:
        await budget.aclose()
    assert max(waits) <= 2
