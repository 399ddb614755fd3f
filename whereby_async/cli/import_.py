"""`whereby meetings import`: rooms from a file, CSV or JSON. A journal resumes it wherever it was stopped."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, cast

from cyclopts import Parameter

from ..errors import NotFoundError
from ..notify import logger
from .errors import ExitCode, UsageError, in_words, is_quiet, tell
from .global_options import AtLeastOne, Flag, GlobalOptions, Several
from .output import (
    MOVED,
    Output,
    check_apart,
    check_plain,
    check_status,
    counted,
    duration,
    is_at,
    keep_others_out,
    naming,
    wire,
)
from .progress import NO_SPACE, REFRESH, Bar, ask_for_limit, run_batch, run_long
from .row_file import RowFile
from .values import STDIN, pairs, path_of

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..batch import Outcome
    from ..models import Meeting

_REFETCH: Final = (
    "Read again what an earlier run has made, links included, for 1 point each; else results have its ids only."
)
_SHOWN_LINES: Final = 10
_ROOM: Final = "meetingId"
_LINK: Final = "roomUrl"
_START: Final = b'{"event": "room", '


def import_meetings(  # noqa: PLR0913 - the options of a job
    file: str,
    /,
    *,
    journal: str | None = None,
    output: str | None = None,
    key: str | None = None,
    ignore: Several = (),
    set_: Annotated[Several, Parameter(name="--set")] = (),
    field: Several = (),
    format_: Annotated[Literal["csv", "jsonl"] | None, Parameter(name="--format")] = None,
    concurrency: AtLeastOne = 64,
    no_lock: Flag = False,
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
    lines: by --output, in a pipe, and else in FILE.results.jsonl, or on the
    screen, with their links, if FILE is read only once (-, a FIFO or <(...)).

    For example:

        whereby meetings import rooms.csv --dry-run
        whereby meetings import rooms.csv --field hostRoomUrl
        whereby meetings import rooms.jsonl --key customer --ignore note
        whereby meetings import rooms.csv --set end_date=2027-01-01T00:00:00Z
        whereby meetings import rooms.csv --retry-failed

    Args:
        file: CSV with a line of names, JSON lines or a JSON array; - is stdin.
        journal: The journal; to be named for what can be read only once, such as stdin or a pipe.
        output: Where results go, one row for each key; other lines in it are kept.
        key: The column that tells rows apart; their place in the file unless given, which then must stay the same. The
            room of a row that changes under its key stays as it is, which is told.
        ignore: A column that is nothing to the API, spelled either way; once for each.
        set_: COLUMN=VALUE for rows that do not say it; once for each.
        field: One more field to answer, such as hostRoomUrl, for all rows; once for each.
        format_: By the file's name or content unless given.
        concurrency: Calls under way at once.
        no_lock: Use a journal that can not be locked, as on some network drives; two imports on one make rooms twice.
        retry_failed: Try rows again that failed in an earlier run.
        refetch: Read again what an earlier run has made.
        same_organisation: Go on with a journal that was made with another API key of the same organisation.
        absent_after: Seconds for which a room whose answer was lost is looked for, before it is made again.
        dry_run: Check the rows, say what they would take, and send nothing but a look at the budget (1 to 3 points).
        options: How to reach the API.
    """
    defaults = pairs("--set", set_) or {}
    rows = RowFile(file, format_=format_, defaults=defaults, fields=field, key=key, ignored=ignore)
    stdout = options.output()
    results = output or (None if rows.is_once or stdout.is_json else f"{file}.results.jsonl")
    if journal is not None and not path_of("--journal", journal).parent.is_dir():
        raise UsageError(f"--journal {journal}: there is no directory {Path(journal).parent}: make it first")
    journal = journal or (None if rows.is_once else f"{file}.journal")
    if results:
        check_plain("--output", results)
    check_apart(
        (("the rows", sys.stdin if file == STDIN else file), ("the journal", journal), ("the results", results))
    )
    if journal is None and not dry_run:
        raise UsageError(
            f"{rows.name} can be read only once, and has no place for a journal beside it: name one by --journal, by"
            " which an import that was stopped is gone on with"
        )
    with rows:
        rows.check(journal)
        for name in sorted(rows.unmatched):
            tell(f"--ignore {name}: no column is called so")
        if rows.changed:
            lines = ", ".join(map(str, rows.changed[:_SHOWN_LINES])) + " …" * (len(rows.changed) > _SHOWN_LINES)
            count = counted(len(rows.changed), "row")
            tell(f"{count} changed since an earlier import, whose rooms stay as they were: line {lines}")
        if dry_run:
            return run_long(_estimate(rows, options, stdout, retry_failed=retry_failed), "nothing was sent.")
        job = _Import(rows, journal, ResultFile(results, stdout, lock=not no_lock, keyed=key is not None), stdout)
        batch_options = {
            "concurrency": concurrency,
            "lock": not no_lock,
            "retry_failed": retry_failed,
            "refetch": refetch,
            "same_organisation": same_organisation,
            "absent_after": absent_after,
        }
        try:
            return run_long(job.run(options, batch_options), f"{journal} knows what was done.")
        finally:
            if rows.has_changed:
                changed = f"{file} has changed or is gone since it was read"
                tell(f"{changed}: what was sent are the rows that were checked")


