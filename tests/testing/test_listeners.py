"""`FakeWhereby.subscribe`: whoever wants to know of each request as it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from whereby_async.testing import Fault

if TYPE_CHECKING:
    from testing.bare import Bare

    from whereby_async.testing import FakeWhereby, RecordedRequest

pytestmark = pytest.mark.anyio


async def test_listener_hears_of_every_answer(call: Bare, fake: FakeWhereby) -> None:
    """Good, refused, unknown and dropped ones, with status, points and points left, before the client has the answer."""
    heard: list[RecordedRequest] = []
    fake.subscribe(heard.append)
    await call("GET", "/meetings")
    await call("GET", "/meetings/1")
    await call("GET", "/nowhere")
    assert [(r.operation, r.status, r.points, r.remaining) for r in heard] == [
        ("meetings.list", 200, 1, 999),
        ("meetings.get", 404, 1, 998),
        ("", 404, 0, None),
    ]
    assert heard == fake.requests


async def test_cleared_log_is_told_on(call: Bare, fake: FakeWhereby) -> None:
    """A listener may clear the log each time, and still hears of the next."""
    statuses: list[int] = []

    def listen(record: RecordedRequest) -> None:
        statuses.append(record.status)
        fake.clear()

    fake.subscribe(listen)
    fake.faults.add(Fault(status=503))
    await call("GET", "/meetings")
    await call("GET", "/meetings")
    assert statuses == [503, 200]
    assert fake.requests == []
