"""`SharedPointBudget`: the limiter whose budget lies in a store, for all event loops of all processes that use the same
one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ...errors import ClientClosedError
from ...redaction import once_made, plain
from ..accounts import Account
from ..loops import is_monotonic
from ..point_budget import ProcessLimiter
from ..protocol import BudgetSnapshot, Forecast, Priority
from .shared_account import Outage, SharedAccount
from .store import Store, Terms

PATIENCE: Final = 3.0  # seconds that closing waits for loops of other threads


class SharedPointBudget(ProcessLimiter):
    """A limiter whose budget lies in a store. Each event loop has an account of its own there.

    A loop with a clock of its own, a simulated one, has a budget of its own in this process: its time means nothing to
    a store.
    """

    def __init__(self, terms: Terms, open_store: Callable[[], Store]) -> None:
        self._terms = terms
        self._open_store = open_store
        self._inherited: list[Any] = []
        self._shared: dict[asyncio.AbstractEventLoop, SharedAccount] = {}
        self._latest: SharedAccount | None = None
        super().__init__(terms.core)

    def _renew(self) -> None:
        super()._renew()
        # A forked child must not close what its parent goes on using.
        self._inherited += self._shared.values()
        for account in self._inherited:
            account.gone = True
        self._shared = {}
        self._latest = None
        self._outage = Outage(self._terms, self._listeners)

    def _account_of(self, loop: asyncio.AbstractEventLoop) -> Account:
        account = self._shared.get(loop)
        if account is not None and not account.gone:
            return account
        if not is_monotonic(loop):
            return super()._account_of(loop)
        if self._closed:
            raise ClientClosedError("the limiter was closed: make a new one")
        account = SharedAccount(
            self._terms, self._open_store(), loop, self._outage, self._listeners, self._take_orphans
        )
        self._latest = self._shared[loop] = account
        return account

    def _take_orphans(self) -> list[SharedAccount]:
        """Accounts whose loop is closed and that have something to say; each is taken once."""
        orphans = [account for account in list(self._shared.values()) if account.gone or account.loop.is_closed()]
        for account in orphans:
            account.gone = True
            if self._shared.get(account.loop) is account:
                del self._shared[account.loop]
        return [account for account in orphans if account.has_more]

    def _account_here(self) -> Account:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._latest or self._account
        return self._shared.get(loop) or self._latest or self._account

    @once_made
    def __repr__(self) -> str:
        shown = super().__repr__()
        return shown if self._closed else shown.replace(" ", f" {self._terms.name!r} ", 1)

    def snapshot(self) -> BudgetSnapshot:
        """The budget as the store told it last, and who waits for it in all processes. Costs nothing."""
        here = super().snapshot()
        accounts = list(self._shared.values())
        costs = {**here.costs, **self._terms.pins}
        account = self._account_here()
        if not isinstance(account, SharedAccount):
            return msgspec.structs.replace(here, costs=costs)
        waiting = dict(here.waiting)
        points = here.waiting_points
        for other in accounts:
            if other is not account:
                for priority, count in other.queue.waiting().items():
                    waiting[priority] += count
                points += other.queue.points
        for member in account.core.others({other.name for other in accounts}):
            for priority in Priority:
                waiting[priority] += member.calls[priority]
            points += sum(member.waits)
        state = "degraded" if account.degraded else here.state
        return msgspec.structs.replace(here, waiting=waiting, waiting_points=points, costs=costs, state=state)

    def forecast(self, points: int) -> Forecast:
        """When `points` more points would have been granted, behind all that wait now, here and elsewhere. Costs
        nothing.

        Args:
            points: How many.
        """
        points = plain(points)
        elsewhere = self.snapshot().waiting_points - self._account_here().queue.points
        return super().forecast(points + elsewhere) if points > 0 else super().forecast(points)

    async def aclose(self) -> None:
        """Report what has ended, and let go of the store in all loops; calls that wait get `ClientClosedError`."""
        await super().aclose()
        here = asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise
        elsewhere: list[Any] = []
        for loop, account in list(self._shared.items()):
            account.close(here)
            if loop is here:
                await account.aclose()
            elif loop.is_running():
                elsewhere.append(asyncio.run_coroutine_threadsafe(account.aclose(), loop))
        if here is None:
            return
        until = time.monotonic() + PATIENCE
        while elsewhere and time.monotonic() < until:
            elsewhere = [future for future in elsewhere if not future.done()]
            await asyncio.sleep(0.005)
