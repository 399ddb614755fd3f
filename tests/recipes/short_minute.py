"""The FastAPI recipe against a Whereby whose minute is shorter: its budget is told so, and nothing else."""

from __future__ import annotations

import os

from recipes.programs import fastapi_app

from whereby_async.limiter import PointBudget

fastapi_app.budget = PointBudget(reserve=0.3, period=float(os.environ["PERIOD"]))
app = fastapi_app.app
