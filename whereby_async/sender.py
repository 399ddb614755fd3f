"""Sends requests: the one loop that every attempt of every call goes through, and the options that it goes by.

Per attempt: points from the limiter, a slot and an answer from the pool, the answer's word back to the limiter; then
the result, an error, or another attempt. Building, decoding, classifying, delaying and accounting are pure functions
elsewhere.

On cancel, at any await: a permit whose request never left goes back, one whose request may have left stays spent.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import UNSET, UnsetType

from .call_events import CallEvents, CallListeners, Subscriptions, call_listeners
from .context import current_answers, current_batch, current_priority
from .errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetError,
    ClientClosedError,
    ConfigurationError,
    RateLimitError,
    ResponseDecodeError,
    WherebyError,
)
from .limiter.point_budget import never, quick_grant
from .limiter.protocol import Priority
from .notify import logger
from .rate_limit import RateLimit
from .status_errors import status_error
from .transport import SUCCESS, Exchange, RetryBudget

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Mapping

    from .hooks import Hook
    from .limiter.protocol import Limiter, Permit
    from .operation import Operation, Request
    from .redaction import Secret
    from .transport import Answer, RetryPolicy, SessionPool

T = TypeVar("T")
E = TypeVar("E", bound=WherebyError)

_BATCH: Final = Priority.BATCH
_NORMAL: Final = Priority.NORMAL


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class SendOptions:
    """What a view of the client may replace.

    Attributes:
        headers: Sent with every request; the bearer among them, as a `Secret`.
        key_source: Where the key came from, for the advice after a 401.
        timeout: Seconds for one attempt.
        max_wait: Seconds that one call may wait for points, or `None`.
        max_outage: Seconds that one call may wait for a service that can not be reached, or `None`; by what is called
            unless set.
        priority: The client's priority, which `use_priority` overrides, or `None`.
        pinned_priority: The priority of `with_options`, which only a batch overrides, or `None`.
    """

    headers: Mapping[str, str]
    key: Secret
    key_source: str
    limiter: Limiter
    retry: RetryPolicy
    timeout: float
    max_wait: float | None
    max_outage: float | UnsetType | None
    priority: Priority | None
    pinned_priority: Priority | None = None

    def call_priority(self) -> Priority:
        """The priority of a call made now: a batch's > `with_options` > `use_priority` > client > `NORMAL`."""
        if current_batch.get() is not None:
            return _BATCH
        priority = self.pinned_priority
        if priority is None:
            priority = current_priority.get()
        if priority is None:
            priority = self.priority
        return _NORMAL if priority is None else priority


class WaitingCalls:
    """The calls of one client that wait for points or pause before another attempt, over all its loops and threads.

    Closing the client ends these waits. A limiter may be shared with other clients, so it is not closed with one: the
    waiting task is cancelled, and the block that waits swallows the cancellation. A cancel by the caller at the same
    moment wins.
    """

    def __init__(self) -> None:
        self._closed = False
        self._tasks: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()

    async def pause(self, seconds: float, *, until: asyncio.Event | None = None) -> None:
        """Sleep for so many seconds, but no longer than until `close` is called, or `until` is set."""
        with self.until_closed() as is_open:
            if is_open and until is None:
                await asyncio.sleep(seconds)
            elif is_open and until is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await until.wait()

    @contextlib.contextmanager
    def until_closed(self) -> Generator[bool]:
        """A block that `close` ends without an error; `as` tells whether the client is still open."""
        task = _current_task()
        self._tasks.add(task)
        try:
            # Asked after the task has been added, so that a close in another thread cannot miss it.
            yield not self._closed
        except asyncio.CancelledError:
            if task not in self._ended or task.uncancel():
                raise
        finally:
            self._tasks.discard(task)
            self._ended.discard(task)

    def close(self) -> None:
        """End every wait, each in its own loop, and let no other begin."""
        self._closed = True
        for task in list(self._tasks):
            with contextlib.suppress(RuntimeError):  # in a loop that is closed nobody waits
                task.get_loop().call_soon_threadsafe(self._end, task)

    def _end(self, task: asyncio.Task[object]) -> None:
        if task in self._tasks and task not in self._ended:
            self._ended.add(task)
            task.cancel()