async def _estimate(rows: RowFile, options: GlobalOptions, stdout: Output, *, retry_failed: bool) -> int:
    made, failed, unknown = (rows.states[state] for state in ("ok", "failed", "unknown"))
    left = 0 if retry_failed else failed
    async with options.client(is_long=True) as client:
        limit = await ask_for_limit(client)
        count = len(rows) - made - left - unknown
        estimate = client.estimate(client.meetings.create, count)
    words = (
        (made, "made"),
        (left, "failed (tried again by --retry-failed only)"),
        (unknown, "unknown (looked for, not made again)"),
    )
    earlier = ", ".join(f"{number} {what}" for number, what in words if number)
    stdout.line(
        {
            "event": "estimate",
            "rows": len(rows),
            "made": made,
            "failed": failed,
            "unknown": unknown,
            "points": estimate.points,
            "price": estimate.price,
            "windows": estimate.windows,
            "seconds": round(estimate.seconds, 1),
            "limit": limit,
        },
        f"{counted(count, 'room')} at {estimate.price} points: {estimate.points:,} points,"
        f" about {duration(estimate.seconds)} ({counted(estimate.windows, 'window')} of {limit:,} points)."
        f"{earlier and f' Of earlier runs: {earlier}.'} Nothing was sent; without --dry-run it is.",
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
                    cause = error.__cause__
                    if self._journal is not None and isinstance(cause, OSError) and cause.errno in NO_SPACE:
                        with naming(self._journal):
                            raise cause from None
                    raise UsageError(in_words(error)) from None
        self._sum_up()
        if self._results.is_lost:
            raise UsageError(f"{self._results.path} {MOVED}: have its rows written again by --refetch")
        return self._stdout.code

    def _take(self, outcome: Outcome[Meeting]) -> None:
        from ..batch import EarlierFailureError, OutcomeUnknownError

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
        # A room of an earlier run that could not be read now is still there, unless the API says that it is not.
        overrules = (
            not outcome.resumed
            or outcome.ok
            or isinstance(outcome.error, EarlierFailureError | OutcomeUnknownError | NotFoundError)
        )
        if outcome.resumed and isinstance(outcome.error, NotFoundError):
            self._results.gone.add(outcome.key)
        self._results.write(row, f"line {row['line']}: {row['error']}" if outcome.error else "", overrules=overrules)

    def _sum_up(self) -> None:
        count, path = len(self._rows), self._results.path
        counts = ", ".join(f"{number} {name}" for name, number in self._counts.items() if number or name == "made")
        bare = self._results.bare
        where = f" Results: {path}." if path else ""
        hint = ""
        if self._counts["resumed"] == count and self._journal:
            hint = f" All was done by an earlier run; to make it again, take {self._journal} away."
        elif self._counts["failed"] > len(self._results.gone):
            hint = " Try the failed ones again with --retry-failed."
        if gone := len(self._results.gone):
            hint += f" {counted(gone, 'room')} of earlier runs no longer there; {self._results.makes_again}."
        if bare:
            hint += f" {counted(bare, 'result')} without links: --refetch reads them, for 1 point a row."
        hint = "" if is_quiet.get() else hint
        facts = {"rows": count, **self._counts, "bare": bare, "journal": self._journal, "output": path}
        self._stdout.line({"event": "summary", **facts}, f"{counted(count, 'row')}: {counts}.{where}{hint}")


class ResultFile:
    """JSON lines in a file that only its owner reads, or on stdout.

    A row is appended as soon as it is known. What it says of a room that the file knows is added to what stands there,
    and nothing is written if that is nothing new. At the end the file is replaced by one without the rows that a later
    one of the same key has overruled; lines that are no results stay. A run that is killed before leaves all of them,
    and the next one puts the file in order.

    Overruled rows of other rooms, such as those of a journal that was taken away, go to `PATH.old`: this may be all
    that is known of them.

    Args:
        path: The file, made with mode 0600 since results may hold room keys; `None` is stdout.
        stdout: Where failures are printed, and results if there is no file.
        lock: Refuse a file that another import is writing.
        keyed: Rows are told apart by a column.

    Attributes:
        path: The file.
        gone: Keys of rooms that the journal knows and the API does not.
        makes_again: What makes those again.
        bare: How many of the rows that were written are left without their room's link, as it is not in the journal.
        is_lost: Whether the file was no longer at its path at the end.
    """

    def __init__(self, path: str | None, stdout: Output, *, lock: bool = True, keyed: bool = False) -> None:
        self.path: str | None = path
        self.gone: set[str] = set()
        self.makes_again: str = "a new --journal makes all rooms again"
        if keyed:
            self.makes_again += ", and another key for a row makes its own"
        self._stdout = stdout
        self._lock = lock
        self._keyed = keyed
        self._file: BinaryIO | None = None
        self._last: dict[str, tuple[int, str | None]] = {}
        """Where the last row of each key begins, and the room that it names."""
        self._is_overruled = False
        self.bare: int = 0
        self.is_lost: bool = False

    def __enter__(self) -> Self:
        if self.path is not None:
            self._file = _opened(self.path)
            try:
                self._read(self._file, self.path)
            except BaseException:
                self._file.close()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is None or self.path is None:
            return
        self.is_lost = not is_at(self.path, self._file)
        try:
            if self._is_overruled and not self.is_lost:
                self._tidy(self._file, self.path)
        except OSError as trouble:
            logger.warning(
                "%s could not be put in order (%s): of rows with the same key the last one counts",
                *(self.path, trouble.strerror or trouble),
            )
        finally:
            with contextlib.suppress(OSError):  # a full disk was told of by `write`, and takes no more now
                self._file.close()

    def _read(self, file: BinaryIO, path: str) -> None:
        if self._lock and Path(path).is_file() and not (keep_others_out(file) and is_at(path, file)):
            raise UsageError(f"--output {path}: another import is writing into it")
        line = b""
        offset = file.seek(0)
        for line in file:
            if (row := _result(line)) is not None:
                self._note(row, offset)
            offset += len(line)
        if line and not line.endswith(b"\n"):
            if _result(line) is None and (line.startswith(_START) or _START.startswith(line)):
                file.truncate(offset - len(line))  # a row of ours, which the disk had no space for
            else:
                file.write(b"\n")
                file.flush()

    def _note(self, row: dict[str, Any], offset: int) -> None:
        self._is_overruled |= row["key"] in self._last
        self._last[row["key"]] = offset, row.get(_ROOM)

    def write(self, row: dict[str, Any], words: str, *, overrules: bool = True) -> None:
        """Keep a row, and say `words` of it on a terminal.

        Args:
            row: The row.
            words: What a terminal shows of it.
            overrules: Whether it counts more than what the file holds of its key.
        """
        if self._file is None or self.path is None:
            self._stdout.line(row, words or json.dumps(row))
            return
        if overrules or row["key"] not in self._last:
            with naming(self.path):
                row_now = self._append(self._file, row)
            self.bare += row_now.get(_ROOM) is not None and _LINK not in row_now
        if words:
            self._stdout.line(row, words)

    def _append(self, file: BinaryIO, row: dict[str, Any]) -> dict[str, Any]:
        """Add what is new; the row that stands there then."""
        offset, room = self._last.get(row["key"], (0, None))
        if row["key"] in self._last and room == row.get(_ROOM):
            file.seek(offset)
            before = _result(file.readline()) or {}
            news = {name: value for name, value in row.items() if _is_news(name, value)}
            if news.items() <= before.items():
                return before
            row = {**row, **before, **news}
        offset = file.seek(0, os.SEEK_END)
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        self._note(row, offset)
        return row

    def _tidy(self, file: BinaryIO, path: str) -> None:
        """Put a file in the place of this one that has the last row of each key only."""
        place = Path(os.path.realpath(path))
        others = dict.fromkeys((False, True), 0)
        with contextlib.ExitStack() as stack:
            number, name = tempfile.mkstemp(dir=place.parent, prefix=f"{place.name}.")
            new = Path(name)
            stack.callback(new.unlink, missing_ok=True)
            tidy = stack.enter_context(os.fdopen(number, "wb"))
            with contextlib.suppress(OSError):  # not all file systems keep modes
                new.chmod(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
            old: BinaryIO | None = None
            offset = file.seek(0)
            for line in file:
                row = _result(line)
                last, room = (offset, None) if row is None else self._last[row["key"]]
                if offset == last:
                    tidy.write(line)
                elif row is not None and row.get(_ROOM) not in {None, room}:
                    old = old or stack.enter_context(_opened(f"{path}.old"))
                    old.write(line)
                    others[row["key"] in self.gone] += 1
                offset += len(line)
            for each in filter(None, (old, tidy)):
                each.flush()
                os.fsync(each.fileno())
            if sys.platform == "win32":  # pragma: no cover - where an open file can not be replaced
                tidy.close()
                file.close()
            new.replace(place)
        wanted = (
            f"if those are wanted too, {'' if self._keyed else 'tell rows apart by --key, or '}name another --output"
        )
        for is_gone, count in others.items():
            which = "are no longer there" if is_gone else "their keys do not stand for any more"
            if count:
                logger.warning(
                    "%s of rooms that %s went from %s to %s.old; %s",
                    *(counted(count, "row"), which, path, path, self.makes_again if is_gone else wanted),
                )


def _result(line: bytes) -> dict[str, Any] | None:
    """The row of a line; `None` if it is no result."""
    with contextlib.suppress(ValueError, RecursionError):
        row: object = json.loads(line)
        if isinstance(row, dict):
            fields = cast("dict[str, Any]", row)
            if isinstance(fields.get("key"), str) and "state" in fields and isinstance(fields.get(_ROOM), str | None):
                return fields
    return None


def _is_news(name: str, value: object) -> bool:
    """Whether a field of a row of the same room counts more than what is known; how it was made is known best then."""
    return value is not None and name not in {"resumed", "adopted"}


def _opened(path: str) -> BinaryIO:
    """Open a file to append to it. A device is refused before it is read, since it may have no end."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
    number = os.open(path, flags, 0o600)
    try:
        check_status("--output", path, os.fstat(number))
    except BaseException:
        os.close(number)
        raise
    return os.fdopen(number, "a+b")
