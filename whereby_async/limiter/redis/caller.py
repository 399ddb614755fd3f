"""`Caller`: one call of this process that wants points from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .present.present_waiter import PresentWaiter

if TYPE_CHECKING:
    import asyncio

    from ..protocol import Priority
    from .shared_permit import SharedPermit


class Caller(PresentWaiter):
    """A call on its way to its points, in the lanes of one event loop.

    Attributes:
        max_wait: Longest wait in seconds, all attempts together; `None` = as long as it takes.
        permit: What it got.
        judged: It is known not to wait longer than it may, as far as that can be known.
        timer: Ends its wait.
    """

    __slots__ = ("judged", "max_wait", "permit", "timer")

    def __init__(  # noqa: PLR0913 - a caller has this many traits
        self,
        cost: int,
        operation: str,
        priority: Priority,
        *,
        order: int,
        now: float,
        waited: float,
        seed: int,
        max_wait: float | None,
    ) -> None:
        super().__init__(cost, operation, priority, order=order, now=now, waited=waited, seed=seed)
        self.max_wait: float | None = max_wait
        self.permit: SharedPermit | None = None
        self.judged: bool = False
        self.timer: asyncio.TimerHandle | None = None

    def left(self, now: float) -> float | None:
        """Seconds that it may still wait; `None` if for ever."""
        return None if self.max_wait is None else self.max_wait - self.waited - (now - self.asked_at)

    def arrive(self, future: asyncio.Future[None], now: float) -> None:
        """It begins to wait, here and now."""
        self.future: asyncio.Future[None] = future
        self.asked_at: float = now
        self.judged = False

    def pause(self, now: float) -> None:
        """It does not wait here any more, but somewhere else."""
        self.waited: float = self.waited + now - self.asked_at
        self.asked_at = now

    def hush(self) -> None:
        """Nobody needs to end its wait."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
