"""`Batch`: many calls of one method, from an input to outcomes: entered, iterated, left.

*Leaving early*, by a `break`, an error in the block or a cancel, ends the calls under way; the keys of those that may have happened
are in `in_doubt` and in the log. The journal is written to its end before the block is left, whatever happens.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast

import anyio

from ..context import current_batch
from ..errors import ConfigurationError
from ..notify import logger
from ..sender import ClientSender
from .account import Account
from .calls import ItemCalls, Tally
from .flow import Flow
from .journal import Identity, Journal, key_digest
from .methods import Method
from .notes import Notes
from .performing import Performer
from .rooms import Rooms
from .scribe import Scribe
from .settle import Settler
from .source import Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from anyio.abc import TaskGroup

    from ..limiter.protocol import Limiter
    from ..resources import Meetings
    from .options import BatchOptions
    from .outcome import Outcome
    from .progress import OnProgress, Progress
    from .source import KeyOf, Requests

T = TypeVar("T")

_ABSENT_AFTER: Final = 3
"""Times `timeout`."""


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
        self._source = Source(requests, key, self._method)
        self._keyed = key is not None
        self._group: TaskGroup | None = None
        self._entered = False
        self._scribe: Scribe | None = None
        self._settler: Settler | None = None
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
        self._notes = Notes(self._scribe, keyed=self._keyed)
        self._tally = Tally()
        self._account = Account(self._limiter, self._tally, self._price(), self._source.total)
        rooms = self._rooms() if self._method.makes_rooms else None
        self._performer = Performer(
            self._method,
            self._notes,
            rooms,
            tally=self._tally,
            concurrency=self._options.concurrency,
            retry_failed=self._options.retry_failed,
            refetch=self._options.refetch,
        )
        self._flow = Flow(self._source, self._performer, self._account, self._options)
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

    @property
    def _limiter(self) -> Limiter:
        return self._sender.options.limiter

    def _price(self) -> int | None:
        operation = self._method.operation
        return None if operation is None else self._limiter.snapshot().costs.get(operation.name, operation.cost)

    def _rooms(self) -> Rooms:
        journal = self._scribe.journal if self._scribe else None
        timeout = self._sender.options.timeout
        longest = max(timeout, journal.timeout if journal else 0.0)
        absent_after = self._options.absent_after
        meetings = cast("Meetings", self._method.resource)
        self._settler = Settler(
            meetings,
            timeout=timeout,
            absent_after=_ABSENT_AFTER * longest if absent_after is None else absent_after,
        )
        return Rooms(
            meetings,
            self._settler,
            self._method.keywords,
            job=journal.job if journal else secrets.token_hex(8),
            mark=self._options.mark,
            timeout=timeout,
            over_at=anyio.current_time() + longest,
        )

    def _start(self, group: TaskGroup) -> None:
        self._flow.start(group)
        if self._settler is not None:
            group.start_soon(self._look, self._settler)
        if self._scribe is not None:
            group.start_soon(self._scribe.run)
        if self._options.on_progress is not None:
            group.start_soon(self._tell_now_and_then, self._options.on_progress)

    async def _look(self, settler: Settler) -> None:
        current_batch.set(ItemCalls(self._tally, patient=True))
        await settler.run()

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

    # Outcomes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[T]:
        if self._group is None:
            msg = "a batch runs inside of `async with client.batch(…) as outcomes:`: iterate there"
            raise RuntimeError(msg)
        outcome = await self._flow.next()
        if outcome is not None:
            return outcome
        self._account.close()
        error, self._flow.error = self._flow.error, None
        if error is not None:
            raise error
        raise StopAsyncIteration

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
        return self._account.progress(crowded=self._flow.crowded)

    @property
    def in_doubt(self) -> tuple[str, ...]:
        """Keys of items whose call may have happened, and which have no outcome: while it runs those under way; after it was
        left those that were; with a journal also those of earlier runs that have not come up again.
        """
        return self._notes.doubtful() if self._entered else ()

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
        except Exception:  # noqa: BLE001 - the caller's own; logged below
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
