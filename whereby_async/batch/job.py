"""`Batch` runs many calls of one method: it reads items from an input and gives an outcome for each.

*In bounded memory.* One task reads the input, so that an async generator lives in one task; it hands an item over when
a worker is free. A worker takes the next item when its outcome has been taken (`concurrency` more may lie ready), so
nothing piles up, however slow the consumer is.

There are twice as many workers as calls may be under way, and one more for each item that an earlier run left to be
looked up: an item whose answer was lost waits for minutes until it can be looked up, and lends its slot to another
meanwhile. If all workers wait for that, so does the job: a service that loses every answer is not worth more.

*In order:* an outcome that comes before its turn is kept, and the reader stays at most `4 * concurrency` items ahead of
the one whose turn it is.

*Stopping* because of an error only ends the reading: what is under way comes out, then the error. `Batch.stop`, and a
service that can not be reached for too long or at all, also drop what is not on the wire.

*Leaving early*, by a `break`, an error in the block or a cancel, ends the calls under way; the keys of those that may
have happened are in `in_doubt` and in the log. The journal is written to its end before the block is left, whatever
happens.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import os
import secrets
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast

import anyio
import msgspec
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ..errors import (
    APIConnectionError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ServiceUnavailableError,
    refuses,
)
from ..notify import logger
from ..redaction import once_made, plain, shown
from ..sender import ClientSender
from .estimate import OnProgress, Progress, ProgressCounter
from .item import Item, ItemSource, KeyOf, Method, Outcome, OutcomeUnknownError, Requests
from .journal import Header, Journal, opened
from .lookup import LostCreateLookup
from .runner import ItemRunner

T = TypeVar("T")

_AHEAD: Final = 4
"""How far an ordered batch may be ahead of the item whose turn it is, in multiples of `concurrency`."""
_REFUSED_KEYS: Final = 5
"""How many 401s in a row it takes to believe that the key is refused."""
_LAST_CALLS: Final = 20.0
"""Seconds that calls on the wire have after `stop`, at most."""
_NAMED: Final = 10
"""How many keys in doubt the log names."""
_HOW_TO_RUN: Final = "use `async with client.batch(…) as outcomes:`, and in it `async for outcome in outcomes:`"


class BatchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `WherebyClient.batch`, as they are explained there, checked."""

    concurrency: int
    journal: str | os.PathLike[str] | None
    lock: bool
    ordered: bool
    stop_on_error: bool
    retry_failed: bool
    refetch: bool
    mark: bool
    absent_after: float | None
    same_organisation: bool
    max_outage: float | msgspec.UnsetType | None
    on_progress: OnProgress | None
    progress_interval: float

    def __post_init__(self) -> None:
        for name in ("concurrency", "absent_after", "progress_interval"):
            msgspec.structs.force_setattr(self, name, plain(getattr(self, name)))
        if not isinstance(self.concurrency, int) or isinstance(self.concurrency, bool) or self.concurrency < 1:
            msg = f"concurrency={shown(self.concurrency)}: pass how many calls may be under way at once, from 1"
            raise ConfigurationError(msg)
        if self.journal is not None and not isinstance(self.journal, str | os.PathLike):
            raise ConfigurationError(f"journal={shown(self.journal)}: pass a path, or None")
        if self.absent_after is not None:
            _check_seconds("absent_after", self.absent_after, least=0.0)
        _check_seconds("progress_interval", self.progress_interval, least=0.001)
        report = self.on_progress
        if report is not None and (not callable(report) or inspect.iscoroutinefunction(report)):
            raise ConfigurationError(f"on_progress={shown(report)}: pass a plain function that takes a Progress")


def _check_seconds(name: str, value: object, *, least: float) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not least <= number < math.inf:
        raise ConfigurationError(f"{name}={shown(value)}: pass seconds from {least:g} on")


