"""Checks of a fake server's options. Each refuses values that no server can have, and names the option. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

from ..redaction import plain

if TYPE_CHECKING:
    from collections.abc import Collection

Latency: TypeAlias = float | tuple[float, float] | Callable[[], float]
"""Seconds that requests take: a number; the least and the most, between which they are drawn at random (the same for
the same seed); or a function that is called for each request. Answers of different latency overtake one another."""


def require_text(name: str, text: object) -> None:
    """Raise a `ValueError` unless an option is text that is not blank."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name}={text!r}: pass text")


def require_count(name: str, number: int, *, least: int = 0, most: float = math.inf) -> int:
    """An option that is a whole number within bounds; else raises a `ValueError`."""
    number = plain(number)
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        bounds = ("above 0" if least == 1 else f"from {least}") if math.isinf(most) else f"from {least} to {most}"
        raise ValueError(f"{name}={number!r}: pass a whole number {bounds}")
    return number


def require_seconds(name: str, seconds: float, *, least: float = 0.0, above: bool = False) -> float:
    """An option that is a finite number of seconds, from `least` or above it; else raises a `ValueError`."""
    seconds = plain(seconds)
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not math.isfinite(seconds)
        or seconds < least
        or (above and seconds == least)
    ):
        bounds = f" above {least:g}" if above else f" from {least:g}" if math.isfinite(least) else ""
        raise ValueError(f"{name}={seconds!r}: pass seconds{bounds}")
    return seconds


def require_known(noun: str, name: str, known: Collection[str]) -> None:
    """Raise a `ValueError` unless a name is one of the known ones."""
    if name not in known:
        raise ValueError(f"unknown {noun} {name!r}: {meant(name, known)}")


def latency_bounds(latency: float | tuple[float, float]) -> tuple[float, float]:
    """The least and the most seconds that a request takes; a `ValueError` if they are below 0 or in the wrong order."""
    try:
        latency = plain(latency)
        least, most = (latency, latency) if isinstance(latency, int | float) else map(plain, latency)
    except (TypeError, ValueError):
        least = most = -1.0
    if not 0 <= least <= most < math.inf:
        raise ValueError(f"latency is seconds, or the least and the most of them such as (0.05, 0.2), not {latency!r}")
    return least, most


def meant(name: str, known: Collection[str]) -> str:
    """What an error says of an unknown name: `did you mean …?` if a known one is like it, else all of them."""
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    return f"did you mean {close[0]!r}?" if close else f"one of {', '.join(known)}"
