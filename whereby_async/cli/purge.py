"""`whereby meetings purge`: deletes the meetings that filters pick. It lists them all first, and only then deletes.

The list's cursors are offsets: rows that are deleted while one pages make it skip others. And the server may ignore a filter by
name, so each row is looked at here once more: nothing is deleted that was not asked for.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter, validators

from ..redaction import redact
from . import values
from .connection import Connection
from .exits import ExitCode, UsageError
from .keys import interruptible
from .results import results_for, wire
from .work import Bar, Report, counted, duration, look_at_budget, run_long

if TYPE_CHECKING:
    from cyclopts import App

    from .. import WherebyClient
    from ..models import Meeting

_FLAG = Parameter(negative="", show_default=False)
_REFRESH: Final = 0.2
_EXAMPLES: Final = 3
_COLUMNS: Final = ("meetingId", "roomName", "endDate", "startDate")


def register(group: App, name: str) -> None:  # noqa: ARG001 - as every group's
    """Add this command to its group's app."""
    group.command(purge)


def purge(  # noqa: PLR0913 - the options of a job
    *,
    name_starts_with: str | None = None,
    ended_before: str | None = None,
    created_before: str | None = None,
    everything: Annotated[bool, _FLAG] = False,
    yes: Annotated[bool, Parameter(name=("--yes", "-y"), negative="", show_default=False)] = False,
    dry_run: Annotated[bool, _FLAG] = False,
    concurrency: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 32,
    connection: Connection = Connection(),  # noqa: B008 - frozen
) -> int:
    """Delete the meetings that all of the filters pick. Costs 2 points each.

    Everybody in their rooms is thrown out at once. It lists first (1 point a
    page), shows how many there are, and asks; then it deletes. Stopped in
    the middle it leaves the rest; run again, it goes on with that.

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
        connection: How to reach the API.
    """
    if not (name_starts_with or ended_before or created_before or everything):
        raise UsageError("no filter: pass one, such as --name-starts-with /test-, or --everything")
    chosen = _Choice(
        name_starts_with or "", _moment("--ended-before", ended_before), _moment("--created-before", created_before)
    )
    job = _Purge(chosen, Report(as_json=connection.as_json), connection)
    return run_long(job.run(concurrency, dry_run=dry_run, asks=not yes), "what is deleted is deleted.")


def _moment(option: str, text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(values.moment(option, text))


class _Choice:
    """Which meetings are meant."""

    def __init__(self, prefix: str, ended_before: datetime | None, created_before: datetime | None) -> None:
        self.prefix = prefix
        self._ended_before = ended_before
        self._created_before = created_before

    def picks(self, meeting: Meeting) -> bool:
        """Whether a meeting is meant; one that lacks what a filter asks about is not."""
        return (
            (not self.prefix or (meeting.room_name or "").startswith(self.prefix))
            and _is_before(meeting.end_date, self._ended_before)
            and _is_before(meeting.start_date, self._created_before)
        )


def _is_before(moment: datetime | None, limit: datetime | None) -> bool:
    return limit is None or (moment is not None and moment.astimezone(UTC) < limit)


class _Purge:
    def __init__(self, choice: _Choice, report: Report, connection: Connection) -> None:
        self._choice = choice
        self._report = report
        self._connection = connection

    async def run(self, concurrency: int, *, dry_run: bool, asks: bool) -> int:
        async with self._connection.client() as client:
            meetings = await self._listed(client)
            if not meetings:
                self._report.line({"event": "summary", "picked": 0, "deleted": 0, "failed": 0}, "No meeting is picked.")
                return ExitCode.OK
            if dry_run:
                await self._show(client, meetings)
                return ExitCode.OK
            if asks:
                self._ask(meetings)
            await self._delete(client, meetings, concurrency)
        return self._report.code

    async def _listed(self, client: WherebyClient) -> dict[str, Meeting]:
        """All that are picked, by id: the whole list is read before anything is deleted."""
        picked: dict[str, Meeting] = {}
        seen = 0
        with Bar("listing") as bar:
            async for page in client.meetings.list(name_starts_with=self._choice.prefix or None).pages():
                seen += len(page.results)
                picked |= {meeting.meeting_id: meeting for meeting in page.results if self._choice.picks(meeting)}
                bar.show(seen, None, f"{len(picked):,} picked")
        return picked

    async def _show(self, client: WherebyClient, meetings: dict[str, Meeting]) -> None:
        await look_at_budget(client)
        told = client.estimate(client.meetings.delete, len(meetings))
        show = results_for(as_json=self._connection.as_json, columns=_COLUMNS)
        show.rows([{"event": "picked", **wire(meeting)} for meeting in meetings.values()])
        self._report.line(
            {"event": "estimate", "picked": len(meetings), "points": told.points, "seconds": round(told.seconds, 1)},
            f"{counted(len(meetings), 'meeting')}, {told.points} points, about {duration(told.seconds)}. Nothing was deleted.",
        )

    def _ask(self, meetings: dict[str, Meeting]) -> None:
        """Go on only if told so.

        Raises:
            UsageError: Told otherwise, or there is nobody to ask.
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

    async def _delete(self, client: WherebyClient, meetings: dict[str, Meeting], concurrency: int) -> None:
        deleted = 0
        with Bar("deleted") as bar:
            batch = client.batch(
                client.meetings.delete,
                [{"meeting_id": meeting_id} for meeting_id in meetings],
                concurrency=concurrency,
                key="meeting_id",
                on_progress=bar.batch,
                progress_interval=_REFRESH,
            )
            async with batch as outcomes:
                async for outcome in outcomes:
                    deleted += outcome.ok
                    self._tell(meetings[outcome.key], outcome.error)
        failed = len(meetings) - deleted
        told = f", {failed} failed" if failed else ""
        self._report.line(
            {"event": "summary", "picked": len(meetings), "deleted": deleted, "failed": failed},
            f"{deleted:,} of {counted(len(meetings), 'meeting')} deleted{told}.",
        )

    def _tell(self, meeting: Meeting, error: Exception | None) -> None:
        row: dict[str, Any] = {"meetingId": meeting.meeting_id, "roomName": meeting.room_name}
        if error is None:
            self._report.line({"event": "deleted", **row})
            return
        self._report.failed(error)
        words = redact(str(error))
        self._report.line({"event": "failed", **row, "error": words}, f"{meeting.meeting_id}: {words}")
