"""How the fake server counts points on a clock of our own, and what its headers say of them."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, strategies as st

from whereby_async.testing import Algorithm, HeaderStyle
from whereby_async.testing.policies import (
    AlignedWindow,
    Decision,
    FixedWindow,
    SlidingCounter,
    SlidingLog,
    TokenBucket,
    milliseconds_left,
    policy,
    rate_limit_headers,
)

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
CALLS = st.lists(st.tuples(st.floats(0.0, 40.0), st.integers(1, 3)), min_size=1, max_size=60)


def test_fixed_window_starts_at_the_first_call() -> None:
    window = FixedWindow(10, 60.0)
    assert window.take(1, 17.0).reset_in == pytest.approx(60.0)
    assert window.take(1, 47.0).reset_in == pytest.approx(30.0)
    assert window.take(1, 200.0).reset_in == pytest.approx(60.0)


def test_fixed_window_opens_again_when_it_has_ended() -> None:
    window = FixedWindow(3, 60.0)
    assert window.take(3, 0.0).allowed
    assert not window.take(1, 59.999).allowed
    assert window.take(3, 60.0).allowed


def test_refused_call_burns_what_was_left() -> None:
    """The counter is raised before it is compared: a refused 3 takes the last 2, and the next 1 is refused too."""
    window = FixedWindow(10, 60.0)
    window.take(8, 0.0)
    refused = window.take(3, 1.0)
    assert (refused.allowed, refused.remaining, refused.charged) == (False, 0, 2)
    assert refused.retry_in == pytest.approx(59.0)
    assert not window.take(1, 2.0).allowed


def test_hammering_does_not_extend_the_window() -> None:
    """Refused calls leave the window's end where it was, and take nothing that is not there."""
    window = FixedWindow(2, 60.0)
    window.take(2, 0.0)
    last = [window.take(3, float(second)) for second in range(1, 60)][-1]
    assert last.charged == 0
    assert last.reset_in == pytest.approx(1.0)
    assert window.take(2, 60.0).remaining == 0


def test_limit_can_change_in_mid_window() -> None:
    window = FixedWindow(10, 60.0)
    window.take(6, 0.0)
    window.limit = 5
    assert not window.take(1, 1.0).allowed
    window.limit = 20
    assert window.take(1, 2.0).remaining == 12


def test_aligned_window_ends_on_the_minute() -> None:
    """The window ends where the clock's time, phase included, is a multiple of the period."""
    window = AlignedWindow(10, 60.0, phase=15.0)
    assert window.take(1, 0.0).reset_in == pytest.approx(45.0)
    assert window.take(10, 44.9).allowed is False
    assert window.take(10, 45.0).allowed
    assert window.take(1, 50.0).reset_in == pytest.approx(55.0)


def test_aligned_window_never_ends_where_it_begins() -> None:
    """Rounding at a boundary makes no window of no length."""
    window = AlignedWindow(10, 0.1, phase=0.3)
    assert all(window.take(1, step * 0.1).reset_in > 0 for step in range(100))


def test_sliding_log_gives_points_back_one_by_one() -> None:
    log = SlidingLog(4, 60.0)
    log.take(3, 0.0)
    assert log.take(1, 10.0).remaining == 0
    refused = log.take(2, 20.0)
    assert (refused.allowed, refused.charged) == (False, 0)
    assert refused.retry_in == pytest.approx(40.0)
    assert log.take(3, 60.0).allowed
    assert not log.take(1, 69.9).allowed
    assert log.take(1, 70.0).allowed


def test_sliding_log_names_a_period_for_what_never_fits() -> None:
    log = SlidingLog(4, 60.0)
    decision = log.take(5, 0.0)
    assert (decision.allowed, decision.reset_in, decision.retry_in) == (False, 0.0, 60.0)


@given(CALLS)
def test_sliding_log_holds_in_every_interval(calls: list[tuple[float, int]]) -> None:
    log = SlidingLog(7, 60.0)
    now, taken = 0.0, list[tuple[float, int]]()
    for pause, cost in calls:
        now += pause
        if log.take(cost, now).allowed:
            taken.append((now, cost))
    for start, _ in taken:
        assert sum(cost for at, cost in taken if start <= at < start + 60.0) <= 7


def test_sliding_counter_weighs_the_last_window() -> None:
    """A quarter into the window three quarters of the last one still count."""
    counter = SlidingCounter(100, 60.0)
    counter.take(100, 30.0)
    assert counter.take(1, 60.0).allowed is False
    decision = counter.take(25, 75.0)
    assert (decision.allowed, decision.remaining) == (True, 0)
    assert counter.take(1, 75.0).retry_in == pytest.approx(0.6)


def test_sliding_counter_forgets_after_two_windows() -> None:
    counter = SlidingCounter(100, 60.0)
    counter.take(100, 30.0)
    assert counter.take(100, 120.0).allowed


