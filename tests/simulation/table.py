"""The table of figures: what a budget must reach in each scenario, and what is aimed at."""

from __future__ import annotations

from functools import partial

from simulation import scenarios
from simulation.figures import Bound, Row
from simulation.scenarios import ALL_COST_THRICE, READS_COST_FIVE, WRITES_COST_TEN

WINDOWS = ("fixed", "aligned", "sliding_log")
POLICIES = (*WINDOWS, "token_bucket", "sliding_counter")
NONE = Bound(most=0)


def at_most(throttled: int) -> dict[str, Bound]:
    return {"throttled": Bound(most=throttled)}


def _alone() -> list[Row]:
    rows = [
        Row(
            f"sole consumer of {limit}, {name}",
            partial(scenarios.backlog, name=name, limit=limit),
            # On a log every point comes back by itself, and a call of three waits for three of them.
            {"throttled": NONE, "fill": Bound(least=0.995 if (name, limit) == ("sliding_log", 100) else least)},
        )
        for name in WINDOWS
        for limit, least in ((1000, 0.999), (100, 0.997))
    ]
    rows += [
        Row(
            f"sole consumer of {limit}, fixed, no headers",
            partial(scenarios.silent, limit=limit),
            {"throttled": NONE, "eff": Bound(least=least)},
        )
        for limit, least in ((1000, 0.99), (100, 0.985))
    ]
    rows += [
        Row(
            f"sole consumer, {name}",
            partial(scenarios.alone, name=name),
            {"throttled": Bound(most=most), "thru": Bound(least=least)},
            {"throttled": Bound(most=1), "thru": Bound(least=0.99)},
        )
        # A sliding counter does not count as either fact supposes.
        for name, most, least in (("token_bucket", 0, 0.99), ("sliding_counter", 4, 0.98))
    ]
    must = {"throttled": NONE, "share": Bound(least=0.9965)}
    return [*rows, Row("long run, fixed, 125 ms", scenarios.long_run, must)]


def _beside_others() -> list[Row]:
    rows = [
        Row(
            f"others {share:.0%}, {name}",
            partial(scenarios.among_others, name=name, share=share),
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
            partial(scenarios.among_others, name="fixed", share=0.3, rough=True),
            {"throttled": Bound(most=35), "thru": Bound(least=0.93)},
        ),
        *(
            Row(
                f"others {share:.0%}, in bursts",
                partial(scenarios.bursty_others, share=share),
                at_most(100),
                at_most(30),
            )
            for share in (0.3, 0.6)
        ),
        Row(
            "others take 60% at each window's start",
            scenarios.window_starts_taken,
            {"throttled": Bound(most=70), "thru": Bound(least=0.395)},
            {"throttled": Bound(most=40), "thru": Bound(least=0.6)},
        ),
        Row("on and off beside others 60%", scenarios.on_and_off, at_most(30)),
    ]


def _copies() -> list[Row]:
    return [
        Row(
            f"{count} copies without a store",
            *(partial(scenarios.copies, count=count), at_most(most), {"ratio": Bound(most=1.5)}),
        )
        for count, most in ((2, 25), (4, 60), (8, 100))
    ]


def _prices() -> list[Row]:
    thrice = partial(scenarios.prices, charged=ALL_COST_THRICE)
    reads = partial(scenarios.prices, charged=READS_COST_FIVE)
    return [
        Row("writes cost 10", partial(scenarios.prices, charged=WRITES_COST_TEN), at_most(5)),
        Row("reads cost 5", reads, at_most(5)),
        Row(
            "reads cost 5, loss, others 30%", partial(reads, share=0.3, network=scenarios.rough_network()), at_most(20)
        ),
        Row("all cost thrice the seed", thrice, at_most(5)),
        Row("all cost thrice the seed, others 30%", partial(thrice, share=0.3), at_most(20)),
    ]


def _surprises() -> list[Row]:
    rows = [
        Row(f"restart into 950 of 1000, {name}", partial(scenarios.restart, name=name), at_most(most), at_most(0))
        for name, most in zip(POLICIES, (0, 0, 0, 0, 5), strict=True)
    ]
    rows += [
        Row(f"{title}, {name}", partial(run, name=name), at_most(most), at_most(5))
        # After 60.5 s it falls while a whole window's calls are on their way, which nobody can recall.
        for title, most, run in (
            ("limit lowered after 60.5 s", 300, partial(scenarios.lowered, at=60.5)),
            ("limit lowered after 90 s", 10, partial(scenarios.lowered, at=90.0)),
            ("wrong plan", 15, scenarios.wrong_plan),
        )
        for name in POLICIES
    ]
    backlog = partial(scenarios.restart, name="fixed", style="none")
    return [
        *rows,
        Row("restart, silent, two callers", scenarios.silent_restart, at_most(30), at_most(10)),
        Row("restart, no headers, backlog", backlog, at_most(30), at_most(10)),
    ]


def _waits() -> list[Row]:
    rows = [
        Row(
            f"endless cheap calls, {name}",
            partial(scenarios.endless_cheap_calls, name=name),
            {"throttled": NONE, "inversions": Bound(most=3)},
        )
        for name in (*WINDOWS, "token_bucket")
    ]
    return [
        Row("12 calls every 3 s", scenarios.small_bursts, {"mean": Bound(most=0.02), "throttled": NONE}),
        Row(
            "interactive beside a batch",
            scenarios.two_priorities,
            {"throttled": NONE, "p99": Bound(most=1.0), "share": Bound(least=0.99)},
        ),
        Row(
            "half of 1,000 waiters cancelled",
            scenarios.half_cancelled,
            {
                "throttled": NONE,
                "served": Bound(least=500),
                "inversions": NONE,
                "points_back": Bound(least=1),
                "late": NONE,
            },
        ),
        *rows,
    ]


ROWS: list[Row] = [*_alone(), *_beside_others(), *_copies(), *_prices(), *_surprises(), *_waits()]
