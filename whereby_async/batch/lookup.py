"""The lost-create lookup: finds out whether a `meetings.create` happened whose answer nobody has.

**Theory.** The request may be under way still, may have made a room, or may have come to nothing. The room, if there is
one, carries the item's marker in its name.

*Presence is easy to show:* a listed room with the marker. The list is asked with the documented filter on the name's
start, which costs one point. That filter is not in the specification, so a server may ignore it, or read the prefix
otherwise than we think: names are looked at here, a filter that lets others through is given up, and an empty answer
proves nothing.

*Absence is hard to show.* All of these are needed, else the item ends `unknown` and is never sent again:

1. *The request is over.* Nothing says when a request whose client has gone is over. One attempt may take `timeout`
   seconds, so nobody looks before that time has passed since it may last have left; and absence counts only in lists
   that were begun `absent_after` seconds, three more timeouts by default, after that: a server that stalled long enough
   to lose us may act late. In the same process the clock starts when the call failed (a call that timed out has had its
   `timeout` by then); after a restart when the new process had the journal's lock, for before that the old one may have
   sent. Both are read from this process's monotonic clock; no wall clock of another process or day has a say in it.
2. *The list is whole.* It is asked for without a filter and read to its end. Its cursors are offsets: when a room that
   was already read vanishes, the rest moves up and one that was not is skipped. So the list is read twice, and every
   room of the first reading must be in the second. Then none that was read has vanished during the first, so nothing
   has moved up, and the first is complete for what existed all the while. (Rooms that appear only push others down:
   they are read twice, not skipped.) If some did vanish, the second reading becomes the first, and so on, a few times.
3. *Each room in it has a name,* or a link with a path. One without, and a row that is null, may be the room.
4. *The room would still be in it.* Rooms leave the list some time after their end. So its end must lie in the future at
   the end of the last reading, by our clock and by the server's `Date`, whichever is later.

What remains to be believed: that the list shows every living room at once, and that nobody deletes a room that carries
a marker before it is looked up. Without that, a create might be made twice. The same marker goes with every attempt of
an item, so even then both rooms can be found.

One task looks for all items together, with `BATCH` priority, so that a list is read once for many of them. On cancel
nothing is left but the question, which the journal keeps.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import unquote

import anyio

from ..context import capture_responses
from ..errors import (
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    NotFoundError,
    PermissionDeniedError,
    ResponseDecodeError,
    UnprocessableEntityError,
    WherebyError,
)
from ..models.decoding import path_of
from ..notify import logger
from .item import is_out_of_reach
from .marker import MarkedRequest, asked_fields, marked, marker_of, start_of_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..models import Meeting, Page
    from ..resources import Meetings
    from .item import Item, Method
    from .journal import JournalEntry

_ABSENT_AFTER: Final = 3
"""How many timeouts `absent_after` is, if the caller does not say."""
_READINGS: Final = 6
"""How often the whole list is read before it is given up that two readings agree."""
_RESOLUTION: Final = timedelta(seconds=2)
"""A `Date` is up to a second old when it is written, and some more when it is read."""
_TRIES: Final = 4
"""How often a look-up that fails is made."""
_NULL_ROW: Final = re.compile(rb"[\[,]\s*null\s*[,\]]")
"""A row that is null, which decoding leaves out; the same in another list is taken for one."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_HOPELESS: Final = (AuthenticationError, ClientClosedError, PermissionDeniedError)


class Finding(NamedTuple):
    """What was found out about a create.

    Attributes:
        meeting: The room's meeting, if it was found.
        absent: It was shown that there is none.
        reason: Why neither is known; empty if the room has no marker to look for.
    """

    meeting: Meeting | None = None
    absent: bool = False
    reason: str = ""


@dataclass(slots=True, eq=False)
class _Case:
    """A room that is looked for."""

    marker: str
    start: str
    ends: datetime | None
    next_at: float
    absent_at: float
    asked: bool = False
    tries: int = 0
    finding: Finding | None = None
    found_out: anyio.Event = field(default_factory=anyio.Event)

    def close(self, finding: Finding) -> None:
        """Answer the question, unless it was answered before."""
        if self.finding is None:
            self.finding = finding
            self.found_out.set()


