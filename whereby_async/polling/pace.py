"""How often to look, and whether to look at one job after the other or at the list of all. Pure.

**Theory.** A job takes from seconds to hours and says nothing while it runs. The interval from one look to the next is a third
of the time waited so far, within bounds, so that the end is seen at most a third late. All waits of a client together take about a
tenth of what the budget gives: the more a round of looks costs and the slower points come, the longer the interval.

Reading a page of the list costs about as much as reading one job, and shows a hundred. Which page a job is on is not known
before, so a reading begins with the newest sessions, ends as soon as all that were sought are seen, and is given up when the pages
that it may still take cost more than to read the jobs that are left one by one. Each page in a row without any of them doubles the
number of pages that may still be needed: a hopeless search costs about as many pages as the logarithm of what it sought.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..limiter.protocol import BudgetSnapshot, Limiter

SHORTEST: Final = 2.0
LONGEST: Final = 30.0
"""Seconds from one look at a job to the next, while the budget has points to spare."""
MOST: Final = 300.0
"""Seconds, however few points there are."""
_SHARE: Final = 10
"""One part in so many of the budget may go into looking."""
_AHEAD: Final = 10
"""Windows of the budget over which its speed is reckoned."""


def by_age(waited: float) -> float:
    """Seconds until a job should be looked at again that has been waited for so many seconds, if points are plenty."""
    return min(max(SHORTEST, waited / 3), LONGEST)


def by_points(round_cost: int, limiter: Limiter) -> float:
    """Seconds that at least should lie between two looks, so that the budget is left to others.

    Args:
        round_cost: Points for looking at all jobs once.
        limiter: The budget that pays for it.
    """
    points = _AHEAD * max(1, limiter.snapshot().limit)
    each = limiter.forecast(points).seconds / points
    return min(max(_SHARE * round_cost * each, limiter.forecast(round_cost).seconds), MOST)


class Prices:
    """What looking costs: a read by id, or pages of the list.

    Attributes:
        one: Points for reading one job.
        page: Points for reading one page of the list.
        pages: Pages that a reading of the list takes, as far as is known; infinite if the list is of no use.
        unlisted: Jobs that the last reading sought and did not find.
    """

    __slots__ = ("one", "page", "pages", "unlisted")

    def __init__(self) -> None:
        self.one: int = 1
        self.page: int = 1
        self.pages: float = 1
        self.unlisted: int = 0

    def learn(self, snapshot: BudgetSnapshot, one: tuple[str, int], page: tuple[str, int]) -> None:
        """Take over what is pinned or was learned of both operations, given by name and seed price."""
        self.one = snapshot.costs.get(*one)
        self.page = snapshot.costs.get(*page)

    def by_list(self, jobs: int) -> bool:
        """Is it cheaper to read the list than to read so many jobs?"""
        return self.pages * self.page + self.unlisted * self.one < jobs * self.one

    def round_of(self, jobs: int) -> int:
        """Points for looking at so many jobs once, the cheaper way."""
        return int(min(jobs * self.one, self.pages * self.page + self.unlisted * self.one))


class Search:
    """One reading of the list.

    Attributes:
        sought: Ids that have not been seen yet.
        read: Pages that were read.
    """

    __slots__ = ("_fruitless", "read", "sought")

    def __init__(self, sought: set[str]) -> None:
        self.sought: set[str] = sought
        self.read: int = 0
        self._fruitless = 0

    def saw(self, ids: set[str]) -> None:
        """A page was read, and held these."""
        self.read += 1
        self._fruitless = 0 if ids & self.sought else self._fruitless + 1
        self.sought -= ids

    @property
    def ahead(self) -> int:
        """Pages that may still be needed."""
        return 2 ** min(self._fruitless, 30) if self.sought else 0

    def is_over(self, prices: Prices) -> bool:
        """All were seen, or the rest is cheaper one by one."""
        return len(self.sought) * prices.one <= self.ahead * prices.page

    def teach(self, prices: Prices, *, ended: bool) -> None:
        """What the next reading has to reckon with; `ended`: the list has no more pages."""
        prices.pages = max(1, self.read + (0 if ended else self.ahead))
        prices.unlisted = len(self.sought) if ended else 0
        assert math.isfinite(prices.pages)  # noqa: S101 - only a list that is refused is of no use
