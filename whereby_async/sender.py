"""Sends requests: the one loop that every attempt of every call goes through, and the options that it goes by.

Per attempt: points from the limiter, a slot and an answer from the pool, the answer's word back to the limiter; then
the result, an error, or another attempt. Building, decoding, classifying, delaying and accounting are pure functions
elsewhere.

A service that can not be reached is waited for before points are asked for, and it is looked at again when they are
granted and when a slot is: what never left gives its points back, keeps its place, and is no attempt. Calls whose
`max_outage` is 0 do not look.

On cancel, at any await: a permit whose request never left goes back, one whose request may have left stays spent.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

from msgspec import UNSET, UnsetType

from .call_events import CallEvents, CallListeners, Subscriptions, call_listeners, calls_are_logged
from .context import current_answers, current_batch, current_priority
from .deprecation import DEPRECATION, SUNSET, Deprecations
from .errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetError,
    ClientClosedError,
    ConfigurationError,
    RateLimitError,
    ResponseDecodeError,
    ServiceUnavailableError,
    WherebyError,
)
from .limiter.point_budget import never, quick_grant
from .limiter.protocol import Priority
from .models.decoding import Decoder
from .notify import logger, name_in_log
from .rate_limit import RateLimit
from .status_errors import status_error
from .transport import GATEWAY_FAILURES, LONGEST_PROBE, SUCCESS, Exchange, RetryBudget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping

    from .hooks import Hook
    from .limiter.protocol import Limiter, Permit
    from .models.model import UnreadableValue
    from .operation import Operation, Request
    from .redaction import Secret
    from .transport import Answer, Reachability, ReachabilitySnapshot, RetryPolicy, SessionPool

T = TypeVar("T")
E = TypeVar("E", bound=WherebyError)

_BATCH: Final = Priority.BATCH
_NORMAL: Final = Priority.NORMAL

_MAX_OUTAGE: Final = {Priority.INTERACTIVE: 0.0, Priority.NORMAL: 2.0, Priority.BATCH: 900.0}
"""Seconds that a call waits for a service that can not be reached, unless told."""
LONG_OUTAGE: Final = 900.0
"""The same for what takes long: downloads, and waits for a transcription or a summary."""


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

    def outage_limits(self) -> list[float]:
        """The most seconds that a call may wait for a service that can not be reached, for each priority."""
        given = self.max_outage
        if given is UNSET:
            return [_MAX_OUTAGE[priority] for priority in Priority]
        return [math.inf if given is None else given] * len(Priority)


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
        safe_read: The cheapest request that changes nothing, by which it is tried whether the service is back.
        reachability: Whether the API can be reached.
        call_listeners: The hooks that hear of calls.
        deprecations: What answers say of the end of their operations.
        subscriptions: The limiters that the hooks are subscribed to.
        retry_budget: Bounds the retries of all calls together.
        waiting: Calls that wait for points, or for their next attempt.
        partly_read: The operations that have had an answer with a value that could not be read.
    """

    __slots__ = (
        *("base_url", "call_listeners", "closed", "deprecations", "partly_read", "pool", "reachability"),
        *("retry_budget", "safe_read", "subscriptions", "waiting"),
    )

    def __init__(self, base_url: str, pool: SessionPool, hooks: tuple[Hook, ...], safe_read: Request[Any]) -> None:
        self.base_url: str = base_url
        self.safe_read: Request[Any] = safe_read
        self.pool: SessionPool = pool
        self.call_listeners: CallListeners = call_listeners(hooks)
        self.deprecations: Deprecations = Deprecations(base_url, hooks)
        self.subscriptions: Subscriptions = Subscriptions(hooks)
        self.reachability: Reachability = self.reachability_of(base_url)
        self.retry_budget: RetryBudget = RetryBudget()
        self.waiting: WaitingCalls = WaitingCalls()
        self.closed: bool = False
        self.partly_read: set[str] = set()

    def reachability_of(self, url: str) -> Reachability:
        """What is known of the origin that a URL leads to; the hooks hear of it from now on."""
        found = self.pool.reachability(url)
        self.subscriptions.add_reachability(found)
        return found

    def result(self, request: Request[T], answer: Answer) -> T:
        """What an operation returns for a good answer; the first with an unreadable value is logged.

        Raises:
            ResponseDecodeError: The answer is not what the operation returns.
        """
        operation = request.operation
        decode, body = operation.decode, answer.body
        unreadable: list[UnreadableValue] = []
        try:
            is_ours = isinstance(decode, Decoder)
            result = cast("Decoder[T]", decode)(body, unreadable) if is_ours else decode(body)
        except ResponseDecodeError as error:
            failure = error.during(operation.name, *request.secrets())
        else:
            if unreadable and operation.name not in self.partly_read:
                self.partly_read.add(operation.name)
                _warn_of_unreadable(operation.name, unreadable[0])
            return result
        raise failure


