"""`View`: the shared budget as the store last told it, for everything that must be said without asking again. Pure.

It answers the questions that `Outlook` asks of a ledger, by what was true then: points that others take or give back since are
not in it. So what it says of waits is as good as the last call, which while anything waits is a moment ago.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from .wire import Reply

if TYPE_CHECKING:
    from ..protocol import BudgetState, Priority

_FRESH: Final = Reply()


class _Quota:
    """The established limit."""

    __slots__ = ("whole",)

    def __init__(self, whole: int) -> None:
        self.whole: int = whole


class _Gate:
    """When the gate opens."""

    __slots__ = ("opens_at",)

    def __init__(self, opens_at: float) -> None:
        self.opens_at: float = opens_at


class View:
    """One answer of the store, and when it came.

    Attributes:
        reply: What it said.
        at: When it came, by this process's clock.
        heard: It came at all.
        limit: Points per period.
        period: Seconds.
        quota: The limit that is established.
        gate: Shut until the moment that a 429 has named.
    """

    __slots__ = ("at", "gate", "heard", "limit", "period", "quota", "reply")

    def __init__(
        self, reply: Reply = _FRESH, at: float = -math.inf, *, limit: int | None = None, period: float = 60.0
    ) -> None:
        self.reply: Reply = reply
        self.at: float = at
        self.heard: bool = reply is not _FRESH
        self.limit: int = reply.limit if self.heard or limit is None else limit
        self.period: float = reply.period if self.heard else period
        self.quota: _Quota = _Quota(reply.whole if self.heard else self.limit)
        self.gate: _Gate = _Gate(at + reply.gate_in)

    def room(self, now: float) -> int:
        """Points that a `NORMAL` call could have had then; a full limit long after."""
        if self.heard and now - self.at <= self.period:
            return self.reply.room
        return self.limit

    @property
    def elsewhere(self) -> int:
        """Points that other processes wait for."""
        return sum(self.reply.elsewhere)

    def before(self, priority: Priority) -> int:
        """Points that other processes wait for in higher lanes."""
        return sum(self.reply.elsewhere[:priority])

    def least_wait(self, now: float, points: int, cheapest: float = math.inf) -> float:
        """Seconds until `points` can all be granted, at the very earliest, as `Ledger.least_wait`."""
        room = self.room(now)
        if points <= room:
            return 0.0
        answers = self.reply.pending or cheapest <= room
        first = self.gate.opens_at if answers else max(self.at + self.reply.more_in, self.gate.opens_at)
        more = self._windows_more(points, max(room, self.reply.left))
        return max(0.0, first - now) + max(0, more - 1) * self.period

    def likely_wait(self, now: float, points: int) -> float:
        """Seconds until `points` can all be granted, as things stand."""
        reply = self.reply
        left = reply.left if self.heard else self.limit
        if now < self.at + reply.others_in:
            left = min(left, reply.least)
        if points <= left:
            return max(0.0, self.gate.opens_at - now)
        return max(0.0, self.at + reply.more_in - now) + self._windows_more(points, left) * self.period

    def _windows_more(self, points: int, left: int) -> int:
        return max(0, math.ceil((points - left) / self.limit) - 1)

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
