"""`Settler`: finds out whether a `meetings.create` happened whose answer nobody has.

**Theory.** The request may be under way still, may have made a room, or may have come to nothing. The room, if there is one,
carries the item's marker in its name.

*Presence is easy to show:* a listed room with the marker. The list is asked with the documented filter on the name's start, which
costs one point. That filter is not in the specification, so a server may ignore it, or read the prefix otherwise than we think:
names are looked at here, a filter that lets others through is given up, and an empty answer proves nothing.

*Absence is hard to show.* All of these are needed, else the item ends `unknown` and is never sent again:

1. *The request is over.* Nothing says when a request whose client has gone is over. One attempt may take `timeout` seconds, so
   nobody looks before that time has passed since it may last have left; and absence counts only in lists that were begun
   `absent_after` seconds, three more timeouts by default, after that: a server that stalled long enough to lose us may act late.
   In the same process the clock starts when the call failed (a call that timed out has had its `timeout` by then); after a
   restart when the new process had the journal's lock, for before that the old one may have sent. Both are read from this
   process's monotonic clock; no wall clock of another process or day has a say in it.
2. *The list is whole.* It is asked for without a filter and read to its end. Its cursors are offsets: when a room that was
   already read vanishes, the rest moves up and one that was not is skipped. So the list is read twice, and every room of the
   first reading must be in the second. Then none that was read has vanished during the first, so nothing has moved up, and the
   first is complete for what existed all the while. (Rooms that appear only push others down: they are read twice, not
   skipped.) If some did vanish, the second reading becomes the first, and so on, a few times.
3. *The room would still be in it.* Rooms leave the list some time after their end. So its end must lie in the future at the
   end of the last reading, by our clock and by the server's `Date`, whichever is later.

What remains to be believed: that the list shows every living room at once, and that nobody deletes a room that carries a marker
before it is looked up. Without that, a create might be made twice. The same marker goes with every attempt of an item, so even then
both rooms can be found.

One task looks for all items together, in the `BATCH` lane, so that a list is read once for many of them. On cancel nothing is left
but the question, which the journal keeps.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import anyio

from ..context import capture_responses
from ..errors import (
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    NotFoundError,
    PermissionDeniedError,
    UnprocessableEntityError,
)
from ..notify import logger
from .marker import moment, start_of_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..models import Meeting, Page
    from ..resources import Meetings
    from ..transport import Answer

_READINGS: Final = 6
"""How often the whole list is read before it is given up that two readings agree."""
_RESOLUTION: Final = timedelta(seconds=2)
"""A `Date` is up to a second old when it is written, and some more when it is read."""
_TRIES: Final = 4
"""How often a look-up that fails is made."""
_HOPELESS: Final = (AuthenticationError, ClientClosedError, PermissionDeniedError)


class Verdict:
    """What was found out.

    Attributes:
        meeting: The room's meeting, if it was found.
        absent: It was shown that there is none.
        reason: Why neither is known.
    """

    __slots__ = ("absent", "meeting", "reason")

    def __init__(self, *, meeting: Meeting | None = None, absent: bool = False, reason: str = "") -> None:
        self.meeting: Meeting | None = meeting
        self.absent: bool = absent
        self.reason: str = reason


class _Case:
    """A room that is looked for."""

    __slots__ = ("absent_at", "asked", "ends", "marker", "next_at", "prefix", "settled", "tries", "verdict")

    def __init__(self, marker: str, prefix: str, ends: datetime | None, ripe_at: float, absent_at: float) -> None:
        self.marker = marker
        self.prefix = start_of_name(prefix)
        self.ends = ends
        self.next_at = ripe_at
        self.absent_at = absent_at
        self.asked = False
        self.tries = 0
        self.verdict: Verdict | None = None
        self.settled = anyio.Event()

    def close(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.settled.set()


class Settler:
    """Looks for rooms. `run` has to be running in a task."""

    def __init__(self, meetings: Meetings, *, timeout: float, absent_after: float) -> None:
        """Made for one batch.

        Args:
            meetings: The resource that creates and lists.
            timeout: Seconds for one attempt.
            absent_after: Seconds from when a request may be looked up until its absence counts.
        """
        self._meetings = meetings
        self._timeout = timeout
        self._absent_after = absent_after
        self._cases: list[_Case] = []
        self._came = anyio.Event()
        self._filter_works = True
        self._server_now: datetime | None = None

    async def settle(self, marker: str, prefix: str, ends: str | None, over_at: float) -> Verdict:
        """Find out whether a create happened.

        Args:
            marker: Its marker.
            prefix: The prefix that was sent, marker included.
            ends: When the meeting ends, RFC 3339.
            over_at: From when on, by the loop's clock, one attempt's timeout has passed since the request may have left.
        """
        case = _Case(marker, prefix, moment(ends), over_at, over_at + self._absent_after)
        self._cases.append(case)
        self._came.set()
        try:
            await case.settled.wait()
        finally:
            if case in self._cases:
                self._cases.remove(case)
        return case.verdict or Verdict()

    async def run(self) -> None:
        """Look for what is asked, until cancelled."""
        while True:
            due_at = min((case.next_at for case in self._cases), default=math.inf)
            self._came = anyio.Event()
            if (wait := due_at - anyio.current_time()) > 0:
                with anyio.move_on_after(None if math.isinf(wait) else wait):
                    await self._came.wait()
                continue
            await self._look(anyio.current_time())
            self._cases = [case for case in self._cases if case.verdict is None]

    async def _look(self, now: float) -> None:
        """One round: for all whose time has come."""
        due = [case for case in self._cases if case.next_at <= now]
        try:
            await self._search(due)
            final = [case for case in due if case.absent_at <= now and case.verdict is None]
            if final:
                await self._show_absence(final)
        except Exception as error:  # noqa: BLE001 - whatever it is: items end `unknown`, they do not hang
            self._failed(due, error)
            return
        for case in due:
            case.next_at = max(case.absent_at, anyio.current_time())

    def _failed(self, due: list[_Case], error: Exception) -> None:
        for case in due:
            case.tries += 1
            case.next_at = anyio.current_time() + self._timeout * case.tries
            if (case.tries >= _TRIES or isinstance(error, _HOPELESS)) and case.verdict is None:
                case.close(Verdict(reason=f"the list of rooms could not be read ({type(error).__name__}: {error})"))

    async def _search(self, due: list[_Case]) -> None:
        """Show presence: by the filter, or if that is ignored by reading the list once."""
        for case in due:
            if case.asked or case.verdict is not None:
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
            page = await self._turn(self._meetings.list(name_starts_with=case.prefix).pages())
        except (BadRequestError, NotFoundError, UnprocessableEntityError):
            self._filter_works = False
            return
        rooms = page.results if page else []
        self._filter_works = all((room.room_name or "").lower().startswith(case.prefix) for room in rooms)
        case.asked = True

    async def _show_absence(self, cases: list[_Case]) -> None:
        """Read the whole list until two readings agree, and decide for all of these."""
        if all(self._is_over(case) for case in cases):
            await self._read()
            self._conclude(cases)
            return
        before = await self._read()
        for _ in range(_READINGS - 1):
            if all(case.verdict is not None for case in cases):
                return
            after = await self._read()
            if before <= after:
                self._conclude(cases)
                return
            before = after
        for case in cases:
            if case.verdict is None:
                case.close(Verdict(reason=f"rooms kept vanishing from the list while it was read {_READINGS} times"))

    def _conclude(self, cases: list[_Case]) -> None:
        for case in cases:
            if case.verdict is None:
                if self._is_over(case):
                    case.close(Verdict(reason="its meeting may have ended, and ended rooms leave the list"))
                else:
                    case.close(Verdict(absent=True))

    def _is_over(self, case: _Case) -> bool:
        now = datetime.now(UTC)
        if self._server_now is not None:
            now = max(now, self._server_now)
        return case.ends is None or case.ends <= now + _RESOLUTION

    async def _read(self) -> set[str]:
        """The ids of all rooms; on the way each one is looked at."""
        ids: set[str] = set()
        pages = self._meetings.list().pages()
        while (page := await self._turn(pages)) is not None:
            ids.update(room.meeting_id for room in page.results)
        return ids

    async def _turn(self, pages: AsyncIterator[Page[Meeting]]) -> Page[Meeting] | None:
        """The next page, each of its rooms looked at; `None` after the last."""
        with capture_responses() as answers:
            page = await anext(pages, None)
        if page is not None:
            self._note_time(answers)
            self._scan(page)
        return page

    def _note_time(self, answers: list[Answer]) -> None:
        for answer in answers:
            now = server_time(answer.headers.get("Date", ""))
            if now is not None and (self._server_now is None or now > self._server_now):
                self._server_now = now

    def _scan(self, page: Page[Meeting]) -> None:
        for room in page.results:
            name = (room.room_name or "").lower()
            for case in self._cases:
                if case.marker in name:
                    self._found(case, room)

    def _found(self, case: _Case, room: Meeting) -> None:
        if case.verdict is None:
            case.close(Verdict(meeting=room))
        elif case.verdict.meeting is not None and case.verdict.meeting.meeting_id != room.meeting_id:
            logger.warning(
                "meetings.create: the meetings %s and %s carry the same marker; the first is taken",
                case.verdict.meeting.meeting_id,
                room.meeting_id,
            )


def server_time(date: str) -> datetime | None:
    """A `Date` header."""
    try:
        said = parsedate_to_datetime(date)
    except ValueError:
        return None
    return said if said.tzinfo else said.replace(tzinfo=UTC)
