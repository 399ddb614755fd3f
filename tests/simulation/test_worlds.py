"""Random worlds for one who spends alone: no 429 in any of them."""

from __future__ import annotations

import os

import pytest

from simulation.fuzz import explore

COUNT = int(os.environ.get("WHEREBY_WORLDS", "0"))
"""Worlds of the long run; from 1,500 on it shows what the budget promises."""


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_alone_there_is_no_429_in_any_world(first: int) -> None:
    """Whatever window, headers, skew, drift, reordering, loss, garbage and cancelled callers."""
    assert {seed: len(world.throttled) for seed in range(first, first + 25) if (world := explore(seed)).throttled} == {}


@pytest.mark.long
def test_alone_there_is_no_429_in_very_many_worlds() -> None:
    """The same in WHEREBY_WORLDS (1,500) worlds that were not tried before."""
    seeds = range(10_000, 10_000 + (COUNT or 1500))
    assert {seed: len(world.throttled) for seed in seeds if (world := explore(seed)).throttled} == {}
