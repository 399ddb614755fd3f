"""Reading ahead inside of `async with`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pagination.reading import read_in_block, readers, requests_arrive, round_trips

from whereby_async import NotFoundError
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from support.recording_limiter import RecordingLimiter

    from whereby_async import WherebyClient

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("prefetch", [1, 2, 3])
async def test_a_block_reads_that_many_pages_ahead(prefetch: int, fake: FakeWhereby, whereby: WherebyClient) -> None:
    """While a page is looked at, `prefetch` more are fetched, and not one more."""
    async with whereby.recordings.list(page_size=2, prefetch=prefetch) as items:
        pages = items.pages()
        await anext(pages)
        await requests_arrive(fake, 1 + prefetch)
        await round_trips(whereby)
        assert len([request for request in fake.requests if request.operation == "recordings.list"]) == 1 + prefetch
        assert len([page async for page in pages]) == 12
    assert readers() == []


@pytest.mark.parametrize("prefetch", [0, 1, 2, 100])
async def test_a_block_gives_the_same_items(
    prefetch: int, fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """Reading ahead changes nothing about what comes, nor about what is sent."""
    async with whereby.recordings.list(page_size=4, prefetch=prefetch) as items:
        assert [each.recording_id async for each in items] == list(fake.recordings)
    assert limiter.ends == [["settle"]] * 7


async def test_a_block_reuses_an_awaited_page(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The page that was awaited is the first that the reader hands over."""
    async with whereby.recordings.list(page_size=10, prefetch=2) as items:
        first = await items
        assert await anext(items.pages()) is first
    await round_trips(whereby)
    asked = [dict(request.query).get("cursor") for request in fake.requests if request.operation == "recordings.list"]
    assert asked.count(None) == 1


async def test_a_break_leaves_no_task_and_no_open_permit(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """After the block the reader is gone, each permit has ended once, and at most `prefetch` pages were not looked at."""
    async with whereby.recordings.list(page_size=2, prefetch=2) as items:
        async for _ in items:
            break
    assert readers() == []
    assert all(len(ends) == 1 for ends in limiter.ends)
    await round_trips(whereby)
    assert len([request for request in fake.requests if request.operation == "recordings.list"]) <= 3


async def test_an_unused_block_sends_nothing(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Entering alone reads nothing."""
    async with whereby.recordings.list(prefetch=3):
        pass
    assert fake.requests == []


async def test_several_loops_in_one_block(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A second loop in the same block starts again, with a reader of its own; both are gone afterwards."""
    async with whereby.recordings.list(page_size=10, prefetch=1) as items:
        async for _ in items:
            break
        assert [each.recording_id async for each in items] == list(fake.recordings)
    assert readers() == []


async def test_an_error_in_the_reader_surfaces_plain(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """What was read before comes first; then the error itself, in no group."""
    fake.faults.add(Fault(skip=2, status=404))
    found: list[str] = []
    with pytest.raises(NotFoundError):
        await read_in_block(whereby.recordings.list(page_size=10, prefetch=2), found)
    assert found == list(fake.recordings)[:20]
    assert readers() == []


async def test_an_error_that_nobody_came_to_see_is_let_go(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A reader that failed behind a `break` does not make the block fail."""
    fake.faults.add(Fault(skip=1, status=404))
    async with whereby.recordings.list(page_size=10, prefetch=2) as items:
        async for _ in items:
            await requests_arrive(fake, 2)
            await round_trips(whereby)
            break
    assert readers() == []


async def test_the_block_s_own_error_comes_out_as_it_is(whereby: WherebyClient) -> None:
    """An exception raised inside is not wrapped, and nothing is left over."""
    error = KeyError("mine")

    async def run() -> None:
        async with whereby.recordings.list(page_size=2, prefetch=2) as items:
            async for _ in items:
                raise error

    with pytest.raises(KeyError) as caught:
        await run()
    assert caught.value is error
    assert readers() == []


async def test_a_deadline_inside_of_a_block_is_a_timeout(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """`asyncio.timeout` around a block that waits for its reader ends it, and the task can go on."""
    fake.faults.add(Fault(skip=1, delay=60))

    async def run() -> None:
        async with asyncio.timeout(0.1):
            await read_in_block(whereby.recordings.list(page_size=10, prefetch=1), [])

    with pytest.raises(TimeoutError):
        await run()
    assert readers() == []
    assert limiter.ends == [["settle"], ["lost"]]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await round_trips(whereby, 1)


async def test_a_cancel_inside_of_a_block_is_a_cancel(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """A task that is cancelled while it waits for its reader ends cancelled, and leaves nothing."""
    fake.faults.add(Fault(delay=60))
    task = asyncio.create_task(read_in_block(whereby.recordings.list(prefetch=1), []))
    await requests_arrive(fake, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert readers() == []
    assert limiter.ends == [["lost"]]


async def test_a_block_cannot_be_entered_twice_at_once(whereby: WherebyClient) -> None:
    """The second entry is told to make another paginator; after the first it may be entered again."""
    paginator = whereby.recordings.list(prefetch=1)
    await paginator.__aexit__(None, None, None)  # never entered: nothing to leave
    async with paginator:
        with pytest.raises(RuntimeError, match="make another one"):
            await paginator.__aenter__()
    async with paginator as items:
        assert len([each async for each in items]) == 25


async def test_pages_of_a_block_that_has_ended_say_so(whereby: WherebyClient) -> None:
    """An iterator carried out of its block does not pretend that the list ends there."""
    async with whereby.recordings.list(page_size=10, prefetch=1) as items:
        pages = items.pages()
        await anext(pages)
    with pytest.raises(RuntimeError, match="block that read these pages ahead has ended"):
        await anext(pages)


async def test_a_paginator_left_its_block_reads_on_its_own(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Outside of the block the same object walks page by page again."""
    async with whereby.recordings.list(page_size=10, prefetch=1) as items:
        pass
    async for _ in items:
        break
    await round_trips(whereby)
    assert len([request for request in fake.requests if request.operation == "recordings.list"]) == 1
