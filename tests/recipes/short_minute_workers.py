"""The recipe of several workers against a Whereby whose minute is shorter: its budget is told so, and nothing else."""

from __future__ import annotations

import os

from recipes.programs import workers_app

from whereby_async.limiter import HostPointBudget

workers_app.shared_budget = lambda: HostPointBudget(period=float(os.environ["PERIOD"]))
app = workers_app.app
