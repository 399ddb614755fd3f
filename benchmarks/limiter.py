"""What the point budget costs: an uncontended acquire and settle beside aiolimiter's acquire, and crowds of waiters.

    python benchmarks/limiter.py uncontended [STATE …]   acquire + settle in every state of the budget; target ≤ 4 times aiolimiter's acquire
    python benchmarks/limiter.py crowd [N …]             CPU, longest stall and bytes per waiter, order; with deadlines, and half cancelled

Prints one JSON object per figure. Ends with 1 if a target is missed, and with 2 if aiolimiter, the peer, is not installed.

The states, each warmed up until slow start is over (`reads` of the table in `STATES` say what the server answers):

- steady: `Remaining` falls as expected.
- foreign use: it falls by two for each point of ours, so the budget is always in doubt.
- unmoved: it never moves.
- silent: there are no headers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import statistics
import sys
import time
import tracemalloc
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

try:
    from aiolimiter import AsyncLimiter
except ImportError:
    AsyncLimiter = None  # type: ignore[assignment,misc]  # not installed

from whereby_async.limiter import PointBudget, RateLimit
from whereby_async.testing.clock import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROUNDS: Final = 200
CALLS: Final = 1_000
ROOM: Final = 1_000_000_000
MOST: Final = 4.0
"""Times aiolimiter's acquire."""
WINDOW: Final = 62
"""Seconds that the warm-up lasts by the budget's clock: a period and a little more."""
CPU_US: Final = 45
STALL_MS: Final = 25
BYTES: Final = 1_500
PATIENT: Final = 3_600.0

missed: list[str] = []


def show(figure: str, *, met: bool, **figures: object) -> None:
    """One line of output."""
    print(json.dumps({"figure": figure, **figures, "met": met}), flush=True)
    if not met:
        missed.append(figure)


# Uncontended


def falling(*steps: int) -> Iterator[RateLimit]:
    """`Remaining` falls by these steps, over and over."""
    left = ROOM
    for step in cycle(steps):
        left -= step
        yield RateLimit(limit=ROOM, remaining=left, reset_in=30.5)


def unmoved() -> Iterator[RateLimit]:
    """`Remaining` never moves."""
    while True:
        yield RateLimit(limit=ROOM, remaining=990, reset_in=30.5)


def silent() -> Iterator[RateLimit]:
    """No headers."""
    while True:
        yield RateLimit()


STATES: Final[dict[str, Callable[[], Iterator[RateLimit]]]] = {
    "steady": lambda: falling(1),
    # The price is the least of four drops, so it stays 1.
    "foreign use": lambda: falling(1, 3),
    "unmoved": unmoved,
    "silent": silent,
}


class Ours:
    """A budget in one of the states.

    Args:
        state: Which.
    """

    def __init__(self, state: str) -> None:
        self.budget = PointBudget(ROOM)
        self._answers = STATES[state]()
        self._falls = state not in {"unmoved", "silent"}

    async def warm_up(self) -> None:
        """A period that ends now: its first call spends nearly all, so that the congestion window is full; then comes one a second."""
        account = self.budget._account  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the clock is not an option
        clock = account.clock
        for ago in range(WINDOW, 0, -1):
            account.clock = lambda ago=ago: clock() - ago  # type: ignore[misc]  # a lambda has no types
            permit = await self.budget.acquire(
                ROOM - WINDOW if ago == WINDOW else 1, operation="meetings.list" if ago == WINDOW else "meetings.get"
            )
            permit.settle(RateLimit(limit=ROOM, remaining=ago) if self._falls and ago > 1 else next(self._answers))
        account.clock = clock

    def ready(self, count: int) -> list[RateLimit]:
        """The next answers; making them is not the limiter's work."""
        return [next(self._answers) for _ in range(count)]

    async def calls(self, answers: Sequence[RateLimit]) -> None:
        """Acquire and settle, one after the other."""
        budget = self.budget
        for answer in answers:
            permit = await budget.acquire(1, operation="meetings.get")
            permit.settle(answer)


class Theirs:
    """aiolimiter, and a call that does nothing."""

    def __init__(self) -> None:
        assert AsyncLimiter is not None  # `main` has looked
        self.limiter = AsyncLimiter(ROOM, 60)

    async def calls(self, answers: Sequence[RateLimit]) -> None:
        """Acquire; there is nothing to give back."""
        limiter = self.limiter
        for _ in answers:
            await limiter.acquire(1)

    async def nothing(self, answers: Sequence[RateLimit]) -> None:
        """Awaiting a coroutine that does nothing."""
        for _ in answers:
            await noop()


async def noop() -> None:
    """Do nothing."""


async def uncontended(states: Sequence[str]) -> None:
    """Ours in each state and theirs in turns, so that the machine's mood hits all alike."""
    ours, theirs = {state: Ours(state) for state in states}, Theirs()
    for one in ours.values():
        await one.warm_up()
    subjects: dict[str, tuple[Callable[[Sequence[RateLimit]], Any], Callable[[int], Sequence[RateLimit]]]] = {
        **{state: (one.calls, one.ready) for state, one in ours.items()},
        "aiolimiter": (theirs.calls, lambda count: [RateLimit()] * count),
        "noop": (theirs.nothing, lambda count: [RateLimit()] * count),
    }
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(-5, ROUNDS):
        for name, (subject, ready) in subjects.items():
            answers = ready(CALLS)
            began = time.perf_counter_ns()
            await subject(answers)
            if turn >= 0:
                times[name].append((time.perf_counter_ns() - began) / CALLS)
    # The best of many short rounds: everything above it is the machine's other work.
    best = {name: min(values) for name, values in times.items()}
    middle = {name: statistics.median(values) for name, values in times.items()}
    for state, one in ours.items():
        ratio = best[state] / best["aiolimiter"]
        doubtful = one.budget.snapshot().foreign_rate > 0
        assert doubtful == (state == "foreign use"), f"{state}: the budget is not in the state that was to be measured"
        show(
            f"acquire + settle ÷ aiolimiter's acquire, {state}",
            ratio=round(ratio, 2),
            ratio_of_medians=round(middle[state] / middle["aiolimiter"], 2),
            target=MOST,
            ns=round(best[state]),
            ns_aiolimiter=round(best["aiolimiter"]),
            ns_noop=round(best["noop"]),
            met=ratio <= MOST,
        )


