"""`Performer`: from an item to its outcome: what the journal knows of it, the call, and the look-up after a lost answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import anyio

from ..context import current_batch
from ..errors import AuthenticationError, BudgetError, ClientClosedError, WherebyError
from . import records
from .calls import ItemCalls, Tally
from .failures import JournalError, OutcomeUnknownError
from .outcome import Outcome
from .rooms import Sent

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..models import Meeting
    from .methods import Method
    from .notes import Notes
    from .records import Entry
    from .rooms import Rooms
    from .settle import Verdict
    from .source import Item

T = TypeVar("T")
R = TypeVar("R")

_SENDS: Final = 3
"""How often a create is sent whose answers are lost and whose absence is shown each time."""

_NOT_SENT: Final = (AuthenticationError, BudgetError, ClientClosedError)
"""Refusals that say nothing about the item: it is not written down as failed, and runs again with the next run."""


class Performer(Generic[T]):
    """Runs items, one at a time for each task that asks.

    Attributes:
        slots: One for each item that makes calls.
        tally: The batch's account.
        notes: What is written down.
    """

    def __init__(  # noqa: PLR0913 - what a batch was asked for
        self,
        method: Method[T],
        notes: Notes,
        rooms: Rooms | None,
        *,
        tally: Tally,
        concurrency: int,
        retry_failed: bool,
        refetch: bool,
    ) -> None:
        """Made when the batch is entered.

        Args:
            method: What is called.
            notes: The journal, or none.
            rooms: Marks and finds rooms, if that is what the method makes.
            tally: The batch's account.
            concurrency: How many items may make calls at once.
            retry_failed: Items that failed in an earlier run are tried again.
            refetch: Results of earlier runs are read again.
        """
        self._method = method
        self._rooms = rooms
        self._retry_failed = retry_failed
        self._refetch = refetch
        self.notes: Notes = notes
        self.slots: anyio.Semaphore = anyio.Semaphore(concurrency)
        self.tally: Tally = tally

    async def outcome(self, item: Item) -> Outcome[T]:
        """Run an item, unless an earlier run has.

        Raises:
            JournalError: The journal can not be written, or knows the item as another; nothing was sent.
        """
        if item.fault is None and not self.notes.claim(item):
            item.fault = ValueError(f"the key {item.key!r} has come before: keys must be unique (item {item.index})")
        if item.fault is not None:
            return self._failed(item, item.fault)
        entry = self.notes.known(item)
        if entry is None or (entry.state == "failed" and self._retry_failed):
            return await self._fresh(item)
        if entry.state == "ok":
            return await self._resumed(item, entry)
        if entry.state == "failed":
            return self._failed(item, records.failure_in(entry), resumed=True)
        return await self._left_open(item, entry)

    # What an earlier run has left

    async def _resumed(self, item: Item, entry: Entry) -> Outcome[T]:
        result = records.restored(entry.result)
        if self._refetch:
            try:
                result = await self._within(ItemCalls(self.tally), self._fetched(item, result))
            except Exception as error:  # noqa: BLE001 - the item's own, whatever it is
                return self._failed(item, error, resumed=True)
        return Outcome(item.index, item.key, item.given, result=result, resumed=True)

    async def _fetched(self, item: Item, result: object) -> object:
        if self._rooms is not None:
            return await self._rooms.read(item, getattr(result, "meeting_id", ""))
        return await self._method.call(**item.request) if self._method.reads else result

    async def _left_open(self, item: Item, entry: Entry) -> Outcome[T]:
        """Its last word is that it was begun, or that nobody knows."""
        if self._method.idempotent:
            return await self._fresh(item)
        self.notes.in_doubt[item.key] = None
        verdict = None
        if self._rooms is not None:
            verdict = await self._waiting(self._rooms.after_restart(item, entry))
        if verdict is not None and verdict.meeting is not None:
            return await self._adopted(item, verdict.meeting)
        if verdict is not None and verdict.absent and entry.state == "begun":
            return await self._fresh(item)
        if entry.state == "unknown":
            return self._unknown(item, f"an earlier run gave it up: {entry.message}", None)
        reason = (
            verdict.reason if verdict else "a run was stopped after it was sent and before its answer was written down"
        )
        return await self._given_up(item, Sent.earlier(entry), reason, None)

    # Running it now

    async def _fresh(self, item: Item) -> Outcome[T]:
        try:
            sent = self._rooms.prepared(item) if self._rooms else Sent(dict(item.request))
        except (TypeError, ValueError) as error:
            return await self._failure(item, error)
        return await self._attempt(item, sent, _SENDS - 1)

    async def _attempt(self, item: Item, sent: Sent, more: int) -> Outcome[T]:
        """Call; again, up to `more` times, if the answer was lost and it was shown that nothing happened."""
        announce = None if self._method.idempotent else lambda: self.notes.begin(item, sent.marker, sent.ends)
        calls = ItemCalls(self.tally, announce)
        try:
            result = await self._within(calls, self._called(sent.request))
        except JournalError:
            raise
        except Exception as error:  # noqa: BLE001 - an item's error belongs to the item
            if not self._may_have_happened(error, calls):
                return await self._failure(item, error)
            return await self._after(error, item, sent, more)
        await self.notes.finish(item, "ok", result=records.kept(result))
        return Outcome(item.index, item.key, item.given, result=result)

    async def _called(self, request: dict[str, Any]) -> T:
        try:
            return await self._method.call(**request)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            msg = "the call was cancelled from within"
            raise WherebyError(msg) from None

    async def _after(self, error: Exception, item: Item, sent: Sent, more: int) -> Outcome[T]:
        """Its answer was lost: look it up."""
        verdict = None
        if self._rooms is not None:
            verdict = await self._waiting(self._rooms.after(error, sent))
        if verdict is None:
            return await self._given_up(item, sent, "", error)
        if verdict.meeting is not None:
            return await self._adopted(item, verdict.meeting)
        if not verdict.absent:
            return await self._given_up(item, sent, verdict.reason, error)
        if more:
            return await self._attempt(item, sent, more - 1)
        error.add_note(f"sent {_SENDS} times, each answer was lost, and each time no room was made")
        if isinstance(error, WherebyError):  # pragma: no branch - a create raises nothing else once it was sent
            error.may_have_happened = False
        return await self._failure(item, error)

    def _may_have_happened(self, error: Exception, calls: ItemCalls) -> bool:
        """Whether a call that must not be repeated may have happened."""
        if not calls.begun or self._method.idempotent:
            return False
        return calls.begun > 1 or not isinstance(error, WherebyError) or error.may_have_happened

    async def _within(self, calls: ItemCalls, work: Awaitable[R]) -> R:
        """Work whose calls are those of a batch."""
        token = current_batch.set(calls)
        try:
            return await work
        finally:
            current_batch.reset(token)

    async def _waiting(self, search: Awaitable[Verdict | None]) -> Verdict | None:
        """Wait for a look-up; meanwhile another item may have the slot."""
        self.slots.release()
        try:
            return await search
        finally:
            await self.slots.acquire()

    # What came of it

    async def _adopted(self, item: Item, found: Meeting) -> Outcome[T]:
        rooms = cast("Rooms", self._rooms)  # who else has found it?
        result = await self._within(ItemCalls(self.tally), rooms.completed(item, found))
        await self.notes.finish(item, "ok", result=records.kept(result))
        return Outcome(item.index, item.key, item.given, result=result, adopted=True)

    async def _failure(self, item: Item, error: Exception) -> Outcome[T]:
        if isinstance(error, _NOT_SENT):
            self.notes.settled(item)
        else:
            await self.notes.finish(item, "failed", **records.told(error))
        return self._failed(item, error)

    def _failed(self, item: Item, error: Exception, *, resumed: bool = False) -> Outcome[T]:
        error.add_note(f"batch of {self._method.name}: item {item.index}, key {item.key!r}")
        return Outcome(item.index, item.key, item.given, state="failed", error=error, resumed=resumed)

    async def _given_up(self, item: Item, sent: Sent, reason: str, cause: Exception | None) -> Outcome[T]:
        outcome = self._unknown(item, reason, cause)
        known = records.told(cause or OutcomeUnknownError(reason))
        known["message"] = reason or known["message"]
        await self.notes.finish(item, "unknown", marker=sent.marker, ends=sent.ends, **known)
        return outcome

    def _unknown(self, item: Item, reason: str, cause: Exception | None) -> Outcome[T]:
        self.notes.settled(item)
        text = f"item {item.key!r} was sent, and nobody knows whether it happened; it is not sent again"
        error = OutcomeUnknownError(f"{text} ({reason})" if reason else text)
        error.__cause__ = cause
        return Outcome(item.index, item.key, item.given, state="unknown", error=error, resumed=cause is None)
