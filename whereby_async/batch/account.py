"""`Account`: counts what has come of the items, and says how long the rest will take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import anyio

from ..limiter.protocol import Priority
from .progress import Progress

if TYPE_CHECKING:
    from ..limiter.protocol import BudgetSnapshot, Limiter
    from .calls import Tally
    from .outcome import Outcome

_FALLBACK_PRICE: Final = 1


class Account:
    """What has come of the items of a batch.

    Attributes:
        under_way: Items begun and not finished.
    """

    def __init__(self, limiter: Limiter, tally: Tally, price: int | None, total: int | None) -> None:
        """Opened when the batch is entered.

        Args:
            limiter: What the calls spend from.
            tally: What they have spent.
            price: What a call costs until it is known, in points; `None` if nobody can say.
            total: How many items there are, if that is known.
        """
        self._limiter = limiter
        self._tally = tally
        self._price = price or _FALLBACK_PRICE
        self._total = total
        self._began_at = anyio.current_time()
        self._ended_at: float | None = None
        self._counts = {"ok": 0, "failed": 0, "unknown": 0}
        self._resumed = 0
        self.under_way: int = 0

    def count(self, outcome: Outcome[Any]) -> None:
        """An item is finished."""
        self._counts[outcome.state] += 1
        self._resumed += outcome.resumed

    def close(self) -> None:
        """The batch has ended: time stands still from now on."""
        if self._ended_at is None:
            self._ended_at = anyio.current_time()

    def progress(self, *, crowded: bool = False) -> Progress:
        """How far it has come.

        Args:
            crowded: Outcomes lie ready, as many as may.
        """
        elapsed = (anyio.current_time() if self._ended_at is None else self._ended_at) - self._began_at
        points = self._tally.points
        return Progress(
            done=self._counts["ok"],
            failed=self._counts["failed"],
            unknown=self._counts["unknown"],
            resumed=self._resumed,
            under_way=self.under_way,
            total=self._total,
            elapsed=elapsed,
            points=points,
            points_per_second=points / elapsed if elapsed > 0 else 0.0,
            eta=self._eta(elapsed),
            waiting=self._waiting(crowded=crowded),
        )

    def _eta(self, elapsed: float) -> float | None:
        if self._total is None:
            return None
        finished = sum(self._counts.values())
        left = self._total - finished
        if left <= 0:
            return 0.0
        made = finished - self._resumed
        price = self._tally.points / made if made else self._price
        new = max(0, left - self._tally.waiting)  # the forecast stands behind those that wait already
        seconds = self._limiter.forecast(max(1, math.ceil(new * price))).seconds
        return max(seconds, left * elapsed / made) if made else seconds

    def _waiting(self, *, crowded: bool) -> str | None:
        if crowded:
            return "consumer"
        if not self._tally.waiting:
            return None
        budget = self._limiter.snapshot()
        return _reason(budget, self._price)


def _reason(budget: BudgetSnapshot, price: int) -> str:
    if budget.state == "frozen":
        return "frozen"
    if budget.state == "unknown":
        return "pilot"
    others = sum(count for lane, count in budget.waiting.items() if lane is not Priority.BATCH)
    if not others and budget.remaining is not None and budget.remaining >= price:
        return "reserve"
    return "empty"
