"""The point budget: who may send, and when, so that no avoidable 429 happens and no point is wasted.

`PointBudget` keeps it in this process, `RedisPointBudget` in Redis or Valkey for many processes and machines, `Unlimited` meters
nothing. Anything with the methods of `Limiter` will do instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..hooks import LimiterHook
from ..rate_limit import RateLimit
from .local import PointBudget
from .protocol import BudgetSnapshot, BudgetState, Forecast, Limiter, Permit, Priority
from .shared import shared_budget
from .unlimited import Unlimited

if TYPE_CHECKING:
    from .redis.budget import RedisPointBudget

__all__ = [
    "BudgetSnapshot",
    "BudgetState",
    "Forecast",
    "Limiter",
    "LimiterHook",
    "Permit",
    "PointBudget",
    "Priority",
    "RateLimit",
    "RedisPointBudget",
    "Unlimited",
    "shared_budget",
]


def __getattr__(name: str) -> object:
    if name != "RedisPointBudget":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    # Only who shares a budget pays for redis.
    from .redis.budget import RedisPointBudget

    globals()[name] = RedisPointBudget
    return RedisPointBudget


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