def test_sliding_counter_waits_for_the_next_window_when_this_one_is_full() -> None:
    """What this window holds counts in full until it ends, and by its share after that."""
    counter = SlidingCounter(10, 60.0)
    counter.take(10, 0.0)
    assert counter.take(5, 0.0).retry_in == pytest.approx(90.0)
    assert SlidingCounter(10, 60.0).take(11, 0.0).retry_in == pytest.approx(60.0)


def test_token_bucket_refills_evenly() -> None:
    bucket = TokenBucket(60, 60.0)
    assert bucket.take(60, 0.0).remaining == 0
    refused = bucket.take(3, 1.0)
    assert (refused.allowed, refused.charged) == (False, 0)
    assert refused.retry_in == pytest.approx(2.0)
    assert bucket.take(3, 3.0).allowed
    assert bucket.take(60, 1000.0).allowed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(calls=CALLS)
def test_waiting_as_told_is_enough(algorithm: Algorithm, calls: list[tuple[float, int]]) -> None:
    """A refused call is allowed after exactly the wait that it was told, if nobody else comes."""
    counted = policy(algorithm, 7, 60.0, phase=3.0)
    now = 0.0
    for pause, cost in calls:
        now += pause
        decision = counted.take(cost, now)
        assert 0 <= decision.remaining <= 7
        assert decision.reset_in >= 0
        if not decision.allowed:
            now += decision.retry_in + 1e-6
            assert counted.take(cost, now).allowed


@pytest.mark.parametrize("algorithm", ["sliding_log", "sliding_counter", "token_bucket"])
@given(calls=CALLS)
def test_waiting_less_is_not_enough(algorithm: Algorithm, calls: list[tuple[float, int]]) -> None:
    """The wait is not longer than it must be, where a refused call costs nothing."""
    counted = policy(algorithm, 7, 60.0)
    now = 0.0
    for pause, cost in calls:
        now += pause
        decision = counted.take(cost, now)
        if decision.retry_in > 0.01:
            now += decision.retry_in - 0.01
            assert not counted.take(cost, now).allowed


WALL = 1795406019.25  # 2026-11-23T03:53:39.250Z
OPEN = Decision(allowed=True, limit=1000, remaining=997, reset_in=40.5, retry_in=0.0, charged=3)


@pytest.mark.parametrize(
    ("style", "reset"),
    [
        ("iso", "2026-11-23T03:54:19.750Z"),
        ("http_date", "Mon, 23 Nov 2026 03:54:19 GMT"),
        ("epoch", "1795406060"),
        ("epoch_ms", "1795406059750"),
        ("js", "Mon Nov 23 2026 03:54:19 GMT+0000 (Coordinated Universal Time)"),
    ],
)
def test_reset_is_written_in_the_style(style: HeaderStyle, reset: str) -> None:
    """Each style tells the same moment; dates are cut to the second, epoch seconds rounded up, as real servers do."""
    assert rate_limit_headers(style, OPEN, WALL, 60.0) == {
        "X-RateLimit-Limit": "1000",
        "X-RateLimit-Remaining": "997",
        "X-RateLimit-Reset": reset,
    }


@pytest.mark.parametrize(
    ("style", "headers"),
    [
        ("draft_6", {"Limit": "1000", "Remaining": "997", "Reset": "41", "Policy": "1000;w=60"}),
        ("draft_7", {"": "limit=1000, remaining=997, reset=41", "Policy": "1000;w=60"}),
        ("draft_10", {"": '"default";r=997;t=41', "Policy": '"default";q=1000;w=60'}),
    ],
)
def test_drafts_have_fields_of_their_own(style: HeaderStyle, headers: dict[str, str]) -> None:
    """No field begins with `X-`; seconds are whole and rounded up."""
    told = rate_limit_headers(style, OPEN, WALL, 59.5)
    assert told == {f"RateLimit-{name}".rstrip("-"): value for name, value in headers.items()}


@pytest.mark.parametrize("style", ["iso", "draft_6", "draft_7", "draft_10"])
@pytest.mark.parametrize(
    ("seconds", "retry_after", "milliseconds"),
    [(38.689, "38.689", 38_689), (40.0, "40", 40_000), (1.0001, "1.001", 1001)],
)
def test_refusal_tells_the_wait_to_the_millisecond(
    style: HeaderStyle, seconds: float, retry_after: str, milliseconds: int
) -> None:
    """A part of a millisecond counts as a whole one, a rounding error does not; whole seconds have no fraction."""
    refused = Decision(allowed=False, limit=1000, remaining=0, reset_in=seconds, retry_in=seconds, charged=0)
    assert rate_limit_headers(style, refused, WALL, 60.0)["Retry-After"] == retry_after
    assert milliseconds_left(refused) == milliseconds
