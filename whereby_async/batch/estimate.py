"""What a job will take, said before it starts, and how far it has come while it runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from ..errors import ConfigurationError
from ..limiter.protocol import Priority
from ..redaction import plain
from .item import operation_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..limiter.protocol import Limiter
    from .item import Outcome
    from .lookup import LostCreateLookup

_FALLBACK_PRICE: Final = 1
_LEAST_ETA: Final = 1.0
"""Seconds. What is under way takes a moment, even if there are points for it and nothing is known of the pace."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What so many calls of one operation would take.

    Attributes:
        operation: Its name.
        calls: How many.
        price: Points that one costs, as far as is known.
        learned: The price was pinned or learned from answers; otherwise it is the documented one.
        points: Points in all.
        windows: Windows of the budget, the present one included.
        seconds: Until the last of the points is granted, behind all that wait now, if nobody else spends from the
            budget and nothing of it is kept in reserve. With a reserve (a tenth of each window, if the budget was not
            told otherwise) a batch gets the last points of a window one by one while the reserve melts, and all of
            them by the window's end if nobody else wants them: the job takes the same `windows`, but if it fills the
            last of them, until its end.
    """

    operation: str
    calls: int
    price: int
    learned: bool
    points: int
    windows: int
    seconds: float


def estimate(limiter: Limiter, operation: str | Callable[..., Any], calls: int) -> Estimate:
    """See `WherebyClient.estimate`."""
    calls = plain(calls)
    if not isinstance(calls, int) or isinstance(calls, bool) or calls < 0:
        raise ConfigurationError(f"n={calls!r}: pass how many calls, a whole number from 0")
    known = operation_of(operation)
    learned = limiter.snapshot().costs.get(known.name)
    price = known.cost if learned is None else learned
    forecast = limiter.forecast(price * calls)
    return Estimate(
        operation=known.name,
        calls=calls,
        price=price,
        learned=learned is not None,
        points=price * calls,
        windows=forecast.windows if calls else 0,
        seconds=forecast.seconds if calls else 0.0,
    )


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch has come.

    Attributes:
        done: Items that are done, those of earlier runs among them.
        failed: Items that failed.
        unknown: Items of which nobody knows whether they happened.
        resumed: Items, of any of these, that an earlier run had finished.
        under_way: Items begun and not finished.
        total: Items in the input, if it can say.
        elapsed: Seconds since the batch was entered.
        points: Points that this run has spent.
        points_per_second: On average over this run.
        eta: Seconds until the last item is finished, from the budget's forecast, the pace so far and `lookups_end`: 0
            when all are finished, at least 1 before. `None` if `total` is, and while the service can not be reached.
        waiting: What the calls under way wait for: `service` (it can not be reached), `frozen` (after a 429), `pilot`
            (one call is out to learn the budget), `reserve` (points that are kept from batches), `empty` (the window is
            spent), `consumer` (outcomes that nobody takes); `None` if they do not.
        away: Seconds for which the service could not be reached so far; 0 while it can.
        lookups: Rooms that are being looked for because the answers to their creates were lost, in this run or an
            earlier one.
        lookups_end: Seconds until the last of these may be taken for not made if no list shows it, at least 1; `None`
            if there are none.
    """

    done: int
    failed: int
    unknown: int
    resumed: int
    under_way: int
    total: int | None
    elapsed: float
    points: int
    points_per_second: float
    eta: float | None
    waiting: str | None
    away: float = 0.0
    lookups: int = 0
    lookups_end: float | None = None

    @property
    def finished(self) -> int:
        """Items with an outcome."""
        return self.done + self.failed + self.unknown


OnProgress: TypeAlias = Callable[[Progress], object]
"""Called with the progress, by a plain call in the batch's loop."""


class ProgressCounter:
    """Counts what a batch spends and what comes of its items."""

    def __init__(
        self, limiter: Limiter, price: int | None, total: int | None, *, away: Callable[[], float] = lambda: 0.0
    ) -> None:
        """Start counting.

        Args:
            limiter: What the calls ask for points.
            price: Points that a call is thought to cost until some were made.
            total: Items in the input, if it can say.
            away: Says for how many seconds the service could not be reached; 0 while it can.
        """
        self._limiter = limiter
        self._away = away
        self._price = price or _FALLBACK_PRICE
        self._total = total
        self._began_at = asyncio.get_running_loop().time()
        self._ended_at: float | None = None
        self._counts = {"ok": 0, "failed": 0, "unknown": 0}
        self._resumed = 0
        self._points = 0
        self._now = {"item": 0, "wait": 0}

    @contextmanager
    def during(self, what: Literal["item", "wait"]) -> Generator[None]:
        """An item is under way inside, or a call waits for points."""
        self._now[what] += 1
        try:
            yield
        finally:
            self._now[what] -= 1

    def spend(self, points: int) -> None:
        """Count points granted to a call, retries and lookups included; points that come back are negative."""
        self._points += points

    def count(self, outcome: Outcome[Any]) -> None:
        """Count a finished item."""
        self._counts[outcome.state] += 1
        self._resumed += outcome.resumed

    def close(self) -> None:
        """Stop the time, since the batch has ended."""
        if self._ended_at is None:
            self._ended_at = asyncio.get_running_loop().time()

    def progress(self, *, crowded: bool, lookup: LostCreateLookup | None) -> Progress:
        """How far it has come; `crowded` says that as many outcomes lie ready as may."""
        now = asyncio.get_running_loop().time() if self._ended_at is None else self._ended_at
        elapsed = now - self._began_at
        away = self._away() if self._ended_at is None else 0.0
        lookups, lookups_end = (0, None) if lookup is None else lookup.open_cases(now)
        return Progress(
            done=self._counts["ok"],
            failed=self._counts["failed"],
            unknown=self._counts["unknown"],
            resumed=self._resumed,
            under_way=self._now["item"],
            total=self._total,
            elapsed=elapsed,
            points=self._points,
            points_per_second=self._points / elapsed if elapsed > 0 else 0.0,
            eta=self._eta(elapsed, lookups, lookups_end or 0.0, away),
            waiting="consumer" if crowded else self._reason(away),
            away=away,
            lookups=lookups,
            lookups_end=lookups_end,
        )

    def _eta(self, elapsed: float, lookups: int, lookups_end: float, away: float) -> float | None:
        finished = sum(self._counts.values())
        if self._total is not None and finished >= self._total:
            return 0.0
        if self._total is None or away:
            return None
        left = max(0, self._total - finished - lookups)
        made = finished - self._resumed
        price = self._points / made if made else self._price
        new = max(0, left - self._now["wait"])  # the forecast stands behind those that wait already
        seconds = self._limiter.forecast(max(1, math.ceil(new * price))).seconds
        pace = elapsed / made if made else 0.0
        return max(seconds, left * pace, lookups_end, _LEAST_ETA)

    def _reason(self, away: float) -> str | None:
        if away and self._now["item"]:
            return "service"
        if not self._now["wait"]:
            return None
        budget = self._limiter.snapshot()
        if budget.state == "frozen":
            return "frozen"
        if budget.state == "unknown":
            return "pilot"
        others = sum(count for priority, count in budget.waiting.items() if priority is not Priority.BATCH)
        if not others and budget.remaining is not None and budget.remaining >= self._price:
            return "reserve"
        return "empty"
