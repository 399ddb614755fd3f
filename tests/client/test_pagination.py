"""Walking, awaiting and collecting the pages of a list, and reading ahead inside of `async with`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from support.wire_server import WireServer

from whereby_async import NotFoundError, Page, Paginator, Priority, ResponseDecodeError, WherebyClient, use_priority
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from support.recording_limiter import RecordingLimiter

    from whereby_async.models import Recording

pytestmark = pytest.mark.anyio


@pytest.fixture
def fake(fake: FakeWhereby) -> FakeWhereby:
    for _ in range(25):
        fake.add_recording(room_name="/demo")
    return fake


def ids_of(recordings: list[Recording]) -> list[str]:
    return [recording.recording_id for recording in recordings]


def limits(fake: FakeWhereby) -> list[int]:
    return [int(dict(request.query)["limit"]) for request in fake.requests]


def listings(fake: FakeWhereby) -> int:
    return len([request for request in fake.requests if request.operation == "recordings.list"])


def answer(ids: list[str], cursor: str | None) -> bytes:
    return json.dumps({"results": [{"recordingId": each} for each in ids], "cursor": cursor}).encode()


def readers() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if "_read_ahead" in task.get_name()]


async def read_in_block(paginator: Paginator[Recording], found: list[str]) -> None:
    """Read all of it in a block, and keep the ids also if it fails."""
    async with paginator as items:
        async for each in items:
            found.append(each.recording_id)  # noqa: PERF401 - what came before an error is the point


async def requests_arrive(fake: FakeWhereby, count: int) -> None:
    async with asyncio.timeout(5):
        while len(fake.requests) < count:
            await asyncio.sleep(0)


async def round_trips(whereby: WherebyClient, count: int = 3) -> None:
    """Let some calls go back and forth, long enough for whatever else is under way to show."""
    for _ in range(count):
        await whereby.insights.participant("1", "2")


async def test_nothing_is_sent_until_it_is_read(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Making a paginator costs nothing; its repr tells what it lists."""
    paginator = whereby.recordings.list(page_size=7)
    assert repr(paginator) == "<Paginator recordings.list page_size=7>"
    assert isinstance(paginator, Paginator)
    await round_trips(whereby, 1)
    assert [request.operation for request in fake.requests] == ["insights.participant"]


