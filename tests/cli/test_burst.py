"""The demo's burst by itself: it waits at the window's end, and an error in it comes out as it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from whereby_async import NotFoundError, WherebyClient
from whereby_async.cli.demo import CallLog, burst
from whereby_async.cli.output import Output
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server whose window is short."""
    async with FakeWhereby(limit=20, period=0.5) as server:
        yield server


@pytest.fixture
def log() -> CallLog:
    """The hook of the client."""
    return CallLog(Output(as_json=True))


@pytest.fixture
async def client(fake: FakeWhereby, log: CallLog) -> AsyncIterator[WherebyClient]:
    """A client that has seen the limit."""
    async with fake.client(hooks=[log]) as made:
        await made.meetings.list()
        log.take()
        yield made


async def test_what_does_not_fit_waits(
    client: WherebyClient, fake: FakeWhereby, log: CallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    """19 of 30 calls go in this window, the others with the next one, and the longest wait is added up."""
    meeting = fake.add_meeting()
    await burst(client, log, meeting["meetingId"], calls=30, period=fake.period)
    before, after = map(json.loads, capsys.readouterr().out.splitlines())
    assert (before["available"], before["limit"]) == (19, 20)
    # On a slow machine some of the 19 wait for a round trip of the slow start, which counts as a wait.
    assert after["waited"] >= 11
    assert (after["at_once"] + after["waited"], after["throttled"], fake.throttled) == (30, 0, 0)
    assert 0.05 < after["longest_wait"] == log.waited < 5.0


async def test_error_comes_out_as_it_is(client: WherebyClient, log: CallLog) -> None:
    """Not wrapped in a group, so that the exit code is the error's."""
    with pytest.raises(NotFoundError):
        await burst(client, log, "1", calls=3, period=0.5)
