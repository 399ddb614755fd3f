"""`PointBudget`: the in-process budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard, cast

from ..errors import ConfigurationError
from .account import Account
from .costs import Prices
from .ledger import Ledger
from .process import ProcessLimiter
from .reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from .listeners import Listeners


class PointBudget(ProcessLimiter):
    """The organisation's points per minute, kept in this process.

    One object serves all threads and loops of the process and a forked child, which starts cold; it is made without a loop.
    It believes the server's headers, needs none of them to be safe, and tells who else spends from the same budget.

    Prices belong to operations. A list whose price depends on its page size is charged what its dearer calls were seen to
    cost; pin it with `costs` if you know better.
    """

    def __init__(
        self,
        limit: int | None = None,
        *,
        period: float = 60.0,
        costs: Mapping[str, int] | None = None,
        reserve: float = 0.1,
    ) -> None:
        """Make a budget.

        Args:
            limit: Points per period to start from; the header `X-RateLimit-Limit` overrules it. `None` learns it from that
                header, and assumes 100, the smallest plan, until then.
            period: The window's length in seconds.
            costs: Prices by operation, such as `{"insights.rooms": 5}`, that are never learned otherwise.
            reserve: The share of each window, from 0 to below 1, that is kept from the `BATCH` lane until the window's end.

        Raises:
            ConfigurationError: An option cannot be used.
        """
        _check(limit, period, reserve)
        pins = _checked_pins(costs)

        def open_account(clock: Callable[[], float], listeners: Listeners) -> Account:
            return Account(Ledger(limit, period), Prices(pins), Reserve(reserve, period), clock, listeners)

        super().__init__(open_account)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check(limit: object, period: object, reserve: object) -> None:
    if limit is not None and not _is_count(limit):
        raise ConfigurationError(f"limit={limit!r}: give a whole number of points from 1 on, or None to learn it")
    if not (_is_number(period) and 0 < period < math.inf):
        raise ConfigurationError(f"period={period!r}: give the window's length in seconds, such as 60.0")
    if not (_is_number(reserve) and 0 <= reserve < 1):
        raise ConfigurationError(f"reserve={reserve!r}: give a share of each window from 0 to below 1, such as 0.1")


def _checked_pins(costs: object) -> dict[str, int]:
    if costs is None:
        return {}
    if not isinstance(costs, Mapping):
        raise ConfigurationError(
            f"costs={costs!r}: give a price for each operation's name, such as {{'insights.rooms': 5}}"
        )
    pins = dict(cast("Mapping[str, int]", costs))
    for operation, cost in pins.items():
        if not isinstance(operation, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise ConfigurationError(
                f"costs has the key {operation!r}: give names of operations, such as 'insights.rooms'"
            )
        if not _is_count(cost):
            raise ConfigurationError(f"costs[{operation!r}]={cost!r}: give a whole number of points from 1 on")
    return pins
