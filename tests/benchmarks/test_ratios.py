"""Medians and their intervals."""

from __future__ import annotations

import importlib
import random
import statistics
import sys
from typing import Any

import pytest
from support import checkout


@pytest.fixture
def ratios(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benches' arithmetic."""
    monkeypatch.setattr(sys, "path", [str(checkout.ROOT), *sys.path])
    return importlib.import_module("benchmarks.kit.ratios")


def test_fifteen_pairs_leave_out_three_at_each_end(ratios: Any) -> None:
    """By the binomial distribution: the 4th and the 12th of 15 hold the true median with 96.5 %."""
    found = ratios.estimate(range(1, 16))
    assert (found.median, found.low, found.high, found.pairs) == (8, 4, 12, 15)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_values_have_no_interval_but_their_range(ratios: Any, count: int) -> None:
    """With fewer than six values no inner interval holds the median with 95 %."""
    found = ratios.estimate(range(count))
    assert (found.low, found.high) == (0, count - 1)


@pytest.mark.parametrize("count", [6, 15, 31])
def test_interval_holds_the_true_median_as_often_as_it_says(ratios: Any, count: int) -> None:
    """In 95 of 100 samples of a skewed distribution or more."""
    dice = random.Random(count)
    inside = 0
    for _ in range(2000):
        found = ratios.estimate([dice.lognormvariate(0, 1) for _ in range(count)])
        inside += found.low <= 1 <= found.high
    assert inside / 2000 > 0.94


def test_ratios_are_taken_pair_by_pair(ratios: Any) -> None:
    """A machine that is twice as slow for both in one turn changes nothing."""
    ours, theirs = [1.0, 2.0, 40.0], [2.0, 4.0, 80.0]
    assert ratios.ratio(ours, theirs).median == 0.5
    assert ratios.difference(ours, theirs).median == statistics.median([-1.0, -2.0, -40.0])


def test_percentiles_of_a_sorted_list(ratios: Any) -> None:
    """The 99th of a hundred values is the last but none below it."""
    assert ratios.percentile(list(range(100)), 0.5) == 50
    assert ratios.percentile(list(range(100)), 0.99) == 99
    assert ratios.percentile([7], 0.99) == 7
