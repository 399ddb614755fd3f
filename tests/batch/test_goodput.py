"""How much of what the server would give a batch gets: thousands of mixed calls on a simulated clock."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import pytest
from support.batches import UNTIL

from whereby_async.limiter import PointBudget
from whereby_async.testing import FakeWhereby, run_simulated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whereby_async.testing import Algorithm, RecordedRequest

LIMIT = 1000
PERIOD = 60.0
CALLS = int(os.environ.get("WHEREBY_BATCH_CALLS", "3000"))
"""Calls of each batch; the figures of the README are of 10,000."""
KINDS = ("get", "delete", "create")


def mixed(count: int) -> Iterator[dict[str, Any]]:
    return ({"kind": KINDS[number % len(KINDS)]} for number in range(count))


def given(algorithm: Algorithm, seconds: float) -> float:
    """What a server that began with the first call gives in so many seconds to somebody who never waits."""
    if algorithm == "token_bucket":
        return LIMIT + LIMIT * seconds / PERIOD
    return LIMIT * math.ceil(seconds / PERIOD)


class Served:
    """Listens to the server: how many points it gave, and when."""

    def __init__(self, fake: FakeWhereby) -> None:
        self._fake = fake
        self.log: list[tuple[float, int]] = []
        self.throttled = 0
        fake.subscribe(self._hear)

    def _hear(self, request: RecordedRequest) -> None:
        self.log.append((request.at, request.points))
        self.throttled += request.status == 429
        if len(self.log) % 1000 == 0:
            self._fake.clear()
            self._fake.rooms.clear()

    def share(self, algorithm: Algorithm) -> float:
        """Of what it would have given over the whole periods that the job lasted; the last, begun one is not full."""
        began, ended = self.log[0][0], self.log[-1][0]
        seconds = (ended - began) // PERIOD * PERIOD
        return sum(points for at, points in self.log if at - began < seconds) / given(algorithm, seconds)


async def job(algorithm: Algorithm, calls: int) -> Served:
    """A batch of a function that makes calls of three kinds."""
    async with FakeWhereby(limit=LIMIT, period=PERIOD, algorithm=algorithm, latency=0.1) as fake:
        served = Served(fake)
        known = fake.add_meeting(end_date=UNTIL)["meetingId"]
        async with fake.client(limiter=PointBudget(LIMIT)) as client:

            async def call(kind: str) -> None:
                if kind == "get":
                    await client.meetings.get(known)
                elif kind == "delete":
                    await client.meetings.delete("1")
                else:
                    await client.meetings.create(end_date=UNTIL)

            async with client.batch(call, mixed(calls)) as outcomes:
                async for outcome in outcomes:
                    assert outcome.ok
        return served


@pytest.mark.parametrize("algorithm", ["fixed", "sliding_log", "token_bucket"])
def test_batch_gets_what_the_server_gives(algorithm: Algorithm, capsys: pytest.CaptureFixture[str]) -> None:
    """Not one 429, and at least 99 % of what the server would have given in the same time."""
    served = run_simulated(job(algorithm, CALLS))
    points, seconds = sum(p for _, p in served.log), served.log[-1][0] - served.log[0][0]
    share = served.share(algorithm)
    with capsys.disabled():
        print(  # noqa: T201 - a figure to be read
            f"\n{algorithm}: {CALLS} calls, {points} points in {seconds:.1f} s, {served.throttled} x 429, "
            f"{share:.4f} of what it gives"
        )
    assert len(served.log) == CALLS
    assert served.throttled == 0
    assert share >= (0.99 if algorithm != "sliding_log" else 0.985)
