"""`Outbox`: permits of one event loop that have ended, and calls that went without one, until the store is told.

A permit may end in any thread, even inside the garbage collector: `put` takes no lock. All else is done in the loop, or by whoever
speaks for a loop that has gone.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..protocol import Priority
from .wire import MISSED, RELEASED, SETTLED, Ending, Told

if TYPE_CHECKING:
    from ...rate_limit import RateLimit
    from .branch import Branch
    from .caller import Caller
    from .shared_permit import SharedPermit


class Outbox:
    """What has ended.

    Attributes:
        out: Points of permits that have not.
    """

    __slots__ = ("_branch", "_ends", "_mailbox", "_missed", "out")

    def __init__(self, branch: Branch) -> None:
        self.out: int = 0
        self._branch = branch
        self._mailbox: deque[tuple[SharedPermit, int, RateLimit | None]] = deque()
        self._ends: list[tuple[SharedPermit, int, Told | None]] = []
        self._missed = 0

    def __bool__(self) -> bool:
        return bool(self._ends or self._missed)

    def misses(self, caller: Caller) -> None:
        """A call goes without the points that it asked for: the reserve is to know what its lane needs. In the loop.

        Told with the next call that is made anyway, or when the loop ends.
        """
        if caller.priority is not Priority.BATCH:
            self._missed += caller.cost

    def put(self, permit: SharedPermit, kind: int, answer: RateLimit | None) -> None:
        """A permit ends; from any thread."""
        self._mailbox.append((permit, kind, answer))

    def collect(self, now: float, *, waiting: bool) -> bool | None:
        """Book what has ended; whether somebody waits to hear of it, `None` if nothing has.

        Args:
            now: The time.
            waiting: Somebody waits here.
        """
        found: bool | None = None
        while self._mailbox:
            permit, kind, answer = self._mailbox.popleft()
            if not permit.live:
                continue
            permit.live = False
            permit.record.live -= 1
            self.out -= permit.cost
            if kind != RELEASED:
                self._branch.spend(permit.cost, now)
            told: Told | None = None
            if kind == SETTLED and answer is not None:
                told = (answer.limit, answer.remaining, answer.reset_in, answer.retry_after, answer.throttled)
            self._ends.append((permit, kind, told))
            found = self._awaited(permit, answer, waiting=waiting) or permit.urgent or bool(found)
        return found

    def _awaited(self, permit: SharedPermit, answer: RateLimit | None, *, waiting: bool) -> bool:
        """Is this answer one that others wait for: a 429, or evidence of more than was known?"""
        if answer is None:
            return False
        if answer.throttled:
            self._branch.throttled.append(answer)
            return True
        reply = self._branch.view.reply
        if answer.remaining is None or not (waiting or any(reply.elsewhere)):
            return False
        return permit.answered + permit.cost + answer.remaining > max(reply.floor, reply.granted)

    def take(self) -> list[Ending]:
        """What is to be told, once."""
        ends, self._ends = self._ends, []
        told = [self._ending(*each) for each in ends]
        if self._missed:
            told.append((MISSED, self._missed, None, 0.0, 0, "", None, 0))
            self._missed = 0
        return told

    def _ending(self, permit: SharedPermit, kind: int, told: Told | None) -> Ending:
        record = permit.record
        answered = None if record.moved else permit.answered
        operation = "" if self._branch.tariff.pinned(permit.operation) else permit.operation
        return (kind, permit.cost, answered, permit.granted_at, permit.lead, operation, told, record.generation)
