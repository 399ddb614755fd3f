"""The rules in the store are the rules in Python: both give the same replies and states for random histories.

States that were damaged stop nobody.
"""

from __future__ import annotations

import contextlib
import os
import random
from typing import Any

import msgspec
import pytest
from limiter.garbling import garbled, goes_on, is_answered, lived, senseless
from limiter.histories import History, Scripted, Twice

STEPS = 350
NOW = 1_700_000_000.0


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


@pytest.mark.parametrize("seed", range(6))
def test_damaged_state_stops_nobody(client: Any, name: str, seed: int) -> None:
    """Whether whoever comes first knows a state or none."""
    rng = random.Random(seed)
    place = Scripted(client, name)
    state = lived(rng, NOW)
    for _ in range(20):
        place.state = state
        held, how = garbled(place.held, rng)
        place.write(held)
        goes_on(place, rng.choice((state, None)), NOW, how)


@pytest.mark.parametrize("seed", range(6))
def test_state_that_makes_no_sense_is_answered(client: Any, name: str, seed: int) -> None:
    """Although its checksum is right: the script raises nothing. Its answer may be one that cannot be read, which counts as an outage."""
    rng = random.Random(seed)
    place = Scripted(client, name)
    state = lived(rng, NOW)
    for _ in range(10):
        place.state, how = senseless(state, rng)
        with contextlib.suppress(msgspec.ValidationError):
            is_answered(place, rng.choice((state, None)), NOW, how)
