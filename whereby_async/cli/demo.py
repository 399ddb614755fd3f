"""`whereby demo`: shows the client's calls one by one, with points spent and left.

Without an account it starts a fake server and calls all operations on it. With an account it reads a few lists and,
with `--live`, makes one meeting and deletes it.
"""

from __future__ import annotations

import asyncio
import base64
import os
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
from cyclopts import Parameter, validators

from .. import RetryPolicy, SessionPool, WherebyClient
from ..errors import APIStatusError, NotFoundError, PermissionDeniedError, WherebyError
from ..options import key_variable
from ..testing import FakeWhereby
from .errors import ExitCode, UsageError
from .global_options import Flag, OutputOptions
from .output import THROTTLED, Output, points_left, status_style
from .progress import Bar
from .sandbox import WEEKLY, fill

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sized

    from .. import Paginator
    from ..hooks import AttemptDetails, ResponseDetails
    from ..models import Meeting, Summary, Transcription

T = TypeVar("T")

_LIMIT: Final = 100
_PERIOD: Final = 4.0
"""Seconds of the demo server's window: short, so that one can watch it refill. The real one has 60."""

_BEYOND: Final = 20
"""How many calls the burst has more than the window has points."""

_PROCESSING: Final = 0.25
_POLL: Final = 0.15
"""Seconds between two looks at a job; the fake server's jobs are quick."""

_TICK: Final = 0.1
_WAITED: Final = 0.05
"""Seconds; a call that took less to get its points went at once."""

_PAGE: Final = 10
_TIMEOUT: Final = 15.0
_MAX_WAIT: Final = 70.0
"""Seconds to wait for an account's points: a little more than the service's window."""

_HEAD: Final = f"  {'operation':<26} {'status':>6} {'points':>6} {'left':>5} {'ms':>5}  result"
_READS: Final = (
    "It will only read: one page each of meetings, recordings, transcriptions and rooms. Nothing is changed."
)
_WRITES: Final = (
    "It will read one page each of meetings, recordings, transcriptions and rooms; then make one meeting that ends in"
    " an hour, read it, colour its room, and delete it."
)
_LOGO: Final = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)

# Hooks are called in the task that makes the call, so that an answer finds its own attempt among many.
_attempt: ContextVar[AttemptDetails] = ContextVar("whereby_cli_attempt")


def demo(
    *,
    live: Flag = False,
    limit: Annotated[int | None, Parameter(validator=validators.Number(gte=10, lte=10_000))] = None,
    options: OutputOptions = OutputOptions(),  # noqa: B008 - frozen
) -> int:
    """Watch the client work, call by call, with points spent and left.

    Without an account: a fake Whereby starts on this machine, and the real
    client goes through all operations against it, then through a burst
    that is bigger than its window of points.

    With WHEREBY_API_KEY or WHEREBY_API_KEY_FILE set: reads one page of a few
    lists of that account, and changes nothing.

    For example:

        whereby demo
        whereby demo --limit 40
        WHEREBY_API_KEY=... whereby demo
        WHEREBY_API_KEY=... whereby demo --live

    Args:
        live: With WHEREBY_API_KEY set, make one meeting too, colour its room, and delete it.
        limit: Points in each window of the fake server, 100 unless given.
        options: How to show results.
    """
    output = options.output()
    if os.environ.get(key_variable(), "").strip():
        if limit is not None:
            raise UsageError(f"--limit is for the fake server; a real account has its own ({key_variable()} is set)")
        return asyncio.run(show_account(output, live=live))
    if live:
        raise UsageError("--live needs an account: set WHEREBY_API_KEY")
    return asyncio.run(_show_fake(output, limit or _LIMIT))


