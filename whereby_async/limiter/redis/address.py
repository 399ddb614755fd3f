"""`Address`: where the store is, and how an event loop gets there."""

from __future__ import annotations

import inspect
import weakref
from asyncio import get_running_loop
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from ...redaction import Secret
from .redis_options import check_url

try:
    from . import connection as _connection
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] != "redis":
        raise
    _connection = None  # type: ignore[assignment]  # told when a budget is made

if TYPE_CHECKING:
    import asyncio

    from .connection import Link


class Address:
    """A URL, to which each loop opens a connection of its own; or a client of the user's, which serves one loop."""

    def __init__(self, url_or_client: str | Any, *, keys: tuple[str, str], period: float, timeout: float) -> None:
        """Look at it, without going there.

        Args:
            url_or_client: As of `RedisPointBudget`.
            keys: The key that holds the state, and that of the version before.
            period: Seconds of a window.
            timeout: Seconds that one call may take.

        Raises:
            ConfigurationError: It leads nowhere, or the extra `redis` is not installed.
        """
        if _connection is None:
            raise ConfigurationError("RedisPointBudget needs redis-py: pip install 'whereby-async[redis]'")
        _connection.script()  # It takes some 50 ms, which a running loop had better not wait for.
        self._keys = keys
        self._period = period
        self._timeout = timeout
        self._url = Secret(url_or_client) if isinstance(url_or_client, str) else None
        self._client = None if self._url is not None else url_or_client
        self._client_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        if self._url is not None:
            check_url(self._url, usable=_connection.usable)
        elif inspect.isclass(self._client) or not inspect.iscoroutinefunction(
            getattr(self._client, "execute_command", None)
        ):
            raise ConfigurationError(
                f"RedisPointBudget({type(self._client).__name__}): give a URL such as 'redis://localhost:6379/0', "
                "or a client of redis.asyncio"
            )

    def open_link(self) -> Link:
        """A connection for the running loop.

        Raises:
            ConfigurationError: The client serves another loop.
        """
        assert _connection is not None  # noqa: S101 - or this object could not have been made
        if self._url is not None:
            return _connection.open_link(self._url, keys=self._keys, period=self._period, timeout=self._timeout)
        loop = get_running_loop()
        if self._client_loop is not None and self._client_loop() is not loop:
            raise ConfigurationError(
                "an injected redis.asyncio client serves one event loop of one process only: "
                "give RedisPointBudget a URL"
            )
        self._client_loop = weakref.ref(loop)
        return _connection.Link(self._client, owned=False, keys=self._keys, period=self._period, timeout=self._timeout)
