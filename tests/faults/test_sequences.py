"""One call that meets several faults in a row: what it ends with is what the rules say of the whole row."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from faults.catalogue import HTML, Fate
from faults.scene import KINDS, Kind, staged
from hypothesis import example, given, settings, strategies as st

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    InternalServerError,
    NotFoundError,
    RetryPolicy,
    WherebyError,
)
from whereby_async.testing import Fault, TcpFault
from whereby_async.testing.clock import run_simulated

if TYPE_CHECKING:
    from faults.scene import Scene

ATTEMPTS = RetryPolicy().attempts
STEPS: dict[str, tuple[Fate, int, int, Fault | TcpFault]] = {
    "reset unread": (Fate.DROPPED, 0, 0, TcpFault(at="request")),
    "reset in mid-header": (Fate.DROPPED, 1, 1, TcpFault(at="answer", after=20)),
    "reset before acting": (Fate.DROPPED, 1, 0, Fault(drop="before")),
    "reset after acting": (Fate.DROPPED, 1, 1, Fault(drop="after")),
    "answers too late": (Fate.LATE, 1, 1, Fault(answer_delay=30.0)),
    "502": (Fate.FAILED, 1, 0, Fault(status=502, body=HTML, points=0)),
    "500 after acting": (Fate.FAILED, 1, 1, Fault(status=500, act=True)),
    "429": (Fate.THROTTLED, 1, 0, Fault(status=429, headers={"Retry-After": "1"}, points=0)),
    "404": (Fate.MISSING, 1, 0, Fault(status=404)),
    "302": (Fate.MOVED, 1, 0, Fault(redirect="/elsewhere")),
}
"""What happens to one attempt: what it comes to, requests that reach the server, how many it acts on, and the fault."""

_ERRORS: dict[Fate, type[WherebyError]] = {
    Fate.DROPPED: APIConnectionError,
    Fate.LATE: APITimeoutError,
    Fate.FAILED: InternalServerError,
    Fate.MISSING: NotFoundError,
    Fate.MOVED: APIStatusError,
}


def expected(kind: Kind, steps: list[str]) -> tuple[type[WherebyError] | None, bool, int, int]:
    """Error, `may_have_happened`, requests, acts."""
    may, requests, acted, failures = False, 0, 0, 0
    for step in steps:
        fate, reached, acts, _ = STEPS[step]
        requests += reached
        acted += acts
        if fate is Fate.THROTTLED:
            continue
        may = may or fate is not Fate.MISSING
        failures += 1
        if fate in {Fate.MISSING, Fate.MOVED} or not kind.again or failures >= ATTEMPTS:
            return _ERRORS[fate], may, requests, acted
    return None, False, requests + 1, acted + 1


def plan(scene: Scene, steps: list[str]) -> None:
    """The faults, each for its attempt: those on the wire let the attempts before them pass."""
    on_the_wire = 0
    for number, step in enumerate(steps):
        _, reached, _, fault = STEPS[step]
        if isinstance(fault, TcpFault):
            scene.wire.faults.add(TcpFault(at=fault.at, after=fault.after, skip=number - on_the_wire))
            on_the_wire += 1
            if reached:
                scene.fake.faults.add(Fault())  # this attempt is served, and takes no other's fault
        else:
            scene.fake.faults.add(fault)


async def play(kind: Kind, steps: list[str]) -> None:
    """One call."""
    async with staged(kind) as scene:
        plan(scene, steps)
        error: WherebyError | None = None
        try:
            await kind.call(scene.whereby, scene)
        except WherebyError as failure:
            error = failure
        snapshot = scene.whereby.limiter.snapshot()
        assert (scene.pool.in_use, scene.pool.waiting, snapshot.in_flight) == (0, 0, 0)
        await asyncio.sleep(40)  # whatever the server still does
        moved = isinstance(error, APIStatusError) and 300 <= error.status < 400
        kind_of_error = None if error is None else APIStatusError if moved else type(error)
        may = error is not None and error.may_have_happened
        assert (kind_of_error, may, len(scene.fake.requests), scene.acted) == expected(kind, steps)
        if not kind.again:
            assert scene.acted <= 1


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.lists(st.sampled_from(sorted(STEPS)), max_size=7))
@example(KINDS[2], ["reset after acting", "429", "404"])
@example(KINDS[0], ["429", "429", "502", "429", "reset unread", "429", "502", "429"])
@example(KINDS[6], ["429", "429", "429", "429", "429", "500 after acting"])
def test_a_row_of_faults_comes_to_what_the_rules_say(kind: Kind, steps: list[str]) -> None:
    """429s are no attempts, failures are; what may have happened once stays so; a create ends with its first failure."""
    run_simulated(play(kind, steps))
