"""`News`: what an account has to tell once its lock is free: to its hooks, and once to the log."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ....details import CostChangeDetails, ThrottleDetails, WaitDetails
from ....notify import logger

if TYPE_CHECKING:
    import msgspec

    from ....notify import Listeners
    from ....rate_limit import RateLimit
    from .costs import Change
    from .present_ledger import PresentLedger
    from .present_waiter import PresentWaiter


class News:
    """What is to be told. Noted under the lock, told after it, by whichever thread comes first."""

    __slots__ = ("_events", "_headers_missed", "_listeners")

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._events: deque[tuple[str, msgspec.Struct]] = deque()
        # To be told once: `None` until it is so, `True` until it is told.
        self._headers_missed: bool | None = None

    def __bool__(self) -> bool:
        """There is something to tell."""
        return bool(self._events or self._headers_missed)

    @property
    def wanted(self) -> bool:
        """Somebody listens."""
        return bool(self._listeners)

    def waits(self, waiter: PresentWaiter, reason: str, delay: float, ahead: int) -> None:
        """A call waits."""
        details = WaitDetails(
            operation=waiter.operation,
            cost=waiter.cost,
            priority=waiter.priority.name,
            reason=reason,
            delay=delay,
            ahead=ahead,
        )
        self._events.append(("on_wait", details))

    def throttled(self, answer: RateLimit, delay: float) -> None:
        """The server has refused a call; the next goes in `delay` seconds."""
        self._events.append(("on_throttle", ThrottleDetails(delay=delay, rate_limit=answer)))

    def moved(self, changes: list[Change]) -> None:
        """Prices have moved."""
        for change in changes:
            details = CostChangeDetails(operation=change.operation, old=change.old, new=change.new)
            self._events.append(("on_cost_change", details))

    def settled(self, ledger: PresentLedger) -> None:
        """An answer came: are there ever headers?"""
        if self._headers_missed is None and ledger.headerless:
            self._headers_missed = True

    def tell(self, ledger: PresentLedger) -> None:
        """Tell it all. Not under the lock."""
        if self._headers_missed:
            self._headers_missed = False
            logger.warning(
                "answers carry no rate-limit headers: the budget goes by %d points per %g s; if your plan has more, say so "
                "with PointBudget(limit=...)",
                ledger.limit,
                ledger.period,
            )
        while self._events:
            try:
                event = self._events.popleft()
            except IndexError:  # another thread tells it
                break
            self._listeners.tell(*event)
