"""The send loop: what is sent again, what waits for points, and the permits, each of which ends once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.calls import AT_ONCE, CREATES, EVERY, PERHAPS_DONE, REPEATABLE, UNTIL, Call, answer, statuses
from support.recording_limiter import RecordingLimiter
from support.wire_server import OK, WireServer, answering

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetError,
    ClientClosedError,
    InternalServerError,
    NotFoundError,
    Paginator,
    Priority,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    SessionPool,
    WherebyClient,
    operations,
)
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.sender import WaitingCalls
from whereby_async.testing import FakeWhereby, Fault, simulated

if TYPE_CHECKING:
    from whereby_async.hooks import RetryDetails

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("fault", PERHAPS_DONE.values(), ids=PERHAPS_DONE)
@pytest.mark.parametrize("operation", CREATES)
async def test_a_create_is_never_sent_twice_once_it_has_left(
    operation: str, fault: Fault, fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    fake.faults.add(fault)
    answer(fake, operation)
    with pytest.raises((APIConnectionError, InternalServerError)) as caught:
        await CREATES[operation](whereby)
    assert caught.value.may_have_happened is True
    assert isinstance(caught.value, APIConnectionError | InternalServerError)
    assert caught.value.operation == operation
    assert len(fake.requests) == len(limiter.permits) == 1


@pytest.mark.parametrize("fault", PERHAPS_DONE.values(), ids=PERHAPS_DONE)
@pytest.mark.parametrize("operation", REPEATABLE)
async def test_reads_deletes_puts_and_bulk_deletes_are_sent_again(
    operation: str, fault: Fault, fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """The same request goes out again, pays again, names the attempt before it, and succeeds."""
    fake.faults.add(fault)
    answer(fake, operation)
    await REPEATABLE[operation](whereby)
    first, second = fake.requests
    assert (first.operation, first.method, first.target) == (operation, second.method, second.target)
    assert first.json == second.json
    assert [part.content for part in first.files] == [part.content for part in second.files]
    assert [permit.cost for permit in limiter.permits] == [limiter.permits[0].cost] * 2
    assert [permit.after for permit in limiter.permits] == [None, limiter.permits[0]]


@pytest.mark.parametrize("operation", CREATES)
async def test_a_meeting_is_made_once_though_its_answer_is_lost(
    operation: str, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    recording = fake.add_recording(content=b"film")["recordingId"]
    transcription = fake.add_transcription()["transcriptionId"]
    calls: dict[str, Call] = {
        "meetings.create": lambda c: c.meetings.create(end_date=UNTIL),
        "transcriptions.create": lambda c: c.transcriptions.create(recording),
        "summaries.create": lambda c: c.summaries.create(transcription),
    }
    fake.faults.add(Fault(drop="after"))
    with pytest.raises(APIConnectionError, match="the server may have acted on it"):
        await calls[operation](whereby)
    worlds = {
        "meetings.create": fake.meetings,
        "transcriptions.create": fake.transcriptions.keys() - {transcription},
        "summaries.create": fake.summaries,
    }
    assert len(worlds[operation]) == 1
    assert len([request for request in fake.requests if request.acted]) == 1


@pytest.mark.parametrize("operation", EVERY)
async def test_a_429_is_sent_again_for_every_method(
    operation: str, fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """However often: a 429 was not acted on, and does not count as an attempt."""
    fake.faults.add(Fault(status=429, times=10, headers={"Retry-After": "0"}))
    answer(fake, operation)
    await EVERY[operation](whereby.with_options(retry=RetryPolicy(attempts=1)))
    assert len(fake.requests) == 11
    assert limiter.ends == [["settle"]] * 11
    assert [permit.after for permit in limiter.permits] == [None, *limiter.permits[:-1]]


@pytest.mark.parametrize("status", [421, 425])
async def test_what_says_that_nothing_was_done_is_sent_again_and_counts(
    status: int, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """A create too, as often as there are attempts; and then it surely did not happen."""
    fake.faults.add(Fault(status=status, times=RetryPolicy().attempts + 1))
    with pytest.raises(APIStatusError, match=str(status)) as caught:
        await whereby.meetings.create(end_date=UNTIL)
    assert caught.value.may_have_happened is False
    assert statuses(fake) == [status] * RetryPolicy().attempts
    await whereby.meetings.create(end_date=UNTIL)
    assert statuses(fake)[-2:] == [status, 201]


@pytest.mark.parametrize("body", [b"", b"Misdirected"])
async def test_a_421_is_sent_again_over_another_connection(body: bytes) -> None:
    """The connection that it came over leads to the wrong server, and always will."""

    async def serve(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wrong = b"HTTP/1.1 421 Misdirected Request\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        await answering(OK if server.connections > 1 else wrong)(server, reader, writer)

    async with (
        WireServer(serve) as server,
        WherebyClient("k", base_url=server.url, limiter=Unlimited(), retry=RetryPolicy(base=0.0)) as whereby,
    ):
        assert await whereby.request("POST", "things", json={}) == {}
    assert (len(server.requests), server.connections) == (2, 2)


async def test_429s_between_failures_leave_the_attempts_as_they_are(fake: FakeWhereby, whereby: WherebyClient) -> None:
    for _ in range(3):
        fake.faults.add(Fault(status=429, times=2), Fault(status=503))
    with pytest.raises(InternalServerError):
        await whereby.with_options(retry=RetryPolicy(attempts=3, base=0)).meetings.list()
    assert statuses(fake) == [429, 429, 503] * 3


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_attempts_bound_a_call(attempts: int, fake: FakeWhereby, whereby: WherebyClient) -> None:
    fake.faults.add(*[Fault(status=500)] * (attempts - 1), Fault(status=502, times=None))
    with pytest.raises(InternalServerError) as caught:
        await whereby.with_options(retry=RetryPolicy(attempts=attempts, base=0)).meetings.list()
    assert statuses(fake) == [500] * (attempts - 1) + [502]
    assert caught.value.status == 502


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 409, 418, 422])
async def test_other_answers_are_final(status: int, fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Only connection errors, 5xx and 429 are sent again; redirects are not followed, not even on the same host."""
    fake.faults.add(Fault(status=status, times=None, redirect=f"{fake.url}/meetings" if status < 400 else None))
    with pytest.raises(APIStatusError) as caught:
        await whereby.meetings.list()
    assert caught.value.status == status
    assert caught.value.may_have_happened is (status < 400)
    assert len(fake.requests) == 1