# Crowds


class TimedLoop(SimulatedLoop):
    """A simulated loop that notes its longest turn, in processor time: what else the machine does stalls every program."""

    longest = 0.0

    def _run_once(self) -> None:
        began = time.thread_time()
        super()._run_once()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - asyncio's own
        self.longest = max(self.longest, time.thread_time() - began)


class Crowd:
    """So many tasks wait in one priority, and are all granted when the window turns.

    Args:
        count: How many.
        max_wait: Their longest wait.
    """

    def __init__(self, count: int, max_wait: float | None = None) -> None:
        self.count = count
        self.max_wait = max_wait
        self.budget = PointBudget(count)
        self.order: list[int] = []

    async def _call(self, number: int) -> None:
        permit = await self.budget.acquire(1, operation="meetings.get", max_wait=self.max_wait)
        self.order.append(number)
        permit.settle(RateLimit(limit=self.count, remaining=self.count - len(self.order)))

    async def spend(self) -> None:
        """Nothing is left: a period from now all of it comes back."""
        permit = await self.budget.acquire(self.count)
        permit.settle(RateLimit(limit=self.count, remaining=0))

    async def gather(self) -> list[asyncio.Task[None]]:
        """All tasks, once all of them wait."""
        tasks = [asyncio.create_task(self._call(number)) for number in range(self.count)]
        while self.budget.snapshot().waiting_points < self.count:  # noqa: ASYNC110 - nothing tells when all of them wait
            await asyncio.sleep(0)
        return tasks


async def cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def crowd(count: int, max_wait: float | None) -> None:
    """Time, stall and memory of a crowd."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, TimedLoop)
    weighed = Crowd(count, max_wait)
    await weighed.spend()
    gc.collect()
    gc.freeze()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks = await weighed.gather()
    size = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    await cancelled(tasks)
    del tasks, weighed

    timed = Crowd(count, max_wait)
    await timed.spend()
    gc.collect()
    gc.freeze()
    began = time.process_time()
    tasks = await timed.gather()
    queued = time.process_time() - began
    gc.collect()
    gc.freeze()
    await asyncio.sleep(0)  # the collection's turn does not count
    loop.longest = 0.0
    began = time.process_time()
    await asyncio.sleep(75)
    stall = loop.longest * 1000
    for task in tasks:  # no `gather`: it makes a turn of its own, as long as the crowd is large
        await task
    granted = time.process_time() - began
    gc.unfreeze()
    each = (queued + granted) / count * 1e6
    in_order = timed.order == list(range(count))
    show(
        f"{count} waiters" + (f" with max_wait={max_wait:g}" if max_wait else ""),
        cpu_us_each=round(each, 1),
        cpu_us_queueing=round(queued / count * 1e6, 1),
        cpu_us_granting=round(granted / count * 1e6, 1),
        longest_stall_ms=round(stall, 1),
        bytes_each=round(size),
        in_order=in_order,
        targets=[CPU_US, STALL_MS, BYTES],
        met=each <= CPU_US and stall <= STALL_MS and size <= BYTES and in_order,
    )


async def half_cancelled(count: int, max_wait: float | None) -> None:
    """Half of a crowd are cancelled at random while they wait; the others are all served, in order, and the points are right."""
    one = Crowd(count, max_wait)
    await one.spend()
    tasks = await one.gather()
    dice = random.Random(count)
    gone = set(dice.sample(range(count), count // 2))
    await cancelled([tasks[number] for number in gone])
    left = [task for number, task in enumerate(tasks) if number not in gone]
    _, stuck = await asyncio.wait(left, timeout=600)
    waiting = sum(one.budget.snapshot().waiting.values())
    await cancelled([*stuck])
    in_order = one.order == [number for number in range(count) if number not in gone]
    show(
        f"{count} waiters, half cancelled" + (f", with max_wait={max_wait:g}" if max_wait else ""),
        stuck=len(stuck),
        still_counted=waiting,
        in_order=in_order,
        met=not stuck and not waiting and in_order,
    )


def main() -> int:
    """Run what was asked for."""
    asked = sys.argv[1:] or ["uncontended", "crowd"]
    if "uncontended" in asked:
        if AsyncLimiter is None:
            print("aiolimiter, the peer, is missing: pip install 'whereby-async[bench]'", file=sys.stderr)
            return 2
        asyncio.run(uncontended([state for state in STATES if state in asked] or list(STATES)))
    if "crowd" in asked:
        counts = [int(word) for word in asked if word.isdigit()] or [10_000, 100_000]
        runs = [(crowd, count, max_wait) for count in counts for max_wait in (None, PATIENT)]
        runs += [(half_cancelled, 1_000, max_wait) for max_wait in (None, PATIENT)]
        for run, count, max_wait in runs:
            with asyncio.Runner(loop_factory=TimedLoop) as runner:
                runner.run(run(count, max_wait))
    for figure in missed:
        print(f"MISSED {figure}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
