"""`whereby meetings purge`: deletes the meetings that filters pick.

It lists all meetings before it deletes any: the list's cursors are offsets, so deleting while reading skips rows. It
checks each row again, because the server may ignore the filter by name. A meeting of which something could not be read,
such as its end, or that has a date from before the year 2000, is never picked, whatever the filters: it is counted.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from cyclopts import Parameter

from .errors import UsageError
from .global_options import AtLeastOne, Flag, GlobalOptions
from .keys import interruptible
from .output import Output, counted, duration, wire
from .progress import REFRESH, Bar, ask_for_limit, run_batch, run_long
from .values import date_of, is_believed

if TYPE_CHECKING:
    from .. import WherebyClient
    from ..batch import Outcome
    from ..models import Meeting

_EXAMPLES: Final = 3
_COLUMNS: Final = "meetingId roomName endDate startDate"


def purge(  # noqa: PLR0913 - the options of a job
    *,
    name_starts_with: str | None = None,
    ended_before: str | None = None,
    created_before: str | None = None,
    everything: Flag = False,
    yes: Annotated[bool, Parameter(name=("--yes", "-y"), negative="", show_default=False)] = False,
    dry_run: Flag = False,
    concurrency: AtLeastOne = 32,
    options: GlobalOptions = GlobalOptions(),  # noqa: B008 - frozen
) -> int:
    """Delete the meetings that all of the filters pick. Costs 2 points each.

    Everybody in their rooms is thrown out at once. It lists first (1 point a
    page), shows how many there are, and asks; then it deletes. Stopped in
    the middle it leaves the rest; run again, it goes on with that. Meetings
    with a value that can not be read, such as a date, or with a date from
    before the year 2000 are left alone.

    For example:

        whereby meetings purge --ended-before +0d --dry-run
        whereby meetings purge --name-starts-with /test-
        whereby meetings purge --created-before=-30d --yes --json
        whereby meetings purge --everything

    Args:
        name_starts_with: Only rooms whose name starts so, leading slash included.
        ended_before: Only meetings whose end is before: 2026-12-01T00:00:00Z, or from now, as in --ended-before=-7d.
        created_before: Only meetings that were made before.
        everything: All meetings, if there is no filter.
        yes: Do not ask.
        dry_run: Show them, and delete nothing.
        concurrency: Calls under way at once.
        options: How to reach the API.
    """
    if not (name_starts_with or ended_before or created_before or everything):
        raise UsageError("no filter: pass one, such as --name-starts-with /test-, or --everything")
    filters = _Filters(
        name_starts_with or "", date_of("--ended-before", ended_before), date_of("--created-before", created_before)
    )
    work = _purge(options, filters, concurrency, dry_run=dry_run, asks=not yes)
    return run_long(work, "what is deleted is deleted.")


class _Filters(NamedTuple):
    """Which meetings are meant."""

    prefix: str
    ended_before: datetime | None
    created_before: datetime | None

    def pick(self, meeting: Meeting) -> bool:
        """Whether a meeting is meant; one that lacks what a filter asks about is not."""
        return (
            (not self.prefix or (meeting.room_name or "").startswith(self.prefix))
            and _is_before(meeting.end_date, self.ended_before)
            and _is_before(meeting.start_date, self.created_before)
        )


def _is_before(moment: datetime | None, limit: datetime | None) -> bool:
    return limit is None or (moment is not None and moment.astimezone(UTC) < limit)


async def _purge(options: GlobalOptions, filters: _Filters, concurrency: int, *, dry_run: bool, asks: bool) -> int:
    output = options.output(_COLUMNS)
    async with options.client(is_long=True) as client:
        meetings, unreadable = await _picked(client, filters)
        if not meetings:
            row = {"event": "summary", "picked": 0, "deleted": 0, "failed": 0, "unreadable": unreadable}
            output.line(row, f"No meeting is picked{_left_alone(unreadable)}.")
        elif dry_run:
            await _estimate(client, meetings, unreadable, output)
        else:
            if asks:
                _ask(meetings)
            await _delete(client, meetings, unreadable, concurrency, output)
    return output.code


def _left_alone(unreadable: int) -> str:
    return f"; {counted(unreadable, 'meeting')} left alone, of which something could not be read" if unreadable else ""


async def _picked(client: WherebyClient, filters: _Filters) -> tuple[dict[str, Meeting], int]:
    """All meetings that are picked, by id, and how many could not be read whole."""
    picked: dict[str, Meeting] = {}
    seen = unreadable = 0
    with Bar("listing") as bar:
        async for page in client.meetings.list(name_starts_with=filters.prefix or None).pages():
            seen += len(page.results)
            odd = {value.row for value in page.unreadable}
            odd.update(row for row, meeting in enumerate(page.results) if _has_wrong_date(meeting))
            unreadable += len(odd)
            whole = (meeting for row, meeting in enumerate(page.results) if row not in odd)
            picked |= {meeting.meeting_id: meeting for meeting in whole if filters.pick(meeting)}
            bar.show(seen, None, f"{len(picked):,} picked")
    return picked, unreadable


def _has_wrong_date(meeting: Meeting) -> bool:
    return any(date is not None and not is_believed(date) for date in (meeting.start_date, meeting.end_date))


async def _estimate(client: WherebyClient, meetings: dict[str, Meeting], unreadable: int, output: Output) -> None:
    await ask_for_limit(client)
    estimate = client.estimate(client.meetings.delete, len(meetings))
    output.rows([{"event": "picked", **wire(meeting)} for meeting in meetings.values()])
    output.line(
        {
            "event": "estimate",
            "picked": len(meetings),
            "points": estimate.points,
            "seconds": round(estimate.seconds, 1),
            "unreadable": unreadable,
        },
        f"{counted(len(meetings), 'meeting')}, {estimate.points} points, about {duration(estimate.seconds)}"
        f"{_left_alone(unreadable)}. Nothing was deleted.",
    )


def _ask(meetings: dict[str, Meeting]) -> None:
    """Ask whether to go on.

    Raises:
        UsageError: The answer is no, or there is nobody to ask.
    """
    count = counted(len(meetings), "meeting")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{count} would be deleted, and there is no terminal to ask on: pass --yes, or --dry-run")
    some = ", ".join(str(meeting.room_name) for meeting in list(meetings.values())[:_EXAMPLES])
    print(f"{count}, such as {some}. Whoever is in their rooms is thrown out.", file=sys.stderr)
    with interruptible():
        print("Delete them? [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline().strip().lower()
    if answer not in {"y", "yes"}:
        raise UsageError("nothing was deleted")


async def _delete(
    client: WherebyClient, meetings: dict[str, Meeting], unreadable: int, concurrency: int, output: Output
) -> None:
    deleted = 0

    def take(outcome: Outcome[None]) -> None:
        nonlocal deleted
        deleted += outcome.ok
        _show(meetings[outcome.key], outcome, output)

    with Bar("deleted") as bar:
        batch = client.batch(
            client.meetings.delete,
            [{"meeting_id": meeting_id} for meeting_id in meetings],
            concurrency=concurrency,
            key="meeting_id",
            on_progress=bar.show_batch,
            progress_interval=REFRESH,
        )
        await run_batch(batch, take)
    failed = len(meetings) - deleted
    failures = f", {failed} failed" if failed else ""
    output.line(
        {
            "event": "summary",
            "picked": len(meetings),
            "deleted": deleted,
            "failed": failed,
            "unreadable": unreadable,
        },
        f"{deleted:,} of {counted(len(meetings), 'meeting')} deleted{failures}{_left_alone(unreadable)}.",
    )


def _show(meeting: Meeting, outcome: Outcome[None], output: Output) -> None:
    row: dict[str, Any] = {"meetingId": meeting.meeting_id, "roomName": meeting.room_name}
    if outcome.error is None:
        output.line({"event": "deleted", **row})
        return
    words = output.failed(outcome.error)
    output.line({"event": "failed", **row, "error": words}, f"{meeting.meeting_id}: {words}")
