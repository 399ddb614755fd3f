"""The demo's burst: more calls at once than the window has points for, to watch the budget wait instead of being refused."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..errors import WherebyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import WherebyClient
    from ..models import Meeting
    from .guide import Guide

_TICK: Final = 0.1
_WAITED: Final = 0.05
"""Seconds; what took less to get its points went at once."""


async def burst(client: WherebyClient, guide: Guide, meeting_id: str, *, calls: int, period: float) -> None:
    """Ask for one meeting `calls` times at once, and show how the budget deals with it.

    Args:
        client: The client, whose budget is known by now.
        guide: Shows it.
        meeting_id: The meeting.
        calls: How many; more than the window has points for.
        period: Seconds of the server's window.
    """
    before = client.limiter.snapshot()
    guide.display.say(
        "step",
        f"{calls} calls at once, and {before.available} of {before.limit} points left",
        calls=calls,
        available=before.available,
        limit=before.limit,
    )
    refused_before, started_at = guide.log.throttled, monotonic()
    try:
        async with asyncio.TaskGroup() as tasks:
            asked = {tasks.create_task(client.meetings.get(meeting_id)) for _ in range(calls)}
            with guide.display.progress(calls) as show:
                await _watch(client, asked, show)
    except* WherebyError as group:
        raise group.exceptions[0] from None
    rows = guide.log.take()
    waits = [row.waited for row in rows if row.waited >= _WAITED]
    refused = guide.log.throttled - refused_before
    longest = max(waits, default=0.0)
    guide.display.say(
        "wait",
        f"{len(rows) - len(waits)} went at once. {len(waits)} waited, the longest {longest:.1f} s: the window's points were"
        f" spent, and the server gives new ones every {period:g} s only. Refused with a 429: {refused or 'none'}.",
        at_once=len(rows) - len(waits),
        waited=len(waits),
        longest_wait=longest,
        throttled=refused,
        seconds=round(monotonic() - started_at, 3),
    )
    guide.waited += longest


async def _watch(client: WherebyClient, asked: set[asyncio.Task[Meeting]], show: Callable[[int, str], None]) -> None:
    pending = asked
    while pending:
        _, pending = await asyncio.wait(pending, timeout=_TICK)
        budget = client.limiter.snapshot()
        reset = f", new points in {budget.reset_in:.1f} s" if budget.reset_in is not None else ""
        waiting = sum(budget.waiting.values())
        show(len(asked) - len(pending), f"{budget.available} points, {waiting} wait{reset}")
