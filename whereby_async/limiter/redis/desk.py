"""`Desk`: one event loop's place at the store: it makes the calls, and hands out what they bring.

One call of the script is under way at a time. What comes meanwhile gathers and goes with the next, so the busier the loop, the
fewer calls there are for each permit. When a call is made stands in `agenda.py`, and how close to the last in `cadence.py`; what is
said in it in `standing.py`, `shared_hall.py` and `outbox.py`.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from ..protocol import Priority
from .agenda import Agenda
from .cadence import LINGER, distance
from .outage import StoreAwayError
from .outbox import Outbox
from .present import refusals
from .shared_hall import SharedHall
from .shared_permit import SharedPermit
from .standing import Standing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ...rate_limit import RateLimit
    from .branch import Branch
    from .caller import Caller
    from .connection import Link
    from .shared_hall import Sent
    from .wire import Ending, Message, Reply

CHUNK: Final = 256
"""Calls that one message asks points for."""

_PATIENCE: Final = 2.0


class Desk:
    """One event loop's place at the store.

    Attributes:
        branch: The process's part of the budget.
        loop: The event loop.
        hall: Who waits.
        outbox: What has ended.
        closed: It makes no more calls.
    """

    def __init__(self, branch: Branch, loop: asyncio.AbstractEventLoop, link: Link) -> None:
        self.branch: Branch = branch
        self.loop: asyncio.AbstractEventLoop = loop
        self.outbox: Outbox = Outbox(branch)
        self.hall: SharedHall = SharedHall(branch, loop, self.outbox)
        self.closed: bool = False
        self._agenda = Agenda()
        self._standing = Standing()
        self._link = link
        self._rung = False
        self._call: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lifetime: AsyncGenerator[None, None] | None = None

    # Coming and going

    async def wait(self, caller: Caller) -> SharedPermit | None:
        """Wait for points; `None` if the store has gone away meanwhile.

        Raises:
            BudgetTimeoutError: It would take longer than it may, or did.
            BudgetError: The price is above the whole limit.
        """
        known = self._agenda.covers(caller.priority)
        self.hall.enter(caller, known=known)
        if not known:
            self._agenda.newcomer(caller.priority)
            self.ring()
        try:
            await caller.future
        except BaseException:
            self._leave(caller)
            raise
        permit, caller.permit = caller.permit, None
        return permit

    def _leave(self, caller: Caller) -> None:
        """Its task is gone: out of the lane with it, or back with the points."""
        self.hall.give_up(caller)
        if caller.permit is not None:
            caller.permit.release()
            caller.permit = None
        elif not self.hall.lanes.count and self._agenda.covered is not None:
            # Nobody wants anything any more: others need not leave anything for us.
            self._agenda.say(self.loop.time() + self._linger())
            self.ring()

    def end(self, permit: SharedPermit, kind: int, answer: RateLimit | None) -> None:
        """A permit ends; from any thread, even from within the garbage collector."""
        self.outbox.put(permit, kind, answer)
        self.ring()

    def turn_away(self, error: Exception | None = None) -> None:
        """Send all that wait away, with an error, or to wait somewhere else. In the loop."""
        self.hall.turn_away(error)
        self._agenda.forget()

    # When to call

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

    def _look(self) -> None:
        """See what is to be said, and when. In the loop."""
        self._rung = False
        now = self.loop.time()
        self._collect(now)
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

    def _collect(self, now: float) -> None:
        awaited = self.outbox.collect(now, waiting=self.hall.lanes.count > 0)
        if awaited is not None:
            self._agenda.say(now if awaited else now + self._linger())

    def _distance(self) -> float:
        """Seconds that calls keep from each other."""
        return distance(self.branch.view.reply, self.branch.plan.period, self.outbox.out)

    def _linger(self) -> float:
        """Seconds that what is not urgent waits for others to go along."""
        return max(LINGER, self._distance())

    def _due(self, now: float) -> float:
        branch = self.branch
        due = self._agenda.due(
            now,
            waiting=self.hall.lanes.count > 0,
            distance=self._distance(),
            sign_of_life=branch.plan.lease / 3 if self.outbox.out else None,
        )
        if branch.gone:
            due = min(due, now + LINGER)
        if branch.outage.since is not None:
            return branch.outage.retry_at if due < math.inf or branch.uses_loan(now) else due
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
        """One call, a second time if the connection was dropped; whether another is due at once."""
        for last in (False, True):
            message, sent = self._compose()
            try:
                reply = await self._link.call(message)
            except BaseException as error:
                self._standing.lost(message)
                self._agenda.forget()
                self._agenda.news = self.hall.lanes.count > 0
                if not isinstance(error, StoreAwayError):
                    if isinstance(
                        error, Exception
                    ):  # nobody may be kept waiting, or called for ever, by a fault of ours
                        self.branch.failed(f"a fault of this program, {type(error).__name__}")
                    raise
                if last or not error.dropped or self.branch.outage.since is not None:
                    self.branch.failed(str(error))
                    return False
            else:
                self._hear(message, reply, sent)
                break
        now = self.loop.time()
        return self._due(now) <= now

    def _compose(self) -> tuple[Message, Sent]:
        now = self.loop.time()
        self._collect(now)
        self._agenda.said(now)
        sent, wants = self.hall.wanted(CHUNK)
        return self._standing.next_message(self.branch, self.outbox, wants, now), sent

    def _hear(self, message: Message, reply: Reply, sent: Sent) -> None:
        if not self._standing.heard(message, reply):
            self._agenda.heard([], [lane for lane in Priority if self.hall.lanes[lane].count], math.inf)
            return
        for number, (lane, place) in enumerate(reply.served):
            caller, cost = sent[lane - 1][place - 1]
            self._grant(caller, cost, reply.lead if number == reply.lead_place else 0, reply)
        self.branch.heard(reply)
        if self.branch.away()[1] > message.total_away:
            # Somebody went without the store while it was being told that it is back.
            self._agenda.say(self.loop.time())
        self.hall.sort_out(sent, reply.why)
        told = [lane for lane, calls in zip(Priority, sent, strict=True) if any(each.queued for each, _ in calls)]
        waiting = [lane for lane in Priority if self.hall.lanes[lane].count]
        self._agenda.heard(told, waiting, self.loop.time() + reply.again_in)

    def _grant(self, caller: Caller, cost: int, lead: int, reply: Reply) -> None:
        record, waited = self._standing.record, caller.waited + self.loop.time() - caller.asked_at
        permit = SharedPermit(
            cost,
            self,
            caller.operation,
            caller.order,
            waited,
            record,
            reply.granted_at,
            reply.answered,
            lead,
            reply.urgent or lead > 0,
        )
        record.live += 1
        self.outbox.out += cost
        if not caller.queued:
            permit.release()
            return
        self.hall.leave(caller)
        caller.permit = permit
        if not caller.future.done():
            # Else it was cancelled meanwhile, and its task gives the points back when it hears of that.
            caller.future.set_result(None)

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
            await asyncio.wait([self._call], timeout=_PATIENCE)
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
        self._collect(self.loop.time())
        something = self.outbox or self._standing.unheard or self._agenda.covered is not None
        # Twice, since a call that was cancelled has taken the connection with it.
        for _ in range(2 if something and self.branch.outage.since is None else 0):
            message = self._compose()[0]
            try:
                await self._link.call(message)
                break
            except StoreAwayError:
                self._standing.lost(message)
        await self._link.aclose()
        self.branch.bury(self)

    def estate(self) -> list[tuple[str, Ending]]:
        """What a desk whose loop has gone would still have to say."""
        self.outbox.collect(self.branch.clock(), waiting=False)
        return [(self._standing.id, ending) for ending in self.outbox.take()]
