"""`RedisPointBudget`: one point budget for every process and machine, kept in Redis or Valkey."""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from ...errors import ConfigurationError
from ...redaction import Secret, as_secret, plain, shown, type_name
from ..budget_checks import check_budget, checked_pins, is_number
from ..shared.shared_budget import SharedPointBudget
from ..shared.store import Terms

try:
    from . import connection as _connection
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] != "redis":
        raise
    _connection = None  # type: ignore[assignment]  # told when a budget is made

if TYPE_CHECKING:
    from .connection import Link

_FORMAT: Final = 2  # in the key: processes with another format keep states of their own
_SCHEMES: Final = ("redis://", "rediss://", "unix://", "valkey://", "valkeys://", "valkey+unix://")
_DAY: Final = 86_400.0


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
    - *A process that cannot reach the store while others can* counts as foreign use for them: expect a few 429s,
      which are waited out.
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
            name: The organisation's: budgets of the same name in the same store are one. The key is
                `whereby:{name}:…`.
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
        url_or_client = as_secret(url_or_client)
        limit, period, reserve = check_budget(limit, period, reserve)
        pins = checked_pins(costs)
        share, timeout = plain(share), plain(timeout)
        _check_store(name, on_unavailable, share, timeout)
        if _connection is None:
            raise ConfigurationError("RedisPointBudget needs redis-py: pip install 'whereby-async[redis]'")
        _connection.script()  # It takes some 50 ms, which a running loop had better not wait for.
        self._url = url_or_client if isinstance(url_or_client, Secret) else None
        self._client = None if self._url is not None else url_or_client
        self._client_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        if self._url is not None:
            _check_url(self._url)
        elif inspect.isclass(self._client) or not inspect.iscoroutinefunction(
            getattr(self._client, "execute_command", None)
        ):
            raise ConfigurationError(
                f"RedisPointBudget({type_name(self._client)}): give a URL such as 'redis://localhost:6379/0', "
                "or a client of redis.asyncio"
            )
        self._keys = f"whereby:{{{name}}}:{_FORMAT}", f"whereby:{{{name}}}:{_FORMAT - 1}"
        self._timeout = float(timeout)
        terms = Terms(
            label="RedisPointBudget", name=name, limit=limit, period=period, pins=pins, reserve=reserve,
            share=share, refuse=on_unavailable == "raise",
        )  # fmt: skip
        super().__init__(terms, self._open_link)

    def _open_link(self) -> Link:
        """A connection for the running loop; a client that was passed in serves one loop.

        Raises:
            ConfigurationError: The client serves another loop.
        """
        assert _connection is not None  # noqa: S101 - or this object could not have been made
        if self._client is not None:
            loop = asyncio.get_running_loop()
            if self._client_loop is not None and self._client_loop() is not loop:
                raise ConfigurationError(
                    "an injected redis.asyncio client serves one event loop of one process only: "
                    "give RedisPointBudget a URL"
                )
            self._client_loop = weakref.ref(loop)
        return _connection.Link(self._url or self._client, self._keys, self._terms.period, self._timeout)


def _check_store(name: object, on_unavailable: object, share: object, timeout: object) -> None:
    """Refuse what no shared budget can use."""
    if not isinstance(name, str) or not name or not name.isprintable() or "{" in name or "}" in name:
        raise ConfigurationError(f"name={name!r}: give the organisation a short name without braces, such as 'acme'")
    if on_unavailable not in ("fallback", "raise"):
        raise ConfigurationError(f"on_unavailable={on_unavailable!r}: give 'fallback' or 'raise'")
    if share is not None and not (is_number(share) and 0 < share <= 1):
        raise ConfigurationError(
            f"share={share!r}: give a part of the limit above 0 up to 1, or None for an even share"
        )
    if not (is_number(timeout) and 0 < timeout <= _DAY):
        raise ConfigurationError(
            f"timeout={timeout!r}: give the seconds that a call of the store may take, such as 0.25"
        )


def _check_url(url: Secret) -> None:
    """Refuse a URL that leads nowhere, without showing it."""
    if not url.startswith(_SCHEMES):
        scheme = shown(url.partition("://")[0]) if "://" in url else "no scheme"
        raise ConfigurationError(f"RedisPointBudget got a URL with {scheme}: give one of {', '.join(_SCHEMES)}")
    database = urlsplit(url).path.strip("/") if "unix" not in url.partition(":")[0] else ""
    if database and not (database.isdecimal() and database.isascii()):
        raise ConfigurationError(
            f"RedisPointBudget got a URL with the database {shown(database)}: give its number, such as redis://host/0"
        )
    if _connection is not None and not _connection.usable(url):
        raise ConfigurationError(
            "RedisPointBudget got a URL that cannot be read, or has an option that redis-py does not know: "
            "give one such as 'redis://user:password@host:6379/0', "
            "with special characters of the password percent-encoded"
        )
