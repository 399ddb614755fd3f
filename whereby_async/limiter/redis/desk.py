"""`Desk`: what one event loop has to say to the store, and who waits there for its answer.

**Theory.** One call of the script is under way at a time. What comes meanwhile gathers and goes with the next, so the busier
the loop, the fewer calls there are for each permit. A call is made

- at once, when somebody wants points and nothing is known that would make him wait. While points are short everywhere, calls
  keep a little distance, since whoever is quicker gains nothing but a longer wait for the next window; not so for the
  interactive lane;
- when the store has said to come again;
- at once, when an answer has come that others wait for: that of a lead or a pilot, a 429, or evidence that opens a window;
- a few milliseconds after any other permit has ended, to take others along;
- every third of a lease while permits are out, so that they are not given up.

Otherwise nothing happens: an idle loop makes no call and has no timer.

A permit may end in any thread, even inside the garbage collector: it is put into the mailbox, and the loop is rung. What a call
was to report and did not surely report is reported again, under its number, which the store compares; points that it may have
granted then were never heard of, and the store takes them back.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import deque
from typing import TYPE_CHECKING, Final

from ...errors import BudgetError
from .. import refusals
from ..outlook import Outlook
from ..protocol import Priority
from ..queue import OLD, Lanes
from .caller import Caller
from .outage import StoreAwayError
from .permit import Record, SharedPermit
from .wire import RELEASED, SETTLED, Ending, Message, Reply, Told, Wants

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ...rate_limit import RateLimit
    from .branch import Branch
    from .connection import Link

CHUNK: Final = 256
"""Calls that one message asks points for."""

_LINGER: Final = 0.01
"""Seconds that the end of a permit waits for others to go along."""
_LONGEST_LINGER: Final = 0.1
_ROUNDS: Final = 60
"""Calls per period of one loop while points are short."""

_Sent = list[list[tuple[Caller, int]]]


class Desk:
    """One event loop's place at the store.

    Attributes:
        branch: The process's part of the budget.
        loop: The event loop.
        id: Who calls, to the store.
        lanes: Those who wait.
        out: Points of permits that have not ended.
        closed: It makes no more calls.
    """

    def __init__(self, branch: Branch, loop: asyncio.AbstractEventLoop, link: Link) -> None:
        self.branch: Branch = branch
        self.loop: asyncio.AbstractEventLoop = loop
        self.id: str = secrets.token_hex(8)
        self.lanes: Lanes = Lanes()
        self.out: int = 0
        self.closed: bool = False
        self._link = link
        self._mailbox: deque[tuple[SharedPermit, int, RateLimit | None]] = deque()
        self._ends: list[tuple[SharedPermit, int, Told | None]] = []
        self._unheard: list[tuple[int, list[Ending]]] = []
        self._record = Record(0)
        self._records: list[Record] = []
        self._epoch = 0.0
        self._seq = self._confirmed = 0
        self._rung = False
        self._call: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lifetime: AsyncGenerator[None, None] | None = None
        # What is to be said, and when.
        self._news = self._hurry = False
        self._covered: Priority | None = None
        self._again_at = self._say_by = math.inf
        self._called_at = -math.inf

    # Coming

    async def wait(self, caller: Caller) -> SharedPermit | None:
        """Wait for points; `None` if the store has gone away meanwhile.

        Raises:
            BudgetTimeoutError: It would take longer than it may, or did.
            BudgetError: The price is above the whole limit.
        """
        self._join(caller)
        try:
            await caller.future
        except BaseException:
            self._leave(caller)
            raise
        permit, caller.permit = caller.permit, None
        return permit

    def _join(self, caller: Caller) -> None:
        now = self.loop.time()
        caller.arrive(self.loop.create_future(), now)
        caller.cost = self.branch.price(caller.operation, caller.seed)
        if caller.cost > self.branch.view.quota.whole:
            raise refusals.too_dear(caller, self.branch.view.quota.whole)
        known = self._covered is not None and self._covered <= caller.priority and not self._news
        if known:
            self._judge(caller, now)
        if (left := caller.left(now)) is not None and left > 0:
            caller.timer = self.loop.call_later(left, self._late, caller)
        self.lanes.push(caller)
        if known:
            self.branch.tell_wait(
                caller, "queue" if self.lanes[caller.priority].count > 1 else self.branch.view.reply.why, self
            )
            return
        self._news = True
        self._hurry = self._hurry or caller.priority is Priority.INTERACTIVE
        self.ring()

    def outlook(self) -> Outlook:
        """What those who wait here can expect."""
        return Outlook(self.branch.view, self.lanes)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a view answers what an outlook asks

    def _judge(self, caller: Caller, now: float) -> None:
        """Refuse a call that would surely wait too long."""
        left = caller.left(now)
        if left is None:
            return
        outlook, view = self.outlook(), self.branch.view
        if left <= 0 or outlook.least(caller, now) > left:
            ahead = self.lanes.ahead_of(caller.priority, caller.order) + view.before(caller.priority)
            raise refusals.too_long(caller, ahead, outlook.likely(caller, now), caller.max_wait or 0.0)
        caller.judged = True

    def _late(self, caller: Caller) -> None:
        wait = self.branch.view.likely_wait(self.loop.time(), caller.cost)
        self._refuse(caller, refusals.too_late(caller, wait))

    def _refuse(self, caller: Caller, error: Exception) -> None:
        if caller.queued:
            self.lanes.discard(caller)
            if not caller.future.done():
                caller.future.set_exception(error)
        caller.hush()
        self._fewer()

    def _leave(self, caller: Caller) -> None:
        """Its task is gone: out of the lane with it, or back with the points."""
        caller.hush()
        if caller.queued:
            self.lanes.discard(caller)
            self._fewer()
        elif caller.permit is not None:
            caller.permit.release()
            caller.permit = None

    def _fewer(self) -> None:
        """Somebody wants nothing any more; if nobody does, others need not leave anything for us."""
        if not self.lanes.count and self._covered is not None:
            self._say_by = min(self._say_by, self.loop.time() + self._linger())
            self.ring()

    def turn_away(self, error: Exception | None = None) -> None:
        """Send all that wait away, with an error, or to wait somewhere else. In the loop."""
        for caller in sorted(self.lanes, key=lambda waiter: waiter.order):
            assert isinstance(caller, Caller)  # noqa: S101 - nobody else is let in
            self.lanes.discard(caller)
            caller.hush()
            caller.pause(self.loop.time())
            if not caller.future.done():
                if error is None:
                    caller.future.set_result(None)
                else:
                    caller.future.set_exception(error)
        self._news = self._hurry = False
        self._covered = None

    # Going

    def end(self, permit: SharedPermit, kind: int, answer: RateLimit | None) -> None:
        """A permit ends; from any thread, even from within the garbage collector."""
        self._mailbox.append((permit, kind, answer))
        self.ring()

    def ring(self) -> None:
        """Have the loop look what is to be said; from any thread."""
        if self._rung:
            return
        self._rung = True
        try:
            if asyncio._get_running_loop() is self.loop:  # noqa: SLF001 - documented, and does not raise
                self.loop.call_soon(self._look)
            else:
                self.loop.call_soon_threadsafe(self._look)
        except RuntimeError:
            # Its loop is closed: somebody else speaks for it.
            self._rung = False
            self.branch.bury(self)

    def collect(self, now: float) -> None:
        """Book what lies in the mailbox."""
        while self._mailbox:
            permit, kind, answer = self._mailbox.popleft()
            if not permit.live:
                continue
            permit.live = False
            permit.record.live -= 1
            self.out -= permit.cost
            if kind != RELEASED:
                self.branch.spend(permit.cost, now)
            told: Told | None = None
            if kind == SETTLED and answer is not None:
                told = (answer.limit, answer.remaining, answer.reset_in, answer.retry_after, answer.throttled)
            self._ends.append((permit, kind, told))
            if answer is not None and answer.throttled:
                self.branch.throttled.append(answer)
            soon = permit.urgent or self._opens(permit, answer)
            self._say_by = min(self._say_by, now if soon else now + self._linger())

    def _opens(self, permit: SharedPermit, answer: RateLimit | None) -> bool:
        """Is this answer one that others wait for?"""
        if answer is None or answer.throttled:
            return answer is not None
        reply = self.branch.view.reply
        if answer.remaining is None or not (self.lanes.count or any(reply.elsewhere)):
            return False
        return permit.answered + permit.cost + answer.remaining > max(reply.floor, reply.granted)

    def _linger(self) -> float:
        if self.branch.view.reply.busy:
            return min(_LONGEST_LINGER, self.branch.plan.period / _ROUNDS)
        return _LINGER

    # When to call

    def _look(self) -> None:
        """See what is to be said, and when. In the loop."""
        self._rung = False
        now = self.loop.time()
        self.collect(now)
        if self._call is not None or self.closed:
            return
        due = self._due(now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due <= now:
            self._call = self.loop.create_task(self._talk())
        elif due < math.inf:
            self._timer = self.loop.call_later(due - now, self._look)

    def _due(self, now: float) -> float:
        due = self._say_by
        if self._news:
            due = min(
                due, now if self._hurry else self._called_at + (self._linger() if self.branch.view.reply.busy else 0.0)
            )
        elif self.lanes.count:
            due = min(due, self._again_at)
        if self.out:
            due = min(due, self._called_at + self.branch.plan.lease / 3)
        if self.branch.gone:
            due = min(due, now + _LINGER)
        outage = self.branch.outage
        if outage.since is not None:
            due = outage.retry_at if due < math.inf or self.branch.uses_loan(now) else due
        return due

    # Calling

    async def _talk(self) -> None:
        """Call the store until there is nothing to say for now."""
        again = True
        try:
            if self._lifetime is None:
                self._lifetime = self._live()
                await anext(self._lifetime)
            while again and not self.closed:
                again = await self._exchange()
        finally:
            self._call = None
            if not self.closed:
                self.ring()

    async def _exchange(self) -> bool:
        """One call; whether another is due at once."""
        for last in (False, True):
            message, sent = self._compose(self.loop.time())
            try:
                reply = await self._link.call(message)
            except BaseException as error:
                self._unheard_of(message)
                if not isinstance(error, StoreAwayError):
                    raise
                if error.dropped and not last and self.branch.outage.since is None:
                    continue
                self._covered = None
                self.branch.failed(str(error))
                return False
            self._confirmed = message.seq
            self._unheard.clear()
            self._hear(message, reply, sent)
            break
        return self._due(self.loop.time()) <= self.loop.time()

    def _unheard_of(self, message: Message) -> None:
        if message.ends:
            self._unheard.append((message.seq, message.ends))

    def _compose(self, now: float) -> tuple[Message, _Sent]:
        self.collect(now)
        self._seq += 1
        self._called_at = now
        self._say_by = math.inf
        self._news = self._hurry = False
        ends, self._ends = [_ending(*each) for each in self._ends], []
        sent, lanes = self._wanted(now)
        branch = self.branch
        message = Message(
            id=self.id,
            seq=self._seq,
            confirmed=self._confirmed,
            epoch=self._epoch,
            generation=self._record.generation,
            out=self.out,
            spent=branch.spent(now),
            away=branch.outage.lasted(now),
            spent_away=branch.spent_away(),
            again=list(self._unheard),
            ends=ends,
            orphans=branch.take_orphans(),
            lanes=lanes,
            prices=branch.version,
            plan=branch.plan,
        )
        return message, sent

    def _wanted(self, now: float) -> tuple[_Sent, list[Wants]]:
        sent: _Sent = []
        lanes: list[Wants] = []
        left = CHUNK
        for priority in Priority:
            lane = self.lanes[priority]
            callers = [waiter for waiter in lane.first(left) if isinstance(waiter, Caller)] if lane.count else []
            left -= len(callers)
            old_since = now - OLD * self.branch.plan.period
            old = next((place for place, caller in enumerate(callers) if caller.since > old_since), len(callers))
            waited = now - callers[0].since if callers else 0.0
            sent.append([(caller, caller.cost) for caller in callers])
            lanes.append(Wants(costs=[caller.cost for caller in callers], points=lane.points, waited=waited, old=old))
        return sent, lanes

    # Hearing

    def _hear(self, message: Message, reply: Reply, sent: _Sent) -> None:
        now = self.loop.time()
        if reply.stale:
            # Somebody calls himself what we do; from now on we are called otherwise.
            self.id = secrets.token_hex(8)
            self._enter(Record(0), adopted=False)
            self._news = self.lanes.count > 0
            return
        if (reply.epoch, reply.generation) != (self._epoch, self._record.generation):
            self._epoch = reply.epoch
            self._enter(Record(reply.generation), adopted=reply.adopted)
        for number, (lane, place) in enumerate(reply.served):
            caller, cost = sent[lane - 1][place - 1]
            lead = reply.lead if number == reply.lead_place else 0
            self._grant(caller, cost, lead, reply, now)
        self.branch.heard(reply, message)
        waiting = [
            lane for lane, callers in zip(Priority, sent, strict=True) if any(caller.queued for caller, _ in callers)
        ]
        self._covered = waiting[0] if waiting else None
        self._again_at = now + reply.again_in
        first = next((lane for lane in Priority if self.lanes[lane].count), None)
        self._news = self._news or (first is not None and (self._covered is None or first < self._covered))
        self._sort_out(sent, reply, now)

    def _enter(self, record: Record, *, adopted: bool) -> None:
        """The store has a new record of us: it holds what is in flight, or the store has given that up."""
        for old in self._records:
            old.generation = record.generation if adopted else 0
            old.moved = old.moved or adopted
        self._records = [*(old for old in self._records if old.live), record]
        self._record = record

    def _grant(self, caller: Caller, cost: int, lead: int, reply: Reply, now: float) -> None:
        waited = caller.waited + now - caller.asked_at
        urgent = reply.urgent or lead > 0
        permit = SharedPermit(
            cost,
            self,
            caller.operation,
            caller.order,
            waited,
            self._record,
            reply.granted_at,
            reply.answered,
            lead,
            urgent,
        )
        self._record.live += 1
        self.out += cost
        caller.hush()
        if not caller.queued:
            permit.release()
            return
        self.lanes.discard(caller)
        caller.permit = permit
        if not caller.future.done():
            # Else it was cancelled meanwhile, and its task gives the points back when it hears of that.
            caller.future.set_result(None)

    def _sort_out(self, sent: _Sent, reply: Reply, now: float) -> None:
        """Of those that were not served, some need not wait at all."""
        whole = self.branch.view.quota.whole
        for callers in sent:
            for caller, _ in callers:
                if not caller.queued or caller.judged:
                    continue
                try:
                    if caller.cost > whole:
                        raise refusals.too_dear(caller, whole)
                    self._judge(caller, now)
                except BudgetError as error:
                    self._refuse(caller, error)
                    continue
                caller.judged = True
                self.branch.tell_wait(caller, reply.why, self)

    def reprice(self) -> None:
        """Prices have moved: those who wait pay the new ones. In the loop."""
        self.lanes.reprice(lambda waiter: self.branch.price(waiter.operation, waiter.seed))
        whole = self.branch.view.quota.whole
        for caller in [waiter for waiter in self.lanes if waiter.cost > whole]:
            self._refuse(caller, refusals.too_dear(caller, whole))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - nobody else is let in

    # Closing

    async def _live(self) -> AsyncGenerator[None, None]:
        """Tie the end to the loop's: asyncio and uvloop finish every async generator before a loop is closed."""
        try:
            yield
        finally:
            await self._finish()

    async def aclose(self) -> None:
        """Report what is left to report, and close the connection. In the loop."""
        self.turn_away(refusals.closed_meanwhile())
        if self._call is not None:
            await asyncio.wait([self._call], timeout=2.0)
        if self._lifetime is None:
            await self._finish()
        else:
            await self._lifetime.aclose()

    async def _finish(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        now = self.loop.time()
        self.collect(now)
        if (self._ends or self._unheard or self._covered is not None) and self.branch.outage.since is None:
            try:
                await self._link.call(self._compose(now)[0])
            except StoreAwayError:
                pass
        await self._link.aclose()
        self.branch.bury(self)

    def estate(self) -> list[tuple[str, Ending]]:
        """What a desk whose loop has gone would still have to say."""
        self.collect(self.branch.clock())
        ends, self._ends = [_ending(*each) for each in self._ends], []
        return [(self.id, ending) for ending in ends]

    @property
    def link(self) -> Link:
        """Its connection."""
        return self._link


def _ending(permit: SharedPermit, kind: int, told: Told | None) -> Ending:
    answered = None if permit.record.moved else permit.answered
    operation = "" if permit.desk.branch.pinned(permit.operation) else permit.operation
    return (kind, permit.cost, answered, permit.granted_at, permit.lead, operation, told, permit.record.generation)
