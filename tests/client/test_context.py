"""Priorities and views, and the raw answers of a block."""

from __future__ import annotations

import asyncio

import pytest
from support.recording_limiter import RecordingLimiter

from whereby_async import (
    APIStatusError,
    NotFoundError,
    Priority,
    ResponseDecodeError,
    WherebyClient,
    capture_responses,
    use_priority,
)
from whereby_async.testing import FakeWhereby, Fault

pytestmark = pytest.mark.anyio


async def test_priorities_take_precedence_in_the_documented_order(fake: FakeWhereby, limiter: RecordingLimiter) -> None:
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


async def test_a_priority_follows_its_task(whereby: WherebyClient, limiter: RecordingLimiter) -> None:
    """Tasks started inside have the priority, those beside do not, and it ends with its block, also by an error."""

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


async def test_a_call_keeps_its_priority_over_its_attempts(
    fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
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


async def test_captured_responses_are_raw(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Status, headers and body of every answer, failed attempts and what does not decode included, oldest first."""
    fake.faults.add(Fault(status=503, body=b"one"), Fault(drop="after"), Fault(body=b'{"results": [], "new": 1}'))
    fake.faults.add(Fault(operation="meetings.get", body=b"no json"))
    with capture_responses() as answers:
        await whereby.meetings.list()
        with pytest.raises(ResponseDecodeError):
            await whereby.meetings.get("1")
        with pytest.raises(NotFoundError):
            await whereby.meetings.get("1")
    await whereby.meetings.list()
    assert [(each.status, each.body) for each in answers[:2]] == [(503, b"one"), (200, b'{"results": [], "new": 1}')]
    assert [each.status for each in answers] == [503, 200, 200, 404]
    assert answers[1].headers["x-ratelimit-LIMIT"] == "1000000"
    assert answers[2].body == b"no json"
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
