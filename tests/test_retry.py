"""Retries: what the policy decides, and when a call is sent again. Time is simulated."""

from __future__ import annotations

import asyncio
import pickle
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import pytest
from hypothesis import given, strategies as st
from support.calls import UNTIL

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ClientClosedError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    WherebyError,
)
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.rate_limit import RateLimit
from whereby_async.status_errors import status_error
from whereby_async.testing import FakeWhereby, Fault, TcpFault, TcpProxy
from whereby_async.transport import RetryBudget

if TYPE_CHECKING:
    from whereby_async.testing import HeaderStyle

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]

NEVER_SENT = APIConnectionError("refused", may_have_happened=False)
DROPPED = APIConnectionError("dropped", may_have_happened=True)
TIMED_OUT = APITimeoutError("late", may_have_happened=True)


def failed(status: int = 503, retry_after: float | None = None) -> InternalServerError:
    limit = RateLimit(retry_after=retry_after)
    return InternalServerError("failed", status=status, rate_limit=limit, may_have_happened=True)


def answered(status: int, retry_after: float | None = None) -> APIStatusError:
    """The error for an answer that is not the API's: 408 alone leaves in doubt what was done."""
    return status_error("x", status, b"", rate_limit=RateLimit(retry_after=retry_after), key="k", key_source="")


FINAL = [
    BadRequestError("bad", status=400),
    NotFoundError("gone", status=404),
    APIStatusError("odd", status=302, may_have_happened=True),
    ResponseDecodeError("odd", body=b""),
    ClientClosedError("closed"),
    ConfigurationError("wrong"),
    WherebyError("any"),
]


@pytest.mark.parametrize(
    ("errors", "idempotent", "delay"),
    [
        ([NEVER_SENT, DROPPED, TIMED_OUT, *map(failed, (500, 502, 503, 504))], True, 0.25),
        ([NEVER_SENT, *map(answered, (421, 425))], False, 0.25),
        ([*map(answered, (408, 421, 425))], True, 0.25),
        ([DROPPED, TIMED_OUT, failed(500), failed(503, retry_after=0), answered(408)], False, None),
        ([*map(answered, (400, 409, 413, 417, 422, 423, 426, 428, 431, 451))], True, None),
        (FINAL, True, None),
    ],
)
def test_what_is_made_again(errors: list[WherebyError], idempotent: bool, delay: float | None) -> None:
    """A create is not made again if it may have happened, not even if the server names a time."""
    assert [RetryPolicy().delay(1, error, idempotent=idempotent, jitter=1.0) for error in errors] == [delay] * len(
        errors
    )


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
def test_retry_after_is_kept(retry_after: float | None, delay: float | None) -> None:
    """Never earlier than the server said; what it would hold for more than a minute ends instead."""
    policy = RetryPolicy(base=0.1)
    for error in (failed(503, retry_after), answered(425, retry_after)):
        assert policy.delay(1, error, idempotent=True, jitter=1.0) == delay


def test_a_long_cap_is_the_caller_s_patience() -> None:
    assert RetryPolicy(cap=300).delay(1, failed(503, 200.0), idempotent=True, jitter=0.0) == 200.0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("attempts", value) for value in (0, -1, 2.0, "4", None)),
        *(("base", value) for value in (-0.1, float("nan"), None)),
        *(("cap", value) for value in (float("inf"), "8")),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{option}={value!r}") as caught:
        RetryPolicy(**{option: value})
    assert "pass" in str(caught.value)


def test_a_policy_is_a_frozen_value() -> None:
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
    budget = RetryBudget(capacity=10.0)
    granted = successes = 0
    for success in events:
        if success:
            successes += 1
            budget.give_back()
        else:
            granted += budget.take()
        assert granted <= 10 + successes / 10 + 1e-6


def now() -> float:
    return asyncio.get_running_loop().time()


def gaps(fake: FakeWhereby) -> list[float]:
    return [later.at - earlier.at for earlier, later in pairwise(fake.requests)]


@pytest.mark.parametrize("fault", [Fault(status=503, times=None), Fault(drop="after", times=None)], ids=["503", "drop"])
async def test_delays_are_drawn_from_a_doubling_range(fault: Fault, fake: FakeWhereby) -> None:
    """After a 5xx and after a drop: each delay lies below its bound, and they differ from call to call."""
    fake.faults.add(fault)
    calls: list[list[float]] = []
    async with fake.client(limiter=Unlimited(), retry=RetryPolicy(attempts=7, cap=4.0), max_outage=0) as whereby:
        for _ in range(12):
            fake.clear()
            with pytest.raises((InternalServerError, APIConnectionError)):
                await whereby.meetings.list()
            calls.append(gaps(fake))
    for number, bound in enumerate((0.25, 0.5, 1.0, 2.0, 4.0, 4.0)):
        delays = [call[number] for call in calls]
        assert all(0 <= delay <= bound + 0.001 for delay in delays)
        assert max(delays) - min(delays) > bound / 10
        assert max(delays) > bound / 3


