"""Every fault, once and for good, against every kind of operation; and calls that meet several faults in a row.

Each cell says which error comes out or that none does, how many requests reached the server and how many it acted on,
what the budget counts as spent, and that neither a connection nor a permit nor a task is left. All of it over real
sockets, in simulated time.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
from faults.catalogue import HTML, KINDS, ROWS, Effect, Kind, Reach, Row, Trial, trial_of
from hypothesis import example, given, settings, strategies as st
from msgspec.structs import replace

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
    ServiceUnavailableError,
    WherebyError,
)
from whereby_async.testing import FAKE_API_KEY, Fault, TcpFault, run_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ATTEMPTS = RetryPolicy().attempts
CELLS = [(row, kind, times) for row in ROWS for kind in KINDS for times in (1, None)]
CELLS_IN_ALL = 1728
PATIENCE = 70.0
"""Seconds that a call waits for points if it is throttled for good."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call: the requests that reached the server and those it acted on, points the budget counts as spent.

    `error` is `None` for a result.
    """

    error: type[WherebyError] | None = None
    may_have_happened: bool = False
    requests: int
    acted: int
    spent: int


_ERRORS: dict[Effect, type[WherebyError]] = {
    Effect.UNSENT: ServiceUnavailableError,
    Effect.DROPPED: APIConnectionError,
    Effect.LATE: APITimeoutError,
    Effect.FAILED: InternalServerError,
    Effect.EXPIRED: APIStatusError,
    Effect.NOT_DONE: APIStatusError,
    Effect.UNREADABLE: ResponseDecodeError,
    Effect.TOO_LARGE: ResponseDecodeError,
    Effect.MISCODED: APIConnectionError,
    Effect.MOVED: APIStatusError,
    Effect.FORBIDDEN: AuthenticationError,
    Effect.MISSING: NotFoundError,
    Effect.BARRED: APIConnectionError,
}
_FINAL = {
    *(Effect.UNREADABLE, Effect.TOO_LARGE, Effect.MISCODED, Effect.MOVED, Effect.FORBIDDEN, Effect.MISSING),
    Effect.BARRED,
}
_UNSENT = {Effect.UNSENT, Effect.BARRED}
_NOTHING_HAPPENED = {*_UNSENT, Effect.NOT_DONE, Effect.FORBIDDEN, Effect.MISSING}


def expected(kind: Kind, faults: Sequence[tuple[Effect, Reach]]) -> Outcome:
    """What is to come of a call whose attempts meet these faults, by the rules alone."""
    may, requests, acted, spent, failures = False, 0, 0, 0, 0
    for effect, reach in faults:
        requests += reach >= Reach.READ
        acted += reach >= Reach.ACTED
        if effect is Effect.THROTTLED:
            continue
        spent += 0 if effect in _UNSENT else kind.price
        may = may or effect not in _NOTHING_HAPPENED
        failures += 1
        again = effect not in _FINAL and (kind.again or effect in _NOTHING_HAPPENED)
        if not again or failures == ATTEMPTS:
            error = _ERRORS[effect]
            return Outcome(error=error, may_have_happened=may, requests=requests, acted=acted, spent=spent)
    return Outcome(requests=requests + 1, acted=acted + 1, spent=spent + kind.price)


async def outcome_of(trial: Trial, *, max_wait: float | None = None) -> Outcome:
    error: WherebyError | None = None
    try:
        await trial.kind.call(trial.whereby.with_options(max_wait=max_wait), trial)
    except WherebyError as failure:
        error = failure
    spent = trial.spent - 1  # the first call's
    snapshot = trial.whereby.limiter.snapshot()
    assert (trial.pool.in_use, trial.pool.waiting, snapshot.in_flight, snapshot.waiting_points) == (0, 0, 0, 0)
    await asyncio.sleep(40)  # whatever the server still does
    moved = isinstance(error, APIStatusError) and 300 <= error.status < 400
    outcome = Outcome(
        error=None if error is None else APIStatusError if moved else type(error),
        may_have_happened=error is not None and error.may_have_happened,
        requests=len(trial.fake.requests),
        acted=sum(request.acted for request in trial.fake.requests),
        spent=spent,
    )
    _check_state(trial, outcome)
    return outcome


def _check_state(trial: Trial, outcome: Outcome) -> None:
    """The server's state shows what its log says, a create at most one act; an error that rules an act out is right."""
    kind = trial.kind
    if kind.changes is not None:
        assert kind.changes(trial) == (outcome.acted if kind.repeats else min(1, outcome.acted))
    if not kind.again:
        assert outcome.acted <= 1
    if outcome.error is not None and not outcome.may_have_happened:
        assert outcome.acted == 0


