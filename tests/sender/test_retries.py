"""What is sent again, and what is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sender.calls import CREATES, EVERY, PERHAPS_DONE, REPEATABLE, UNTIL, Call, answer, statuses

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    WherebyClient,
)
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from support.recording_limiter import RecordingLimiter

    from whereby_async.hooks import RetryDetails


pytestmark = pytest.mark.anyio


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