async def test_calls_that_fail_together_do_not_come_back_together(fake: FakeWhereby) -> None:
    fake.faults.add(Fault(status=503, times=40))
    async with fake.client(limiter=Unlimited(), max_outage=0) as whereby:
        await asyncio.gather(*(whereby.meetings.list().collect() for _ in range(40)))
    arrivals = [request.at for request in fake.requests if request.status == 200]
    assert len(set(arrivals)) > 30
    assert max(arrivals) <= 0.26


@pytest.mark.parametrize("after", ["0.75", "1", "38.689", "60"])
async def test_a_429_waits_for_the_server_s_time_and_a_little_more(after: str) -> None:
    """Never earlier, hardly later, and without jitter: every time the wait is the same."""
    waits: list[float] = []
    for _ in range(2):
        async with FakeWhereby() as fake, fake.client() as whereby:
            await whereby.meetings.list()
            fake.clear()
            fake.faults.add(Fault(status=429, headers={"Retry-After": after}, points=0))
            await whereby.meetings.create(end_date=UNTIL)
            waits += gaps(fake)
    assert float(after) <= waits[0] <= float(after) + 0.1
    assert waits == pytest.approx([waits[0]] * 2, abs=1e-6)


async def test_after_a_429_calls_go_on_in_their_order() -> None:
    async with FakeWhereby(limit=40, period=10.0) as fake, fake.client(limiter=PointBudget(period=10.0)) as whereby:
        await whereby.meetings.list()
        fake.spend(38)
        async with asyncio.TaskGroup() as tasks:
            for number in range(12):
                tasks.create_task(whereby.meetings.create(end_date=UNTIL, room_name_prefix=f"{number:02d}-"))
                await asyncio.sleep(0.05)
    assert fake.throttled >= 1
    order = [request.json["roomNamePrefix"] for request in fake.requests if request.json and request.acted]
    assert order == sorted(order)
    assert len(order) == 12


@pytest.mark.parametrize("limiter_class", [PointBudget, Unlimited])
async def test_a_deadline_ends_a_call_that_is_throttled_for_good(
    limiter_class: type[PointBudget | Unlimited], fake: FakeWhereby
) -> None:
    """A 429 is no attempt, so only the caller's own deadline bounds it; nothing is left of the call."""
    fake.faults.add(Fault(status=429, headers={"Retry-After": "5"}, times=None))
    budget = limiter_class()
    async with fake.client(limiter=budget, retry=RetryPolicy(attempts=1)) as whereby:
        began = now()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(33):
                await whereby.meetings.create(end_date=UNTIL)
        assert now() - began == pytest.approx(33)
        assert 2 <= len(fake.requests) <= 7
        assert not any(request.acted for request in fake.requests)
        snapshot = budget.snapshot()
        assert (snapshot.in_flight, snapshot.waiting_points) == (0, 0)


async def test_max_wait_is_summed_over_the_attempts_of_a_call(fake: FakeWhereby) -> None:
    """A call that is throttled again and again gives up once its waits together are too long, with the 429 it met."""
    fake.faults.add(Fault(status=429, headers={"Retry-After": "5"}, times=None))
    async with fake.client(limiter=Unlimited(), max_wait=12.0) as whereby:
        began = now()
        with pytest.raises(RateLimitError) as caught:
            await whereby.meetings.list()
        assert now() - began <= 12.0
    assert (caught.value.may_have_happened, caught.value.retry_after) == (False, 5.0)
    assert len(fake.requests) == 3


@pytest.mark.parametrize("style", ["iso", "http_date", "epoch", "epoch_ms", "js", "draft_6", "draft_10"])
@pytest.mark.parametrize("jump", [-86400.0, -7.0, 7.0, 86400.0])
async def test_a_jump_of_the_server_s_clock_costs_no_429_and_no_wait(style: HeaderStyle, jump: float) -> None:
    """However the server writes its dates: 60 calls of a budget of 20 take three windows, as without the jump."""
    async with (
        FakeWhereby(limit=20, period=10.0, header_style=style) as fake,
        fake.client(limiter=PointBudget(period=10.0)) as whereby,
    ):
        began = now()
        for number in range(60):
            if number == 30:
                fake.clock_skew += jump
            await whereby.meetings.list()
        assert fake.throttled == 0
        assert now() - began < 21.5


@pytest.mark.parametrize("at", ["answer", "body"])
async def test_what_drips_ends_with_the_attempt(at: Literal["answer", "body"], fake: FakeWhereby) -> None:
    """Every byte comes soon after the last, and still `timeout` holds for each attempt."""
    twice = RetryPolicy(attempts=2, base=0)
    async with (
        TcpProxy(fake.url) as wire,
        fake.client(base_url=wire.url, timeout=3.0, limiter=Unlimited(), retry=twice) as whereby,
    ):
        wire.faults.add(TcpFault(at=at, drip=0.5, times=None))
        began = now()
        with pytest.raises(APITimeoutError, match="within timeout=3 s"):
            await whereby.meetings.list()
        assert now() - began == pytest.approx(6.0, abs=0.1)