@pytest.mark.parametrize("page_size", [1, 7, 24, 25, 26, 100])
async def test_iterating_walks_all_pages(page_size: int, fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Every item comes once and in order, whatever the page size; `limit` is always sent."""
    found = [each.recording_id async for each in whereby.recordings.list(page_size=page_size)]
    assert found == list(fake.recordings)
    assert set(limits(fake)) == {page_size}
    assert len(fake.requests) == -(-25 // page_size)


async def test_pages_carry_the_cursor_to_go_on_from(fake: FakeWhereby, whereby: WherebyClient) -> None:
    pages = [page async for page in whereby.recordings.list(page_size=10).pages()]
    assert [type(page) for page in pages] == [Page] * 3
    assert [len(page) for page in pages] == [10, 10, 5]
    assert pages[-1].cursor is None
    rest = await whereby.recordings.list(page_size=10, cursor=pages[0].cursor).collect()
    assert ids_of(rest) == list(fake.recordings)[10:]


async def test_awaiting_gives_the_first_page_and_iterating_reuses_it(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """`await paginator` is one call; whatever walks the same object next begins with the page that is there."""
    paginator = whereby.recordings.list(page_size=10)
    first = await paginator
    assert first is await paginator
    assert len(fake.requests) == 1
    assert [each.recording_id async for each in paginator] == list(fake.recordings)
    assert limits(fake) == [10, 10, 10]
    first = await paginator
    assert await anext(paginator.pages()) is first
    await paginator
    assert ids_of(await paginator.collect(max_items=15)) == list(fake.recordings)[:15]
    assert limits(fake) == [10, 10, 10, 10, 10, 5]


async def test_iterating_again_starts_again(fake: FakeWhereby, whereby: WherebyClient) -> None:
    paginator = whereby.recordings.list()
    assert len([each async for each in paginator]) == 25
    fake.add_recording(room_name="/demo")
    assert len([each async for each in paginator]) == 26
    assert len(fake.requests) == 2


async def test_two_iterations_side_by_side_do_not_disturb_each_other(fake: FakeWhereby, whereby: WherebyClient) -> None:
    paginator = whereby.recordings.list(page_size=10)
    one, two = aiter(paginator), aiter(paginator)
    found = [((await anext(one)).recording_id, (await anext(two)).recording_id) for _ in range(25)]
    assert found == [(each, each) for each in fake.recordings]


async def test_a_break_outside_of_a_block_wastes_nothing(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Without `async with` nothing is read ahead, whatever `prefetch` says."""
    async for _ in whereby.recordings.list(page_size=5, prefetch=3):
        break
    await round_trips(whereby)
    assert listings(fake) == 1
    assert readers() == []


@pytest.mark.parametrize(
    ("max_items", "asked"),
    [(None, [10, 10, 10]), (25, [10, 10, 5]), (1000, [10, 10, 10]), (12, [10, 2]), (10, [10]), (3, [3]), (0, [])],
)
async def test_collect_shrinks_its_last_page(
    max_items: int | None, asked: list[int], fake: FakeWhereby, whereby: WherebyClient
) -> None:
    found = await whereby.recordings.list(page_size=10).collect(max_items=max_items)
    assert ids_of(found) == list(fake.recordings)[:max_items]
    assert limits(fake) == asked


async def test_collect_cuts_what_a_server_gives_too_much(fake: FakeWhereby, whereby: WherebyClient) -> None:
    fake.faults.add(Fault(body=answer(["1", "2", "3"], "next")))
    assert ids_of(await whereby.recordings.list().collect(max_items=2)) == ["1", "2"]
    assert len(fake.requests) == 1


async def test_collect_refuses_a_negative_number(fake: FakeWhereby, whereby: WherebyClient) -> None:
    with pytest.raises(ValueError, match=r"max_items=-1: pass a whole number from 0, or None"):
        await whereby.recordings.list().collect(max_items=-1)
    assert fake.requests == []


@pytest.mark.parametrize("prefetch", [0, 2])
async def test_an_empty_page_with_a_cursor_is_not_the_end(
    prefetch: int, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    fake.faults.add(
        Fault(body=answer([], "a")),
        Fault(body=answer(["1"], "b")),
        Fault(body=answer([], "c")),
        Fault(body=answer([], "")),
    )
    async with whereby.recordings.list(prefetch=prefetch) as items:
        assert [each.recording_id async for each in items] == ["1"]
    assert [dict(request.query).get("cursor") for request in fake.requests] == [None, "a", "b", "c"]


@pytest.mark.parametrize("prefetch", [0, 1, 3])
async def test_a_cursor_that_repeats_raises(prefetch: int, fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The items of the page that repeats it still come; then an error, and no endless loop."""
    fake.faults.add(*(Fault(body=answer([str(i)], cursor)) for i, cursor in enumerate(["a", "b", "a"])))
    found: list[str] = []
    with pytest.raises(ResponseDecodeError, match=r"recordings\.list: the server gave the cursor 'a' twice") as caught:
        await read_in_block(whereby.recordings.list(prefetch=prefetch), found)
    assert found == ["0", "1", "2"]
    assert caught.value.path == "$.cursor"
    assert len(fake.requests) == 3


async def test_the_cursor_that_one_starts_with_counts_as_seen(fake: FakeWhereby, whereby: WherebyClient) -> None:
    fake.faults.add(Fault(times=None, body=answer(["1"], "a")))
    with pytest.raises(ResponseDecodeError, match="twice"):
        await whereby.recordings.list(cursor="a").collect()
    assert len(fake.requests) == 1


async def test_a_failed_page_can_be_asked_for_again(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """After an error the iterator stands where it stood: nothing is skipped, nothing is repeated."""
    fake.faults.add(Fault(skip=1, status=404))
    pages = whereby.recordings.list(page_size=10).pages()
    found = ids_of((await anext(pages)).results)
    with pytest.raises(NotFoundError):
        await anext(pages)
    async for page in pages:
        found += ids_of(page.results)
    assert found == list(fake.recordings)


async def test_an_iterator_that_is_done_stays_done(fake: FakeWhereby, whereby: WherebyClient) -> None:
    iterator = aiter(whereby.recordings.list())
    assert len([each async for each in iterator]) == 25
    assert await anext(iterator, None) is None
    assert len(fake.requests) == 1


async def test_the_priority_is_that_of_its_making(whereby: WherebyClient, limiter: RecordingLimiter) -> None:
    with use_priority(Priority.BATCH):
        batch = whereby.recordings.list(page_size=10, prefetch=1)
    normal = whereby.recordings.list(page_size=10)
    await batch
    async with batch as items:
        assert len([each async for each in items]) == 25
    with use_priority(Priority.INTERACTIVE):
        await normal.collect()
    assert [permit.priority for permit in limiter.permits] == [Priority.BATCH] * 3 + [Priority.NORMAL] * 3


async def test_every_page_is_asked_for_with_all_that_the_list_was(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Filters and `extra` go along to the last page, with one `limit` and the server's cursor, letter for letter."""
    cursors = ["a&limit=1", "\u00fc/%2F+ \u200b", "=?#", None]
    fake.faults.add(*(Fault(body=answer([str(i)], cursor)) for i, cursor in enumerate(cursors)))
    found = await whereby.recordings.list(
        room_name="/d&d", extra={"some": "thing"}, cursor="begin", page_size=7
    ).collect()
    assert ids_of(found) == ["0", "1", "2", "3"]
    for request, cursor in zip(fake.requests, ["begin", *cursors], strict=False):
        assert sorted(request.query) == sorted(
            [("roomName", "/d&d"), ("some", "thing"), ("limit", "7"), ("cursor", cursor)]
        )
    assert len(fake.requests) == 4


async def test_a_smaller_first_page_keeps_the_cursor_it_begins_at(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Who wants three from a cursor on gets them from there, and the list can be read again from the same place."""
    begin = (await whereby.recordings.list(page_size=10)).cursor
    items = whereby.recordings.list(cursor=begin)
    for _ in range(2):
        assert ids_of(await items.collect(max_items=3)) == list(fake.recordings)[10:13]
    assert [sorted(request.query) for request in fake.requests[1:]] == [[("cursor", begin), ("limit", "3")]] * 2


async def test_a_cursor_that_no_url_can_carry_costs_nothing(fake: FakeWhereby) -> None:
    limiter = PointBudget()
    async with fake.client(limiter=limiter) as whereby:
        await whereby.recordings.list(page_size=1)
        before = limiter.snapshot()
        with pytest.raises(ValueError, match=r"cursor=.* holds half a surrogate pair"):
            await whereby.recordings.list(cursor="\ud800")
        assert limiter.snapshot().in_flight == 0
        assert limiter.snapshot().available == before.available
    assert len(fake.requests) == 1


async def test_priorities_of_one_client_are_kept_apart(whereby: WherebyClient, limiter: RecordingLimiter) -> None:
    view = whereby.with_options(priority=Priority.INTERACTIVE)
    priorities = [Priority.BATCH, Priority.INTERACTIVE, Priority.NORMAL] * 2
    lists: list[Paginator[Recording]] = []
    for priority in priorities:
        with use_priority(priority):
            lists += [whereby.recordings.list(), view.recordings.list()]
    with use_priority(Priority.BATCH):
        for each in lists:
            await each
    found = [permit.priority for permit in limiter.permits]
    assert found == [priority for each in priorities for priority in (each, Priority.INTERACTIVE)]


async def test_a_view_s_lists_go_with_the_view_s_key() -> None:
    async def script(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.next_request(reader)
            page = answer([], None)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))

    async with (
        WireServer(script) as server,
        WherebyClient("first-key", base_url=server.url, limiter=Unlimited()) as whereby,
    ):
        view = whereby.with_options(api_key="other-key")
        for each in (whereby, view, whereby, view):
            await each.recordings.list()
        assert [b"first-key" in request for request in server.requests] == [True, False, True, False]
        assert [b"other-key" in request for request in server.requests] == [False, True, False, True]


@pytest.mark.parametrize("prefetch", [1, 2, 3])
async def test_a_block_reads_that_many_pages_ahead(prefetch: int, fake: FakeWhereby, whereby: WherebyClient) -> None:
    async with whereby.recordings.list(page_size=2, prefetch=prefetch) as items:
        pages = items.pages()
        await anext(pages)
        await requests_arrive(fake, 1 + prefetch)
        await round_trips(whereby)
        assert listings(fake) == 1 + prefetch
        assert len([page async for page in pages]) == 12
    assert readers() == []


@pytest.mark.parametrize("prefetch", [0, 1, 2, 100])
async def test_a_block_gives_the_same_items(
    prefetch: int, fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    async with whereby.recordings.list(page_size=4, prefetch=prefetch) as items:
        assert [each.recording_id async for each in items] == list(fake.recordings)
    assert limiter.ends == [["settle"]] * 7


async def test_a_block_reuses_an_awaited_page(fake: FakeWhereby, whereby: WherebyClient) -> None:
    async with whereby.recordings.list(page_size=10, prefetch=2) as items:
        first = await items
        assert await anext(items.pages()) is first
    await round_trips(whereby)
    asked = [dict(request.query).get("cursor") for request in fake.requests if request.operation == "recordings.list"]
    assert asked.count(None) == 1


async def test_a_break_leaves_no_task_and_no_open_permit(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    """After the block the reader is gone, each permit has ended once, and at most `prefetch` pages were not used."""
    async with whereby.recordings.list(page_size=2, prefetch=2) as items:
        async for _ in items:
            break
    assert readers() == []
    assert all(len(ends) == 1 for ends in limiter.ends)
    await round_trips(whereby)
    assert listings(fake) <= 3


async def test_an_unused_block_sends_nothing(fake: FakeWhereby, whereby: WherebyClient) -> None:
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
    fake.faults.add(Fault(skip=1, status=404))
    async with whereby.recordings.list(page_size=10, prefetch=2) as items:
        async for _ in items:
            await requests_arrive(fake, 2)
            await round_trips(whereby)
            break
    assert readers() == []


async def test_the_block_s_own_error_comes_out_as_it_is(whereby: WherebyClient) -> None:
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

    second_page = asyncio.create_task(requests_arrive(fake, 2))

    async def run() -> None:
        async with asyncio.timeout(60) as deadline:
            second_page.add_done_callback(lambda _: deadline.reschedule(0))
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
    async with whereby.recordings.list(page_size=10, prefetch=1) as items:
        pages = items.pages()
        await anext(pages)
    with pytest.raises(RuntimeError, match="block that read these pages ahead has ended"):
        await anext(pages)


async def test_a_paginator_left_its_block_reads_on_its_own(fake: FakeWhereby, whereby: WherebyClient) -> None:
    async with whereby.recordings.list(page_size=10, prefetch=1) as items:
        pass
    async for _ in items:
        break
    await round_trips(whereby)
    assert listings(fake) == 1