class ClientSender:
    """Sends requests as one view of the client would; what resources and paginators hold."""

    __slots__ = ("_outage_limits", "_pinned", "_quick_grant", "options", "shared")

    def __init__(self, shared: SharedState, options: SendOptions) -> None:
        self.shared: SharedState = shared
        self.options: SendOptions = options
        self._quick_grant = quick_grant(options.limiter)
        self._outage_limits = options.outage_limits()
        self._pinned: dict[Priority, ClientSender] = {}

    def pinned(self) -> ClientSender:
        """The same sender, its priority fixed as it is now."""
        priority = self.options.call_priority()
        pinned = self._pinned.get(priority)
        if pinned is None:
            options = dataclasses.replace(self.options, pinned_priority=priority)
            pinned = self._pinned[priority] = ClientSender(self.shared, options)
        return pinned

    def patient(self) -> ClientSender:
        """The same sender for work that takes long: its calls wait out an outage, unless `max_outage` was set."""
        if self.options.max_outage is not UNSET:
            return self
        return ClientSender(self.shared, dataclasses.replace(self.options, max_outage=LONG_OUTAGE))

    def outage_limit(self, priority: Priority) -> float:
        """The most seconds that a call of this priority, made now, may wait for a service that can not be reached."""
        batch = current_batch.get() if priority is _BATCH else None
        if batch is None or batch.max_outage is UNSET:
            return self._outage_limits[priority]
        return math.inf if batch.max_outage is None else batch.max_outage

    def send(self, request: Request[T], /) -> Coroutine[Any, Any, T]:
        """Send a request until it is answered, refused or out of attempts."""
        listeners = self.shared.call_listeners
        return self._send_told(request, listeners) if listeners or calls_are_logged() else self._send(request)

    async def _send_told(self, request: Request[T], listeners: CallListeners) -> T:
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
        reachability = shared.reachability
        priority = options.call_priority()
        outage_left = self._outage_limits[priority] if priority is not _BATCH else self.outage_limit(priority)
        waits = outage_left > 0
        at_once = self._quick_grant  # grants nothing to a batch
        permit: Permit | None = None
        error: WherebyError | None = None
        retries: _Retries | None = None
        while not shared.closed:
            # The exchange is made before points are granted: whatever is wrong with a request costs none.
            exchange = Exchange(
                request, shared.base_url, options.headers, options.timeout, priority, reachability, outage_left
            )
            # Points: at once if there are any and nobody waits, else the limiter is asked, which keeps a retry's place.
            grant = never if waits and reachability.unavailable else at_once
            earlier, permit = permit, grant(operation.cost, operation.name, priority)
            if permit is None:
                call = _Asking(operation, priority, earlier, error, events)
                permit, outage_left = await self._points(call, outage_left, again=earlier is not None)
            at_once = never
            try:
                if events:
                    events.attempt(permit)
                answer = await shared.pool.send(exchange)
            except BaseException as failure:  # noqa: BLE001 - raised again in there, once the permit has ended
                error = _unanswered(failure, exchange, permit, error, events)
            else:
                # An answer came: what it says of the budget and of the service counts, whatever its status.
                rate_limit = _settled(answer, exchange, permit, shared.deprecations)
                if (answers := current_answers.get()) is not None or events:
                    _show(answer, rate_limit, answers, events)
                if answer.status in SUCCESS:
                    shared.retry_budget.give_back()
                    return shared.result(request, answer)
                error = _remember(_refusal(request, answer, rate_limit, options, shared.base_url), error)
            # The attempt failed: raise its error, or wait and go round again.
            retries = retries or _Retries()
            await self._before_retry(exchange, error, retries, events)
        raise error or ClientClosedError(f"{operation.name}: the client is closed; create a new one")

    async def _points(self, call: _Asking, outage_left: float, *, again: bool) -> tuple[Permit, float]:
        """Wait until the service can be reached, and for points; the permit, and what is left of `outage_left`.

        Args:
            call: The call.
            outage_left: Seconds that it may still wait for the service; 0 or less: it does not look whether that is
                there.
            again: It has been on its way before.
        """
        reachability, name, waits = self.shared.reachability, call.operation.name, outage_left > 0
        while True:
            if waits and reachability.blocks(name):
                outage_left -= await self.until_reachable(
                    reachability, name, outage_left, self._probe, error=call.error, events=call.events
                )
            permit = await self._acquire(call)
            if call.events:
                call.events.granted(permit)
            if not (waits and reachability.blocks(name)):
                break
            permit.release()  # it keeps its place in the queue
            call = call._replace(earlier=permit)
        if (batch := current_batch.get()) is not None:
            await batch.announce(permit, call.operation, again=again)
        return permit, outage_left

    async def _acquire(self, call: _Asking) -> Permit:
        """Wait for points, or raise what the call ends with if it gets none."""
        operation, priority, earlier, error, events = call
        name, batch, refusal = operation.name, current_batch.get(), None
        limiter = self.options.limiter if batch is None else batch.limiter(self.options.limiter)
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

    async def until_reachable(  # noqa: PLR0913 - the last two are not for downloads
        self,
        reachability: Reachability,
        name: str,
        seconds: float,
        probe: Callable[[], Awaitable[None]],
        *,
        error: WherebyError | None = None,
        events: CallEvents | None = None,
    ) -> float:
        """Wait until calls of an operation can reach an origin; how many seconds that took, out of so many.

        Args:
            reachability: What is known of the origin.
            name: The operation's name.
            seconds: The most to wait.
            probe: Tries whether it is back, and says so.
            error: What the call's last attempt ended with, if there was one.
            events: The call's.

        Raises:
            ServiceUnavailableError: It could not be reached in that time, or can not be.
            ClientClosedError: The client was closed.
        """
        loop = asyncio.get_running_loop()
        began_at, back = loop.time(), False
        try:
            with self.shared.waiting.until_closed() as is_open:
                if is_open:
                    back = await reachability.wait(name, seconds, probe)
        finally:
            waited = loop.time() - began_at
            if events:
                events.away(waited)
        if back:
            return waited
        sent = "nothing was sent" if error is None or not error.may_have_happened else "it was not sent again"
        if self.shared.closed:
            refusal = ClientClosedError(f"{name}: the client was closed while the call waited for the service; {sent}")
            raise _remember(refusal, error) from error
        known = reachability.snapshot(name)
        raise _remember(_unavailable(name, known, reachability.way, sent), error) from error

    async def _probe(self) -> None:
        """Try whether the API is back. A read costs a point; a connection costs nothing."""
        pool, reachability = self.shared.pool, self.shared.reachability
        if reachability.needs_read or not pool.probes:
            reason, retry_after = await self._read(reachability)
        else:
            reason, retry_after = await pool.probe(reachability.origin), None
        if reason is None:
            reachability.reached()
        else:
            reachability.probe_failed(reason, retry_after)

    async def _read(self, reachability: Reachability) -> tuple[str | None, float | None]:
        """Why the service does not answer a safe read, or `None`, and the seconds after which it wants to be asked."""
        options, request, first = self.options, self.shared.safe_read, Priority.INTERACTIVE
        operation, timeout = request.operation, min(options.timeout, LONGEST_PROBE)
        exchange = Exchange(request, self.shared.base_url, options.headers, timeout, first, reachability)
        try:
            permit = await options.limiter.acquire(operation.cost, operation=operation.name, priority=first)
        except BudgetError as refusal:
            return str(refusal), None
        try:
            answer = await self.shared.pool.send(exchange)
        except BaseException as failure:  # noqa: BLE001 - raised again in there, once the permit has ended
            return str(_unanswered(failure, exchange, permit, None, None)), None
        rate_limit = _settled(answer, exchange, permit, self.shared.deprecations)
        failed = answer.status in GATEWAY_FAILURES
        return (f"it answers {answer.status}", rate_limit.retry_after) if failed else (None, None)

    async def _before_retry(
        self, exchange: Exchange, error: WherebyError, retries: _Retries, events: CallEvents | None
    ) -> None:
        """Wait until the next attempt may ask for points, or raise `error` if there is to be none.

        There is nothing to wait for here after a 429, since the limiter holds everyone back until the server's time,
        and after an attempt that never left, if the call waits for the service. Nor do those count. For a call that
        waits, attempts before an outage count for nothing after it, and a retry that meets one draws nothing from the
        retry budget: only time counts then, and nobody hammers a service that can not be reached.
        """
        name, reachability, budget = exchange.request.operation.name, exchange.reachability, self.shared.retry_budget
        waits, delay = exchange.patience > 0, 0.0
        unsent = waits and exchange.refused is not None
        counts = not unsent and not isinstance(error, RateLimitError)
        if counts:
            retries.count(reachability.outages if waits else 0)
            delay = self._delay(exchange, error, retries.failures)
        if events:
            events.retry(delay, _reason(error), error)
        if delay:
            await self.shared.waiting.pause(delay)
        if unsent and retries.paid:
            budget.give_back(1.0)
        retries.paid = counts and not (waits and reachability.blocks(name))
        if retries.paid and not budget.take():
            raise error

    def _delay(self, exchange: Exchange, error: WherebyError, failures: int) -> float:
        """Seconds until the next attempt; `error` is raised if there is to be none."""
        idempotent, patience = exchange.request.operation.idempotent, exchange.patience
        drawn = random.random()  # noqa: S311 - spreads retries, guards nothing
        delay = self.options.retry.delay(failures, error, idempotent=idempotent, jitter=drawn, patience=patience)
        if delay is None:
            raise error
        return delay


