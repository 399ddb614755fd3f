"""The simulated figures of the point budget, each from several seeds, worst first.

    python benchmarks/limiter_figures.py [seeds]

Prints one JSON object per figure: what was reached, and the target.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from simulation import scenarios

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOWS = ("fixed", "aligned", "sliding_log", "token_bucket")


def worst(outcomes: list[scenarios.Outcome], **pick: Callable[[scenarios.Outcome], float]) -> dict[str, float]:
    """The worst of each figure; a name that begins with `least_` is worst when it is small."""
    figures: dict[str, float] = {}
    for name, of in pick.items():
        values = [of(outcome) for outcome in outcomes]
        figures[name] = round(min(values) if name.startswith("least_") else max(values), 4)
    return figures


def show(figure: str, target: str, **figures: float) -> None:
    """One line of output."""
    print(json.dumps({"figure": figure, **figures, "target": target}), flush=True)


def alone(seeds: range) -> None:
    """Who spends alone."""
    for policy in WINDOWS:
        for limit in (1000, 100):
            outcomes = [scenarios.backlog(policy, limit=limit, seed=seed) for seed in seeds]
            figures = worst(
                outcomes,
                throttled=lambda it: it.throttled,
                seconds=lambda it: it.seconds,
                least_fill=lambda it: it.fill,
                inversions=lambda it: it.inversions,
            )
            show(f"ten windows of {limit}, {policy}", "0 x 429, <= 542 s, fill 1.000 (.999 at 100)", **figures)
    runs = [scenarios.long_run(seed) for seed in seeds]
    show("long run, fixed, 125 ms", ">= .997 (bound .9979)", **worst(runs, least_rate=lambda it: it.share))


def surprised(seeds: range) -> None:
    """Who is surprised."""
    for policy in (*WINDOWS, "sliding_counter"):
        show(
            f"surprises, {policy}",
            "<= 5 x 429 each",
            **worst([scenarios.restart(policy, seed) for seed in seeds], restart=lambda it: it.throttled),
            **worst([scenarios.lowered(policy, seed) for seed in seeds], lowered=lambda it: it.throttled),
            **worst([scenarios.wrong_plan(policy, seed) for seed in seeds], wrong_plan=lambda it: it.throttled),
        )
    for policy in (*WINDOWS, "sliding_counter"):
        for share in (0.3, 0.6):
            outcomes = [scenarios.among_others(policy, share, seed) for seed in seeds]
            figures = worst(outcomes, throttled=lambda it: it.throttled, least_share=lambda it: it.share)
            show(f"others want {share:.0%}, {policy}", "<= 30 x 429, >= .95 of the rest", **figures)
    for share in (0.3, 0.6):
        outcomes = [scenarios.bursty_others(share, seed) for seed in seeds]
        figures = worst(outcomes, throttled=lambda it: it.throttled, least_share=lambda it: it.share)
        show(f"others take {share:.0%} in bursts, fixed", "<= 30 x 429, >= .95 of the rest", **figures)
    outcomes = [scenarios.punished_bursts(seed) for seed in seeds]
    figures = worst(outcomes, throttled=lambda it: it.throttled, least_share=lambda it: it.share)
    show("sliding counter", "<= 50 x 429, >= .95", **figures)


def learning(seeds: range) -> None:
    """Prices, lanes, cancels."""
    outcomes = [scenarios.wrong_prices(seed) for seed in seeds]
    figures = worst(
        outcomes,
        first_window=lambda it: it.throttled_by_window.get(0, 0),
        later_windows=lambda it: max([count for at, count in it.throttled_by_window.items() if at], default=0),
        least_fill=lambda it: it.fill,
    )
    show("prices up to 10", "learned in the first window, then <= 5 x 429 each", **figures)
    outcomes = [scenarios.two_lanes(seed) for seed in seeds]
    figures = worst(outcomes, p99=lambda it: it.p99, longest=lambda it: it.worst, least_batch=lambda it: it.share)
    show("interactive beside a batch", "p99 < 1 s, batch >= .99 of the rest", **figures)
    outcomes = [scenarios.half_cancelled(seed) for seed in seeds]
    figures = worst(
        outcomes,
        late=lambda it: it.seconds - (it.share // 100) * 60.2 - 1,
        inversions=lambda it: it.inversions,
        least_points_back=lambda it: it.fill,
    )
    show("half of 1,000 waiters cancelled", "none stuck, late or lost", **figures)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    alone(range(count))
    surprised(range(count))
    learning(range(count))
