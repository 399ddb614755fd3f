"""Items in, outcomes out: order, bounds, errors, and leaving early."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from support.batches import UNTIL, created, creates, each_once, outcomes_of, sent, states, take

from whereby_async import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    NotFoundError,
    Page,
    Priority,
    WherebyError,
    use_priority,
)
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.recording_limiter import RecordingLimiter

    from whereby_async import WherebyClient
    from whereby_async.batch import Batch, Outcome
    from whereby_async.hooks import AttemptDetails
    from whereby_async.models import Meeting

pytestmark = pytest.mark.anyio


async def numbered(number: int) -> int:
    await anyio.lowlevel.checkpoint()
    return number


def numbers(count: int) -> Iterator[dict[str, int]]:
    return ({"number": number} for number in range(count))


async def test_input_that_fills_one_dictionary_again_and_again_is_read_right(whereby: WherebyClient) -> None:
    """Each item is what it was when it was read, although the generator goes on changing it."""

    def reused() -> Iterator[dict[str, int]]:
        item: dict[str, int] = {}
        for item["number"] in range(20):
            yield item

    outcomes = await outcomes_of(whereby.batch(numbered, reused(), concurrency=5))
    assert sorted((o.result, o.item["number"]) for o in outcomes) == [(number, number) for number in range(20)]


async def test_every_item_gets_its_own_outcome(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Outcomes carry index, key, item and the typed result, and each room is made once."""
    requests = creates(30)
    outcomes = await created(whereby, requests, concurrency=7)
    assert [(o.index, o.key, o.item, o.state, o.error, o.resumed, o.adopted) for o in outcomes] == [
        (number, str(number), requests[number], "ok", None, False, False) for number in range(30)
    ]
    assert all((o.result.room_name or "").startswith(f"/r{o.index}-") for o in outcomes)
    assert all(o.ok for o in outcomes)
    assert each_once(fake, 30)
    assert await created(whereby, []) == []


async def test_async_input_is_read_by_one_task(whereby: WherebyClient) -> None:
    """An async generator may hold a cancel scope over its yields, as only one task reads it."""
    readers: set[object] = set()

    async def items() -> AsyncIterator[dict[str, int]]:
        with anyio.fail_after(30):
            for number in range(20):
                readers.add(asyncio.current_task())
                yield {"number": number}
                await anyio.lowlevel.checkpoint()

    outcomes = await outcomes_of(whereby.batch(numbered, items(), concurrency=3))
    assert [o.result for o in outcomes] == list(range(20))
    assert len(readers) == 1


async def test_ordered_batch_runs_only_so_far_ahead(whereby: WherebyClient) -> None:
    """While the first item hangs, at most four times `concurrency` items are begun."""
    begun: list[int] = []
    go_on = anyio.Event()

    async def call(number: int) -> None:
        begun.append(number)
        if number == 0:
            await go_on.wait()

    async with whereby.batch(call, numbers(1000), concurrency=2, ordered=True) as outcomes:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: anext(outcomes))
            await anyio.wait_all_tasks_blocked()
            assert len(begun) == 8
            go_on.set()
        assert [outcome.index async for outcome in outcomes] == list(range(1, 1000))


async def test_no_more_calls_than_concurrency(whereby: WherebyClient) -> None:
    running = most = 0

    async def call(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.001)
        running -= 1

    assert len(await outcomes_of(whereby.batch(call, numbers(100), concurrency=6))) == 100
    assert most == 6


@pytest.mark.parametrize("ordered", [False, True])
async def test_items_do_not_pile_up_before_a_slow_consumer(whereby: WherebyClient, *, ordered: bool) -> None:

    class Number:
        """Part of a request, whose life can be watched."""

    alive: weakref.WeakSet[Number] = weakref.WeakSet()

    def items() -> Iterator[dict[str, Number]]:
        for _ in range(2000):
            number = Number()
            alive.add(number)
            yield {"number": number}

    async def call(number: Number) -> None:
        assert number in alive

    most = 0
    async with whereby.batch(call, items(), concurrency=4, ordered=ordered) as outcomes:
        async for outcome in outcomes:
            most = max(most, len(alive))
            if outcome.index % 500 == 0:
                await anyio.sleep(0.01)
            del outcome
    assert 4 <= most <= 40
    gc.collect()
    assert len(alive) == 0


async def test_one_failed_item_does_not_stop_the_others(whereby: WherebyClient) -> None:
    """Wrong keywords, wrong values, wrong items and errors of the API are the item's own, and name it."""
    requests: list[Any] = [{"meeting_id": "1"}, {"meetingId": "1"}, {"meeting_id": ""}, "1"]
    outcomes = await outcomes_of(whereby.batch(whereby.meetings.get, requests))
    assert [type(o.error) for o in outcomes] == [NotFoundError, TypeError, ValueError, TypeError]
    assert states(outcomes) == {"failed": 4}
    assert "item 1, key '1'" in str(getattr(outcomes[1].error, "__notes__", ""))
    with pytest.raises(NotFoundError):
        _ = outcomes[0].result
    assert repr(outcomes[0]) == "<Outcome 0 '0': failed, NotFoundError>"


