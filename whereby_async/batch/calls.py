"""The calls of one item as they pass the limiter: in the `BATCH` lane, counted, and announced before they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..limiter.protocol import Priority

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..limiter.protocol import Limiter, Permit
    from ..operation import Operation
    from ..rate_limit import RateLimit


class Tally:
    """What a batch has spent.

    Attributes:
        points: Points granted to its calls, retries and look-ups included, less those that came back.
        waiting: Calls that wait for points now.
    """

    __slots__ = ("points", "waiting")

    def __init__(self) -> None:
        self.points: int = 0
        self.waiting: int = 0


class ItemCalls:
    """Around the calls of one item, in its task: `current_batch` while it runs.

    Attributes:
        begun: How many calls that must not be repeated have been announced.
    """

    __slots__ = ("_announce", "_patient", "_tally", "begun")

    def __init__(
        self, tally: Tally, announce: Callable[[], Awaitable[None]] | None = None, *, patient: bool = False
    ) -> None:
        """Made for one item.

        Args:
            tally: The batch's account.
            announce: Awaited before the first attempt of a call that must not be repeated, when its
                points are there and nothing was sent; if it raises, nothing is.
            patient: Wait for points as long as it takes, whatever the client's `max_wait`.
        """
        self._tally = tally
        self._announce = announce
        self._patient = patient
        self.begun: int = 0

    def limiter(self, limiter: Limiter, operation: Operation[Any]) -> Limiter:
        """The limiter as a call of this item sees it."""
        return cast("Limiter", _ItemLimiter(self, limiter, operation))  # a call asks for nothing but `acquire`

    async def grant(
        self, limiter: Limiter, operation: Operation[Any], cost: int, max_wait: float | None, after: Permit | None
    ) -> Permit:
        """Points for one attempt, and the announcement."""
        tally = self._tally
        tally.waiting += 1
        try:
            permit = await limiter.acquire(
                cost,
                operation=operation.name,
                priority=Priority.BATCH,
                max_wait=None if self._patient else max_wait,
                after=after.inner if isinstance(after, _CountedPermit) else after,
            )
        finally:
            tally.waiting -= 1
        counted = _CountedPermit(permit, tally)
        if self._announce is not None and after is None and not operation.idempotent:
            try:
                await self._announce()
            except BaseException:
                counted.release()
                raise
            self.begun += 1
        return counted


class _ItemLimiter:
    """A limiter that only grants."""

    __slots__ = ("_calls", "_limiter", "_operation")

    def __init__(self, calls: ItemCalls, limiter: Limiter, operation: Operation[Any]) -> None:
        self._calls = calls
        self._limiter = limiter
        self._operation = operation

    async def acquire(
        self,
        cost: int,
        *,
        operation: str,  # noqa: ARG002 - known
        priority: Priority,  # noqa: ARG002 - a batch's calls have theirs
        max_wait: float | None = None,
        after: Permit | None = None,
    ) -> Permit:
        return await self._calls.grant(self._limiter, self._operation, cost, max_wait, after)


class _CountedPermit:
    """A permit that is on the batch's account."""

    __slots__ = ("_tally", "cost", "inner")

    def __init__(self, inner: Permit, tally: Tally) -> None:
        self.inner: Permit = inner
        self.cost: int = inner.cost
        self._tally = tally
        tally.points += self.cost

    @property
    def waited(self) -> float | None:
        """Seconds that the call has waited for points, if the limiter says so."""
        return getattr(self.inner, "waited", None)

    def settle(self, answer: RateLimit | None) -> None:
        self.inner.settle(answer)

    def release(self) -> None:
        self._tally.points -= self.cost
        self.inner.release()

    def lost(self) -> None:
        self.inner.lost()
