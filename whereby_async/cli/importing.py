"""`whereby meetings import`: rooms from a file, CSV or JSON lines. It can be stopped at any moment, and goes on from its journal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter, validators

from ..redaction import redact
from . import values
from .connection import Connection
from .exits import ExitCode, UsageError
from .places import check_apart, check_plain
from .resultfile import ResultFile
from .results import wire
from .rowfile import RowFile
from .work import Bar, Report, counted, duration, look_at_budget, run_long

if TYPE_CHECKING:
    from cyclopts import App

    from ..batch import Outcome
    from ..models import Meeting

_REFRESH: Final = 0.2
"""Seconds between two states of the progress bar."""

_FLAG = Parameter(negative="", show_default=False)
_MANY = Parameter(negative=(), consume_multiple=False, show_default=False)


def register(group: App, name: str) -> None:  # noqa: ARG001 - as every group's
    """Add this command to its group's app."""
    group.command(import_meetings, name="import")


def import_meetings(  # noqa: PLR0913 - the options of a job
    file: str,
    /,
    *,
    journal: str | None = None,
    output: str | None = None,
    key: str | None = None,
    ignore: Annotated[tuple[str, ...], _MANY] = (),
    set_: Annotated[
        tuple[str, ...], Parameter(name="--set", negative=(), consume_multiple=False, show_default=False)
    ] = (),
    field: Annotated[tuple[str, ...], _MANY] = (),
    format_: Annotated[Literal["csv", "jsonl"] | None, Parameter(name="--format")] = None,
    concurrency: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 64,
    retry_failed: Annotated[bool, _FLAG] = False,
    refetch: Annotated[bool, _FLAG] = False,
    dry_run: Annotated[bool, _FLAG] = False,
    connection: Connection = Connection(),  # noqa: B008 - frozen
) -> int:
    """Make a room for each row of a file. Costs 3 points a room.

    Columns are the parameters of meetings create: end_date, room_mode,
    room_name_prefix (29 characters at most here), and so on; endDate is the
    same as end_date. All rows are checked before anything is sent.

    A journal (FILE.journal unless named) notes what was done. Killed at any
    moment and run again, it goes on where it was, and makes no room twice as
    long as the API's list of meetings is complete: a room whose answer was
    lost is found there by ten letters in its name. Results come out as JSON
    lines: by --output, in a pipe, and else in FILE.results.jsonl.

    For example:

        whereby meetings import rooms.csv --dry-run
        whereby meetings import rooms.csv --field hostRoomUrl
        whereby meetings import rooms.jsonl --key customer --ignore note
        whereby meetings import rooms.csv --set end_date=2027-01-01T00:00:00Z
        whereby meetings import rooms.csv --retry-failed

    Args:
        file: CSV with a line of names, or JSON lines; - is stdin.
        journal: The journal; needed to go on with rows from stdin.
        output: Where results go; what is in it is kept.
        key: The column that tells rows apart; their place in the file unless given, which then must stay the same.
        ignore: A column that is nothing to the API; once for each.
        set_: COLUMN=VALUE for rows that do not say it; once for each.
        field: One more field to answer, such as hostRoomUrl; once for each.
        format_: By the file's name unless given.
        concurrency: Calls under way at once.
        retry_failed: Try rows again that failed in an earlier run.
        refetch: Read again what an earlier run has made, links included, for 1 point each; else results have its ids only.
        dry_run: Check the rows, say what they would take, and send nothing but a look at the budget (1 to 3 points).
        connection: How to reach the API.
    """
    defaults: dict[str, Any] = dict(values.pairs("--set", set_) or {})
    if field:
        defaults["fields"] = list(field)
    is_csv = format_ == "csv" if format_ else not file.endswith((".jsonl", ".ndjson", ".json")) and file != values.STDIN
    rows = RowFile(file, is_csv=is_csv, defaults=defaults, key=key, ignored=ignore)
    named = file != values.STDIN
    report = Report(as_json=connection.as_json)
    where = output or (f"{file}.results.jsonl" if named and not report.is_json else None)
    journal = journal or (f"{file}.journal" if named else None)
    if where:
        check_plain("--output", where)
    source = file if named else sys.stdin
    check_apart((("the rows", source), ("the journal", journal), ("the results", where)))
    rows.check()
    if dry_run:
        return run_long(_estimate(rows, connection), "nothing was sent.")
    options = {"concurrency": concurrency, "retry_failed": retry_failed, "refetch": refetch}
    job = _Import(rows, journal, options, report)
    return run_long(job.run(connection, where), job.kept, resumes=job.journal is not None)


