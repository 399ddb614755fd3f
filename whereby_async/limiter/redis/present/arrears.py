"""`Arrears`: what calls that have waited for long are owed, whatever the higher lanes bring. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .present_waiter import PresentWaiter

OLD: Final = 2.0
"""Periods after which a call is owed a share."""
OLD_SHARE: Final = 0.05
"""Part of each period's points that those calls get at least."""


class Arrears:
    """The share of the present period, and what was paid of it."""

    __slots__ = ("_paid", "_since")

    def __init__(self) -> None:
        self._since = 0.0
        self._paid = 0

    def owed(
        self, heads: Iterable[PresentWaiter | None], now: float, limit: int, period: float
    ) -> PresentWaiter | None:
        """Which of the `heads` has waited for longest, and for so long that it is owed something that was not paid yet."""
        if now - self._since >= period:
            self._since = now
            self._paid = 0
        if self._paid >= OLD_SHARE * limit:
            return None
        owed: PresentWaiter | None = None
        for head in heads:
            if head and now - head.since >= OLD * period and (owed is None or head.since < owed.since):
                owed = head
        return owed

    def paid(self, cost: int) -> None:
        """A call that was owed has been served."""
        self._paid += cost
