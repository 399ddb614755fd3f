"""The table of figures: what a budget must reach in each scenario, and what is aimed at."""

from __future__ import annotations

from functools import partial

from simulation import scenarios
from simulation.figures import Bound, Row
from simulation.scenarios import ALL_COST_THRICE, READS_COST_FIVE, WRITES_COST_TEN

WINDOWS = ("fixed", "aligned", "sliding_log")
POLICIES = (*WINDOWS, "token_bucket", "sliding_counter")

thrice = partial(scenarios.prices, charged=ALL_COST_THRICE)
reads = partial(scenarios.prices, charged=READS_COST_FIVE)


def bounds(throttled: int, **least: float) -> dict[str, Bound]:
    """At most so many 429s, and at least so much of the other figures."""
    return {"throttled": Bound(most=throttled), **{name: Bound(least=value) for name, value in least.items()}}


ROWS: list[Row] = [
    # Alone
    *(
        Row(
            f"sole consumer of {limit}, {name}",
            partial(scenarios.backlog, name=name, limit=limit),
            # On a log every point comes back by itself, and a call of three waits for three of them.
            bounds(0, fill=0.995 if (name, limit) == ("sliding_log", 100) else least),
        )
        for name in WINDOWS
        for limit, least in ((1000, 0.999), (100, 0.997))
    ),
    *(
        Row(
            f"sole consumer of {limit}, fixed, no headers", partial(scenarios.silent, limit=limit), bounds(0, eff=least)
        )
        for limit, least in ((1000, 0.99), (100, 0.985))
    ),
    *(
        Row(
            f"sole consumer, {name}",
            partial(scenarios.alone, name=name),
            bounds(most, thru=least),
            bounds(1, thru=0.99),
        )
        # A sliding counter does not count as either fact supposes.
        for name, most, least in (("token_bucket", 0, 0.99), ("sliding_counter", 4, 0.98))
    ),
    Row("long run, fixed, 125 ms", scenarios.long_run, bounds(0, share=0.9965)),
    # Beside others
    *(
        Row(
            f"others {share:.0%}, {name}",
            partial(scenarios.among_others, name=name, share=share),
            bounds(20, thru=0.93 if name == "sliding_counter" else 0.95),
            bounds(12, thru=0.95),
        )
        for name in POLICIES
        for share in (0.3, 0.6)
    ),
    Row(
        "others 30%, loss, reorder, skew",
        partial(scenarios.among_others, name="fixed", share=0.3, rough=True),
        bounds(35, thru=0.93),
    ),
    *(
        Row(f"others {share:.0%}, in bursts", partial(scenarios.bursty_others, share=share), bounds(100), bounds(30))
        for share in (0.3, 0.6)
    ),
    Row(
        "others take 60% at each window's start",
        *(scenarios.window_starts_taken, bounds(70, thru=0.395), bounds(40, thru=0.6)),
    ),
    Row("on and off beside others 60%", scenarios.on_and_off, bounds(30)),
    *(
        Row(
            f"{count} copies without a store",
            *(partial(scenarios.copies, count=count), bounds(most), {"ratio": Bound(most=1.5)}),
        )
        for count, most in ((2, 25), (4, 60), (8, 100))
    ),
    # Prices
    Row("writes cost 10", partial(scenarios.prices, charged=WRITES_COST_TEN), bounds(5)),
    Row("reads cost 5", reads, bounds(5)),
    Row("reads cost 5, loss, others 30%", partial(reads, share=0.3, network=scenarios.rough_network()), bounds(20)),
    Row("all cost thrice the seed", thrice, bounds(5)),
    Row("all cost thrice the seed, others 30%", partial(thrice, share=0.3), bounds(20)),
    # Surprises
    *(
        Row(f"restart into 950 of 1000, {name}", partial(scenarios.restart, name=name), bounds(most), bounds(0))
        for name, most in zip(POLICIES, (0, 0, 0, 0, 5), strict=True)
    ),
    *(
        Row(f"{title}, {name}", partial(run, name=name), bounds(most), bounds(5))
        # After 60.5 s it falls while a whole window's calls are on their way, which nobody can recall.
        for title, most, run in (
            ("limit lowered after 60.5 s", 300, partial(scenarios.lowered, at=60.5)),
            ("limit lowered after 90 s", 10, partial(scenarios.lowered, at=90.0)),
            ("wrong plan", 15, scenarios.wrong_plan),
        )
        for name in POLICIES
    ),
    Row("restart, silent, two callers", scenarios.silent_restart, bounds(30), bounds(10)),
    Row("restart, no headers, backlog", partial(scenarios.restart, name="fixed", style="none"), bounds(30), bounds(10)),
    # Waits
    Row("12 calls every 3 s", scenarios.small_bursts, {"mean": Bound(most=0.02), **bounds(0)}),
    Row(
        "interactive beside a batch",
        *(scenarios.two_priorities, {**bounds(0), "p99": Bound(most=1.0), "share": Bound(least=0.99)}),
    ),
    Row(
        "half of 1,000 waiters cancelled",
        scenarios.half_cancelled,
        {**bounds(0, served=500, points_back=1), "inversions": Bound(most=0), "late": Bound(most=0)},
    ),
    *(
        Row(
            f"endless cheap calls, {name}",
            *(partial(scenarios.endless_cheap_calls, name=name), {**bounds(0), "inversions": Bound(most=3)}),
        )
        for name in (*WINDOWS, "token_bucket")
    ),
]
