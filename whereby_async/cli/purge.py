"""The `purge` commands: they delete the meetings, recordings or transcriptions that filters pick.

A purge lists everything before it deletes anything: the list's cursors are offsets, so deleting while reading skips
rows. It checks each row again, because the server may ignore the filter by name. A row of which something could not be
read, such as its end, or that has a date from before the year 2000, is never picked, whatever the filters: it is
counted. So is a recording or a transcription that is still being made.
"""

from __future__ import annotations

import math
import operator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from .errors import UsageError
from .global_options import AtLeastOne, Flag, GlobalOptions, Yes
from .keys import ask, can_ask
from .output import Output, counted, duration, wire
from .progress import REFRESH, Bar, ask_for_limit, run_batch, run_long
from .values import date_of, is_believed, room_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import WherebyClient
    from ..batch import Estimate, Outcome
    from ..models import Meeting, Recording, Transcription

    Row: TypeAlias = Meeting | Recording | Transcription

_EXAMPLES: Final = 3
_BULK: Final = 100
"""Ids in one call of a bulk delete, as many as a page of a list has; the API states no upper bound."""

_KEPT: Final = "what is deleted is deleted."
_HELP: Final = """Delete the {name}s that all of the filters pick. Costs 3 points for each 100.

It lists first (1 point a page), shows how many there are, and asks; then it
deletes, up to 100 with one call, which the server does in the background.
Stopped in the middle it leaves the rest; run again, it goes on with that.
Left alone are {name}s with a value that can not be read, such as a date,
with a date from before the year 2000, and those that are still being made.

For example:

    whereby {name}s purge --ended-before=-90d --dry-run
    whereby {name}s purge --room-name /weekly --ended-before=-30d
    whereby {name}s purge --ended-before=-90d --yes --json
    whereby {name}s purge --everything

Args:
    room_name: Only of this room, with or without its slash.
    ended_before: Only those of what ended before: 2026-12-01T00:00:00Z, or from now, as in --ended-before=-90d.
    created_before: Only those that were {created} before.
    everything: All of them, if there is no filter.
    yes: Do not ask.
    dry_run: Show them, and delete nothing.
    concurrency: Calls under way at once.
    options: How to reach the API.
"""


class _Kind(NamedTuple):
    """What is purged.

    Attributes:
        name: One of them, such as `meeting`; the resource, its ids and its fields are named after it.
        columns: What a table of them shows.
        room_filter: The keyword of `list` for the room.
        is_of: Whether the name of one's room fits that filter.
        created: The field with the date at which one was made.
        finished: What only one has that is no longer being made; `None` if that makes no difference.
        warning: What happens besides.
    """

    name: str
    columns: str
    room_filter: str
    is_of: Callable[[str, str], bool]
    created: str
    finished: Callable[[Any], object] | None = None
    warning: str = ""


_MEETINGS: Final = _Kind(
    "meeting",
    "meetingId roomName endDate startDate",
    "name_starts_with",
    str.startswith,
    "start_date",
    warning=" Whoever is in their rooms is thrown out.",
)
_RECORDINGS: Final = _Kind(
    "recording",
    "recordingId roomName startDate sizeInMegaBytes filename endDate",
    "room_name",
    str.__eq__,
    "start_date",
    operator.attrgetter("end_date"),
)
_TRANSCRIPTIONS: Final = _Kind(
    "transcription",
    "transcriptionId state roomName createdAt endDate filename type",
    "room_name",
    str.__eq__,
    "created_at",
    operator.attrgetter("is_done"),
)


