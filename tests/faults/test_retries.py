"""The times of retries, in simulated time: jitter after failures, the server's own time and order after a 429, deadlines."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import pytest

from whereby_async import APIConnectionError, APITimeoutError, InternalServerError, RateLimitError, RetryPolicy
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FakeWhereby, Fault, TcpFault, TcpProxy
from whereby_async.testing.clock import run_simulated

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

    from whereby_async.testing import HeaderStyle

T = TypeVar("T")

UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


def simulated(main: Coroutine[Any, Any, T]) -> T:
    """Run in simulated time."""
    return run_simulated(main)


def gaps(fake: FakeWhereby) -> list[float]:
    """Seconds between one request's arrival and the next."""
    return [later.at - earlier.at for earlier, later in pairwise(fake.requests)]


# Jitter


@pytest.mark.parametrize("fault", [Fault(status=503, times=None), Fault(drop="after", times=None)], ids=["503", "drop"])
def test_delays_are_drawn_from_a_doubling_range(fault: Fault) -> None:
    """After a 5xx and after a dropped connection: each delay lies below its bound, and they differ from call to call."""

    async def main() -> list[list[float]]:
        calls: list[list[float]] = []
        async with (
            FakeWhereby() as fake,
            fake.client(limiter=Unlimited(), retry=RetryPolicy(attempts=7, cap=4.0)) as whereby,
        ):
            fake.faults.add(fault)
            for _ in range(12):
                fake.clear()
                with pytest.raises((InternalServerError, APIConnectionError)):
                    await whereby.meetings.list()
                calls.append(gaps(fake))
        return calls

    calls = simulated(main())
    for number, bound in enumerate((0.25, 0.5, 1.0, 2.0, 4.0, 4.0)):
        delays = [call[number] for call in calls]
        assert all(0 <= delay <= bound + 0.001 for delay in delays)
        assert max(delays) - min(delays) > bound / 10
        assert max(delays) > bound / 3


def test_calls_that_fail_together_do_not_come_back_together() -> None:
    """An outage of one moment does not become a second one: their retries are spread."""

    async def main() -> list[float]:
        async with FakeWhereby() as fake, fake.client(limiter=Unlimited()) as whereby:
            fake.faults.add(Fault(status=503, times=40))
            await asyncio.gather(*(whereby.meetings.list().collect() for _ in range(40)))
            return [request.at for request in fake.requests if request.status == 200]

    arrivals = simulated(main())
    assert len(set(arrivals)) > 30
    assert max(arrivals) <= 0.26


# 429


def _times_of_a_throttled_call(after: str) -> Sequence[float]:
    async def main() -> list[float]:
        async with FakeWhereby() as fake, fake.client() as whereby:
            await whereby.meetings.list()
            fake.clear()
            fake.faults.add(Fault(status=429, headers={"Retry-After": after}, points=0))
            await whereby.meetings.create(end_date=UNTIL)
            return gaps(fake)

    return simulated(main())


@pytest.mark.parametrize("after", ["0.75", "1", "38.689", "60"])
def test_a_429_waits_for_the_server_s_time_and_a_little_more(after: str) -> None:
    """Never earlier, hardly later, and without jitter: every run waits the same."""
    (wait,) = _times_of_a_throttled_call(after)
    assert float(after) <= wait <= float(after) + 0.1
    assert _times_of_a_throttled_call(after) == pytest.approx([wait], abs=1e-6)


def test_after_a_429_calls_go_on_in_their_order() -> None:
    """Those that were refused come first, as they came, and those behind them after."""

    async def main() -> list[str]:
        async with FakeWhereby(limit=40, period=10.0) as fake, fake.client(limiter=PointBudget(period=10.0)) as whereby:
            await whereby.meetings.list()
            fake.spend(38)
            async with asyncio.TaskGroup() as tasks:
                for number in range(12):
                    tasks.create_task(whereby.meetings.create(end_date=UNTIL, room_name_prefix=f"{number:02d}-"))
                    await asyncio.sleep(0.05)
            assert fake.throttled >= 1
            return [request.json["roomNamePrefix"] for request in fake.requests if request.json and request.acted]

    order = simulated(main())
    assert order == sorted(order)
    assert len(order) == 12


