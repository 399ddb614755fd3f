"""The send loop over real sockets: retries, permits, lanes, hooks, raw answers, and the way around the typed methods."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pytest
from recording_limiter import RecordingLimiter

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetError,
    ClientClosedError,
    InternalServerError,
    NotFoundError,
    Priority,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    WherebyClient,
    capture_responses,
    use_priority,
)
from whereby_async.limiter import Unlimited
from whereby_async.models import Meeting
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from whereby_async.hooks import AttemptDetails, ResponseDetails, RetryDetails

pytestmark = pytest.mark.anyio

UNTIL = datetime(2099, 1, 1, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32
AT_ONCE = RetryPolicy(base=0)

Call: TypeAlias = "Callable[[WherebyClient], Awaitable[object]]"

CREATES: dict[str, Call] = {
    "meetings.create": lambda c: c.meetings.create(end_date=UNTIL),
    "transcriptions.create": lambda c: c.transcriptions.create("1"),
    "summaries.create": lambda c: c.summaries.create("1"),
}
REPEATABLE: dict[str, Call] = {
    "meetings.get": lambda c: c.meetings.get("1"),
    "insights.rooms": lambda c: c.insights.rooms().collect(),
    "meetings.delete": lambda c: c.meetings.delete("1"),
    "rooms.set_theme_tokens": lambda c: c.rooms.set_theme_tokens("/demo", primary="#000000"),
    "rooms.set_logo": lambda c: c.rooms.set_logo("/demo", PNG),
    "recordings.bulk_delete": lambda c: c.recordings.bulk_delete(["1"]),
    "transcriptions.bulk_delete": lambda c: c.transcriptions.bulk_delete(["1"]),
}
EVERY = CREATES | REPEATABLE

ANSWERS = {
    "meetings.create": (201, b'{"meetingId": "1"}'),
    "meetings.get": (200, b'{"meetingId": "1"}'),
    "transcriptions.create": (201, b'{"transcriptionId": "1"}'),
    "summaries.create": (201, b'{"summaryId": "1"}'),
    "insights.rooms": (200, b'{"results": [], "cursor": null}'),
}

PERHAPS_DONE = {
    "status 500": Fault(status=500, act=True),
    "status 503": Fault(status=503),
    "dropped before": Fault(drop="before"),
    "dropped after": Fault(drop="after"),
    "cut off": Fault(truncate=3, body=b'{"results": [], "cursor": null}', act=True),
    "no http": Fault(raw=b"garbage\r\n\r\n", act=True),
}
"""What may happen after a request has left."""


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server with points for everything."""
    async with FakeWhereby(limit=1_000_000) as server:
        yield server


@pytest.fixture
def limiter() -> RecordingLimiter:
    """A limiter that grants at once and writes down what it granted."""
    return RecordingLimiter()


@pytest.fixture
async def whereby(fake: FakeWhereby, limiter: RecordingLimiter) -> AsyncIterator[WherebyClient]:
    """A client that does not wait between attempts."""
    async with fake.client(limiter=limiter, retry=AT_ONCE) as client:
        yield client


def answer(fake: FakeWhereby, operation: str) -> None:
    """Have the server answer the operation well, whatever its world holds."""
    status, body = ANSWERS.get(operation, (204, b""))
    fake.faults.add(Fault(operation=operation, status=status, body=body, times=None, act=True))


def statuses(fake: FakeWhereby) -> list[int]:
    """What became of each request; 0 for one without an answer."""
    return [request.status for request in fake.requests]


# What is sent again, and what is not


