"""`RedisPointBudget`: one point budget for every process and machine. The theory stands in this package's own docstring."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from asyncio import get_running_loop
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from ...errors import ClientClosedError, ConfigurationError
from ...notify import Listeners
from ..budget_checks import check_budget, checked_pins
from ..protocol import BudgetSnapshot, Forecast, Priority
from .address import Address
from .branch import Branch
from .caller import Caller
from .redis_options import check_call, check_store, plan_of
from .shared_permit import LoanedPermit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...details import LimiterHook
    from ..protocol import Permit
    from .desk import Desk

_PROTOCOL: Final = 1
"""In the key: processes with another protocol keep books of their own."""
_PATIENCE: Final = 3.0

_budgets: weakref.WeakSet[RedisPointBudget] = weakref.WeakSet()
_inherited: list[Any] = []


class RedisPointBudget:
    """The organisation's points per minute, kept in Redis or Valkey for all processes and machines that use the same `name`.

    The same rules as `PointBudget`'s, with one account for all. Made without a loop and without a connection; each event loop
    that uses it has a connection of its own, which closes with the loop. A forked child starts with connections of its own.

    Lanes hold across processes: an interactive call in one goes before a batch call in another. Within a lane the processes
    share a window evenly, by points, as far as they have use for them, and within a process it is first come, first served.

    While the store is away, each process goes by its own share of the limit and returns by itself; log and hooks
    (`on_outage`) are told once when it goes and once when it is back.

    Make it at import time, before gunicorn or Celery fork.

    - *What a call costs:* an acquire on an idle loop takes one round trip to the store; under load one serves dozens of calls
      (group commit). An idle process makes none.
    - *A process dies:* its points come back a window after its lease (a quarter of the period, 2 to 15 s) has run out.
    - *The store forgets:* after a flush, an eviction or a failover the processes tell it what they hold before anybody gets
      points. Turn off eviction of the key (`maxmemory-policy noeviction`) to save the moment that this takes.
    - *Which clock:* the store's. Nobody else's is looked at.
    - *A process that cannot reach the store while others can* is a stranger to them: expect a few 429s, which are waited out.
    """

    def __init__(  # noqa: PLR0913 - options, all but one of them keywords
        self,
        url_or_client: str | Any,
        *,
        name: str = "whereby",
        on_unavailable: Literal["fallback", "raise"] = "fallback",
        share: float | None = None,
        limit: int | None = None,
        period: float = 60.0,
        costs: Mapping[str, int] | None = None,
        reserve: float = 0.1,
        timeout: float = 0.25,
    ) -> None:
        """Make a budget.

        Args:
            url_or_client: Where the store is: `redis://user:password@host:6379/0`, `rediss://` for TLS, `unix:///path`, or the same
                with `valkey`; or a client of `redis.asyncio` (`Redis`, one of a `Sentinel`, `RedisCluster`), which serves the event
                loop that it is first used in and is never closed here. The store must be Redis 6.2 or later, or Valkey.
            name: The organisation's: budgets of the same name in the same store are one. The key is `whereby:{name}:…`.
            on_unavailable: What happens while the store is away: `"fallback"` goes by a share of the limit, `"raise"` refuses
                calls with `BudgetError`.
            share: The part of the limit, above 0 up to 1, that this process goes by while the store is away. `None` is an even
                share among the processes seen of late; a process that has never met the store takes a tenth.
            limit: Points per period to start from; the header `X-RateLimit-Limit` overrules it. `None` learns it from that header,
                and assumes 100, the smallest plan, until then.
            period: The window's length in seconds; the same for all processes.
            costs: Prices by operation, such as `{"insights.rooms": 5}`, that are never learned otherwise.
            reserve: The share of each window, from 0 to below 1, that is kept from the `BATCH` lane at most: what the other
                lanes need by what they asked for of late, in all processes, melting to nothing by the window's end.
            timeout: Seconds that one call of the store may take before it counts as away; four times that, and a second at
                least, where a connection has to be made first.

        Raises:
            ConfigurationError: An option cannot be used, or the extra `redis` is not installed.
        """
        check_budget(limit, period, reserve)
        pins = checked_pins(costs)
        check_store(name, on_unavailable, share, timeout)
        self._address = Address(url_or_client, key=f"whereby:{{{name}}}:{_PROTOCOL}", timeout=float(timeout))
        self._name = name
        self._on_unavailable: Literal["fallback", "raise"] = on_unavailable
        self._share = share
        self._pins = pins
        self._plan = plan_of(limit, period, reserve)
        self._listeners = Listeners()
        self._branch = self._opened()
        _budgets.add(self)

    def _opened(self) -> Branch:
        return Branch(
            self._plan,
            self._pins,
            self._address.open_link,
            on_unavailable=self._on_unavailable,
            share=self._share,
            listeners=self._listeners,
        )

    async def acquire(
        self,
        cost: int,
        *,
        operation: str = "",
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        after: Permit | None = None,
    ) -> Permit:
        """Wait for `cost` points.

        Args:
            cost: The operation's seed price in points; a pinned or learned price of `operation` wins.
            operation: The operation's name, such as `meetings.create`.
            priority: The lane.
            max_wait: Longest wait in seconds, summed with the waits of `after`; `0` refuses instead of waiting.
            after: The permit of the same call's last attempt: it keeps its place in its lane.

        Raises:
            BudgetTimeoutError: It would take longer than `max_wait`, or did.
            BudgetError: The price is above the whole limit; or the store is away and `on_unavailable` is `"raise"`.
            ClientClosedError: The limiter is closed.
            ConfigurationError: No asyncio loop runs here, or the injected client serves another.
        """
        try:
            loop = get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "no asyncio event loop is running: whereby_async runs on asyncio or uvloop, not on trio"
            ) from None
        check_call(cost, operation, max_wait)
        branch = self._branch
        order, waited = branch.place_of(after)
        caller = Caller(
            cost, operation, priority, order=order, now=loop.time(), waited=waited, seed=cost, max_wait=max_wait
        )
        while True:
            desk = branch.desk(loop)
            if branch.loan is None:
                if branch.refuses():
                    raise branch.refusal()
                permit: Permit | None = await desk.wait(caller)
            else:
                permit = await self._borrow(branch, desk, caller)
            if permit is not None:
                return permit

    async def _borrow(self, branch: Branch, desk: Desk, caller: Caller) -> Permit | None:
        """Points of the local budget; `None` if the store came back first."""
        loan = branch.loan
        if loan is None:
            return None
        loan.used_at = branch.clock()
        desk.ring()
        left = None if caller.max_wait is None else max(0.0, caller.max_wait - caller.waited)
        began, earlier = desk.loop.time(), caller.waited
        try:
            local = await loan.limiter.acquire(
                caller.seed, operation=caller.operation, priority=caller.priority, max_wait=left
            )
        except ClientClosedError:
            if branch.closed:
                raise
            return None
        finally:
            caller.waited += desk.loop.time() - began
        return LoanedPermit(local, branch, caller.order, earlier)

    def snapshot(self) -> BudgetSnapshot:
        """The budget as the store last told it; calls that wait are those of this process. Costs nothing."""
        branch = self._branch
        if branch.loan is not None:
            return msgspec.structs.replace(
                branch.loan.limiter.snapshot(), state="degraded", costs=branch.tariff.costs()
            )
        now, view = branch.clock(), branch.view
        lanes = [desk.hall.lanes for desk in branch.desks]
        waiting = {priority: sum(each[priority].count for each in lanes) for priority in Priority}
        points = sum(each.points for each in lanes)
        available = 0 if points else view.room(now)
        return BudgetSnapshot(
            limit=view.limit,
            remaining=view.remaining(),
            available=available,
            in_flight=max(view.reply.pending, sum(desk.outbox.out for desk in branch.desks)),
            waiting=waiting,
            waiting_points=points,
            reset_in=view.reset_in(now),
            foreign_rate=view.reply.foreign_rate,
            costs=branch.tariff.costs(),
            state="degraded" if branch.outage.since is not None else view.state(available, now),
        )

    def forecast(self, points: int) -> Forecast:
        """When `points` more points would have been granted, behind all that wait now, here and elsewhere. Costs nothing.

        Args:
            points: How many.
        """
        branch = self._branch
        if branch.loan is not None:
            return branch.loan.limiter.forecast(points)
        now, view = branch.clock(), branch.view
        total = points + view.elsewhere + sum(desk.hall.lanes.points for desk in branch.desks)
        room = view.room(now)
        windows = 1 if total <= room else 1 - (room - total) // view.limit
        return Forecast(windows=windows, seconds=view.likely_wait(now, total) if points > 0 else 0.0)

    def subscribe(self, hook: LimiterHook) -> None:
        """Tell `hook` of waits, throttling, prices and outages from now on; the same object twice is told once.

        Subscriptions are counted: it takes as many `unsubscribe` to be told no more.
        """
        self._listeners.add(hook)

    def unsubscribe(self, hook: LimiterHook) -> None:
        """Take back one `subscribe`; a hook that is not there is left alone."""
        self._listeners.remove(hook)

    async def aclose(self) -> None:
        """Report what has ended and close the connections of all loops; calls that wait get `ClientClosedError`.

        A client that was passed in stays open.
        """
        branch = self._branch
        branch.close()
        here = asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise
        elsewhere: list[Any] = []
        for desk in branch.desks:
            if desk.loop is here:
                await desk.aclose()
            elif desk.loop.is_running():
                elsewhere.append(asyncio.run_coroutine_threadsafe(desk.aclose(), desk.loop))
        if here is None:
            return
        until = time.monotonic() + _PATIENCE
        while elsewhere and time.monotonic() < until:
            elsewhere = [future for future in elsewhere if not future.done()]
            await asyncio.sleep(0.005)

    def __repr__(self) -> str:
        if self._branch.closed:
            return "<RedisPointBudget closed>"
        budget = self.snapshot()
        return f"<RedisPointBudget {self._name!r} limit={budget.limit} available={budget.available} {budget.state}>"

    def _start_cold(self) -> None:
        """In a forked child: let the parent's connections alone, and have none."""
        self._listeners.unlock()
        _inherited.append(self._branch)
        _inherited.extend(self._branch.start_cold())
        closed = self._branch.closed
        self._branch = self._opened()
        self._branch.closed = closed


def _after_fork() -> None:
    for budget in list(_budgets):
        budget._start_cold()  # pyright: ignore[reportPrivateUsage] - the module's own  # noqa: SLF001


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_after_fork)
