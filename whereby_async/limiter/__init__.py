"""The point budget: who may send, and when, so that no avoidable 429 happens and no point is wasted.

`PointBudget` keeps it in this process, `Unlimited` meters nothing. Anything with the methods of `Limiter` will do instead.
"""

from __future__ import annotations

from ..hooks import LimiterHook
from ..rate_limit import RateLimit
from .local import PointBudget
from .protocol import BudgetSnapshot, BudgetState, Forecast, Limiter, Permit, Priority
from .shared import shared_budget
from .unlimited import Unlimited

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
    "Unlimited",
    "shared_budget",
]
