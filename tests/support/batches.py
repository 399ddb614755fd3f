"""Jobs for tests of batches, and ways to look at what came of them."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from whereby_async import WherebyClient
    from whereby_async.batch import Batch, Outcome
    from whereby_async.models import Meeting
    from whereby_async.testing import FakeWhereby

T = TypeVar("T")

TIMEOUT = 0.4
UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


def creates(count: int, **more: Any) -> list[dict[str, Any]]:
    """Requests for so many meetings, each with a prefix of its own."""
    return [{"end_date": UNTIL, "room_name_prefix": f"r{number}-", **more} for number in range(count)]


async def outcomes_of(batch: Batch[T]) -> list[Outcome[T]]:
    """Run a batch to its end; what came of its items, by their place in the input."""
    async with batch as outcomes:
        found = [outcome async for outcome in outcomes]
    return sorted(found, key=lambda outcome: outcome.index)


async def created(
    whereby: WherebyClient, requests: int | Sequence[dict[str, Any]], **options: Any
) -> list[Outcome[Meeting]]:
    """Run a batch of `meetings.create` to its end, of so many or of these requests."""
    if isinstance(requests, int):
        requests = creates(requests)
    return await outcomes_of(whereby.batch(whereby.meetings.create, requests, **options))


async def take(batch: Batch[Any], seen: list[Outcome[Any]]) -> None:
    """Run a batch to its end; what comes out before an error stays in `seen`."""
    async with batch as outcomes:
        async for outcome in outcomes:
            seen.append(outcome)  # noqa: PERF401 - the error would take a comprehension with it


def states(outcomes: list[Outcome[T]]) -> Counter[str]:
    """How many items ended how."""
    return Counter(outcome.state for outcome in outcomes)


def rooms(fake: FakeWhereby) -> Counter[int]:
    """How many rooms there are for each request of `creates`."""
    names = [meeting["roomName"] for meeting in fake.meetings.values()]
    return Counter(int(name[2:].partition("-")[0]) for name in names if name.startswith("/r"))


def each_once(fake: FakeWhereby, count: int) -> bool:
    """Whether there is exactly one room for each of so many requests."""
    return rooms(fake) == dict.fromkeys(range(count), 1)


def sent(fake: FakeWhereby, operation: str) -> int:
    """How many requests of an operation have reached the server."""
    return sum(request.operation == operation for request in fake.requests)


def lines(journal: Path) -> list[dict[str, Any]]:
    """The journal's whole lines; another one may be being written."""
    return [json.loads(line) for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
