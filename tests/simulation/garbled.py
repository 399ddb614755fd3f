"""Headers that say what is not true: once, always, or at random."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from simulation.callers import Callers, ChangedWorld, efficiency, fill
from simulation.policies import FixedWindow
from simulation.rows import Bound, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulation.rows import Maker
    from whereby_async.limiter import RateLimit

PERIOD: Final = 60.0
GUESSES: Final = (59, 47, 13, 6)


def limit_of_one(make: Maker, seed: int) -> Mapping[str, float]:
    """Two answers in a row say `X-RateLimit-Limit: 1` while creates wait; with odd seeds they are the first two ever."""
    dice = random.Random(seed)
    first = 1 if seed % 2 else dice.randint(5, 30)
    answers = 0

    def change(answer: RateLimit) -> RateLimit:
        nonlocal answers
        answers += 1
        return replace(answer, limit=1) if first <= answers < first + 2 else answer

    world = ChangedWorld(FixedWindow(100), seed=seed, change=change)
    callers = Callers(world, make(100))

    async def main() -> None:
        callers.backlog(90, group="before")
        for _ in range(5):
            callers.call(3, "create")
            callers.call(1, "read")
        for _ in range(10):
            await asyncio.sleep(dice.expovariate(1 / 3))
            callers.call(dice.choice((1, 3)))
        await callers.finish(10 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "refused": callers.refused, "longest": callers.longest()}


def limit_of_one_at_rest(make: Maker, seed: int) -> Mapping[str, float]:
    """The only two calls in flight are answered with `X-RateLimit-Limit: 1`; after that creates come, and reads behind them."""
    dice = random.Random(seed)
    garbled = False

    def change(answer: RateLimit) -> RateLimit:
        return replace(answer, limit=1) if garbled else answer

    world = ChangedWorld(FixedWindow(100), seed=seed, change=change)
    callers = Callers(world, make(100))

    async def main() -> None:
        nonlocal garbled
        for _ in range(dice.randint(0, 20)):
            await callers.call(1, "read", group="before")
        garbled = True
        await asyncio.gather(*(callers.call(1, "read", group="before") for _ in range(2)))
        garbled = False
        for _ in range(10):
            callers.call(3, "create")
            await asyncio.sleep(dice.expovariate(1))
        for _ in range(10):
            callers.call(1, "read")
        await callers.finish(10 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "refused": callers.refused, "longest": callers.longest()}


def garbled_prices(make: Maker, seed: int) -> Mapping[str, float]:
    """Four answers in a row of a backlog say that 59, 47, 13 and 6 points are left."""
    limit = 100 if seed % 2 else 1000
    first = random.Random(seed).randint(limit // 20, limit // 3)
    answers = 0

    def change(answer: RateLimit) -> RateLimit:
        nonlocal answers
        answers += 1
        said = answers - first
        return replace(answer, remaining=GUESSES[said]) if 0 <= said < len(GUESSES) else answer

    world = ChangedWorld(FixedWindow(limit), seed=seed, change=change)
    budget = make(limit)
    callers = Callers(world, budget)
    wrong = 0

    async def main() -> None:
        nonlocal wrong
        callers.backlog(5 * limit)
        await callers.finish(12 * PERIOD)
        wrong = sum(operation != f"cost{cost}" for operation, cost in budget.snapshot().costs.items())

    world.run(main)
    return {"429": len(world.throttled), "wrong prices": wrong, "seconds": world.done_at - 1000}


def remaining_never_moves(make: Maker, seed: int) -> Mapping[str, float]:
    """`X-RateLimit-Remaining` is always 990; the ledger alone has to keep the limit."""
    world = ChangedWorld(FixedWindow(1000), seed=seed, change=lambda answer: replace(answer, remaining=990))
    callers = Callers(world, make(1000))

    async def main() -> None:
        callers.backlog(10_000)
        await callers.finish(20 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "eff": efficiency(world), "fill": fill(world)}


def one_zero(make: Maker, seed: int) -> Mapping[str, float]:
    """In a trickle of calls one answer says that nothing is left."""
    dice = random.Random(seed)
    at = dice.randint(3, 40)
    answers = 0

    def change(answer: RateLimit) -> RateLimit:
        nonlocal answers
        answers += 1
        return replace(answer, remaining=0) if answers == at else answer

    world = ChangedWorld(FixedWindow(1000), seed=seed, change=change)
    callers = Callers(world, make(1000))

    async def main() -> None:
        for _ in range(100):
            await asyncio.sleep(dice.expovariate(1))
            callers.call(dice.choice((1, 2, 3)))
        await callers.finish(5 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "longest": callers.longest()}


def garbler(dice: random.Random, limit: int, share: float, *, agree: bool) -> Callable[[RateLimit], RateLimit]:
    """Replaces some of what such a share of the answers say by numbers that could be true.

    Limits above the true one differ from each other, unless they `agree`.
    """

    def said_limit() -> int:
        if agree:
            return dice.choice((1, limit // 10, limit // 2, limit - 1, limit * 2, limit * 5))
        return dice.choice((1, 2, limit // 10, dice.randint(1, limit), dice.randint(limit, 1_000_000)))

    def change(answer: RateLimit) -> RateLimit:
        if dice.random() >= share:
            return answer
        if dice.random() < 0.5:
            answer = replace(answer, limit=said_limit())
        if dice.random() < 0.5:
            answer = replace(answer, remaining=dice.choice((0, 1, limit - 1, dice.randint(0, limit))))
        if dice.random() < 0.5:
            answer = replace(answer, reset_in=dice.choice((0.0, 1.0, PERIOD, dice.uniform(0, 2 * PERIOD))))
        return answer

    return change


def random_garbage(make: Maker, seed: int, *, agree: bool) -> Mapping[str, float]:
    """A backlog of five windows, while 5 to 50 % of the answers are garbled."""
    dice = random.Random(seed)
    limit = dice.choice((100, 1000))
    world = ChangedWorld(
        FixedWindow(limit), seed=seed, change=garbler(dice, limit, dice.uniform(0.05, 0.5), agree=agree)
    )
    callers = Callers(world, make(limit))
    ended = 0.0

    async def main() -> None:
        nonlocal ended
        callers.backlog(5 * limit)
        await callers.finish(25 * PERIOD)
        ended = world.now()

    world.run(main)
    moments = [1000.0, *(at for at, _, _ in world.arrivals), ended]
    return {
        "429": len(world.throttled),
        "refused": callers.refused,
        "silent": max(after - before for before, after in pairwise(moments)),
        "seconds": ended - 1000,
    }


ROWS: list[Row] = [
    Row(
        "garbled: two answers say Limit 1 while a create waits",
        limit_of_one,
        {"429": Bound(most=0), "refused": Bound(most=0), "longest": Bound(most=2 * PERIOD + 1)},
        seeds=10,
    ),
    Row(
        "garbled: two answers say Limit 1, then creates come",
        limit_of_one_at_rest,
        {"429": Bound(most=0), "refused": Bound(most=0), "longest": Bound(most=2 * PERIOD + 1)},
        seeds=10,
    ),
    Row(
        "garbled: Remaining 59, 47, 13, 6 within a backlog",
        garbled_prices,
        {"429": Bound(most=0), "wrong prices": Bound(most=0), "seconds": Bound(most=7 * PERIOD)},
        seeds=10,
    ),
    Row(
        "garbled: Remaining is always 990",
        remaining_never_moves,
        {"429": Bound(most=0)},
        {"eff": Bound(least=0.99)},
    ),
    Row(
        "garbled: one answer of a trickle says Remaining 0",
        one_zero,
        {"429": Bound(most=0), "longest": Bound(most=2.1)},
        seeds=10,
    ),
    Row(
        "garbled: 5 to 50 % of the answers of a backlog",
        partial(random_garbage, agree=False),
        {"429": Bound(most=100), "refused": Bound(most=0), "silent": Bound(most=2 * PERIOD + 1)},
        {"429": Bound(most=5)},
        seeds=20,
    ),
    Row(
        "garbled: the same, with higher limits that agree",
        partial(random_garbage, agree=True),
        {"refused": Bound(most=0), "silent": Bound(most=2 * PERIOD + 1)},
        {"429": Bound(most=5)},
        seeds=20,
    ),
]
