"""`Account`: a `Core` and its `Queue` behind one lock, shared by all loops and threads of one clock, and the waking of
those who wait.

All arithmetic happens under a plain lock, which is never held over an await and never while foreign code runs: wake-ups
and hooks come after it. A permit may end anywhere, even inside the garbage collector while this very thread holds the
lock. So an end never waits for the lock: where the lock is taken, the end goes into the `mailbox`, and whoever has the
lock looks there after giving it back.

Points are deducted when a call is granted, before its task hears of it, so that nobody can slip in between. A task that
is cancelled while it waits leaves the queue. One that is cancelled between the grant and its hearing of it gives the
points back. At most `CHUNK` calls are granted in one turn of a loop, so that no loop stalls.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
from collections import deque
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors import BudgetError, BudgetTimeoutError, ClientClosedError
from ..notify import ThrottleDetails, WaitDetails, logger, points_in_words
from .budget_checks import check_cost
from .core import NO, Grant
from .loops import LoopWaiters, WaitingCall
from .protocol import Priority
from .queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from ..notify import CostChangeDetails, Listeners
    from ..rate_limit import RateLimit
    from .core import Core, Price
    from .protocol import Permit

CHUNK: Final = 256  # calls granted in one turn of a loop
HEARTBEAT: Final = 5.0  # seconds after which waiting calls are looked at in any case
MELTING: Final = 1.0  # seconds after which the reserve is looked at again
_FEW: Final = 64
_LEAST_TOLD: Final = 0.05  # seconds; less would be told as none

_SETTLED: Final = 0
_RELEASED: Final = 1
_LOST: Final = 2
_ABANDONED: Final = 3
_LOOK: Final = 4

_BATCH: Final = Priority.BATCH
T = TypeVar("T")


class BudgetPermit(Grant, eq=False, gc=False):
    """Leave to send one request, from a budget of this process. One that is collected without an end counts as lost.

    Nothing that its account keeps refers to it while it is out, so it is in no cycle, and the collector need not look
    at it.

    Attributes:
        account: Who granted it.
        core: The arithmetic that granted it, which is another one after the clock has been set back.
        order: The number of the call; a retry has that of its first attempt.
        waited: Seconds that the call has waited for points, all attempts together.
    """

    account: Account
    core: Core
    order: int
    waited: float = 0.0

    def settle(self, answer: RateLimit | None) -> None:
        """An answer came; what it said, or `None` if nothing usable."""
        account = self.account
        if account.mailbox or not account.enter(False):
            account.end(self, _SETTLED, answer)
            return
        try:
            now, core = account.clock(), self.core
            if now < account.last_now:
                now = account.went_back(now)
            account.last_now = now
            core.answer(self, now, answer)
            if core.noted or account.queue.count:
                account.note(core, now, answer)
        finally:
            account.leave()
        if account.mailbox:
            account.look()

    def release(self) -> None:
        """The request never left: its points go back."""
        if self.kind:
            self.account.end(self, _RELEASED)

    def lost(self) -> None:
        """It left, and no answer came: its points stay spent."""
        if self.kind:
            self.account.end(self, _LOST)

    def __del__(self) -> None:
        if self.kind:
            # This object itself is going, with all that it refers to.
            self.account.end(copy(self), _LOST)

    def __repr__(self) -> str:
        return f"<permit {self.price.operation or '?'} cost={self.cost} {'live' if self.kind else 'ended'}>"


class Account:
    """One budget by one clock.

    Attributes:
        core: The arithmetic.
        queue: Who waits.
        clock: The time.
    """

    def __init__(self, make: Callable[[], Core], clock: Callable[[], float], listeners: Listeners) -> None:
        self._make = make
        self.core: Core = make()
        self.queue: Queue = Queue(self.core)
        self.clock: Callable[[], float] = clock
        self._listeners = listeners
        self.mailbox: deque[tuple[Any, int, RateLimit | None]] = deque()
        # Each is a hook's name, its details and the log's level, or "" and a warning for the log.
        self._events: deque[tuple[str, Any, int]] = deque()
        self._loops: dict[asyncio.AbstractEventLoop, LoopWaiters] = {}
        self._ringing: deque[LoopWaiters] = deque()
        self._deadlines: list[WaitingCall] = []
        self._arrivals = 0
        self._closed = False
        self._said_silent = False
        self.last_now: float = clock()
        self.unlock()

    @contextmanager
    def looking(self) -> Generator[float]:
        """The time, under the lock."""
        self.enter()
        try:
            yield self.now()
        finally:
            self.leave()
            self._follow_up(None)

    @property
    def idle(self) -> bool:
        """Nothing is in flight, nobody waits, and nothing was heard for two periods."""
        core = self.core
        return not core.in_flight and not self.queue.count and self.clock() - core.heard_at >= 2 * core.period

    def unlock(self) -> None:
        """A lock of its own, unlocked: at birth and in a forked child."""
        self._lock = threading.Lock()
        self.enter: Callable[..., bool] = self._lock.acquire
        self.leave: Callable[[], None] = self._lock.release

    # Coming

    def at_once(self, cost: int, operation: str, priority: Priority) -> BudgetPermit | None:
        """A permit if nobody waits before the call and there are points; it is the first attempt of its call."""
        if type(cost) is not int or cost < 1:
            check_cost(cost)
        self.enter()
        try:
            if self.mailbox or self.queue.count or self._closed:
                return None
            now = self.clock()
            if now < self.last_now:
                now = self.went_back(now)
            self.last_now = now
            core = self.core
            price = core.price(operation, cost)
            verdict = core.decide(now, price, core.kept(now, price.points) if priority is _BATCH else 0)
            if verdict <= NO:
                return None
            self._arrivals += 1
            return core.book(BudgetPermit, self, price, now, verdict, self._arrivals)
        finally:
            self.leave()
            if self.mailbox:
                self.look()

    def admit(  # noqa: PLR0913, PLR0917 - what a call may say of itself
        self,
        cost: int,
        operation: str,
        priority: Priority,
        max_wait: float | None,
        after: Permit | None,
        loop: asyncio.AbstractEventLoop,
    ) -> BudgetPermit | WaitingCall:
        """A permit if there are points at once, else a call that waits in this loop, which is the running one.

        Raises:
            BudgetTimeoutError: It would surely wait longer than `max_wait`.
            BudgetError: The price is above the whole limit.
            ClientClosedError: The limiter was closed.
        """
        check_cost(cost)
        if max_wait is not None and not max_wait >= 0:
            raise ValueError(f"max_wait must be seconds from 0 on, or None, not {max_wait!r}")
        more = False
        self.enter()
        try:
            now = self.now()
            if self.mailbox:
                self._collect(now)
                more = self._pump(now, loop)
            call = self._arrived(cost, operation, priority, after, now)
            if self.queue.may_pass(call) and (verdict := self.queue.decide(call, now)) > NO:
                return self._grant(call, now, verdict)
            self._enqueue(call, max_wait, loop, now)
            more = self._pump(now, loop) or more
            return call
        finally:
            self.leave()
            self._follow_up(loop, more=more)

    def now(self) -> float:
        """The time; under the lock."""
        now = self.clock()
        if now < self.last_now:
            now = self.went_back(now)
        self.last_now = now
        return now

    def went_back(self, now: float) -> float:
        """The clock shows less: by a second or more it is another one, else it was read before the lock was had."""
        if now > self.last_now - 1.0:
            return self.last_now
        self.last_now = now
        self._restart()
        return now

    def _restart(self) -> None:
        """Begin cold; those who wait go on waiting."""
        calls = sorted(self.queue, key=lambda call: call.order)
        self.core = self._make()
        self.queue = Queue(self.core)
        now = self.last_now
        for call in calls:
            call.price = self.core.price(call.operation, call.price.seed)
            call.asked_at = min(call.asked_at, now)
            self.queue.push(call)
        if calls:
            self.mailbox.append((None, _LOOK, None))

    def _arrived(self, cost: int, operation: str, priority: Priority, after: Permit | None, now: float) -> WaitingCall:
        if self._closed:
            raise ClientClosedError("the limiter was closed: make a new one")
        self._arrivals += 1
        order, waited = self._arrivals, 0.0
        if isinstance(after, BudgetPermit) and after.account is self:
            order, waited = after.order, after.waited
        price = self.core.price(operation, cost)
        if price.points > self.core.dearest:
            raise _too_dear(operation, price, self.core.dearest)
        return WaitingCall(price, operation, priority, order, now, waited)

    def _enqueue(self, call: WaitingCall, max_wait: float | None, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._judge(call, max_wait, now)
        if max_wait is not None:
            self._set_deadline(call, now + max_wait - call.waited)
        self._announce(call, now)
        self._push(call, loop)

    def _judge(self, call: WaitingCall, max_wait: float | None, now: float) -> None:
        """Refuse a call that would surely wait too long.

        Raises:
            BudgetTimeoutError: It would.
        """
        if max_wait is not None:
            left = max_wait - call.waited
            if left <= 0 or self.queue.least_wait(call, now) > left:
                raise _too_long(call, self.queue.ahead(call), self.queue.likely_wait(call, now), max_wait)

    def _set_deadline(self, call: WaitingCall, at: float) -> None:
        """Its wait ends then at the latest."""
        if len(self._deadlines) > _FEW + 2 * self.queue.count:
            self._deadlines = [other for other in self._deadlines if other.queued]
            heapq.heapify(self._deadlines)
        call.deadline = at
        heapq.heappush(self._deadlines, call)

    def _announce(self, call: WaitingCall, now: float) -> None:
        """Hooks hear that it waits, and the log does if that takes long."""
        if not (self._listeners or logger.isEnabledFor(logging.INFO)):
            return
        delay = self.queue.likely_wait(call, now)
        level = self._listeners.wait_level(delay, now)
        if self._listeners or level:
            details = WaitDetails(
                operation=call.operation,
                cost=call.price.points,
                priority=call.priority.name,
                reason=self._reason(call, now),
                delay=delay,
                ahead=self.queue.ahead(call),
            )
            self._events.append(("on_wait", details, level))

    def _push(self, call: WaitingCall, loop: asyncio.AbstractEventLoop) -> None:
        """Let it wait in this loop."""
        waiters = self._loops.get(loop)
        if waiters is None:
            waiters = self._loops[loop] = LoopWaiters(loop, self._tick)
        waiters.waiting += 1
        call.loop = waiters
        call.future = loop.create_future()
        self.queue.push(call)

    def _reason(self, call: WaitingCall, now: float) -> str:
        core, cost = self.core, call.price.points
        if now < core.frozen_until:
            return "frozen"
        if cost > core.available(now):
            return "empty"
        if self.queue.ahead(call):
            return "queue"
        if call.priority is _BATCH and cost + core.kept(now, cost) > core.available(now):
            return "reserve"
        return "pilot"

    # Granting

    def _grant(self, call: WaitingCall, now: float, verdict: int) -> BudgetPermit:
        permit = self.core.book(BudgetPermit, self, call.price, now, verdict, call.order)
        permit.waited = call.waited + now - call.asked_at
        return permit

    def _pump(self, now: float, here: asyncio.AbstractEventLoop | None) -> bool:
        """Grant what can be granted, up to a chunk in one turn of a loop; whether there is perhaps more."""
        queue = self.queue
        if here is not None and (waiters := self._loops.get(here)) is not None and waiters.goes_on:
            return True
        if self._deadlines:
            self._refuse_overdue(now)
        for _ in range(CHUNK):
            if not queue.count:
                return False
            found = queue.next(now)
            if found is None:
                return False
            call, verdict = found
            if self._hears(call, here):
                self._hand(call, self._grant(call, now, verdict))
        return queue.count > 0

    def _hears(self, call: WaitingCall, here: asyncio.AbstractEventLoop | None) -> bool:
        """Would its task hear of a grant now? If not, the call leaves the queue."""
        waiters = call.loop
        if call.future.done() or waiters.loop.is_closed():
            self.queue.remove(call)
            waiters.waiting -= 1
            return False
        if waiters.loop is not here and not waiters.loop.is_running():
            self.queue.remove(call)
            waiters.parked.append(call)
            waiters.look_soon(here)
            return False
        return True

    def _hand(self, call: WaitingCall, outcome: BudgetPermit | Exception) -> None:
        """Its outcome stands."""
        call.outcome = outcome
        if call.queued:
            self.queue.remove(call)
            call.loop.waiting -= 1
        if call.loop.post(call):
            self._ringing.append(call.loop)

    def _refuse_overdue(self, now: float) -> None:
        """Refuse each call whose deadline lies before the next moment at which anybody can be served.

        Calls that were served meanwhile leave the list of deadlines too, a few in each turn.
        """
        deadlines, earliest, stale = self._deadlines, self.queue.earliest(now), 2 * CHUNK
        while deadlines and stale:
            call = deadlines[0]
            if call.queued:
                if call.deadline >= earliest and call.deadline > now:
                    return
                self._hand(call, _too_late(call, self.core.likely_wait(now, call.price.points)))
            else:
                stale -= 1
            heapq.heappop(deadlines)

    def _refuse_unpayable(self) -> None:
        """The limit has fallen or prices have risen: some of those that wait can never be paid for."""
        most = self.core.dearest
        for call in [call for call in self.queue if call.price.points > most]:
            self._hand(call, _too_dear(call.operation, call.price, most))

    def _tick(self, waiters: LoopWaiters) -> None:
        """A loop's timer, or its turn to go on. Runs in that loop."""
        self.enter()
        try:
            now = self.now()
            for call in waiters.parked:
                if call.future.done():
                    waiters.waiting -= 1
                else:
                    self.queue.push(call)
            waiters.parked.clear()
            self._collect(now)
            more = self._pump(now, waiters.loop)
        finally:
            self.leave()
        self._follow_up(waiters.loop, more=more)

    # Going

    def abandon(self, call: WaitingCall) -> None:
        """A waiting call's task is gone; from any thread, even from within the garbage collector."""
        self.end(call, _ABANDONED)

    def end(self, thing: BudgetPermit | WaitingCall, how: int, answer: RateLimit | None = None) -> None:
        """A permit ends, or a waiting call's task does; from any thread, even from within the garbage collector."""
        self.mailbox.append((thing, how, answer))
        self.look()

    def look(self) -> None:
        """Book what lies in the mailbox, unless somebody has the lock and is about to."""
        while self.mailbox and self.enter(False):
            here, more = None, False
            try:
                now = self.now()
                self._collect(now)
                if self.queue.count:
                    here = asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise
                    more = self._pump(now, here)
            finally:
                self.leave()
            self._follow_up(here, more=more)

    def _collect(self, now: float) -> None:
        """Book what lies in the mailbox. Under the lock."""
        mailbox = self.mailbox
        while mailbox:
            thing, how, answer = mailbox.popleft()
            if how == _SETTLED:
                thing.core.answer(thing, now, answer)
                self.note(thing.core, now, answer)
            elif how == _RELEASED:
                thing.core.refund(thing)
            elif how == _LOST:
                thing.core.lost(thing, now)
            elif how == _ABANDONED:
                self._abandon(thing)

    def _abandon(self, call: WaitingCall) -> None:
        """Its task is gone: out of the queue with it, or back with the points."""
        if call.queued:
            self.queue.remove(call)
            call.loop.waiting -= 1
        elif call in call.loop.parked:
            call.loop.parked.remove(call)
            call.loop.waiting -= 1
        elif isinstance(call.outcome, BudgetPermit):
            call.outcome.core.refund(call.outcome)

    def note(self, core: Core, now: float, answer: RateLimit | None) -> None:
        """After an answer: tell hooks and the log what it changed, and look whether calls that wait can go now."""
        if core.noted:
            if answer is not None and answer.throttled:
                self._note_throttle(core, now, answer)
            self._note_prices(core.take_changes())
            if core.silent and not self._said_silent:
                self._said_silent = True
                text = (
                    "answers carry no rate-limit headers: the budget goes by %d points per %g s; if your plan "
                    "has more, say so with PointBudget(limit=...)"
                )
                self._events.append(("", (text, core.limit, core.period), logging.WARNING))
            self._refuse_unpayable()
        if self.queue.count or self._events or self._ringing:
            self.mailbox.append((None, _LOOK, None))

    def _note_throttle(self, core: Core, now: float, answer: RateLimit) -> None:
        """A 429 came: hooks and the log hear how long the budget is frozen."""
        delay = max(0.0, core.frozen_until - now)
        level = self._listeners.throttle_level(delay, core.period, now)
        self._events.append(("on_throttle", ThrottleDetails(delay=delay, rate_limit=answer), level))

    def _note_prices(self, changes: Iterable[CostChangeDetails]) -> None:
        """Hooks and the log hear of prices that were learned."""
        self._events.extend(("on_cost_change", change, logging.WARNING) for change in changes)

    def close(self, here: asyncio.AbstractEventLoop | None) -> None:
        """Send away all that wait, and let nobody in."""
        self.enter()
        try:
            self._closed = True
            parked = [call for waiters in self._loops.values() for call in waiters.parked]
            for waiters in self._loops.values():
                waiters.waiting -= len(waiters.parked)
                waiters.parked.clear()
            for call in [*self.queue, *parked]:
                self._hand(call, ClientClosedError("the limiter was closed while the call waited for points"))
        finally:
            self.leave()
        self._follow_up(here)

    # After the lock

    def _follow_up(self, here: asyncio.AbstractEventLoop | None, *, more: bool = False) -> None:
        """Wake, arm timers, tell hooks, and look whether an end came in meanwhile. Not under the lock."""
        while waiters := _popped(self._ringing):
            self._attempt(waiters, lambda waiters: waiters.deliver(here))
        if self._loops:
            self._arm(here, more=more)
        while event := _popped(self._events):
            if event[0]:
                self._listeners.tell_and_log(*event)
            else:
                logger.log(event[2], *event[1])
        if self.mailbox:
            self.look()

    def _arm(self, here: asyncio.AbstractEventLoop | None, *, more: bool) -> None:
        """See that each loop with waiting calls looks again in time."""
        now = self.clock()
        when = self._next_look(now)
        if self._deadlines:
            when = min(when, self._deadlines[0].deadline)
        for waiters in list(self._loops.values()):
            if waiters.waiting and more:
                self._attempt(waiters, lambda waiters: waiters.look_soon(here))
            elif waiters.waiting:
                self._attempt(waiters, lambda waiters: waiters.look_at(when, now, here))
            elif waiters.loop is here or waiters.loop.is_closed():
                waiters.rest()
                self._loops.pop(waiters.loop, None)

    def _next_look(self, now: float) -> float:
        """When calls that wait are to be looked at again, if nothing happens before."""
        when = min(self.core.next_at(now), now + HEARTBEAT)
        return min(when, now + MELTING) if self.queue.waits(_BATCH) else when

    def _attempt(self, waiters: LoopWaiters, act: Callable[[LoopWaiters], None]) -> None:
        try:
            act(waiters)
        except RuntimeError:
            # Its loop is closed: what it was granted goes back, and its calls are passed over from now on.
            self._loops.pop(waiters.loop, None)
            for call in waiters.undelivered():
                if isinstance(call.outcome, BudgetPermit):
                    call.outcome.release()


