"""`RedisPointBudget`: one point budget for every process and machine, kept in Redis or Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from ..budget_checks import check_budget, checked_pins
from ..shared.shared_budget import SharedPointBudget
from ..shared.store import Terms
from .address import Address
from .redis_options import check_store

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT: Final = 2
"""In the key: processes with another format keep states of their own."""


class RedisPointBudget(SharedPointBudget):
    """The organisation's points per minute, kept in Redis or Valkey for all processes and machines that use the same
    `name`.

    The same rules as `PointBudget`'s, with one account for all. Made without a loop and without a connection; each
    event loop that uses it has a connection of its own, which closes with the loop. A forked child starts with
    connections of its own.

    Priorities hold across processes: an interactive call in one goes before a batch call in another. Within a priority
    the processes share a window evenly, by points, as far as they have use for them, and within a process it is first
    come, first served.

    While the store is away, each process goes by its own share of the limit and returns by itself; log and hooks
    (`on_outage`) are told once when it goes and once when it is back.

    Make it at import time, before gunicorn or Celery fork.

    - *What a call costs:* an acquire on an idle loop takes one round trip to the store; under load one serves dozens of
      calls (group commit). An idle process makes none.
    - *A process dies:* its points come back a window after its lease (a quarter of the period, 2 to 15 s) has run out.
    - *The store forgets:* after a flush, an eviction or a failover the processes tell it what they hold before anybody
      gets points. Turn off eviction of the key (`maxmemory-policy noeviction`) to save the moment that this takes.
    - *Which clock:* the store's. Nobody else's is looked at.
    - *A process that cannot reach the store while others can* is a stranger to them: expect a few 429s, which are
      waited out.
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
            url_or_client: Where the store is: `redis://user:password@host:6379/0`, `rediss://` for TLS, `unix:///path`,
                or the same with `valkey`; or a client of `redis.asyncio` (`Redis`, one of a `Sentinel`,
                `RedisCluster`), which serves the event loop that it is first used in and is never closed here. The
                store must be Redis 6.2 or later, or Valkey.
            name: The organisation's: budgets of the same name in the same store are one. The key is `whereby:{name}:…`.
            on_unavailable: What happens while the store is away: `"fallback"` goes by a share of the limit, `"raise"`
                refuses calls with `BudgetError`.
            share: The part of the limit, above 0 up to 1, that this process goes by while the store is away, but not
                less than 10 points, so that any call can go. `None` is an even share among the processes seen of late;
                a process that has never met the store takes a tenth.
            limit: Points per period to start from; the header `X-RateLimit-Limit` overrules it. `None` learns it from
                that header, and assumes 100, the smallest plan, until then.
            period: The window's length in seconds; the same for all processes.
            costs: Prices by operation, such as `{"insights.rooms": 5}`, that are never learned otherwise.
            reserve: The share of each window, from 0 to below 1, that is kept from the `BATCH` priority at most.
            timeout: Seconds that one call of the store may take before it counts as away; four times that, and a second
                at least, where a connection has to be made first.

        Raises:
            ConfigurationError: An option cannot be used, or the extra `redis` is not installed.
        """
        check_budget(limit, period, reserve)
        pins = checked_pins(costs)
        check_store(name, on_unavailable, share, timeout)
        keys = f"whereby:{{{name}}}:{_FORMAT}", f"whereby:{{{name}}}:{_FORMAT - 1}"
        address = Address(url_or_client, keys=keys, period=period, timeout=float(timeout))
        terms = Terms(
            label="RedisPointBudget", name=name, limit=limit, period=float(period), pins=pins, reserve=float(reserve),
            share=share, refuse=on_unavailable == "raise",
        )  # fmt: skip
        super().__init__(terms, address.open_link)
