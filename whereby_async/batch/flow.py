"""`Flow`: items in, outcomes out, over a few tasks and in bounded memory.

One task reads the input, so that an async generator lives in one task; it hands an item over when a worker is free. A worker takes
the next when its outcome has been taken (`concurrency` more may lie ready), so nothing piles up, however slow the consumer is.

There are twice as many workers as calls may be under way: an item whose answer was lost waits for minutes until it can be looked
up, and gives its slot to another meanwhile. If all of them wait for that, so does the job: a service that loses every answer is
not worth more.

*In order:* an outcome that comes before its turn is kept, and the reader stays at most `4 * concurrency` items ahead of the one
whose turn it is. *Stopping* only ends the reading: what is under way comes out, then `error` says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import anyio

from ..errors import AuthenticationError, ClientClosedError

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from .account import Account
    from .options import BatchOptions
    from .outcome import Outcome
    from .performing import Performer
    from .source import Item, Source

T = TypeVar("T")

_AHEAD: Final = 4
"""Times `concurrency`: how far an ordered batch may be ahead of the item whose turn it is."""
_REFUSED_KEYS: Final = 5
"""How many 401s in a row it takes to believe that the key is refused."""


class Flow(Generic[T]):
    """The tasks of a batch that read, call and hand over.

    Attributes:
        error: Why no further item is begun, if the job did not end by itself.
    """

    def __init__(self, source: Source, performer: Performer[T], account: Account, options: BatchOptions) -> None:
        """Made when the batch is entered."""
        self._source = source
        self._performer = performer
        self._account = account
        self._stop_on_error = options.stop_on_error
        self._concurrency = options.concurrency
        self._reading = anyio.CancelScope()
        self._stopped = False
        self._refused = 0
        self._turns = anyio.Semaphore(_AHEAD * options.concurrency) if options.ordered else None
        self._turn = 0
        self._early: dict[int, Outcome[T]] = {}
        self._ready: MemoryObjectReceiveStream[Outcome[T]]
        self._send, self._ready = anyio.create_memory_object_stream["Outcome[T]"](options.concurrency)
        self.error: Exception | None = None

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
            self.error = error
            self._reading.cancel()

    def close(self) -> None:
        """Nobody takes outcomes any more."""
        self._ready.close()

    @property
    def crowded(self) -> bool:
        """As many outcomes lie ready as may."""
        return self._ready.statistics().current_buffer_used >= self._concurrency

    async def next(self) -> Outcome[T] | None:
        """The next outcome; `None` after the last."""
        if self._turns is None:
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
        self._turns.release()
        return outcome

    async def _arrival(self) -> Outcome[T] | None:
        try:
            return await self._ready.receive()
        except anyio.EndOfStream:
            return None

    async def _read(self, give: MemoryObjectSendStream[Item]) -> None:
        with give, self._reading:
            while True:
                if self._turns is not None:
                    await self._turns.acquire()
                try:
                    item = await self._source.next()
                except Exception as error:  # noqa: BLE001 - the caller's iterable; the consumer is told
                    self.error = self.error or error
                    return
                if item is None:
                    return
                await give.send(item)

    async def _work(self, items: MemoryObjectReceiveStream[Item], send: MemoryObjectSendStream[Outcome[T]]) -> None:
        with items, send:
            async for item in items:
                outcome = await self._outcome(item)
                if outcome is not None:
                    self._judge(outcome)
                    await send.send(outcome)

    async def _outcome(self, item: Item) -> Outcome[T] | None:
        """What came of it; `None` if it was not begun."""
        async with self._performer.slots:
            if self._stopped:
                return None
            self._account.under_way += 1
            try:
                return await self._performer.outcome(item)
            except Exception as error:  # noqa: BLE001 - not the item's own: the journal's
                self.stop(error)
                return None
            finally:
                self._account.under_way -= 1

    def _judge(self, outcome: Outcome[T]) -> None:
        """Count an outcome, and see whether the job has to end."""
        self._account.count(outcome)
        if (trouble := self._performer.notes.trouble) is not None:
            self.stop(trouble)
        error = None if outcome.resumed else outcome.error
        self._refused = self._refused + 1 if isinstance(error, AuthenticationError) else 0
        if error is None:
            return
        if self._stop_on_error or self._refused >= _REFUSED_KEYS or isinstance(error, ClientClosedError):
            self.stop(error)