class _Retries:
    """What the attempts of a call have come to so far.

    Attributes:
        failures: Those that failed and count.
        paid: The attempt under way has drawn on the retry budget.
    """

    __slots__ = ("_outages", "failures", "paid")

    def __init__(self) -> None:
        self.failures: int = 0
        self.paid: bool = False
        self._outages = 0

    def count(self, outages: int) -> None:
        """One has failed, after so many outages; those before the last of them count for nothing."""
        if outages != self._outages:
            self._outages, self.failures = outages, 0
        self.failures += 1


class _Asking(NamedTuple):
    """A call that asks for points.

    Attributes:
        operation: Its operation.
        priority: Its priority.
        earlier: The permit of its last attempt, whose place in the queue it keeps.
        error: What its last attempt ended with.
        events: Its events, if hooks or the log hear of them.
    """

    operation: Operation[Any]
    priority: Priority
    earlier: Permit | None
    error: WherebyError | None
    events: CallEvents | None


def _settled(answer: Answer, exchange: Exchange, permit: Permit, deprecations: Deprecations) -> RateLimit:
    """Tell the limiter, `Reachability` and `Deprecations` what an answer says; the first of it is returned."""
    rate_limit = RateLimit.from_response(answer.status, answer.headers, answer.body)
    permit.settle(rate_limit)
    name = exchange.request.operation.name
    if answer.status in GATEWAY_FAILURES:
        reason = f"it answers {answer.status}"
        exchange.reachability.failed(name, exchange.epoch, reason, rate_limit.retry_after)
    else:
        exchange.reachability.succeeded(name, exchange.epoch)
    if SUNSET in answer.headers or DEPRECATION in answer.headers:
        deprecations.note(name, answer.headers)
    return rate_limit


