"""The seam between the client and any limiter: `Limiter`, `Permit`, `Priority`, and what a limiter tells of itself."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..hooks import LimiterHook
    from ..rate_limit import RateLimit


class Priority(enum.IntEnum):
    """The lanes, first served first. Strictly in this order, but who has waited two periods is not starved."""

    INTERACTIVE = 0
    """Somebody is looking at a screen."""
    NORMAL = 1
    """The default."""
    BATCH = 2
    """Thousands of calls that nobody waits for; a reserve of each window is kept from them."""


BudgetState: TypeAlias = Literal["unknown", "open", "empty", "frozen", "degraded"]
"""`unknown` until an answer came, `open` or `empty` in a known window, `frozen` after a 429, `degraded` without the store."""


class BudgetSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A budget at one moment.

    Attributes:
        limit: Points per period that the budget goes by: 100, the smallest plan, until two answers in a row agree on a higher
            one, unless the budget was made with another.
        remaining: Points that the server was last known to have left, less what was granted since; `None` if unknown.
        available: Points that a `NORMAL` call could have at once.
        in_flight: Points granted and not yet answered.
        waiting: Calls that wait, by lane.
        waiting_points: Points that they ask for, all lanes.
        reset_in: Seconds until the window ends; `None` if unknown.
        foreign_rate: Points per second that others spend of the same budget, estimated.
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
        seconds: Seconds from now until the last of the points is granted, in a lane that nothing is kept from.
    """

    windows: int
    seconds: float


class Permit(Protocol):
    """Leave to send one request.

    It ends in exactly one of `settle`, `release` and `lost`, from any thread, with or without a running loop; a second call
    does nothing. One that is collected without an end counts as `lost()`.

    It may also have `waited`, the seconds that the call has waited for points, all its attempts together: hooks are told by it
    how long a wait was, else by the clock.
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
            priority: The lane.
            max_wait: Longest wait in seconds, summed with the waits of `after`; `0` refuses instead of waiting.
            after: The permit of the same call's last attempt: it keeps its place in its lane.

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
