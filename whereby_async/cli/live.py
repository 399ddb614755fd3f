"""The demo on a real account: harmless reads, and with `--live` one meeting that is made, themed and deleted again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .. import RetryPolicy, WherebyClient
from ..errors import NotFoundError, PermissionDeniedError
from .calls import CallLog
from .exits import ExitCode
from .guide import Guide

if TYPE_CHECKING:
    from .. import Page, Paginator
    from .display import Display

_PAGE: Final = 10
_TIMEOUT: Final = 15.0
_PATIENCE: Final = 70.0
"""Seconds to wait for points: a little more than the service's window."""

_READS: Final = (
    "It will only read: one page each of meetings, recordings, transcriptions and rooms. Nothing is changed."
)
_WRITES: Final = (
    "It will read one page each of meetings, recordings, transcriptions and rooms; then make one meeting that ends in an"
    " hour, read it, colour its room, and delete it."
)


async def look(display: Display, *, live: bool) -> ExitCode:
    """Show the account that `WHEREBY_API_KEY` opens.

    Args:
        display: Where to show it.
        live: Make a meeting too.

    Returns:
        `API_SAID_NO` if a read was refused, for instance because the plan has no recordings.

    Raises:
        WherebyError: A wrong key, no answer, no points, or a refusal of a write.
    """
    log = CallLog()
    retry = RetryPolicy(attempts=2)
    async with WherebyClient(hooks=[log], max_wait=_PATIENCE, timeout=_TIMEOUT, retry=retry) as client:
        words = f"WHEREBY_API_KEY is set, so this talks to {client.base_url}. {_WRITES if live else _READS}"
        display.say("notice", words, base_url=client.base_url, live=live)
        guide, started_at = Guide(display, log), monotonic()
        refused = await _read(client, guide)
        if live:
            await _write(client, guide)
    _sum_up(display, log, monotonic() - started_at, refused)
    return ExitCode.API_SAID_NO if refused else ExitCode.OK


async def _read(client: WherebyClient, guide: Guide) -> int:
    guide.display.say("step", "Reads")
    refused = 0
    first_pages: tuple[Paginator[Any], ...] = (
        client.meetings.list(page_size=_PAGE),
        client.recordings.list(page_size=_PAGE),
        client.transcriptions.list(page_size=_PAGE),
        client.insights.rooms(page_size=_PAGE),
    )
    for first_page in first_pages:
        try:
            await guide.show(first_page, _rows)
        except (PermissionDeniedError, NotFoundError):
            refused += 1  # shown with the server's words; not every plan has everything
    return refused


async def _write(client: WherebyClient, guide: Guide) -> None:
    guide.display.say("step", "One meeting, from its making to its end")
    end_date = datetime.now(UTC) + timedelta(hours=1)
    meeting = await guide.show(
        client.meetings.create(end_date=end_date, room_name_prefix="demo-", room_name_pattern="human-short"),
        lambda made: str(made.room_name),
    )
    try:
        await guide.show(client.meetings.get(meeting.meeting_id), f"until {end_date:%H:%M} UTC")
        await guide.show(client.rooms.set_theme_tokens(meeting.room_name or "", primary="#0A2540"), "#0A2540")
    finally:
        await guide.show(client.meetings.delete(meeting.meeting_id), "gone")


def _rows(page: Page[Any]) -> str:
    return f"{len(page.results)} rows{', and there are more' if page.cursor else ''}"


def _sum_up(display: Display, log: CallLog, seconds: float, refused: int) -> None:
    display.say("step", "In all")
    text = f"{log.calls} calls, {log.points} points, {log.throttled} refused for want of points, {seconds:.1f} s."
    if refused:
        text += f" {refused} refused by the API: see above."
    display.say(
        "summary",
        text,
        calls=log.calls,
        points=log.points,
        throttled=log.throttled,
        refused=refused,
        seconds=round(seconds, 3),
    )
