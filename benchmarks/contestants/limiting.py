"""The process that tries limiters when asked: real time for the uncontended ones, a simulated clock for all else.

python -m benchmarks.contestants.limiting [simulated]
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from benchmarks.contestants.limiters import OURS, PEERS, limiter, simulated_time
from benchmarks.kit.children import answer_questions
from benchmarks.kit.environments import ROOT
from whereby_async.limiter import PointBudget, RateLimit
from whereby_async.testing.clock import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

    from whereby_async.limiter import Limiter

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
ROOM = 1_000_000_000
WARM = 200
"""Calls before those that are timed."""
BEGIN = 1000.0
"""When simulations begin."""


_TICK = 1e-6


class CountingLoop(SimulatedLoop):
    """A simulated loop that counts what it is asked to run, and notes its longest turn.

    Each turn takes a microsecond of its time, as it does in life: a limiter that sets its timer for now, over and over, would never
    come to an end otherwise.
    """

    turns = 0
    events = 0
    longest = 0.0

    def time(self) -> float:
        """The simulated time."""
        return super().time() + self.turns * _TICK

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As ever, counted."""
        self.events += 1
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As ever, counted."""
        self.events += 1
        return super().call_at(when, callback, *args, context=context)

    def _run_once(self) -> None:
        self.turns += 1
        began = time.perf_counter()
        super()._run_once()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - asyncio's own
        self.longest = max(self.longest, time.perf_counter() - began)


async def ours_uncontended(calls: int) -> float:
    """Seconds for our acquire and settle, once the budget has found its stride; the answers are made before."""
    budget = PointBudget(ROOM)
    answers = [RateLimit(limit=ROOM, remaining=ROOM - 1 - number, reset_in=30.5) for number in range(calls + WARM)]

    async def settle(answers: list[RateLimit]) -> None:
        for answer in answers:
            permit = await budget.acquire(1, operation="meetings.get")
            permit.settle(answer)

    await settle(answers[:WARM])
    rest = answers[WARM:]
    began = time.process_time()
    await settle(rest)
    return time.process_time() - began


async def peers_uncontended(name: str, calls: int) -> float:
    """Seconds for a peer's acquire; there is nothing to give back."""
    peer = PEERS[name](ROOM if name != "throttled-py" else ROOM // 1000)
    for _ in range(WARM):
        await peer.acquire(1)
    began = time.process_time()
    for _ in range(calls):
        await peer.acquire(1)
    return time.process_time() - began


def uncontended(name: str, calls: int) -> dict[str, Any]:
    """Nanoseconds for one call that need not wait."""
    gc.collect()
    seconds = asyncio.run(ours_uncontended(calls) if name == OURS else peers_uncontended(name, calls))
    return {"ns": seconds / calls * 1e9}


class Crowd:
    """So many tasks that wait for points of the next minute."""

    def __init__(self, name: str, count: int) -> None:
        self._count = count
        self._left = count
        self._served = asyncio.Event()
        self._limiter: Limiter = limiter(name, count + 1)
        self._tasks: list[asyncio.Task[None]] = []
        self.order: list[int] = []

    async def spend(self) -> None:
        """Take all there is, so that whoever comes has to wait."""
        first = await self._limiter.acquire(1)
        first.settle(RateLimit(limit=self._count + 1, remaining=self._count))
        held = [await self._limiter.acquire(1) for _ in range(self._count)]
        for permit in held:
            permit.lost()

    async def queue(self) -> None:
        """Let all of them wait. The simulated clock stands still meanwhile."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._call(number)) for number in range(self._count)]
        for _ in range(10):
            await asyncio.sleep(0)

    async def _call(self, number: int) -> None:
        permit = await self._limiter.acquire(1, operation="meetings.get")
        permit.lost()
        self.order.append(number)
        self._left -= 1
        if not self._left:
            self._served.set()

    async def serve(self) -> None:
        """Until all have got their points."""
        await self._served.wait()


async def _bytes(name: str, count: int) -> dict[str, Any]:
    crowd = Crowd(name, count)
    await crowd.spend()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await crowd.queue()
    size = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    await crowd.serve()
    return {"bytes": size}


async def _crowd(name: str, count: int) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    crowd = Crowd(name, count)
    await crowd.spend()
    began = time.process_time()
    await crowd.queue()
    queued = time.process_time() - began
    gc.collect()
    gc.freeze()
    await asyncio.sleep(0)
    loop.longest, loop.events = 0.0, 0
    began = time.process_time()
    await crowd.serve()
    granted = time.process_time() - began
    gc.unfreeze()
    return {
        "cpu_us": (queued + granted) / count * 1e6,
        "events": loop.events / count,
        "stall_ms": loop.longest * 1e3,
        "inversions": sum(one > other for one, other in zip(crowd.order, crowd.order[1:], strict=False)),
    }


def _run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=lambda: CountingLoop(BEGIN)) as runner:
        return runner.run(main)


def crowd(name: str, count: int) -> dict[str, Any]:
    """CPU, events and the longest turn while so many are served."""
    return _run(_crowd(name, count))


def waiting(name: str, count: int) -> dict[str, Any]:
    """Bytes for each that waits, with its task."""
    return _run(_bytes(name, count))


def goodput(name: str, server: str, points: int, seed: int) -> dict[str, Any]:
    """A backlog against a simulated server of 1,000 points a minute: how long it took, how often it was refused."""
    sys.path.insert(0, str(ROOT / "tests"))
    from simulation.world import World, policy_of

    world = World(policy=policy_of(server.removesuffix(", spent"), seed=seed), seed=seed)

    async def main() -> None:
        if server.endswith(", spent"):
            for _ in range(950):
                world.serve(1, ours=False)
            await asyncio.sleep(20)
        await world.backlog(limiter(name, 1000), points)

    _run(main())
    return {"seconds": world.done_at - BEGIN, "throttled": len(world.throttled)}


def main() -> None:
    """Run it."""
    if sys.argv[1:] == ["simulated"]:
        simulated_time()
    answer_questions({"uncontended": uncontended, "crowd": crowd, "waiting": waiting, "goodput": goodput})


if __name__ == "__main__":
    main()
