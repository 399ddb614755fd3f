"""The one send loop: every attempt of every call goes through `ClientSender.send`.

Per attempt: points from the limiter, a slot and an answer from the pool, the answer's word back to the limiter; then the
result, an error, or another attempt. Building, decoding, classifying, delaying and accounting are pure functions elsewhere.

On cancel, at any await: a permit whose request never left goes back, one whose request may have left stays spent.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, TypeVar

from .context import current_answers, current_batch
from .errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetError,
    ClientClosedError,
    RateLimitError,
    ResponseDecodeError,
    WherebyError,
)
from .limiter.point_budget import never, quick_grant
from .notify import logger
from .polling import Watches
from .rate_limit import RateLimit
from .status_errors import status_error
from .subscriptions import Subscriptions
from .telling import Audience, Call
from .transport import SUCCESS, Exchange, RetryBudget
from .waiting import WaitingCalls

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .hooks import Hook
    from .limiter.protocol import Permit, Priority
    from .operation import Operation, Request
    from .send_options import SendOptions
    from .transport import Answer, SessionPool

T = TypeVar("T")
E = TypeVar("E", bound=WherebyError)


class SharedState:
    """What all views of one client have in common.

    Attributes:
        base_url: The API's root, without a slash at its end.
        pool: The connections.
        audience: The hooks that are told of calls; `None` if there are none.
        subscriptions: The limiters that tell the hooks too.
        retry_budget: Bounds the retries of all calls together.
        waiting: Calls that wait for points, or for their next attempt.
        watches: The polling that waits for transcriptions and summaries share.
        closed: `aclose` was called.
    """

    __slots__ = ("audience", "base_url", "closed", "pool", "retry_budget", "subscriptions", "waiting", "watches")

    def __init__(self, base_url: str, pool: SessionPool, hooks: tuple[Hook, ...]) -> None:
        self.base_url: str = base_url
        self.pool: SessionPool = pool
        self.audience: Audience | None = Audience.of(hooks)
        self.subscriptions: Subscriptions = Subscriptions(hooks)
        self.retry_budget: RetryBudget = RetryBudget()
        self.waiting: WaitingCalls = WaitingCalls()
        self.watches: Watches = Watches()
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
        """The same sender, its lane fixed as it is now."""
        lane = self.options.lane()
        pinned = self._pinned.get(lane)
        if pinned is None:
            pinned = self._pinned[lane] = ClientSender(self.shared, self.options.replaced(pinned_priority=lane))
        return pinned

    def send(self, request: Request[T], /) -> Coroutine[Any, Any, T]:
        """Send a request until it is answered, refused or out of attempts."""
        audience = self.shared.audience
        return self._send(request) if audience is None else self._send_and_tell(request, audience)

    async def _send_and_tell(self, request: Request[T], audience: Audience) -> T:
        """The same, and the hooks are told."""
        call = Call(audience, request.operation, self.options.lane())
        try:
            call.begin(request, self.shared.base_url)
            result = await self._send(request, call)
        except BaseException as error:
            call.end(error)
            raise
        call.end(None)
        return result

    async def _send(self, request: Request[T], call: Call | None = None) -> T:
        shared, options, operation = self.shared, self.options, request.operation
        priority = options.lane()
        quick = self._quick_grant  # never for a batch's lane
        permit: Permit | None = None
        error: WherebyError | None = None
        attempt = failures = 0
        while not shared.closed:
            attempt += 1
            # Made before points are granted: whatever is wrong with a request costs none.
            exchange = Exchange(request, shared.base_url, options.headers, options.timeout, priority)
            earlier, permit = permit, quick(operation.cost, operation.name, priority)
            if permit is None:
                permit = await self._points(operation, priority, earlier, error, call)
            quick = never  # from the second attempt on a call has a place to keep
            try:
                if call:
                    call.attempt(permit, earlier)
                answer = await shared.pool.send(exchange)
            except BaseException as failure:  # noqa: BLE001 - goes on its way in there, once the permit has ended
                error = _unanswered(failure, exchange, permit, error, call)
            else:
                rate_limit = RateLimit.from_response(answer.status, answer.headers, answer.body)
                permit.settle(rate_limit)
                if (answers := current_answers.get()) is not None or call:
                    _show(answer, rate_limit, answers, call)
                if answer.status in SUCCESS:
                    shared.retry_budget.give_back()
                    return _result(operation, answer)
                failed = status_error(
                    operation.name,
                    answer.status,
                    answer.body,
                    rate_limit=rate_limit,
                    key=options.key,
                    key_source=options.key_source,
                )
                error = _remember(failed, error)
            failures += not isinstance(error, RateLimitError)
            await self._before_retry(operation, error, attempt, failures, call)
        raise error or ClientClosedError(f"{operation.name}: the client is closed; create a new one")

    async def _points(
        self,
        operation: Operation[Any],
        priority: Priority,
        earlier: Permit | None,
        error: WherebyError | None,
        call: Call | None,
    ) -> Permit:
        """Points that were not to be had at once, or whatever the call ends with if there are none."""
        options, batch = self.options, current_batch.get()
        if call:
            call.asks()
        try:
            return await self.shared.waiting.acquire(
                options.limiter if batch is None else batch.limiter(options.limiter, operation),
                operation.cost,
                operation=operation.name,
                priority=priority,
                max_wait=options.max_wait,
                after=earlier,
            )
        except (BudgetError, ClientClosedError) as refusal:
            failure = _refused(refusal, error)
        raise failure

    async def _before_retry(
        self, operation: Operation[Any], error: WherebyError, attempt: int, failures: int, call: Call | None
    ) -> None:
        """Wait until the next attempt may ask for points, or raise `error` if there is to be none.

        After a 429 there is nothing to wait for here: the limiter holds everyone back until the server's time.
        """
        delay = 0.0
        if not isinstance(error, RateLimitError):
            drawn = random.random()  # noqa: S311 - spreads retries, guards nothing
            later = self.options.retry.delay(failures, error, idempotent=operation.idempotent, jitter=drawn)
            if later is None or not self.shared.retry_budget.take():
                raise error
            delay = later
        reason = _reason(error)
        when = "as soon as there are points" if isinstance(error, RateLimitError) else f"in {delay:.3f} s"
        logger.debug("%s: attempt %d failed (%s); again %s", operation.name, attempt, reason, when)
        if call:
            call.retries(delay, reason, error)
        if delay:
            await self.shared.waiting.pause(delay)


def _show(answer: Answer, rate_limit: RateLimit, answers: list[Answer] | None, call: Call | None) -> None:
    """Show an answer to whoever asked to see it."""
    if answers is not None:
        answers.append(answer)
    if call:
        call.answered(answer, rate_limit)


def _remember(error: E, earlier: WherebyError | None) -> E:
    """The same error: what an earlier attempt may have done stays true, whatever became of the later ones."""
    if earlier is not None and earlier.may_have_happened:
        error.may_have_happened = True
    return error


def _refused(refusal: WherebyError, earlier: WherebyError | None) -> WherebyError:
    """What a call ends with that gets no points. If something was sent, what came of that is the truth, not our refusal."""
    return earlier if earlier and isinstance(refusal, BudgetError) else _remember(refusal, earlier)


def _unanswered(
    failure: BaseException, exchange: Exchange, permit: Permit, earlier: WherebyError | None, call: Call | None
) -> APIConnectionError:
    """End the permit of an attempt without an answer. What is no connection error, a cancel above all, goes on its way."""
    if exchange.heard is not None:  # the body did not come, but what the headers say of the budget is true
        permit.settle(RateLimit.from_response(*exchange.heard))
    elif exchange.left:
        permit.lost()
    else:
        permit.release()
    if call:
        call.unanswered(exchange, permit.cost)
    if isinstance(failure, WherebyError):
        _remember(failure, earlier)
    if not isinstance(failure, APIConnectionError):
        raise failure
    if _no_loop():  # the coroutine is being dropped, and its connection was dropped before it: there is no going on
        raise GeneratorExit
    return failure


def _no_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


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
