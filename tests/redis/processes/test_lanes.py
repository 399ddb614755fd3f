"""Order across processes: lanes, turns, and waits that are refused."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet.fleet import Fleet

PERIOD = 1.5


def test_interactive_calls_pass_a_batch_in_another_process(fleet: Callable[..., Fleet]) -> None:
    """While two batches take all they can get, single interactive calls elsewhere hardly wait."""
    crew = fleet(3, limit=300, period=PERIOD)
    interactive, *batches = crew.workers
    for batch in batches:
        batch.ask("saturate", callers=16, lane="BATCH")
    crew.windows(1)
    calls = interactive.ask("call", count=40, lane="INTERACTIVE", gap=0.09)
    took = sorted(call["took"] for call in calls)
    seen = crew.look()
    assert seen["throttled"] == 0
    assert statistics.median(took) < 0.3
    assert took[-2] < 1.5
    full = seen["windows"][1:-1]
    assert min(window["points"] for window in full) >= 285


def test_a_later_interactive_call_goes_before_those_that_wait_elsewhere(fleet: Callable[..., Fleet]) -> None:
    """A window is spent and one process waits for the next: interactive calls of another, that come later, take it whole."""
    crew = fleet(2, limit=60, period=PERIOD)
    many, interactive = crew.workers
    many.ask("call", cost=3)
    interactive.ask("call", count=19, cost=3, together=True)
    waiting = many.begin("call", count=50, together=True)
    crew.until(lambda said: said[0]["waiting"] >= 50)
    calls = interactive.ask("call", count=18, cost=3, lane="INTERACTIVE", together=True)
    served = max(call["began"] + call["took"] for call in calls)
    assert max(call["took"] for call in calls) < 2 * PERIOD
    assert sum(call["began"] + call["took"] < served for call in waiting.get()) <= 8
    assert crew.look()["throttled"] == 0


@pytest.mark.long
def test_a_process_with_one_call_is_not_kept_behind_a_process_with_many(fleet: Callable[..., Fleet]) -> None:
    """Within a lane processes take turns: who wants little gets it in the next window at the latest."""
    crew = fleet(2, limit=120, period=PERIOD)
    many, few = crew.workers
    many.ask("saturate", callers=64, costs=[1])
    crew.windows(2)
    calls = few.ask("call", count=3)
    assert max(call["took"] for call in calls) < PERIOD + 1
    assert crew.look()["throttled"] == 0


def test_a_wait_that_is_too_long_is_refused_at_once(fleet: Callable[..., Fleet]) -> None:
    """Others have spent the window: whoever may not wait for its end is told so without waiting."""
    crew = fleet(2, limit=60, period=4.0)
    many, hasty = crew.workers
    hasty.ask("call")
    many.ask("call", count=19, cost=3, together=True)
    many.begin("call", count=150, together=True)
    crew.until(lambda said: said[0]["waiting"] >= 140 and said[0]["in_flight"] == 0)
    began = time.monotonic()
    (call,) = hasty.ask("call", cost=3, max_wait=1.0, lane="BATCH")
    assert call["error"] == "BudgetTimeoutError"
    assert time.monotonic() - began < 0.9
    assert call["retry_after"] > 1.0
