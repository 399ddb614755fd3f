"""`View`: the shared budget as the store last told it, for everything that must be said without asking again. Pure.

It is a horizon as the ledger is, by what was true then: points that others take or give back since are
not in it. So what it says of waits is as good as the last call, which while anything waits is a moment ago.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from .present.gate import Gate
from .present.horizon import Horizon
from .present.quota import Quota
from .wire import Reply

if TYPE_CHECKING:
    from ..protocol import BudgetState, Priority

_FRESH: Final = Reply()


class View(Horizon):
    """One answer of the store, and when it came.

    Attributes:
        reply: What it said.
        at: When it came, by this process's clock.
        heard: It came at all.
    """

    def __init__(
        self, reply: Reply = _FRESH, at: float = -math.inf, *, limit: int | None = None, period: float = 60.0
    ) -> None:
        self.reply: Reply = reply
        self.at: float = at
        self.heard: bool = reply is not _FRESH
        self.period: float = reply.period if self.heard else period
        self.quota: Quota = Quota(reply.limit if self.heard else limit)
        if self.heard:
            self.quota.whole = reply.whole
        self.gate: Gate = Gate(self.period)
        self.gate.opens_at = at + reply.gate_in

    @property
    def limit(self) -> int:
        """Points per period."""
        return self.quota.limit

    @property
    def pending(self) -> int:
        """Points in flight, of all processes."""
        return self.reply.pending

    @property
    def left(self) -> int:
        """Points of the present window that were not granted then."""
        return self.reply.left if self.heard else self.limit

    def left_by_others(self, now: float) -> int:
        """The same, less what strangers were known to have taken of it."""
        return min(self.left, self.reply.least) if now < self.at + self.reply.others_in else self.left

    def room(self, now: float, need: int = 1) -> int:  # noqa: ARG002 - what was there then, whoever asks
        """Points that a `NORMAL` call could have had then; a full limit long after."""
        return self.reply.room if self.heard and now - self.at <= self.period else self.limit

    def more_at(self, now: float) -> float:
        """The earliest moment at which more may be granted, as far as was known then."""
        return max(self.at + self.reply.more_in, self.gate.opens_at, now)

    @property
    def elsewhere(self) -> int:
        """Points that other processes wait for."""
        return sum(self.reply.elsewhere)

    def before(self, priority: Priority) -> int:
        """Points that other processes wait for in higher lanes."""
        return sum(self.reply.elsewhere[:priority])

    def reset_in(self, now: float) -> float | None:
        """Seconds until the window ends; `None` if unknown or over."""
        left = self.at + self.reply.reset_in - now
        return left if self.reply.reset_in >= 0 and left >= 0 else None

    def remaining(self) -> int | None:
        """What the server has left, as far as it told; `None` if it did not."""
        return self.reply.remaining if self.reply.remaining >= 0 else None

    def state(self, available: int, now: float) -> BudgetState:
        """What the budget is doing."""
        if now < self.gate.opens_at:
            return "frozen"
        if not self.reply.known:
            return "unknown"
        return "open" if available > 0 else "empty"
