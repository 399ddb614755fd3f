from __future__ import annotations

import pickle
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, strategies as st

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ClientClosedError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    ResponseDecodeError,
    RetryPolicy,
    WherebyError,
)
from whereby_async.rate_limit import RateLimit
from whereby_async.transport import RetryBudget

NEVER_SENT = APIConnectionError("refused", may_have_happened=False)
DROPPED = APIConnectionError("dropped", may_have_happened=True)
TIMED_OUT = APITimeoutError("late", may_have_happened=True)


def failed(status: int = 503, retry_after: float | None = None) -> InternalServerError:
    """A server's failure."""
    limit = RateLimit(retry_after=retry_after)
    return InternalServerError("failed", status=status, rate_limit=limit, may_have_happened=True)


@pytest.mark.parametrize("error", [NEVER_SENT, DROPPED, TIMED_OUT, failed(500), failed(502), failed(503), failed(504)])
def test_an_idempotent_call_is_made_again(error: WherebyError) -> None:
    """After a connection error, a timeout or a 5xx."""
    assert RetryPolicy().delay(1, error, idempotent=True, jitter=1.0) == 0.25


@pytest.mark.parametrize("error", [DROPPED, TIMED_OUT, failed(500), failed(503, retry_after=0)])
def test_a_create_is_not_made_again_if_it_may_have_happened(error: WherebyError) -> None:
    """Not even if the server names a time."""
    assert RetryPolicy().delay(1, error, idempotent=False, jitter=0.0) is None


def test_a_create_that_never_left_is_made_again() -> None:
    """A connection that was never made did nothing."""
    assert RetryPolicy().delay(1, NEVER_SENT, idempotent=False, jitter=1.0) == 0.25


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("bad", status=400),
        NotFoundError("gone", status=404),
        APIStatusError("odd", status=302, may_have_happened=True),
        ResponseDecodeError("odd", body=b""),
        ClientClosedError("closed"),
        ConfigurationError("wrong"),
        WherebyError("any"),
    ],
)
def test_other_errors_are_final(error: WherebyError) -> None:
    """What the same call would meet again is not tried again."""
    assert RetryPolicy().delay(1, error, idempotent=True, jitter=0.0) is None


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_attempts_count_the_first(attempts: int) -> None:
    """`attempts=1` turns retries off."""
    policy = RetryPolicy(attempts=attempts)
    delays = [policy.delay(n, DROPPED, idempotent=True, jitter=0.0) for n in range(1, 6)]
    assert delays == [0.0] * (attempts - 1) + [None] * (6 - attempts)


@given(st.integers(1, 99), st.floats(0, 1), st.floats(0, 1e6, allow_nan=False), st.floats(0, 1e6, allow_nan=False))
def test_jitter_is_full_and_bounded(failures: int, jitter: float, base: float, cap: float) -> None:
    """The delay lies between 0 and the doubling bound, which never exceeds `cap`."""
    delay = RetryPolicy(attempts=100, base=base, cap=cap).delay(failures, DROPPED, idempotent=True, jitter=jitter)
    assert delay is not None
    assert delay == pytest.approx(jitter * min(cap, base * 2.0 ** min(failures - 1, 60)))
    assert 0 <= delay <= cap


def test_delays_double_up_to_the_cap() -> None:
    """With the defaults: a quarter of a second, a half, one, … never above eight."""
    policy = RetryPolicy(attempts=100)
    delays = [policy.delay(n, DROPPED, idempotent=True, jitter=1.0) for n in (1, 2, 3, 4, 5, 6, 7, 99)]
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [(None, 0.1), (0.0, 0.1), (0.05, 0.1), (5.0, 5.0), (60.0, 60.0), (60.1, None), (3600.0, None)],
)
def test_retry_after_of_a_5xx_is_kept(retry_after: float | None, delay: float | None) -> None:
    """Never earlier than the server said; what it would hold for more than a minute ends instead."""
    policy = RetryPolicy(base=0.1)
    assert policy.delay(1, failed(503, retry_after), idempotent=True, jitter=1.0) == delay


def test_a_long_cap_is_the_caller_s_patience() -> None:
    """Who allows longer waits waits longer."""
    assert RetryPolicy(cap=300).delay(1, failed(503, 200.0), idempotent=True, jitter=0.0) == 200.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attempts": 0}, "attempts=0"),
        ({"attempts": -1}, "attempts=-1"),
        ({"attempts": 2.0}, "attempts=2.0"),
        ({"attempts": "4"}, "attempts='4'"),
        ({"attempts": None}, "attempts=None"),
        ({"base": -0.1}, "base=-0.1"),
        ({"base": float("nan")}, "base=nan"),
        ({"cap": float("inf")}, "cap=inf"),
        ({"cap": "8"}, "cap='8'"),
        ({"base": None}, "base=None"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    """The error names the option, its value and what to pass."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        RetryPolicy(**options)
    assert "pass" in str(caught.value)


def test_a_policy_is_a_frozen_value() -> None:
    """It compares, pickles and cannot be changed."""
    policy = RetryPolicy(attempts=2, base=0.0)
    assert policy == RetryPolicy(2, 0.0)
    assert pickle.loads(pickle.dumps(policy)) == policy
    with pytest.raises(AttributeError):
        cast("Any", policy).attempts = 5
    assert msgspec.structs.asdict(RetryPolicy()) == {"attempts": 4, "base": 0.25, "cap": 8.0}


def test_the_budget_ends_and_successes_fill_it_again() -> None:
    """A retry takes one, ten successes give one back, and it never holds more than its capacity."""
    budget = RetryBudget(capacity=3.0)
    for _ in range(50):
        budget.give_back()
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
    for _ in range(9):
        budget.give_back()
    assert budget.take() is False
    for _ in range(2):
        budget.give_back()
    assert [budget.take(), budget.take()] == [True, False]


@given(st.lists(st.booleans(), max_size=400))
def test_retries_are_bounded_by_capacity_and_a_tenth_of_the_successes(events: list[bool]) -> None:
    """Whatever the order: granted retries never exceed the capacity plus a tenth of the successes."""
    budget = RetryBudget(capacity=10.0)
    granted = successes = 0
    for success in events:
        if success:
            successes += 1
            budget.give_back()
        else:
            granted += budget.take()
        assert granted <= 10 + successes / 10 + 1e-6
