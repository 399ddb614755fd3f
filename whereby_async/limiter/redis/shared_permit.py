"""`SharedPermit`: leave to send one request, given by the store; and `LoanedPermit`, given by this process while it is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...rate_limit import RateLimit
from .wire import LOST, RELEASED, SETTLED

if TYPE_CHECKING:
    from ..protocol import Permit
    from .branch import Branch
    from .desk import Desk
    from .present.local_permit import LocalPermit


class Record:
    """The store's record of a client, in which the points of its permits stand.

    Attributes:
        generation: Its number; 0 once the store has given the points up.
        moved: The points were carried over into new books: what answers prove in the old ones is lost.
        live: Permits that have not ended.
    """

    __slots__ = ("generation", "live", "moved")

    def __init__(self, generation: int) -> None:
        self.generation: int = generation
        self.moved: bool = False
        self.live: int = 0


class SharedPermit:
    """A charge in the shared ledger that ends in one of three ways, once.

    Attributes:
        cost: Points that were charged.
        desk: Where it was given, and where it ends.
        operation: The operation's name.
        order: The call's place among those of this process; a retry keeps it.
        waited: Seconds that the call has waited for points, all attempts together.
        record: Where its points stand.
        granted_at: When, by the store's clock.
        answered: Points of calls that had surely been answered then.
        lead: Its number as a lead, or 0.
        urgent: Others wait for what it will be told.
        live: It has not ended.
    """

    __slots__ = (
        "answered",
        "cost",
        "desk",
        "granted_at",
        "lead",
        "live",
        "operation",
        "order",
        "record",
        "urgent",
        "waited",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - a charge has this many traits
        self,
        cost: int,
        desk: Desk,
        operation: str,
        order: int,
        waited: float,
        record: Record,
        granted_at: float,
        answered: float,
        lead: int,
        urgent: bool,
    ) -> None:
        self.cost: int = cost
        self.desk: Desk = desk
        self.operation: str = operation
        self.order: int = order
        self.waited: float = waited
        self.record: Record = record
        self.granted_at: float = granted_at
        self.answered: float = answered
        self.lead: int = lead
        self.urgent: bool = urgent
        self.live: bool = True

    def settle(self, answer: RateLimit | None) -> None:
        """An answer came; what it said, or `None` if nothing usable."""
        if self.live:
            self.desk.end(self, SETTLED, answer)

    def release(self) -> None:
        """The request never left: its points go back."""
        if self.live:
            self.desk.end(self, RELEASED, None)

    def lost(self) -> None:
        """It left, and no answer came: its points stay spent."""
        if self.live:
            self.desk.end(self, LOST, None)

    def __del__(self) -> None:
        if self.live:
            # Not this object itself, which is going.
            heir = SharedPermit(
                self.cost,
                self.desk,
                self.operation,
                self.order,
                self.waited,
                self.record,
                self.granted_at,
                self.answered,
                self.lead,
                self.urgent,
            )
            self.live = False
            self.desk.end(heir, LOST, None)

    def __repr__(self) -> str:
        return f"<permit {self.operation or '?'} cost={self.cost} {'live' if self.live else 'ended'}>"


class LoanedPermit:
    """A permit of the local budget that stands in for the store while it is away.

    Attributes:
        local: The local budget's own permit.
        branch: The process's part of the budget.
        order: The call's place among those of this process; a retry keeps it.
        waited: Seconds that the call has waited for points, all attempts together.
    """

    __slots__ = ("branch", "local", "order", "waited")

    def __init__(self, local: Permit, branch: Branch, order: int, earlier: float) -> None:
        self.local: LocalPermit = local  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue] - a local budget gives no others
        self.branch: Branch = branch
        self.order: int = order
        self.waited: float = earlier + self.local.waited

    @property
    def cost(self) -> int:
        """Points that were charged."""
        return self.local.cost

    def settle(self, answer: RateLimit | None) -> None:
        """An answer came; what it said, or `None` if nothing usable.

        It speaks of the whole budget; the local one is a share of it. What the server has left beyond the share is not ours,
        and a limit is that of all.
        """
        if answer is None or answer.throttled or not self.local.live:
            self.local.settle(answer and RateLimit(throttled=True, retry_after=answer.retry_after))
            return
        ledger = self.local.account.ledger
        mine = max(0, ledger.limit - ledger.held)
        remaining = None if answer.remaining is None else min(answer.remaining, mine)
        self.local.settle(RateLimit(limit=ledger.limit, remaining=remaining, reset_in=answer.reset_in))

    def release(self) -> None:
        """The request never left: its points go back."""
        self.local.release()

    def lost(self) -> None:
        """It left, and no answer came: its points stay spent."""
        self.local.lost()

    def __repr__(self) -> str:
        return f"{self.local!r}"
