"""The figures that the point budget has to reach, each in its scenario."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from whereby_async.limiter import PointBudget

from . import scenarios, trouble
from .server import STYLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from .figures import Figures, Row

SEEDS = int(os.environ.get("WHEREBY_TROUBLE_SEEDS", "1"))
"""Seeds of each row of trouble; the table takes as many as the row says."""

WINDOWS = ("fixed", "aligned", "sliding_log", "token_bucket")
POLICIES = (*WINDOWS, "sliding_counter")


def figures_of(scenario: Callable[..., Figures], seed: int, **options: Any) -> Figures:
    """The figures of a scenario with the process's own budget."""
    return scenario(PointBudget, seed, **options)


@pytest.mark.parametrize("seed", range(100, 100 + SEEDS))
@pytest.mark.parametrize("row", trouble.ROWS, ids=[row.name for row in trouble.ROWS])
def test_row_of_trouble_holds(row: Row, seed: int) -> None:
    """Every figure that has a bound is within it."""
    figures = row.run(PointBudget, seed)
    missed = {name: (figures[name], str(bound)) for name, bound in row.must.items() if not bound.holds(figures[name])}
    assert missed == {}


@pytest.mark.parametrize("policy", WINDOWS)
def test_ten_thousand_points_take_ten_windows_and_no_429(policy: str) -> None:
    """10,000 points at 1,000 a minute take at most 544 seconds where a fixed window needs 540.2."""
    figures = figures_of(scenarios.backlog, 1, name=policy)
    assert figures["throttled"] == 0
    # A sliding log gives each point back by itself, so a call of three at a period's end may find two.
    assert figures["seconds"] <= (544.0 if policy != "sliding_log" else 604.0)
    assert figures["fill"] >= 0.999


@pytest.mark.parametrize("policy", WINDOWS)
def test_small_plan_fills_its_windows(policy: str) -> None:
    """At a limit of 100, windows are filled to .997 and more, a log to .995."""
    figures = figures_of(scenarios.backlog, 2, name=policy, limit=100)
    assert figures["throttled"] == 0
    assert figures["fill"] >= (0.997 if policy != "sliding_log" else 0.995)


@pytest.mark.parametrize("style", STYLES)
def test_header_style_costs_no_429(style: str) -> None:
    """Whatever the dates look like, or if there are none."""
    figures = figures_of(scenarios.backlog, 3, name="fixed", windows=4, style=style)
    assert figures["throttled"] == 0
    assert figures["seconds"] <= 183


@pytest.mark.parametrize("seed", [5, 10, 23])
def test_right_prices_stay_on_a_log_that_refills_under_way(seed: int) -> None:
    """Its answers come out of order, and none of what seems to be missing between them was charged to a call."""
    assert figures_of(scenarios.backlog, seed, name="sliding_log")["learned"] == 0


def test_long_run_rate_is_the_limit_but_for_a_round_trip() -> None:
    """At 125 ms the bound is .9979 of the limit, and .9965 is reached."""
    figures = figures_of(scenarios.long_run, 0, windows=15)
    assert figures["throttled"] == 0
    assert 0.9965 <= figures["share"] <= 0.9979


@pytest.mark.parametrize("policy", POLICIES)
def test_restart_into_a_spent_window_bursts_nothing(policy: str) -> None:
    """950 of 1,000 points are gone: at most five 429s."""
    assert figures_of(scenarios.restart, 1, name=policy)["throttled"] <= 5


@pytest.mark.parametrize("policy", WINDOWS)
@pytest.mark.parametrize("at", [60.5, 90.0])
def test_lowered_limit_is_seen_in_time(policy: str, at: float) -> None:
    """From 1,000 to 500 between two bursts: at most five 429s."""
    assert figures_of(scenarios.lowered, 1, name=policy, at=at)["throttled"] <= 5


@pytest.mark.parametrize("policy", POLICIES)
def test_wrong_plan_is_corrected_by_the_first_answer(policy: str) -> None:
    """1,000 configured, 100 allowed: at most five 429s."""
    assert figures_of(scenarios.wrong_plan, 1, name=policy)["throttled"] <= 5


@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("policy", POLICIES)
def test_others_leave_us_the_rest(policy: str, share: float) -> None:
    """Five minutes beside others cost at most fifteen 429s, and we get .95 of what they leave."""
    figures = figures_of(scenarios.among_others, 1, name=policy, share=share, periods=5)
    assert figures["throttled"] <= 15
    assert figures["thru"] >= (0.95 if policy != "sliding_counter" else 0.93)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_others_that_come_in_bursts_leave_us_the_rest(share: float) -> None:
    """The same when they take theirs at once, unforeseen."""
    figures = figures_of(scenarios.bursty_others, 1, share=share)
    assert figures["throttled"] <= 30
    assert figures["thru"] >= 0.95


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sliding_counter_is_recognised_and_paced(seed: int) -> None:
    """A server that punishes bursts gives at most fifty 429s in ten minutes, and .95 of its points."""
    figures = figures_of(scenarios.alone, seed, name="sliding_counter", warm=0.5)
    assert figures["throttled"] <= 50
    assert figures["thru"] >= 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_wrong_prices_are_learned_within_a_window(seed: int) -> None:
    """From the second window on there are at most five 429s in each, the prices are right, and windows are full."""
    figures = figures_of(scenarios.wrong_prices, seed)
    assert figures["wrong"] == 0
    assert figures["later"] <= 5
    assert figures["fill"] >= 0.98


@pytest.mark.parametrize("policy", WINDOWS)
def test_dear_call_is_not_overtaken_for_ever(policy: str) -> None:
    """Under an endless stream of cheap calls it waits for those before it, and for hardly any behind it."""
    figures = figures_of(scenarios.endless_cheap_calls, 1, name=policy)
    assert figures["throttled"] == 0
    assert figures["inversions"] <= 3


@pytest.mark.parametrize("seed", [0, 1])
def test_interactive_calls_do_not_wait_behind_a_batch(seed: int) -> None:
    """One read a second beside a saturating batch waits less than a second (p99); the batch gets .99 of the rest."""
    figures = figures_of(scenarios.two_priorities, seed)
    assert figures["throttled"] == 0
    assert figures["p99"] < 1.0
    assert figures["share"] >= 0.99


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_half_cancelled_leaves_nobody_stuck(seed: int) -> None:
    """Of 1,000 calls half are cancelled at random: the others are served in order, in time, and no point is lost."""
    figures = figures_of(scenarios.half_cancelled, seed)
    assert figures["throttled"] == figures["inversions"] == 0
    assert figures["served"] >= 500
    assert figures["points_back"] == 1.0
    assert figures["late"] <= 0
