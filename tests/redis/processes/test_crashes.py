"""Processes that die: what they held comes back, and nobody waits for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fleet import Fleet

PERIOD = 1.5
LEASE = 2.0
"""Seconds without a sign of life after which a process is taken for dead, by this period."""


def test_permits_of_a_dead_process_cost_their_points_and_nothing_else(fleet: Callable[..., Fleet]) -> None:
    """The others go on at once, and get those points too after a lease, a period and a second for late arrivals."""
    crew = fleet(2, limit=60, period=PERIOD)
    dying, other = crew.workers
    other.ask("call", count=12, together=True)
    assert dying.ask("hold", count=8, cost=5) == 40
    crew.lose(dying)
    died_at = time.monotonic()
    calls = other.ask("call", count=5, max_wait=1.0)
    assert [call["error"] for call in calls] == [None] * 5
    assert max(call["took"] for call in calls) < 1.0
    refused = other.ask("call", cost=3, count=5, max_wait=0.2)
    assert {call["error"] for call in refused[2:]} == {"BudgetTimeoutError"}
    time.sleep(max(0.0, died_at + LEASE + PERIOD + 1.7 - time.monotonic()))
    assert [call["error"] for call in other.ask("call", count=55, together=True, max_wait=0.5)] == [None] * 55
    assert crew.look()["throttled"] == 0


@pytest.mark.long
def test_calls_in_flight_of_a_dead_process_count_until_they_cannot_any_more(fleet: Callable[..., Fleet]) -> None:
    """It is killed with calls on their way: no 429 for the others, and the budget is whole again."""
    crew = fleet(3, limit=90, period=1.5, latency=0.2)
    crew.ask("saturate", callers=10)
    crew.until(lambda said: said[0]["in_flight"] >= 10)
    crew.lose(crew.workers[0])
    crew.windows(5)
    seen = crew.look()
    assert seen["throttled"] == 0
    assert seen["windows"][-2]["points"] >= 80


def test_nobody_waits_for_a_process_that_died_in_the_queue(fleet: Callable[..., Fleet]) -> None:
    crew = fleet(3, limit=60, period=PERIOD)
    crew.workers[0].ask("call", count=20, cost=3, together=True)
    waiting, one, two = crew.workers
    waiting.begin("call", count=40, priority="INTERACTIVE", together=True)
    crew.until(lambda said: said[0]["waiting"] >= 40)
    crew.lose(waiting)
    began = time.monotonic()
    answers = [worker.begin("call", count=30, together=True) for worker in (one, two)]
    calls: list[dict[str, Any]] = [call for answer in answers for call in answer.result()]
    assert [call["error"] for call in calls] == [None] * 60
    assert time.monotonic() - began < 2 * PERIOD + 1
    assert crew.look()["throttled"] == 0


def test_processes_that_die_one_after_the_other_leave_nobody_stuck(fleet: Callable[..., Fleet]) -> None:
    """In each window one is killed and another takes its place: no 429, and whoever lives gets his points."""
    crew = fleet(4, limit=200, period=1.2)
    crew.ask("saturate", callers=8)
    for _ in range(2):
        crew.windows(1)
        crew.lose(crew.workers[0])
        (fresh,) = crew.join(1)
        fresh.ask("saturate", callers=8)
    crew.windows(2)
    said = crew.stop()
    seen = crew.look()
    assert seen["throttled"] == 0
    assert min(each["points"] for each in said) >= 20
    # Whoever waits for the one call of a process that died waits for two seconds.
    assert max(each["longest"] for each in said) < 3 * PERIOD + 2


def test_a_process_that_stands_still_while_it_waits_keeps_nobody_waiting(fleet: Callable[..., Fleet]) -> None:
    """SIGSTOP for several windows: the others go on, and it goes on where it was: nothing is lost, stuck or refused."""
    crew = fleet(3, limit=120, period=1.2)
    crew.ask("saturate", callers=8)
    crew.windows(2)
    still = crew.workers[0]
    crew.until(lambda said: said[0]["waiting"] >= 4)
    with still.stopped():
        before = len(crew.look()["windows"])
        crew.windows(5)
        full = crew.look()["windows"][before + 1 : -1]
        # What it had sent counts until it cannot arrive any more.
        assert min(window["points"] for window in full) >= 100
    crew.windows(2)
    crew.stop()
    seen = crew.look()
    assert seen["throttled"] <= 5
    assert seen["windows"][-2]["by"].get("w1", 0) > 0


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.long)])
def test_processes_are_killed_at_any_moment(fleet: Callable[..., Fleet], kills: int) -> None:
    """SIGKILL at any moment, and new processes in their place: nobody is stuck, at most a few calls are refused."""
    crew = fleet(4, limit=200, period=1.0)
    crew.ask("saturate", callers=12)
    crew.windows(1)
    for number in range(kills):
        time.sleep(0.1 + 0.37 * number % 0.5)  # wherever that is
        crew.lose(crew.workers[0])
        crew.join(1)[0].ask("saturate", callers=12)
    crew.windows(3)
    said = crew.stop()
    seen = crew.look()
    assert seen["throttled"] <= 5
    assert [len(each["log"]) for each in said] == [0] * 4
