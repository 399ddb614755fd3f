"""The figures that the point budget has to reach, each in its scenario."""

from __future__ import annotations

import pytest

from simulation.headers import STYLES
from simulation.scenarios import (
    among_others,
    backlog,
    bursty_others,
    endless_cheap_calls,
    half_cancelled,
    long_run,
    lowered,
    punished_bursts,
    restart,
    two_lanes,
    wrong_plan,
    wrong_prices,
)

WINDOWS = ["fixed", "aligned", "sliding_log", "token_bucket"]


@pytest.mark.parametrize("policy", WINDOWS)
def test_ten_thousand_points_take_ten_windows_and_no_429(policy: str) -> None:
    """10,000 points at 1,000 a minute take at most 544 seconds where a fixed window needs 540.2; on a log some points need another."""
    outcome = backlog(policy, seed=1)
    assert outcome.throttled == 0
    # A sliding log gives each point back by itself, so a call of three at a period's end may find two.
    assert outcome.seconds <= (544.0 if policy != "sliding_log" else 604.0)
    assert outcome.fill >= 0.999


@pytest.mark.parametrize("policy", WINDOWS)
def test_small_plan_fills_its_windows(policy: str) -> None:
    """At a limit of 100, windows are filled to .997 and more, a log to .995."""
    outcome = backlog(policy, limit=100, seed=2)
    assert outcome.throttled == 0
    assert outcome.fill >= (0.997 if policy != "sliding_log" else 0.995)


@pytest.mark.parametrize("style", STYLES)
def test_header_style_costs_no_429(style: str) -> None:
    """Whatever the dates look like, or if there are none."""
    outcome = backlog("fixed", windows=4, seed=3, style=style)
    assert outcome.throttled == 0
    assert outcome.seconds <= 183


def test_long_run_rate_is_the_limit_but_for_a_round_trip() -> None:
    """At 125 ms the bound is .9979 of the limit, and .9965 is reached."""
    outcome = long_run(windows=15)
    assert outcome.throttled == 0
    assert 0.9965 <= outcome.share <= 0.9979


@pytest.mark.parametrize("policy", [*WINDOWS, "sliding_counter"])
def test_restart_into_a_spent_window_bursts_nothing(policy: str) -> None:
    """950 of 1,000 points are gone: at most five 429s."""
    assert restart(policy, seed=1).throttled <= 5


@pytest.mark.parametrize("policy", WINDOWS)
@pytest.mark.parametrize("at", [60.5, 90.0])
def test_lowered_limit_is_seen_in_time(policy: str, at: float) -> None:
    """From 1,000 to 500 between two bursts: at most five 429s."""
    assert lowered(policy, seed=1, at=at).throttled <= 5


@pytest.mark.parametrize("policy", [*WINDOWS, "sliding_counter"])
def test_wrong_plan_is_corrected_by_the_first_answer(policy: str) -> None:
    """1,000 configured, 100 allowed: at most five 429s."""
    assert wrong_plan(policy, seed=1).throttled <= 5


@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("policy", [*WINDOWS, "sliding_counter"])
def test_others_leave_us_the_rest(policy: str, share: float) -> None:
    """Five minutes beside others cost at most fifteen 429s, and we get .95 of what they leave; the benchmark lasts ten."""
    outcome = among_others(policy, share, seed=1, periods=5)
    assert outcome.throttled <= 15
    assert outcome.share >= (0.95 if policy != "sliding_counter" else 0.93)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_others_that_come_in_bursts_leave_us_the_rest(share: float) -> None:
    """The same when they take theirs at once, unforeseen."""
    outcome = bursty_others(share, seed=1)
    assert outcome.throttled <= 30
    assert outcome.share >= 0.95


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sliding_counter_is_recognised_and_paced(seed: int) -> None:
    """A server that punishes bursts gives at most fifty 429s in ten minutes, and .95 of its points."""
    outcome = punished_bursts(seed)
    assert outcome.throttled <= 50
    assert outcome.share >= 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_wrong_prices_are_learned_within_a_window(seed: int) -> None:
    """From the second window on there are at most five 429s in each, the prices are right, and windows are full."""
    outcome = wrong_prices(seed)
    assert outcome.costs == {"insights.rooms": 10, "meetings.list": 5}
    assert all(count <= 5 for window, count in outcome.throttled_by_window.items() if window > 0)
    assert outcome.fill >= 0.98


@pytest.mark.parametrize("seed", [5, 10, 23])
def test_right_prices_stay_on_a_log_that_refills_under_way(seed: int) -> None:
    """Its answers come out of order, and none of what seems to be missing between them was charged to a call."""
    assert backlog("sliding_log", seed=seed).costs == {}


@pytest.mark.parametrize("policy", WINDOWS)
def test_dear_call_is_not_overtaken_for_ever(policy: str) -> None:
    """Under an endless stream of cheap calls it waits for those before it, but for what it could not have used anyway."""
    outcome = endless_cheap_calls(policy, seed=1)
    assert outcome.throttled == 0
    assert outcome.inversions <= 3


@pytest.mark.parametrize("seed", [0, 1])
def test_interactive_calls_do_not_wait_behind_a_batch(seed: int) -> None:
    """One read a second beside a saturating batch waits less than a second (p99); the batch gets .99 of the rest."""
    outcome = two_lanes(seed)
    assert outcome.throttled == 0
    assert outcome.p99 < 1.0
    assert outcome.share >= 0.99


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_half_cancelled_leaves_nobody_stuck(seed: int) -> None:
    """Of 1,000 calls half are cancelled at random: the others are served in order, in time, and no point is lost."""
    outcome = half_cancelled(seed)
    assert outcome.throttled == 0
    assert outcome.share >= 500
    assert outcome.inversions == 0
    assert outcome.fill == 1.0
    assert outcome.seconds <= (outcome.share // 100) * 60.2 + 1
