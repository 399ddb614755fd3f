"""`Prices`: what each operation costs: pinned, learned, or what the caller says. Pure.

**Theory.** The documentation once said 1 for a read, 2 for a delete, 3 for a write; today it says 1 to 10 "by complexity",
without a table. So callers come with the old prices as seeds, and what `Remaining` really drops by (`Trail`) teaches the
rest. Errors are not alike: a price too low makes us overspend, a price too high only wastes points. And samples err one way:
whatever happened unseen between two answers makes a drop larger, only a refilling server makes it smaller. Hence

- *raise* as soon as two samples lie above the price, to the least of the recent ones; after a 429 that the account cannot
  explain one sample is enough. But a price too low leaves the account *short*: less is left than it says. While it is not,
  a sample above the price is an error (a server that refills while calls are under way puts answers out of order);
- *lower* only on clean evidence: many samples in a row that agree on the same lower price, from a server that was not seen
  to refill lately, while nobody else was seen to spend.

A price belongs to an operation, not to its arguments. Where it depends on them (a list's page size, the data behind it) the
samples disagree; the price then follows the least that its recent calls have cost, the rest is treated like foreign use,
which keeps us safe, and a pin (`costs=`) or an operation name of its own says it better. Calls without an operation's name
are never learned.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .trail import Sample

_RECENT: Final = 8
_AGREE: Final = 2
_MOST_OPERATIONS: Final = 1024


class Change(NamedTuple):
    """A price that has moved."""

    operation: str
    old: int
    new: int


class Prices:
    """The price list of one account.

    Attributes:
        table: Prices that are pinned or learned, by operation.
    """

    __slots__ = ("_charged", "_pins", "_samples", "table")

    def __init__(self, pins: Mapping[str, int]) -> None:
        self._pins = frozenset(pins)
        self._samples: dict[str, deque[int]] = {}
        self._charged: dict[str, int] = {}
        self.table: dict[str, int] = dict(pins)

    def price(self, operation: str, seed: int) -> int:
        """Points to charge."""
        return self.table.get(operation, seed)

    def learn(self, sample: Sample, *, clean: bool, short: bool) -> Change | None:
        """A call was seen to cost `sample.drop`.

        Args:
            sample: The operation, what it was charged, and the drop.
            clean: Nothing can have made the drop smaller or larger.
            short: The server has less left than the account can explain.
        """
        operation = sample.operation
        if not operation or operation in self._pins:
            return None
        price = self.table.get(operation, sample.charged)
        if sample.drop > price and not short:
            return None
        samples = self._samples.get(operation)
        if samples is None:
            if len(self._samples) >= _MOST_OPERATIONS:
                return None
            samples = self._samples[operation] = deque(maxlen=_RECENT)
        samples.append(sample.drop)
        self._charged[operation] = price
        if len(samples) >= _AGREE and sorted(samples)[_AGREE - 1] > price and min(samples) > price:
            return self._move(operation, price, min(samples))
        if clean and len(samples) == _RECENT and max(samples) < price and min(samples) == max(samples):
            return self._move(operation, price, samples[0])
        return None

    def suspect(self) -> list[Change]:
        """The account cannot explain a 429: a single sample above its price is believed now."""
        return [
            self._move(operation, self._charged[operation], min(samples))
            for operation, samples in self._samples.items()
            if samples and min(samples) > self._charged[operation]
        ]

    def _move(self, operation: str, old: int, new: int) -> Change:
        self.table[operation] = self._charged[operation] = new
        self._samples[operation].clear()
        return Change(operation, old, new)