def _unavailable(name: str, known: ReachabilitySnapshot, way: str, sent: str) -> ServiceUnavailableError:
    """The error of a call that can not wait any longer."""
    since = f"since {known.since:%H:%M:%S} UTC, {known.away:.1f} s ago" if known.since else "until just now"
    tried = "once" if known.probes == 1 else f"{known.probes} times"
    again = "" if known.probe_in is None else f"; it is tried again in {known.probe_in:.1f} s"
    why = f"{known.reason}; tried {tried}{again}"
    msg = f"{name}: {known.origin} can not be reached{way} {since} ({why}); {sent}"
    return ServiceUnavailableError(msg, operation=name, retry_after=known.probe_in)


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
    _note_failure(failure, exchange)
    if events:
        events.unanswered(exchange.heard and exchange.heard[0], unspent)
    if isinstance(failure, WherebyError):
        _remember(failure, earlier)
    if not isinstance(failure, APIConnectionError):
        raise failure
    if not _in_a_loop():  # the coroutine is being dropped, and its connection was dropped before it
        raise GeneratorExit
    return failure


def _note_failure(failure: BaseException, exchange: Exchange) -> None:
    """Tell `Reachability` of an attempt that could not be sent, or whose fresh connection was closed at once."""
    if exchange.refused:
        exchange.reachability.refused(exchange.refused)
    elif exchange.fresh and exchange.heard is None and type(failure) is APIConnectionError and not failure.permanent:
        name = exchange.request.operation.name
        exchange.reachability.failed(name, exchange.epoch, "it closes connections without an answer")


def _in_a_loop() -> bool:
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False


def _refusal(
    request: Request[Any], answer: Answer, rate_limit: RateLimit, options: SendOptions, base_url: str
) -> APIStatusError:
    """The error for an answer that is not 2xx."""
    return status_error(
        request.operation.name,
        answer.status,
        answer.body,
        answer.headers.get("Content-Type", ""),
        rate_limit=rate_limit,
        key=options.key,
        key_source=options.key_source,
        base_url=base_url,
        secrets=request.secrets(),
    )


def _warn_of_unreadable(name: str, value: UnreadableValue) -> None:
    where = value.field if value.row is None else f"{value.field} of row {value.row}"
    logger.warning(
        "%s: %s could not be read and is None (logged once; Page.unreadable and capture_responses show each)",
        name_in_log(name),
        where,
    )


def _reason(error: WherebyError) -> str:
    if isinstance(error, RateLimitError):
        return "throttled"
    if isinstance(error, APIStatusError):
        return f"status {error.status}"
    return "timeout" if isinstance(error, APITimeoutError) else "connection"
