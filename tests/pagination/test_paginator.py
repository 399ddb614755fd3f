"""Walking, awaiting and collecting the pages of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pagination.reading import answer, ids_of, limits, read_in_block, readers, round_trips
from support.wire_server import WireServer

from whereby_async import NotFoundError, Page, Paginator, Priority, ResponseDecodeError, WherebyClient, use_priority
from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    import asyncio

    from support.recording_limiter import RecordingLimiter

    from whereby_async.models import Recording

pytestmark = pytest.mark.anyio


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
    """`.pages()` yields `Page`s; a cursor that was kept starts another listing where this one was."""
    pages = [page async for page in whereby.recordings.list(page_size=10).pages()]
    assert [type(page) for page in pages] == [Page] * 3
    assert [len(page) for page in pages] == [10, 10, 5]
    assert pages[-1].cursor is None
    rest = await whereby.recordings.list(page_size=10, cursor=pages[0].cursor).collect()
    assert ids_of(rest) == list(fake.recordings)[10:]


async def test_awaiting_gives_the_first_page_and_iterating_reuses_it(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """`await paginator` is one call; a later `async for` over the same object does not repeat it."""
    paginator = whereby.recordings.list(page_size=10)
    first = await paginator
    assert first is await paginator
    assert len(fake.requests) == 1
    assert [each.recording_id async for each in paginator] == list(fake.recordings)
    assert len(fake.requests) == 3


async def test_pages_and_collect_reuse_an_awaited_page_too(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Whatever walks the list begins with the page that is there."""
    paginator = whereby.recordings.list(page_size=10)
    first = await paginator
    assert await anext(paginator.pages()) is first
    await paginator
    assert ids_of(await paginator.collect(max_items=15)) == list(fake.recordings)[:15]
    assert limits(fake) == [10, 10, 5]


async def test_iterating_again_starts_again(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A second loop reads anew, and sees what has changed."""
    paginator = whereby.recordings.list()
    assert len([each async for each in paginator]) == 25
    fake.add_recording(room_name="/demo")
    assert len([each async for each in paginator]) == 26
    assert len(fake.requests) == 2


async def test_two_iterations_side_by_side_do_not_disturb_each_other(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Each iterator has its own place."""
    paginator = whereby.recordings.list(page_size=10)
    one, two = aiter(paginator), aiter(paginator)
    found = [((await anext(one)).recording_id, (await anext(two)).recording_id) for _ in range(25)]
    assert found == [(each, each) for each in fake.recordings]


async def test_a_break_outside_of_a_block_wastes_nothing(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Without `async with` nothing is read ahead, whatever `prefetch` says."""
    async for _ in whereby.recordings.list(page_size=5, prefetch=3):
        break
    await round_trips(whereby)
    assert len([request for request in fake.requests if request.operation == "recordings.list"]) == 1
    assert readers() == []


@pytest.mark.parametrize(
    ("max_items", "asked"),
    [(None, [10, 10, 10]), (25, [10, 10, 5]), (1000, [10, 10, 10]), (12, [10, 2]), (10, [10]), (3, [3]), (0, [])],
)
async def test_collect_shrinks_its_last_page(
    max_items: int | None, asked: list[int], fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """`collect(max_items=…)` asks for no row more than it needs, and for none at all if it needs none."""
    found = await whereby.recordings.list(page_size=10).collect(max_items=max_items)
    assert ids_of(found) == list(fake.recordings)[:max_items]
    assert limits(fake) == asked


async def test_collect_cuts_what_a_server_gives_too_much(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A page that is larger than asked for does not make the list longer."""
    fake.faults.add(Fault(body=answer(["1", "2", "3"], "next")))
    assert ids_of(await whereby.recordings.list().collect(max_items=2)) == ["1", "2"]
    assert len(fake.requests) == 1


async def test_collect_refuses_a_negative_number(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The error names the value and what to pass."""
    with pytest.raises(ValueError, match=r"max_items=-1: pass a whole number from 0, or None"):
        await whereby.recordings.list().collect(max_items=-1)
    assert fake.requests == []


@pytest.mark.parametrize("prefetch", [0, 2])
async def test_an_empty_page_with_a_cursor_is_not_the_end(
    prefetch: int, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """Only a missing, null or empty cursor ends a list."""
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
    """A server that gives back the cursor that it was asked for does not get anywhere."""
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
    """After its end it asks for nothing more."""
    iterator = aiter(whereby.recordings.list())
    assert len([each async for each in iterator]) == 25
    assert await anext(iterator, None) is None
    assert len(fake.requests) == 1


async def test_the_lane_is_that_of_its_making(whereby: WherebyClient, limiter: RecordingLimiter) -> None:
    """A paginator keeps the lane in which it was made, wherever it is read, also by its reader."""
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
    """Filters and `extra` go along to the last page, with one `limit` and one cursor: the server's, letter for letter."""
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
    """Half a surrogate pair is refused when the list is made, not when its points are taken."""
    limiter = PointBudget()
    async with fake.client(limiter=limiter) as whereby:
        await whereby.recordings.list(page_size=1)
        before = limiter.snapshot()
        with pytest.raises(ValueError, match=r"cursor=.* holds half a surrogate pair"):
            await whereby.recordings.list(cursor="\ud800")
        assert limiter.snapshot().in_flight == 0
        assert limiter.snapshot().available == before.available
    assert len(fake.requests) == 1


async def test_lanes_of_one_client_are_kept_apart(whereby: WherebyClient, limiter: RecordingLimiter) -> None:
    """Lists made one after another in different lanes, of a client and of a view, are each read in their own."""
    view = whereby.with_options(priority=Priority.INTERACTIVE)
    lanes = [Priority.BATCH, Priority.INTERACTIVE, Priority.NORMAL] * 2
    lists: list[Paginator[Recording]] = []
    for lane in lanes:
        with use_priority(lane):
            lists += [whereby.recordings.list(), view.recordings.list()]
    with use_priority(Priority.BATCH):
        for each in lists:
            await each
    found = [permit.priority for permit in limiter.permits]
    assert found == [lane for each in lanes for lane in (each, Priority.INTERACTIVE)]


async def test_a_view_s_lists_go_with_the_view_s_key() -> None:
    """Whichever of client and view made a list before."""

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
