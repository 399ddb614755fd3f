"""Every fault, once and for good, against every kind of operation.

Each cell says which error comes out or that none does, how many requests reached the server and how many it acted on, what the
budget holds as spent, and that neither a connection nor a permit nor a task is left. All of it over real sockets, in simulated
time.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
from faults.catalogue import ROWS, Fate, Row
from faults.scene import KINDS, Kind, Scene, staged

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    WherebyError,
)
from whereby_async.testing import FAKE_API_KEY
from whereby_async.testing.clock import run_simulated

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPTS = RetryPolicy().attempts
CELLS = [(row, kind, times) for row in ROWS for kind in KINDS for times in (1, None)]
CELLS_IN_ALL = 1404
PATIENCE = 70.0
"""Seconds that a call waits for points if it is throttled for good."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a cell.

    Attributes:
        error: The error's class, `None` for a result.
        may_have_happened: What it says of itself.
        requests: How many reached the server.
        acted: How many of them it acted on.
        spent: Points that the budget holds as spent.
    """

    error: type[WherebyError] | None = None
    may_have_happened: bool = False
    requests: int = 1
    acted: int = 1
    spent: int


_ERRORS: dict[Fate, type[WherebyError]] = {
    Fate.UNSENT: APIConnectionError,
    Fate.DROPPED: APIConnectionError,
    Fate.LATE: APITimeoutError,
    Fate.FAILED: InternalServerError,
    Fate.UNREADABLE: ResponseDecodeError,
    Fate.TOO_LARGE: ResponseDecodeError,
    Fate.MOVED: APIStatusError,
    Fate.FORBIDDEN: AuthenticationError,
    Fate.MISSING: NotFoundError,
    Fate.THROTTLED: RateLimitError,
}


def expected(row: Row, kind: Kind, times: int | None) -> Outcome:
    """What is to come of a cell, by the rules alone."""
    if row.fate is Fate.HARMLESS or (row.fate is Fate.UNREADABLE and not kind.reads):
        return Outcome(spent=kind.price)
    again = kind.again or row.fate in {Fate.UNSENT, Fate.THROTTLED}
    tries = row.fate in {Fate.UNSENT, Fate.DROPPED, Fate.LATE, Fate.FAILED, Fate.THROTTLED} and again
    paid = 0 if row.fate is Fate.UNSENT else kind.price
    if tries and times is not None:
        return Outcome(requests=row.reached + 1, acted=row.acted + 1, spent=paid + kind.price)
    attempts = ATTEMPTS if tries else 1
    return Outcome(
        error=_ERRORS[row.fate],
        may_have_happened=row.fate not in {Fate.UNSENT, Fate.THROTTLED, Fate.FORBIDDEN, Fate.MISSING},
        requests=attempts * row.reached,
        acted=attempts * row.acted,
        spent=attempts * paid,
    )


async def outcome_of(scene: Scene, times: int | None) -> Outcome:
    """Make the call, and look."""
    whereby = scene.whereby
    if times is None:
        whereby = whereby.with_options(max_wait=PATIENCE)
    error: WherebyError | None = None
    try:
        await scene.kind.call(whereby, scene)
    except WherebyError as failure:
        error = failure
    spent = scene.spent - 1  # the first call's
    assert (scene.pool.in_use, scene.pool.waiting) == (0, 0)
    snapshot = whereby.limiter.snapshot()
    assert (snapshot.in_flight, snapshot.waiting_points) == (0, 0)
    await asyncio.sleep(40)  # whatever the server still does
    return Outcome(
        error=None if error is None else _class_of(error),
        may_have_happened=error is not None and error.may_have_happened,
        requests=len(scene.fake.requests),
        acted=scene.acted,
        spent=spent,
    )


def _class_of(error: WherebyError) -> type[WherebyError]:
    moved = isinstance(error, APIStatusError) and 300 <= error.status < 400
    return APIStatusError if moved else type(error)


async def play(row: Row, kind: Kind, times: int | None) -> None:
    """One cell, from a warm client to one that works as if nothing had been."""
    async with staged(kind) as scene:
        await row.script(scene, times)
        began = asyncio.get_running_loop().time()
        outcome = await outcome_of(scene, times)
        wanted = expected(row, kind, times)
        if row.fate is Fate.THROTTLED:
            outcome = _without_spending(row, scene, outcome, times, began)
            wanted = msgspec.structs.replace(wanted, spent=0, requests=outcome.requests if times is None else 2)
        assert outcome == wanted
        _look_at_the_world(scene, outcome)
        await _goes_on(scene)
    assert scene.wire.connections == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def _without_spending(row: Row, scene: Scene, outcome: Outcome, times: int | None, began: float) -> Outcome:
    """A 429 makes the budget think anew of what is spent; what counts is that nobody came before the server's time."""
    arrivals = [request.at for request in scene.fake.requests]
    waits = [later - earlier for earlier, later in pairwise(arrivals)]
    assert all(wait >= row.least_wait for wait in waits)
    assert arrivals[-1] - began <= PATIENCE + 1
    assert 1 < outcome.requests <= 2 + PATIENCE / row.least_wait
    return msgspec.structs.replace(outcome, spent=0)


def _look_at_the_world(scene: Scene, outcome: Outcome) -> None:
    """The world shows what the server's log says, a create at most one act, and an error that rules an act out is right."""
    kind = scene.kind
    if kind.changes is not None:
        seen = kind.changes(scene)
        assert seen == (outcome.acted if kind.repeats else min(1, outcome.acted))
    if not kind.again:
        assert outcome.acted <= 1
    if outcome.error is not None and not outcome.may_have_happened:
        assert outcome.acted == 0
    if outcome.error is None:
        assert outcome.acted >= 1


async def _goes_on(scene: Scene) -> None:
    """With the fault gone, the same client works."""
    scene.fake.faults.clear()
    scene.wire.faults.clear()
    scene.fake.api_key = FAKE_API_KEY
    await scene.wire.accept()
    scene.fake.clear()
    await scene.whereby.meetings.list()
    assert [request.status for request in scene.fake.requests] == [200]


def _name(cell: tuple[Row, Kind, int | None]) -> str:
    row, kind, times = cell
    return f"{row.name}-{kind.name}-{'for good' if times is None else 'once'}"


@pytest.mark.parametrize("cell", CELLS, ids=_name)
def test_cell(cell: tuple[Row, Kind, int | None]) -> None:
    """The fault comes to what the rules say, and leaves nothing behind."""
    run_simulated(play(*cell))


def test_the_matrix_is_whole(record_property: Callable[[str, object], None]) -> None:
    """So many cells, each with a name of its own; every fate and every kind of operation is among them."""
    assert len({_name(cell) for cell in CELLS}) == len(CELLS) == CELLS_IN_ALL
    assert {row.fate for row in ROWS} == set(Fate)
    record_property("cells", len(CELLS))
