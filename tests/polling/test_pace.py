"""How often to look, and at what: the arithmetic of waits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from whereby_async.limiter import PointBudget, Unlimited
from whereby_async.polling.pace import LONGEST, MOST, SHORTEST, Prices, Search, by_age, by_points


@pytest.mark.parametrize(("waited", "seconds"), [(0, SHORTEST), (6, 2), (30, 10), (90, LONGEST), (10_000, LONGEST)])
def test_interval_grows_with_the_wait(waited: float, seconds: float) -> None:
    """A third of the time waited, within bounds."""
    assert by_age(waited) == seconds


def test_looking_takes_a_tenth_of_the_budget() -> None:
    """A round of three points is worth 18 s of a budget of 100 a minute; one without a meter costs nothing."""
    assert by_points(3, PointBudget(100)) == pytest.approx(18, rel=0.15)
    assert by_points(3, PointBudget(1000)) == pytest.approx(1.8, rel=0.15)
    assert by_points(300, PointBudget(100)) == MOST
    assert by_points(300, Unlimited()) == 0


def test_a_list_is_read_when_it_is_cheaper() -> None:
    """A page for two jobs, but not for one; not when its jobs are not on it; never when it is refused."""
    prices = Prices()
    assert [prices.by_list(jobs) for jobs in (0, 1, 2)] == [False, False, True]
    prices.pages, prices.unlisted = 3, 5
    assert [prices.by_list(jobs) for jobs in (8, 9)] == [False, True]
    assert (prices.round_of(4), prices.round_of(100)) == (4, 8)
    prices.page = 10
    assert not prices.by_list(35)
    prices.pages = math.inf
    assert not prices.by_list(10_000)
    assert prices.round_of(5) == 5


def test_a_search_ends_when_all_are_seen_or_the_rest_is_cheaper_one_by_one() -> None:
    """The last one is read by its id rather than from another page."""
    prices, search = Prices(), Search({"a", "b", "c"})
    search.saw({"a", "x"})
    assert not search.is_over(prices)
    search.saw({"b"})
    assert search.is_over(prices)
    search.teach(prices, ended=False)
    assert (search.sought, prices.pages, prices.unlisted) == ({"c"}, 3, 0)
    search.teach(prices, ended=True)
    assert (prices.pages, prices.unlisted) == (2, 1)


@given(st.integers(2, 2000))
def test_a_hopeless_search_is_given_up_soon(jobs: int) -> None:
    """Pages without any of them: about the logarithm of their number."""
    prices, search = Prices(), Search({str(number) for number in range(jobs)})
    while not search.is_over(prices):
        search.saw({"other"})
    assert search.read <= math.log2(jobs) + 1
    search.teach(prices, ended=False)
    assert not prices.by_list(jobs)
