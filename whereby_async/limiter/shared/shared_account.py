"""`SharedAccount`: one event loop's part of a budget that lies in a store.

Calls wait here as they do for a budget of the process. But who may go is the store's to say: what has ended and who
wants points is gathered, and goes there in one transaction. One is under way at a time, and what comes meanwhile goes
with the next, so that the busier the loop, the fewer transactions there are for each call. The account's core is what
the store was when it was last heard: it answers how long a call would wait, and what is left. While the store is away
it is parted, and grants by this process's share.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import secrets
import time
from typing import TYPE_CHECKING, Final

import msgspec

from ...errors import BudgetError, BudgetTimeoutError, ConfigurationError
from ...notify import OutageDetails, logger
from ...operation import unicode_text
from ..accounts import CHUNK, HEARTBEAT, Account, BudgetPermit
from ..budget_checks import check_cost
from ..core import PATIENCE, Grant
from ..queue import OLD
from .shared_core import RELEASED, SETTLED, SPENT, Ask, End, SharedCore, StoreReply, StoreRequest, pause_of, unpacked
from .store import Store, StoreAwayError, Terms

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ...notify import Listeners
    from ...rate_limit import RateLimit
    from ..loops import WaitingCall
    from ..protocol import Permit, Priority

LINGER: Final = 0.01  # seconds that the end of a call waits for others to go along, while nobody waits for its points
MANY: Final = 32  # points out in one loop from which on transactions keep a distance
POLL: Final = (0.02, 0.5)
"""Seconds after which a loop that waits for what others are doing asks again: at first, and at most."""
RETRY: Final = 0.1  # seconds after which a store that is away is tried again, at first
UNKNOWN_SHARE: Final = 0.1  # part of the limit for a process that does not know how many others there are

_encode: Final = msgspec.msgpack.Encoder().encode


class Outage:
    """Whether the store is away for this process: all its loops together. It is told once when it goes, and once when
    it is back.

    Attributes:
        reason: Why it is away.
    """

    def __init__(self, terms: Terms, listeners: Listeners) -> None:
        self._terms = terms
        self._listeners = listeners
        self._away: set[int] = set()
        self._since = 0.0
        self._said: set[str] = set()
        self.reason: str = ""

    def began(self, account: SharedAccount, reason: str, limit: int) -> None:
        """For this loop it is away."""
        news = not self._away
        self._away.add(id(account))
        self.reason = reason
        if not news:
            return
        self._since = time.monotonic()
        does = f"this process goes by {limit} points per {self._terms.period:g} s" if limit else "calls are refused"
        logger.warning("the store of the point budget is away (%s): until it is back %s", reason, does)
        self._listeners.tell("on_outage", OutageDetails(away=True, reason=reason, limit=limit, lasted=0.0))

    def ended(self, account: SharedAccount, limit: int) -> None:
        """For this loop it is back."""
        self.left(account)
        if self._away or not self.reason:
            return
        self.reason = ""
        lasted = max(time.monotonic() - self._since, 0.001)
        logger.warning("the store of the point budget is back after %.1f s", lasted)
        self._listeners.tell("on_outage", OutageDetails(away=False, reason="", limit=limit, lasted=lasted))

    def left(self, account: SharedAccount) -> None:
        """The loop is gone: it does not matter to it any more."""
        self._away.discard(id(account))

    def say_once(self, kind: str, text: str, *values: object) -> None:
        """Log what the user should know, once for each kind."""
        if kind not in self._said:
            self._said.add(kind)
            logger.warning(text, *values)


class SharedPermit(BudgetPermit, eq=False, gc=False):
    """Leave to send one request, from a store.

    Attributes:
        lease: The lease under which it was granted; 0 if it was granted while the store was away.
    """

    lease: int = 0

    def settle(self, answer: RateLimit | None) -> None:
        """An answer came; what it said, or `None` if nothing usable."""
        if self.kind:
            self.account.end(self, SETTLED, answer)


class SharedAccount(Account):
    """One event loop's part of a shared budget.

    Attributes:
        loop: The event loop.
        away: The store is away, and the core is this process's share.
        gone: It says nothing more to the store.
    """

    __slots__ = (
        "_ends", "_flight", "_fresh", "_granted_away", "_heard", "_id", "_last_at", "_lease", "_lifetime", "_offer",
        "_orphans", "_outage", "_poll", "_retry_at", "_retry_in", "_rung", "_seq", "_share", "_short", "_store",
        "_store_now", "_talking", "_terms", "_timer", "_used_at", "_visit_at", "away", "gone", "loop",
    )  # fmt: skip

    core: SharedCore  # pyright: ignore[reportIncompatibleVariableOverride] - made by `terms.core`

    def __init__(  # noqa: PLR0913, PLR0917 - what a loop's part is made of
        self,
        terms: Terms,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        outage: Outage,
        listeners: Listeners,
        orphans: Callable[[], list[SharedAccount]],
    ) -> None:
        super().__init__(terms.core, time.monotonic, listeners)
        self._terms = terms
        self._store = store
        self.loop: asyncio.AbstractEventLoop = loop
        self._outage = outage
        self._orphans = orphans
        self._ends: list[End] = []
        self._fresh: list[tuple[WaitingCall, float | None]] = []
        self._flight = self._granted_away = 0
        self._visit_at = math.inf
        self._last_at = -math.inf
        self._poll = POLL[0]
        self._offer: bytes | None = None
        self._store_now = -math.inf
        self._rung = False
        self._talking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lifetime: AsyncGenerator[None, None] | None = None
        self._retry_at, self._retry_in = -math.inf, RETRY
        self._used_at = -math.inf
        self._share = 1.0
        self._short = False
        self.away: bool = False
        self.gone: bool = False
        self._enrol()

    def _enrol(self) -> None:
        """Be a new member."""
        self._id = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._seq = self._heard = self._lease = 0

    # Coming

    def at_once(self, cost: int, operation: str, priority: Priority) -> BudgetPermit | None:  # noqa: ARG002 - inherited
        """`None`: the store has to be asked."""
        return None

    def admit(  # noqa: PLR0913, PLR0917 - what a call may say of itself
        self,
        cost: int,
        operation: str,
        priority: Priority,
        max_wait: float | None,
        after: Permit | None,
        loop: asyncio.AbstractEventLoop,
    ) -> BudgetPermit | WaitingCall:
        """A call that waits in this loop, unless the store is away.

        Raises:
            BudgetTimeoutError: It would surely wait longer than `max_wait`.
            BudgetError: The price is above the whole limit, or calls are refused while the store is away.
            ClientClosedError: The limiter was closed.
        """
        check_call(cost, operation, max_wait)
        if self._terms.refuse and self.clock() < self._retry_at:
            raise self._refusal()
        if self.away:
            self._used_at = self._visit_at = self.clock()
            self._ring()
            return super().admit(cost, operation, priority, max_wait, after, loop)
        self.enter()
        try:
            now = self.now()
            call = self._arrived(cost, operation, priority, after, now)
            if self.queue.may_pass(call):
                self._fresh.append((call, max_wait))
                if max_wait is not None and max_wait > call.waited:
                    self._set_deadline(call, now + max_wait - call.waited)
                self._push(call, loop)
                self._visit_at = now
            else:
                self._enqueue(call, max_wait, loop, now)
            return call
        finally:
            self.leave()
            self._ring()
            self._follow_up(loop)

    def _grant(self, call: WaitingCall, now: float, verdict: int) -> BudgetPermit:
        """While the store is away: by this process's share."""
        permit = self.core.book(SharedPermit, self, call.price, now, verdict, call.order)
        permit.waited = call.waited + now - call.asked_at
        self._granted_away += permit.cost
        return permit

    def _pump(self, now: float, here: asyncio.AbstractEventLoop | None) -> bool:
        """Grant what can be granted while the store is away; else see that the store is asked in time."""
        if self.away:
            return super()._pump(now, here)
        if self._deadlines:
            self._refuse_overdue(now)
        return False

    def _next_look(self, now: float) -> float:
        return super()._next_look(now) if self.away else now + HEARTBEAT

    def _refusal(self) -> BudgetError:
        return BudgetError(f"the store of the point budget is away ({self._outage.reason}); nothing was sent")

    # Ends

    def look(self) -> None:
        """Note what lies in the mailbox, unless somebody has the lock and is about to."""
        super().look()
        self._ring()

    def _abandon(self, call: WaitingCall) -> None:
        if isinstance(call.outcome, SharedPermit):
            self._end(call.outcome, RELEASED, None, self.last_now)
        else:
            super()._abandon(call)
            if not self.queue.count:
                # Nobody wants anything any more, so others need not leave anything for us.
                self._visit_at = min(self._visit_at, self.last_now + LINGER)

    def _collect(self, now: float) -> None:
        """Note what lies in the mailbox. Under the lock."""
        mailbox = self.mailbox
        while mailbox:
            thing, how, answer = mailbox.popleft()
            if isinstance(thing, SharedPermit):
                self._end(thing, how, answer, now)
            elif thing is not None:
                self._abandon(thing)

    def _end(self, permit: SharedPermit, how: int, answer: RateLimit | None, now: float) -> None:
        """A permit has ended."""
        kind, cost = permit.kind, permit.cost
        if not kind:
            return
        if permit.lease:
            permit.kind = 0
            self._flight -= cost
            end = End(
                how, cost, 0, permit.lease, "" if permit.price.pinned else permit.price.operation, permit.price.seed,
                permit.at, permit.before, permit.upto, permit.top, kind, answer,
            )  # fmt: skip
            self._ends.append(end)
            if how == SETTLED and self.away and answer is not None:
                heard = Grant(0, self.core.price("", 1), permit.at, permit.before, permit.upto, permit.top, kind)
                self.core.answer_alone(heard, now, answer, self._share)
            self._visit_at = min(self._visit_at, now + (0.0 if self.queue.count else LINGER))
        elif not self.away:
            permit.kind = 0  # The store counts it as spent already.
        elif how == SETTLED:
            self.core.answer_alone(permit, now, answer, self._share)
        elif how == RELEASED:
            self.core.refund(permit)
            self._granted_away -= cost
        else:
            self.core.lost(permit, now)
        if answer is not None and answer.throttled and self.away:
            self._note_throttle(self.core, now, answer)

    # When to go to the store

    def _ring(self) -> None:
        """Have the loop see whether there is something to say; from any thread."""
        if self._rung or self.gone:
            return
        self._rung = True
        try:
            if asyncio._get_running_loop() is self.loop:  # noqa: SLF001 - documented, and does not raise
                self.loop.call_soon(self._visit)
            else:
                self.loop.call_soon_threadsafe(self._visit)
        except RuntimeError:
            self.gone = True  # The loop is closed: another loop says what is left to say.

    def _visit(self) -> None:
        """Go to the store, or see that it is done in time. In the loop."""
        self._rung = False
        if self._talking is not None or self.gone:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self.clock()
        due = self._due(now)
        if due <= now:
            self._talking = self.loop.create_task(self._talk())
        elif due < math.inf:
            self._timer = self.loop.call_later(due - now, self._visit)

    def _due(self, now: float) -> float:
        """When to go to the store; never if there is nothing to say."""
        due = self._visit_at
        if self._flight:
            due = min(due, self._last_at + self._terms.lease / 3)
        elif self.queue.count:
            due = min(due, self._last_at + self._terms.lease)
        if self._retry_at > -math.inf:
            wanted = due < math.inf or now < self._used_at + self._terms.period
            return self._retry_at if wanted else math.inf
        return max(due, self._last_at + self._spacing())

    def _spacing(self) -> float:
        """Seconds between two transactions: none if little is going on, else the more, the more members there are."""
        most = min(self._store.spacing, self._terms.period / 60)
        if self._short:
            return most
        return min(most / 8 * self.core.members, most) if self._flight >= MANY else 0.0

    # Transactions

    async def _talk(self) -> None:
        """Go to the store until there is nothing to say for now."""
        try:
            if self._lifetime is None:
                self._lifetime = self._live()
                await anext(self._lifetime)
            for orphan in self._orphans():
                await orphan.say_last(self._store)
            while not self.gone and self._due(self.clock()) <= self.clock():
                await self._exchange()
        finally:
            self._talking = None
            self._ring()

    async def _exchange(self) -> None:
        """One transaction; once more if the connection was dropped."""
        for attempt in (1, 2):
            with self.looking() as now:
                said, asked = self._compose(now)
            try:
                reply, state, told = await self._carry(said)
            except StoreAwayError as error:
                if attempt == 1 and error.dropped and self._retry_at == -math.inf:
                    continue
                self._failed(str(error))
                return
            except ConfigurationError as error:
                self._turn_away(error)
                return
            except asyncio.CancelledError:
                self._visit_at = self.clock()  # Those that wait are asked for once more, if the loop goes on.
                raise
            except Exception as error:
                # Nobody may be kept waiting by a fault of ours.
                self._failed(f"a fault of this program, {type(error).__name__}")
                raise
            if told is None:
                self._start_anew()
            else:
                self._hear(said, asked, reply, state, told)
            return

    def _turn_away(self, error: Exception) -> None:
        """It will never do: those that wait hear so. Whoever comes later tries again."""
        self.enter()
        try:
            self._fresh.clear()
            for call in list(self.queue):
                self._hand(call, error)
        finally:
            self.leave()
        self._follow_up(self.loop)

    def _compose(self, now: float) -> tuple[StoreRequest, list[list[WaitingCall]]]:
        """What is to be said, and the calls that stand behind each of its asks. Under the lock."""
        if self._granted_away:
            self._ends.append(End(SPENT, self._granted_away, at=now))
            self._granted_away = 0
        self._ends = [end for end in self._ends if end.how != SPENT or end.at > now - self._terms.period]
        self._seq += 1
        for end in self._ends:
            end.seq = end.seq or self._seq
        asks: list[Ask] = []
        asked: list[list[WaitingCall]] = []
        waits, calls = [0, 0, 0], [0, 0, 0]
        if not self.away:
            waits, calls = self.queue.points_by_priority(), list(self.queue.waiting().values())
            owed = self._owed(now)
            for call in itertools.chain(owed, itertools.islice(self.queue.in_order(), CHUNK)):
                old = bool(owed) and call is owed[0]
                if old and asks:
                    continue  # It stands before all others already.
                price = call.price
                operation = "" if price.pinned else price.operation
                last = asks[-1] if asks else None
                if (
                    last is not None
                    and not last.owed
                    and (last.operation, last.seed, last.priority) == (operation, price.seed, call.priority)
                ):
                    last.count += 1
                    asked[-1].append(call)
                else:
                    asks.append(Ask(operation, price.seed, int(call.priority), owed=old))
                    asked.append([call])
        self._visit_at = math.inf
        self._last_at = now
        epoch, version = self.core.version if self._offer is not None else (0, 0)
        said = StoreRequest(
            self._id, self._seq, self._heard, waits, calls, epoch, version, self._terms.lease, self._poll,
            ends=self._ends.copy(), asks=asks,
        )  # fmt: skip
        return said, asked

    def _owed(self, now: float) -> list[WaitingCall]:
        """The oldest call that has waited too long behind higher priorities, if there is one."""
        heads = [next(queue.in_order(), None) for queue in self.queue.lower()]
        old = [head for head in heads if head and now - head.asked_at + head.waited >= OLD * self._terms.period]
        return old[:1]

    async def _carry(self, said: StoreRequest) -> tuple[StoreReply, bytes, SharedCore | None]:
        """Have a request answered; the reply, and the state after it: `None` if the request counted for nothing.

        A store that has lost its state is offered the last that is known here, else a cold one.

        Raises:
            StoreAwayError: It may or may not have been carried out.
        """
        offers = [self._offer] if self._offer is not None else []
        offers.append(_encode(self._terms.core(pinned=False)))
        offer: bytes | None = None
        while True:
            reply, state = await self._store.transact(said, offer)
            if reply.stale:
                return reply, state, None
            if not reply.unknown:
                if (told := unpacked(state)) is not None:
                    return reply, state, told
                reply.damaged = True
            if reply.damaged:
                self._outage.say_once(
                    "damaged", "the state of the shared point budget could not be read: it starts cold"
                )
            if not offers:
                raise StoreAwayError("it does not keep what it is told")
            said.discard = said.discard or reply.damaged
            if len(offers) > 1 and self._store_now > reply.now + self._terms.period:
                self._outage.say_once("clock", "the clock of the shared point budget has gone back: it starts cold")
                offers.pop(0)
            offer = offers.pop(0)

    def _start_anew(self) -> None:
        """Another goes by our name: a copy of this process. So this one takes another, and says all once more."""
        with self.looking() as now:
            self._enrol()
            for end in self._ends:
                end.seq, end.lease = 0, -1
            self._visit_at = now

    def _hear(
        self, said: StoreRequest, asked: list[list[WaitingCall]], reply: StoreReply, state: bytes, told: SharedCore
    ) -> None:
        """The store has answered."""
        self.enter()
        try:
            now = self.now()
            self._offer, self._store_now = state, reply.now
            self._heard, self._lease = said.seq, reply.lease
            back, self.away = self._retry_at > -math.inf, False
            self._retry_at = -math.inf
            dearest = self.core.dearest
            changes = self.core.follow(told, 0.0 if self._store.same_clock else now - reply.now)
            self._ends = [end for end in self._ends if not 0 < end.seq <= said.seq]
            for end in said.ends:
                if end.said is not None and end.said.throttled:
                    self._note_throttle(self.core, now, end.said)
            self._note_prices(changes)
            self._take(asked, reply, now)
            self._sort_out(now)
            if changes or self.core.dearest < dearest:
                self._refuse_unpayable()
            self._poll = POLL[0] if reply.grants else min(2 * self._poll, POLL[1])
            self._short = self.queue.count > 0
            if self.queue.count:
                self._visit_at = min(self._visit_at, now + reply.again_in)
            if self._granted_away or self._fresh:
                self._visit_at = now
            self._pump(now, self.loop)
        finally:
            self.leave()
        if back:
            self._outage.ended(self, self.core.limit)
        self._warn()
        self._follow_up(self.loop)

    def _take(self, asked: list[list[WaitingCall]], reply: StoreReply, now: float) -> None:
        """Hand out what was granted. What nobody wants any more goes back."""
        places = [0] * len(asked)
        for granted in reply.grants:
            call = asked[granted.ask][places[granted.ask]]
            places[granted.ask] += 1
            permit = SharedPermit(
                granted.cost, call.price, granted.at, granted.before, granted.upto, granted.top, granted.kind,
                self, self.core, call.order, call.waited + now - call.asked_at, reply.lease,
            )  # fmt: skip
            self._flight += permit.cost
            if call.queued and self._hears(call, self.loop):
                self._hand(call, permit)
            else:
                self._end(permit, RELEASED, None, now)

    def _sort_out(self, now: float) -> None:
        """Calls that have asked for the first time, and have to wait: refuse those that would wait too long, tell hooks
        of the others.
        """
        fresh, self._fresh = self._fresh, []
        for call, max_wait in fresh:
            if call.queued:
                try:
                    self._judge(call, max_wait, now)
                except BudgetTimeoutError as error:
                    self._hand(call, error)
                else:
                    self._announce(call, now)

    def _warn(self) -> None:
        """Say once what the user should know."""
        core, terms = self.core, self._terms
        if core.silent:
            self._outage.say_once(
                "silent",
                "answers carry no rate-limit headers: the budget goes by %d points per %g s; if your plan has more, "
                "say so with %s(limit=...)",
                core.limit, core.period, terms.label,
            )  # fmt: skip
        if core.first_period != terms.period:
            self._outage.say_once(
                "period",
                "the shared point budget runs with period=%g, as whoever came first had it; "
                "this process was told period=%g",
                core.first_period, terms.period,
            )  # fmt: skip

    def _failed(self, reason: str) -> None:
        """The store did not answer, or refused."""
        terms = self._terms
        self.enter()
        try:
            now = self.now()
            first = self._retry_at == -math.inf
            # All must have come back within the pause that the store makes then.
            self._retry_in = RETRY if first else min(2 * self._retry_in, pause_of(terms.period) / 2)
            self._retry_at = now + self._retry_in
            if terms.refuse:
                self._outage.reason = reason
            elif not self.away:
                self.away = True
                even = 1 / max(self.core.members, 1) if self._offer is not None else UNKNOWN_SHARE
                self._share = terms.share or even
                self.core.part(self._share, now)
                self._used_at = now
            more = self._pump(now, self.loop)
            if self.away:
                self._sort_out(now)
        finally:
            self.leave()
        if terms.refuse:
            self._turn_away(self._refusal())
        if first:
            self._outage.began(self, reason, 0 if terms.refuse else self.core.limit)
        self._follow_up(self.loop, more=more)

    # Going

    async def _live(self) -> AsyncGenerator[None, None]:
        """Tie the end to the loop's: asyncio and uvloop finish every async generator before a loop is closed."""
        try:
            yield
        finally:
            await self._finish()

    async def say_last(self, store: Store) -> None:
        """Report what has ended and is not told yet, by this loop's store or another's."""
        with self.looking() as now:
            self._collect(now)
            said, _ = self._compose(now)
        said.waits, said.calls, said.asks = [0, 0, 0], [0, 0, 0], []
        try:
            await store.transact(said, None)
        except (StoreAwayError, ConfigurationError):
            return
        self._ends = []

    @property
    def name(self) -> str:
        """Who it is in the store."""
        return self._id

    @property
    def degraded(self) -> bool:
        """The store was not heard when it was last asked."""
        return self._retry_at > -math.inf

    @property
    def has_more(self) -> bool:
        """Something has ended that the store was not told of."""
        return bool(self._ends or self.mailbox)

    async def aclose(self) -> None:
        """Report what has ended, and let go of the store. In the loop, when nobody waits any more."""
        if self._talking is not None:
            await asyncio.wait([self._talking], timeout=PATIENCE)
        if self._lifetime is None:
            await self._finish()
        else:
            await self._lifetime.aclose()

    async def _finish(self) -> None:
        if self.gone:
            return
        self.gone = True
        if self._timer is not None:
            self._timer.cancel()
        if self._heard < self._seq or self.has_more or self._short:
            await self.say_last(self._store)
        await self._store.aclose()
        self._outage.left(self)


def check_call(cost: object, operation: object, max_wait: float | None) -> None:
    """Refuse what could not be told to the store, or would be told to it as something else.

    Raises:
        TypeError: The operation's name is no text.
        ValueError: The cost is no whole number from 1 on, the name is no Unicode text, or `max_wait` is negative.
    """
    check_cost(cost)
    if not isinstance(operation, str):
        raise TypeError(f"operation must be a string, not {type(operation).__name__}")
    if not operation.isascii():
        unicode_text("operation", operation)
    if max_wait is not None and not max_wait >= 0:
        raise ValueError(f"max_wait must be seconds from 0 on, or None, not {max_wait!r}")
