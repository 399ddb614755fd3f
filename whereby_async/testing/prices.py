"""What each operation costs at the fake server; to be changed at any time, but never to nonsense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never, Self

from .routes import COSTS
from .spelling import meant

if TYPE_CHECKING:
    from collections.abc import Mapping


class Prices(dict[str, int]):
    """Prices in points by operation: a dictionary that has every operation, and no others.

    Args:
        over: Prices over the documented ones.

    Raises:
        TypeError: A price that is no whole number; one that is to be taken away.
        ValueError: An operation that there is not, or a price below 0.
    """

    def __init__(self, over: Mapping[str, int]) -> None:
        super().__init__(COSTS)
        self.update(over)

    def __setitem__(self, operation: str, price: int) -> None:
        if operation not in COSTS:
            raise ValueError(
                f"costs names operations that there are not: {operation!r}: {meant(str(operation), COSTS)}"
            )
        if isinstance(price, bool) or not isinstance(price, int):
            raise TypeError(f"a price is a whole number of points: {price!r} for {operation}")
        if price < 0:
            raise ValueError(f"a price must not be below 0 points: {price} for {operation}")
        super().__setitem__(operation, price)

    def update(self, *others: Any, **named: int) -> None:
        """Change several."""
        for operation, price in dict(*others, **named).items():
            self[operation] = price

    def __ior__(self, others: Any) -> Self:  # type: ignore[override,misc]  # as strict as `update`
        self.update(others)
        return self

    def __delitem__(self, operation: str) -> None:
        self._refuse()

    def pop(self, *_: object) -> Never:
        """Refused: without a price an operation could not be served."""
        self._refuse()

    def popitem(self) -> Never:
        """Refused, as `pop` is."""
        self._refuse()

    def clear(self) -> Never:
        """Refused, as `pop` is."""
        self._refuse()

    def _refuse(self) -> Never:
        message = "every operation has a price: set it to 0 for one that is free"
        raise TypeError(message)
