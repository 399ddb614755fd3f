"""What every budget checks of its options before it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeGuard, cast

from ..errors import ConfigurationError
from ..rate_limit import MOST_POINTS
from ..redaction import plain


def is_number(value: object) -> TypeGuard[float]:
    """A number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: object) -> bool:
    """A whole number from 1 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def check_budget(limit: int | None, period: float, reserve: float) -> tuple[int | None, float, float]:
    """Limit, period and reserve; refuses what no budget can use."""
    limit, period, reserve = plain(limit), plain(period), plain(reserve)
    if limit is not None and not (is_count(limit) and limit <= MOST_POINTS):
        raise ConfigurationError(
            f"limit={limit!r}: give a whole number of points from 1 to {MOST_POINTS:,}, or None to learn it"
        )
    if not (is_number(period) and 0 < period < math.inf):
        raise ConfigurationError(f"period={period!r}: give the window's length in seconds, such as 60.0")
    if not (is_number(reserve) and 0 <= reserve < 1):
        raise ConfigurationError(f"reserve={reserve!r}: give a share of each window from 0 to below 1, such as 0.1")
    return limit, float(period), float(reserve)


def check_cost(cost: object) -> None:
    """Refuse a price that nobody can pay.

    Raises:
        ValueError: It is no whole number from 1 on.
    """
    if not is_count(cost):
        raise ValueError(f"cost must be a whole number of points from 1 on, not {cost!r}")


def checked_pins(costs: object) -> dict[str, int]:
    """Prices that can be used."""
    if costs is None:
        return {}
    if not isinstance(costs, Mapping):
        raise ConfigurationError(
            f"costs={costs!r}: give a price for each operation's name, such as {{'insights.rooms': 5}}"
        )
    pins = {operation: plain(cost) for operation, cost in cast("Mapping[str, int]", costs).items()}
    for operation, cost in pins.items():
        if not isinstance(operation, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise ConfigurationError(
                f"costs has the key {operation!r}: give names of operations, such as 'insights.rooms'"
            )
        if not is_count(cost):
            raise ConfigurationError(f"costs[{operation!r}]={cost!r}: give a whole number of points from 1 on")
    return pins
