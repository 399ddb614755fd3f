"""`LocalPermit`: leave to send one request, given by an in-process account; `LivePermit`, one that has not ended.

A permit that is dropped must not be lost, so a live one has `__del__`. One that ends changes its class to one without: Python
then has nothing to call when it goes, which makes acquire and settle together a twentieth cheaper. Never in `__del__` itself:
whoever frees an object gives up its hold on the class that it had before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .charge import Charge

if TYPE_CHECKING:
    from ....rate_limit import RateLimit
    from .present_account import PresentAccount


class LocalPermit(Charge, eq=False, gc=False):
    """A charge in an account's ledger that ends in one of three ways, once. Granted as a `LivePermit`; itself one that has ended.

    It is in no cycle (nothing that its account keeps refers to it while it is out), so the collector need not look at it.

    Attributes:
        account: The account, and with it the clock, that granted it.
        operation: The operation's name.
        order: The call's place among those that came; a retry keeps it.
        waited: Seconds that the call has waited for points, all attempts together.
    """

    account: PresentAccount
    operation: str
    order: int
    waited: float = 0.0

    def settle(self, answer: RateLimit | None) -> None:
        """An answer came; what it said, or `None` if nothing usable."""
        account = self.account
        # An attribute of an object is called faster through a name of its own.
        enter, clock, leave = account.enter, account.clock, account.leave
        if not enter(False):
            account.end(self, "settled", answer)
            return
        try:
            if type(self) is LocalPermit:
                return
            self.__class__ = LocalPermit
            now = clock()
            ledger = account.ledger
            foresight = ledger.foresight
            cost = self.cost
            if (
                foresight.steady
                and answer is not None
                and (remaining := answer.remaining) is not None
                and (
                    remaining + cost == foresight.low
                    or (
                        remaining + ledger.granted >= foresight.points
                        and remaining + cost + self.arrived <= ledger.floor
                        and now - self.granted_at <= ledger.slowest
                    )
                )
                and now < foresight.until
                and answer.limit == foresight.limit
                and not answer.throttled
            ):
                # The common case: what could be foretold. It is the next after the lowest; or neither less is left than what
                # we hold explains, nor more than the evidence allows already. So it teaches nothing that the last answer did
                # not. This is `PresentLedger.settle`, written out for speed.
                ledger.arrived += cost
                ledger.heard_at = now
                if remaining < foresight.low:  # noqa: PLR1730 - a call of `min` costs more
                    foresight.low = remaining
                ageing = ledger.ageing
                if now <= ageing.merge_until:
                    ageing.newest[1] += cost
                else:
                    ageing.answered(cost, now)
            else:
                account.settle(self, answer, now)
        finally:
            leave()
        if account.mailbox or ledger.crowded:
            account.stir()

    def release(self) -> None:
        """The request never left: its points go back."""
        if self.live:
            self.account.end(self, "released", None)

    def lost(self) -> None:
        """It left, and no answer came: its points stay spent."""
        if self.live:
            self.account.end(self, "lost", None)

    @property
    def live(self) -> bool:
        """It has not ended."""
        return type(self) is not LocalPermit

    def retire(self) -> bool:
        """It ends now; `False` if it had ended before. Under the account's lock."""
        if type(self) is LocalPermit:
            return False
        self.__class__ = LocalPermit
        return True

    def __repr__(self) -> str:
        return f"<permit {self.operation or '?'} cost={self.cost} {'live' if self.live else 'ended'}>"


class LivePermit(LocalPermit, eq=False, gc=False):
    """One that has not ended; dropped, it counts as lost."""

    def __del__(self) -> None:
        # Not this object itself, which is going.
        heir = LivePermit(
            self.cost, self.granted_at, self.arrived, self.account, self.operation, self.order, self.waited
        )
        self.account.end(heir, "lost", None)
