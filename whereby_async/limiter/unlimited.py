"""`Unlimited`: a limiter that meters nothing, but honours a freeze."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .account import Account
from .costs import Prices
from .ledger import Charge, Ledger
from .process import ProcessLimiter
from .reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..rate_limit import RateLimit
    from .listeners import Listeners

UNMETERED: Final = 2_000_000_000
"""What `Unlimited` shows as its limit."""

_PERIOD: Final = 60.0


class _FreezeOnly(Ledger):
    """A ledger without a limit: only a 429's time counts."""

    __slots__ = ()

    def room(self, now: float, need: int = 1) -> int:  # noqa: ARG002 - everything fits
        self.why = "frozen"
        self.again_at = self.gate_at
        return 0 if now < self.gate_at else UNMETERED

    def settle(self, charge: Charge, answer: RateLimit | None, now: float) -> None:
        super().settle(charge, answer, now)
        self.ageing.clear()
        self.open_to = 0
        self.expected = -1

    def lost(self, charge: Charge, now: float) -> None:
        super().lost(charge, now)
        self.ageing.clear()

    def least_wait(self, now: float, points: int) -> float:  # noqa: ARG002 - everything fits
        return max(0.0, self.gate_at - now)


class Unlimited(ProcessLimiter):
    """Meters nothing: every call goes at once, but after a 429 everyone waits until the server's time."""

    def __init__(self) -> None:
        """Make one; it has no options."""

        def open_account(clock: Callable[[], float], listeners: Listeners) -> Account:
            return Account(_FreezeOnly(UNMETERED, _PERIOD), Prices({}), Reserve(0.0, _PERIOD), clock, listeners)

        super().__init__(open_account)
