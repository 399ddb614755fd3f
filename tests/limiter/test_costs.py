"""Prices: pinned, learned from drops, raised soon and lowered late."""

from __future__ import annotations

import random

from whereby_async.limiter.redis.present.costs import Change, Prices
from whereby_async.limiter.redis.present.trail import MOST, Sample, Trail


def sample(drop: int, *, operation: str = "insights.rooms", charged: int = 1) -> Sample:
    return Sample(operation, charged, drop)


def test_two_samples_above_the_price_raise_it() -> None:
    """To the least of them, at once."""
    prices = Prices({})
    assert prices.price("insights.rooms", 1) == 1
    assert prices.learn(sample(7), clean=False, short=True) is None
    assert prices.learn(sample(5), clean=False, short=True) == Change("insights.rooms", 1, 5)
    assert prices.price("insights.rooms", 1) == 5
    assert prices.table == {"insights.rooms": 5}


def test_one_sample_at_the_price_speaks_for_it() -> None:
    """Others inflate samples, so the least of the recent ones counts."""
    prices = Prices({})
    for drop in (9, 1, 9, 9, 9):
        assert prices.learn(sample(drop), clean=False, short=True) is None


def test_unexplained_429_makes_one_sample_enough() -> None:
    """Every price that a single sample speaks against is raised."""
    prices = Prices({})
    prices.learn(sample(4), clean=False, short=True)
    prices.learn(sample(1, operation="meetings.get"), clean=False, short=True)
    assert prices.suspect() == [Change("insights.rooms", 1, 4)]
    assert prices.suspect() == []


def test_sample_above_the_price_is_an_error_while_the_account_is_right() -> None:
    """A price too low leaves less than the account says; while it does not, such samples are not even remembered."""
    prices = Prices({})
    for _ in range(20):
        assert prices.learn(sample(7), clean=False, short=False) is None
    assert prices.suspect() == []
    assert prices.learn(sample(7), clean=False, short=True) is None
    assert prices.learn(sample(7), clean=False, short=True) == Change("insights.rooms", 1, 7)
    for _ in range(7):
        assert prices.learn(sample(2), clean=True, short=False) is None
    assert prices.learn(sample(2), clean=True, short=False) == Change("insights.rooms", 7, 2)


def test_price_is_lowered_only_on_many_clean_samples_that_agree() -> None:
    """Eight in a row, all the same, with nothing that could have made them smaller."""
    prices = Prices({})
    for _ in range(20):
        assert prices.learn(sample(1, charged=3), clean=False, short=True) is None
    prices = Prices({})
    for _ in range(7):
        assert prices.learn(sample(1, charged=3), clean=True, short=True) is None
    assert prices.learn(sample(1, charged=3), clean=True, short=True) == Change("insights.rooms", 3, 1)
    prices = Prices({})
    for drop in (1, 2, 1, 2, 1, 2, 1, 2, 1):
        assert prices.learn(sample(drop, charged=3), clean=True, short=True) is None


def test_pinned_price_is_never_learned() -> None:
    """Nor that of a call without a name."""
    prices = Prices({"insights.rooms": 2})
    for _ in range(10):
        assert prices.learn(sample(9), clean=True, short=True) is None
        assert prices.learn(sample(9, operation=""), clean=True, short=True) is None
    assert prices.table == {"insights.rooms": 2}


def test_number_of_learned_operations_is_bounded() -> None:
    """A caller that invents a name for each call does not fill the memory."""
    prices = Prices({})
    for number in range(2000):
        prices.learn(sample(9, operation=f"GET /x/{number}"), clean=False, short=True)
        prices.learn(sample(9, operation=f"GET /x/{number}"), clean=False, short=True)
    assert len(prices.table) <= 1024


def test_answers_out_of_order_give_exact_prices() -> None:
    """Sorted by what remained, neighbours differ by the later call's price, however the answers came."""
    dice = random.Random(1)
    costs = [dice.choice((1, 2, 3, 5, 10)) for _ in range(200)]
    left = 1000
    answers: list[tuple[int, int]] = []
    for cost in costs:
        left -= cost
        answers.append((left, cost))
    dice.shuffle(answers)
    trail = Trail()
    for remaining, cost in answers:
        assert trail.note(remaining, f"op{cost}", 1, 0.0, 1.0) == []
    samples = trail.ripe(1.0, 0.0)
    assert len(samples) == 199
    assert all(sample.operation == f"op{sample.drop}" for sample in samples)


def test_drop_counts_only_when_all_before_it_can_have_been_answered() -> None:
    """As long as a call between two answers may be under way, their difference says nothing."""
    trail = Trail()
    trail.note(99, "a", 1, 0.0, 1.0)
    trail.note(95, "a", 1, 0.0, 1.5)
    assert trail.ripe(2.0, 1.0) == []
    trail.note(97, "b", 2, 0.0, 2.1)
    assert trail.ripe(3.2, 1.0) == [Sample("b", 2, 2), Sample("a", 1, 2)]
    assert trail.note(98, "late", 1, 0.0, 3.3) == []
    assert trail.ripe(9.0, 1.0) == []


def test_new_window_begins_a_new_trail() -> None:
    """What rises between two calls that followed each other is no price; a small rise is a refill."""
    trail = Trail()
    trail.note(50, "a", 1, 0.0, 1.0)
    trail.note(49, "a", 1, 1.0, 2.0)
    assert trail.note(99, "a", 1, 3.0, 4.0) == [Sample("a", 1, 1)]
    assert trail.refilled_at < 0
    trail.note(100, "a", 1, 5.0, 6.0)
    assert trail.refilled_at == 6.0


def test_absurd_drops_and_an_empty_window_are_no_samples() -> None:
    """No single call costs that much; and what is cut off at nothing is not known."""
    trail = Trail()
    trail.note(99, "a", 1, 0.0, 1.0)
    trail.note(99 - MOST - 1, "a", 1, 1.0, 2.0)
    trail.note(0, "a", 1, 2.0, 3.0)
    assert trail.ripe(9.0, 0.0) == []


def test_trail_is_bounded() -> None:
    """A limit of a billion does not fill the memory."""
    trail = Trail()
    for number in range(10_000):
        trail.note(1_000_000 - number, "a", 1, 0.0, 1.0)
    assert len(trail.ripe(1.0, 0.0)) < 5000