def purge(  # noqa: PLR0913 - the options of a job
    *,
    name_starts_with: str | None = None,
    ended_before: str | None = None,
    created_before: str | None = None,
    everything: Flag = False,
    yes: Yes = False,
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
        name_starts_with: Only rooms whose name starts so, with or without its slash.
        ended_before: Only meetings whose end is before: 2026-12-01T00:00:00Z, or from now, as in --ended-before=-7d.
        created_before: Only meetings that were made before.
        everything: All meetings, if there is no filter.
        yes: Do not ask.
        dry_run: Show them, and delete nothing.
        concurrency: Calls under way at once.
        options: How to reach the API.
    """
    filters = _filters(_MEETINGS, name_starts_with, ended_before, created_before, everything=everything)
    return run_long(_purge(options, filters, concurrency, dry_run=dry_run, asks=not yes), _KEPT)


def _purge_command(kind: _Kind, created: str) -> Callable[..., int]:
    def purge(  # noqa: PLR0913 - the options of a job
        *,
        room_name: str | None = None,
        ended_before: str | None = None,
        created_before: str | None = None,
        everything: Flag = False,
        yes: Yes = False,
        dry_run: Flag = False,
        concurrency: AtLeastOne = 4,
        options: GlobalOptions = GlobalOptions(),  # noqa: B008 - frozen
    ) -> int:
        filters = _filters(kind, room_name, ended_before, created_before, everything=everything)
        return run_long(_purge(options, filters, concurrency, dry_run=dry_run, asks=not yes), _KEPT)

    purge.__doc__ = _HELP.format(name=kind.name, created=created)
    return purge


purge_recordings: Callable[..., int] = _purge_command(_RECORDINGS, "begun")
purge_transcriptions: Callable[..., int] = _purge_command(_TRANSCRIPTIONS, "made")


class _Filters(NamedTuple):
    """Which of a kind are meant."""

    kind: _Kind
    room: str | None
    ended_before: datetime | None
    created_before: datetime | None

    def pick(self, row: Row) -> bool:
        """Whether a row is meant; one that lacks what a filter asks about is not."""
        return (
            (self.room is None or self.kind.is_of(row.room_name or "", self.room))
            and _is_before(row.end_date, self.ended_before)
            and _is_before(getattr(row, self.kind.created), self.created_before)
        )


def _filters(
    kind: _Kind, room: str | None, ended_before: str | None, created_before: str | None, *, everything: bool
) -> _Filters:
    """The filters from their options.

    Raises:
        UsageError: There is none, and not everything is meant, or one can not be used.
    """
    if (room, ended_before, created_before) == (None, None, None) and not everything:
        raise UsageError("no filter: pass one, such as --ended-before=-30d, or --everything")
    option = "--" + kind.room_filter.replace("_", "-")
    return _Filters(
        kind,
        room_of(option, room),
        date_of("--ended-before", ended_before),
        date_of("--created-before", created_before),
    )


def _is_before(moment: datetime | None, limit: datetime | None) -> bool:
    return limit is None or (moment is not None and moment.astimezone(UTC) < limit)


class _Picked(NamedTuple):
    """What is to be deleted, by id, and how many are left alone and why: `unreadable`, perhaps `unfinished`."""

    kind: _Kind
    rows: dict[str, Row]
    left: dict[str, int]

    @property
    def amount(self) -> str:
        """How many are to be deleted."""
        return counted(len(self.rows), self.kind.name)

    @property
    def left_alone(self) -> str:
        """The end of a sentence."""
        reasons = {"unreadable": "of which something could not be read", "unfinished": "still being made"}
        left = {reasons[reason]: count for reason, count in self.left.items() if count}
        return "".join(f"; {counted(count, self.kind.name)} left alone, {why}" for why, count in left.items())


async def _purge(options: GlobalOptions, filters: _Filters, concurrency: int, *, dry_run: bool, asks: bool) -> int:
    output = options.output(filters.kind.columns)
    async with options.client(is_long=True) as client:
        picked = await _pick(client, filters)
        if not picked.rows:
            row = {"event": "summary", "picked": 0, "deleted": 0, "failed": 0, **picked.left}
            output.line(row, f"No {filters.kind.name} is picked{picked.left_alone}.")
        elif dry_run:
            await _estimate(client, picked, output)
        else:
            if asks:
                _ask(picked)
            await _delete(client, picked, concurrency, output)
    return output.code


async def _pick(client: WherebyClient, filters: _Filters) -> _Picked:
    kind = filters.kind
    picked = _Picked(kind, {}, {"unreadable": 0} if kind.finished is None else {"unreadable": 0, "unfinished": 0})
    seen = 0
    with Bar("listing") as bar:
        async for page in _resource(client, kind).list(**{kind.room_filter: filters.room}).pages():
            seen += len(page.results)
            odd = {value.row for value in page.unreadable}
            odd.update(number for number, row in enumerate(page.results) if _has_wrong_date(row))
            picked.left["unreadable"] += len(odd)
            for number, row in enumerate(page.results):
                if number in odd or not filters.pick(row):
                    continue
                if kind.finished is None or kind.finished(row):
                    picked.rows[getattr(row, f"{kind.name}_id")] = row
                else:
                    picked.left["unfinished"] += 1
            bar.show(seen, None, f"{len(picked.rows):,} picked")
    return picked


def _resource(client: WherebyClient, kind: _Kind) -> Any:
    return getattr(client, f"{kind.name}s")


def _has_wrong_date(row: Row) -> bool:
    dates: list[datetime | None] = [getattr(row, name, None) for name in ("start_date", "end_date", "created_at")]
    return any(date is not None and not is_believed(date) for date in dates)


class _Plan(NamedTuple):
    """How rows are deleted: by which method, which ids with each call, and what that takes."""

    method: Callable[..., Any]
    lots: list[list[str]]
    is_bulk: bool
    estimate: Estimate


def _plan(client: WherebyClient, picked: _Picked) -> _Plan:
    """In bulk where that costs fewer points."""
    resource, ids = _resource(client, picked.kind), list(picked.rows)
    singly = client.estimate(resource.delete, len(ids))
    if hasattr(resource, "bulk_delete"):
        bulk = client.estimate(resource.bulk_delete, math.ceil(len(ids) / _BULK))
        if bulk.points < singly.points:
            lots = [ids[start : start + _BULK] for start in range(0, len(ids), _BULK)]
            return _Plan(resource.bulk_delete, lots, True, bulk)
    return _Plan(resource.delete, [[each] for each in ids], False, singly)


async def _estimate(client: WherebyClient, picked: _Picked, output: Output) -> None:
    await ask_for_limit(client)
    estimate = _plan(client, picked).estimate
    output.rows([{"event": "picked", **wire(row)} for row in picked.rows.values()])
    output.line(
        {
            "event": "estimate",
            "picked": len(picked.rows),
            "points": estimate.points,
            "seconds": round(estimate.seconds, 1),
            **picked.left,
        },
        f"{picked.amount}, {estimate.points} points, about {duration(estimate.seconds)}{picked.left_alone}."
        " Nothing was deleted.",
    )


def _ask(picked: _Picked) -> None:
    """Ask whether to go on.

    Raises:
        UsageError: The answer is no, or there is nobody to ask.
    """
    if not can_ask():
        msg = f"{picked.amount} would be deleted, and there is no terminal to ask on: pass --yes, or --dry-run"
        raise UsageError(msg)
    names = [getattr(row, "filename", None) or row.room_name for row in picked.rows.values()]
    some = ", ".join(map(str, names[:_EXAMPLES]))
    ask(f"{picked.amount}, such as {some}.{picked.kind.warning}", len(names))


async def _delete(client: WherebyClient, picked: _Picked, concurrency: int, output: Output) -> None:
    plan, deleted = _plan(client, picked), 0
    name = picked.kind.name

    def take(outcome: Outcome[None]) -> None:
        nonlocal deleted
        lot = plan.lots[outcome.index]
        deleted += len(lot) * outcome.ok
        words = None if outcome.error is None else output.failed(outcome.error)
        for each in lot:
            row: dict[str, Any] = {f"{name}Id": each, "roomName": picked.rows[each].room_name}
            if words is None:
                output.line({"event": "deleted", **row})
            else:
                output.line({"event": "failed", **row, "error": words}, f"{each}: {words}")

    with Bar("bulk deletes" if plan.is_bulk else "deleted") as bar:
        batch = client.batch(
            plan.method,
            [{"ids": lot} if plan.is_bulk else {f"{name}_id": lot[0]} for lot in plan.lots],
            concurrency=concurrency,
            on_progress=bar.show_batch,
            progress_interval=REFRESH,
        )
        await run_batch(batch, take)
    failed = len(picked.rows) - deleted
    failures = f", {failed} failed" if failed else ""
    output.line(
        {"event": "summary", "picked": len(picked.rows), "deleted": deleted, "failed": failed, **picked.left},
        f"{deleted:,} of {picked.amount} deleted{failures}{picked.left_alone}.",
    )
