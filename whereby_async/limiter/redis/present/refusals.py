"""What a limiter says when it refuses: why, in words for people, and when to come again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....errors import BudgetError, BudgetTimeoutError, ClientClosedError

if TYPE_CHECKING:
    from .present_waiter import PresentWaiter


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count} points"


def too_dear(waiter: PresentWaiter, limit: int) -> BudgetError:
    """Its price is above the whole limit."""
    return BudgetError(
        f"{waiter.operation or 'the call'} costs {_points(waiter.cost)}, more than the whole limit of {limit} per period: "
        "it can never be paid for; pin its price with costs= if that is wrong"
    )


def too_long(waiter: PresentWaiter, ahead: int, wait: float, max_wait: float) -> BudgetTimeoutError:
    """It would wait longer than it may, so it does not wait at all."""
    queued = f" ({_points(ahead)} {'is' if ahead == 1 else 'are'} queued before it)" if ahead else ""
    used = f", of which {waiter.waited:.1f} s are used up" if waiter.waited else ""
    return BudgetTimeoutError(
        f"{waiter.operation or 'the call'} would wait at least {wait:.1f} s for {_points(waiter.cost)}{queued}, "
        f"max_wait is {max_wait:g} s{used}",
        retry_after=wait,
    )


def too_late(waiter: PresentWaiter, wait: float) -> BudgetTimeoutError:
    """It has waited, and will not be served in time."""
    return BudgetTimeoutError(
        f"{waiter.operation or 'the call'} was not served {_points(waiter.cost)} within its max_wait", retry_after=wait
    )


def closed() -> ClientClosedError:
    """Nobody comes in any more."""
    return ClientClosedError("the limiter was closed: make a new one")


def closed_meanwhile() -> ClientClosedError:
    """The limiter goes, and who waits with it."""
    return ClientClosedError("the limiter was closed while the call waited for points")
