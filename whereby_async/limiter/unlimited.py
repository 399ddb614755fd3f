"""`Unlimited`: a limiter that meters nothing, but honours a freeze."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from .redis.present.costs import Prices
from .redis.present.lead import PATIENCE
from .redis.present.present_account import PresentAccount
from .redis.present.present_ledger import PresentLedger
from .redis.present.process import UNMETERED, ProcessLimiter
from .redis.present.reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..rate_limit import RateLimit
    from .listeners import Listeners
    from .redis.present.charge import Charge

_PERIOD: Final = 60.0


class _FreezeOnly(PresentLedger):
    """A ledger without a limit: only a 429's time counts, and if that was wrong, one call at a time."""

    __slots__ = ()

    def room(self, now: float, need: int = 1) -> int:  # noqa: ARG002 - everything fits
        if now < self.gate.opens_at:
            self.ask_again(self.gate.opens_at, "frozen")
            return 0
        if self.gate.doubted and self.pending and now < self.cold.piloted_at + PATIENCE:
            self.ask_again(self.cold.piloted_at + PATIENCE, "pilot")
            return 0
        return UNMETERED

    def settle(self, charge: Charge, answer: RateLimit | None, now: float) -> None:
        self.arrived += charge.cost
        self.heard_at = now
        if answer is not None and answer.throttled:
            self.gate.refused(answer.retry_after, charge.granted_at, now)
        else:
            self.gate.passed(charge.granted_at)

    def lost(self, charge: Charge, now: float) -> None:  # noqa: ARG002 - spent points do not matter
        self.arrived += charge.cost

    def least_wait(self, now: float, points: int, cheapest: float = math.inf) -> float:  # noqa: ARG002 - everything fits
        return max(0.0, self.gate.opens_at - now)

    def likely_wait(self, now: float, points: int) -> float:
        return self.least_wait(now, points)


class Unlimited(ProcessLimiter):
    """Meters nothing: every call goes at once, but after a 429 everyone waits until the server's time.

    Where the server names none, or one that proves wrong, the waits double, and one call goes at a time until one succeeds.
    """

    def __init__(self) -> None:
        """Make one; it has no options."""

        def open_account(clock: Callable[[], float], listeners: Listeners) -> PresentAccount:
            return PresentAccount(_FreezeOnly(UNMETERED, _PERIOD), Prices({}), Reserve(0.0, _PERIOD), clock, listeners)

        super().__init__(open_account)