@pytest.mark.parametrize("fault", PERHAPS_DONE.values(), ids=PERHAPS_DONE)
@pytest.mark.parametrize("operation", CREATES)
async def test_a_create_is_never_sent_twice_once_it_has_left(
    operation: str, fault: Fault, fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """A 5xx, a drop or half an answer ends a create at once, and it says that it may have happened."""
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
    """The server acts once, by its own count."""
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


async def test_429s_between_failures_leave_the_attempts_as_they_are(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Three attempts are three failures, however many 429s lie between."""
    for _ in range(3):
        fake.faults.add(Fault(status=429, times=2), Fault(status=503))
    with pytest.raises(InternalServerError):
        await whereby.with_options(retry=RetryPolicy(attempts=3, base=0)).meetings.list()
    assert statuses(fake) == [429, 429, 503] * 3


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_attempts_bound_a_call(attempts: int, fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The last error is the one that is raised."""
    fake.faults.add(*[Fault(status=500)] * (attempts - 1), Fault(status=502, times=None))
    with pytest.raises(InternalServerError) as caught:
        await whereby.with_options(retry=RetryPolicy(attempts=attempts, base=0)).meetings.list()
    assert statuses(fake) == [500] * (attempts - 1) + [502]
    assert caught.value.status == 502


@pytest.mark.parametrize("status", [300, 302, 400, 401, 403, 404, 409, 418, 422])
async def test_other_answers_are_final(status: int, fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Nothing but connection errors, 5xx and 429 is sent again."""
    fake.faults.add(Fault(status=status, times=None))
    with pytest.raises(APIStatusError) as caught:
        await whereby.meetings.list()
    assert caught.value.status == status
    assert len(fake.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_and_takes_no_key_along(
    status: int, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """Redirects are not followed, not even on the same host."""
    fake.faults.add(Fault(status=status, redirect=f"{fake.url}/meetings"))
    with pytest.raises(APIStatusError, match="Redirects are not followed") as caught:
        await whereby.meetings.get("1")
    assert caught.value.status == status
    assert caught.value.may_have_happened is True
    assert len(fake.requests) == 1


async def test_a_connection_that_was_never_made_is_tried_again_for_a_create(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """Refused connections did nothing: the points go back, and every call may go again."""
    await fake.aclose()
    with pytest.raises(APIConnectionError, match="nothing was sent") as caught:
        await whereby.meetings.create(end_date=UNTIL)
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
    async with fake.client(limiter=limiter, retry=RetryPolicy(base=0.05), hooks=[Gone()]) as whereby:
        with pytest.raises(APIConnectionError, match="nothing was sent") as caught:
            await whereby.meetings.delete("1")
    await asyncio.gather(*closing)
    assert caught.value.may_have_happened is True
    assert limiter.ends[0] == ["lost"]
    assert limiter.ends[-1] == ["release"]


async def test_retry_after_of_a_503_is_waited_for(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The next attempt goes no earlier than the server said."""
    fake.faults.add(Fault(status=503, headers={"Retry-After": "0.3"}))
    await whereby.meetings.list()
    first, second = fake.requests
    assert second.at - first.at >= 0.3


async def test_retry_after_of_an_hour_ends_the_call(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """What nobody would wait for is an error at once."""
    fake.faults.add(Fault(status=503, headers={"Retry-After": "3600"}))
    with pytest.raises(InternalServerError) as caught:
        await whereby.meetings.list()
    assert caught.value.rate_limit is not None
    assert caught.value.rate_limit.retry_after == 3600
    assert len(fake.requests) == 1


async def test_a_broken_server_is_not_hammered(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """All retries of a client together are bounded: 200 calls bring 100 more requests, not 600; a view shares the bound."""
    fake.faults.add(Fault(status=500, times=None))
    view = whereby.with_options(timeout=5)
    for _ in range(100):
        for client in (whereby, view):
            with pytest.raises(InternalServerError):
                await client.meetings.list()
    assert len(fake.requests) == 300


async def test_success_gives_retries_back(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """After an outage, calls that succeed earn the right to retry again."""
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


# Waiting for points


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


# Permits: each ends exactly once


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
    """A request that left without an answer keeps its points spent."""
    fake.faults.add(fault)
    await whereby.meetings.list()
    assert limiter.ends == [["lost"], ["settle"]]


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


# Lanes and options


async def test_lanes_take_precedence_in_the_documented_order(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """`with_options` > `use_priority` > client > `NORMAL`; `with_options(priority=None)` gives its own up again."""
    async with fake.client(limiter=limiter) as plain, fake.client(limiter=limiter, priority=Priority.BATCH) as batch:
        pinned = batch.with_options(priority=Priority.INTERACTIVE)
        await plain.meetings.list()
        await batch.meetings.list()
        with use_priority(Priority.NORMAL):
            await batch.meetings.list()
            await pinned.meetings.list()
            await pinned.with_options(priority=None).meetings.list()
            with use_priority(Priority.INTERACTIVE):
                await plain.meetings.list()
            await plain.meetings.list()
        await pinned.with_options(priority=None).meetings.list()
        await pinned.with_options(timeout=5).meetings.list()
    assert [permit.priority.name for permit in limiter.permits] == [
        "NORMAL", "BATCH", "NORMAL", "INTERACTIVE", "NORMAL", "INTERACTIVE", "NORMAL", "BATCH", "INTERACTIVE",
    ]  # fmt: skip


async def test_a_lane_follows_its_task(whereby: WherebyClient, limiter: RecordingLimiter) -> None:
    """Tasks started inside have the lane, those beside do not, and it ends with its block, also by an error."""

    async def call() -> None:
        await whereby.meetings.list()

    async with asyncio.TaskGroup() as tasks:
        with use_priority(Priority.BATCH):
            tasks.create_task(call())
        tasks.create_task(call())
    with pytest.raises(KeyError), use_priority(Priority.BATCH):
        raise KeyError
    await call()
    assert sorted(permit.priority.name for permit in limiter.permits) == ["BATCH", "NORMAL", "NORMAL"]


async def test_a_call_keeps_its_lane_over_its_attempts(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """A retry waits where the first attempt waited."""
    fake.faults.add(Fault(status=429), Fault(status=503))
    with use_priority(Priority.INTERACTIVE):
        await whereby.meetings.list()
    assert {permit.priority for permit in limiter.permits} == {Priority.INTERACTIVE}


async def test_a_view_replaces_what_it_is_given_and_shares_the_rest(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """Another key goes out with the view's calls only; another limiter pays for them; connections are shared."""
    other = RecordingLimiter()
    fake.also_accept("rotated")
    rotated = whereby.with_options(api_key="rotated")
    async with asyncio.TaskGroup() as tasks:
        for client in (whereby, rotated, whereby.with_options(limiter=other)):
            tasks.create_task(client.meetings.list().collect())
    assert len(limiter.permits) == 2
    assert len(other.permits) == 1
    fake.api_key = "rotated"
    await rotated.meetings.list()
    with pytest.raises(APIStatusError, match="401"):
        await whereby.meetings.list()


# Hooks


class Listener:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[AttemptDetails | RetryDetails | ResponseDetails] = []

    def on_attempt(self, details: AttemptDetails) -> None:
        self.told.append(details)

    def on_retry(self, details: RetryDetails) -> None:
        self.told.append(details)

    def on_response(self, details: ResponseDetails) -> None:
        self.told.append(details)


async def test_hooks_are_told_of_attempts_retries_and_answers(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """In order, with attempt numbers, prices, reasons and sizes."""
    listener = Listener()
    fake.faults.add(Fault(status=429), Fault(drop="after"), Fault(status=503, body=b"12345"))
    async with fake.client(limiter=limiter, retry=AT_ONCE, hooks=[listener]) as whereby:
        await whereby.meetings.list()
    told = [(type(each).__name__.removesuffix("Details"), each.attempt) for each in listener.told]
    assert told == [
        ("Attempt", 1), ("Response", 1), ("Retry", 1),
        ("Attempt", 2), ("Retry", 2),
        ("Attempt", 3), ("Response", 3), ("Retry", 3),
        ("Attempt", 4), ("Response", 4),
    ]  # fmt: skip
    by_kind: dict[str, list[Any]] = {}
    for each in listener.told:
        by_kind.setdefault(type(each).__name__, []).append(each)
        assert each.operation == "meetings.list"
    assert [each.reason for each in by_kind["RetryDetails"]] == ["throttled", "connection", "status 503"]
    assert [each.status for each in by_kind["ResponseDetails"]] == [429, 503, 200]
    assert by_kind["ResponseDetails"][1].size == 5
    assert by_kind["ResponseDetails"][2].rate_limit.remaining == 999_996
    assert all(each.elapsed > 0 for each in by_kind["ResponseDetails"])
    attempt = by_kind["AttemptDetails"][0]
    assert (attempt.method, attempt.cost, attempt.priority) == ("GET", 1, "NORMAL")
    assert attempt.waited >= 0
    with pytest.raises(AttributeError):
        attempt.cost = 5


async def test_the_last_failure_is_no_retry(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """`on_retry` is told only of attempts that another follows; a timeout is told as one."""
    listener = Listener()
    fake.faults.add(Fault(delay=60), Fault(status=500, times=None))
    policy = RetryPolicy(attempts=3, base=0)
    async with fake.client(limiter=limiter, retry=policy, hooks=[listener], timeout=0.2) as whereby:
        with pytest.raises(InternalServerError):
            await whereby.meetings.list()
    retries = [each for each in listener.told if type(each).__name__ == "RetryDetails"]
    assert [msgspec.structs.asdict(each)["reason"] for each in retries] == ["timeout", "status 500"]


async def test_a_hook_that_raises_breaks_nothing(
    fake: FakeWhereby, limiter: RecordingLimiter, caplog: pytest.LogCaptureFixture
) -> None:
    """The call goes on, the other hooks are told, and the log says it once for each method."""

    class Broken:
        def on_attempt(self, details: AttemptDetails) -> None:
            raise KeyError(details.operation)

        def on_retry(self, details: RetryDetails) -> None:
            raise KeyError(details.operation)

        def on_response(self, details: ResponseDetails) -> None:
            raise KeyError(details.operation)

    listener = Listener()
    fake.faults.add(Fault(status=503, times=2))
    with caplog.at_level(logging.ERROR, logger="whereby_async"):
        async with fake.client(limiter=limiter, retry=AT_ONCE, hooks=[Broken(), listener]) as whereby:
            await whereby.meetings.list()
            await whereby.meetings.list()
    assert limiter.ends == [["settle"]] * 4
    assert len(listener.told) == 10
    said = [record.getMessage() for record in caplog.records]
    assert [words.partition(" ")[0] for words in said] == ["Broken.on_attempt", "Broken.on_response", "Broken.on_retry"]


async def test_limiter_hooks_are_subscribed_once_and_taken_back(fake: FakeWhereby) -> None:
    """However many views there are: each limiter tells a hook once, and no limiter keeps it after the client is closed."""

    class Waits:
        def on_wait(self, details: object) -> None:
            """Told by the limiter."""

    waits, listener, one, two = Waits(), Listener(), RecordingLimiter(), RecordingLimiter()
    async with fake.client(limiter=one, hooks=[waits, listener]) as whereby:
        for _ in range(3):
            whereby.with_options(timeout=5)
            whereby.with_options(limiter=two)
        assert one.hooks == two.hooks == [waits]
    assert one.hooks == two.hooks == []


async def test_a_limiter_of_ones_own_need_not_take_hooks_back(fake: FakeWhereby) -> None:
    """A limiter without `unsubscribe` is closed over without a word."""

    class Plain(RecordingLimiter):
        unsubscribe = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - it has none

    class Throttled:
        def on_throttle(self, details: object) -> None:
            """Told by the limiter."""

    limiter = Plain()
    async with fake.client(limiter=limiter, hooks=[Throttled()]) as whereby:
        await whereby.meetings.list()
    assert len(limiter.hooks) == 1


async def test_the_log_tells_operations_and_no_addresses(
    fake: FakeWhereby, whereby: WherebyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A retry is one DEBUG line of the one logger: operation, attempt, reason, delay."""
    fake.faults.add(Fault(status=503))
    with caplog.at_level(logging.DEBUG, logger="whereby_async"):
        await whereby.meetings.list(extra={"planted": "planted-value"})
    (record,) = [record for record in caplog.records if record.name == "whereby_async"]
    assert record.getMessage() == "meetings.list: attempt 1 failed (status 503); again in 0.000 s"
    assert "planted" not in caplog.text


# Raw answers


async def test_captured_responses_are_raw(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Status, headers and body of every answer, those of failed attempts among them, oldest first."""
    fake.faults.add(Fault(status=503, body=b"one"), Fault(drop="after"), Fault(body=b'{"results": [], "new": 1}'))
    with capture_responses() as answers:
        await whereby.meetings.list()
        with pytest.raises(NotFoundError):
            await whereby.meetings.get("1")
    await whereby.meetings.list()
    assert [(each.status, each.body) for each in answers[:2]] == [(503, b"one"), (200, b'{"results": [], "new": 1}')]
    assert [each.status for each in answers] == [503, 200, 404]
    assert answers[1].headers["x-ratelimit-LIMIT"] == "1000000"
    assert repr(answers[0]) == "Answer(status=503, body=<3 bytes>)"


async def test_captures_follow_their_task_and_do_not_add_up(whereby: WherebyClient) -> None:
    """An inner capture has its own list; what runs beside is not seen; what was started inside is."""

    async def call() -> None:
        await whereby.meetings.list()

    async with asyncio.TaskGroup() as tasks:
        with capture_responses() as outer:
            await call()
            with capture_responses() as inner:
                await asyncio.create_task(call())
        tasks.create_task(call())
    assert (len(outer), len(inner)) == (1, 1)


async def test_an_answer_that_does_not_decode_is_captured(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Nothing the server sent is out of reach."""
    fake.faults.add(Fault(body=b"no json"))
    with capture_responses() as answers, pytest.raises(ResponseDecodeError):
        await whereby.meetings.get("1")
    assert [each.body for each in answers] == [b"no json"]


# The way around the typed methods


async def test_request_reaches_any_path(fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter) -> None:
    """Method, path and query go out as given, the answer comes back as JSON has it, under the same limiter."""
    fake.add_meeting(room_name="/demo")
    found = await whereby.request(
        "get", "meetings", params={"limit": 1, "fields": ["dialIn"], "left": None, "b": False}
    )
    assert found["results"][0]["roomName"] == "/demo"
    assert fake.requests[0].target == "/v1/meetings?limit=1&fields=dialIn&b=false"
    (permit,) = limiter.permits
    assert (permit.operation, permit.cost, permit.ends) == ("GET /meetings", 1, ["settle"])


async def test_request_decodes_to_a_type(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """`type=` gives one of our results, or any other that msgspec knows; an empty body is `None`."""
    known = fake.add_meeting()
    meeting = await whereby.request("GET", f"/meetings/{known['meetingId']}", type=Meeting)
    assert meeting.meeting_id == known["meetingId"]
    assert await whereby.request("DELETE", f"/meetings/{known['meetingId']}") is None
    fake.faults.add(Fault(body=b'{"a": 1}'))
    with pytest.raises(ResponseDecodeError, match=r"^things: the answer is not"):
        await whereby.request("GET", "/meetings", operation="things", type=list[int])


async def test_request_sends_json(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A dictionary goes out in wire spelling, dates and `None` as in the typed methods."""
    made = await whereby.request("POST", "/meetings", json={"endDate": UNTIL, "fields": None})
    assert fake.requests[0].json == {"endDate": "2099-01-01T00:00:00.000Z", "fields": None}
    assert made["meetingId"] in fake.meetings


async def test_request_sends_files(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """Bytes are named after their field, a path lends its last part and its type."""
    path = tmp_path / "logo.png"
    path.write_bytes(PNG)
    await whereby.request("PUT", "/rooms/demo/theme/logo", files={"image": path, "other": b"bytes"})
    parts = [(part.field, part.filename, part.content_type, part.content) for part in fake.requests[0].files]
    assert parts == [
        ("image", "logo.png", "image/png", PNG),
        ("other", "other", "application/octet-stream", b"bytes"),
    ]
    assert fake.theme("/demo").logo == PNG


async def test_request_keeps_an_encoded_slash(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A room's name with its slash encoded, should the API ever want it so."""
    await whereby.request("PUT", "/rooms/%2Fdemo/theme/tokens", json={"tokensPreset": "default"})
    assert fake.requests[0].target == "/v1/rooms/%2Fdemo/theme/tokens"
    assert fake.requests[0].operation == "rooms.set_theme_tokens"


@pytest.mark.parametrize(
    ("method", "cost"), [("GET", 1), ("HEAD", 1), ("DELETE", 2), ("PUT", 3), ("POST", 3), ("PATCH", 3)]
)
async def test_request_has_a_price(
    method: str, cost: int, fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """By its method, or as said; the name for prices and errors too."""
    with pytest.raises(NotFoundError):
        await whereby.request(method, "/things/1")
    with pytest.raises(NotFoundError, match=r"^things\.do: 404"):
        await whereby.request(method, "/things/1", cost=7, operation="things.do")
    assert [(permit.operation, permit.cost) for permit in limiter.permits] == [
        (f"{method} /things/1", cost),
        ("things.do", 7),
    ]


@pytest.mark.parametrize(
    ("method", "idempotent", "requests"),
    [("GET", None, 2), ("PUT", None, 2), ("DELETE", None, 2), ("POST", None, 1), ("POST", True, 2), ("PUT", False, 1)],
)
async def test_request_is_sent_again_if_it_may_be(
    method: str, idempotent: bool | None, requests: int, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """By its method, or as said with `idempotent=`."""
    path = {"GET": "/meetings", "POST": "/meetings", "DELETE": "/meetings/1", "PUT": "/rooms/x/theme/tokens"}[method]
    fake.faults.add(Fault(status=503), Fault(status=200, body=b"{}"))
    call = whereby.request(method, path, idempotent=idempotent)
    if requests == 1:
        with pytest.raises(InternalServerError):
            await call
    else:
        assert await call == {}
    assert len(fake.requests) == requests


@pytest.mark.parametrize(
    ("method", "path", "options", "error", "words"),
    [
        ("FETCH", "/meetings", {}, ValueError, "method='FETCH': pass one of DELETE, GET"),
        ("GET\r\nX: y", "/meetings", {}, ValueError, "pass one of"),
        ("GET", "", {}, ValueError, "path=''"),
        ("GET", "/", {}, ValueError, "path='/'"),
        ("GET", "//evil.example/meetings", {}, ValueError, "must be a path below the API's root"),
        ("GET", "https://evil.example/meetings", {}, ValueError, "must be a path below the API's root"),
        ("GET", "/meetings/../rooms", {}, ValueError, "without '.', '..' or a host"),
        ("GET", "/meetings/%2e%2e/rooms", {}, ValueError, "without '.', '..' or a host"),
        ("GET", "/meetings/%2E%2e%2Frooms", {}, ValueError, "without '.', '..' or a host"),
        ("GET", "/meetings?limit=1", {}, ValueError, "pass query values as params="),
        ("GET", "/meetings#x", {}, ValueError, "pass query values as params="),
        ("GET", "/meet\r\nings", {}, ValueError, "a character that no path has"),
        ("GET", 5, {}, TypeError, "path must be a string, not int"),
        ("POST", "/meetings", {"json": {}, "files": {"a": b""}}, ValueError, "either json= or files="),
        ("POST", "/meetings", {"json": {"a": object()}}, TypeError, "a is of type object"),
        ("POST", "/meetings", {"files": {"": b""}}, ValueError, "files has a field named ''"),
        ("POST", "/meetings", {"files": {'a"b': b""}}, ValueError, "pass a plain name"),
        ("POST", "/meetings", {"files": {"a": 5}}, TypeError, "a must be bytes, a path or a binary file"),
        ("GET", "/meetings", {"cost": 0}, ValueError, "cost=0"),
        ("GET", "/meetings", {"cost": 1.5}, ValueError, "cost=1.5"),
        ("GET", "/meetings", {"params": {"a": b""}}, TypeError, "a=b''"),
    ],
)
async def test_request_refuses_what_cannot_be_sent(  # noqa: PLR0917 - a row and three fixtures
    method: str, path: Any, options: dict[str, Any], error: type[Exception], words: str, fake: FakeWhereby,
    whereby: WherebyClient, limiter: RecordingLimiter,
) -> None:  # fmt: skip
    """Before a point is asked for, naming the value and the way out."""
    with pytest.raises(error) as caught:
        await whereby.request(method, path, **options)
    assert words in str(caught.value)
    assert fake.requests == []
    assert limiter.permits == []
