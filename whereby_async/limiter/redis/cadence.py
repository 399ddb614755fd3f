"""How close the calls of one event loop follow each other. Pure.

With many calls in flight the next takes a breath, the longer the more processes there are, a tenth of a second at most. While points
are short everywhere, calls keep a little more distance, since whoever is quicker gains nothing but a longer wait for the next window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .wire import Reply

LINGER: Final = 0.01
"""Seconds that the end of a permit waits for others to go along."""

_LONGEST: Final = 0.1
_MANY: Final = 32
"""Points in flight in one loop from which on calls gather for a moment, be they short or not."""
_BREATH: Final = 0.012
"""Seconds, for each client of the store: so many busy ones together call it a hundred times a second at most."""
_ROUNDS: Final = 60
"""Calls per period of one loop while points are short."""


def distance(reply: Reply, period: float, out: int) -> float:
    """Seconds that calls keep from each other.

    Args:
        reply: What the store said last.
        period: The window's length in seconds.
        out: Points in flight in this loop.
    """
    longest = min(_LONGEST, period / _ROUNDS)
    if reply.busy:
        return longest
    return min(_BREATH * reply.clients, longest) if out >= _MANY else 0.0
