"""The point budget: who may send, and when, so that no avoidable 429 happens and no point is wasted.

`PointBudget` keeps it in this process, `HostPointBudget` in a file for all processes of a machine, `RedisPointBudget`
in Redis or Valkey for machines. `Unlimited` meters nothing. Anything with the methods of `Limiter` will do instead.
Each name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..notify import LimiterHook
    from ..rate_limit import RateLimit
    from .host_budget import HostPointBudget
    from .point_budget import PointBudget, Unlimited, shared_budget
    from .protocol import BudgetSnapshot, BudgetState, Forecast, Limiter, Permit, Priority
    from .redis.redis_budget import RedisPointBudget

__all__ = [
    "BudgetSnapshot",
    "BudgetState",
    "Forecast",
    "HostPointBudget",
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

_HOMES: Final = {
    "HostPointBudget": ".host_budget",
    "LimiterHook": "..notify",
    "PointBudget": ".point_budget",
    "RateLimit": "..rate_limit",
    "RedisPointBudget": ".redis.redis_budget",
    "Unlimited": ".point_budget",
    "shared_budget": ".point_budget",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value = getattr(importlib.import_module(_HOMES.get(name, ".protocol"), __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
