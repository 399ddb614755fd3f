"""`Batch`: many calls of one method, from an input to outcomes: entered, iterated, left.

*Leaving early*, by a `break`, an error in the block or a cancel, ends the calls under way; the keys of those that may
have happened are in `in_doubt` and in the log. The journal is written to its end before the block is left, whatever
happens.
"""

from __future__ import annotations

import inspect
import math
import os
import secrets
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast

import anyio
import msgspec

from ..errors import AuthenticationError, ClientClosedError, ConfigurationError
from ..notify import logger
from ..redaction import shown
from ..scopes import current_batch
from ..sender import ClientSender
from .estimate import OnProgress, ProgressCounter
from .item import ItemSource, Method
from .journal import Identity, key_digest, open_journal
from .lookup import LostCreateLookup
from .runner import ItemCalls, ItemRunner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from .estimate import Progress
    from .item import Item, KeyOf, Outcome, Requests
    from .journal import Journal

T = TypeVar("T")

_AHEAD: Final = 4
"""How far an ordered batch may be ahead of the item whose turn it is, in multiples of `concurrency`."""
_REFUSED_KEYS: Final = 5
"""How many 401s in a row it takes to believe that the key is refused."""
_NAMED: Final = 10
"""How many keys in doubt the log names."""


class BatchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `WherebyClient.batch`, as they are explained there.

    Raises:
        ConfigurationError: One of them can not be used.
    """

    concurrency: int
    journal: str | os.PathLike[str] | None
    ordered: bool
    stop_on_error: bool
    retry_failed: bool
    refetch: bool
    mark: bool
    absent_after: float | None
    same_organisation: bool
    on_progress: OnProgress | None
    progress_interval: float

    def __post_init__(self) -> None:
        if not isinstance(self.concurrency, int) or isinstance(self.concurrency, bool) or self.concurrency < 1:
            msg = f"concurrency={shown(self.concurrency)}: pass how many calls may be under way at once, from 1"
            raise ConfigurationError(msg)
        if self.journal is not None and not isinstance(self.journal, str | os.PathLike):
            msg = f"journal={shown(self.journal)}: pass a path, or None"
            raise ConfigurationError(msg)
        if self.absent_after is not None:
            _check_seconds("absent_after", self.absent_after, least=0.0)
        _check_seconds("progress_interval", self.progress_interval, least=0.001)
        report = self.on_progress
        if report is not None and (not callable(report) or inspect.iscoroutinefunction(report)):
            msg = f"on_progress={shown(report)}: pass a plain function that takes a Progress"
            raise ConfigurationError(msg)


def _check_seconds(name: str, value: object, *, least: float) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not least <= number < math.inf:
        msg = f"{name}={shown(value)}: pass seconds from {least:g} on"
        raise ConfigurationError(msg)


class Batch(Generic[T]):
    """Many calls of one method. Made by `WherebyClient.batch`; an async context manager and an async iterator of outcomes.

    ```python
    async with client.batch(client.meetings.create, requests, journal="run.jsonl") as outcomes:
        async for outcome in outcomes:
            print(outcome.key, outcome.state)
    ```

    Entering it opens the journal and begins the calls. Leaving it early ends those under way.

    Iterating raises, after what was under way has come out: what the input raised; `JournalError`; `AuthenticationError`
    when the key is refused again and again; `ClientClosedError`; with `stop_on_error` the first item's error.
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
        self._group: TaskGroup | None = None
        self._entered = False
        self._journal: Journal | None = None
        self._complained = False

    def __repr__(self) -> str:
        return f"<Batch of {self._method.name}>"

    # Entering and leaving

    async def __aenter__(self) -> Self:
        if self._entered:
            msg = "this batch was entered before: make another one"
            raise RuntimeError(msg)
        self._entered = True
        options, limiter, operation = self._options, self._sender.options.limiter, self._method.operation
        if options.journal is not None:
            self._journal = await open_journal(options.journal, self._identity())
        price = None if operation is None else limiter.snapshot().costs.get(operation.name, operation.cost)
        self._counter = ProgressCounter(limiter, price, self._source.total)
        lookup = self._lookup() if self._method.makes_rooms else None
        self._runner = ItemRunner(
            self._method,
            self._journal,
            lookup,
            self._counter,
            concurrency=options.concurrency,
            retry_failed=options.retry_failed,
            refetch=options.refetch,
        )
        self._flow = _Flow(self._source, self._runner, self._counter, self._journal, options)
        self._group = await anyio.create_task_group().__aenter__()
        self._flow.start(self._group)
        if lookup is not None:
            self._group.start_soon(self._look, lookup)
        if self._journal is not None:
            self._group.start_soon(self._journal.run)
        if options.on_progress is not None:
            self._group.start_soon(self._report_regularly)
        return self

    def _identity(self) -> Identity:
        options = self._sender.options
        return Identity(
            operation=self._method.name,
            api=self._sender.shared.base_url,
            key=key_digest(options.key),
            items="key" if self._keyed else "index",
            any_key=self._options.same_organisation,
            timeout=options.timeout,
        )

    def _lookup(self) -> LostCreateLookup:
        return LostCreateLookup(
            self._method,
            job=self._journal.job if self._journal else secrets.token_hex(8),
            mark=self._options.mark,
            timeout=self._sender.options.timeout,
            earlier_timeout=self._journal.timeout if self._journal else 0.0,
            absent_after=self._options.absent_after,
        )

    async def _look(self, lookup: LostCreateLookup) -> None:
        current_batch.set(ItemCalls(self._counter, patient=True))
        await lookup.run()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group, self._group = cast("TaskGroup", self._group), None
        self._flow.stop(None)
        try:
            group.cancel_scope.cancel()
            # Not told of the block's own error, which would come out wrapped in a group: it goes on as it is.
            await group.__aexit__(None, None, None)
        finally:
            await self._clean_up()

    async def _clean_up(self) -> None:
        self._flow.close()
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

    # Outcomes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[T]:
        if self._group is None:
            msg = "a batch runs inside of `async with client.batch(…) as outcomes:`: iterate there"
            raise RuntimeError(msg)
        outcome = await self._flow.next()
        if outcome is None:
            self._counter.close()
            raise self._flow.take_error() or StopAsyncIteration
        return outcome

    # Progress

    @property
    def progress(self) -> Progress:
        """How far it has come; after the end how far it came.

        Raises:
            RuntimeError: It was not entered yet.
        """
        if not self._entered:
            msg = "a batch has no progress before it is entered"
            raise RuntimeError(msg)
        return self._counter.progress(crowded=self._flow.crowded)

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
    """The sender of the method's calls: the client's own, or that of a view of it.

    Raises:
        ConfigurationError: It belongs to another client.
    """
    own = getattr(method.resource, "_sender", None)
    if not isinstance(own, ClientSender):
        return sender
    if own.shared is not sender.shared:
        msg = f"{method.name} belongs to another client: call batch() of the client whose method it is"
        raise ConfigurationError(msg)
    return own


