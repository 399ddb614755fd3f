"""Sole consumers in trouble: hung calls, idleness, starvation, odd servers, gateways, garbled headers, batches."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace
from simulation.beside_batch import ROWS as BESIDE_BATCH
from simulation.figures import Bound, Row, efficiency, fill
from simulation.world import (
    MIXED,
    AlignedWindow,
    Callers,
    ChangedWorld,
    FixedWindow,
    Network,
    Policy,
    SlidingLog,
    TokenBucket,
    World,
)

from whereby_async.limiter import Priority, RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.figures import Figures, Maker

PERIOD: Final = 60.0
HANG: Final = 30.0


def call_hangs(make: Maker, seed: int, *, warm: bool) -> Figures:
    """An answer takes 30 s; ten calls come right behind it, ten more in the meantime.

    It is the very first one; or the budget is `warm`: it knows its server, and has been idle for 10 s.
    """
    world = World(FixedWindow(1000), seed=seed)
    callers = Callers(world, make(1000))

    async def main() -> None:
        if warm:
            await _warm_up(callers)
            await asyncio.sleep(10)
        callers.call(1, "" if warm else "slow", group="hung", hang=HANG)
        await asyncio.sleep(world.dice.uniform(0, 0.2))
        for _ in range(10):
            callers.call(world.dice.choice(MIXED))
        for _ in range(10):
            await asyncio.sleep(world.dice.uniform(0, 5))
            callers.call(world.dice.choice(MIXED))
        await callers.finish(5 * PERIOD)

    world.run(main)
    return callers.figures("")


def lost_in_doubt(make: Maker, seed: int) -> Figures:
    """Somebody else has spent a few hundred points, which we notice; then a call is out for 30 s and lost.

    At least half of the window is left, so nobody has to wait for points. The others come one by one, since in doubt
    calls may go one by one.
    """
    world = World(FixedWindow(1000), seed=seed)
    callers = Callers(world, make(1000))
    dice = world.dice

    async def main() -> None:
        await _warm_up(callers)
        for _ in range(dice.randint(100, 300)):
            world.serve(1, ours=False)
        for _ in range(3):
            await callers.call(1, group="before")
        callers.call(1, group="lost", hang=-HANG)
        for _ in range(20):
            await asyncio.sleep(dice.uniform(0.5, 2.0))
            callers.call(1)
        await callers.finish(5 * PERIOD)

    world.run(main)
    return callers.figures("")


async def _warm_up(callers: Callers) -> None:
    """Some calls one after the other, then some at once."""
    for cost in MIXED * 2:
        await callers.call(cost, group="before")
    await asyncio.gather(*(callers.call(cost, group="before") for cost in MIXED * 4))


def idleness(make: Maker, seed: int) -> Figures:
    """After 5 to 300 s of nothing come 100 calls at once, on any kind of window, and there are points for them all."""
    dice = random.Random(seed)
    aligned = AlignedWindow(1000, phase=dice.uniform(0, PERIOD))
    policies: list[Policy] = [FixedWindow(1000), aligned, SlidingLog(1000), TokenBucket(1000)]
    world = World(dice.choice(policies), seed=seed)
    callers = Callers(world, make(1000))

    async def main() -> None:
        await _warm_up(callers)
        await asyncio.sleep(5 * 60 ** dice.random())
        for _ in range(100):
            callers.call(dice.choice(MIXED))
        await callers.finish(5 * PERIOD)

    world.run(main)
    return callers.figures("")


def starved(make: Maker, seed: int) -> Figures:
    """There are always twenty interactive calls or more that wait; one `NORMAL` call of a new operation comes."""
    world = World(FixedWindow(100), seed=seed)
    callers = Callers(world, make(100))
    dice = world.dice

    async def main() -> None:
        # Of 80 callers at most 58 have a permit: their calls cost 1.75 points in the mean, and the limit is 100.
        for cost in (1, 1, 2, 3):
            callers.loops(20, cost, f"screen{cost}", priority=Priority.INTERACTIVE, group="screen")
        await asyncio.sleep(dice.uniform(1, 3) * PERIOD)
        callers.call(dice.choice(MIXED), "rooms.new")
        await callers.finish(8 * PERIOD, "")
        await callers.finish(0)

    world.run(main)
    return {"429": len(world.throttled), "periods": callers.longest("") / PERIOD}


def retry_at_once(make: Maker, seed: int, *, headers: bool) -> Figures:
    """For a minute the server refuses everything and says `Retry-After: 0`; there are twenty callers."""
    said: dict[str, Any] = {"limit": 1000, "remaining": 0} if headers else {}
    refusal = RateLimit(throttled=True, retry_after=0.0, **said)
    world = ChangedWorld(FixedWindow(1000), seed=seed)
    world.gateway = lambda: refusal if world.now() < 1000 + PERIOD else None
    callers = Callers(world, make(1000))

    async def main() -> None:
        callers.loops(20, 1, "read")
        await asyncio.sleep(PERIOD)
        await callers.stop("")

    world.run(main)
    return {"429": len(world.throttled)}


def nodes(make: Maker, seed: int, *, style: str) -> Figures:
    """Two nodes share the counter; their clocks differ by up to 5 s, and each tells `Date` and the reset by its own."""
    dice = random.Random(seed)
    skews = (0.0, dice.uniform(-5, 5))

    class Nodes(World):
        def serve(self, cost: int, operation: str = "", *, ours: bool = True) -> RateLimit:
            self.skew = dice.choice(skews)
            return super().serve(cost, operation, ours=ours)

    world = Nodes(FixedWindow(1000), style, seed=seed)
    callers = Callers(world, make(1000))

    async def main() -> None:
        callers.backlog(6000)
        await callers.finish(12 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "fill": fill(world), "eff": efficiency(world)}


def bare_refusal(make: Maker, seed: int) -> Figures:
    """A gateway refuses a single call, without headers or body, while 990 points of 1,000 are left."""
    refuse = False

    def gateway() -> RateLimit | None:
        nonlocal refuse
        answer = RateLimit(throttled=True) if refuse else None
        refuse = False
        return answer

    world = ChangedWorld(FixedWindow(1000), seed=seed, gateway=gateway)
    callers = Callers(world, make(1000))
    dice = world.dice

    async def main() -> None:
        nonlocal refuse
        for _ in range(5):
            await callers.call(2)
            await asyncio.sleep(dice.uniform(0, 2))
        refuse = True
        await asyncio.gather(callers.call(1, group="refused"), asyncio.sleep(dice.uniform(0.05, 0.3)))
        for _ in range(30):
            callers.call(dice.choice(MIXED))
            await asyncio.sleep(dice.expovariate(3))
        await callers.finish(5 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "refused call": callers.longest("refused"), "others": callers.longest("")}


def gateway_bucket(make: Maker, seed: int) -> Figures:
    """A gateway in front of the server takes 50 calls a second and 20 at once, and refuses the rest without a word."""
    bucket = TokenBucket(20, 20 / 50)

    def gateway() -> RateLimit | None:
        return None if bucket.spend(world.now(), 1).taken else RateLimit(throttled=True)

    world = ChangedWorld(FixedWindow(1000), seed=seed, gateway=gateway)
    callers = Callers(world, make(1000))
    done = False

    async def main() -> None:
        nonlocal done
        callers.backlog(1000, (1,))
        done = await callers.finish(20 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "seconds": world.done_at - 1000 if done else 20 * PERIOD}


def silent(make: Maker, seed: int, *, known: bool) -> Figures:
    """The server has no headers; the limit is known, or assumed rightly. Odd seeds have an aligned window."""
    limit = 1000 if known else 100
    phase = random.Random(seed).uniform(0, PERIOD)
    world = World(AlignedWindow(limit, phase=phase) if seed % 2 else FixedWindow(limit), "none", seed=seed)
    callers = Callers(world, make(limit if known else None))

    async def main() -> None:
        callers.backlog(10 * limit)
        await callers.finish(20 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "eff": efficiency(world)}


def short_windows(make: Maker, seed: int, *, aligned: bool) -> Figures:
    """350 reads with default options, while the server's windows of 100 points last 4 s."""
    phase = random.Random(seed).uniform(0, 4)
    world = World(AlignedWindow(100, 4.0, phase=phase) if aligned else FixedWindow(100, 4.0), seed=seed)
    callers = Callers(world, make())

    async def main() -> None:
        callers.backlog(350, (1,))
        await callers.finish(10 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "seconds": world.done_at - 1000}


