"""`Store`: what a shared budget needs of the place where its state lies, and `Terms`, what it was made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from .shared_core import SharedCore

if TYPE_CHECKING:
    from .shared_core import StoreReply, StoreRequest


class StoreAwayError(Exception):
    """The store did not do what it was asked; why, in words that hold no secret.

    Attributes:
        reason: Why.
        final: Trying again will not help until somebody removes the cause.
        dropped: The connection was lost: a second try on a new one may do.
    """

    def __init__(self, reason: str, *, dropped: bool = False, final: bool = False) -> None:
        super().__init__(reason)
        self.reason: str = reason
        self.dropped: bool = dropped
        self.final: bool = final


class Store(Protocol):
    """Where the state lies."""

    same_clock: bool
    """Its time is this process's monotonic clock."""
    spacing: float
    """Seconds between two transactions of one loop, at most, while points are short or many calls are out."""

    async def transact(self, said: StoreRequest, offer: bytes | None) -> tuple[StoreReply, bytes]:
        """Have a request answered; the reply, and the state after it.

        Args:
            said: The request.
            offer: A state, for a store that has none or knows less.

        Raises:
            StoreAwayError: It may or may not have been carried out.
        """
        ...

    async def aclose(self) -> None:
        """Let go of it."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a shared budget was made with.

    Attributes:
        label: The limiter's class.
        name: What its processes call it.
        limit: Points per period, as far as is known.
        period: Seconds.
        pins: Prices that are never learned.
        reserve: The reserve's share.
        share: Part of the limit that a process goes by while the store is away; `None` is an even share.
        refuse: Calls are refused while the store is away.
    """

    label: str
    name: str
    limit: int | None
    period: float
    pins: dict[str, int]
    reserve: float
    share: float | None = None
    refuse: bool = False

    def core(self, *, pinned: bool = True) -> SharedCore:
        """One that has heard nothing yet."""
        core = SharedCore.cold(self.limit, self.period, self.pins if pinned else None, self.reserve)
        core.coarsen()
        return core

    @property
    def lease(self) -> float:
        """Seconds that a member lives without a sign of life."""
        return min(max(self.period / 4, 2.0), 15.0)