async def _show_fake(output: Output, limit: int) -> ExitCode:
    started_at = monotonic()
    log = CallLog(output)
    async with (
        FakeWhereby(limit=limit, period=_PERIOD, processing_time=_PROCESSING) as fake,
        fake.client(hooks=[log]) as client,
    ):
        fill(fake)
        output.say(
            "notice",
            f"A fake Whereby listens on {fake.url}: {limit} points every {_PERIOD:g} s (the real one: every 60 s). The"
            " real client talks to it over real sockets; nothing leaves this machine.",
            base_url=fake.url,
            limit=limit,
            period=_PERIOD,
        )
        meeting = await _AllOperations(client, log).run()
        await burst(client, log, meeting.meeting_id, calls=limit + _BEYOND, period=_PERIOD)
    operations = len({request.operation for request in fake.requests})
    seconds = monotonic() - started_at
    server = {"calls": len(fake.requests), "points": fake.points_spent, "throttled": fake.throttled}
    counts = "the {} says: {calls} calls, {points} points, {throttled} times 429\n"
    output.say("step", "In all")
    output.say(
        "summary",
        counts.format("client", **log.counts)
        + counts.format("server", **server)
        + f"{operations} operations in {seconds:.1f} s, {log.waited:.1f} s of them waiting for points",
        **log.counts,
        seconds=round(seconds, 3),
        waited=round(log.waited, 3),
        operations=operations,
        server=server,
    )
    output.say("next", "Next: `whereby sandbox` keeps such a server up for your own app.")
    return ExitCode.OK


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One answer.

    Attributes:
        points: Points that the attempt was charged.
        remaining: Points left by `X-RateLimit-Remaining`; `None` if the answer did not say.
        ms: Milliseconds on the wire.
        waited: Seconds that it waited for its points before.
        note: The result in words.
    """

    operation: str
    status: int
    points: int
    remaining: int | None
    ms: float
    waited: float
    note: str = ""

    def show(self, output: Output) -> None:
        """Print `meetings.create  201  3  97  4.0  and what came of it`."""
        waited = [f"waited {self.waited:.1f} s"] if self.waited >= _WAITED else []
        output.table_line(
            {"event": "call", **msgspec.structs.asdict(self)},
            _HEAD,
            f"  {self.operation:<26} ",
            (f"{self.status:>6}", status_style(self.status)),
            f" {self.points:>6} {points_left(self.remaining):>5} {self.ms:>5.1f}  ",
            ("; ".join([*waited, self.note] if self.note else waited), "dim"),
        )


class CallLog:
    """A hook that keeps a row of each answer, and shows the rows when a call is done.

    Attributes:
        output: Where calls are shown.
        counts: Calls that were answered so far, points that they were charged, and how many were throttled (429).
        waited: Seconds that the shown calls waited for their points.
    """

    def __init__(self, output: Output) -> None:
        self.output: Output = output
        self.counts: dict[str, int] = {"calls": 0, "points": 0, "throttled": 0}
        self.waited: float = 0.0
        self._rows: list[CallRow] = []

    def on_attempt(self, details: AttemptDetails) -> None:
        """An attempt is about to be sent."""
        _attempt.set(details)

    def on_response(self, details: ResponseDetails) -> None:
        """An answer came."""
        attempt = _attempt.get()
        row = CallRow(
            operation=details.operation,
            status=details.status,
            points=attempt.cost,
            remaining=details.rate_limit.remaining,
            ms=round(details.elapsed * 1000, 1),
            waited=round(attempt.waited, 3),
        )
        self.counts["calls"] += 1
        self.counts["points"] += row.points
        self.counts["throttled"] += row.status == THROTTLED
        self._rows.append(row)

    def take(self) -> list[CallRow]:
        """The rows since the last time."""
        rows, self._rows = self._rows, []
        return rows

    async def show(self, call: Awaitable[T], note: str | Callable[[T], str]) -> T:
        """Make a call and show its answers.

        Args:
            call: What to await.
            note: The result in words, or a function that puts it into words.

        Raises:
            WherebyError: What the call raises, once its answers are shown.
        """
        try:
            result = await call
        except APIStatusError as error:
            self._show_rows(error.message)
            raise
        self._show_rows(note if isinstance(note, str) else note(result))
        return result

    def _show_rows(self, note: str) -> None:
        rows = self.take()
        for row in rows:
            self.waited += row.waited
            msgspec.structs.replace(row, note=note if row is rows[-1] else "").show(self.output)


class _AllOperations:
    """Every operation of the API, one after another, each call shown."""

    def __init__(self, client: WherebyClient, log: CallLog) -> None:
        self._client = client
        self._show = log.show
        self._say = log.output.say

    async def run(self) -> Meeting:
        """Make the calls; what they make is deleted again, except one meeting, which is returned."""
        kept, *others = await self._meetings()
        await self._rooms(kept.room_name or "")
        recordings = await self._recordings()
        transcription = await self._transcriptions(recordings[0])
        await self._summaries(transcription)
        await self._insights()
        self._say("step", "Clean up")
        for meeting in others:
            await self._show(self._client.meetings.delete(meeting.meeting_id), f"{meeting.room_name} is gone")
        await self._show(self._client.recordings.delete(recordings[0]), "1 deleted")
        await self._show(self._client.recordings.bulk_delete(recordings[1:]), f"{len(recordings) - 1} in one call")
        await self._show(self._client.transcriptions.delete(transcription), "1 deleted")
        rest = [row.transcription_id for row in await self._show(self._client.transcriptions.list().collect(), _rows)]
        await self._show(self._client.transcriptions.bulk_delete(rest), f"{len(rest)} in one call")
        return kept

    async def _meetings(self) -> list[Meeting]:
        meetings = self._client.meetings
        self._say("step", "Meetings")
        end_date = _in_an_hour()
        made = [
            await self._show(_meeting_until(end_date, self._client), lambda meeting: f"{meeting.room_name}, 1 hour")
            for _ in range(2)
        ]
        await self._show(meetings.get(made[0].meeting_id, fields=["hostRoomUrl"]), "the host's link: ***")
        await self._show(meetings.list().collect(), _rows)
        return made

    async def _rooms(self, room: str) -> None:
        rooms = self._client.rooms
        self._say("step", f"The looks of {room}")
        await self._show(rooms.set_theme_tokens(room, primary="#0A2540", secondary="#F6F9FC"), "#0A2540, #F6F9FC")
        await self._show(rooms.set_logo(room, _LOGO), f"a PNG of {len(_LOGO)} bytes")
        await self._show(rooms.set_background(room, palette="grey", theme="mountains"), "grey mountains")
        await self._show(rooms.set_knock_background(room, _LOGO), "a PNG")
        await self._show(rooms.reset_knock_background(room), "as it was")

    async def _recordings(self) -> list[str]:
        recordings = self._client.recordings
        self._say("step", "Recordings")
        rows = await self._show(recordings.list(room_name=WEEKLY, sort_by="startDate:desc").collect(), _rows)
        first = rows[0].recording_id
        await self._show(recordings.get(first), lambda row: f"{row.size_in_mega_bytes:g} MB")
        await self._show(recordings.access_link(first, valid_for=60), "a link for 60 s: ***")
        return [row.recording_id for row in rows]

    async def _transcriptions(self, recording_id: str) -> str:
        transcriptions = self._client.transcriptions
        self._say("step", "Transcriptions")
        job = await self._show(transcriptions.create(recording_id), "started")
        await self._until_ready(lambda: transcriptions.get(job.transcription_id))
        await self._show(transcriptions.list(room_name=WEEKLY).collect(), _rows)
        link = transcriptions.access_link(job.transcription_id, valid_for=60)
        await self._show(link, "a link for 60 s: ***")
        return job.transcription_id

    async def _summaries(self, transcription_id: str) -> None:
        summaries = self._client.summaries
        self._say("step", "Summaries")
        job = await self._show(summaries.create(transcription_id, template="SOAP"), "started")
        await self._until_ready(lambda: summaries.get(job.summary_id))
        await self._show(summaries.list().collect(), _rows)
        await self._show(summaries.delete(job.summary_id), "1 deleted")

    async def _insights(self) -> None:
        insights = self._client.insights
        self._say("step", "Insights")
        await self._show(insights.rooms(sort_by="totalSessions:desc").collect(), _rows)
        sessions = await self._show(insights.room_sessions(WEEKLY).collect(), _rows)
        session = sessions[0].room_session_id
        people = await self._show(
            insights.participants(room_session_id=session).collect(),
            lambda rows: ", ".join((row.display_name or "?").partition(" ")[0] for row in rows),
        )
        await self._show(
            insights.participant(session, people[0].participant_id), lambda rows: f"{len(rows)} connection"
        )

    async def _until_ready(self, read: Callable[[], Awaitable[Transcription | Summary]]) -> None:
        while True:
            job = await self._show(read(), lambda job: str(job.state))
            if job.state != "in_progress":
                return
            await asyncio.sleep(_POLL)


def _in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def _meeting_until(end_date: datetime, client: WherebyClient) -> Awaitable[Meeting]:
    return client.meetings.create(end_date=end_date, room_name_prefix="demo-", room_name_pattern="human-short")


def _rows(rows: Sized) -> str:
    return f"{len(rows)} rows"


async def burst(client: WherebyClient, log: CallLog, meeting_id: str, *, calls: int, period: float) -> None:
    """Ask for one meeting `calls` times at once, and show that calls wait for points instead of being refused.

    Args:
        client: The client, whose budget is known by now.
        log: The client's hook.
        meeting_id: The meeting.
        calls: More than the window has points for.
        period: Seconds of the server's window.
    """
    before = client.limiter.snapshot()
    log.output.say(
        "step",
        f"{calls} calls at once, and {before.available} of {before.limit} points left",
        calls=calls,
        available=before.available,
        limit=before.limit,
    )
    refused_before, started_at = log.counts["throttled"], monotonic()
    try:
        async with asyncio.TaskGroup() as tasks:
            asked = {tasks.create_task(client.meetings.get(meeting_id)) for _ in range(calls)}
            with Bar("  answered") as bar:
                await _watch(client, asked, bar)
    except* WherebyError as group:
        raise group.exceptions[0] from None
    rows = log.take()
    waits = [row.waited for row in rows if row.waited >= _WAITED]
    refused = log.counts["throttled"] - refused_before
    longest = max(waits, default=0.0)
    log.output.say(
        "wait",
        f"{len(rows) - len(waits)} went at once. {len(waits)} waited, the longest {longest:.1f} s: the window's points"
        f" were spent, and the server gives new ones every {period:g} s only. Refused with a 429: {refused or 'none'}.",
        at_once=len(rows) - len(waits),
        waited=len(waits),
        longest_wait=longest,
        throttled=refused,
        seconds=round(monotonic() - started_at, 3),
    )
    log.waited += longest


async def _watch(client: WherebyClient, asked: set[asyncio.Task[Meeting]], bar: Bar) -> None:
    pending = asked
    while pending:
        _, pending = await asyncio.wait(pending, timeout=_TICK)
        budget = client.limiter.snapshot()
        reset = f", new points in {budget.reset_in:.1f} s" if budget.reset_in is not None else ""
        waiting = sum(budget.waiting.values())
        bar.show(len(asked) - len(pending), len(asked), f"{budget.available} points, {waiting} wait{reset}")


async def show_account(output: Output, *, live: bool) -> ExitCode:
    """Show the account that the environment's key opens; if `live`, make a meeting too.

    Returns:
        `API_SAID_NO` if a read was refused, for instance because the plan has no recordings.

    Raises:
        WherebyError: A wrong key, no answer, no points, or a refusal of a write.
    """
    log = CallLog(output)
    retry = RetryPolicy(attempts=2)
    async with (
        SessionPool(trust_env=True) as pool,
        WherebyClient(pool=pool, hooks=[log], max_wait=_MAX_WAIT, timeout=_TIMEOUT, retry=retry) as client,
    ):
        words = f"{key_variable()} is set, so this talks to {client.base_url}. {_WRITES if live else _READS}"
        output.say("notice", words, base_url=client.base_url, live=live)
        started_at = monotonic()
        refused = await _read(client, log)
        if live:
            await _write(client, log)
    seconds = monotonic() - started_at
    output.say("step", "In all")
    text = "{calls} calls, {points} points, {throttled} refused for want of points, {:.1f} s.".format(
        seconds, **log.counts
    )
    more = f" {refused} refused by the API: see above." if refused else ""
    output.say("summary", text + more, **log.counts, refused=refused, seconds=round(seconds, 3))
    return ExitCode.API_SAID_NO if refused else ExitCode.OK


async def _read(client: WherebyClient, log: CallLog) -> int:
    """Read the first page of each list; how many were refused, since not every plan has everything."""
    log.output.say("step", "Reads")
    refused = 0
    first_pages: tuple[Paginator[Any], ...] = (
        client.meetings.list(page_size=_PAGE),
        client.recordings.list(page_size=_PAGE),
        client.transcriptions.list(page_size=_PAGE),
        client.insights.rooms(page_size=_PAGE),
    )
    for first_page in first_pages:
        try:
            await log.show(
                first_page, lambda page: _rows(page.results) + (", and there are more" if page.cursor else "")
            )
        except (PermissionDeniedError, NotFoundError):
            refused += 1
    return refused


async def _write(client: WherebyClient, log: CallLog) -> None:
    log.output.say("step", "One meeting, from its making to its end")
    end_date = _in_an_hour()
    meeting = await log.show(_meeting_until(end_date, client), lambda made: str(made.room_name))
    try:
        await log.show(client.meetings.get(meeting.meeting_id), f"until {end_date:%H:%M} UTC")
        await log.show(client.rooms.set_theme_tokens(meeting.room_name or "", primary="#0A2540"), "#0A2540")
    finally:
        await log.show(client.meetings.delete(meeting.meeting_id), "gone")
