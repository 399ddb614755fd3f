"""Waiting for points, and the permits: each ends exactly once, in the right way."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from support.calls import AT_ONCE, PERHAPS_DONE, UNTIL, statuses
from support.wire_server import WireServer, answering

from whereby_async import (
    BudgetError,
    ClientClosedError,
    InternalServerError,
    NotFoundError,
    Paginator,
    Priority,
    RateLimitError,
    ResponseDecodeError,
    SessionPool,
    WherebyClient,
    operations,
)
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from support.recording_limiter import RecordingLimiter

    from whereby_async.hooks import RetryDetails


pytestmark = pytest.mark.anyio


async def test_max_wait_0_makes_a_429_an_error(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Who does not wait is told of the 429 itself, with the time that the server named."""
    fake.faults.add(Fault(status=429, body=b'{"error": "Slow", "data": {"msLeft": 1500}}'))
    with pytest.raises(RateLimitError) as caught:
        await whereby.with_options(max_wait=0).meetings.create(end_date=UNTIL)
    assert caught.value.retry_after == 1.5
    assert caught.value.may_have_happened is False
    assert len(fake.requests) == 1


async def test_max_wait_0_against_a_real_budget(fake: FakeWhereby) -> None:
    """The process's own budget refuses the second attempt, and the first one's answer is what is raised."""
    fake.faults.add(Fault(status=429, times=None, headers={"Retry-After": "30"}))
    started = time.monotonic()
    async with fake.client(max_wait=0) as whereby:
        with pytest.raises(RateLimitError) as caught:
            await whereby.meetings.list()
    assert caught.value.retry_after == 30
    assert time.monotonic() - started < 5


