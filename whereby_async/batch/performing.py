"""`Performer`: from an item to its outcome: what the journal knows of it, the call, and the look-up after a lost answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import anyio

from ..errors import (
    APITimeoutError,
    AuthenticationError,
    BudgetError,
    ClientClosedError,
    ResponseDecodeError,
    WherebyError,
)
from ..scopes import current_batch
from . import records
from .calls import ItemCalls, Tally
from .failures import JournalError, OutcomeUnknownError
from .marker import asked_fields, end_of, marked, marker_of
from .outcome import Outcome
from .source import digest

if TYPE_CHECKING:
    from ..models import Meeting
    from ..resources import Meetings
    from .methods import Method
    from .records import Entry
    from .scribe import Scribe
    from .settle import Settler, Verdict
    from .source import Item

T = TypeVar("T")

_SENDS: Final = 3
"""How often a create is sent whose answers are lost and whose absence is shown each time."""

_NOT_SENT: Final = (AuthenticationError, BudgetError, ClientClosedError)
"""Refusals that say nothing about the item: it is not written down as failed, and runs again with the next run."""


class _Sent:
    """A create as it was, or will be, sent."""

    __slots__ = ("ends", "marker", "prefix", "request")

    def __init__(self, request: dict[str, Any], marker: str | None) -> None:
        self.request = request
        self.marker = marker
        self.prefix: str = request.get("room_name_prefix") or ""
        self.ends = end_of(request) if marker else None


class Performer(Generic[T]):
    """Runs items, one at a time for each task that asks.

    Attributes:
        tally: The batch's account.
        in_doubt: Keys of items whose call may have left and which have no outcome yet.
        trouble: Why the journal can not be written any more.
    """

    def __init__(  # noqa: PLR0913 - what a batch was asked for
        self,
        method: Method[T],
        *,
        scribe: Scribe | None,
        settler: Settler | None,
        job: str,
        mark: bool,
        retry_failed: bool,
        refetch: bool,
        keyed: bool,
        timeout: float,
        over_at: float,
    ) -> None:
        """Made when the batch is entered.

        Args:
            method: What is called.
            scribe: Writes the journal, if there is one.
            settler: Looks for rooms, if that is what is made.
            job: The job's random number.
            mark: Rooms get a marker by which they can be found.
            retry_failed: Items that failed in an earlier run are tried again.
            refetch: Results of earlier runs are read again.
            keyed: Items go by a key of their own.
            timeout: Seconds for one attempt.
            over_at: From when on requests of earlier runs may be looked up, by the loop's clock.
        """
        self._method = method
        self._scribe = scribe
        self._settler = settler
        self._job = job
        self._mark = mark
        self._retry_failed = retry_failed
        self._refetch = refetch
        self._keyed = keyed
        self._timeout = timeout
        self._over_at = over_at
        self.tally: Tally = Tally()
        self.in_doubt: dict[str, None] = {}
        self.trouble: JournalError | None = None

    async def outcome(self, item: Item) -> Outcome[T]:
        """Run an item, unless an earlier run has.

        Raises:
            JournalError: The journal can not be written, or knows the item as another; nothing was sent.
        """
        if item.fault is not None:
            return self._failed(item, item.fault)
        if self._scribe is None:
            return await self._fresh(item)
        if not self._scribe.journal.places.claim(item.key):
            msg = f"the key {item.key!r} has come before: keys must be unique (item {item.index})"
            return self._failed(item, ValueError(msg))
        entry = self._scribe.journal.find(item.key)
        if entry is None:
            return await self._fresh(item)
        if not self._keyed and entry.request != digest(item.request):
            raise JournalError(
                f"item {item.index} is not the request that the journal knows by this index: the input has changed between "
                "the runs (a date such as now plus an hour is enough). Pass the same input again, or key= to tell items by"
            )
        return await self._known(item, entry)

    # What an earlier run has left

    async def _known(self, item: Item, entry: Entry) -> Outcome[T]:
        if entry.state == "ok":
            return await self._resumed(item, entry)
        if entry.state == "failed":
            if self._retry_failed:
                return await self._fresh(item)
            return self._failed(item, records.failure_in(entry), resumed=True)
        if self._method.idempotent:
            return await self._fresh(item)
        if self._settler is None or entry.marker is None:
            reason = entry.message or "a run was stopped after it was sent and before its answer was written down"
            return await self._unknown(item, reason, None, entry)
        self.in_doubt[item.key] = None
        prefix = self._prefix_of(item, entry.marker)
        verdict = await self._settler.settle(entry.marker, prefix, entry.ends, self._over_at)
        if verdict.meeting is not None:
            return await self._adopted(item, verdict.meeting)
        if verdict.absent and entry.state == "begun":
            return await self._fresh(item)
        reason = verdict.reason or f"it is not in the list, but was given up before: {entry.message}"
        return await self._unknown(item, reason, None, entry)

    async def _resumed(self, item: Item, entry: Entry) -> Outcome[T]:
        result = records.restored(entry.result)
        if self._refetch:
            try:
                result = await self._fetched(item, result)
            except Exception as error:  # noqa: BLE001 - the item's own, whatever it is
                return self._failed(item, error, resumed=True)
        return Outcome(item.index, item.key, item.given, result=result, resumed=True)

    async def _fetched(self, item: Item, result: object) -> object:
        token = current_batch.set(ItemCalls(self.tally))
        try:
            if self._method.makes_rooms:
                request = {**self._method.keywords, **item.request}
                return await self._meetings.get(cast("Meeting", result).meeting_id, fields=asked_fields(request))
            return await self._method.call(**item.request) if self._method.reads else result
        finally:
            current_batch.reset(token)

    @property
    def _meetings(self) -> Meetings:
        return cast("Meetings", self._method.resource)

    # Running it now

    async def _fresh(self, item: Item) -> Outcome[T]:
        try:
            sent = self._prepared(item)
        except Exception as error:  # noqa: BLE001 - what is wrong with a request belongs to its item
            return await self._failure(item, error)
        for left in reversed(range(_SENDS)):
            calls = ItemCalls(self.tally, None if self._method.idempotent else lambda: self._announce(item, sent))
            try:
                result = await self._call(sent.request, calls)
            except JournalError:
                raise
            except Exception as error:  # noqa: BLE001 - an item's error belongs to the item
                failure = error
            else:
                await self._finish(item, "ok", result=records.kept(result))
                return Outcome(item.index, item.key, item.given, result=result)
            if not self._in_doubt(failure, calls):
                break
            verdict = await self._verdict(sent, failure)
            if verdict is None or not (verdict.absent or verdict.meeting):
                return await self._unknown(item, verdict.reason if verdict else "", failure, sent)
            if verdict.meeting is not None:
                return await self._adopted(item, verdict.meeting)
            if not left and isinstance(failure, WherebyError):
                failure.may_have_happened = False
                failure.add_note(f"sent {_SENDS} times, each answer was lost, and each time no room was made")
        return await self._failure(item, failure)

    def _prepared(self, item: Item) -> _Sent:
        if self._settler is None or not self._mark:
            return _Sent(dict(item.request), None)
        marker = marker_of(self._job, item.key)
        merged = {**self._method.keywords, **item.request}
        return _Sent(marked(merged, marker), marker)

    async def _announce(self, item: Item, sent: _Sent) -> None:
        """The call is about to leave: first write it down."""
        try:
            await self._write(item, "begun", marker=sent.marker, ends=sent.ends)
        except JournalError as error:
            self.trouble = self.trouble or error
            raise
        self.in_doubt[item.key] = None

    async def _call(self, request: dict[str, Any], calls: ItemCalls) -> T:
        token = current_batch.set(calls)
        try:
            return await self._method.call(**request)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            msg = "the call was cancelled from within"
            raise WherebyError(msg) from None
        finally:
            current_batch.reset(token)

    def _in_doubt(self, error: Exception, calls: ItemCalls) -> bool:
        """Whether a call that must not be repeated may have happened."""
        if not calls.begun or self._method.idempotent:
            return False
        return calls.begun > 1 or not isinstance(error, WherebyError) or error.may_have_happened

    async def _verdict(self, sent: _Sent, error: Exception) -> Verdict | None:
        if self._settler is None or sent.marker is None:
            return None
        over_at = anyio.current_time()
        if not isinstance(error, APITimeoutError | ResponseDecodeError):  # those had their time, or are over
            over_at += self._timeout
        verdict = await self._settler.settle(sent.marker, sent.prefix, sent.ends, over_at)
        if verdict.absent and isinstance(error, ResponseDecodeError):
            verdict.absent, verdict.reason = False, "the server said that it made the room, but does not list it"
        return verdict

    # What came of it

    async def _adopted(self, item: Item, meeting: Meeting) -> Outcome[T]:
        fields = asked_fields({**self._method.keywords, **item.request})
        result = meeting
        if fields:
            token = current_batch.set(ItemCalls(self.tally))
            try:
                result = await self._meetings.get(meeting.meeting_id, fields=fields)
            except WherebyError:
                result = meeting  # made it is, whatever else can be read of it
            finally:
                current_batch.reset(token)
        await self._finish(item, "ok", result=records.kept(result))
        return Outcome(item.index, item.key, item.given, result=result, adopted=True)

    async def _failure(self, item: Item, error: Exception) -> Outcome[T]:
        if isinstance(error, _NOT_SENT):
            self.in_doubt.pop(item.key, None)
        else:
            await self._finish(item, "failed", **records.told(error))
        return self._failed(item, error)

    def _failed(self, item: Item, error: Exception, *, resumed: bool = False) -> Outcome[T]:
        error.add_note(f"batch of {self._method.name}: item {item.index}, key {item.key!r}")
        return Outcome(item.index, item.key, item.given, state="failed", error=error, resumed=resumed)

    async def _unknown(
        self, item: Item, reason: str, cause: Exception | None, sent: _Sent | Entry
    ) -> Outcome[T]:
        text = f"item {item.key!r}: it was sent, and nobody knows whether it happened; it is not sent again"
        error = OutcomeUnknownError(f"{text} ({reason})" if reason else text)
        error.__cause__ = cause
        if isinstance(sent, _Sent) or sent.state != "unknown":
            known = records.told(cause or error)
            known["message"] = reason or known["message"]
            await self._finish(item, "unknown", marker=sent.marker, ends=sent.ends, **known)
        self.in_doubt.pop(item.key, None)
        return Outcome(item.index, item.key, item.given, state="unknown", error=error, resumed=cause is None)

    async def _finish(self, item: Item, state: records.State, **more: Any) -> None:
        """Write down what came of it. If that fails the consumer is still told, and the next run finds out by itself."""
        try:
            await self._write(item, state, **more)
        except JournalError as error:
            self.trouble = self.trouble or error
        self.in_doubt.pop(item.key, None)

    async def _write(self, item: Item, state: records.State, **more: Any) -> None:
        if self._scribe is not None:
            request = None if self._keyed else digest(item.request)
            await self._scribe.write(item.key, state, request=request, **more)

    def _prefix_of(self, item: Item, marker: str) -> str:
        """The prefix that was sent, as far as the item tells it now; a wrong one only makes the filter useless."""
        try:
            return str(marked({**self._method.keywords, **item.request}, marker)["room_name_prefix"])
        except (TypeError, ValueError):
            return marker
