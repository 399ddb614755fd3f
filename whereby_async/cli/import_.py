"""`whereby meetings import`: rooms from a file, CSV or JSON lines. A journal resumes it wherever it was stopped."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

from cyclopts import Parameter

from .errors import ExitCode, UsageError, in_words
from .global_options import AtLeastOne, Flag, GlobalOptions
from .output import Output, check_apart, check_plain, check_status, counted, duration, naming, wire
from .progress import REFRESH, Bar, ask_for_limit, run_batch, run_long
from .row_file import RowFile
from .values import STDIN, pairs

if TYPE_CHECKING:
    from typing import TextIO

    from ..batch import Outcome
    from ..models import Meeting

_REFETCH: Final = (
    "Read again what an earlier run has made, links included, for 1 point each; else results have its ids only."
)
_Several: TypeAlias = Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=False, show_default=False)]


def import_meetings(  # noqa: PLR0913 - the options of a job
    file: str,
    /,
    *,
    journal: str | None = None,
    output: str | None = None,
    key: str | None = None,
    ignore: _Several = (),
    set_: Annotated[_Several, Parameter(name="--set")] = (),
    field: _Several = (),
    format_: Annotated[Literal["csv", "jsonl"] | None, Parameter(name="--format")] = None,
    concurrency: AtLeastOne = 64,
    retry_failed: Flag = False,
    refetch: Annotated[Flag, Parameter(help=_REFETCH)] = False,
    same_organisation: Flag = False,
    absent_after: float | None = None,
    dry_run: Flag = False,
    options: GlobalOptions = GlobalOptions(),  # noqa: B008 - frozen
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
        refetch: Read again what an earlier run has made.
        same_organisation: Go on with a journal that was made with another API key of the same organisation.
        absent_after: Seconds for which a room whose answer was lost is looked for, before it is made again.
        dry_run: Check the rows, say what they would take, and send nothing but a look at the budget (1 to 3 points).
        options: How to reach the API.
    """
    defaults: dict[str, Any] = dict(pairs("--set", set_) or {})
    if field:
        defaults["fields"] = list(field)
    is_file = file != STDIN
    is_csv = format_ == "csv" if format_ else is_file and not file.endswith((".jsonl", ".ndjson", ".json"))
    rows = RowFile(file, is_csv=is_csv, defaults=defaults, key=key, ignored=ignore)
    stdout = options.output()
    results = output or (f"{file}.results.jsonl" if is_file and not stdout.is_json else None)
    journal = journal or (f"{file}.journal" if is_file else None)
    if results:
        check_plain("--output", results)
    check_apart((("the rows", file if is_file else sys.stdin), ("the journal", journal), ("the results", results)))
    rows.check()
    if dry_run:
        return run_long(_estimate(rows, options, stdout), "nothing was sent.")
    job = _Import(rows, journal, ResultFile(results, stdout), stdout)
    batch_options = {
        "concurrency": concurrency,
        "retry_failed": retry_failed,
        "refetch": refetch,
        "same_organisation": same_organisation,
        "absent_after": absent_after,
    }
    kept = f"{journal} knows what was done."
    if journal is None:
        kept = "there is no journal, so that the same command would make again what is made: see the results."
    return run_long(job.run(options, batch_options), kept, resumes=journal is not None)


async def _estimate(rows: RowFile, options: GlobalOptions, stdout: Output) -> int:
    async with options.client(is_long=True) as client:
        limit = await ask_for_limit(client)
        estimate = client.estimate(client.meetings.create, len(rows))
    stdout.line(
        {
            "event": "estimate",
            "rows": len(rows),
            "points": estimate.points,
            "price": estimate.price,
            "windows": estimate.windows,
            "seconds": round(estimate.seconds, 1),
            "limit": limit,
        },
        f"{counted(len(rows), 'room')} at {estimate.price} points: {estimate.points:,} points,"
        f" about {duration(estimate.seconds)} ({counted(estimate.windows, 'window')} of {limit:,} points)."
        " Nothing was sent; without --dry-run it is.",
    )
    return ExitCode.OK


