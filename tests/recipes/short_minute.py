"""The FastAPI recipe against a Whereby whose minute is shorter: its budget is told so, and nothing else."""

from __future__ import annotations

import os

from recipes.programs import fastapi_batch

from whereby_async.limiter import PointBudget

fastapi_batch.budget = PointBudget(reserve=0.3, period=float(os.environ["PERIOD"]))
app = fastapi_batch.app
