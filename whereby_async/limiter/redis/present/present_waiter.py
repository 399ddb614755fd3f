"""`PresentWaiter`: a call that waits for points, as it stands in its lane. Pure but for the future, which nobody here touches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import asyncio

    from ...protocol import Priority
    from .local_permit import LocalPermit
    from .station import Station

# What a waiter has before it waits; nobody looks at them.
_NOWHERE: Any = None
_NOTHING: Any = None


class PresentWaiter:
    """A call that waits for points.

    Attributes:
        cost: Points it needs; follows its operation's price while it waits.
        seed: What it would be charged if its operation had no price of its own.
        operation: The operation's name.
        priority: Its lane.
        order: Its number; the lowest is the oldest.
        asked_at: When this attempt began to wait.
        waited: Seconds that earlier attempts waited.
        queued: It stands in a lane.
        station: Where its loop is told.
        future: What its task awaits.
        outcome: Its permit, or the error that ended its wait.
    """

    __slots__ = (
        "asked_at",
        "cost",
        "future",
        "operation",
        "order",
        "outcome",
        "priority",
        "queued",
        "seed",
        "station",
        "waited",
    )

    def __init__(  # noqa: PLR0913 - a waiter has this many traits
        self, cost: int, operation: str, priority: Priority, *, order: int, now: float, waited: float, seed: int
    ) -> None:
        """Not queued yet; `station` and `future` are set when it has to wait."""
        self.cost: int = cost
        self.seed: int = seed
        self.operation: str = operation
        self.priority: Priority = priority
        self.order: int = order
        self.asked_at: float = now
        self.waited: float = waited
        self.queued: bool = False
        self.station: Station = _NOWHERE
        self.future: asyncio.Future[None] = _NOTHING
        self.outcome: LocalPermit | BaseException | None = None

    def collected(self) -> LocalPermit:
        """The permit, which must not live on through a waiter that somebody still knows."""
        permit = cast("LocalPermit", self.outcome)
        self.outcome = None
        return permit

    @property
    def since(self) -> float:
        """When it began to wait, earlier attempts' waits included."""
        return self.asked_at - self.waited
