"""The calls of these tests, what may happen to them, and a server that answers them well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from whereby_async import RetryPolicy, WherebyClient
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


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


def answer(fake: FakeWhereby, operation: str) -> None:
    """Have the server answer the operation well, whatever its world holds."""
    status, body = ANSWERS.get(operation, (204, b""))
    fake.faults.add(Fault(operation=operation, status=status, body=body, times=None, act=True))


def statuses(fake: FakeWhereby) -> list[int]:
    """What became of each request; 0 for one without an answer."""
    return [request.status for request in fake.requests]
