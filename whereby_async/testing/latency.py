"""How long requests take: always as long, by chance within bounds, or as a function says. Pure but for chance."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TypeAlias

Latency: TypeAlias = float | tuple[float, float] | Callable[[], float]
"""Seconds that requests take: a number; the least and the most, between which chance draws (the same draws for the same
seed); or a function that is asked for each request. Where requests differ, their answers overtake one another."""


class Traffic:
    """Draws the latency of each request.

    Args:
        latency: How long requests take.
        seed: Where chance begins.

    Raises:
        ValueError: Seconds below 0, or bounds in the wrong order.
    """

    def __init__(self, latency: Latency, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - chance is to repeat itself here
        self._latency: Latency = _checked(latency)

    @property
    def latency(self) -> Latency:
        """How long requests take."""
        return self._latency

    @latency.setter
    def latency(self, latency: Latency) -> None:
        self._latency = _checked(latency)

    def draw(self) -> float:
        """The seconds of one request."""
        latency = self._latency
        if callable(latency):
            return latency()
        least, most = _bounds(latency)
        return least if least == most else self._chance.uniform(least, most)


def _bounds(latency: float | tuple[float, float]) -> tuple[float, float]:
    return (latency, latency) if isinstance(latency, int | float) else latency


def _checked(latency: Latency) -> Latency:
    if callable(latency):
        return latency
    try:
        least, most = _bounds(latency)
    except (TypeError, ValueError):  # neither a number nor two
        least = most = -1.0
    if not 0 <= least <= most < math.inf:
        message = f"latency is seconds, or the least and the most of them such as (0.05, 0.2), not {latency!r}"
        raise ValueError(message)
    return latency