def lost_answers(make: Maker, seed: int) -> Figures:
    """Of all calls 5 % never arrive and 5 % are served without an answer."""
    world = World(FixedWindow(1000), network=Network(lost_before=0.05, lost_after=0.05), seed=seed)
    callers = Callers(world, make(1000))
    through = 0.0

    async def main() -> None:
        nonlocal through
        callers.backlog(12_000)
        await asyncio.sleep(10 * PERIOD)
        through = world.points / 10_000
        await callers.finish(0)

    world.run(main)
    return {"429": len(world.throttled), "thru": through}


# Headers that say what is not true: once, always, or at random

GUESSES: Final = (59, 47, 13, 6)


def limit_of_one(make: Maker, seed: int) -> Figures:
    """Two answers in a row say `X-RateLimit-Limit: 1` while creates wait; with odd seeds the first two ever do."""
    dice = random.Random(seed)
    first = 1 if seed % 2 else dice.randint(5, 30)

    def change(answer: RateLimit, number: int) -> RateLimit:
        return replace(answer, limit=1) if first <= number < first + 2 else answer

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
    return {"refused": callers.refused, **callers.figures()}


def limit_of_one_at_rest(make: Maker, seed: int) -> Figures:
    """The only two calls in flight are answered with `X-RateLimit-Limit: 1`; then creates come, and reads behind."""
    dice = random.Random(seed)
    garbled = False

    def change(answer: RateLimit, _: int) -> RateLimit:
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
    return {"refused": callers.refused, **callers.figures()}


