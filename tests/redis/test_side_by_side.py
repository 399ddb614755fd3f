"""The rules in the store are the rules in Python: random histories, run by both, give the same replies and states step by step."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from limiter.histories import History, Scripted, Twice

STEPS = 350


def _run(client: Any, name: str, seed: int, steps: int) -> History:
    rng = random.Random(seed)
    history = History(Twice(Scripted(client, name), rng), rng)
    for _ in range(steps):
        history.step()
    return history


@pytest.mark.parametrize("seed", range(12))
def test_both_answer_alike(client: Any, name: str, seed: int) -> None:
    """Whatever a few members say, and whatever becomes of the state."""
    history = _run(client, name, seed, STEPS)
    assert history.granted > 10
    assert history.place.steps > STEPS / 2


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_both_answer_alike_for_long(client: Any, name: str) -> None:
    """Tens of thousands of steps; `WHEREBY_SEED` chooses others."""
    first = int(os.environ.get("WHEREBY_SEED", "1000"))
    total = 0
    for seed in range(first, first + 40):
        total += _run(client, f"{name}-{seed}", seed, 1500).place.steps
    assert total > 40_000
