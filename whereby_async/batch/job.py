"""`Batch`: many calls of one method, from an input to outcomes, over a few tasks.

One task reads the input, `concurrency` tasks make the calls, one looks for lost rooms, one writes the journal. Items wait in no
queue: the reader hands one over when a worker is free, and a worker takes the next when its outcome has been taken (as many
again may lie ready), so memory does not grow with the job, however slow the consumer is.

*In order:* an outcome that comes before its turn is kept, and the reader stays at most `4 * concurrency` items ahead of the one
whose turn it is. *Stopping:* whatever ends a job early (the input raises, the journal can not be written, the key is refused,
`stop_on_error`) only ends the reading: what is under way comes out, then the iteration raises. *Leaving:* a `break`, an error in the
block or a cancel ends the calls under way; the keys of those that may have happened are in `in_doubt` and in the log.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast

import anyio

from ..errors import AuthenticationError, ClientClosedError, ConfigurationError
from ..hooks import logger
from ..scopes import current_batch
from ..sender import ClientSender
from .account import Account
from .calls import ItemCalls
from .journal import Identity, Journal, key_digest
from .methods import Method
from .performing import Performer
from .scribe import Scribe
from .settle import Settler
from .source import Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from ..operation import Operation
    from ..resources import Meetings
    from .options import BatchOptions
    from .outcome import Outcome
    from .progress import OnProgress, Progress
    from .source import Item, KeyOf, Requests

T = TypeVar("T")

_AHEAD: Final = 4
"""Times `concurrency`: how far an ordered batch may be ahead of the item whose turn it is."""
_ABSENT_AFTER: Final = 3
"""Times `timeout`."""
_REFUSED_KEYS: Final = 5
"""How many 401s in a row it takes to believe that the key is refused."""


class Batch(Generic[T]):
    """Many calls of one method. Made by `WherebyClient.batch`; an async context manager and an async iterator of outcomes.

    ```python
    async with client.batch(client.meetings.create, requests, journal="run.jsonl") as outcomes:
        async for outcome in outcomes:
            print(outcome.key, outcome.state)
    ```

    Entering it opens the journal and begins the calls. Leaving it early ends those under way.

    Iterating raises, after what was under way has come out: what the input raised; `JournalError`; `AuthenticationError` when
    the key is refused again and again; `ClientClosedError`; with `stop_on_error` the first item's error.
    """

    def __init__(
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
        self._source = Source(requests, key, self._method)
        self._keyed = key is not None
        self._group: TaskGroup | None = None
        self._entered = False
        self._reading = anyio.CancelScope()
        self._stopped = False
        self._error: Exception | None = None
        self._refused = 0
        self._scribe: Scribe | None = None
        self._complained = False

    def __repr__(self) -> str:
        return f"<Batch of {self._method.name}>"

    # Coming and going

    async def __aenter__(self) -> Self:
        if self._entered:
            msg = "this batch was entered before: make another one"
            raise RuntimeError(msg)
        self._entered = True
        if self._options.journal is not None:
            self._scribe = Scribe(await opened(self._options.journal, self._identity()))
        self._performer = self._make_performer()
        seed = self._method.operation
        self._account = Account(
            self._sender.options.limiter, self._performer.tally, seed and self._known_price(seed), self._source.total
        )
        self._group = await anyio.create_task_group().__aenter__()
        self._start(self._group)
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

    def _make_performer(self) -> Performer[T]:
        journal = self._scribe.journal if self._scribe else None
        timeout = self._sender.options.timeout
        longest = max(timeout, journal.timeout if journal else 0.0)
        absent_after = self._options.absent_after
        self._settler: Settler | None = None
        if self._method.makes_rooms:
            self._settler = Settler(
                cast("Meetings", self._method.resource),
                timeout=timeout,
                absent_after=_ABSENT_AFTER * longest if absent_after is None else absent_after,
            )
        return Performer(
            self._method,
            scribe=self._scribe,
            settler=self._settler,
            job=journal.job if journal else secrets.token_hex(8),
            mark=self._options.mark,
            retry_failed=self._options.retry_failed,
            refetch=self._options.refetch,
            keyed=self._keyed,
            timeout=timeout,
            over_at=anyio.current_time() + longest,
        )

    def _known_price(self, operation: Operation[Any]) -> int:
        return self._sender.options.limiter.snapshot().costs.get(operation.name, operation.cost)

    def _start(self, group: TaskGroup) -> None:
        concurrency = self._options.concurrency
        ahead = _AHEAD * concurrency
        self._turns = anyio.Semaphore(ahead, max_value=ahead) if self._options.ordered else None
        self._early: dict[int, Outcome[T]] = {}
        self._turn = 0
        give, items = anyio.create_memory_object_stream["Item"](0)
        self._outcomes: MemoryObjectReceiveStream[Outcome[T]]
        send, self._outcomes = anyio.create_memory_object_stream["Outcome[T]"](concurrency)
        group.start_soon(self._read, give)
        with items, send:
            for _ in range(concurrency):
                group.start_soon(self._work, items.clone(), send.clone())
        if self._settler is not None:
            group.start_soon(self._look, self._settler)
        if self._scribe is not None:
            group.start_soon(self._scribe.run)
        if self._options.on_progress is not None:
            group.start_soon(self._tell_now_and_then, self._options.on_progress)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group, self._group = self._group, None
        if group is None:
            return
        self._stopped = True
        try:
            group.cancel_scope.cancel()
            # Not told of the block's own error, which would come out wrapped in a group: it goes on as it is.
            await group.__aexit__(None, None, None)
        finally:
            await self._clean_up()

    async def _clean_up(self) -> None:
        self._outcomes.close()
        self._account.close()
        self._account.under_way = 0
        with anyio.CancelScope(shield=True):
            try:
                await self._source.aclose()
            finally:
                if self._scribe is not None:
                    await self._scribe.aclose()
        self._tell_last()
        if doubtful := self.in_doubt:
            more = f" and {len(doubtful) - 10} more" if len(doubtful) > 10 else ""  # noqa: PLR2004 - enough to see
            logger.warning(
                "batch of %s: left with %d calls of which nobody knows whether they happened: %s%s%s",
                self._method.name,
                len(doubtful),
                ", ".join(doubtful[:10]),
                more,
                "; the next run with this journal will find out" if self._scribe else "",
            )

    # The tasks

    async def _read(self, give: MemoryObjectSendStream[Item]) -> None:
        with give, self._reading:
            while not self._stopped:
                if self._turns is not None:
                    await self._turns.acquire()
                try:
                    item = await self._source.next()
                except Exception as error:  # noqa: BLE001 - the caller's iterable; it is told to the consumer
                    self._stop(error)
                    return
                if item is None:
                    return
                await give.send(item)

    async def _work(self, items: MemoryObjectReceiveStream[Item], send: MemoryObjectSendStream[Outcome[T]]) -> None:
        with items, send:
            async for item in items:
                if self._stopped:
                    continue
                self._account.under_way += 1
                try:
                    outcome = await self._performer.outcome(item)
                except Exception as error:  # noqa: BLE001 - no item's own: the journal's
                    self._stop(error)
                    continue
                finally:
                    self._account.under_way -= 1
                self._judge(outcome)
                await send.send(outcome)

    def _judge(self, outcome: Outcome[T]) -> None:
        """Count an outcome, and see whether the job has to end."""
        self._account.count(outcome)
        error = outcome.error
        if self._performer.trouble is not None:
            self._stop(self._performer.trouble)
        if error is None or outcome.resumed:
            self._refused = 0
            return
        self._refused = self._refused + 1 if isinstance(error, AuthenticationError) else 0
        if self._options.stop_on_error or self._refused >= _REFUSED_KEYS or isinstance(error, ClientClosedError):
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        """Begin no further item; the iteration will end with this error."""
        if not self._stopped:
            self._stopped = True
            self._error = error
            self._reading.cancel()

    async def _look(self, settler: Settler) -> None:
        current_batch.set(ItemCalls(self._performer.tally, patient=True))
        await settler.run()

    # Outcomes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[T]:
        if self._group is None:
            msg = "a batch runs inside of `async with client.batch(…) as outcomes:`: iterate there"
            raise RuntimeError(msg)
        outcome = await (self._arrival() if self._turns is None else self._in_turn())
        if outcome is not None:
            return outcome
        self._account.close()
        error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopAsyncIteration

    async def _arrival(self) -> Outcome[T] | None:
        try:
            return await self._outcomes.receive()
        except anyio.EndOfStream:
            return None

    async def _in_turn(self) -> Outcome[T] | None:
        early = self._early
        while self._turn not in early:
            outcome = await self._arrival()
            if outcome is None:
                break
            early[outcome.index] = outcome
        if not early:
            return None
        self._turn = min(early)  # not the next one only if that was never begun, since the job was stopped
        outcome = early.pop(self._turn)
        self._turn += 1
        if self._turns is not None:
            self._turns.release()
        return outcome

    # Telling

    @property
    def progress(self) -> Progress:
        """How far it has come; after the end how far it came.

        Raises:
            RuntimeError: It was not entered yet.
        """
        if not self._entered:
            msg = "a batch has no progress before it is entered"
            raise RuntimeError(msg)
        ready = self._outcomes.statistics().current_buffer_used
        return self._account.progress(crowded=ready >= self._options.concurrency)

    @property
    def in_doubt(self) -> tuple[str, ...]:
        """Keys of items whose call may have happened, and which have no outcome: while it runs those under way; after it was
        left those that were; with a journal also those of earlier runs that have not come up again.
        """
        if not self._entered:
            return ()
        earlier = self._scribe.journal.begun if self._scribe else ()
        return tuple(dict.fromkeys((*self._performer.in_doubt, *sorted(earlier))))

    async def _tell_now_and_then(self, tell: OnProgress) -> None:
        while True:
            await anyio.sleep(self._options.progress_interval)
            self._tell(tell)

    def _tell_last(self) -> None:
        if self._options.on_progress is not None:
            self._tell(self._options.on_progress)

    def _tell(self, tell: OnProgress) -> None:
        try:
            tell(self.progress)
        except Exception:
            if not self._complained:
                self._complained = True
                logger.exception("on_progress raised; the batch goes on, and this is said only once")


def _sender_of(method: Method[Any], sender: ClientSender) -> ClientSender:
    """Who sends the method's calls: the client, or a view of it.

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


async def opened(path: str, identity: Identity) -> Journal:
    """A journal, opened in a thread; if nobody waits for it any more when it is open, it is closed again."""
    opening = asyncio.get_running_loop().run_in_executor(None, Journal, path, identity)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_let_go)
        raise


def _let_go(opening: asyncio.Future[Journal]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().file.close()