def _popped(items: deque[T]) -> T | None:
    """The first of them; `None` if there is none, or another thread was faster."""
    try:
        return items.popleft()
    except IndexError:
        return None


def _too_dear(operation: str, price: Price, limit: int) -> BudgetError:
    return BudgetError(
        f"{operation or 'the call'} costs {points_in_words(price.points)}, more than the whole limit of {limit} per "
        "period: it can never be paid for; pin its price with costs= if that is wrong"
    )


def _too_long(call: WaitingCall, ahead: int, wait: float, max_wait: float) -> BudgetTimeoutError:
    queued = f" ({points_in_words(ahead)} {'is' if ahead == 1 else 'are'} queued before it)" if ahead else ""
    used = f", of which {call.waited:.1f} s are used up" if call.waited else ""
    least = f" at least {wait:.1f} s" if wait >= _LEAST_TOLD else ""
    return BudgetTimeoutError(
        f"{call.operation or 'the call'} would wait{least} for {points_in_words(call.price.points)}"
        f"{queued}, max_wait is {max_wait:g} s{used}",
        retry_after=wait,
    )


def _too_late(call: WaitingCall, wait: float) -> BudgetTimeoutError:
    return BudgetTimeoutError(
        f"{call.operation or 'the call'} was not served {points_in_words(call.price.points)} within its max_wait",
        retry_after=wait,
    )
