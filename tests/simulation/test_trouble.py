"""A sole consumer in trouble: each row of the table holds what it must."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from simulation.trouble import ROWS
from whereby_async.limiter import PointBudget

if TYPE_CHECKING:
    from simulation.rows import Row

SEEDS = int(os.environ.get("WHEREBY_TROUBLE_SEEDS", "1"))
"""Seeds of each row; the table takes as many as the row says."""


@pytest.mark.parametrize("seed", range(100, 100 + SEEDS))
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row_holds(row: Row, seed: int) -> None:
    """Every figure that has a bound is within it."""
    figures = row.run(PointBudget, seed)
    missed = {name: (figures[name], str(bound)) for name, bound in row.must.items() if not bound.holds(figures[name])}
    assert missed == {}
