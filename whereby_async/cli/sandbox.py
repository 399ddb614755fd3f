"""`whereby sandbox`: a fake Whereby that stays up, to develop an app against without an account."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter, validators

from ..testing import Algorithm, FakeWhereby
from .display import Display, display_for
from .exits import ExitCode, UsageError
from .sample import fill

if TYPE_CHECKING:
    from cyclopts import App

    from ..testing import RecordedRequest

_THROTTLED: Final = 429


def register(whereby: App) -> None:
    """Add this group's commands to the app."""
    whereby.command(sandbox)


def sandbox(  # noqa: PLR0913 - the options of the server
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65_535))] = 8700,
    host: str = "127.0.0.1",
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 1000,
    period: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 60.0,
    algorithm: Algorithm = "fixed",
    empty: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Keep a fake Whereby up, to develop against without an account.

    It has all 27 operations and enforces points; its state is in memory and
    gone when it ends. It prints the two variables that lead a client to it,
    then a line for each request. Ctrl-C ends it.

    For example:

        whereby sandbox
        whereby sandbox --port 9000 --limit 100 --period 10
        whereby sandbox --empty --json

    Args:
        port: Port to listen on; 0 finds a free one.
        host: Address to listen on, loopback only.
        limit: Points in each window.
        period: Seconds of a window.
        algorithm: How points are counted.
        empty: Start without any meetings, sessions and recordings.
        as_json: JSON lines, also on a terminal.
    """
    if not _is_loopback(host):
        raise UsageError(f"--host {host}: the sandbox speaks plain http, so it listens on loopback addresses only")
    fake = FakeWhereby(limit=limit, period=period, algorithm=algorithm, host=host, port=port)
    if not empty:
        fill(fake)
    asyncio.run(_serve(fake, display_for(as_json=as_json)))
    return ExitCode.OK


async def _serve(fake: FakeWhereby, display: Display) -> None:
    answered: asyncio.Queue[RecordedRequest | None] = asyncio.Queue()
    fake.subscribe(answered.put_nowait)
    try:
        await fake.start()
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # the exception's own words name the address twice
        raise UsageError(f"--host {fake.host} --port {fake.port}: {reason}; --port 0 finds a free one") from None
    calls = points = throttled = 0
    started_at = monotonic()
    try:
        _stop_on_signals(answered)
        _welcome(fake, display)
        while (record := await answered.get()) is not None:
            fake.clear()  # told and counted: so the log does not grow
            calls, points, throttled = calls + 1, points + record.points, throttled + (record.status == _THROTTLED)
            display.request(record)
    finally:
        await fake.aclose()
    seconds = monotonic() - started_at
    display.say("step", "Stopped")
    display.say(
        "summary",
        f"{calls} requests, {points} points, {throttled} times 429, in {seconds:.0f} s.",
        calls=calls,
        points=points,
        throttled=throttled,
        seconds=round(seconds, 3),
    )


def _stop_on_signals(answered: asyncio.Queue[RecordedRequest | None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl-C cancels
            loop.add_signal_handler(number, answered.put_nowait, None)


def _welcome(fake: FakeWhereby, display: Display) -> None:
    display.say(
        "ready",
        f"A fake Whereby listens on {fake.url}: {fake.limit} points every {fake.period:g} s ({fake.algorithm}),"
        f" {len(fake.meetings)} meetings, {len(fake.recordings)} recordings. Ctrl-C ends it.",
        base_url=fake.url,
        api_key=fake.api_key,
        limit=fake.limit,
        period=fake.period,
        algorithm=fake.algorithm,
    )
    display.copyable(f"\nexport WHEREBY_BASE_URL={fake.url}\nexport WHEREBY_API_KEY={fake.api_key}\n")


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
