"""`Rooms`: marks the rooms of a batch of `meetings.create`, and finds them again when an answer was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from ..errors import APITimeoutError, ResponseDecodeError, WherebyError
from .marker import asked_fields, end_of, marked, marker_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..models import Meeting
    from ..resources import Meetings
    from .records import Entry
    from .settle import Settler, Verdict
    from .source import Item


class Sent:
    """A call as it is sent.

    Attributes:
        request: Its keywords.
        marker: What is behind the prefix of its room's name.
        ends: When its meeting ends.
    """

    __slots__ = ("ends", "marker", "request")

    def __init__(self, request: dict[str, Any], marker: str | None = None) -> None:
        self.request: dict[str, Any] = request
        self.marker: str | None = marker
        self.ends: str | None = end_of(request) if marker else None

    @classmethod
    def earlier(cls, entry: Entry) -> Sent:
        """What an earlier run had sent."""
        sent = cls({}, entry.marker)
        sent.ends = entry.ends
        return sent


class Rooms:
    """The rooms that a batch makes."""

    def __init__(  # noqa: PLR0913 - what it takes to find a room
        self,
        meetings: Meetings,
        settler: Settler,
        keywords: Mapping[str, Any],
        *,
        job: str,
        mark: bool,
        timeout: float,
        over_at: float,
    ) -> None:
        """Made when the batch is entered.

        Args:
            meetings: The resource.
            settler: Looks them up.
            keywords: What every call gets beside its request.
            job: The job's random number.
            mark: New rooms get a marker.
            timeout: Seconds for one attempt.
            over_at: From when on requests of earlier runs may be looked up, by the loop's clock.
        """
        self._meetings = meetings
        self._settler = settler
        self._keywords = keywords
        self._job = job
        self._mark = mark
        self._timeout = timeout
        self._over_at = over_at

    def prepared(self, item: Item) -> Sent:
        """The call of an item.

        Raises:
            ValueError: Its prefix leaves no room for the marker.
            TypeError: Its prefix is no string.
        """
        if not self._mark:
            return Sent(dict(item.request))
        marker = marker_of(self._job, item.key)
        return Sent(marked({**self._keywords, **item.request}, marker), marker)

    async def after(self, error: Exception, sent: Sent) -> Verdict | None:
        """What has become of a call that ended so; `None` if its room has no marker."""
        if sent.marker is None:
            return None
        over_at = anyio.current_time()
        if not isinstance(error, APITimeoutError | ResponseDecodeError):  # those had their time, or are over
            over_at += self._timeout
        verdict = await self._settler.settle(sent.marker, sent.request["room_name_prefix"], sent.ends, over_at)
        if verdict.absent and isinstance(error, ResponseDecodeError):
            verdict.absent, verdict.reason = False, "the server said that it made the room, but does not list it"
        return verdict

    async def after_restart(self, item: Item, entry: Entry) -> Verdict | None:
        """What has become of a call of an earlier run; `None` if its room has no marker."""
        if entry.marker is None:
            return None
        try:
            prefix = str(marked({**self._keywords, **item.request}, entry.marker)["room_name_prefix"])
        except (TypeError, ValueError):  # another request than then; a wrong prefix only makes the filter useless
            prefix = entry.marker
        return await self._settler.settle(entry.marker, prefix, entry.ends, self._over_at)

    async def read(self, item: Item, meeting_id: str) -> Meeting:
        """The meeting with all the fields that its create would have answered."""
        return await self._meetings.get(meeting_id, fields=self._fields(item))

    async def completed(self, item: Item, found: Meeting) -> Meeting:
        """A meeting from the list with the fields that the list does not show."""
        if not self._fields(item):
            return found
        try:
            return await self.read(item, found.meeting_id)
        except WherebyError:
            return found  # made it is, whatever else can be read of it

    def _fields(self, item: Item) -> list[str]:
        return asked_fields({**self._keywords, **item.request})
