"""The item runner: from an item to its outcome, by way of the journal, the call, and the lookup after a lost answer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import anyio
from msgspec import UNSET, UnsetType

from ..context import current_batch
from ..errors import (
    APIConnectionError,
    AuthenticationError,
    BudgetError,
    ClientClosedError,
    ServiceUnavailableError,
    WherebyError,
)
from ..limiter.protocol import Priority
from .item import Outcome, OutcomeUnknownError, is_out_of_reach
from .journal import earlier_failure, error_fields, kept, restored
from .journal_file import JournalError
from .lookup import Finding
from .marker import MarkedRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..limiter.protocol import Limiter, Permit
    from ..models import Meeting
    from ..operation import Operation
    from ..rate_limit import RateLimit
    from .estimate import ProgressCounter
    from .item import Item, Method
    from .journal import EntryState, Journal, JournalEntry
    from .lookup import LostCreateLookup

T = TypeVar("T")
R = TypeVar("R")

_SENDS: Final = 3
"""How often a create is sent whose answers are lost and whose absence is shown each time."""

_NOT_SENT: Final = (AuthenticationError, BudgetError, ClientClosedError)
"""Refusals that say nothing about the item: it runs again with the next run, as what was never sent does."""


class _DroppedError(Exception):
    """The batch was stopped, and what an item waited for was dropped."""


class ItemCalls:
    """The calls of one item: `current_batch` in its task while it runs.

    Each call has `BATCH` priority, is counted, and is announced before it leaves if it must not be repeated.

    Attributes:
        scope: Everything that the item does now. It is cancelled when the batch is stopped and no call of the item is
            in flight.
        announced: How many calls have been announced.
        acted: Whether the server may have acted on any of the calls.
        in_doubt: How many attempts of calls that must not be repeated the server may have acted on, those in flight
            among them.
    """

    __slots__ = (
        *("_announce", "_counter", "_loop", "_patient", "_permits", "acted", "announced", "in_doubt", "max_outage"),
        "scope",
    )

    def __init__(
        self,
        counter: ProgressCounter,
        announce: Callable[[], Awaitable[None]] | None = None,
        *,
        patient: bool = False,
        max_outage: float | UnsetType | None = UNSET,
    ) -> None:
        """Made for one item.

        Args:
            counter: What the batch spends is counted there.
            announce: Awaited before the first attempt of a call that must not be repeated, when its points are granted
                and nothing was sent; if it raises, nothing is.
            patient: Wait for points as long as it takes, whatever the client's `max_wait`.
            max_outage: Seconds that a call may wait for a service that can not be reached; the client's unless set.
        """
        self._counter = counter
        self._announce = announce
        self._patient = patient
        self._permits: dict[Permit, bool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.scope: anyio.CancelScope = anyio.CancelScope()
        self.announced: int = 0
        self.acted: bool = False
        self.in_doubt: int = 0
        self.max_outage: float | UnsetType | None = max_outage

    @property
    def in_flight(self) -> int:
        """How many calls are on the wire, or about to be."""
        return len(self._permits)

    def stop(self) -> None:
        """Let the calls that are in flight end, and nothing else."""
        self._loop = asyncio.get_running_loop()
        self._cancel_unless_in_flight()

    def _cancel_unless_in_flight(self) -> None:
        if not self._permits:
            self.scope.cancel()

    def limiter(self, limiter: Limiter) -> Limiter:
        """The limiter as a call of this item sees it, which asks for nothing but `acquire`."""
        return cast("Limiter", SimpleNamespace(acquire=functools.partial(self._acquire, limiter)))

    async def _acquire(  # noqa: PLR0913 - as `Limiter.acquire`
        self,
        limiter: Limiter,
        cost: int,
        *,
        operation: str,
        priority: Priority,  # noqa: ARG002 - always `BATCH`
        max_wait: float | None = None,
        after: Permit | None = None,
    ) -> Permit:
        with self._counter.during("wait"):
            permit = await limiter.acquire(
                cost,
                operation=operation,
                priority=Priority.BATCH,
                max_wait=None if self._patient else max_wait,
                after=after.inner if isinstance(after, _CountedPermit) else after,
            )
        if self._loop is not None:  # stopped in the moment of the grant, or since the last attempt
            permit.release()
            await anyio.sleep_forever()  # the cancellation is on its way
        counted = _CountedPermit(permit, self)
        self._permits[counted] = False
        self._counter.spend(counted.cost)
        return counted

    async def announce(self, permit: Permit, operation: Operation[Any], *, again: bool) -> None:
        """Write down that a call is about to leave, if it must not be repeated and this was not done before.

        What it raises ends the call, and gives the points back.
        """
        if self._announce is None or operation.idempotent:
            return
        self._permits[permit] = True
        self.in_doubt += 1
        if again:
            return
        try:
            await self._announce()
        except BaseException:
            permit.release()
            raise
        self.announced += 1

    def end(self, permit: Permit, *, points: int, acted: bool) -> None:
        """Count the end of an attempt, which has spent so many points; of the second end of a permit nothing."""
        once = self._permits.pop(permit, None)
        if once is None:
            return
        self._counter.spend(points - permit.cost)
        self.acted |= acted
        self.in_doubt -= once and not acted
        if self._loop is not None and not self._permits:
            # A method that has its answer returns in this step of the loop, and its outcome is kept.
            self._loop.call_soon(self._cancel_unless_in_flight)


class _CountedPermit:
    """A permit whose points and whose end the batch counts."""

    __slots__ = ("_calls", "cost", "inner")

    def __init__(self, inner: Permit, calls: ItemCalls) -> None:
        self.inner: Permit = inner
        self.cost: int = inner.cost
        self._calls = calls

    @property
    def waited(self) -> float | None:
        """Seconds that the call has waited for points, if the limiter says so."""
        return getattr(self.inner, "waited", None)

    def settle(self, answer: RateLimit | None) -> None:
        self.inner.settle(answer)
        self._calls.end(self, points=self.cost, acted=answer is None or not answer.throttled)

    def release(self) -> None:
        self.inner.release()
        self._calls.end(self, points=0, acted=False)

    def lost(self) -> None:
        self.inner.lost()
        self._calls.end(self, points=self.cost, acted=True)


class ItemRunner(Generic[T]):
    """Turns items into outcomes, one at a time for each task that asks.

    Attributes:
        slots: One for each item that may make calls at once; `outcome` is called with one, and lends it to other items
            while its own waits for a look-up.
    """

    def __init__(  # noqa: PLR0913 - what a batch was asked for
        self,
        method: Method[T],
        journal: Journal | None,
        lookup: LostCreateLookup | None,
        counter: ProgressCounter,
        *,
        concurrency: int,
        retry_failed: bool,
        refetch: bool,
        max_outage: float | UnsetType | None,
    ) -> None:
        """Made when the batch is entered; `lookup` is `None` if the method makes no rooms."""
        self._method = method
        self._journal = journal
        self._lookup = lookup
        self._counter = counter
        self._retry_failed = retry_failed
        self._refetch = refetch
        self._max_outage = max_outage
        self._in_doubt: dict[str, None] = {}
        self._under_way: set[ItemCalls] = set()
        self._stopped = False
        self.slots: anyio.Semaphore = anyio.Semaphore(concurrency)

    def in_doubt(self) -> tuple[str, ...]:
        """Keys of items whose call may have happened, those of earlier runs that have not come up again among them."""
        earlier = sorted(self._journal.begun) if self._journal else ()
        return tuple(dict.fromkeys((*self._in_doubt, *earlier)))

    @property
    def in_flight(self) -> int:
        """How many calls are on the wire."""
        return sum(calls.in_flight for calls in self._under_way)

    def stop(self) -> None:
        """Let the calls that are on the wire end, and drop whatever else items do or wait for."""
        self._stopped = True
        for calls in self._under_way:
            calls.stop()

    def cut_off(self) -> None:
        """Drop the calls that are on the wire as well."""
        for calls in self._under_way:
            calls.scope.cancel()

    async def look(self, lookup: LostCreateLookup) -> None:
        """Look for rooms whose answers were lost, until the batch is stopped.

        Raises:
            APIConnectionError: The service was away for too long, or can not be reached at all.
        """
        with contextlib.suppress(_DroppedError):
            await self._within(self._calls(patient=True), lookup.run)

    async def outcome(self, item: Item) -> Outcome[T] | None:
        """Run an item, unless an earlier run has; `None` if the batch was stopped before there was an outcome.

        Raises:
            JournalError: The journal can not be written, or knows the item as another; nothing was sent.
            APIConnectionError: The service was away for too long, or can not be reached at all, and nothing of the item
                was done.
        """
        try:
            return await self._outcome(item)
        except _DroppedError:
            return None

    async def _outcome(self, item: Item) -> Outcome[T]:
        journal = self._journal
        if item.fault is None and journal is not None and not journal.claim(item):
            item.fault = ValueError(f"the key {item.key!r} has come before: keys must be unique (item {item.index})")
        if item.fault is not None:
            return self._failed(item, item.fault)
        entry = None if journal is None else journal.known(item)
        if entry is None or (entry.state == "failed" and (self._retry_failed or entry.away)):
            return await self._run(item)
        if entry.state == "ok":
            return await self._resumed(item, entry)
        if entry.state == "failed":
            return self._failed(item, earlier_failure(entry), resumed=True)
        return await self._left_open(item, entry)

    # What an earlier run has left

    async def _resumed(self, item: Item, entry: JournalEntry) -> Outcome[T]:
        result = restored(entry.result)
        if self._refetch:
            try:
                calls = self._calls()
                result = await self._within(calls, functools.partial(self._fetched, item, result))
            except _DroppedError:
                raise
            except Exception as error:  # the item's own, whatever else it is
                if is_out_of_reach(error):
                    raise
                return self._failed(item, error, resumed=True)
        return Outcome(item.index, item.key, item.given, result=result, resumed=True)

    async def _fetched(self, item: Item, result: object) -> object:
        if self._lookup is not None:
            return await self._lookup.read(item, getattr(result, "meeting_id", ""))
        return await self._method.call(**item.request) if self._method.reads else result

    async def _left_open(self, item: Item, entry: JournalEntry) -> Outcome[T]:
        """The outcome of an item whose last entry is `begun` or `unknown`."""
        if self._method.idempotent:
            return await self._run(item)
        self._in_doubt[item.key] = None
        finding = await self._look_up(lambda lookup: lookup.after_restart(item, entry))
        if finding.meeting is not None:
            return await self._adopted(item, finding.meeting)
        if finding.absent and entry.state == "begun":
            return await self._run(item)
        if entry.state == "unknown":
            return self._unknown(item, f"an earlier run gave it up: {entry.message}", None)
        reason = finding.reason or "a run was stopped after it was sent and before its answer was written down"
        return await self._given_up(item, MarkedRequest({}, entry.marker, entry.ends), reason, None)

    # Running it now

    async def _run(self, item: Item) -> Outcome[T]:
        try:
            sent = self._lookup.prepared(item) if self._lookup else MarkedRequest(dict(item.request))
        except (TypeError, ValueError) as error:
            return await self._failure(item, error)
        return await self._attempt(item, sent, _SENDS - 1)

    async def _attempt(self, item: Item, sent: MarkedRequest, more: int) -> Outcome[T]:
        """Call; again, up to `more` times, if the answer was lost and it was shown that nothing happened."""
        announce = None if self._method.idempotent else lambda: self._begin(item, sent)
        calls = self._calls(announce)
        try:
            result = await self._within(calls, functools.partial(self._called, sent.request))
        except JournalError:
            raise
        except _DroppedError:
            await self._not_done(item, calls, WherebyError("the batch was stopped before it was sent"))
            raise
        except Exception as error:
            if not self._may_have_happened(error, calls):
                if is_out_of_reach(error) and not calls.acted:
                    await self._not_done(item, calls, error)
                    raise
                return await self._failure(item, error)
            return await self._after(error, item, sent, more)
        await self._finish(item, "ok", result=kept(result))
        return Outcome(item.index, item.key, item.given, result=result)

    async def _called(self, request: dict[str, Any]) -> T:
        try:
            return await self._method.call(**request)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise WherebyError("the call was cancelled from within") from None

    async def _after(self, error: Exception, item: Item, sent: MarkedRequest, more: int) -> Outcome[T]:
        """The outcome of a call whose answer was lost: it is looked up."""
        finding = await self._look_up(lambda lookup: lookup.after_error(error, sent))
        if finding.meeting is not None:
            return await self._adopted(item, finding.meeting)
        if not finding.absent:
            return await self._given_up(item, sent, finding.reason, error)
        if more:
            return await self._attempt(item, sent, more - 1)
        error.add_note(f"sent {_SENDS} times, each answer was lost, and each time no room was made")
        if isinstance(error, WherebyError):  # pragma: no branch - a create raises nothing else once it was sent
            error.may_have_happened = False
        return await self._failure(item, error)

    def _may_have_happened(self, error: Exception, calls: ItemCalls) -> bool:
        """Whether a call that must not be repeated may have happened."""
        if not calls.announced or self._method.idempotent:
            return False
        if isinstance(error, ServiceUnavailableError) and calls.in_doubt:
            return True  # not this call, but one before it
        return calls.announced > 1 or not isinstance(error, WherebyError) or error.may_have_happened

    def _calls(self, announce: Callable[[], Awaitable[None]] | None = None, *, patient: bool = False) -> ItemCalls:
        return ItemCalls(self._counter, announce, patient=patient, max_outage=self._max_outage)

    async def _within(self, calls: ItemCalls, work: Callable[[], Awaitable[R]]) -> R:
        """Do work whose calls are those of a batch. Raises `_DroppedError` if the batch was stopped before its end."""
        if self._stopped:
            raise _DroppedError
        token = current_batch.set(calls)
        self._under_way.add(calls)
        try:
            with calls.scope:
                return await work()
        finally:
            self._under_way.discard(calls)
            current_batch.reset(token)
        raise _DroppedError

    async def _look_up(self, question: Callable[[LostCreateLookup], Awaitable[Finding]]) -> Finding:
        """Wait for the lookup's answer; meanwhile another item may have the slot."""
        if self._lookup is None:
            return Finding()
        self.slots.release()
        try:
            return await self._within(self._calls(), functools.partial(question, self._lookup))
        finally:
            await self.slots.acquire()

    # What is written down

    async def _begin(self, item: Item, sent: MarkedRequest) -> None:
        """Write down that a call that must not be repeated is about to leave. If this raises, it must not leave."""
        self._in_doubt[item.key] = None  # before the line is there, of which a stop may not await the end
        if self._journal is not None:
            try:
                await self._journal.write(item, "begun", marker=sent.marker, ends=sent.ends)
            except JournalError:
                del self._in_doubt[item.key]
                raise

    async def _not_done(self, item: Item, calls: ItemCalls, error: WherebyError) -> None:
        """Write down of an item that was announced and surely not acted on that the next run may begin it at once."""
        if item.key in self._in_doubt and not calls.in_doubt:
            await self._finish(item, "failed", away=True, **error_fields(error, item.request))

    async def _finish(self, item: Item, state: EntryState, **more: Any) -> None:
        """Write down what came of an item: the one place where an item's end is recorded.

        If it can not be written the outcome still comes out: `Journal.error` ends the job, and the next run looks the
        item up.
        """
        if self._journal is not None:
            with contextlib.suppress(JournalError):
                await self._journal.write(item, state, **more)
        self._in_doubt.pop(item.key, None)

    # What came of it

    async def _adopted(self, item: Item, found: Meeting) -> Outcome[T]:
        lookup = cast("LostCreateLookup", self._lookup)  # it has found the meeting
        calls = self._calls()
        result = await self._within(calls, functools.partial(lookup.completed, item, found))
        await self._finish(item, "ok", result=kept(result))
        return Outcome(item.index, item.key, item.given, result=result, adopted=True)

    async def _failure(self, item: Item, error: Exception) -> Outcome[T]:
        unsent = isinstance(error, APIConnectionError) and not (error.permanent or error.may_have_happened)
        away = unsent or isinstance(error, (*_NOT_SENT, ServiceUnavailableError))
        await self._finish(item, "failed", away=away, **error_fields(error, item.request))
        return self._failed(item, error)

    def _failed(self, item: Item, error: Exception, *, resumed: bool = False) -> Outcome[T]:
        error.add_note(f"batch of {self._method.name}: item {item.index}, key {item.key!r}")
        return Outcome(item.index, item.key, item.given, state="failed", error=error, resumed=resumed)

    async def _given_up(self, item: Item, sent: MarkedRequest, reason: str, cause: Exception | None) -> Outcome[T]:
        fields = error_fields(cause or OutcomeUnknownError(reason), item.request)
        fields["message"] = reason or fields["message"]
        await self._finish(item, "unknown", marker=sent.marker, ends=sent.ends, **fields)
        return self._unknown(item, reason, cause)

    def _unknown(self, item: Item, reason: str, cause: Exception | None) -> Outcome[T]:
        self._in_doubt.pop(item.key, None)
        text = f"item {item.key!r} was sent, and nobody knows whether it happened; it is not sent again"
        error = OutcomeUnknownError(f"{text} ({reason})" if reason else text)
        error.__cause__ = cause
        return Outcome(item.index, item.key, item.given, state="unknown", error=error, resumed=cause is None)
