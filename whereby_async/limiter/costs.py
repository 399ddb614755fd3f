"""`Prices`: what each operation costs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Prices:
    """The price list of one account.

    Attributes:
        table: Prices that are pinned or learned, by operation.
    """

    __slots__ = ("_pins", "table")

    def __init__(self, pins: Mapping[str, int]) -> None:
        self._pins = dict(pins)
        self.table: dict[str, int] = dict(pins)
