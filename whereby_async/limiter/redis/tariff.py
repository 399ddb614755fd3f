"""`Tariff`: what calls cost, as this process knows it: pinned here, learned by all, or what the caller says. Pure.

Prices are learned in the store, from the answers to all processes' calls (`prices.lua`); what they are is told with its answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...details import CostChangeDetails

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .wire import Reply

_MOST_OPERATIONS: Final = 1024


class Tariff:
    """A price list.

    Attributes:
        version: The version of what was learned.
    """

    __slots__ = ("_learned", "_pins", "_seeds", "version")

    def __init__(self, pins: Mapping[str, int]) -> None:
        self.version: int = 0
        self._pins = pins
        self._learned: dict[str, int] = {}
        # What was charged before anything was learned, so that a change can be told.
        self._seeds: dict[str, int] = {}

    def price(self, operation: str, seed: int) -> int:
        """Points to ask for."""
        if (pin := self._pins.get(operation)) is not None:
            return pin
        if len(self._seeds) < _MOST_OPERATIONS:
            self._seeds.setdefault(operation, seed)
        return self._learned.get(operation, seed)

    def pinned(self, operation: str) -> bool:
        """Is this price never to be learned?"""
        return operation in self._pins

    def costs(self) -> dict[str, int]:
        """Prices that are pinned or learned."""
        return {**self._learned, **self._pins}

    def heard(self, reply: Reply) -> list[CostChangeDetails]:
        """The store has answered; what moved by that for calls of this process."""
        self.version = reply.version
        changes: list[CostChangeDetails] = []
        for operation, new in reply.prices or ():
            old = self._learned.get(operation, self._seeds.get(operation, new))
            self._learned[operation] = new
            if old != new and operation not in self._pins:
                changes.append(CostChangeDetails(operation=operation, old=old, new=new))
        return changes
