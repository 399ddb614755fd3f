"""What a job would take, said before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import ConfigurationError
from .methods import Method, operation_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..limiter.protocol import Limiter
    from ..operation import Operation


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What so many calls of one operation would take.

    Attributes:
        operation: Its name.
        calls: How many.
        price: Points that one costs, as far as is known.
        learned: The price was pinned or learned from answers; otherwise it is the documented one.
        points: Points in all.
        windows: Windows of the budget, the present one included.
        seconds: Until the last of the points is granted, behind all that wait now, if nobody else spends from the budget and
            nothing of it is kept in reserve. With a reserve (a tenth of each window, if the budget was not told otherwise) a
            batch gets the last points of a window one by one while the reserve melts, and all of them by the window's end if
            nobody else wants them: the job takes the same `windows`, but if it fills the last of them, until its end.
    """

    operation: str
    calls: int
    price: int
    learned: bool
    points: int
    windows: int
    seconds: float


def estimate(limiter: Limiter, operation: str | Callable[..., Any], calls: int) -> Estimate:
    """See `WherebyClient.estimate`."""
    if not isinstance(calls, int) or isinstance(calls, bool) or calls < 0:
        msg = f"n={calls!r}: pass how many calls, a whole number from 0"
        raise ConfigurationError(msg)
    known = _operation(operation)
    learned = limiter.snapshot().costs.get(known.name)
    price = known.cost if learned is None else learned
    forecast = limiter.forecast(price * calls)
    return Estimate(
        operation=known.name,
        calls=calls,
        price=price,
        learned=learned is not None,
        points=price * calls,
        windows=forecast.windows if calls else 0,
        seconds=forecast.seconds if calls else 0.0,
    )


def _operation(named: str | Callable[..., Any]) -> Operation[Any]:
    if isinstance(named, str):
        return operation_named(named)
    method = Method[Any](named)
    if method.operation is None:
        msg = f"{method.name}: what it costs is not known; pass a method of the client, or an operation's name"
        raise ConfigurationError(msg)
    return method.operation
