"""`LocalPermit`: leave to send one request, given by an in-process account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ledger import Charge

if TYPE_CHECKING:
    from ..rate_limit import RateLimit
    from .account import Account


class LocalPermit(Charge, eq=False):
    """A charge in an account's ledger that ends in one of three ways, once.

    Attributes:
        account: The account, and with it the clock, that granted it.
        operation: The operation's name.
        order: The call's place among those that came; a retry keeps it.
        waited: Seconds that the call has waited for points, all attempts together.
        live: It has not ended.
    """

    account: Account
    operation: str
    order: int
    waited: float
    live: bool = True

    def settle(self, answer: RateLimit | None) -> None:
        """An answer came; what it said, or `None` if nothing usable."""
        account = self.account
        if account.enter(False):  # noqa: FBT003 - a lock's own positional; the keyword costs time here
            try:
                if self.live:
                    self.live = False
                    now = account.clock()
                    if not account.ledger.settle(self, answer, now) and answer is not None:
                        account.learn(self, answer, now)
            finally:
                account.leave()
            if account.lanes.count or account.mailbox or account.events:
                account.stir()
        elif self.live:
            account.end(self, "settled", answer)

    def release(self) -> None:
        """The request never left: its points go back."""
        if self.live:
            self.account.end(self, "released", None)

    def lost(self) -> None:
        """It left, and no answer came: its points stay spent."""
        if self.live:
            self.account.end(self, "lost", None)

    def __del__(self) -> None:
        if self.live:
            # Not this object itself, which is going.
            heir = LocalPermit(
                self.cost,
                self.granted_at,
                self.mark,
                self.before,
                self.account,
                self.operation,
                self.order,
                self.waited,
            )
            self.live = False
            self.account.end(heir, "lost", None)

    def __repr__(self) -> str:
        return f"<permit {self.operation or '?'} cost={self.cost} {'live' if self.live else 'ended'}>"