async def test_stop_on_error_lets_what_is_under_way_come_out(whereby: WherebyClient) -> None:
    release = anyio.Event()

    async def call(number: int) -> int:
        if number == 2:
            release.set()
            raise KeyError(number)
        await release.wait()
        return number

    seen: list[Outcome[int]] = []
    with pytest.raises(KeyError):
        await take(whereby.batch(call, numbers(1000), concurrency=4, stop_on_error=True), seen)
    assert sorted(outcome.index for outcome in seen) == list(range(len(seen)))
    assert 3 <= len(seen) < 10


async def test_input_that_raises_is_told_after_what_was_begun(whereby: WherebyClient) -> None:
    def items() -> Iterator[dict[str, int]]:
        yield from numbers(5)
        raise OSError("the database is gone")

    seen: list[Outcome[int]] = []
    with pytest.raises(OSError, match="the database is gone"):
        await take(whereby.batch(numbered, items()), seen)
    assert sorted(outcome.index for outcome in seen) == [0, 1, 2, 3, 4]
    async with whereby.batch(numbered, items(), ordered=True) as outcomes:
        for number in range(5):
            assert (await anext(outcomes)).index == number
        with pytest.raises(OSError, match="database"):
            await anext(outcomes)
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)


@pytest.mark.parametrize("ordered", [False, True])
async def test_break_ends_what_is_under_way(whereby: WherebyClient, *, ordered: bool) -> None:
    """Leaving the block cancels the calls, closes the input, and leaves no task behind."""
    ended: list[int] = []
    closed: list[bool] = []

    async def call(number: int) -> int:
        try:
            await anyio.sleep(0 if number < 3 else 1000)
        finally:
            ended.append(number)
        return number

    async def items() -> AsyncIterator[dict[str, int]]:
        try:
            for number in range(1000):
                yield {"number": number}
        finally:
            closed.append(True)

    before = asyncio.all_tasks()
    async with whereby.batch(call, items(), concurrency=5, ordered=ordered) as outcomes:
        async for outcome in outcomes:
            if outcome.index == 1:
                break
    assert asyncio.all_tasks() == before
    assert sorted(ended) == list(range(len(ended)))
    assert closed == [True]
    with pytest.raises(RuntimeError, match="inside of"):
        await anext(outcomes)


async def test_error_in_the_block_goes_on_as_it_is(whereby: WherebyClient) -> None:
    """What the consumer raises, or a deadline over the block, ends everything in it and is not wrapped in a group."""

    async def hang(number: int) -> None:
        started.append(number)
        await anyio.sleep(1000)

    started: list[int] = []
    before = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is the point
        async with whereby.batch(numbered, numbers(1000)) as batch:
            async for _ in batch:
                _ = 1 / 0
    with pytest.raises(TimeoutError):  # noqa: PT012 - the block is the point
        async with asyncio.timeout(30) as deadline, whereby.batch(hang, numbers(1000), concurrency=9) as outcomes:
            await anyio.wait_all_tasks_blocked()
            deadline.reschedule(0)
            await anext(outcomes)
    with anyio.CancelScope() as scope:
        async with whereby.batch(hang, numbers(1000), concurrency=9) as outcomes:
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anext(outcomes)
    assert scope.cancelled_caught
    assert len(started) == 18
    assert asyncio.all_tasks() == before
    assert len(await outcomes_of(whereby.batch(numbered, numbers(100)))) == 100


async def test_call_that_is_cancelled_from_within_fails(whereby: WherebyClient) -> None:
    """A function that raises `CancelledError` of its own accord is a failed item, not a worker less."""

    async def call(number: int) -> None:
        if number % 2:
            raise asyncio.CancelledError

    outcomes = await outcomes_of(whereby.batch(call, numbers(40), concurrency=2))
    assert states(outcomes) == {"ok": 20, "failed": 20}
    assert isinstance(outcomes[1].error, WherebyError)