class _Import:
    """The job.

    Args:
        rows: The rows, checked.
        journal: The journal's path, if there is to be one.
        options: More options for the batch.
        report: Where it tells of itself.
    """

    def __init__(self, rows: RowFile, journal: str | None, options: dict[str, Any], report: Report) -> None:
        self.journal: str | None = journal
        self._rows = rows
        self._options = options
        self._report = report
        self._counts: dict[str, int] = dict.fromkeys(("made", "adopted", "resumed", "failed", "unknown"), 0)

    @property
    def kept(self) -> str:
        """What an interrupted run leaves."""
        if self.journal is None:
            return "there is no journal, so that the same command would make again what is made: see the results."
        return f"{self.journal} knows what was done."

    async def run(self, connection: Connection, output: str | None) -> int:
        """Make the rooms.

        Args:
            connection: How to reach the API.
            output: The file for the results; stdout otherwise.
        """
        from ..batch import JournalError

        with ResultFile(output, self._report) as results, Bar("rooms") as bar:
            async with connection.client() as client:
                batch = client.batch(
                    client.meetings.create,
                    self._rows,
                    journal=self.journal,
                    key=self._rows.key,
                    on_progress=bar.batch,
                    progress_interval=_REFRESH,
                    **self._options,
                )
                try:
                    async with batch as outcomes:
                        async for outcome in outcomes:
                            self._take(outcome, results)
                except JournalError as error:
                    raise UsageError(str(error)) from None
        self._sum_up(output)
        return self._report.code

    def _take(self, outcome: Outcome[Meeting], results: ResultFile) -> None:
        row: dict[str, Any] = {
            "event": "room",
            "line": self._rows.lines[outcome.index],
            "key": outcome.key,
            "state": outcome.state,
            "resumed": outcome.resumed,
            "adopted": outcome.adopted,
        }
        if outcome.error is None:
            row |= {
                name: value for name, value in wire(outcome.result).items() if value is not None or not outcome.resumed
            }
            self._counts["resumed" if outcome.resumed else "adopted" if outcome.adopted else "made"] += 1
        else:
            row["error"] = redact(str(outcome.error))
            self._counts[outcome.state] += 1
            self._report.failed(outcome.error)
        results.write(row, f"line {row['line']}: {row.get('error')}" if outcome.error else "")

    def _sum_up(self, output: str | None) -> None:
        told = ", ".join(f"{count} {name}" for name, count in self._counts.items() if count or name == "made")
        where = f" Results: {output}." if output else ""
        hint = ""
        if self._counts["resumed"] == len(self._rows) and self.journal:
            hint = f" All was done by an earlier run; to make it again, take {self.journal} away."
        elif self._counts["failed"]:
            hint = " Try the failed ones again with --retry-failed."
        self._report.line(
            {"event": "summary", "rows": len(self._rows), **self._counts, "journal": self.journal, "output": output},
            f"{counted(len(self._rows), 'row')}: {told}.{where}{hint}",
        )


async def _estimate(rows: RowFile, connection: Connection) -> int:
    """Say what the job would take."""
    report = Report(as_json=connection.as_json)
    async with connection.client() as client:
        limit = await look_at_budget(client)
        told = client.estimate(client.meetings.create, len(rows))
    report.line(
        {
            "event": "estimate",
            "rows": len(rows),
            "points": told.points,
            "price": told.price,
            "windows": told.windows,
            "seconds": round(told.seconds, 1),
            "limit": limit,
        },
        f"{counted(len(rows), 'room')} at {told.price} points: {told.points:,} points, about {duration(told.seconds)}"
        f" ({counted(told.windows, 'window')} of {limit:,} points). Nothing was sent; without --dry-run it is.",
    )
    return ExitCode.OK
