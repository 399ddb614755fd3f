"""`Limiter`, `Permit` and `Priority`, by which the client asks for points; `BudgetSnapshot` and `Forecast`."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec

from ..notify import LimiterHook
from ..rate_limit import RateLimit


class Priority(enum.IntEnum):
    """Who is served first. Strictly in this order, but calls that have waited a period get at least 5 % of each."""

    INTERACTIVE = 0
    """Somebody is looking at a screen."""
    NORMAL = 1
    """The default."""
    BATCH = 2
    """Thousands of calls that nobody waits for; a reserve of each window is kept from them."""


BudgetState: TypeAlias = Literal["unknown", "open", "empty", "frozen", "degraded"]
"""`unknown` until an answer came, `open` or `empty` in a known window, `frozen` after a 429, `degraded` without the
store."""


class BudgetSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A budget at one moment.

    Attributes:
        limit: Points per period that the budget goes by: what it was made with, else 100, the smallest plan, until an
            answer names a limit. Later a lower one counts at once, a higher one when two answers in a row agree.
        remaining: Points that the server was last known to have left, less what was granted since; `None` if unknown.
            While others spend too (`foreign_rate` above 0), by the latest answer.
        available: Points that a `NORMAL` call could have at once; 0 while anybody waits, and in a freeze. While others
            spend too, what the latest answer left.
        in_flight: Points granted and not yet answered.
        waiting: Calls that wait, by priority.
        waiting_points: Points that they ask for, all priorities.
        reset_in: Seconds until a freeze ends, else until the server's window does by its own word, else until the next
            points come back by our own account; `None` if unknown.
        foreign_rate: Points per second that others spend of the same budget: the points that they were seen to hold,
            divided by the period; 0 unless the answers of the last one and a half periods showed them.
        costs: Prices that are pinned or learned, by operation.
        state: What the budget is doing.
    """

    limit: int
    remaining: int | None
    available: int
    in_flight: int
    waiting: Mapping[Priority, int]
    waiting_points: int
    reset_in: float | None
    foreign_rate: float
    costs: Mapping[str, int]
    state: BudgetState


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """When a number of points could have been spent.

    Attributes:
        windows: Windows of the budget that it takes, the present one included.
        seconds: Seconds from now until the last of the points is granted, in a priority that nothing is kept from.
    """

    windows: int
    seconds: float


class Permit(Protocol):
    """Leave to send one request.

    It ends in exactly one of `settle`, `release` and `lost`, from any thread, with or without a running loop; a second
    call does nothing. One that is collected without an end counts as `lost()`.

    It may also have `waited`, the seconds that the call has waited for points, all its attempts together: hooks are
    told by it how long a wait was, else by the clock.
    """

    @property
    def cost(self) -> int:
        """Points that were charged."""
        ...

    def settle(self, answer: RateLimit | None) -> None:
        """An answer came; what it said, or `None` if nothing usable."""

    def release(self) -> None:
        """The request never left: its points go back."""

    def lost(self) -> None:
        """It left, and no answer came: its points stay spent."""


class Limiter(Protocol):
    """What the client asks for leave to send. Anything with these methods will do."""

    async def acquire(
        self,
        cost: int,
        *,
        operation: str = "",
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        after: Permit | None = None,
    ) -> Permit:
        """Wait for `cost` points.

        Args:
            cost: The operation's seed price in points; a pinned or learned price of `operation` wins.
            operation: The operation's name, such as `meetings.create`.
            priority: The priority.
            max_wait: Longest wait in seconds, summed with the waits of `after`; `0` refuses instead of waiting.
            after: The permit of the same call's last attempt: it keeps its place in its priority.

        Raises:
            BudgetTimeoutError: It would take longer than `max_wait`, or did.
            BudgetError: The price is above the whole limit.
        """
        ...

    def snapshot(self) -> BudgetSnapshot:
        """The budget at this moment."""
        ...

    def forecast(self, points: int) -> Forecast:
        """When `points` more points would have been granted, behind all that wait now."""
        ...

    def subscribe(self, hook: LimiterHook) -> None:
        """Tell `hook` of waits, throttling and prices from now on; the same object twice is told once."""

    def unsubscribe(self, hook: LimiterHook) -> None:
        """Take back one `subscribe`; a hook that is not there is left alone.

        Must not block: a client that is dropped takes its hooks back, perhaps from within the garbage collector.
        """

    async def aclose(self) -> None:
        """Let go of what the limiter holds; calls that wait get `ClientClosedError`."""