async def test_refused_key_stops_the_job(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A few 401s in a row end the job with that error instead of a thousand refused calls; single ones do not."""
    fake.faults.add(*(Fault(operation="meetings.create", status=401, skip=skip) for skip in (3, 6)))
    assert states(await created(whereby, 20)) == {"ok": 18, "failed": 2}
    fake.clear()
    fake.api_key = "another"
    seen: list[Outcome[Meeting]] = []
    batch = whereby.batch(whereby.meetings.create, creates(1000), concurrency=4)
    with pytest.raises(AuthenticationError):
        await take(batch, seen)
    assert batch.in_doubt == ()
    assert 5 <= len(seen) <= 16
    assert states(seen) == {"failed": len(seen)}
    assert len(fake.requests) == len(seen)


async def test_closing_the_client_ends_the_job(fake: FakeWhereby) -> None:
    """Calls of a closed client are not made one by one to fail: the iteration says it."""
    client = fake.client()
    requests = ({"meeting_id": "1"} for _ in range(1000))
    with pytest.raises(ClientClosedError):  # noqa: PT012 - the block is the point
        async with client.batch(client.meetings.get, requests, concurrency=2) as outcomes:
            async for _ in outcomes:
                await client.aclose()


async def test_calls_have_batch_priority_whatever_else_is_asked(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
    """Neither a view's priority nor `use_priority` lifts a batch's calls, those in one's own functions included."""
    heard: list[str] = []

    class Hook:
        def on_attempt(self, details: AttemptDetails) -> None:
            heard.append(details.priority)

    async with fake.client(limiter=limiter, priority=Priority.INTERACTIVE, hooks=[Hook()]) as client:
        view = client.with_options(priority=Priority.INTERACTIVE)

        async def own(number: int) -> None:
            await view.meetings.list(page_size=1 + number)

        with use_priority(Priority.INTERACTIVE):
            await outcomes_of(client.batch(view.meetings.create, creates(3)))
            await outcomes_of(client.batch(own, numbers(3)))
            await outcomes_of(client.batch(client.request, [{"method": "GET", "path": "/meetings"}]))
            assert {permit.priority for permit in limiter.permits} == {Priority.BATCH}
            assert len(limiter.permits) == 7
            assert heard == ["BATCH"] * 7
            await view.meetings.list()
    assert limiter.permits[-1].priority is Priority.INTERACTIVE
    assert all(permit.ends == ["settle"] for permit in limiter.permits)


async def test_list_methods_give_their_first_page(fake: FakeWhereby, whereby: WherebyClient) -> None:
    for number in range(5):
        fake.add_meeting(room_name=f"/r{number}")

    async def whole(page_size: int) -> list[Meeting]:
        return await whereby.meetings.list(page_size=page_size).collect()

    (first,) = await outcomes_of(whereby.batch(whereby.meetings.list, [{"page_size": 2}]))
    assert isinstance(first.result, Page)
    assert len(first.result.results) == 2
    (all_of_it,) = await outcomes_of(whereby.batch(whole, [{"page_size": 2}]))
    assert len(all_of_it.result) == 5


async def test_partial_gives_every_call_the_same_keywords(whereby: WherebyClient) -> None:
    make = functools.partial(whereby.meetings.create, end_date=UNTIL, room_name_prefix="same-", fields=["hostRoomUrl"])
    outcomes = await outcomes_of(whereby.batch(make, [{}, {"room_name_prefix": "other-"}]))
    assert [(o.result.room_name or "")[:6] for o in outcomes] == ["/same-", "/other"]
    assert all(o.result.host_room_url for o in outcomes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": True}, "concurrency=True"),
        ({"journal": 5}, "journal=5"),
        ({"key": 5}, "key=5"),
        ({"absent_after": -1}, "absent_after=-1"),
        ({"absent_after": "soon"}, "absent_after='soon'"),
        ({"progress_interval": 0}, "progress_interval=0"),
        ({"on_progress": 5}, "on_progress=5"),
        ({"on_progress": numbered}, "plain function"),
        ({"requests": {"end_date": UNTIL}}, "requests is dict"),
        ({"requests": 5}, "requests is int"),
        ({"method": 5}, "method=5"),
    ],
)
async def test_options_that_can_not_be_used_are_refused(
    whereby: WherebyClient, options: dict[str, Any], words: str
) -> None:
    given: dict[str, Any] = {"method": numbered, "requests": [], **options}
    with pytest.raises(ConfigurationError, match=words):
        whereby.batch(given.pop("method"), given.pop("requests"), **given)


async def test_methods_that_can_not_be_used_are_refused(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A call in place of a method is told apart, and another client's points are not spent unseen."""
    called: Any = whereby.meetings.get("1")
    with pytest.raises(ConfigurationError, match="without parentheses"):
        whereby.batch(called, [])
    async with fake.client() as other:
        with pytest.raises(ConfigurationError, match="another client"):
            whereby.batch(other.meetings.create, [])


async def test_batch_is_entered_once(whereby: WherebyClient) -> None:
    batch: Batch[int] = whereby.batch(numbered, numbers(3))
    assert repr(batch).startswith("<Batch of ")
    assert batch.in_doubt == ()
    with pytest.raises(RuntimeError, match="before it is entered"):
        _ = batch.progress
    with pytest.raises(RuntimeError, match="inside of"):
        await anext(batch)
    await outcomes_of(batch)
    with pytest.raises(RuntimeError, match="entered before"):
        await outcomes_of(batch)


async def test_deletes_are_repeated_after_a_lost_answer(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """What may be repeated is left to the client's retries."""
    ids = [fake.add_meeting()["meetingId"] for _ in range(10)]
    fake.faults.add(Fault(operation="meetings.delete", drop="after", times=3))
    outcomes = await outcomes_of(whereby.batch(whereby.meetings.delete, ({"meeting_id": i} for i in ids)))
    assert states(outcomes) == {"ok": 10}
    assert not fake.meetings
    assert sent(fake, "meetings.delete") == 13