def _current_task() -> asyncio.Task[object]:
    with contextlib.suppress(RuntimeError):
        if (task := asyncio.current_task()) is not None:
            return task
    advice = "whereby_async runs on asyncio or uvloop, not on trio; start it with asyncio.run(…)"
    raise ConfigurationError(f"there is no asyncio task here: {advice}")


class SharedState:
    """What all views of one client have in common.

    Attributes:
        base_url: The API's root, without a slash at its end.
        call_listeners: The hooks that hear of calls; `None` if there are none.
        subscriptions: The limiters that the hooks are subscribed to.
        retry_budget: Bounds the retries of all calls together.
        waiting: Calls that wait for points, or for their next attempt.
    """

    __slots__ = ("base_url", "call_listeners", "closed", "pool", "retry_budget", "subscriptions", "waiting")

    def __init__(self, base_url: str, pool: SessionPool, hooks: tuple[Hook, ...]) -> None:
        self.base_url: str = base_url
        self.pool: SessionPool = pool
        self.call_listeners: CallListeners | None = call_listeners(hooks)
        self.subscriptions: Subscriptions = Subscriptions(hooks)
        self.retry_budget: RetryBudget = RetryBudget()
        self.waiting: WaitingCalls = WaitingCalls()
        self.closed: bool = False


class ClientSender:
    """Sends requests as one view of the client would; what resources and paginators hold."""

    __slots__ = ("_pinned", "_quick_grant", "options", "shared")

    def __init__(self, shared: SharedState, options: SendOptions) -> None:
        self.shared: SharedState = shared
        self.options: SendOptions = options
        self._quick_grant = quick_grant(options.limiter)
        self._pinned: dict[Priority, ClientSender] = {}

    def pinned(self) -> ClientSender:
        """The same sender, its priority fixed as it is now."""
        priority = self.options.call_priority()
        pinned = self._pinned.get(priority)
        if pinned is None:
            options = dataclasses.replace(self.options, pinned_priority=priority)
            pinned = self._pinned[priority] = ClientSender(self.shared, options)
        return pinned

    def send(self, request: Request[T], /) -> Coroutine[Any, Any, T]:
        """Send a request until it is answered, refused or out of attempts."""
        listeners = self.shared.call_listeners
        return self._send(request) if listeners is None else self._send_with_hooks(request, listeners)

    async def _send_with_hooks(self, request: Request[T], listeners: CallListeners) -> T:
        events = CallEvents(listeners, request.operation, self.options.call_priority())
        try:
            events.begin(request, self.shared.base_url)
            result = await self._send(request, events)
        except BaseException as error:
            events.end(error)
            raise
        events.end(None)
        return result

    async def _send(self, request: Request[T], events: CallEvents | None = None) -> T:
        shared, options, operation = self.shared, self.options, request.operation
        priority = options.call_priority()
        at_once = self._quick_grant  # grants nothing to a batch
        permit: Permit | None = None
        error: WherebyError | None = None
        attempt = failures = 0
        while not shared.closed:
            attempt += 1
            # The exchange is made before points are granted: whatever is wrong with a request costs none.
            exchange = Exchange(request, shared.base_url, options.headers, options.timeout, priority)
            # Points: at once if there are any and nobody waits, else the limiter is asked, which keeps a retry's place.
            earlier, permit = permit, at_once(operation.cost, operation.name, priority)
            if permit is None:
                permit = await self._points(operation, priority, earlier, error, events)
            at_once = never
            try:
                if events:
                    events.attempt(permit, earlier)
                answer = await shared.pool.send(exchange)
            except BaseException as failure:  # noqa: BLE001 - raised again in there, once the permit has ended
                error = _unanswered(failure, exchange, permit, error, events)
            else:
                # An answer came: what it says of the budget counts, whatever its status.
                rate_limit = RateLimit.from_response(answer.status, answer.headers, answer.body)
                permit.settle(rate_limit)
                if (answers := current_answers.get()) is not None or events:
                    _show(answer, rate_limit, answers, events)
                if answer.status in SUCCESS:
                    shared.retry_budget.give_back()
                    return _result(operation, answer)
                error = _remember(_refusal(operation, answer, rate_limit, options), error)
            # The attempt failed: raise its error, or wait and go round again. A 429 does not count.
            failures += not isinstance(error, RateLimitError)
            await self._before_retry(operation, error, attempt, failures, events)
        raise error or ClientClosedError(f"{operation.name}: the client is closed; create a new one")

    async def _points(
        self,
        operation: Operation[Any],
        priority: Priority,
        earlier: Permit | None,
        error: WherebyError | None,
        events: CallEvents | None,
    ) -> Permit:
        """Wait for points, or raise what the call ends with if it gets none."""
        name, batch, refusal = operation.name, current_batch.get(), None
        limiter = self.options.limiter if batch is None else batch.limiter(self.options.limiter, operation)
        if events:
            events.ask()
        try:
            with self.shared.waiting.until_closed() as is_open:
                if is_open:
                    max_wait = self.options.max_wait
                    return await limiter.acquire(
                        operation.cost, operation=name, priority=priority, max_wait=max_wait, after=earlier
                    )
        except (BudgetError, ClientClosedError) as refused:
            refusal = refused
        if refusal is None:
            sent = "nothing was sent" if earlier is None else "it was not sent again"
            refusal = ClientClosedError(f"{name}: the client was closed while the call waited for points; {sent}")
        # If something was sent, what came of that is the truth, and not our own refusal to send it again.
        raise error if error and isinstance(refusal, BudgetError) else _remember(refusal, error)

    async def _before_retry(
        self, operation: Operation[Any], error: WherebyError, attempt: int, failures: int, events: CallEvents | None
    ) -> None:
        """Wait until the next attempt may ask for points, or raise `error` if there is to be none.

        After a 429 there is nothing to wait for here: the limiter holds everyone back until the server's time.
        """
        delay, when = 0.0, "as soon as there are points"
        if not isinstance(error, RateLimitError):
            drawn = random.random()  # noqa: S311 - spreads retries, guards nothing
            later = self.options.retry.delay(failures, error, idempotent=operation.idempotent, jitter=drawn)
            if later is None or not self.shared.retry_budget.take():
                raise error
            delay, when = later, f"in {later:.3f} s"
        reason = _reason(error)
        logger.debug("%s: attempt %d failed (%s); again %s", operation.name, attempt, reason, when)
        if events:
            events.retry(delay, reason, error)
        if delay:
            await self.shared.waiting.pause(delay)


