"""The way to the store: the only module that touches `redis`.

A link belongs to one event loop. It sends one script call at a time, each within a time limit, and tells anything that
goes wrong as one error in words of its own: what `redis` says may repeat a URL, and with it a password. The client's
own retries are off: a call that may have been carried out is repeated only by those who know how to tell the store so.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import ssl
import threading
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec
import redis.asyncio
from redis import exceptions as faults
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.client import NEVER_DECODE

from ...errors import ConfigurationError
from .. import core
from ..shared import shared_core
from ..shared.shared_core import StoreReply
from ..shared.store import StoreAwayError
from .translator import translated

if TYPE_CHECKING:
    from ...redaction import Secret
    from ..shared.shared_core import StoreRequest

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(StoreReply).decode
_SHOWN: Final = 200
_KEPT: Final = 86_400  # seconds that a state is kept after its last transaction, and ten periods more
_translating: Final = threading.RLock()


@functools.cache
def _script() -> str:
    rules = translated("fits transact succeed adopt", core, shared_core)
    return rules + resources.files(__package__ or "").joinpath("transaction.lua").read_text(encoding="utf-8")


def script() -> str:
    """What the store runs: the rules, translated, and one transaction by them. One thread at a time translates."""
    with _translating:
        return _script()


class Link:
    """One event loop's connection to the store."""

    same_clock: bool = False
    spacing: float = 0.1

    def __init__(self, url_or_client: Secret | Any, keys: tuple[str, str], period: float, timeout: float) -> None:
        self._owned = isinstance(url_or_client, str)
        self._client: Any = _client(url_or_client, max(1.0, 4 * timeout)) if self._owned else url_or_client
        self._keys = keys
        self._expiry = int(1000 * (_KEPT + 10 * period))
        self._timeout = timeout
        self._source = script()
        self._sha = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()
        self._connected = False

    async def transact(self, said: StoreRequest, offer: bytes | None) -> tuple[StoreReply, bytes]:
        """Have the script answer a request.

        Raises:
            StoreAwayError: It may or may not have been carried out.
            ConfigurationError: It can never be carried out.
        """
        # A connection that has to be made first takes some round trips more.
        patience = self._timeout if self._connected else max(1.0, 4 * self._timeout)
        text = _encode(said)
        try:
            async with asyncio.timeout(patience):
                reply, state = await self._evaluate(text, offer or b"")
            answer: tuple[StoreReply, bytes] = _decode(reply), state
        except Exception as error:  # noqa: BLE001 - a client whose transport is dead raises whatever the loop raises
            failure: Exception = _explained(error, patience)
            if "DB index is out of range" in str(error):
                failure = ConfigurationError(
                    "RedisPointBudget got the number of a database that the store does not have"
                )
            elif not self._owned and isinstance(error, RuntimeError):
                failure = StoreAwayError("its client cannot be used in this event loop: give RedisPointBudget a URL")
        else:
            self._connected = True
            return answer
        # Outside of the except block: redis's own frames and words are not to be chained to it.
        self._connected = False
        raise failure

    async def _evaluate(self, said: bytes, offer: bytes) -> Any:
        try:
            return await self._execute("EVALSHA", self._sha, said, offer)
        except faults.NoScriptError:
            return await self._execute("EVAL", self._source, said, offer)

    async def _execute(self, command: str, script: str, said: bytes, offer: bytes) -> Any:
        return await self._client.execute_command(
            command, script, 2, *self._keys, said, offer, self._expiry, **{NEVER_DECODE: []}
        )

    async def aclose(self) -> None:
        """Close the connection, unless the client was passed in."""
        self._connected = False
        if self._owned:
            with contextlib.suppress(faults.RedisError, OSError, RuntimeError):
                await self._client.aclose()


def _client(url: Secret, patience: float) -> Any:
    """A client of our own."""
    return redis.asyncio.Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - its keywords have no types
        _plain(url),
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        health_check_interval=0,
    )


def usable(url: Secret) -> bool:
    """Can a connection be made of this URL, with the options that it has?"""
    try:
        # What `from_url` takes has no types.
        pool: Any = redis.asyncio.ConnectionPool.from_url(_plain(url))  # pyright: ignore[reportUnknownMemberType]
        pool.make_connection()
    except (ValueError, TypeError):
        return False
    return True


def _plain(url: str) -> str:
    for ours, theirs in (("valkey://", "redis://"), ("valkeys://", "rediss://"), ("valkey+unix://", "unix://")):
        if url.startswith(ours):
            return theirs + url.removeprefix(ours)
    return url


_LOST = "the connection was lost"
_REASONS: Final[dict[str, str]] = {
    "WRONGPASS": "it refuses the user name or password: check the URL",
    "NOAUTH": "it wants a password: write it into the URL, redis://user:password@host",
    "ALREADY AUTHENTICATED": "it wants a password: write it into the URL, redis://user:password@host",
    "AUTHENTICATION REQUIRED": "it wants a password: write it into the URL, redis://user:password@host",
    "NOPERM": "its user may not run scripts on this key: allow EVAL, EVALSHA and the key in its ACL",
    "READONLY": "it is a read-only replica: connect to the primary, or through Sentinel",
    "OOM": "its memory is full: raise maxmemory or free some",
    "MISCONF": "it refuses to write because it cannot save to disk",
    "LOADING": "it is still loading its data",
    "MASTERDOWN": "its primary is down",
    "CLUSTERDOWN": "its cluster is down",
    "MOVED": "it is a cluster: pass a redis.asyncio.RedisCluster instead of a URL",
    "WRONGTYPE": "the key is used by something else: choose another name=",
    "BUSY": "it is busy with another script",
    "NOREPLICAS": "it has too few replicas to write",
}
"""By what the store's own words begin with, or hold."""

_KINDS: Final = (
    (faults.NoPermissionError, _REASONS["NOPERM"]),
    (faults.AuthenticationError, _REASONS["WRONGPASS"]),
    (faults.ReadOnlyError, _REASONS["READONLY"]),
    (faults.OutOfMemoryError, _REASONS["OOM"]),
    (faults.BusyLoadingError, _REASONS["LOADING"]),
    (faults.MaxConnectionsError, "its client has no free connection"),
    (msgspec.MsgspecError, "its answer is not the script's"),
    ((ssl.SSLError, ssl.CertificateError), "TLS failed: check the certificates and that rediss:// meets a TLS port"),
    (ConnectionRefusedError, "it cannot be reached"),
)
"""By the kind of error, from whose words `redis` cuts the code off."""


def _explained(error: BaseException, patience: float) -> StoreAwayError:
    """What went wrong, in our own words."""
    if isinstance(error, TimeoutError | faults.TimeoutError):
        return StoreAwayError(f"it did not answer within {patience:g} s")
    words = str(error)
    start = words.upper().partition(": ")[0]
    if code := next((code for code in _REASONS if code in start), None):
        return StoreAwayError(_REASONS[code])
    for each in (error, error.__cause__, error.__context__):
        if reason := next((reason for kind, reason in _KINDS if isinstance(each, kind)), None):
            return StoreAwayError(reason)
    if isinstance(error, faults.ResponseError):
        return StoreAwayError(f"it refuses the script: {words[:_SHOWN]}")
    return StoreAwayError("it cannot be reached" if "connecting to" in words else _LOST, dropped=True)