class LostCreateLookup:
    """Marks the rooms of a batch of `meetings.create`, and finds them again when an answer was lost.

    `run` has to be running in a task for a question to be answered.
    """

    def __init__(  # noqa: PLR0913 - what it takes to find a room
        self,
        method: Method[Any],
        *,
        job: str,
        mark: bool,
        timeout: float,
        earlier_timeout: float,
        absent_after: float | None,
    ) -> None:
        """Made when the batch is entered, with the journal's lock already held.

        Args:
            method: `meetings.create` of some client.
            job: The job's random number.
            mark: Whether new rooms get a marker.
            timeout: Seconds for one attempt.
            earlier_timeout: Seconds that an attempt of an earlier run may have taken; 0 if there was none.
            absent_after: Seconds from when a request may be looked up until its absence counts; `None` for the default.
        """
        longest = max(timeout, earlier_timeout)
        self._meetings = cast("Meetings", method.resource)
        self._keywords = method.keywords
        self._job = job
        self._mark = mark
        self._timeout = timeout
        self._absent_after = _ABSENT_AFTER * longest if absent_after is None else absent_after
        self._earlier_over_at = anyio.current_time() + longest
        self._cases: list[_Case] = []
        self._case_came = anyio.Event()
        self._filter_works = True
        self._nameless = False
        self._server_now = _NEVER

    # What is sent

    def prepared(self, item: Item) -> MarkedRequest:
        """The call of an item, with a marker in the room's name.

        Raises:
            ValueError: Its prefix leaves no space for the marker.
            TypeError: Its prefix is no string.
        """
        if not self._mark:
            return MarkedRequest(dict(item.request))
        return marked(self._whole(item), marker_of(self._job, item.key))

    async def read(self, item: Item, meeting_id: str) -> Meeting:
        """The meeting with all the fields that its create would have answered."""
        return await self._meetings.get(meeting_id, fields=asked_fields(self._whole(item)))

    async def completed(self, item: Item, found: Meeting) -> Meeting:
        """A meeting from the list, with the fields that the list does not show."""
        if not asked_fields(self._whole(item)):
            return found
        try:
            return await self.read(item, found.meeting_id)
        except WherebyError:
            return found  # it was made, whatever else can be read of it

    def _whole(self, item: Item) -> dict[str, Any]:
        return {**self._keywords, **item.request}

    # What has become of it

    async def after_error(self, error: Exception, sent: MarkedRequest) -> Finding:
        """What has become of a call that ended with `error`."""
        if sent.marker is None:
            return Finding()
        over_at = anyio.current_time()
        if not isinstance(error, APITimeoutError | ResponseDecodeError):  # those had their time, or are over
            over_at += self._timeout
        finding = await self._find(sent.marker, sent.request["room_name_prefix"], sent.ends, over_at)
        if finding.absent and isinstance(error, ResponseDecodeError):
            return Finding(reason="the server said that it made the room, but does not list it")
        return finding

    async def after_restart(self, item: Item, entry: JournalEntry) -> Finding:
        """What has become of a call of an earlier run."""
        if entry.marker is None:
            return Finding()
        try:
            prefix = marked(self._whole(item), entry.marker).request["room_name_prefix"]
        except (TypeError, ValueError):  # another request than then; a wrong prefix only makes the filter useless
            prefix = entry.marker
        return await self._find(entry.marker, prefix, entry.ends, self._earlier_over_at)

    async def _find(self, marker: str, prefix: str, ends: str | None, over_at: float) -> Finding:
        """Find out whether a create happened.

        Args:
            marker: Its marker.
            prefix: The prefix that was sent, marker included.
            ends: When the meeting ends, RFC 3339.
            over_at: When, by the loop's clock, one attempt's timeout has passed since the request may have left.
        """
        end = None if ends is None else datetime.fromisoformat(ends.upper())
        case = _Case(marker, start_of_name(prefix), end, over_at, over_at + self._absent_after)
        self._cases.append(case)
        self._case_came.set()
        try:
            await case.found_out.wait()
        finally:
            if case in self._cases:
                self._cases.remove(case)
        return case.finding or Finding()

    def open_cases(self, now: float) -> tuple[int, float | None]:
        """How many rooms are being looked for, and in how many seconds the absence of the last of them counts, at
        least 1: the list has to be read then.
        """
        ends = [case.absent_at for case in self._cases if case.finding is None]
        return len(ends), max(1.0, max(ends) - now) if ends else None

    # The search

    async def run(self) -> None:
        """Look for what is asked, until cancelled.

        Raises:
            APIConnectionError: The service was away for longer than the job waits for it, or can not be reached at all.
        """
        while True:
            due_at = min((case.next_at for case in self._cases), default=math.inf)
            self._case_came = anyio.Event()
            if (wait := due_at - anyio.current_time()) > 0:
                with anyio.move_on_after(None if math.isinf(wait) else wait):
                    await self._case_came.wait()
                continue
            await self._look(anyio.current_time())
            self._cases = [case for case in self._cases if case.finding is None]

    async def _look(self, now: float) -> None:
        """Look once for all cases whose time has come."""
        due = [case for case in self._cases if case.next_at <= now]
        try:
            await self._search(due)
            final = [case for case in due if case.absent_at <= now and case.finding is None]
            if final:
                await self._show_absence(final)
        except Exception as error:  # whatever it is: items end `unknown`, they do not hang
            if is_out_of_reach(error):
                raise  # it ends the job, and says nothing about the rooms
            self._failed(due, error)
            return
        for case in due:
            case.next_at = max(case.absent_at, anyio.current_time())

    def _failed(self, due: list[_Case], error: Exception) -> None:
        for case in due:
            case.tries += 1
            case.next_at = anyio.current_time() + self._timeout * case.tries
            if case.tries >= _TRIES or isinstance(error, _HOPELESS):
                case.close(Finding(reason=f"the list of rooms could not be read ({type(error).__name__}: {error})"))

    async def _search(self, due: list[_Case]) -> None:
        """Show presence: by the filter, or if that is ignored by reading the list once."""
        for case in due:
            if case.asked or case.finding is not None:
                continue
            if self._filter_works:
                await self._ask(case)
            if not self._filter_works:
                await self._read()
                for other in due:
                    other.asked = True

    async def _ask(self, case: _Case) -> None:
        """Ask for the rooms whose names begin with the prefix, and see whether the server does so."""
        try:
            page = await self._next_page(self._meetings.list(name_starts_with=case.start).pages())
        except (BadRequestError, NotFoundError, UnprocessableEntityError):
            self._filter_works = False
            return
        rooms = page.results if page else []
        self._filter_works = all((room.room_name or "").lower().startswith(case.start) for room in rooms)
        case.asked = True

    async def _show_absence(self, cases: list[_Case]) -> None:
        """Read the whole list until two readings agree, and decide for all of these."""
        self._nameless = False
        if all(self._is_over(case) for case in cases):
            await self._read()
            self._conclude(cases)
            return
        before = await self._read()
        for _ in range(_READINGS - 1):
            if all(case.finding is not None for case in cases):
                return
            after = await self._read()
            if before <= after:
                self._conclude(cases)
                return
            before = after
        for case in cases:
            case.close(Finding(reason=f"rooms kept vanishing from the list while it was read {_READINGS} times"))

    def _conclude(self, cases: list[_Case]) -> None:
        for case in cases:
            if self._is_over(case):
                case.close(Finding(reason="its meeting may have ended, and ended rooms leave the list"))
            elif self._nameless:
                case.close(Finding(reason="the list holds a room whose name could not be read, which may be it"))
            else:
                case.close(Finding(absent=True))

    def _is_over(self, case: _Case) -> bool:
        now = max(datetime.now(UTC), self._server_now)
        return case.ends is None or case.ends <= now + _RESOLUTION

    async def _read(self) -> set[str]:
        """The ids of all rooms in the list, each of which is compared with what is looked for."""
        ids: set[str] = set()
        pages = self._meetings.list().pages()
        while (page := await self._next_page(pages)) is not None:
            ids.update(room.meeting_id for room in page.results)
        return ids

    async def _next_page(self, pages: AsyncIterator[Page[Meeting]]) -> Page[Meeting] | None:
        """The next page, after each of its rooms was compared with what is looked for; `None` after the last."""
        with capture_responses() as answers:
            page = await anext(pages, None)
        for answer in answers:
            self._server_now = max(self._server_now, _server_time(answer.headers.get("Date", "")))
            self._nameless = self._nameless or _NULL_ROW.search(answer.body) is not None
        for room in page.results if page is not None else ():
            name, link = room.room_name or "", room.room_url or ""
            self._nameless = self._nameless or not ((name.startswith("/") and name.strip("/")) or path_of(link))
            names = unquote(f"{name} {link}").lower()
            for case in self._cases:
                if case.marker in names:
                    self._found(case, room)
        return page

    def _found(self, case: _Case, room: Meeting) -> None:
        case.close(Finding(meeting=room))
        first = case.finding.meeting if case.finding is not None else None
        if first is not None and first.meeting_id != room.meeting_id:
            logger.warning(
                "meetings.create: the meetings %s and %s carry the same marker; the first is taken",
                first.meeting_id,
                room.meeting_id,
            )


def _server_time(date: str) -> datetime:
    """The time that a `Date` header says; one that can not be read is in the far past."""
    try:
        said = parsedate_to_datetime(date)
    except ValueError:
        return _NEVER
    return said if said.tzinfo else said.replace(tzinfo=UTC)
