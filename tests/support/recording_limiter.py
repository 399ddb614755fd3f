"""A limiter for tests: it grants at once and keeps what it was asked for and how each permit ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from whereby_async.errors import BudgetError, BudgetTimeoutError
from whereby_async.limiter import BudgetSnapshot, Forecast, Priority

if TYPE_CHECKING:
    from whereby_async.hooks import LimiterHook
    from whereby_async.limiter import Permit
    from whereby_async.rate_limit import RateLimit

End = Literal["settle", "release", "lost"]


class RecordedPermit:
    """A permit that knows what it was for, and every end that it was given."""

    def __init__(
        self, cost: int, operation: str, priority: Priority, max_wait: float | None, after: Permit | None
    ) -> None:
        self.cost = cost
        self.operation = operation
        self.priority = priority
        self.max_wait = max_wait
        self.after = after
        self.ends: list[End] = []
        self.answers: list[RateLimit | None] = []

    def settle(self, answer: RateLimit | None) -> None:
        self.ends.append("settle")
        self.answers.append(answer)

    def release(self) -> None:
        self.ends.append("release")

    def lost(self) -> None:
        self.ends.append("lost")

    @property
    def throttled(self) -> bool:
        return bool(self.answers and self.answers[0] and self.answers[0].throttled)


class RecordingLimiter:
    """Grants at once. A call whose last attempt was throttled is refused if it has a `max_wait`, as by a real budget.

    Attributes:
        permits: Every permit, in the order of the grants.
        refuse: Refuse whatever comes, as a budget does that can never pay for it.
        hooks: Who subscribed.
    """

    def __init__(self) -> None:
        self.permits: list[RecordedPermit] = []
        self.refuse = False
        self.hooks: list[LimiterHook] = []
        self.closed = False

    async def acquire(
        self,
        cost: int,
        *,
        operation: str = "",
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        after: Permit | None = None,
    ) -> Permit:
        if self.refuse:
            message = f"{operation}: refused"
            raise BudgetError(message)
        if max_wait is not None and isinstance(after, RecordedPermit) and after.throttled:
            message = f"{operation}: would wait longer than {max_wait} s"
            raise BudgetTimeoutError(message, retry_after=30.0)
        permit = RecordedPermit(cost, operation, priority, max_wait, after)
        self.permits.append(permit)
        return permit

    def snapshot(self) -> BudgetSnapshot:
        return BudgetSnapshot(
            limit=1000,
            remaining=None,
            available=1000,
            in_flight=0,
            waiting={},
            waiting_points=0,
            reset_in=None,
            foreign_rate=0.0,
            costs={},
            state="unknown",
        )

    def forecast(self, points: int) -> Forecast:
        return Forecast(windows=points, seconds=0.0)

    def subscribe(self, hook: LimiterHook) -> None:
        self.hooks.append(hook)

    def unsubscribe(self, hook: LimiterHook) -> None:
        if hook in self.hooks:
            self.hooks.remove(hook)

    async def aclose(self) -> None:
        self.closed = True

    @property
    def ends(self) -> list[list[End]]:
        return [permit.ends for permit in self.permits]
