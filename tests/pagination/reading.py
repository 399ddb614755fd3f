"""Looking at what paginators read."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whereby_async import Paginator, WherebyClient
    from whereby_async.models import Recording
    from whereby_async.testing import FakeWhereby


def ids_of(recordings: list[Recording]) -> list[str]:
    """The ids, in order."""
    return [recording.recording_id for recording in recordings]


def limits(fake: FakeWhereby) -> list[int]:
    """The page sizes that were asked for."""
    return [int(dict(request.query)["limit"]) for request in fake.requests]


def answer(ids: list[str], cursor: str | None) -> bytes:
    """The body of a page of recordings."""
    return json.dumps({"results": [{"recordingId": each} for each in ids], "cursor": cursor}).encode()


def readers() -> list[asyncio.Task[object]]:
    """Tasks that read ahead."""
    return [task for task in asyncio.all_tasks() if "_read_ahead" in task.get_name()]


async def read_in_block(paginator: Paginator[Recording], found: list[str]) -> None:
    """Read all of it in a block, and keep the ids also if it fails."""
    async with paginator as items:
        async for each in items:
            found.append(each.recording_id)  # noqa: PERF401 - what came before an error is the point


async def requests_arrive(fake: FakeWhereby, count: int) -> None:
    """Wait until so many requests have arrived."""
    async with asyncio.timeout(5):
        while len(fake.requests) < count:
            await asyncio.sleep(0)


async def round_trips(whereby: WherebyClient, count: int = 3) -> None:
    """Let some calls go back and forth, long enough for whatever else is under way to show."""
    for _ in range(count):
        await whereby.insights.participant("1", "2")