def _show(answer: Answer, rate_limit: RateLimit, answers: list[Answer] | None, events: CallEvents | None) -> None:
    """Show an answer to `capture_responses` and to the hooks."""
    if answers is not None:
        answers.append(answer)
    if events:
        events.answered(answer.status, len(answer.body), rate_limit)


def _remember(error: E, earlier: WherebyError | None) -> E:
    """The same error; what an earlier attempt may have done stays true, whatever became of the later ones."""
    if earlier is not None and earlier.may_have_happened:
        error.may_have_happened = True
    return error


def _unanswered(
    failure: BaseException, exchange: Exchange, permit: Permit, earlier: WherebyError | None, events: CallEvents | None
) -> APIConnectionError:
    """End the permit of an attempt without an answer. Raises everything again except APIConnectionError."""
    unspent = 0
    if exchange.heard is not None:  # the body did not come, but what the headers say of the budget is true
        permit.settle(RateLimit.from_response(*exchange.heard))
    elif exchange.left:
        permit.lost()
    else:
        permit.release()
        unspent = permit.cost
    if events:
        events.unanswered(exchange.heard and exchange.heard[0], unspent)
    if isinstance(failure, WherebyError):
        _remember(failure, earlier)
    if not isinstance(failure, APIConnectionError):
        raise failure
    if not _in_a_loop():  # the coroutine is being dropped, and its connection was dropped before it
        raise GeneratorExit
    return failure


def _in_a_loop() -> bool:
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False


def _refusal(operation: Operation[Any], answer: Answer, rate_limit: RateLimit, options: SendOptions) -> APIStatusError:
    """The error for an answer that is not 2xx."""
    key, source = options.key, options.key_source
    return status_error(operation.name, answer.status, answer.body, rate_limit=rate_limit, key=key, key_source=source)


def _result(operation: Operation[T], answer: Answer) -> T:
    try:
        return operation.decode(answer.body)
    except ResponseDecodeError as error:
        failure = error.during(operation.name)
    raise failure


def _reason(error: WherebyError) -> str:
    if isinstance(error, RateLimitError):
        return "throttled"
    if isinstance(error, APIStatusError):
        return f"status {error.status}"
    return "timeout" if isinstance(error, APITimeoutError) else "connection"