async def test_a_refusal_of_the_budget_is_raised_as_it_is(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """If nothing was sent, the budget's own error comes out."""
    limiter.refuse = True
    with pytest.raises(BudgetError, match=r"meetings\.list: refused") as caught:
        await whereby.meetings.list()
    assert caught.value.may_have_happened is False
    assert fake.requests == []


async def test_a_refused_retry_raises_what_the_first_attempt_met(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """After a 503 there are no points for a second attempt: the 503 is the truth."""

    class Poor:
        def on_retry(self, details: RetryDetails) -> None:
            limiter.refuse = True

    fake.faults.add(Fault(status=503))
    async with fake.client(limiter=limiter, retry=AT_ONCE, hooks=[Poor()]) as whereby:
        with pytest.raises(InternalServerError):
            await whereby.meetings.list()
    assert statuses(fake) == [503]


async def test_the_limiter_is_told_what_is_asked(whereby: WherebyClient, limiter: RecordingLimiter) -> None:
    """Operation, seed price, lane and longest wait."""
    await whereby.with_options(max_wait=3).meetings.delete("1")
    (permit,) = limiter.permits
    assert (permit.operation, permit.cost, permit.priority, permit.max_wait) == (
        "meetings.delete",
        2,
        Priority.NORMAL,
        3.0,
    )
    assert permit.after is None


async def test_an_answer_settles_its_permit_with_what_it_said(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """Success, failure and an answer that does not decode alike; the headers are handed over."""
    await whereby.meetings.list()
    fake.faults.add(Fault(status=404), Fault(body=b"no json"))
    with pytest.raises(NotFoundError):
        await whereby.meetings.get("1")
    with pytest.raises(ResponseDecodeError):
        await whereby.meetings.get("1")
    assert limiter.ends == [["settle"]] * 3
    limits = [permit.answers[0] for permit in limiter.permits]
    assert [limit.remaining for limit in limits if limit is not None] == [999_999, 999_998, 999_997]


@pytest.mark.parametrize("fault", [f for f in PERHAPS_DONE.values() if f.status is None], ids=lambda f: repr(f.drop))
async def test_no_answer_loses_its_permit(
    fault: Fault, fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """A request that left without an answer keeps its points spent; half an answer settles with what its headers said."""
    fake.faults.add(fault)
    await whereby.meetings.list()
    assert limiter.ends == [["settle" if fault.truncate else "lost"], ["settle"]]


async def test_a_cancel_on_the_wire_loses_its_permit(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """Once the request has left, its points stay spent."""
    fake.faults.add(Fault(delay=60))
    task = asyncio.ensure_future(whereby.meetings.list().collect())
    async with asyncio.timeout(5):
        while not fake.requests:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limiter.ends == [["lost"]]
    await whereby.meetings.list()


async def test_a_cancel_between_attempts_leaves_nothing_open(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """A call that waits for its next attempt holds no permit."""
    fake.faults.add(Fault(status=503, headers={"Retry-After": "50"}))
    async with fake.client(limiter=limiter) as whereby:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(whereby.meetings.list(), 0.2)
    assert limiter.ends == [["settle"]]


async def test_a_call_after_close_takes_no_permit(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """A closed client, and each of its views, says so; nothing is asked of the limiter."""
    whereby = fake.client(limiter=limiter)
    view = whereby.with_options(timeout=5)
    await view.aclose()
    await view.meetings.list()
    await whereby.aclose()
    for client in (whereby, view):
        with pytest.raises(ClientClosedError, match=r"meetings\.get: the client is closed; create a new one") as caught:
            await client.meetings.get("1")
        assert caught.value.may_have_happened is False
    assert limiter.ends == [["settle"]]


async def test_closing_between_attempts_raises_what_the_last_one_met(
    fake: FakeWhereby, limiter: RecordingLimiter
) -> None:
    """A call that was about to be sent again is not, once the client is closed."""
    fake.faults.add(Fault(status=503, times=None, headers={"Retry-After": "0.2"}))
    whereby = fake.client(limiter=limiter)
    call = asyncio.ensure_future(whereby.meetings.get("1"))
    async with asyncio.timeout(5):
        while limiter.ends != [["settle"]]:
            await asyncio.sleep(0)
    await whereby.aclose()
    with pytest.raises(InternalServerError):
        await call
    assert statuses(fake) == [503]


async def test_closing_while_a_retry_waits_for_points(fake: FakeWhereby) -> None:
    """The error says that the client was closed, and that the first attempt may have done something."""
    async with fake.client(limiter=Unlimited(), retry=AT_ONCE) as whereby:
        fake.faults.add(Fault(drop="after"), Fault(status=429, headers={"Retry-After": "50"}))
        call = asyncio.ensure_future(whereby.meetings.delete("1"))
        async with asyncio.timeout(5):
            while sum(whereby.limiter.snapshot().waiting.values()) == 0:
                await asyncio.sleep(0)
        await whereby.aclose()
        with pytest.raises(ClientClosedError, match="it was not sent again") as caught:
            await call
    assert caught.value.may_have_happened is True


@pytest.mark.parametrize("status", [200, 404])
async def test_too_large_an_answer_in_one_piece_settles_its_permit(limiter: RecordingLimiter, status: int) -> None:
    """Its body is refused, but what its head said of the budget is true."""
    raw = b"HTTP/1.1 %d X\r\nX-RateLimit-Limit: 500\r\nX-RateLimit-Remaining: 7\r\nContent-Length: 200\r\n\r\n" % status
    pool = SessionPool(max_body=100)
    async with (
        WireServer(answering(raw + b"x" * 200)) as server,
        WherebyClient("key", base_url=server.url, pool=pool, limiter=limiter) as whereby,
    ):
        with pytest.raises((ResponseDecodeError, NotFoundError)):
            await whereby.meetings.get("1")
    await pool.aclose()
    assert limiter.ends == [["settle"]]
    (said,) = limiter.permits[0].answers
    assert said is not None
    assert (said.limit, said.remaining) == (500, 7)


async def test_points_granted_at_once_go_back_if_nothing_was_sent(fake: FakeWhereby) -> None:
    """Calls that are cancelled before they had a connection cost nothing, one on the wire stays paid for."""
    budget, pool = PointBudget(), SessionPool(connections=1)
    async with fake.client(limiter=budget, pool=pool) as whereby:
        for _ in range(20):  # until the budget is known
            await whereby.meetings.list()
        before = budget.snapshot().available
        fake.faults.add(Fault(delay=60.0))
        calls = [asyncio.create_task(_gotten(whereby)) for _ in range(5)]
        async with asyncio.timeout(5):
            while len(fake.requests) < 21 or pool.waiting < 4:
                await asyncio.sleep(0)
        assert budget.snapshot().in_flight == 5
        for call in calls[1:]:
            call.cancel()
        await asyncio.gather(*calls[1:], return_exceptions=True)
        assert budget.snapshot().in_flight == 1
        calls[0].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert budget.snapshot().in_flight == 0
        assert budget.snapshot().available == before - 1
    await pool.aclose()


async def test_a_second_attempt_is_no_newcomer(fake: FakeWhereby) -> None:
    """A call that failed asks in its place, and its wait counts on: `max_wait=0` is not granted at once after a 429."""
    budget = PointBudget()
    async with fake.client(limiter=budget, retry=AT_ONCE, max_wait=0) as whereby:
        await whereby.meetings.list()
        fake.faults.add(Fault(status=503), Fault(status=429, headers={"Retry-After": "30"}))
        with pytest.raises(RateLimitError):
            await whereby.meetings.list()
        with pytest.raises(BudgetError):
            await whereby.meetings.list()
        assert budget.snapshot().in_flight == 0
    assert statuses(fake) == [200, 503, 429]


async def test_a_closed_budget_grants_nothing_any_more(fake: FakeWhereby) -> None:
    """Though it had points for everybody a moment before."""
    budget = PointBudget()
    async with fake.client(limiter=budget) as whereby:
        await whereby.meetings.list()
        await budget.aclose()
        with pytest.raises(ClientClosedError, match="limiter was closed"):
            await whereby.meetings.list()
    assert len(fake.requests) == 1


async def test_a_request_that_cannot_be_written_takes_no_points(fake: FakeWhereby) -> None:
    """Should one get past all checks, it fails before points are granted, not with them in hand."""
    unwritable = operations.LIST_MEETINGS.bind(query=[("cursor", "\ud800")])
    budget = PointBudget()
    async with fake.client(limiter=budget) as whereby:
        await whereby.meetings.list()
        with pytest.raises(UnicodeEncodeError) as kept:  # and with it the frames, and what they hold
            await Paginator(whereby._sender, unwritable, page_size=100)  # pyright: ignore[reportPrivateUsage] - all public ways check
        assert budget.snapshot().in_flight == 0
    assert kept.value is not None
    assert len(fake.requests) == 1


async def _gotten(whereby: WherebyClient) -> object:
    return await whereby.meetings.list()
