"""Recipes against a Whereby whose minute is shorter: `batch` and `workers` are apps whose budgets are told so."""

from __future__ import annotations

import os

from whereby_async.limiter import HostPointBudget, PointBudget

PERIOD = float(os.environ["PERIOD"])


def __getattr__(name: str) -> object:
    """The app of the one recipe that is asked for."""
    if name == "batch":
        from recipes.programs import fastapi_batch

        fastapi_batch.budget = PointBudget(reserve=0.3, period=PERIOD)
        return fastapi_batch.app
    if name == "workers":
        from recipes.programs import workers_app

        workers_app.shared_budget = lambda: HostPointBudget(period=PERIOD)
        return workers_app.app
    raise AttributeError(name)