@refuses(__enter__=_HOW_TO_RUN, __await__=_HOW_TO_RUN, __getitem__=_HOW_TO_RUN)
class Batch(Generic[T]):
    """Many calls of one method, an async context manager and async iterator of outcomes. Made by `WherebyClient.batch`.

    ```python
    async with client.batch(client.meetings.create, requests, journal="run.jsonl") as outcomes:
        async for outcome in outcomes:
            print(outcome.key, outcome.state)
    ```

    Entering it opens the journal and begins the calls. Leaving it early ends those under way.

    While the service can not be reached the job pauses: no item is begun, nothing more of the input is read, and
    `progress.waiting` is `service`.

    Iterating raises, after what was under way has come out: what the input raised; `JournalError`;
    `AuthenticationError` when the key is refused again and again; `ServiceUnavailableError` when a call has waited for
    the service as long as it may, and any `permanent` `APIConnectionError`, such as a proxy's 407, when nothing of an
    item was done (such items have no outcome, and the next run begins them);
    `ClientClosedError`; with `stop_on_error` the first item's error.
    """

    def __init__(  # noqa: PLR0913 - what a job is made of
        self,
        sender: ClientSender,
        method: Callable[..., Awaitable[T]],
        requests: Requests,
        *,
        key: KeyOf | None,
        idempotent: bool | None,
        options: BatchOptions,
    ) -> None:
        """Made by `WherebyClient.batch`."""
        self._options = options
        self._method: Method[T] = Method(method, idempotent=idempotent)
        self._sender = _sender_of(self._method, sender)
        self._source = ItemSource(requests, key, self._method)
        self._keyed = key is not None
        self._entered = False
        self._group: TaskGroup | None = None
        self._journal: Journal | None = None
        self._stopped = False
        self._last_call: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self._refused = 0
        self._turn = 0
        self._early: dict[int, Outcome[T]] = {}
        self._complained = False

    @once_made
    def __repr__(self) -> str:
        return f"<Batch of {self._method.name}>"

    # Entering and leaving

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("this batch was entered before: make another one")
        self._entered = True
        options, limiter, operation = self._options, self._sender.options.limiter, self._method.operation
        if options.journal is not None:
            self._journal = await opened(functools.partial(self._open_journal, options.journal))
        price = None if operation is None else limiter.snapshot().costs.get(operation.name, operation.cost)
        self._counter = ProgressCounter(limiter, price, self._source.total, away=self._away)
        self._lookup = lookup = self._make_lookup() if self._method.makes_rooms else None
        self._runner = ItemRunner(
            self._method,
            self._journal,
            lookup,
            self._counter,
            concurrency=options.concurrency,
            retry_failed=options.retry_failed,
            refetch=options.refetch,
            max_outage=options.max_outage,
        )
        self._ahead = anyio.Semaphore(_AHEAD * options.concurrency) if options.ordered else None
        self._reading = anyio.CancelScope()
        workers = 2 * options.concurrency
        if lookup is not None and self._journal is not None:
            workers += len(self._journal.begun) + len(self._journal.unknown)
        self._outcomes: MemoryObjectReceiveStream[Outcome[T]]
        send, self._outcomes = anyio.create_memory_object_stream["Outcome[T]"](options.concurrency)
        give, items = anyio.create_memory_object_stream["Item"](0)
        self._group = group = await anyio.create_task_group().__aenter__()
        group.start_soon(self._read, give)
        with items, send:
            for _ in range(workers):
                group.start_soon(self._work, items.clone(), send.clone())
        if lookup is not None:
            group.start_soon(self._look, lookup)
        if self._journal is not None:
            group.start_soon(self._journal.run)
        if options.on_progress is not None:
            group.start_soon(self._report_regularly)
        return self

    def _away(self) -> float:
        """For how many seconds the service could not be reached by the calls of this batch."""
        reachability, operation = self._sender.shared.reachability, self._method.operation
        return reachability.snapshot("" if operation is None else operation.name).away

    def _open_journal(self, path: str | os.PathLike[str]) -> Journal:
        options = self._sender.options
        header = Header.new(
            operation=self._method.name, api=self._sender.shared.base_url, api_key=options.key, keyed=self._keyed
        )
        return Journal(
            path,
            header,
            same_organisation=self._options.same_organisation,
            timeout=options.timeout,
            lock=self._options.lock,
        )

    def _make_lookup(self) -> LostCreateLookup:
        return LostCreateLookup(
            self._method,
            job=self._journal.job if self._journal else secrets.token_hex(8),
            mark=self._options.mark,
            timeout=self._sender.options.timeout,
            earlier_timeout=self._journal.timeout if self._journal else 0.0,
            absent_after=self._options.absent_after,
        )

    async def _look(self, lookup: LostCreateLookup) -> None:
        try:
            await self._runner.look(lookup)
        except APIConnectionError as error:
            self._give_up(error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group, self._group = cast("TaskGroup", self._group), None
        self._end(None)
        if self._last_call is not None:
            self._last_call.cancel()
        try:
            group.cancel_scope.cancel()
            # Not told of the block's own error, which would come out wrapped in a group: it goes on as it is.
            await group.__aexit__(None, None, None)
        finally:
            await self._clean_up()

    async def _clean_up(self) -> None:
        self._outcomes.close()
        self._counter.close()
        with anyio.CancelScope(shield=True):
            try:
                await self._source.aclose()
            finally:
                if self._journal is not None:
                    await self._journal.aclose()
        self._report()
        if doubtful := self.in_doubt:
            logger.warning(
                "batch of %s: left with %d calls of which nobody knows whether they happened: %s%s%s",
                self._method.name,
                len(doubtful),
                ", ".join(doubtful[:_NAMED]),
                f" and {len(doubtful) - _NAMED} more" if len(doubtful) > _NAMED else "",
                "; the next run with this journal will find out" if self._journal else "",
            )

    # Items

    async def _read(self, give: MemoryObjectSendStream[Item]) -> None:
        with give, self._reading:
            while not self._stopped:
                if self._ahead is not None:
                    await self._ahead.acquire()
                try:
                    item = await self._source.next()
                except Exception as error:  # noqa: BLE001 - the caller's iterable; the consumer is told
                    self._error = self._error or error
                    return
                if item is None:
                    return
                await give.send(item)

    async def _work(self, items: MemoryObjectReceiveStream[Item], send: MemoryObjectSendStream[Outcome[T]]) -> None:
        with items, send:
            async for item in items:
                async with self._runner.slots:
                    outcome = await self._run(item)
                if outcome is not None:
                    self._judge(outcome)
                    await send.send(outcome)

    async def _run(self, item: Item) -> Outcome[T] | None:
        """Run an item, if another one may begin: the one place where that is decided."""
        if self._stopped:
            return None
        with self._counter.during("item"):
            try:
                return await self._runner.outcome(item)
            except APIConnectionError as error:  # not the item's own
                self._give_up(error)
                return None
            except Exception as error:  # noqa: BLE001 - the journal's
                self._end(error)
                return None

    def _judge(self, outcome: Outcome[T]) -> None:
        """Count an outcome, and see whether the job has to end."""
        self._counter.count(outcome)
        if self._journal is not None and (trouble := self._journal.error) is not None:
            self._end(trouble)
        error = None if outcome.resumed else outcome.error
        self._refused = self._refused + 1 if isinstance(error, AuthenticationError) else 0
        if error is None:
            return
        cause = error.__cause__ if isinstance(error, OutcomeUnknownError) else error
        if isinstance(cause, ServiceUnavailableError):
            self._give_up(cause)
        elif self._options.stop_on_error or self._refused >= _REFUSED_KEYS or isinstance(error, ClientClosedError):
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        """Begin no further item. What is under way comes out, then the iteration raises `error`."""
        if not self._stopped:
            self._stopped = True
            self._error = self._error or error
            if self._group is not None:
                self._reading.cancel()

    def _give_up(self, error: Exception | None) -> None:
        """Begin no further item, and drop what is under way but for calls on the wire."""
        self._end(error)
        self._drop()

    def stop(self) -> None:
        """End the job in mid-work, in order. Callable from the batch's loop, at any time; a second call does nothing.

        No further item is begun, and nothing more of the input is read. Calls on the wire may end, within `timeout` and
        20 seconds; what waits (for points, for the service, before a retry, for a look-up) is dropped at once, and so
        are downloads, which resume in the next run. Then the iteration ends as if the input had, after the outcomes of
        the calls that have ended. Items that were dropped have no outcome, and the next run with the journal begins
        them; those of which nobody knows whether they happened are in `in_doubt`.
        """
        self._give_up(None)

    def _drop(self) -> None:
        """Drop what is under way but for calls on the wire, and those too when their time is over."""
        if self._last_call is None and self._group is not None:
            self._runner.stop()
            # A timer and no task of the group: in a signal's handler there is no task, and anyio wants one.
            seconds = min(self._sender.options.timeout, _LAST_CALLS)
            self._last_call = asyncio.get_running_loop().call_later(seconds, self._runner.cut_off)

    # Outcomes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[T]:
        if self._group is None:
            raise RuntimeError("a batch runs inside of `async with client.batch(…) as outcomes:`: iterate there")
        try:
            return await (self._outcomes.receive() if self._ahead is None else self._in_turn(self._ahead))
        except anyio.EndOfStream:
            self._counter.close()
        error, self._error = self._error, None
        raise error or StopAsyncIteration

    async def _in_turn(self, ahead: anyio.Semaphore) -> Outcome[T]:
        try:
            while self._turn not in self._early:
                outcome = await self._outcomes.receive()
                self._early[outcome.index] = outcome
        except anyio.EndOfStream:
            if not self._early:
                raise
            self._turn = min(self._early)  # the items before it were never begun, since the job was stopped
        outcome = self._early.pop(self._turn)
        self._turn += 1
        ahead.release()
        return outcome

    # Progress

    @property
    def progress(self) -> Progress:
        """How far it has come; after the end how far it came.

        Raises:
            RuntimeError: It was not entered yet.
        """
        if not self._entered:
            raise RuntimeError("a batch has no progress before it is entered")
        ready = self._outcomes.statistics().current_buffer_used
        return self._counter.progress(crowded=ready >= self._options.concurrency, lookup=self._lookup)

    @property
    def calls_under_way(self) -> int:
        """How many calls are on the wire, those of look-ups among them."""
        return self._runner.in_flight if self._group is not None else 0

    @property
    def in_doubt(self) -> tuple[str, ...]:
        """Keys of items whose call may have happened, and which have no outcome: while it runs those under way; after
        it was left those that were; with a journal also those of earlier runs that have not come up again.
        """
        return self._runner.in_doubt() if self._entered else ()

    async def _report_regularly(self) -> None:
        while True:
            await anyio.sleep(self._options.progress_interval)
            self._report()

    def _report(self) -> None:
        if self._options.on_progress is None:
            return
        try:
            self._options.on_progress(self.progress)
        except Exception:  # noqa: BLE001 - the caller's own; logged below
            if not self._complained:
                self._complained = True
                logger.exception("on_progress raised; the batch goes on, and this is said only once")


def _sender_of(method: Method[Any], sender: ClientSender) -> ClientSender:
    """The sender of the method's calls: the client's own, or that of a view of it."""
    own = getattr(method.resource, "_sender", None)
    if not isinstance(own, ClientSender):
        return sender
    if own.shared is not sender.shared:
        msg = f"{method.name} belongs to another client: call batch() of the client whose method it is"
        raise ConfigurationError(msg)
    return own
