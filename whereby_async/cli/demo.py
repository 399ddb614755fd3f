"""`whereby demo`: the client at work, call by call, with points spent and left."""

from __future__ import annotations

import asyncio
import os
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter, validators

from ..testing import FakeWhereby
from .burst import burst
from .calls import CallLog
from .display import Display, display_for
from .exits import ExitCode, UsageError
from .guide import Guide
from .live import look
from .sample import fill
from .tour import Tour

if TYPE_CHECKING:
    from cyclopts import App

_LIMIT: Final = 100
_PERIOD: Final = 4.0
"""Seconds of the demo server's window: short, so that one can watch it refill. The real one has 60."""

_BEYOND: Final = 20
"""How many calls the burst has more than the window has points."""

_PROCESSING: Final = 0.25


def register(whereby: App) -> None:
    """Add this group's commands to the app."""
    whereby.command(demo)


def demo(
    *,
    live: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    limit: Annotated[int | None, Parameter(validator=validators.Number(gte=10, lte=10_000))] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Watch the client work, call by call, with points spent and left.

    Without an account: a fake Whereby starts on this machine, and the real
    client goes through all 27 operations against it, then through a burst
    that is bigger than its window of points.

    With WHEREBY_API_KEY set: reads one page of a few lists of that account,
    and changes nothing.

    For example:

        whereby demo
        whereby demo --limit 40
        WHEREBY_API_KEY=... whereby demo
        WHEREBY_API_KEY=... whereby demo --live

    Args:
        live: With WHEREBY_API_KEY set, make one meeting too, colour its room, and delete it.
        limit: Points in each window of the fake server, 100 unless given.
        as_json: JSON lines, also on a terminal.
    """
    display = display_for(as_json=as_json)
    if os.environ.get("WHEREBY_API_KEY", "").strip():
        if limit is not None:
            raise UsageError("--limit is for the fake server; a real account has its own (WHEREBY_API_KEY is set)")
        return asyncio.run(look(display, live=live))
    if live:
        raise UsageError("--live needs an account: set WHEREBY_API_KEY")
    asyncio.run(_show_fake(display, limit or _LIMIT))
    return ExitCode.OK


async def _show_fake(display: Display, limit: int) -> None:
    started_at = monotonic()
    log = CallLog()
    async with (
        FakeWhereby(limit=limit, period=_PERIOD, processing_time=_PROCESSING) as fake,
        fake.client(hooks=[log]) as client,
    ):
        fill(fake)
        display.say(
            "notice",
            f"A fake Whereby listens on {fake.url}: {limit} points every {_PERIOD:g} s (the real one: every 60 s). The real"
            " client talks to it over real sockets; nothing leaves this machine.",
            base_url=fake.url,
            limit=limit,
            period=_PERIOD,
        )
        guide = Guide(display, log)
        meeting = await Tour(client, guide).run()
        await burst(client, guide, meeting.meeting_id, calls=limit + _BEYOND, period=_PERIOD)
    _sum_up(display, log, fake, seconds=monotonic() - started_at, waited=guide.waited)


def _sum_up(display: Display, log: CallLog, fake: FakeWhereby, *, seconds: float, waited: float) -> None:
    requests = fake.requests
    operations = len({request.operation for request in requests})
    display.say("step", "In all")
    display.say(
        "summary",
        f"the client says: {log.calls} calls, {log.points} points, {log.throttled} times 429\n"
        f"the server says: {len(requests)} calls, {fake.points_spent} points, {fake.throttled} times 429\n"
        f"{operations} operations in {seconds:.1f} s, {waited:.1f} s of them waiting for points",
        calls=log.calls,
        points=log.points,
        throttled=log.throttled,
        seconds=round(seconds, 3),
        waited=round(waited, 3),
        operations=operations,
        server={"calls": len(requests), "points": fake.points_spent, "throttled": fake.throttled},
    )
    display.say("next", "Next: `whereby sandbox` keeps such a server up for your own app.")