class _Flow(Generic[T]):
    """The tasks of a batch that read items, run them and hand outcomes over, in bounded memory.

    One task reads the input, so that an async generator lives in one task; it hands an item over when a worker is free.
    A worker takes the next item when its outcome has been taken (`concurrency` more may lie ready), so nothing piles up,
    however slow the consumer is.

    There are twice as many workers as calls may be under way: an item whose answer was lost waits for minutes until it
    can be looked up, and lends its slot to another meanwhile. If all workers wait for that, so does the job: a service
    that loses every answer is not worth more.

    *In order:* an outcome that comes before its turn is kept, and the reader stays at most `4 * concurrency` items ahead
    of the one whose turn it is. *Stopping* only ends the reading: what is under way comes out, then the error.
    """

    def __init__(
        self,
        source: ItemSource,
        runner: ItemRunner[T],
        counter: ProgressCounter,
        journal: Journal | None,
        options: BatchOptions,
    ) -> None:
        self._source = source
        self._runner = runner
        self._counter = counter
        self._journal = journal
        self._stop_on_error = options.stop_on_error
        self._concurrency = options.concurrency
        self._reading = anyio.CancelScope()
        self._stopped = False
        self._error: Exception | None = None
        self._refused = 0
        self._ahead = anyio.Semaphore(_AHEAD * options.concurrency) if options.ordered else None
        self._turn = 0
        self._early: dict[int, Outcome[T]] = {}
        self._ready: MemoryObjectReceiveStream[Outcome[T]]
        self._send, self._ready = anyio.create_memory_object_stream["Outcome[T]"](options.concurrency)

    def start(self, group: TaskGroup) -> None:
        """Start the tasks."""
        give, items = anyio.create_memory_object_stream["Item"](0)
        group.start_soon(self._read, give)
        with items, self._send:
            for _ in range(2 * self._concurrency):
                group.start_soon(self._work, items.clone(), self._send.clone())

    def stop(self, error: Exception | None) -> None:
        """Begin no further item."""
        if not self._stopped:
            self._stopped = True
            self._error = error
            self._reading.cancel()

    def close(self) -> None:
        """Let go of the outcomes, which nobody takes any more."""
        self._ready.close()

    def take_error(self) -> Exception | None:
        """Why no further item was begun, if the job did not end by itself; once."""
        error, self._error = self._error, None
        return error

    @property
    def crowded(self) -> bool:
        """Whether as many outcomes lie ready as may."""
        return self._ready.statistics().current_buffer_used >= self._concurrency

    async def next(self) -> Outcome[T] | None:
        """The next outcome; `None` after the last."""
        if self._ahead is None:
            return await self._arrival()
        while self._turn not in self._early:
            outcome = await self._arrival()
            if outcome is None:
                break
            self._early[outcome.index] = outcome
        if not self._early:
            return None
        self._turn = min(self._early)  # not the next one only if that was never begun, since the job was stopped
        outcome = self._early.pop(self._turn)
        self._turn += 1
        self._ahead.release()
        return outcome

    async def _arrival(self) -> Outcome[T] | None:
        try:
            return await self._ready.receive()
        except anyio.EndOfStream:
            return None

    async def _read(self, give: MemoryObjectSendStream[Item]) -> None:
        with give, self._reading:
            while True:
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
                    outcome = await self._outcome(item)
                if outcome is not None:
                    self._judge(outcome)
                    await send.send(outcome)

    async def _outcome(self, item: Item) -> Outcome[T] | None:
        """Run an item, if another one may begin: the one place where that is decided."""
        if self._stopped:
            return None
        with self._counter.item():
            try:
                return await self._runner.outcome(item)
            except Exception as error:  # noqa: BLE001 - not the item's own: the journal's
                self.stop(error)
                return None

    def _judge(self, outcome: Outcome[T]) -> None:
        """Count an outcome, and see whether the job has to end."""
        self._counter.count(outcome)
        if self._journal is not None and (trouble := self._journal.error) is not None:
            self.stop(trouble)
        error = None if outcome.resumed else outcome.error
        self._refused = self._refused + 1 if isinstance(error, AuthenticationError) else 0
        if error is None:
            return
        if self._stop_on_error or self._refused >= _REFUSED_KEYS or isinstance(error, ClientClosedError):
            self.stop(error)