def garbled_prices(make: Maker, seed: int) -> Figures:
    """Four answers in a row of a backlog say that 59, 47, 13 and 6 points are left."""
    limit = 100 if seed % 2 else 1000
    first = random.Random(seed).randint(limit // 20, limit // 3)

    def change(answer: RateLimit, number: int) -> RateLimit:
        said = number - first
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


def remaining_never_moves(make: Maker, seed: int) -> Figures:
    """`X-RateLimit-Remaining` is always 990; the ledger alone has to keep the limit."""
    world = ChangedWorld(FixedWindow(1000), seed=seed, change=lambda answer, _: replace(answer, remaining=990))
    callers = Callers(world, make(1000))

    async def main() -> None:
        callers.backlog(10_000)
        await callers.finish(20 * PERIOD)

    world.run(main)
    return {"429": len(world.throttled), "eff": efficiency(world), "fill": fill(world)}


def one_zero(make: Maker, seed: int) -> Figures:
    """In a trickle of calls one answer says that nothing is left."""
    dice = random.Random(seed)
    at = dice.randint(3, 40)
    world = ChangedWorld(FixedWindow(1000), seed=seed)
    world.change = lambda answer, number: replace(answer, remaining=0) if number == at else answer
    callers = Callers(world, make(1000))

    async def main() -> None:
        for _ in range(100):
            await asyncio.sleep(dice.expovariate(1))
            callers.call(dice.choice((1, 2, 3)))
        await callers.finish(5 * PERIOD)

    world.run(main)
    return callers.figures()


def garbler(dice: random.Random, limit: int, share: float, *, agree: bool) -> Callable[[RateLimit, int], RateLimit]:
    """Replaces some of what such a share of the answers say by numbers that could be true.

    Limits above the true one differ from each other, unless they `agree`.
    """

    def said_limit() -> int:
        if agree:
            return dice.choice((1, limit // 10, limit // 2, limit - 1, limit * 2, limit * 5))
        return dice.choice((1, 2, limit // 10, dice.randint(1, limit), dice.randint(limit, 1_000_000)))

    def change(answer: RateLimit, _: int) -> RateLimit:
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


def random_garbage(make: Maker, seed: int, *, agree: bool) -> Figures:
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


_NONE = Bound(most=0)
_SOON = {"429": _NONE, "longest": Bound(most=2.1)}
_HEARD = {"refused": _NONE, "silent": Bound(most=2 * PERIOD + 1)}
_SERVED = {"429": _NONE, "refused": _NONE, "longest": Bound(most=2 * PERIOD + 1)}
_NEAR_FULL = {"eff": Bound(least=0.99)}

ROWS: list[Row] = [
    *BESIDE_BATCH,
    Row("the first call hangs", partial(call_hangs, warm=False), {"429": _NONE, "longest": Bound(most=4.1)}),
    Row("a warm call hangs after idleness", partial(call_hangs, warm=True), _SOON),
    Row("a call is lost in doubt", lost_in_doubt, _SOON),
    Row("100 calls after idleness", idleness, {"429": _NONE, "longest": Bound(most=1.5)}, seeds=20),
    Row("a new operation behind interactive calls", starved, {"429": _NONE, "periods": Bound(most=2.1)}, seeds=10),
    Row("Retry-After: 0 for a minute, Remaining 0", partial(retry_at_once, headers=True), {"429": Bound(most=10)}),
    Row("Retry-After: 0 for a minute, nothing else", partial(retry_at_once, headers=False), {"429": Bound(most=10)}),
    Row("garbled: two answers say Limit 1 while a create waits", limit_of_one, _SERVED, seeds=10),
    Row("garbled: two answers say Limit 1, then creates come", limit_of_one_at_rest, _SERVED, seeds=10),
    Row(
        "garbled: Remaining 59, 47, 13, 6 within a backlog",
        garbled_prices,
        {"429": _NONE, "wrong prices": _NONE, "seconds": Bound(most=7 * PERIOD)},
        seeds=10,
    ),
    Row("garbled: Remaining is always 990", remaining_never_moves, {"429": _NONE}, _NEAR_FULL),
    Row("garbled: one answer of a trickle says Remaining 0", one_zero, _SOON, seeds=10),
    Row(
        "garbled: 5 to 50 % of the answers of a backlog",
        partial(random_garbage, agree=False),
        {"429": Bound(most=100), **_HEARD},
        {"429": Bound(most=5)},
        seeds=20,
    ),
    Row(
        "garbled: the same, with higher limits that agree",
        partial(random_garbage, agree=True),
        _HEARD,
        {"429": Bound(most=5)},
        seeds=20,
    ),
    *(
        Row(
            f"two nodes with clocks of their own, {style}",
            partial(nodes, style=style),
            {"429": _NONE, "fill": Bound(least=0.99)},
            _NEAR_FULL,
            seeds=10,
        )
        for style in ("js", "epoch_ceil")
    ),
    Row("one bare 429", bare_refusal, {"refused call": Bound(most=2.0), "others": Bound(most=2.0)}),
    Row(
        "a gateway's bucket in front",
        *(gateway_bucket, {"429": Bound(most=131), "seconds": Bound(most=300)}, {"429": Bound(most=60)}),
    ),
    Row("no headers, limit known", partial(silent, known=True), {"429": _NONE, **_NEAR_FULL}),
    # One point that nobody can use is a hundredth of such a window.
    Row(
        "no headers, limit unknown", partial(silent, known=False), {"429": _NONE, "eff": Bound(least=0.985)}, _NEAR_FULL
    ),
    *(
        Row(
            f"350 reads against {'aligned' if aligned else 'fixed'} windows of 4 s",
            partial(short_windows, aligned=aligned),
            {"429": Bound(most=5), "seconds": Bound(most=30)},
            {"seconds": Bound(most=15)},
        )
        for aligned in (False, True)
    ),
    Row("a tenth of the answers lost", lost_answers, {"429": _NONE, "thru": Bound(least=0.9)}),
]