class _Import:
    """One import: makes the rooms, and counts what became of the rows."""

    def __init__(self, rows: RowFile, journal: str | None, results: ResultFile, stdout: Output) -> None:
        self._rows = rows
        self._journal = journal
        self._results = results
        self._stdout = stdout
        self._counts: dict[str, int] = dict.fromkeys(("made", "adopted", "resumed", "failed", "unknown"), 0)

    async def run(self, options: GlobalOptions, batch_options: dict[str, Any]) -> int:
        from ..batch import JournalError

        with self._results, Bar("rooms") as bar:
            async with options.client(is_long=True) as client:
                batch = client.batch(
                    client.meetings.create,
                    self._rows,
                    journal=self._journal,
                    key=self._rows.key,
                    on_progress=bar.show_batch,
                    progress_interval=REFRESH,
                    **batch_options,
                )
                try:
                    await run_batch(batch, self._take)
                except JournalError as error:
                    raise UsageError(in_words(error)) from None
        self._sum_up()
        return self._stdout.code

    def _take(self, outcome: Outcome[Meeting]) -> None:
        row: dict[str, Any] = {
            "event": "room",
            "line": self._rows.lines[outcome.index],
            "key": outcome.key,
            "state": outcome.state,
            "resumed": outcome.resumed,
            "adopted": outcome.adopted,
        }
        if outcome.error is None:
            fields = wire(outcome.result)
            row |= {name: value for name, value in fields.items() if value is not None or not outcome.resumed}
            self._counts["resumed" if outcome.resumed else "adopted" if outcome.adopted else "made"] += 1
        else:
            row["error"] = self._stdout.failed(outcome.error)
            self._counts[outcome.state] += 1
        self._results.write(row, f"line {row['line']}: {row['error']}" if outcome.error else "")

    def _sum_up(self) -> None:
        count, path = len(self._rows), self._results.path
        counts = ", ".join(f"{number} {name}" for name, number in self._counts.items() if number or name == "made")
        where = f" Results: {path}." if path else ""
        hint = ""
        if self._counts["resumed"] == count and self._journal:
            hint = f" All was done by an earlier run; to make it again, take {self._journal} away."
        elif self._counts["failed"]:
            hint = " Try the failed ones again with --retry-failed."
        self._stdout.line(
            {"event": "summary", "rows": count, **self._counts, "journal": self._journal, "output": path},
            f"{counted(count, 'row')}: {counts}.{where}{hint}",
        )


class ResultFile:
    """JSON lines in a file that only its owner reads, or on stdout; a second run adds what the file does not have.

    Args:
        path: The file, made with mode 0600 since results may hold room keys; `None` is stdout.
        stdout: Where failures are printed, and results if there is no file.
    """

    def __init__(self, path: str | None, stdout: Output) -> None:
        self.path: str | None = path
        self._stdout = stdout
        self._file: TextIO | None = None
        self._present: set[str] = set()

    def __enter__(self) -> Self:
        if self.path is not None:
            self._file = _opened(self.path)
            self._file.seek(0)
            line = ""
            for line in self._file:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    row: dict[str, Any] = json.loads(line)
                    if row["state"] == "ok":
                        self._present.add(row["key"])
            if line and not line.endswith("\n"):
                self._file.write("\n")  # so that a torn last line stands alone
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk was told of by `write`, and takes no more now
                self._file.close()

    def write(self, row: dict[str, Any], words: str) -> None:
        """Keep a row, and say `words` of it on a terminal; a done row that the file holds is not written again."""
        if self._file is None or self.path is None:
            self._stdout.line(row, words or json.dumps(row))
            return
        if not (row["resumed"] and row["key"] in self._present):
            with naming(self.path):
                self._file.write(json.dumps(row) + "\n")
                self._file.flush()
        if words:
            self._stdout.line(row, words)


def _opened(path: str) -> TextIO:
    """Open a file to append to it. A device is refused before it is read, since it may have no end."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
    number = os.open(path, flags, 0o600)
    try:
        check_status("--output", path, os.fstat(number))
    except BaseException:
        os.close(number)
        raise
    return os.fdopen(number, "a+", encoding="utf-8", errors="replace")