@pytest.mark.parametrize("limiter", [PointBudget, Unlimited])
def test_a_deadline_ends_a_call_that_is_throttled_for_good(limiter: type[PointBudget | Unlimited]) -> None:
    """A 429 is no attempt, so only the caller's own deadline bounds it; nothing is left of the call."""

    async def main() -> None:
        budget = limiter()
        async with FakeWhereby() as fake, fake.client(limiter=budget, retry=RetryPolicy(attempts=1)) as whereby:
            fake.faults.add(Fault(status=429, headers={"Retry-After": "5"}, times=None))
            began = asyncio.get_running_loop().time()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(33):
                    await whereby.meetings.create(end_date=UNTIL)
            assert asyncio.get_running_loop().time() - began == pytest.approx(33)
            assert 2 <= len(fake.requests) <= 7
            assert not any(request.acted for request in fake.requests)
            snapshot = budget.snapshot()
            assert (snapshot.in_flight, snapshot.waiting_points) == (0, 0)

    simulated(main())


def test_max_wait_is_summed_over_the_attempts_of_a_call() -> None:
    """A call that is throttled again and again gives up once its waits together are too long, with the 429 it met."""

    async def main() -> tuple[float, float | None]:
        async with FakeWhereby() as fake, fake.client(limiter=Unlimited(), max_wait=12.0) as whereby:
            fake.faults.add(Fault(status=429, headers={"Retry-After": "5"}, times=None))
            began = asyncio.get_running_loop().time()
            with pytest.raises(RateLimitError) as caught:
                await whereby.meetings.list()
            assert caught.value.may_have_happened is False
            assert len(fake.requests) == 3
            return asyncio.get_running_loop().time() - began, caught.value.retry_after

    took, retry_after = simulated(main())
    assert took <= 12.0
    assert retry_after == 5.0


# The server's clock


@pytest.mark.parametrize("style", ["iso", "http_date", "epoch", "epoch_ms", "js", "draft_6", "draft_10"])
@pytest.mark.parametrize("jump", [-86400.0, -7.0, 7.0, 86400.0])
def test_a_jump_of_the_server_s_clock_costs_no_429_and_no_wait(style: HeaderStyle, jump: float) -> None:
    """Whatever way it writes its dates: 60 calls of a budget of 20 take three windows, as if the clock had been still."""

    async def main() -> tuple[int, float]:
        async with (
            FakeWhereby(limit=20, period=10.0, header_style=style) as fake,
            fake.client(limiter=PointBudget(period=10.0)) as whereby,
        ):

            async def call(number: int) -> None:
                if number == 30:
                    fake.clock_skew += jump
                await whereby.meetings.list()

            began = asyncio.get_running_loop().time()
            for number in range(60):
                await call(number)
            return fake.throttled, asyncio.get_running_loop().time() - began

    throttled, took = simulated(main())
    assert throttled == 0
    assert took < 21.5


# One attempt's time


@pytest.mark.parametrize(
    "fault", [TcpFault(at="answer", drip=0.5, times=None), TcpFault(at="body", drip=0.5, times=None)]
)
def test_what_drips_ends_with_the_attempt(fault: TcpFault) -> None:
    """Every byte comes soon after the last, and still `timeout` holds; with the retries it is so many times as long."""

    async def main() -> float:
        async with (
            FakeWhereby() as fake,
            TcpProxy(fake.url) as wire,
            fake.client(
                base_url=wire.url, timeout=3.0, limiter=Unlimited(), retry=RetryPolicy(attempts=2, base=0)
            ) as whereby,
        ):
            wire.faults.add(fault)
            began = asyncio.get_running_loop().time()
            with pytest.raises(APITimeoutError, match="within timeout=3 s"):
                await whereby.meetings.list()
            return asyncio.get_running_loop().time() - began

    assert simulated(main()) == pytest.approx(6.0, abs=0.1)