async def test_a_connection_that_was_never_made_is_tried_again_for_a_create(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """Refused connections did nothing: the points go back, and every call may go again."""
    await fake.aclose()
    with pytest.raises(APIConnectionError, match="nothing was sent") as caught:
        await whereby.with_options(max_outage=0).meetings.create(end_date=UNTIL)
    assert caught.value.may_have_happened is False
    assert limiter.ends == [["release"]] * 4
    await fake.start()
    await whereby.meetings.create(end_date=UNTIL)
    assert len(fake.meetings) == 1


async def test_a_timeout_ends_a_create_and_repeats_a_read(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """`timeout` is one attempt's; after it a read goes again, a create says that it may have happened."""
    fake.faults.add(Fault(delay=60), Fault(delay=60, operation="meetings.create"))
    hasty = whereby.with_options(timeout=0.2)
    await hasty.meetings.list()
    with pytest.raises(APITimeoutError, match=r"meetings\.create: no answer within timeout=0\.2 s") as caught:
        await hasty.meetings.create(end_date=UNTIL)
    assert caught.value.may_have_happened is True
    assert limiter.ends == [["lost"], ["settle"], ["lost"]]


async def test_what_an_earlier_attempt_may_have_done_is_not_forgotten(
    fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """A delete that was dropped after acting and then throttled or refused still may have happened."""
    fake.faults.add(Fault(drop="after"), Fault(status=429))
    with pytest.raises(RateLimitError) as throttled:
        await whereby.with_options(max_wait=0).meetings.delete("1")
    fake.faults.add(Fault(drop="after"), Fault(status=404))
    with pytest.raises(NotFoundError) as missing:
        await whereby.meetings.delete("1")
    assert throttled.value.may_have_happened is True
    assert missing.value.may_have_happened is True
    fake.faults.add(Fault(status=429), Fault(status=404))
    with pytest.raises(NotFoundError) as untouched:
        await whereby.meetings.delete("1")
    assert untouched.value.may_have_happened is False


async def test_a_server_that_goes_away_after_a_drop_still_may_have_acted(
    fake: FakeWhereby, limiter: RecordingLimiter
) -> None:
    """The first attempt was dropped, the others were refused: the last error remembers the first."""

    class Gone:
        def on_retry(self, details: RetryDetails) -> None:
            closing.append(asyncio.ensure_future(fake.aclose()))

    closing: list[asyncio.Future[None]] = []
    fake.faults.add(Fault(drop="after"))
    options: dict[str, Any] = {"limiter": limiter, "retry": RetryPolicy(base=0.05), "max_outage": 0}
    async with fake.client(**options, hooks=[Gone()]) as whereby:
        with pytest.raises(APIConnectionError, match="nothing was sent") as caught:
            await whereby.meetings.delete("1")
    await asyncio.gather(*closing)
    assert caught.value.may_have_happened is True
    assert limiter.ends[0] == ["lost"]
    assert limiter.ends[-1] == ["release"]


@simulated
async def test_retry_after_of_a_503_is_waited_for() -> None:
    async with FakeWhereby() as fake, fake.client() as whereby:
        fake.faults.add(Fault(status=503, headers={"Retry-After": "30"}))
        await whereby.meetings.list()
        first, second = fake.requests
        assert second.at - first.at >= 30


async def test_retry_after_of_an_hour_ends_the_call(fake: FakeWhereby, whereby: WherebyClient) -> None:
    fake.faults.add(Fault(status=503, headers={"Retry-After": "3600"}))
    with pytest.raises(InternalServerError) as caught:
        await whereby.meetings.list()
    assert caught.value.rate_limit is not None
    assert caught.value.rate_limit.retry_after == 3600
    assert len(fake.requests) == 1


async def test_a_broken_server_is_not_hammered(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """All retries of a client and its views together are bounded: 200 calls bring 100 more requests, not 600."""
    fake.faults.add(Fault(status=500, times=None))
    view = whereby.with_options(timeout=5)
    for _ in range(100):
        for client in (whereby, view):
            with pytest.raises(InternalServerError):
                await client.meetings.list()
    assert len(fake.requests) == 300


async def test_success_gives_retries_back(fake: FakeWhereby, whereby: WherebyClient) -> None:
    fake.faults.add(Fault(status=500, times=134))
    for _ in range(34):
        with pytest.raises(InternalServerError):
            await whereby.meetings.list()
    assert len(fake.faults) == 0
    fake.clear()
    for _ in range(11):
        await whereby.meetings.list()
    fake.faults.add(Fault(status=500, times=None))
    fake.clear()
    with pytest.raises(InternalServerError):
        await whereby.meetings.list()
    assert len(fake.requests) == 2


async def test_nobody_begins_to_wait_after_the_close() -> None:
    """A call that saw the client open just before another thread closed it asks for no points, and pauses no second."""
    waiting = WaitingCalls()
    waiting.close()
    with waiting.until_closed() as is_open:
        assert not is_open
    async with asyncio.timeout(5):
        await waiting.pause(60)


@pytest.mark.parametrize("kind", [RecordingLimiter, PointBudget])
async def test_max_wait_0_makes_a_429_an_error(kind: type[RecordingLimiter | PointBudget], fake: FakeWhereby) -> None:
    """The budget refuses the second attempt, and the error is the first one's answer, with the time that it named."""
    fake.faults.add(Fault(status=429, times=None, body=b'{"error": "Slow", "data": {"msLeft": 30000}}'))
    async with fake.client(limiter=kind(), max_wait=0) as whereby:
        with pytest.raises(RateLimitError) as caught:
            await whereby.meetings.create(end_date=UNTIL)
    assert caught.value.retry_after == 30
    assert caught.value.may_have_happened is False
    assert len(fake.requests) == 1


async def test_a_refusal_of_the_budget_is_raised_as_it_is(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
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
    await whereby.with_options(max_wait=3).meetings.delete("1")
    (permit,) = limiter.permits
    asked = (permit.operation, permit.cost, permit.priority, permit.max_wait, permit.after)
    assert asked == ("meetings.delete", 2, Priority.NORMAL, 3.0, None)


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
    """A request that left without an answer keeps its points spent; half an answer settles with its headers."""
    fake.faults.add(fault)
    await whereby.meetings.list()
    assert limiter.ends == [["settle" if fault.truncate else "lost"], ["settle"]]


async def test_a_cancel_between_attempts_leaves_nothing_open(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    fake.faults.add(Fault(status=503, headers={"Retry-After": "50"}))
    async with fake.client(limiter=limiter) as whereby:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(whereby.meetings.list(), 0.2)
    assert limiter.ends == [["settle"]]


async def test_a_call_after_close_takes_no_permit(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """A closed client says so, and so do its views; nothing is asked of the limiter. Closing a view closes nothing."""
    whereby = fake.client(limiter=limiter)
    async with whereby.with_options(timeout=5) as view:
        await view.meetings.list()
    assert not whereby.closed
    await view.meetings.list()
    await whereby.aclose()
    await whereby.aclose()
    assert whereby.closed
    assert "closed" in repr(whereby)
    for client in (whereby, view):
        with pytest.raises(ClientClosedError, match=r"meetings\.get: the client is closed; create a new one") as caught:
            await client.meetings.get("1")
        assert caught.value.may_have_happened is False
        with pytest.raises(ClientClosedError):
            await client.meetings.list().collect()
    assert limiter.ends == [["settle"]] * 2
    assert len(fake.requests) == 2


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
        calls = [asyncio.create_task(whereby.meetings.list().collect()) for _ in range(5)]
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
        sender = whereby._sender  # pyright: ignore[reportPrivateUsage] - all public ways check
        with pytest.raises(UnicodeEncodeError) as kept:  # and with it the frames, and what they hold
            await Paginator(sender, unwritable, page_size=100)
        assert budget.snapshot().in_flight == 0
    assert kept.value is not None
    assert len(fake.requests) == 1