async def run_cell(row: Row, kind: Kind, times: int | None) -> None:
    """One cell, from a warm client to one that works as if nothing had been."""
    async with trial_of(kind, proxied=row.proxied) as trial:
        await row.script(trial, times)
        began = asyncio.get_running_loop().time()
        outcome = await outcome_of(trial, max_wait=PATIENCE if times is None else None)
        harmless = row.effect is Effect.HARMLESS or (row.effect is Effect.UNREADABLE and kind.well is None)
        faults = [] if harmless else [(row.effect, row.reach)] * (times or ATTEMPTS)
        wanted = expected(kind, faults)
        if row.effect is Effect.THROTTLED:
            _check_waits(row, trial, began)
            if times is None:
                wanted = Outcome(error=RateLimitError, requests=outcome.requests, acted=0, spent=0)
            # A 429 makes the budget think anew of what is spent.
            outcome, wanted = replace(outcome, spent=0), replace(wanted, spent=0)
        assert outcome == wanted
        await _check_next_call(trial)
    assert trial.wire.connections == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def _check_waits(row: Row, trial: Trial, began: float) -> None:
    """After a 429 nobody came before the server's time."""
    arrivals = [request.at for request in trial.fake.requests]
    assert all(later - earlier >= row.least_wait for earlier, later in pairwise(arrivals))
    assert arrivals[-1] - began <= PATIENCE + 1
    assert 1 < len(arrivals) <= 2 + PATIENCE / row.least_wait


async def _check_next_call(trial: Trial) -> None:
    """With the fault gone, the same client works."""
    trial.fake.faults.clear()
    trial.wire.faults.clear()
    trial.detours = iter(())
    trial.fake.api_key = FAKE_API_KEY
    await trial.wire.accept()
    trial.fake.clear()
    await trial.whereby.meetings.list()
    assert [request.status for request in trial.fake.requests] == [200]


def _name(cell: tuple[Row, Kind, int | None]) -> str:
    row, kind, times = cell
    return f"{row.name}-{kind.name}-{'for good' if times is None else 'once'}"


@pytest.mark.parametrize("cell", CELLS, ids=_name)
def test_cell(cell: tuple[Row, Kind, int | None]) -> None:
    """The fault comes to what the rules say, and leaves nothing behind."""
    run_simulated(run_cell(*cell))


def test_the_matrix_is_whole(record_property: Callable[[str, object], None]) -> None:
    """So many cells, each with a name of its own; every effect is among them."""
    assert len({_name(cell) for cell in CELLS}) == len(CELLS) == CELLS_IN_ALL
    assert {row.effect for row in ROWS} == set(Effect)
    record_property("cells", len(CELLS))


# Several faults in a row

STEPS: dict[str, tuple[Effect, Reach, Fault | TcpFault]] = {
    "reset unread": (Effect.DROPPED, Reach.UNREAD, TcpFault(at="request")),
    "reset in mid-header": (Effect.DROPPED, Reach.ACTED, TcpFault(at="answer", after=20)),
    "reset before acting": (Effect.DROPPED, Reach.READ, Fault(drop="before")),
    "reset after acting": (Effect.DROPPED, Reach.ACTED, Fault(drop="after")),
    "answers too late": (Effect.LATE, Reach.ACTED, Fault(answer_delay=30.0)),
    "502": (Effect.FAILED, Reach.READ, Fault(status=502, body=HTML, points=0)),
    "408 after acting": (Effect.EXPIRED, Reach.ACTED, Fault(status=408, act=True)),
    "421": (Effect.NOT_DONE, Reach.READ, Fault(status=421, points=0)),
    "500 after acting": (Effect.FAILED, Reach.ACTED, Fault(status=500, act=True)),
    "429": (Effect.THROTTLED, Reach.READ, Fault(status=429, headers={"Retry-After": "1"}, points=0)),
    "404": (Effect.MISSING, Reach.READ, Fault(status=404)),
    "302": (Effect.MOVED, Reach.READ, Fault(redirect="/elsewhere")),
}
"""What one attempt may meet."""


def plan(trial: Trial, steps: list[str]) -> None:
    """Set up the faults, each for its attempt: those on the wire let the attempts before them pass."""
    on_the_wire = 0
    for number, step in enumerate(steps):
        _, reach, fault = STEPS[step]
        if isinstance(fault, TcpFault):
            trial.wire.faults.add(replace(fault, skip=number - on_the_wire))
            on_the_wire += 1
            if reach:
                trial.fake.faults.add(Fault())  # this attempt is served, and takes no other's fault
        else:
            trial.fake.faults.add(fault)


async def run_sequence(kind: Kind, steps: list[str]) -> None:
    async with trial_of(kind) as trial:
        plan(trial, steps)
        outcome = await outcome_of(trial)
        wanted = expected(kind, [STEPS[step][:2] for step in steps])
        assert replace(outcome, spent=0) == replace(wanted, spent=0)  # a 429 makes the budget think anew of it


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.lists(st.sampled_from(sorted(STEPS)), max_size=7))
@example(KINDS[2], ["reset after acting", "429", "404"])
@example(KINDS[0], ["429", "429", "502", "429", "reset unread", "429", "502", "429"])
@example(KINDS[6], ["421", "429", "421", "408 after acting"])
@example(KINDS[6], ["429", "429", "429", "429", "429", "500 after acting"])
def test_faults_in_a_row_come_to_what_the_rules_say(kind: Kind, steps: list[str]) -> None:
    """A 429 is no attempt, a failure is one; what may have happened stays so; a create ends with its first failure."""
    run_simulated(run_sequence(kind, steps))
