"""`Loan`: the budget of this process alone while the store is away: a share of the limit, less what it has spent already.

**Theory.** As long as every process keeps to its share, and the shares sum up to the limit, no more than the limit is spent in
any period, whoever can reach the store and whoever cannot: what a process spent through the store within the last period counts
against its share. If others have spent more than theirs, less is left than the share: of what the store said last is left, every
process takes its part, and the rest of its share only a period later. That holds by the ledger alone, without a word from the
server; its word can only lower what is left (somebody else spends), and a 429 stops everybody who hears it.

In the very window in which the store goes, a process may go by a word that is older than what others were granted since: some 429s,
at most the calls in flight when that window runs dry, once.

A process that is cut off alone is another matter: the others reach the store, do not know of it, and may spend all that there is. It
and they are strangers to each other then, who see each other in the server's answers: some 429s, at most the calls in flight when
the window runs dry, in the first window, and one or two in each later one, until it is back.

The share is the limit divided by the processes that the store has seen within the last period. A process that has never been
answered does not know how many there are, and takes a tenth of the limit. No share is below the price of the dearest call, or
some could never go; so with a small limit and many processes the shares may sum up to more than the limit, and 429s are possible.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Final

from .present.cold import WIDEST_CALL
from .present.costs import Prices
from .present.present_account import PresentAccount
from .present.present_ledger import PresentLedger
from .present.process import PresentProcessLimiter
from .present.reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...notify import Listeners
    from .branch import Branch
    from .present.ageing import Ageing

UNKNOWN_SHARE: Final = 0.1
"""Part of the limit for a process that does not know how many others there are."""


def share_of(limit: int, share: float) -> int:
    """Points per period that a share comes to: enough for any call, at least."""
    return max(int(limit * share), min(limit, WIDEST_CALL))


class Loan:
    """The local budget of one outage.

    Attributes:
        limit: Points per period.
        limiter: Who keeps it.
        used_at: When somebody last asked it for points.
    """

    def __init__(  # noqa: PLR0913 - what a process knows of its spending
        self, branch: Branch, *, limit: int, left: int, spent: Ageing, before: int, flying: int
    ) -> None:
        """Make one.

        Args:
            branch: The process's part of the budget.
            limit: Points per period.
            left: Points of the present period that are this process's.
            spent: What this process has spent through the store, by the moment of its release.
            before: All points of that, ever.
            flying: Points of calls that are on their way.
        """
        self.limit: int = limit
        self.used_at: float = branch.clock()
        self._period = branch.plan.period
        # What is not left of the share counts as spent.
        held = before - spent.released + flying
        taken = max(0, limit - left - held)
        self._before = before + flying + taken
        self._accounts: list[PresentAccount] = []

        def open_account(clock: Callable[[], float], _: Listeners) -> PresentAccount:
            ledger = PresentLedger(limit, branch.plan.period)
            ledger.ageing = copy.deepcopy(spent)
            ledger.granted = ledger.arrived = self._before
            if flying + taken:
                ledger.ageing.unanswered(flying + taken, ledger.slowest, clock())
            prices, reserve = Prices(branch.tariff.costs()), Reserve(branch.plan.reserve, branch.plan.period)
            account = PresentAccount(ledger, prices, reserve, clock, branch.listeners)
            self._accounts.append(account)
            return account

        self.limiter: PresentProcessLimiter = PresentProcessLimiter(open_account)

    def spent(self) -> int:
        """Points that were granted here and may still count."""
        ledgers = [account.ledger for account in self._accounts]
        return sum(max(0, min(ledger.held, ledger.granted - self._before)) for ledger in ledgers)

    def total(self) -> int:
        """All points that were granted here."""
        return sum(account.ledger.granted - self._before for account in self._accounts)

    def needed(self, now: float) -> bool:
        """Is there anybody whom the store's return would concern?"""
        if now < self.used_at + self._period:
            return True
        return any(account.hall.lanes.count for account in self._accounts) or self.spent() > 0

    def end(self) -> None:
        """The store is there again, or nobody needs either any more: those who wait here are sent away."""
        here = asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise
        for account in self._accounts:
            account.close(here)
