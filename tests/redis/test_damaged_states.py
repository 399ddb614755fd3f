"""States in the store that were damaged: the script raises nothing, and sending does not stop."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import msgspec
import pytest
from limiter.garbling import garbled, goes_on, is_answered, lived, senseless
from limiter.histories import Scripted

NOW = 1_700_000_000.0


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
