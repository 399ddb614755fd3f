"""`Lessons`: which prices an account's answers teach. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .caution import TURN
from .trail import Trail

if TYPE_CHECKING:
    from ....rate_limit import RateLimit
    from .costs import Change, Prices
    from .local_permit import LocalPermit
    from .present_ledger import PresentLedger
    from .trail import Sample


def undisturbed(ledger: PresentLedger, now: float) -> bool:
    """Nothing but our own calls can have moved what the server has left: no others, no refill, nothing in flight."""
    if ledger.granted > ledger.answered or not ledger.calm or now < ledger.pace.until:
        return False
    return ledger.window.sure and now < ledger.window.end and ledger.ageing.quiet(TURN, now)


class Lessons:
    """The trail of an account's answers, and what its prices learn from it."""

    __slots__ = ("_ledger", "_prices", "_trail")

    def __init__(self, ledger: PresentLedger, prices: Prices) -> None:
        self._ledger = ledger
        self._prices = prices
        self._trail = Trail()

    def learn(self, permit: LocalPermit, answer: RateLimit, now: float) -> list[Change]:
        """An answer came that the ledger has heard; the prices that it moves."""
        ledger, prices, trail = self._ledger, self._prices, self._trail
        foresight = ledger.foresight
        if foresight.passed:
            foresight.passed = False
            trail.passed(foresight.low, foresight.low_at)
        samples: list[Sample] = []
        if not answer.throttled and answer.remaining is not None and answer.remaining < ledger.limit:
            samples = trail.note(answer.remaining, permit.operation, permit.cost, permit.granted_at, now)
            ledger.lowest(trail.low, trail.low_at)
        samples += trail.ripe(now, ledger.slowest if ledger.pending else 0.0)
        short = bool(ledger.others.votes & 1) or now < ledger.others.proven_until
        clean = bool(samples) and undisturbed(ledger, now) and now - trail.refilled_at > ledger.period
        changes = [change for sample in samples if (change := prices.learn(sample, clean=clean, short=short))]
        return changes + prices.suspect() if answer.throttled else changes
