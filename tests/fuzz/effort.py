"""How hard the fuzz tests try: bounded with the other tests, as long as one likes by `WHEREBY_EXAMPLES`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_WANTED = os.environ.get("WHEREBY_EXAMPLES")


def effort(examples: int) -> Callable[[Any], Any]:
    """So many examples, the same ones each time; or as many as the variable says, new ones each time."""
    return settings(
        max_examples=int(_WANTED) if _WANTED else examples,
        deadline=None,
        database=None,
        derandomize=not _WANTED,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
