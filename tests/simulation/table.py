"""The table of figures: what a budget must reach in each scenario, and what is aimed at."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from . import scenarios, sharing
from .rows import Bound, Row
from .sharing import ALL_COST_THRICE, READS_COST_FIVE, WRITES_COST_TEN
from .world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .rows import Maker
    from .scenarios import Outcome

WINDOWS = ("fixed", "aligned", "sliding_log")
POLICIES = (*WINDOWS, "token_bucket", "sliding_counter")
FEW = Bound(most=5)
AT_MOST_30 = {"throttled": Bound(most=30)}
NONE = Bound(most=0)


def picked(run: Callable[..., Outcome], *figures: str, **given: object) -> Callable[[Maker, int], Mapping[str, float]]:
    """A scenario as a row wants it: these figures of its outcome."""
    return partial(_picked, run, figures, given)


def _picked(
    run: Callable[..., Outcome], figures: tuple[str, ...], given: Mapping[str, object], make: Maker, seed: int
) -> Mapping[str, float]:
    outcome = run(seed=seed, make=make, **given)
    return {figure: getattr(outcome, figure) for figure in figures}


def rough(make: Maker, seed: int, *, name: str) -> Mapping[str, float]:
    """Beside others, over a rough network, by a server whose clock is wrong."""
    skew = random.Random(seed).uniform(-30, 30)
    outcome = scenarios.among_others(name, 0.3, seed, network=sharing.rough_network(), skew=skew, make=make)
    return {"throttled": outcome.throttled, "thru": outcome.share}


def beside(make: Maker, seed: int, *, name: str, share: float) -> Mapping[str, float]:
    """Beside others."""
    outcome = scenarios.among_others(name, share, seed, make=make)
    return {"throttled": outcome.throttled, "thru": outcome.share}


def in_bursts(make: Maker, seed: int, *, share: float) -> Mapping[str, float]:
    """Beside others who come in bursts."""
    outcome = scenarios.bursty_others(share, seed, make=make)
    return {"throttled": outcome.throttled, "thru": outcome.share}


def at_window_starts(make: Maker, seed: int) -> Mapping[str, float]:
    """Beside others who come first."""
    outcome = sharing.window_starts_taken(make, seed)
    return {"throttled": outcome.throttled, "thru": outcome.share}


def alone(make: Maker, seed: int, *, name: str) -> Mapping[str, float]:
    """The sole consumer of a server whose points flow back evenly."""
    world = World(policy=scenarios.policy_of(name, seed=seed), seed=seed)
    outcome = scenarios.saturated(world, make(1000), warm=1.0)
    return {"throttled": outcome.throttled, "thru": outcome.share}


def half_cancelled(make: Maker, seed: int) -> Mapping[str, float]:
    """Half of a thousand waiting calls are cancelled: `late` are seconds beyond what the rest takes."""
    outcome = scenarios.half_cancelled(seed, make=make)
    return {
        "throttled": outcome.throttled,
        "served": outcome.share,
        "inversions": outcome.inversions,
        "points_back": outcome.fill,
        "late": outcome.seconds - (outcome.share // 100) * 60.2 - 1,
    }


def _alone() -> list[Row]:
    rows = [
        Row(
            f"sole consumer of {limit}, {name}",
            picked(scenarios.backlog, "throttled", "fill", "seconds", name=name, limit=limit),
            # On a log every point comes back by itself, and a call of three waits for three of them.
            {"throttled": NONE, "fill": Bound(least=0.995 if (name, limit) == ("sliding_log", 100) else least)},
        )
        for name in WINDOWS
        for limit, least in ((1000, 0.999), (100, 0.997))
    ]
    rows += [
        Row(
            f"sole consumer of {limit}, fixed, no headers",
            partial(sharing.silent, name="fixed", limit=limit),
            {"throttled": NONE, "eff": Bound(least=least)},
        )
        for limit, least in ((1000, 0.99), (100, 0.985))
    ]
    rows += [
        Row(
            f"sole consumer, {name}",
            partial(alone, name=name),
            {"throttled": Bound(most=most), "thru": Bound(least=least)},
            {"throttled": Bound(most=1), "thru": Bound(least=0.99)},
        )
        # A sliding counter does not count as either fact supposes.
        for name, most, least in (("token_bucket", 0, 0.99), ("sliding_counter", 4, 0.98))
    ]
    long = picked(scenarios.long_run, "throttled", "share")
    return [*rows, Row("long run, fixed, 125 ms", long, {"throttled": NONE, "share": Bound(least=0.9965)})]


def _beside_others() -> list[Row]:
    rows = [
        Row(
            f"others {share:.0%}, {name}",
            partial(beside, name=name, share=share),
            {"throttled": Bound(most=20), "thru": Bound(least=0.93 if name == "sliding_counter" else 0.95)},
            {"throttled": Bound(most=12), "thru": Bound(least=0.95)},
        )
        for name in POLICIES
        for share in (0.3, 0.6)
    ]
    return [
        *rows,
        Row(
            "others 30%, loss, reorder, skew",
            partial(rough, name="fixed"),
            {"throttled": Bound(most=35), "thru": Bound(least=0.93)},
        ),
        Row("others 30%, in bursts", partial(in_bursts, share=0.3), {"throttled": Bound(most=100)}, AT_MOST_30),
        Row("others 60%, in bursts", partial(in_bursts, share=0.6), {"throttled": Bound(most=100)}, AT_MOST_30),
        Row(
            "others take 60% at each window's start",
            at_window_starts,
            {"throttled": Bound(most=70), "thru": Bound(least=0.395)},
            {"throttled": Bound(most=40), "thru": Bound(least=0.6)},
        ),
        Row("on and off beside others 60%", sharing.on_and_off, {"throttled": Bound(most=30)}),
    ]


def _copies() -> list[Row]:
    return [
        Row(
            f"{count} copies without a store",
            partial(sharing.copies, count=count),
            {"throttled": Bound(most=most)},
            {"ratio": Bound(most=1.5)},
        )
        for count, most in ((2, 25), (4, 60), (8, 100))
    ]


def _prices() -> list[Row]:
    few, some = {"throttled": FEW}, {"throttled": Bound(most=20)}
    thrice = partial(sharing.prices, charged=ALL_COST_THRICE)
    return [
        Row("writes cost 10", partial(sharing.prices, charged=WRITES_COST_TEN), few),
        Row("reads cost 5", partial(sharing.prices, charged=READS_COST_FIVE), few),
        Row(
            "reads cost 5, loss, others 30%",
            partial(sharing.prices, charged=READS_COST_FIVE, share=0.3, network=sharing.rough_network()),
            some,
        ),
        Row("all cost thrice the seed", thrice, few),
        Row("all cost thrice the seed, others 30%", partial(thrice, share=0.3), some),
    ]


def _surprises() -> list[Row]:
    rows = [
        Row(
            f"restart into 950 of 1000, {name}",
            picked(scenarios.restart, "throttled", "seconds", name=name),
            {"throttled": most},
            {"throttled": NONE},
        )
        for name, most in zip(POLICIES, (NONE, NONE, NONE, NONE, FEW), strict=True)
    ]
    rows += [
        Row(
            f"{title}, {name}",
            picked(run, "throttled", "seconds", name=name, **given),
            {"throttled": Bound(most=most)},
            {"throttled": FEW},
        )
        # After 60.5 s it falls while a whole window's calls are on their way, which nobody can recall.
        for title, most, run, given in (
            ("limit lowered after 60.5 s", 300, scenarios.lowered, {"at": 60.5}),
            ("limit lowered after 90 s", 10, scenarios.lowered, {"at": 90.0}),
            ("wrong plan", 15, scenarios.wrong_plan, {}),
        )
        for name in POLICIES
    ]
    backlog = picked(scenarios.restart, "throttled", "seconds", name="fixed", style="none")
    most = {"throttled": Bound(most=30)}
    return [
        *rows,
        Row("restart, silent, two callers", sharing.silent_restart, most, {"throttled": Bound(most=10)}),
        Row("restart, no headers, backlog", backlog, most, {"throttled": Bound(most=10)}),
    ]


def _waits() -> list[Row]:
    rows = [
        Row(
            f"endless cheap calls, {name}",
            picked(scenarios.endless_cheap_calls, "throttled", "inversions", name=name),
            {"throttled": NONE, "inversions": Bound(most=3)},
        )
        for name in (*WINDOWS, "token_bucket")
    ]
    return [
        Row("12 calls every 3 s", sharing.small_bursts, {"mean": Bound(most=0.02), "throttled": NONE}),
        Row(
            "interactive beside a batch",
            picked(scenarios.two_lanes, "throttled", "p99", "worst", "share"),
            {"throttled": NONE, "p99": Bound(most=1.0), "share": Bound(least=0.99)},
        ),
        Row(
            "half of 1,000 waiters cancelled",
            half_cancelled,
            {
                "throttled": NONE,
                "served": Bound(least=500),
                "inversions": NONE,
                "points_back": Bound(least=1),
                "late": Bound(most=0),
            },
        ),
        *rows,
    ]


ROWS: list[Row] = [*_alone(), *_beside_others(), *_copies(), *_prices(), *_surprises(), *_waits()]
